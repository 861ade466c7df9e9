"""References: what an entry rests on, as text. Each form is written and read here.

A reference is part of its entry's digest, so what is once written is never written otherwise.
"""

# Of what was said by a person alone.
BY_HAND = "by hand"
# Of an entry that gives a grant again what it has paid, so that a new period begins with as much.
GIVEN_AGAIN = "given again"
# Of an entry that closes what the account has used itself.
OWN_USE = "own use"
# Of a transfer that another account gave, for readers who need not know that account's numbers.
ANY_TRANSFER = "transfer"

_CHILD, _FIRST_LOOK, _JOB = "child ", "first look at ", "job "
_READING, _REPORT, _TRANSFER = "reading ", "report ", "transfer "
# Stands before the number of a reading, an entry or a run.
SEPARATOR = "/"

# What SQL's LIKE takes for each form. No name stands in one: LIKE takes "_" for any character.
LIKE_CHILD = f"{_CHILD}%"
LIKE_JOB = f"{_JOB}%"
LIKE_READING = f"{_READING}%"
LIKE_FIRST_READING = f"{_READING}%{SEPARATOR}1"
LIKE_REPORT = f"{_REPORT}%"
LIKE_TRANSFER = f"{_TRANSFER}%"


def of_reading(meter: int | str, seq: int) -> str:
    """Return the reference to a reading.

    Args:
        meter: its number; where a reader need not know it, a word.
        seq: the reading's number, from 1.
    """
    return f"{_READING}{meter}{SEPARATOR}{seq}"


def is_of_reading(reference: str) -> bool:
    """Tell whether an entry rests on a reading."""
    return reference.startswith(_READING)


def reading_of(reference: str) -> tuple[int, int] | None:
    """Return the numbers of the meter and of its reading, None where it refers to no reading."""
    meter, _, seq = reference.removeprefix(_READING).partition(SEPARATOR)
    if reference.startswith(_READING) and meter.isdecimal() and seq.isdecimal():
        return int(meter), int(seq)
    return None


def of_first_look(cluster: str) -> str:
    """Return the reference of what a cluster had forgotten before the bank first looked at it."""
    return f"{_FIRST_LOOK}{cluster}"


def is_of_first_look(reference: str) -> bool:
    """Tell whether an entry is of use from before the first look at a cluster."""
    return reference.startswith(_FIRST_LOOK)


def of_child(child: str) -> str:
    """Return the reference of an entry that closes use of a child."""
    return f"{_CHILD}{child}"


def child_of(reference: str) -> str | None:
    """Return the child that is referred to, None where none is."""
    return reference.removeprefix(_CHILD) if reference.startswith(_CHILD) else None


def of_transfers(giver: str) -> str:
    """Return what the references to all transfers begin with that an account gave."""
    return f"{_TRANSFER}{giver}{SEPARATOR}"


def of_transfer(giver: str, seq: int) -> str:
    """Return the reference to a transfer: to the first entry of the account that gives."""
    return f"{of_transfers(giver)}{seq}"


def giver_of(reference: str) -> str | None:
    """Return the account that gave in a transfer, None where it refers to no transfer."""
    giver, is_numbered, _ = reference.removeprefix(_TRANSFER).rpartition(SEPARATOR)
    return giver if is_numbered and reference.startswith(_TRANSFER) else None


def of_job(cluster: str, index: int | str) -> str:
    """Return the reference to a run of a job: to its cluster, and slurmdbd's number of it."""
    return f"{_JOB}{cluster}{SEPARATOR}{index}"


def is_of_job(reference: str) -> bool:
    """Tell whether an entry refers to a run of a job."""
    return reference.startswith(_JOB)


def of_report(cluster: str, job_key: str, attempt: int | str) -> str:
    """Return the reference to what others report of a run: its cluster, their id, which run."""
    return f"{_REPORT}{cluster}{SEPARATOR}{job_key}{SEPARATOR}{attempt}"


def is_of_report(reference: str) -> bool:
    """Tell whether an entry rests on what others reported of a job."""
    return reference.startswith(_REPORT)


def of_file(digest: str, *, is_dump: bool) -> str:
    """Return the reference to a file of accounts: to the beginning of its SHA-256."""
    return f"{'dump' if is_dump else 'import'} {digest[:16]}"
