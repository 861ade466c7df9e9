"""The verb that answers the controller, users and programs, until it is stopped."""

from bank.cli.arguments import Arguments
from bank.errors import SettingsError
from bank.operations.bank import Bank


def _serve(bank: Bank, arguments: Arguments) -> int:
    del arguments
    try:
        from bank.service.running import serve
    except ModuleNotFoundError as error:
        if str(error.name).startswith("bank."):
            raise
        raise SettingsError(
            f"serve needs {error.name}, which is not installed here: pip install"
            " 'slurm-bank[service]', or what pyproject.toml has under service"
        ) from error
    serve(bank)
    return 0


VERBS = {"serve": _serve}
