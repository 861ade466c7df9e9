"""What would be: the books after a dry run, and what may happen until the next pass."""

from collections.abc import Iterator

from bank.ledger.amounts import format_su
from bank.ledger.grants import payments
from bank.operations import user_holds
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster, Failure
from bank.operations.dates import Dates
from bank.operations.metering import Result
from bank.store import grants
from bank.store.connect import reading
from bank.store.grants import Grant
from bank.store.read import Standing


def as_if_done(
    bank: Bank,
    standings: dict[str, Standing],
    looks: list[tuple[Cluster, Result]],
    dated: Dates,
) -> dict[str, Standing]:
    """Return where accounts would stand if a dry run had written what it found."""
    extra = dict.fromkeys(standings, 0)
    rehearsed: dict[str, tuple[Standing, list[Grant]]] = {}
    for _, result in looks:
        rehearsed.update(result.turned.rehearsed)
        in_slurm = result.slurm.accounts
        for name, amount in result.charged.items():
            above: str | None = name
            while above is not None:
                if above in extra:
                    extra[above] += amount
                above = in_slurm[above].parent if above in in_slurm else None
    done = {}
    charged = user_holds.charged([result for _, result in looks])
    for name, standing in standings.items():
        turned = rehearsed[name][0] if name in rehearsed else standing
        booked = turned._replace(used=turned.used + extra[name])
        is_renewed = name in dated.renewed
        done[name] = user_holds.as_if_booked(booked, charged, is_renewed=is_renewed)
    # Somebody may have closed one since the dates were looked at.
    for name in set(dated.renewed) & set(done):
        living = rehearsed[name][1] if name in rehearsed else _living(bank, done[name])
        done[name] = _renewed(done[name], living)
    for name in set(dated.holds) & set(done):
        account = done[name].account._replace(hold_reason=dated.holds[name])
        done[name] = done[name]._replace(account=account)
    return done


def _living(bank: Bank, standing: Standing) -> list[Grant]:
    with reading(bank.database) as reader:
        return grants.find_living(reader, standing.account.account_id)


def _renewed(standing: Standing, living: list[Grant]) -> Standing:
    """Return where an account would stand in its next period.

    What has no end is given anew, and grants with dates go on with what they have left.
    """
    paid = payments(grants.paying(living), max(standing.used, 0))
    closed = sum(paid.get(grant.grant_id, 0) for grant in living if grant.is_dated)
    books = standing.account.books
    account = standing.account._replace(
        books=books._replace(granted=books.granted - closed, used=0)
    )
    return standing._replace(account=account, used=0)


def overrun(
    bank: Bank,
    standings: dict[str, Standing],
    looks: list[tuple[Cluster, Result]],
    failures: list[Failure],
) -> Iterator[str]:
    """Say how much more than what is left several clusters together let be used until then.

    Each of them knows only its own use; one that was not reached may have any account.
    """
    if bank.settings.enforcement != "limit":
        return
    amount = count = 0
    for name, standing in standings.items():
        places = sum(name in result.slurm.accounts for _, result in looks) + len(failures)
        if places > 1 and (standing.payable or 0) > 0:
            amount += (standing.payable or 0) * (places - 1)
            count += 1
    if count:
        yield (
            f"up to {format_su(amount)} SUs may be overrun before the next pass:"
            f" {count} of the accounts on several clusters have something left, and each cluster"
            " lets all of it be used"
        )
