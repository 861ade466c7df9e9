"""Who SlurmUser is: as whom the controller asks over the socket."""

from pathlib import Path

import pytest

from bank.errors import OutputNotUnderstood, SlurmError
from bank.operations import slurm_user
from bank.operations.bank import Bank
from bank.operations.slurm_user import find_slurm_user
from bank.settings import Settings

RECORDED = Path(__file__).parent.parent / "slurm" / "recorded" / "22.05" / "config.stdout"
BANK = Bank(Settings("/nowhere", slurm_bin="/nowhere"), "ada", print)


def says(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(slurm_user, "run", lambda *_: text)


def test_slurm_user_is_read_from_what_the_controller_says(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, RECORDED.read_text(encoding="utf-8"))
    assert find_slurm_user(BANK) == (64030, "slurm")


@pytest.mark.parametrize(
    "line", ["", "SlurmUser = slurm", "SlurmUser = slurm(x)", "SlurmUser = (0)"]
)
def test_what_is_not_understood_lets_nobody_in(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    text = RECORDED.read_text(encoding="utf-8")
    (known,) = (one for one in text.splitlines() if one.startswith("SlurmUser "))
    says(monkeypatch, text.replace(known, line))
    with pytest.raises(OutputNotUnderstood):
        find_slurm_user(BANK)


def test_a_controller_that_does_not_answer_lets_nobody_in() -> None:
    with pytest.raises(SlurmError):
        find_slurm_user(BANK)
