"""What would be: the books after a dry run, and what may happen until the next pass."""

from collections.abc import Iterator

from bank.ledger.amounts import format_su
from bank.operations import user_holds
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster, Failure
from bank.operations.dates import Dates
from bank.operations.metering import Result
from bank.store.read import Standing


def as_if_done(
    standings: dict[str, Standing], looks: list[tuple[Cluster, Result]], dated: Dates
) -> dict[str, Standing]:
    """Return where accounts would stand if a dry run had written what it found."""
    extra = dict.fromkeys(standings, 0)
    for _, result in looks:
        in_slurm = result.slurm.accounts
        for name, amount in result.charged.items():
            above: str | None = name
            while above is not None:
                if above in extra:
                    extra[above] += amount
                above = in_slurm[above].parent if above in in_slurm else None
    done = {
        name: standing._replace(used=standing.used + extra[name])
        for name, standing in standings.items()
    }
    charged = user_holds.charged([result for _, result in looks])
    for name, standing in done.items():
        is_renewed = name in dated.renewed
        done[name] = user_holds.as_if_booked(standing, charged, is_renewed=is_renewed)
    # Somebody may have closed one since the dates were looked at.
    for name in set(dated.renewed) & set(done):
        done[name] = done[name]._replace(used=0)
    for name in set(dated.holds) & set(done):
        account = done[name].account._replace(hold_reason=dated.holds[name])
        done[name] = done[name]._replace(account=account)
    return done


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
