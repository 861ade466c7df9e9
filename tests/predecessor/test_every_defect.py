"""All 86 defects of the predecessor: each is held by one test, which docs/predecessor.md names."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ALL = range(1, 87)
_COMMANDS = "tests/cli/test_commands.py"
_DUMPS = "tests/operations/test_dumps.py"
_HOLDS = "tests/operations/test_holds_real.py"
_STORE_FAULTS = "tests/crash/test_faults_of_store.py"

# Those that a test elsewhere holds already.
HELD_BY = {
    4: f"{_COMMANDS}::test_a_pass_holds_and_a_top_up_releases",
    7: f"{_COMMANDS}::test_adding_to_an_unlimited_account_leaves_it_unlimited",
    22: "tests/operations/test_scenarios.py::test_accounts_that_the_bank_does_not_know",
    25: "tests/crash/test_faults_of_slurm.py::test_output_that_is_not_understood_decides_nothing",
    26: "tests/slurm/test_readers.py::test_a_row_that_is_cut_off_is_never_skipped",
    28: "tests/operations/test_lost_real.py::test_use_before_a_reset_by_hand_is_taken_from_sacct",
    29: "tests/operations/test_tree_real.py"
    "::test_a_new_period_of_a_parent_leaves_the_childrens_alone",
    30: "tests/policy/test_configuration.py::test_obstacles",
    31: f"{_HOLDS}::test_a_running_job_goes_on_and_is_counted",
    32: f"{_HOLDS}::test_what_was_there_before_comes_back",
    34: f"{_HOLDS}::test_a_hold_of_others_is_reported_and_not_touched",
    37: "tests/operations/test_tree_real.py::test_children_count_once_for_all_above_them",
    38: f"{_COMMANDS}::test_refusals",
    39: "tests/ledger/test_names.py::test_plain_names_are_folded_to_lower_case_as_slurm_does",
    41: "tests/ledger/test_amounts.py::test_amounts_people_type_are_read_exactly",
    43: "tests/operations/test_native_limits_real.py"
    "::test_a_job_starts_only_where_what_is_left_pays_for_all_of_it",
    45: "tests/crash/test_together.py"
    "::test_twenty_withdrawals_at_once_take_what_is_there_and_no_more",
    46: f"{_COMMANDS}::test_a_log_that_cannot_be_written_does_not_undo_what_was_done",
    48: f"{_COMMANDS}::test_a_missing_database_is_named_and_not_made",
    49: f"{_DUMPS}::test_a_dump_cut_off_anywhere_is_refused",
    50: f"{_DUMPS}::test_a_dump_of_no_accounts_is_a_file",
    51: "tests/policy/test_dumps.py::test_what_must_be_there_once_is_not_taken_twice",
    52: "tests/policy/test_dumps.py::test_a_json_dump_with_anything_else_in_it_is_refused",
    53: "tests/operations/test_repopulate.py"
    "::test_what_was_there_is_kept_and_never_over_an_older_one",
    54: "tests/cli/test_dump_verbs.py"
    "::test_a_difference_is_shown_and_nothing_done_where_nobody_can_be_asked",
    55: f"{_DUMPS}::test_a_dump_of_no_accounts_is_a_file",
    56: "tests/operations/test_dump_round_trips.py::test_any_bank_dumped_and_repopulated_is_itself",
    57: f"{_STORE_FAULTS}::test_database_of_another_schema_or_program_is_refused",
    61: f"{_STORE_FAULTS}::test_locked_database_is_waited_for_and_then_said",
    66: f"{_COMMANDS}::test_help_is_given_wherever_it_is_asked_for",
    84: f"{_COMMANDS}::test_a_dry_run_says_what_would_be_and_does_nothing",
}


@cache
def named_tests(path: Path) -> list[str]:
    """Return the names of the tests in a file, also of those that stand there twice."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [name for name in functions if name.startswith("test_")]


def held_here() -> Iterator[tuple[int, str]]:
    """Yield the numbers in the names of the tests beside this file, and where those are."""
    for path in sorted(HERE.glob("test_*.py")):
        for name in named_tests(path):
            if number := re.match(r"test_(\d\d)_", name):
                yield int(number[1]), f"{path.relative_to(ROOT)}::{name}"


def in_the_table() -> list[tuple[int, str]]:
    """Return the number of each row of docs/predecessor.md, and the place that it names."""
    text = (ROOT / "docs" / "predecessor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| [^|]+ \| `([^`|]+)` \|$", text, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| *\d", text, re.MULTILINE)), "a row of another form"
    return [(int(number), place) for number, place in rows]


def test_every_defect_is_held_once() -> None:
    held = sorted([*(number for number, _ in held_here()), *HELD_BY])
    assert held == list(ALL)


@pytest.mark.parametrize("place", sorted(set(HELD_BY.values())))
def test_a_test_that_holds_a_defect_is_there(place: str) -> None:
    path, _, name = place.partition("::")
    assert named_tests(ROOT / path).count(name) == 1


def test_the_page_for_admins_names_every_defect_and_where_it_is_held() -> None:
    assert in_the_table() == sorted([*held_here(), *HELD_BY.items()])
