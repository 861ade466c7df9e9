"""Who may do everything over the socket."""

import asyncio
import os

from bank.errors import BankError
from bank.http.door import Door
from bank.operations.bank import user_name
from bank.operations.slurm_user import find_slurm_user

_AGAIN_SECONDS = 30


def find_trusted() -> dict[int, str]:
    """Return names, by number, of root and of the user who runs the bank: they can read the books.

    The service has no more rights than that.
    """
    return {uid: user_name(uid) for uid in (0, os.geteuid())}


async def learn_slurm_user(door: Door) -> None:
    """Trust SlurmUser, as whom the controller asks, once the controller has said who that is."""
    while True:
        try:
            uid, name = await asyncio.to_thread(find_slurm_user, door.bank)
        except BankError as error:
            door.bank.warn(f"who SlurmUser is is not known yet: {error}")
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            door.trusted[uid] = name
            return
