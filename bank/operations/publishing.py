"""Publishing: for each user a copy of what that user may see, which nobody else can read.

A copy is a file PUBLISHED/UID.db. It is written under another name, made readable for one user and
then put in place, so nobody ever reads half of one. How large it is and when it changed everybody
can see who knows the number. The file `as_of` says as of when all of them are; `state`, which only
the bank reads, what is in each, so that only those are written in which something has changed.
Nothing is forced to the disk: after a start of the machine all are written anew, as they are with
another program.
"""

import json
import os
import stat
from collections import defaultdict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from bank import __version__
from bank.errors import BankError, SettingsError
from bank.operations.bank import Bank, utc_text
from bank.operations.metering import Result
from bank.operations.readable import let_read
from bank.operations.reader import AS_OF, SUFFIX
from bank.policy.readers import Views, views
from bank.slurm import sacctmgr
from bank.slurm.command import run
from bank.store import accounts, read
from bank.store.above import find_all_parents
from bank.store.accounts import Account
from bank.store.connect import Reader, reading
from bank.store.migrations import NEWEST
from bank.store.published import Copier, copying, standing_rows, user_rows
from bank.store.read import Standing

_STATE, _SCRATCH = "state", ".part"
_PASSED_THROUGH, _ONLY_OURS, _FOR_ALL = 0o711, 0o600, 0o644
# Changes when the machine starts.
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Copy(NamedTuple):
    """What is to be in one copy.

    Attributes:
        users: the names that belong to the number.
        seen: the accounts that are in it; those seen whole need not be open.
        digest: of all that it shows.
    """

    users: list[str]
    seen: Views
    digest: str


class State(NamedTuple):
    """What is published.

    Attributes:
        rests_on: digest of all that the copies rest on, "" where they are not all up to date.
        digests: of each copy, by the number of its user.
    """

    rests_on: str
    digests: dict[str, str]


class _Who(NamedTuple):
    """Who belongs to what.

    Attributes:
        users: account, name and number of each association of a user, on all clusters.
        coordinators: of accounts.
        parents: of each cluster, the account above each account.
    """

    users: list[tuple[str, str, int | None]]
    coordinators: dict[str, list[str]]
    parents: list[dict[str, str | None]]


def publish(bank: Bank, results: list[Result]) -> list[str]:
    """Bring all copies up to date, at the end of a pass over all clusters.

    A pass does not fail because of it.

    Args:
        bank: see `Bank`.
        results: what each cluster said; all of them were asked.

    Returns:
        What could not be done, for a person.
    """
    try:
        _publish(bank, results)
    except BankError as error:
        return [f"what ordinary users see is not up to date: {error}"]
    except OSError as error:
        where = error.filename or bank.settings.published
        return [f"what ordinary users see is not up to date: {where}: {error.strerror}"]
    return []


def _publish(bank: Bank, results: list[Result]) -> None:
    directory = bank.settings.published
    _make_safe(bank, directory)
    coordinators = sacctmgr.read_coordinators(run(bank.slurm, sacctmgr.coordinators_arguments()))
    found = [result.slurm for result in results]
    who = _Who(
        [(row.account, row.user, row.uid) for slurm in found for row in slurm.users],
        coordinators,
        [{name: row.parent for name, row in slurm.accounts.items()} for slurm in found],
    )
    now = bank.clock()
    before = _read_state(directory)
    there = _tidied(directory)
    with reading(bank.database) as reader:
        rests_on = _digest(repr((who, standing_rows(reader))))
        # Most passes end here.
        if rests_on != before.rests_on or there != before.digests.keys():
            wanted = _wanted(reader, who)
            _bring_up_to_date(bank, before, there, wanted, now=now)
            digests = {str(uid): copy.digest for uid, copy in wanted.items()}
            _write_state(bank, directory, State(rests_on, digests))
    _replace(bank, f"{directory}/{AS_OF}", utc_text(now).encode(), _FOR_ALL)


def _tidied(directory: str) -> set[str]:
    """Return whose copies are there, and remove what a pass that was killed left."""
    names = os.listdir(directory)
    for name in names:
        if name.endswith(_SCRATCH):
            os.unlink(f"{directory}/{name}")
    return {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}


def _bring_up_to_date(
    bank: Bank, before: State, there: set[str], wanted: Mapping[int, Copy], *, now: int
) -> None:
    """Write the copies that are not as they should be, and remove those of who sees nothing."""
    directory = bank.settings.published
    for number in there - {str(uid) for uid in wanted}:
        os.unlink(f"{directory}/{number}{SUFFIX}")
    old = {
        uid: copy
        for uid, copy in wanted.items()
        if str(uid) not in there or before.digests.get(str(uid)) != copy.digest
    }
    # Were we killed in between, what was written is not taken for what was there before.
    kept = {uid: digest for uid, digest in before.digests.items() if int(uid) not in old}
    _write_state(bank, directory, State("", kept))
    with copying(bank.database, f"{directory}/{_SCRATCH}", now=now) as copier:
        for uid, copy in old.items():
            _write_copy(bank, directory, copier, uid, copy)


def _make_safe(bank: Bank, directory: str) -> None:
    """Make the directory, or refuse one in which others could put something in place of a copy.

    Raises:
        SettingsError: it is not a directory of the bank's, or others may write to it.
    """
    try:
        os.mkdir(directory, _PASSED_THROUGH)
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(
            f"{directory} cannot be made ({error.strerror}): make it, owned by the user who runs"
            " the bank, with mode 0711, or set PUBLISHED to another path"
        ) from error
    else:
        os.chmod(directory, _PASSED_THROUGH)
        _hand_over(bank, directory)
    status = os.lstat(directory)
    owners = {os.geteuid(), os.stat(bank.database.path).st_uid}
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in owners or status.st_mode & 0o022:
        raise SettingsError(
            f"{directory} must be a directory of the user who runs the bank, and nobody else may"
            " write to it: chown and chmod 0711 it, or set PUBLISHED to another path"
        )


def _hand_over(bank: Bank, path: str) -> None:
    """Let what root makes belong to the database's owner."""
    if os.geteuid() == 0:
        owner = os.stat(bank.database.path)
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _wanted(reader: Reader, who: _Who) -> dict[int, Copy]:
    """Return by number of the user what each copy is to hold; who sees nothing has none."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for _, user, uid in who.users:
        if uid is not None:
            numbers[user].add(uid)
    members = [(account, user) for account, user, _ in who.users]
    standings = read.standings(reader)
    of_users = user_rows(reader)
    # Who sees all of an account sees what is used below it, in accounts that are not open as well.
    kept = accounts.find_all(reader)
    versions = {
        name: _version(account, standings.get(name), of_users.get(name, []))
        for name, account in kept.items()
    }
    by_uid: dict[int, list[tuple[str, Views]]] = defaultdict(list)
    # Also as the books have it: what is gone in Slurm counts for those above it all the same.
    trees: list[Mapping[str, str | None]] = [*who.parents, *find_all_parents(reader).values()]
    for user, seen in sorted(views(members, who.coordinators, trees).items()):
        uid = _number(user, numbers[user])
        if uid is not None:
            by_uid[uid].append((user, seen))
    wanted = {}
    for uid, mine in by_uid.items():
        whole = frozenset(name for _, seen in mine for name in seen.whole if name in kept)
        own = frozenset(name for _, seen in mine for name in seen.own if name in standings) - whole
        if own or not whole.isdisjoint(standings):
            users = [user for user, _ in mine]
            shown = [(name, versions[name]) for names in (whole, own) for name in sorted(names)]
            digest = _digest(repr((users, len(whole), shown)))
            wanted[uid] = Copy(users, Views(whole, own), digest)
    return wanted


def _version(account: Account, standing: Standing | None, of_users: list[tuple[Any, ...]]) -> str:
    """Return what changes with all that a copy shows of an account.

    Its chains hold each entry and each change; use below it, and what runs, is in the sums. One
    that is not open has none.
    """
    sums = () if standing is None else standing[1:]
    return repr((account.books.head_digest, account.change_digest, *sums, of_users))


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _number(user: str, numbers: set[int]) -> int | None:
    """Return the number that a user has on this machine, where the copies are read.

    Args:
        user: the name.
        numbers: what clusters say; a cluster may give the same number to somebody else, so they
            count only for a name that is not known here, and where all say the same.
    """
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return next(iter(numbers)) if len(numbers) == 1 else None


def _write_copy(bank: Bank, directory: str, copier: Copier, uid: int, copy: Copy) -> None:
    scratch = f"{directory}/.{uid}{_SCRATCH}"
    descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _ONLY_OURS)
    try:
        copier.write(descriptor, scratch, copy.users, copy.seen)
        _hand_over(bank, scratch)
        # Before it has the name under which it is looked for.
        let_read(descriptor, uid, directory)
        os.replace(scratch, f"{directory}/{uid}{SUFFIX}")
    except BaseException:
        os.unlink(scratch)
        raise
    finally:
        os.close(descriptor)


def _read_state(directory: str) -> State:
    """Return what is published; nothing where it may be lost or half written."""
    try:
        with open(f"{directory}/{_STATE}", encoding="ascii") as file:
            since, *state = json.load(file)
        return State(*state) if since == _since() else State("", {})
    except (FileNotFoundError, ValueError, TypeError):
        return State("", {})


def _write_state(bank: Bank, directory: str, state: State) -> None:
    content = json.dumps([_since(), *state]).encode()
    _replace(bank, f"{directory}/{_STATE}", content, _ONLY_OURS)


def _since() -> list[str | int]:
    """Return what changes with the start of the machine, and with another program."""
    with open(_BOOT_ID, encoding="ascii") as file:
        return [file.read().strip(), NEWEST, __version__]


def _replace(bank: Bank, path: str, content: bytes, mode: int) -> None:
    scratch = f"{os.path.dirname(path)}/.{os.path.basename(path)}{_SCRATCH}"
    descriptor = os.open(scratch, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, mode)
    # A file writes all of it or raises; os.write may write a part, and say so by a number.
    with open(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, mode)
    _hand_over(bank, scratch)
    os.replace(scratch, path)
