"""Names of accounts at the door."""

import pytest

from bank.errors import InputError
from bank.ledger.names import account_name, is_plain


@pytest.mark.parametrize("text", ["test1", "Test1", "a", "phys.lab-2", "x@y", "a+b", "_x", "1a"])
def test_plain_names_are_folded_to_lower_case_as_slurm_does(text: str) -> None:
    assert account_name(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        *("", "a,b", "b,root", "root", "ROOT", "-h", "--help", "--", "a b", "a=b", "a|b", "a\n"),
        *("\na", "a;b", "$(id)", "`id`", "a'b", 'a"b', "a/b", "../x", "a*", "(x)", "a\0b", "é"),
        *("\u212a", "a" * 256, ".a", "@a", "+a", "cluster=x"),
    ],
)
def test_names_that_could_be_read_as_anything_else_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="name|root"):
        account_name(text)


def test_a_trailing_line_break_is_not_passed_over() -> None:
    assert not is_plain("sam\n")
