"""Jobs that were held at their start because nobody could pay: let go once somebody can."""

from bank.ledger.names import listed
from bank.operations.bank import Bank
from bank.operations.clusters import Cluster
from bank.operations.lien_look import Look
from bank.operations.purses import payable_together
from bank.slurm import scontrol
from bank.slurm.command import run
from bank.store import held_jobs
from bank.store.connect import reading, writing

# The controller is told to hold a job after that is on record; a busy one takes its time.
_BEING_HELD_MICROSECONDS = 60_000_000


def release_held_jobs(bank: Bank, cluster: Cluster, seen: Look) -> list[str]:
    """Release the jobs of a cluster that the bank holds and that can be paid for now.

    The oldest come first, and each only as far as those before it leave enough. Whether they can
    really be paid for is decided once more when they start. A job stays on record until the
    controller shows it released, so a release that was lost is done again.

    Args:
        bank: see `Bank`.
        cluster: which one.
        seen: what its controller has just said.

    Returns:
        Sentences for a person.

    Raises:
        SlurmError: a job that is there could not be released; the next pass tries again.
    """
    jobs = {job.job_id: job for job in seen.jobs}
    with reading(bank.database) as reader:
        ours = held_jobs.find(reader, cluster.name)
        held = [one for one in ours if one.job_id in jobs and jobs[one.job_id].is_held]
        payable = payable_together(
            reader, [(cluster.name, one.account, one.user, one.amount) for one in held]
        )
    # One that is about to be held is not yet: its record comes first.
    latest = seen.asked_at - _BEING_HELD_MICROSECONDS
    gone = [one for one in ours if one not in held and one.held_at < latest]
    if gone:
        with writing(bank.database) as writer:
            held_jobs.forget(writer, gone)
    released = [one.job_id for one, can in zip(held, payable, strict=True) if can]
    for job_id in released:
        run(bank.slurm, scontrol.start_now_arguments(cluster.on, job_id))
        run(bank.slurm, scontrol.release_arguments(cluster.on, job_id))
    if not released:
        return []
    names = listed([str(job_id) for job_id in released])
    return [f"released on {cluster.name}: job {names}, which can be paid for now"]
