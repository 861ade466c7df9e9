"""What every operation is given: settings, database, Slurm, clock and who asks."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from bank.errors import SettingsError
from bank.settings import Settings
from bank.store.connect import Database

if TYPE_CHECKING:
    # A balance is asked without Slurm and must not load what starts processes.
    from bank.slurm.command import Slurm


def microseconds_now() -> int:
    """Return the present time as UTC microseconds."""
    return time.time_ns() // 1000


def utc_text(microseconds: int) -> str:
    """Return a time as people and programs read it: ISO 8601, UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(microseconds // 1_000_000))


class Bank(NamedTuple):
    """All that an operation needs from outside.

    Attributes:
        settings: the site's settings.
        actor: login of whoever asks, see `login`.
        clock: returns UTC microseconds.
        warn: tells a person what went wrong beside the work.
    """

    settings: Settings
    actor: str
    warn: Callable[[str], None]
    clock: Callable[[], int] = microseconds_now

    @property
    def database(self) -> Database:
        """Where the books are."""
        return Database(self.settings.database, self.settings.db_table_name)

    @property
    def slurm(self) -> "Slurm":
        """How to reach Slurm."""
        from bank.slurm.command import Slurm

        settings = self.settings
        return Slurm(settings.slurm_bin, settings.slurm_conf, settings.slurm_timeout_seconds)

    def today(self) -> str:
        """Return the date in the site's zone, as the predecessor wrote it: ISO."""
        return time.strftime("%Y-%m-%d", time.localtime(self.clock() // 1_000_000))


_ZONES = "/usr/share/zoneinfo"


def use_zone(name: str) -> None:
    """Let all days and times of this process be those of a zone; '' leaves the machine's own.

    Raises:
        SettingsError: this machine does not know it, and would take it for UTC.

    Source:
        tzset(3).
    """
    if not name:
        return
    if not os.path.isfile(f"{_ZONES}/{name}"):
        raise SettingsError(
            f"TIME_ZONE = {name!r} is not in {_ZONES}: give a name of the IANA time zone database,"
            " such as 'Europe/Berlin' or 'UTC', or install tzdata"
        )
    os.environ["TZ"] = name
    time.tzset()


_NO_LOGIN = 4294967295


def login() -> str:
    """Return who really asks: the person who logged in, also behind sudo and su.

    Source:
        proc(5), /proc/self/loginuid: set once at login and kept through sudo.
    """
    try:
        with open("/proc/self/loginuid", encoding="ascii") as file:
            uid = int(file.read())
    except (OSError, ValueError):
        uid = _NO_LOGIN
    if uid != _NO_LOGIN:
        return user_name(uid)
    # Nothing was logged in, as in a container: believe sudo, which sets this for its child.
    return os.environ.get("SUDO_USER") or user_name(os.getuid())


def user_name(uid: int) -> str:
    """Return the login of a user by number, or the number where there is none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
