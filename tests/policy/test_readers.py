"""Who may see which accounts, and how much of them."""

import pytest

from bank.policy.readers import Views, views

PARENTS: list[dict[str, str | None]] = [
    {"root": None, "dept": "root", "proj": "dept", "deep": "proj", "side": "root"},
    {"root": None, "side": "proj", "proj": "root"},
]


@pytest.mark.parametrize(
    ("members", "coordinators", "seen"),
    [
        ([], {}, {}),
        ([("proj", "ada")], {}, {"ada": ("", "proj")}),
        ([("proj", "ada"), ("side", "ada"), ("side", "bob")], {},
         {"ada": ("", "proj side"), "bob": ("", "side")}),
        # A coordinator sees all below, on whichever cluster it is, and nothing above.
        ([], {"side": ["ada"]}, {"ada": ("side", "")}),
        ([], {"proj": ["ada"]}, {"ada": ("proj deep side", "")}),
        ([], {"dept": ["ada", "bob"]}, {"ada": ("dept proj deep", ""),
                                        "bob": ("dept proj deep", "")}),
        # Who coordinates an account sees more of it than a member.
        ([("deep", "ada"), ("dept", "ada")], {"proj": ["ada"]},
         {"ada": ("proj deep side", "dept")}),
        ([("gone", "ada")], {"gone": ["bob"]}, {"ada": ("", "gone"), "bob": ("gone", "")}),
    ],
)  # fmt: skip
def test_views(
    members: list[tuple[str, str]],
    coordinators: dict[str, list[str]],
    seen: dict[str, tuple[str, str]],
) -> None:
    assert views(members, coordinators, PARENTS) == {
        user: Views(frozenset(whole.split()), frozenset(own.split()))
        for user, (whole, own) in seen.items()
    }
