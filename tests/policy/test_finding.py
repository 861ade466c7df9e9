"""Finding accounts: what the options take, which accounts they mean, and in which order."""

from typing import Any

import pytest

from bank.errors import InputError
from bank.policy.finding import Candidate, Wanted, is_wanted, order, read


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, Wanted()),
        ({"over": "80"}, Wanted(over_percent=80)),
        ({"over": "80%"}, Wanted(over_percent=80)),
        ({"over": "0"}, Wanted(over_percent=0)),
        ({"ending": "30"}, Wanted(ending_days=30)),
        ({"ending": "30d"}, Wanted(ending_days=30)),
        ({"match": "Proj*"}, Wanted(match="proj*")),
        ({"match": "a[!b-d].?@+"}, Wanted(match="a[!b-d].?@+")),
    ],
)
def test_read(options: dict[str, str], wanted: Wanted) -> None:
    given = {"over": None, "ending": None, "match": None, **options}
    assert read(is_held=False, **given) == wanted
    assert read(is_held=True, **given) == wanted._replace(is_held=True)


@pytest.mark.parametrize("option", ["over", "ending", "match"])
@pytest.mark.parametrize(
    "text", ["", " 80", "80 ", "-1", "1.5", "80%%", "%", "d", "30dd", "1e3", "٣", "a b", "[", "a;b"]
)
def test_what_cannot_be_used_is_refused_by_name(option: str, text: str) -> None:
    if option == "match" and text in ("-1", "1.5", "d", "30dd", "1e3"):
        return
    given = {"over": None, "ending": None, "match": None, option: text}
    with pytest.raises(InputError, match=f"--{option}") as found:
        read(is_held=False, **given)
    assert "give" in str(found.value) or "stand for" in str(found.value)


def candidate(**fields: Any) -> Candidate:  # noqa: ANN401
    return Candidate("a", is_held=False, limit=100, used=0, days_left=None)._replace(**fields)


@pytest.mark.parametrize(
    ("fields", "wanted", "expected"),
    [
        ({}, Wanted(), True),
        ({"is_held": True}, Wanted(is_held=True), True),
        ({"is_held": False}, Wanted(is_held=True), False),
        # So much or more, exact.
        ({"used": 80}, Wanted(over_percent=80), True),
        ({"limit": 10**9, "used": 8 * 10**8 - 1}, Wanted(over_percent=80), False),
        ({"used": 150}, Wanted(over_percent=100), True),
        ({"used": 0}, Wanted(over_percent=0), True),
        # A limit of 0 is full, and no limit is never.
        ({"limit": 0}, Wanted(over_percent=100), True),
        ({"limit": 0}, Wanted(over_percent=101), False),
        ({"limit": None, "used": 10**9}, Wanted(over_percent=0), False),
        ({"days_left": 30}, Wanted(ending_days=30), True),
        ({"days_left": 31}, Wanted(ending_days=30), False),
        ({"days_left": -3}, Wanted(ending_days=0), True),
        ({"days_left": None}, Wanted(ending_days=99999), False),
        ({"name": "proj1"}, Wanted(match="proj?"), True),
        ({"name": "proj12"}, Wanted(match="proj?"), False),
        ({"name": "myproj1"}, Wanted(match="proj*"), False),
        ({"name": "a.b"}, Wanted(match="a.?"), True),
        ({"name": "axb"}, Wanted(match="a.?"), False),
        ({"name": "b"}, Wanted(match="[!a]"), True),
        # All that was asked must be so.
        ({"used": 90, "is_held": True}, Wanted(is_held=True, over_percent=80), True),
        ({"used": 90}, Wanted(is_held=True, over_percent=80), False),
    ],
)
def test_is_wanted(fields: dict[str, object], wanted: Wanted, expected: bool) -> None:
    assert is_wanted(candidate(**fields), wanted) == expected


def test_order() -> None:
    found = [
        candidate(name="c", used=50, days_left=1),
        candidate(name="b", used=90, days_left=5),
        candidate(name="a", used=90, days_left=1),
        candidate(name="d", limit=0, used=0, days_left=-2),
    ]

    def names(wanted: Wanted) -> str:
        return "".join(one.name for one in sorted(found, key=lambda one: order(one, wanted)))

    assert names(Wanted()) == "abcd"
    assert names(Wanted(over_percent=0)) == "dabc"
    assert names(Wanted(ending_days=9)) == "dacb"
    assert names(Wanted(ending_days=9, over_percent=0)) == "dacb"
