"""The units of systemd fit the program: the same socket, user and paths."""

import configparser
import re

from bank.settings import Settings
from tests.serving import ROOT

PACKAGING = ROOT / "packaging"


class Unit(configparser.ConfigParser):
    """A unit, as far as no key comes twice where it matters."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",))
        self.read(PACKAGING / name)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def test_the_socket_is_the_one_of_the_settings_and_open_to_all() -> None:
    unit = Unit("slurm_bank.socket")["Socket"]
    assert unit["ListenStream"] == Settings("/x").service_socket
    assert unit["SocketMode"] == "0666"


def test_the_service_may_write_where_the_settings_say_and_has_no_more_rights() -> None:
    unit = Unit("slurm_bank.service")["Service"]
    written = unit["ReadWritePaths"].replace("-/", "/").split()
    assert Settings("/x").spool in written
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    made = re.findall(r"install -d -o slurm -g slurm -m \d+ (\S+)", readme)
    assert set(made) <= set(written)
    assert unit["ExecStart"].endswith("slurm_bank.py serve")
    assert unit["User"] == "slurm"
    assert unit["CapabilityBoundingSet"] == ""
    assert unit["NoNewPrivileges"] == "yes"
