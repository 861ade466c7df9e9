"""SlurmUser: as whom the controller runs, and with it its hooks."""

import re

from bank.errors import OutputNotUnderstood
from bank.operations.bank import Bank
from bank.slurm import scontrol
from bank.slurm.command import run

_USER = re.compile(r"(.+)\((\d+)\)")


def find_slurm_user(bank: Bank) -> tuple[int, str]:
    """Return the number and the name of SlurmUser.

    Raises:
        SlurmError: the controller does not answer, or does not say it.

    Source:
        slurm.conf(5), SlurmUser; printed as name(number).
    """
    values = scontrol.config_values(run(bank.slurm, scontrol.config_arguments(None)))
    found = _USER.fullmatch(values.get("SlurmUser", ""))
    if found is None:
        raise OutputNotUnderstood("scontrol show config does not say SlurmUser")
    return int(found[2]), found[1]
