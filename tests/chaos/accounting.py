"""What jobs cost, worked out from sacct alone: nothing of the bank's is used here."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from tests.lab import Lab

# What the lab's slurm.conf says, for a core, a gigabyte and a GPU.
WEIGHTS = {
    "normal": ("1", "0", "0"),
    "fractional": ("0.5", "0.25", "0"),
    "fast": ("3600", "0", "0"),
    "gpu": ("1", "0.25", "1"),
}
FIELDS = "DBIndex,JobIDRaw,JobID,Account,User,Partition,QOS,State,Start,End,Suspended,AllocTRES"
_UNITS = {"M": Fraction(1, 1024), "G": Fraction(1), "T": Fraction(1024)}
NEVER = ("Unknown", "None", "")


class Run(NamedTuple):
    """One run of a job as sacct has it; times in seconds since 1970, None where there is none."""

    number: int
    job_id: int
    shown: str
    account: str
    user: str
    partition: str
    qos: str
    state: str
    start: int | None
    end: int | None
    suspended: int
    tres: Mapping[str, str]

    @property
    def is_over(self) -> bool:
        """Whether it ran, and has ended."""
        return self.start is not None and self.end is not None

    @property
    def seconds(self) -> int:
        """How long it was there, with the time that it was suspended."""
        assert self.start is not None
        assert self.end is not None
        return self.end - self.start

    @property
    def is_unknown(self) -> bool:
        """Whether slurmdbd cannot say what it costs: a controller was killed before it told.

        Of its start, and so in which partition and with which QOS it ran; or that it went on, so it
        is suspended since an instant that stands for a span of decades.
        """
        return self.seconds > 0 and (not self.partition or self.suspended > self.seconds)

    def billing(self, partition: str) -> Fraction:
        """Return what it is billed each second in a partition."""
        of_core, of_gb, of_gpu = map(Fraction, WEIGHTS[partition])
        billing = of_core * int(self.tres.get("cpu", "0"))
        billing += of_gb * gigabytes(self.tres.get("mem", "0G"))
        return billing + of_gpu * int(self.tres.get("gres/gpu", "0"))

    def cost(self, factors: Mapping[str, str]) -> int:
        """Return its billing-seconds, half of one up; `factors` are UsageFactors other than 1."""
        if not self.seconds:
            return 0
        # Of several partitions it ran in the one that sacct's billing is of.
        shown = int(self.tres.get("billing", "0"))
        billings = [self.billing(name) for name in self.partition.split(",")]
        (billing,) = [one for one in billings if len(billings) == 1 or int(one) == shown]
        exact = billing * Fraction(factors.get(self.qos, "1")) * (self.seconds - self.suspended)
        return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def gigabytes(text: str) -> Fraction:
    """Read memory as sacct prints it."""
    return Fraction(text[:-1]) * _UNITS[text[-1]]


def seconds(text: str) -> int:
    """Read a span as sacct prints it: [days-]hours:minutes:seconds."""
    days, _, clock = text.rpartition("-")
    total = int(days or 0)
    for part, scale in zip(clock.split(":"), (24, 60, 60), strict=True):
        total = total * scale + int(part)
    return total


def runs(lab: Lab, accounts: Sequence[str]) -> list[Run]:
    """Return every run of some accounts that slurmdbd has, finished or not.

    They are asked for by state too: else those are left out of which it was told the end only.
    """
    question = ("env", "SLURM_TIME_FORMAT=%s", "sacct", "-a", "-X", "-n", "-P", "-D")
    span = ("-S", "2020-01-01", "-E", "now", "-o", FIELDS)
    states = "BF,CA,CD,DL,F,NF,OOM,PR,RQ,RS,RV,R,S,TO,PD"
    lines = lab.run(*question, *span, timeout=60).splitlines()
    lines += lab.run(*question, *span, "-s", states, timeout=60).splitlines()
    every = {one.number: one for one in map(read, lines)}
    return [one for _, one in sorted(every.items()) if one.account in accounts]


def read(line: str) -> Run:
    """Read a row of sacct."""
    parts = line.split("|")
    number, job, shown, account, user, partition, qos, state = parts[:8]
    start, end, suspended, tres = parts[8:]
    return Run(
        int(number),
        int(job),
        shown,
        account,
        user,
        partition,
        qos,
        state.split(" ")[0],
        None if start in NEVER else int(start),
        None if end in NEVER else int(end),
        seconds(suspended),
        dict(part.split("=", 1) for part in tres.split(",") if part),
    )
