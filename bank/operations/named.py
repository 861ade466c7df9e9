"""Accounts by the names that people give: what is refused where the bank has no such account."""

from bank.errors import Refusal
from bank.store import accounts, read
from bank.store.accounts import Account
from bank.store.connect import Reader
from bank.store.read import Standing


def standing_of(reader: Reader, name: str) -> Standing:
    """Return where an account stands.

    Raises:
        Refusal: it is not open in the bank.
    """
    standing = read.standing(reader, name)
    if standing is None:
        raise no_such_account(name)
    return standing


def no_such_account(name: str) -> Refusal:
    """Return the refusal for an account that is not open in the bank."""
    return Refusal(
        "no_such_account", f"Account {name} doesn't exist in the bank, did you want to insert it?"
    )


def account_of(reader: Reader, name: str) -> Account:
    """Return an account that the bank has, or once had.

    Raises:
        Refusal: it never had it.
    """
    account = accounts.find(reader, name)
    if account is None:
        raise Refusal("no_such_account", f"the bank never had an account {name}")
    return account
