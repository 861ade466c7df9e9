"""Settings: where they are looked for, what they may be, and that they are never run."""

import os
from pathlib import Path

import pytest

from bank.errors import SettingsError
from bank.settings import RULES, Settings, default_text, find_file, load
from bank.store.migrations import TABLES

ROOT = Path(__file__).parent.parent


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "py_sb_settings.py"
    path.write_text(text)
    path.chmod(0o644)
    return str(path)


def test_a_file_of_the_predecessor_is_read_as_it_is(tmp_path: Path) -> None:
    text = (
        "CLUSTERS=['dev'] #(list of clusters)\n"
        "LOGFILE='/var/log/slurm/slurm_bank/slurm_bank.log' #logging\n"
        "DATABASE='/etc/slurm_bank/database/slurm_bank.db'\n"
        "DATABASE_BACKUP_JSON='/etc/slurm_bank/database/slurm_bank.db.json.backup'\n"
        "DB_TABLE_NAME='sbank' #other names are possible\n"
        "DEFAULT_ALLOCATION=1#SU\n"
        "PROPOSAL_LENGTH_DAYS=365#days\n"
        "UPPER_LIMIT_PERCENT=90#percent\n"
        "LOWER_LIMIT_PERCENT=60#percent\n"
        "ACCOUNT_HOLD='GrpTRESMins' #or another\n"
        "#EMAIL_FROM #not there\n"
    )
    settings = load(written(tmp_path, text))
    assert settings.clusters == ("dev",)
    assert settings.database == "/etc/slurm_bank/database/slurm_bank.db"
    assert settings.default_allocation == 3600


def test_what_is_not_set_has_its_default(tmp_path: Path) -> None:
    assert load(written(tmp_path, "DATABASE = '/x/bank.db'\n")) == Settings("/x/bank.db")


def test_the_file_we_ship_sets_everything_to_its_default() -> None:
    shipped = load(str(ROOT / "py_sb_settings.py"))
    assert shipped._replace(logfile="") == Settings(shipped.database)
    text = (ROOT / "py_sb_settings.py").read_text()
    for name in RULES:
        assert f"\n{name} = " in text, name
        if name not in ("DATABASE", "LOGFILE"):
            assert f"\n{name} = {default_text(name)}\n" in text, name


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("DATABASE = 'bank.db'", "absolute path"),
        ("DATABASE = 5", "absolute path"),
        ("CLUSTERS = 'dev'", "list of cluster names"),
        ("CLUSTERS = ['Dev']", "lower case"),
        ("CLUSTERS = ['dev', 5]", "list of cluster names"),
        ("CLUSTERS = ['dev', 'b', 'dev']", "each once"),
        ("DB_TABLE_NAME = 'sbank; DROP TABLE entry'", "letters, digits"),
        *((f"DB_TABLE_NAME = '{name}'", "not a table of the bank's own") for name in TABLES),
        ("DB_TABLE_NAME = 'sqlite_master'", "not a table of the bank's own"),
        ("DEFAULT_ALLOCATION = 1.5", "whole number of SUs"),
        ("DEFAULT_ALLOCATION = -1", "whole number of SUs"),
        ("DEFAULT_ALLOCATION = True", "whole number of SUs"),
        ("DEFAULT_ALLOCATION = 999999999999", "whole number of SUs"),
        ("ACCOUNT_HOLD = 'MaxJobs'", "'GrpTRESMins' or"),
        ("ACCOUNT_HOLD = 'GrpTRESMins=cpu=0 GrpJobs'", "'GrpTRESMins' or"),
        ("ON_TOP_UP = 'maybe'", "'keep' or 'reset'"),
        ("UNKNOWN_ACCOUNTS = None", "'report' or 'hold' or 'allocate'"),
        ("USAGE_SOURCE = 'sacct'", "'meters' or 'jobs'"),
        ("USAGE_BASELINE = 'none'", "'all' or 'now'"),
        ("ALLOW_HOLD_WITHOUT_SAFE = 1", "True or False"),
        ("SLURM_TIMEOUT_SECONDS = 0", "whole number from 1 to 3600"),
        ("CONFIRM_SECONDS = '10'", "whole number from 1 to 3600"),
        ("PROJECT_PREFIX = 'a*'", "first letters"),
        ("UPPER_LIMIT_PERCENT = 101", "whole number from 1 to 100"),
        ("LOWER_LIMIT_PERCENT = 95", "above UPPER_LIMIT_PERCENT"),
        ("ON_TOPUP = 'keep'", "did you mean ON_TOP_UP"),
        ("SOMETHING = 1", "not a setting"),
        ("import os", "only NAME = value"),
        ("LOGFILE = open('/etc/passwd').read()", "plain value"),
        ("LOGFILE = '/x' + '/y'", "plain value"),
        ("A = B = 1", "only NAME = value"),
        ("DATABASE = '/x", "not readable"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(tmp_path: Path, line: str, named: str) -> None:
    path = written(tmp_path, f"DATABASE = '/x/bank.db'\n{line}\n")
    with pytest.raises(SettingsError, match=named):
        load(path)


def test_a_settings_file_is_never_run(tmp_path: Path) -> None:
    path = written(tmp_path, f"DATABASE = '/x/y'\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(SettingsError):
        load(path)
    assert not (tmp_path / "ran").exists()


def test_no_database_is_no_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not set DATABASE"):
        load(written(tmp_path, "LOGFILE = '/x/log'\n"))


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646, 0o622])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, "DATABASE = '/x/bank.db'\n")
    Path(path).chmod(mode)
    with pytest.raises(SettingsError, match="chmod go-w"):
        load(path)


def test_a_directory_in_which_others_could_replace_the_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "DATABASE = '/x/bank.db'\n")
    tmp_path.chmod(0o777)
    with pytest.raises(SettingsError, match="chmod go-w"):
        load(path)
    # As /tmp is: others may write there, and not touch what is not theirs.
    tmp_path.chmod(0o1777)
    load(path)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "DATABASE = '/x/bank.db'\n")
    os.chown(path, 65534, 65534)
    with pytest.raises(SettingsError, match="belongs to nobody"):
        load(path)


def test_the_environment_is_asked_first_and_the_directory_of_the_command_last(
    tmp_path: Path,
) -> None:
    named, beside = written(tmp_path, ""), tmp_path / "beside"
    beside.mkdir()
    own = written(beside, "")
    assert find_file({"SLURM_BANK_SETTINGS": named}, str(beside)) == named
    assert find_file({}, str(beside)) in (own, "/etc/slurm_bank/py_sb_settings.py")


def test_a_named_file_that_is_not_there_is_not_replaced_by_another(tmp_path: Path) -> None:
    own = tmp_path / "beside"
    own.mkdir()
    written(own, "")
    with pytest.raises(SettingsError, match="nosuch"):
        find_file({"SLURM_BANK_SETTINGS": str(tmp_path / "nosuch")}, str(own))
