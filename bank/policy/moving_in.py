"""Moving in: which rows and holds of the predecessor are taken, and what somebody must choose.

Nothing is guessed: of rows that say different things about one account somebody says which counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bank.errors import InputError
from bank.ledger.amounts import format_su
from bank.ledger.names import is_plain, listed
from bank.policy.comparison import Seen, Site, was_over
from bank.policy.predecessor import COLUMNS, Row, checked_row, name_in_slurm

_OUT, _OURS = "out:", "ours:"
HOW_TO_CHOOSE = (
    "a list such as 7,out:9,ours:physics: 7 keeps row 7 of those that conflict, out:9 leaves row 9"
    " out, ours:physics says that the predecessor set the hold on physics"
)


class Choices(NamedTuple):
    """What somebody chose.

    Attributes:
        keep: numbers of rows to keep where several are about one account.
        out: numbers of rows to leave out.
        ours: accounts whose hold was the predecessor's.
    """

    keep: frozenset[int] = frozenset()
    out: frozenset[int] = frozenset()
    ours: frozenset[str] = frozenset()


class Unusable(NamedTuple):
    """A row that cannot be taken.

    Attributes:
        number: its id.
        account: the name as it stands there.
        why: what is wrong with it.
    """

    number: int
    account: str
    why: str


class Conflict(NamedTuple):
    """Rows about one account, in any case of letters; only one of them can be taken."""

    account: str
    rows: tuple[Row, ...]


class Held(NamedTuple):
    """A hold in force in Slurm.

    Attributes:
        limit: the limit that is 0, as sacctmgr takes it before "=0".
        choose: what to type after --choose so that it is taken over; "" where it is, or cannot be.
    """

    cluster: str
    account: str
    limit: str
    why: str
    choose: str = ""


class Selection(NamedTuple):
    """What becomes of each row.

    Attributes:
        taken: the rows to take, in the order of their numbers.
        conflicts: where somebody must choose.
        unusable: what somebody must leave out, or mend in the old file.
        left_out: what was left out because somebody chose so.
        wrong_choices: what is wrong with what was chosen.
    """

    taken: list[Row]
    conflicts: list[Conflict]
    unusable: list[Unusable]
    left_out: list[Unusable]
    wrong_choices: list[str]


def read_choices(text: str) -> Choices:
    """Read what somebody typed after --choose; "" is nothing.

    Raises:
        InputError: a part of it is none of the three forms, or stands there twice.
    """
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    keep: set[int] = set()
    out: set[int] = set()
    ours: set[str] = set()
    for part in parts:
        name = name_in_slurm(part.removeprefix(_OURS)) or ""
        if part.startswith(_OURS) and is_plain(name):
            ours.add(name)
            continue
        number = part.removeprefix(_OUT)
        if not (number.isascii() and number.removeprefix("-").isdigit()):
            raise InputError(f"--choose {part!r} is not understood: give {HOW_TO_CHOOSE}")
        (out if part.startswith(_OUT) else keep).add(int(number))
    if len(keep) + len(out) + len(ours) != len(parts):
        raise InputError(f"--choose {text!r} says something twice")
    return Choices(frozenset(keep), frozenset(out), frozenset(ours))


def select_rows(rows: Iterable[Mapping[str, object]], choices: Choices) -> Selection:
    """Sort out the rows of the predecessor's table.

    Args:
        rows: by column, in the order of their ids; columns that the predecessor did not make are
            not looked at.
        choices: what somebody chose.
    """
    usable: dict[str, list[Row]] = {}
    unusable: list[Unusable] = []
    left_out: list[Unusable] = []
    for values in rows:
        try:
            row = checked_row({name: values[name] for name in COLUMNS})
        except InputError as error:
            found = Unusable(_number(values["id"]), str(values["account"]), str(error))
            (left_out if found.number in choices.out else unusable).append(found)
        else:
            usable.setdefault(row.account, []).append(row)
    taken, conflicts, passed_over = [], [], []
    for account, same in usable.items():
        kept = [row for row in same if row.number in choices.keep]
        if len(same) == 1:
            taken.append(same[0])
        elif len(kept) == 1:
            taken.append(kept[0])
            passed_over += [
                Unusable(row.number, row.written, f"row {kept[0].number} was chosen")
                for row in same
                if row != kept[0]
            ]
        else:
            conflicts.append(Conflict(account, tuple(same)))
    wrong = _wrong_choices(usable.values(), left_out, choices)
    left_out = sorted([*left_out, *passed_over])
    taken.sort(key=_by_number)
    return Selection(taken, conflicts, unusable, left_out, wrong)


def _by_number(row: Row) -> int:
    return row.number


def _number(value: object) -> int:
    # The id is the table's primary key, so SQLite sees to it that it is a number.
    assert isinstance(value, int)
    return value


def _wrong_choices(
    usable: Iterable[Sequence[Row]], left_out: Sequence[Unusable], choices: Choices
) -> list[str]:
    wrong = []
    alone: set[int] = set()
    several: set[int] = set()
    for same in usable:
        (alone if len(same) == 1 else several).update(row.number for row in same)
        chosen = [str(row.number) for row in same if row.number in choices.keep]
        if len(same) > 1 and len(chosen) > 1:
            wrong.append(f"{', '.join(chosen)} are rows of the same account: choose one of them")
    for number in sorted(choices.keep - several):
        why = "conflicts with no other" if number in alone else "is not one that can be taken"
        wrong.append(f"{number}: row {number} {why}")
    for number in sorted(choices.out - {row.number for row in left_out}):
        why = "there is no such row"
        if number in alone | several:
            why = "it can be taken; where rows conflict, choose the one to keep"
        wrong.append(f"{_OUT}{number}: {why}")
    return wrong


# Why a hold is taken over that no row need tell of.
CHOSEN = "somebody chose so"


def sort_holds(
    cluster: str,
    seen: Seen,
    limits: Sequence[str],
    *,
    account_hold: str,
    ours: frozenset[str],
) -> tuple[list[Held], list[Held]]:
    """Tell the predecessor's holds on one account from those of others.

    Args:
        cluster: where.
        seen: the account.
        limits: those that ACCOUNT_HOLD could name and that are 0.
        account_hold: the one that it does name.
        ours: accounts whose hold somebody said to be the predecessor's.

    Returns:
        What becomes the bank's, and what is left to whoever set it.
    """
    # The predecessor set one limit. ACCOUNT_HOLD may have been another one then.
    possible = [account_hold] if account_hold in limits else list(limits)
    why, is_adopted, choose = _whose(seen, is_sure=len(possible) == 1, ours=ours)
    held = [Held(cluster, seen.name, limit, why, choose) for limit in possible]
    second = f"the predecessor set one limit, and {account_hold}=0 is there too"
    others = [Held(cluster, seen.name, one, second) for one in limits if one not in possible]
    return (held, others) if is_adopted else ([], held + others)


def _whose(seen: Seen, *, is_sure: bool, ours: frozenset[str]) -> tuple[str, bool, str]:
    """Return why a hold is or is not the predecessor's, whether it is, and what could be chosen."""
    if seen.rows and seen.name in ours:
        return CHOSEN, True, ""
    if not seen.rows:
        return "it has no row", False, ""
    choose = f"{_OURS}{seen.name}" if is_plain(seen.name) else ""
    if seen.taken is None:
        return "its row is left out", False, choose
    if not is_sure:
        return "several limits hold it", False, choose
    if any(row["max_limit_informed"] == 1 for row in seen.rows):
        return "their rows say max_limit_informed", True, ""
    if was_over(seen):
        return "they are over their limits", True, ""
    return "its row does not tell of it", False, choose


def notes(seen: Sequence[Seen], site: Site, *, is_end_told: bool) -> list[str]:
    """Say what else the first pass does, or nobody does any more, that no comparison shows.

    Args:
        seen: every account.
        site: what is the same for all of them.
        is_end_told: whether people are told of the ends of periods.
    """
    ended = [one for one in seen if one.taken is not None and one.taken.limit and one.ended_on]
    is_renewed = site.on_end == "renew"
    forgiven = [f"{one.name} ({format_su(one.used)})" for one in ended if one.used]
    told = [one.name for one in ended]
    left_out = [
        one.name
        for one in seen
        if one.taken is None and one.rows and one.raw and is_plain(one.name)
    ]
    found = []
    if is_renewed and forgiven:
        found.append(
            "ON_END = 'renew': the first pass begins a new period where the old one is over, and"
            f" forgives the SUs used so far: {listed(forgiven)}"
        )
    if is_end_told and told and not is_renewed:
        found.append(
            "CHECK_DATES and NOTIFY_COMMAND: the first pass tells that the period is over of"
            f" {listed(told)}; set NOTIFY_COMMAND after it if nobody is to be told"
        )
    if left_out and site.unknown_accounts == "report":
        found.append(f"nothing limits {listed(left_out)} until somebody inserts them")
    return found
