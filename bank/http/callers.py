"""Who asks, and what they may: a user of this machine on the socket, or a token."""

from typing import Annotated, NamedTuple

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from bank.errors import NotKnown, NotPermitted
from bank.http.door import Door, door_of

# What each scope may: `own` looks at what is published for it.
_MAY = {
    "own": frozenset[str](),
    "read": frozenset({"read"}),
    "jobs": frozenset({"read", "jobs"}),
    "all": frozenset({"read", "jobs", "hooks"}),
}
_BEARER = HTTPBearer(
    auto_error=False,
    description="A token of 'slurm_bank.py token create'. On the Unix socket none is needed: who is"
    " at its other end is known.",
)
_SCHEMES = ("bearer", "token")


class Caller(NamedTuple):
    """Who asks.

    Attributes:
        name: login, "uid N", or "token NAME": it ends up as the actor of what is written.
        scope: a key of `_MAY`.
        uid: the number of a user of this machine, None of a token.
        accounts: those that may be asked about; none are all.
    """

    name: str
    scope: str
    uid: int | None = None
    accounts: frozenset[str] = frozenset()

    def may(self, what: str) -> bool:
        """Tell whether something may be asked: "read", "jobs" or "hooks"."""
        return what in _MAY[self.scope]

    def sees(self, account: str) -> bool:
        """Tell whether an account may be asked about."""
        return not self.accounts or account in self.accounts

    def require(self, what: str, account: str | None = None) -> None:
        """Refuse what may not be asked.

        Args:
            what: "read", "jobs" or "hooks".
            account: the account that it is about; None where that is not one: what is answered is
                then for the route to choose by `sees`.

        Raises:
            NotPermitted: it may not. Whether there is such an account is not told.
        """
        if not self.may(what):
            raise NotPermitted(f"{self.name} may not do this: it takes the right {what!r}")
        if account is not None and not self.sees(account):
            raise NotPermitted(f"{self.name} is not for this account")


def caller_of(connection: HTTPConnection) -> Caller:
    """Return who asks. What is shown counts, and else who is at the other end of the socket.

    Raises:
        NotKnown: nobody is known to ask.
    """
    door = door_of(connection)
    shown = connection.headers.getlist("authorization")
    if shown:
        return _shown(door, shown)
    uid = connection.scope["state"].get("peer_uid")
    if uid is None:
        raise NotKnown("say who you are: Authorization: Bearer TOKEN")
    if uid in door.trusted:
        return Caller(door.trusted[uid], "all", uid)
    # Names are not looked up: a directory service that is slow would stop everybody.
    return Caller(f"uid {uid}", "own", uid)


async def asking(
    connection: HTTPConnection,
    shown: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> Caller:
    """Return who asks, for a route that is described; see `caller_of`."""
    del shown
    return caller_of(connection)


Asking = Annotated[Caller, Depends(asking)]


def _shown(door: Door, shown: list[str]) -> Caller:
    # Scripts for myBRC put nothing before it where they only look.
    scheme, _, secret = shown[0].partition(" ") if " " in shown[0] else ("token", "", shown[0])
    if len(shown) > 1 or scheme.lower() not in _SCHEMES:
        raise NotKnown("not understood: it goes Authorization: Bearer TOKEN")
    token = door.known.token(secret.strip())
    return Caller(f"token {token.name}", token.scope, accounts=frozenset(token.accounts))
