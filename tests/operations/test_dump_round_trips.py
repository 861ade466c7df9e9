"""Any bank, dumped and made of the dump again. Slurm is a model, and no pass follows."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank.operations import applying, dumps, upkeep
from bank.operations.bank import Bank
from bank.operations.differences import plan_repopulate
from bank.operations.periods import Opening, open_accounts
from bank.policy.thresholds import FLAGS
from bank.settings import Settings
from bank.store import accounts, notices
from bank.store.connect import reading, writing
from tests.fake_slurm import take_over
from tests.operations.conftest import SU

DAY = "2022-04-08"
numbers = itertools.count()
NAMES = ("test1", "dept", "proj", "solo")
banks = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(
        st.none() | st.integers(0, 5 * SU),
        st.sampled_from([DAY, "2024-02-29"]),
        st.sets(st.sampled_from(sorted(FLAGS))),
    ),
)
RESTING = settings(max_examples=40)


class Worlds:
    """Banks in a directory that goes with them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def empty(self) -> Bank:
        place = self.directory / f"bank{next(numbers)}"
        place.mkdir()
        bank = Bank(Settings(str(place / "bank.db")), "ada", pytest.fail)
        upkeep.migrate(bank, dry_run=False)
        return bank

    def filled(self, content: dict[str, Any]) -> Bank:
        bank = self.empty()
        with writing(bank.database) as writer:
            openings = [Opening(name, limit, "", day) for name, (limit, day, _) in content.items()]
            open_accounts(bank, writer, openings)
            raised = {(name, event): "{}" for name, (*_, told) in content.items() for event in told}
            notices.write_raised(writer, raised, now=1, is_told=True)
            notices.show_flags(writer, bank.database, list(content))
        return bank


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401
    with pytest.MonkeyPatch.context() as patches:
        # A pass clears flags of what is not used, and nothing is used here.
        patches.setattr(applying, "enforce_soon", lambda *_, **__: None)
        fake = take_over(patches)
        for name in NAMES:
            fake.add_account(name)
        yield Worlds(tmp_path_factory.mktemp("worlds"))


@RESTING
@given(content=banks, form=st.sampled_from(["json", "csv"]))
def test_any_bank_dumped_and_repopulated_is_itself(
    worlds: Worlds, content: dict[str, Any], form: str
) -> None:
    bank = worlds.filled(content)
    write_dump = dumps.dump_json if form == "json" else dumps.dump_csv
    path = str(worlds.directory / f"dump{next(numbers)}")
    write_dump(bank, path)
    plan = plan_repopulate(bank, f"repopulate_{form}", path, reason="")
    assert plan.differences == []
    # And an empty one becomes it, down to the ids.
    other = worlds.empty()
    applying.apply(
        other, plan_repopulate(other, f"repopulate_{form}", path, reason=""), dry_run=False
    )
    assert upkeep.verify(other) == []
    again = f"{path}.again"
    write_dump(other, again)
    assert Path(again).read_bytes() == Path(path).read_bytes()


@RESTING
@given(before=banks, after=banks.filter(bool))
def test_any_bank_becomes_what_any_dump_says(
    worlds: Worlds, before: dict[str, Any], after: dict[str, Any]
) -> None:
    path = str(worlds.directory / f"dump{next(numbers)}")
    dumps.dump_json(worlds.filled(after), path)
    bank = worlds.filled(before)
    applying.apply(bank, plan_repopulate(bank, "repopulate_json", path, reason=""), dry_run=False)
    assert upkeep.verify(bank) == []
    assert plan_repopulate(bank, "repopulate_json", path, reason="").differences == []
    with reading(bank.database) as reader:
        rows = {name: rest for _, name, *rest in accounts.shown_rows(reader, bank.database)}
    assert rows == {
        name: [
            -1 if limit is None else limit // SU,
            day,
            *(int(event in expected_told(name, before, after)) for event in FLAGS),
        ]
        for name, (limit, day, _) in after.items()
    }


def expected_told(name: str, before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    limit, _, told = after[name]
    if name not in before:
        return set(told)
    # Nothing is used here: only what has a limit of 0 has reached anything.
    limit_before = before[name][0]
    keeps = limit is not None and limit_before is not None and limit // SU == limit_before // SU
    is_full = (limit_before if keeps else limit and limit // SU) == 0
    return {*before[name][2], *(told & {"max_limit"} if is_full else ())}
