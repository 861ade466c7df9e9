"""What the books say: why an account is held, or soon will be, and what would change it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bank.ledger.amounts import BILLING_SECONDS_PER_SU, format_su
from bank.policy.periods import is_held_for
from bank.policy.reasons import ABOVE, ACCOUNT, CLUSTER, COMING, NOTE, STOPS, USER, Reason
from bank.policy.time_texts import ago, time_text

# What a hold is on one cluster: in force, asked for and not seen there, or somebody else's.
HELD, ASKED, OTHERS, FREE = "held", "asked", "others", "free"
_SECONDS_PER_DAY = 86_400
_ENDING_DAYS = 30
# A pass is made every few minutes; nobody leaves it at an hour on purpose.
_STALE_SECONDS = 3600


class Hold(NamedTuple):
    """How an account is held on one cluster.

    Attributes:
        state: HELD, ASKED, OTHERS or FREE.
        limits: which limits hold it, "GrpTRESMins=cpu" and so on.
    """

    cluster: str
    state: str
    limits: tuple[str, ...] = ()


class Grant(NamedTuple):
    """A grant with dates, in billing-seconds and seconds since 1970.

    Attributes:
        state: "promised", "in force" and so on.
        amount: what it was given, or will be.
        unused: what is not paid from it yet.
        carry_percent: how much of what is unused at its end is carried over.
        starts_on, ends_on: its first instant and the first after it, as the site writes days.
        ends_at: None where it has no end.
    """

    state: str
    amount: int
    unused: int
    carry_percent: int
    starts_on: str
    ends_on: str
    ends_at: int | None


class UserLimit(NamedTuple):
    """What a user may use of an account, and has used of that, in billing-seconds.

    Attributes:
        is_held: whether the bank's hold of the user is in force somewhere.
    """

    user: str
    amount: int
    used: int
    is_held: bool = False


class Account(NamedTuple):
    """What the books say of an account. Amounts are billing-seconds.

    Attributes:
        is_open: whether it is in the bank now.
        was_open: whether it ever was.
        limit: None for unlimited.
        counted: what counts as used where it is decided about a hold.
        credit: by how much it may be overdrawn.
        is_to_hold: what the policy says of it.
        hold_reason: why an admin holds it, None where nobody does.
        held_by, held_at: who did that, and when in seconds since 1970.
        holds: on each cluster.
        running_jobs: how many jobs of it and all below it run, None where that is not known.
        grants, user_limits: those that are in the books.
    """

    name: str
    is_open: bool
    was_open: bool
    limit: int | None
    used: int
    counted: int
    set_aside: int
    credit: int
    is_to_hold: bool
    hold_reason: str | None
    held_by: str
    held_at: int
    holds: tuple[Hold, ...]
    running_jobs: int | None
    grants: tuple[Grant, ...] = ()
    user_limits: tuple[UserLimit, ...] = ()

    @property
    def left(self) -> int | None:
        """What may still be used, with its credit; None is unlimited."""
        return None if self.limit is None else self.limit + self.credit - self.counted

    @property
    def available(self) -> int | None:
        """What is left and not set aside; None is unlimited."""
        if self.limit is None:
            return None
        return self.limit + self.credit - self.used - self.set_aside


class Reading(NamedTuple):
    """When the bank last read a cluster, in seconds since 1970; None where it never did."""

    cluster: str
    read_at: int | None


def explain_account(account: Account, *, is_above: bool, now: int) -> list[Reason]:
    """Return every reason that the books have against jobs of an account.

    Args:
        account: what the books say.
        is_above: whether it stands above the account that was asked about.
        now: seconds since 1970.
    """
    scope = ABOVE if is_above else ACCOUNT
    return [*_of_holds(account, scope), *_of_grants(account, now)]


def explain_users(account: Account, user: str | None) -> list[Reason]:
    """Return what the limits of users say, of one user or of all."""
    return [
        _user(account, limit) for limit in account.user_limits if user is None or limit.user == user
    ]


def _of_holds(account: Account, scope: str) -> Iterator[Reason]:
    by_state: dict[str, list[Hold]] = {}
    for hold in account.holds:
        by_state.setdefault(hold.state, []).append(hold)
    others = by_state.get(OTHERS, [])
    if others:
        yield _by_others(account, scope, others)
    in_force = by_state.get(HELD, [])
    if not account.is_to_hold:
        if in_force:
            yield _to_be_released(account, scope, in_force)
        return
    ways = [
        (in_force, STOPS, "the bank holds it"),
        (by_state.get(ASKED, []), COMING, "the hold was asked for and is not confirmed yet"),
        (by_state.get(FREE, []), COMING, "the next pass holds it"),
    ]
    ways = [way for way in ways if way[0]]
    if not ways:
        # What no cluster was ever asked about is decided all the same.
        how = "the bank holds it once that limit is lifted" if others else "the next pass holds it"
        ways = [([], COMING, how)]
    for why, sentence, remedy in _causes(account):
        for holds, effect, how in ways:
            numbers = {**_numbers(account), "is_held": effect == STOPS}
            said = f"{sentence}; {how}{_by_which(holds)}"
            where = tuple(hold.cluster for hold in holds)
            subject = f"account {account.name}"
            yield Reason(why, effect, scope, subject, said, remedy, numbers, where)


def _causes(account: Account) -> Iterator[tuple[str, str, str]]:
    """Yield code, sentence and remedy for all that holds an account, what decides first."""
    reason, name = account.hold_reason, account.name
    by = f" by {account.held_by} at {time_text(account.held_at)}" if account.held_by else ""
    if not account.is_open:
        if not account.was_open:
            insert = f"'slurm_bank.py insert {name} SU'"
            yield "unknown_account", "the bank does not know it", insert
            return
        said = f"it was deleted from the bank{f' while it was held: {reason}' if reason else ''}"
        let_go = f"'slurm_bank.py release_hold {name}', or 'slurm_bank.py insert {name} SU'"
        yield "deleted", said, let_go
        return
    if is_held_for(reason):
        starts = f"'slurm_bank.py reset_usage {name}' starts the next period"
        yield "period_ended", f"{reason}", f"{starts}, 'slurm_bank.py modify {name} SU' with SU"
    elif reason is not None:
        let_go = f"'slurm_bank.py release_hold {name}'"
        yield "held_by_hand", f"held by hand{by}: {reason}", let_go
    if account.left is None or account.left > 0:
        if reason is None:
            yield "to_be_held", "the books say that it is to be held", "the history says why"
    else:
        more = (-account.left) // BILLING_SECONDS_PER_SU + 1
        counting = ""
        if account.counted > account.used:
            counting = ", counting what running jobs may still use"
        said = f"nothing is left{counting}: {_stands(account)}"
        yield "nothing_left", said, f"'slurm_bank.py add {name} {more}' or more"


def _stands(account: Account) -> str:
    assert account.limit is not None
    assert account.available is not None
    credit = f" and a credit of {format_su(account.credit)}" if account.credit else ""
    jobs = ""
    if account.running_jobs:
        jobs = f" by {account.running_jobs} running {_plural('job', account.running_jobs)}"
    return (
        f"a limit of {format_su(account.limit)} SUs{credit}, {format_su(account.used)} used,"
        f" {format_su(account.set_aside)} set aside{jobs}, {format_su(account.available)} available"
    )


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"


def _numbers(account: Account) -> dict[str, object]:
    return {
        "account": account.name,
        "limit_billing_seconds": account.limit,
        "credit_billing_seconds": account.credit,
        "used_billing_seconds": account.used,
        "set_aside_billing_seconds": account.set_aside,
        "available_billing_seconds": account.available,
        "running_jobs": account.running_jobs,
        "hold_reason": account.hold_reason,
    }


def _by_which(holds: Sequence[Hold]) -> str:
    """Say by which limit, and where if that is more than one place."""
    if not holds:
        return ""
    limits = dict.fromkeys(f"{limit}=0" for hold in holds for limit in hold.limits)
    by = f" by {', '.join(limits)}" if limits else ""
    return f"{by} on {', '.join(hold.cluster for hold in holds)}"


def _by_others(account: Account, scope: str, holds: Sequence[Hold]) -> Reason:
    limits = list(dict.fromkeys(limit for hold in holds for limit in hold.limits))
    if limits:
        lift = " ".join(f"{limit}=-1" for limit in limits)
        how = f"'sacctmgr modify account {account.name} set {lift}'"
    else:
        how = f"'sacctmgr show assoc where account={account.name} user=' shows which limit is 0"
    return Reason(
        "held_by_others",
        STOPS,
        scope,
        f"account {account.name}",
        f"a limit of 0 that the bank did not set stops it{_by_which(holds)}",
        f"whoever set it: {how}",
        {"account": account.name, "limits": limits},
        tuple(hold.cluster for hold in holds),
    )


def _to_be_released(account: Account, scope: str, holds: Sequence[Hold]) -> Reason:
    why = "it has something left" if account.is_open else "it is not in the bank"
    return Reason(
        "to_be_released",
        STOPS,
        scope,
        f"account {account.name}",
        f"the next pass releases it, because {why}; until then the bank holds it{_by_which(holds)}",
        f"wait for the next pass, or 'slurm_bank.py release_hold {account.name}'",
        _numbers(account),
        tuple(hold.cluster for hold in holds),
    )


def _of_grants(account: Account, now: int) -> Iterator[Reason]:
    subject = f"account {account.name}"
    for grant in account.grants:
        numbers: dict[str, object] = {
            "amount_billing_seconds": grant.amount,
            "unused_billing_seconds": grant.unused,
            "starts_on": grant.starts_on,
            "ends_on": grant.ends_on,
        }
        su = format_su(grant.amount)
        if grant.state == "promised":
            said = f"a grant of {su} SUs starts on {grant.starts_on}"
            yield Reason("grant_promised", NOTE, ACCOUNT, subject, said, "", numbers)
        elif _ends_soon(grant, now):
            carried = f"; {grant.carry_percent} % are carried over" if grant.carry_percent else ""
            said = f"a grant of {su} SUs ends on {grant.ends_on}, and with it what is unused then:"
            said += f" {format_su(grant.unused)} now{carried}"
            remedy = f"'slurm_bank.py renew {account.name}'"
            yield Reason("grant_ending", NOTE, ACCOUNT, subject, said, remedy, numbers)


def _ends_soon(grant: Grant, now: int) -> bool:
    if grant.state != "in force" or grant.ends_at is None:
        return False
    return grant.ends_at - now <= _ENDING_DAYS * _SECONDS_PER_DAY


def _user(account: Account, limit: UserLimit) -> Reason:
    left = limit.amount - limit.used
    subject = f"user {limit.user} in account {account.name}"
    numbers = {
        "account": account.name,
        "user": limit.user,
        "limit_billing_seconds": limit.amount,
        "used_billing_seconds": limit.used,
        "left_billing_seconds": left,
        "is_held": limit.is_held,
    }
    of = f"{format_su(limit.used)} of {format_su(limit.amount)} SUs are used"
    if left > 0 and not limit.is_held:
        return Reason("user_limit", NOTE, USER, subject, f"a limit of their own: {of}", "", numbers)
    if left > 0:
        said = f"the next pass releases them: of their own limit something is left: {of}"
        remedy = f"wait for the next pass, or 'slurm_bank.py release_hold {account.name}'"
        return Reason("user_to_be_released", STOPS, USER, subject, said, remedy, numbers)
    more = -(-limit.used // BILLING_SECONDS_PER_SU) + 1
    remedy = f"'slurm_bank.py limit_user {account.name} {limit.user} {more}' or more"
    effect = STOPS if limit.is_held else COMING
    how = "the bank holds them" if limit.is_held else "the next pass holds them"
    said = f"nothing is left of their own limit: {of}; {how}"
    return Reason("user_limit_used", effect, USER, subject, said, remedy, numbers)


def explain_who_pays(account: Account, above: str | None) -> list[Reason]:
    """Say that an account is not in the bank, and for whom its use counts.

    Args:
        account: what the books say.
        above: the nearest account above it that is in the bank, None where none is.
    """
    if account.is_open:
        return []
    counts = (
        f"what it uses counts for account {above}" if above else "what it uses counts for nobody"
    )
    said = f"it {'was deleted from' if account.was_open else 'is not in'} the bank: {counts}"
    remedy = f"'slurm_bank.py insert {account.name} SU' gives it SUs of its own"
    return [Reason("not_in_bank", NOTE, ACCOUNT, f"account {account.name}", said, remedy)]


def explain_parent(account: Account, parent: Account) -> list[Reason]:
    """Say where an account above has less left than the account has itself."""
    if parent.available is None or parent.is_to_hold or not parent.is_open:
        return []
    if account.available is not None and account.available <= parent.available:
        return []
    own = "is unlimited"
    if account.available is not None:
        own = f"has {format_su(account.available)}"
    said = f"{parent.name} above it has {format_su(parent.available)} SUs available, and"
    said += f" {account.name} {own}: what is used counts for both"
    subject = f"account {parent.name}"
    return [Reason("less_above", NOTE, ABOVE, subject, said, "", _numbers(parent))]


def explain_reading(reading: Reading, *, now: int) -> Reason:
    """Say how old is what the bank knows of a cluster."""
    subject, where = f"cluster {reading.cluster}", (reading.cluster,)
    remedy = "see that cron runs slurm_bank_cron.sh, and what 'slurm_bank.py enforce' says"
    if reading.read_at is None:
        said = "the bank has never read it: no use there is booked"
        return Reason("never_read", NOTE, CLUSTER, subject, said, remedy, {}, where)
    age = max(now - reading.read_at, 0)
    numbers = {"read_at": reading.read_at, "age_seconds": age}
    said = f"the bank read it last {ago(age)}"
    if age <= _STALE_SECONDS:
        return Reason("last_reading", NOTE, CLUSTER, subject, said, "", numbers, where)
    said += ": what was used since is not booked, and nobody is held or released"
    return Reason("no_passes", NOTE, CLUSTER, subject, said, remedy, numbers, where)
