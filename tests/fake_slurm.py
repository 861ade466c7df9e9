"""Slurm as a model, for what needs thousands of steps; the whole is tried on a real cluster.

It answers the same argument lists in the form that Slurm 22.05 answers, as recorded in
tests/slurm/recorded, and does what was measured of Slurm: a user's use counts for all accounts
above, setting RawUsage to 0 resets all below, -1 clears a limit, unknown names are passed over
where there is a known one. A user's associations of several partitions have limits and use of
their own; an empty partition= means the one of no partition.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest

from bank.errors import SlurmError
from bank.operations import (
    changes,
    clusters,
    comparison_with_slurm,
    held_jobs,
    job_costs,
    lien_look,
    lost,
    metering,
    outage_refunds,
    publishing,
    queues,
    quote,
    rates,
    reconciliation,
    resets,
    sacct_rows,
    shape_cache,
    source_changes,
    takeover_plan,
    ticks,
    user_limits,
)
from bank.slurm import live_jobs, sacctmgr
from bank.slurm.command import Slurm

# Who talks to Slurm.
ROOMS = (
    *(changes, clusters, comparison_with_slurm, job_costs, lost, metering, outage_refunds),
    *(publishing, queues, quote, rates, reconciliation, resets, sacct_rows, takeover_plan),
    *(user_limits, held_jobs, lien_look, shape_cache),
    *(source_changes, ticks),
)
CONFIG = """Configuration data as of 2026-11-21T04:44:02
AccountingStorageEnforce = associations,limits,qos,safe
BOOT_TIME               = {started}
ClusterName             = {cluster}
PriorityDecayHalfLife   = 00:00:00
PriorityCalcPeriod      = 00:01:00
PriorityFlags           =
PriorityUsageResetPeriod = NONE
PriorityType            = priority/multifactor
AccountingStorageTRES   = cpu,mem,energy,node,billing,fs/disk,vmem,pages
AllowSpecResourcesUsage = No
DefMemPerCPU            = 1024
JobDefaults             = (null)
MaxArraySize            = 1001
MaxMemPerNode           = UNLIMITED
OverTimeLimit           = 0 min
SelectType              = select/cons_tres
SelectTypeParameters    = CR_CORE_MEMORY

Slurmctld(primary) at host is UP
"""
ROW = (
    "ClusterName={cluster} Account={account} UserName={user} Partition={partition} Priority=0"
    " ID={id} SharesRaw/Norm/Level/Factor=1/0.50/2/0.00 UsageRaw/Norm/Efctv={raw}.00/1.00/0.00"
    " ParentAccount={parent} Lft=3 DefAssoc=No GrpJobs={jobs}({running_jobs}) GrpJobsAccrue=N(0)"
    " GrpSubmitJobs={submit}(0) GrpWall=N(0.03) GrpTRES=cpu={cpus}(0),mem=N(0),billing=N(0)"
    " GrpTRESMins=cpu={cpu}(0),mem=N(0),billing={billing}({counted})"
    " GrpTRESRunMins=cpu={run}(0),mem=N(0),billing=N({running}),gres/gpu=N(0)"
    " MaxJobs= MaxJobsAccrue= MaxSubmitJobs= MaxWallPJ= MaxTRESPJ= MaxTRESPN="
    " MaxTRESMinsPJ= MinPrioThresh="
)


PARTITION = (
    "PartitionName=normal Default=YES DefaultTime=00:10:00 MaxNodes=UNLIMITED MaxTime=1-00:00:00"
    " MinNodes=0 MaxCPUsPerNode=UNLIMITED OverSubscribe=NO OverTimeLimit=NONE JobDefaults=(null)"
    " DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED TRESBillingWeights=CPU=1.0 State=UP"
    " AllowAccounts=ALL AllowQos=ALL QoS=N/A TotalNodes=2\n"
)
HALF = PARTITION.replace("=normal Default=YES", "=half Default=NO").replace("CPU=1.0", "CPU=0.5")
NODE = (
    "NodeName=n{number} CoresPerSocket=16 CPUEfctv=32 CPUTot=32 ActiveFeatures=(null) Gres=(null)"
    " RealMemory=65536 Sockets=2 State=IDLE ThreadsPerCore=1 Weight=1 Partitions=normal\n"
)
QOS = "QOS Records\nQOS=normal(1) UsageRaw={raw}.000000 GrpJobs=N(0) GrpTRESMins=cpu=N(0)\n"


class FakeSlurm:
    """One cluster; accounts and users are added by hand."""

    def __init__(self) -> None:
        self.cluster = "fake"
        self.started = "1"
        self.parents: dict[str, str | None] = {"root": None}
        self.limits: dict[str, dict[str, int]] = {"root": {}}
        self.running: dict[str, int] = {}
        # By account, names joined by commas; numbers by name.
        self.coordinators: dict[str, str] = {}
        self.uids: dict[str, int] = {}
        self.users: dict[int, list[Any]] = {}
        # Of users' associations: limits, and how many jobs run.
        self.user_limits: dict[int, dict[str, int]] = {}
        self.running_jobs: dict[int, int] = {}
        self.calls: list[list[str]] = []
        # What the QOS has counted: no reset of an account touches it.
        self.counted = 0
        # What sacct and squeue answer, one job a line.
        self.sacct = ""
        self.squeue = ""
        # What squeue answers where liens ask.
        self.live = ""
        # What squeue answers where more is asked of each job; "" is one job of each account of
        # which something runs, begun at that many seconds since 1970, or at 0.
        self.waiting = ""
        self.began: dict[str, int] = {}
        self.jobs_kept = "NONE"

    def add_account(self, name: str, parent: str = "root") -> None:
        self.parents[name] = parent
        self.limits[name] = {}

    def add_user(self, account: str, user: str = "ada", partition: str = "") -> int:
        # One that is made again after it was deleted has another number, and no limits.
        association = 1000 + len(self.user_limits)
        self.users[association] = [account, user, partition, 0]
        self.user_limits[association] = {}
        return association

    def use(self, association: int, billing_seconds: int) -> None:
        self.users[association][3] += billing_seconds
        self.counted += billing_seconds

    def below(self, name: str) -> set[str]:
        found = {name}
        while True:
            more = {child for child, parent in self.parents.items() if parent in found} - found
            if not more:
                return found
            found |= more

    def raw(self, name: str) -> int:
        names = self.below(name)
        return sum(user[3] for user in self.users.values() if user[0] in names)

    def run(self, slurm: Slurm, arguments: Sequence[str]) -> str:
        """Answer as bank.slurm.command.run would."""
        del slurm
        argv = list(arguments)
        self.calls.append(argv)
        if argv == ["scontrol", "show", "config"]:
            return CONFIG.format(started=self.started, cluster=self.cluster)
        if argv[:4] == ["scontrol", "-o", "show", "assoc_mgr"]:
            wanted = argv[5].removeprefix("accounts=").split(",") if argv[5:] else None
            header = "Current Association Manager state\nAssociation Records\n"
            rows = header + "\n".join(self._rows(wanted)) + "\n"
            return rows + ("" if wanted else QOS.format(raw=self.counted))
        if argv[:6] == ["sacctmgr", "-i", "modify", "account", "where", f"cluster={self.cluster}"]:
            return self._modify(argv[6].removeprefix("account=").split(","), argv[8])
        if argv[:6] == ["sacctmgr", "-i", "modify", "user", "where", f"cluster={self.cluster}"]:
            which = dict(part.split("=", 1) for part in argv[6:9])
            return self._modify_users(which, argv[10])
        fixed = {
            ("sdiag",): "DBD Agent queue size: 0\n",
            tuple(live_jobs.arguments(None)): self.live,
        }
        if tuple(argv) in fixed:
            return fixed[tuple(argv)]
        if argv[0] in ("sacct", "squeue"):
            of_jobs = (self.waiting or self._jobs()) if "-O" in argv else self.squeue
            return _asked(self.sacct, argv) if argv[0] == "sacct" else of_jobs
        return self._shape(argv)

    def _jobs(self) -> str:
        row = "1,1,RUNNING,ada,normal,normal,1:00:00,{began},1,cpu=1,,,,None,{name},\n"
        return "".join(
            row.format(began=self.began.get(name, 0), name=name).replace(",", "\x1f")
            for name, minutes in self.running.items()
            if minutes
        )

    def _shape(self, argv: list[str]) -> str:
        """Answer what decides how much jobs get and cost, and for whom they count."""
        if argv == ["scontrol", "-a", "-o", "show", "partition"]:
            return PARTITION + HALF
        if argv == sacctmgr.coordinators_arguments():
            return "".join(f"{name}|{self.coordinators.get(name, '')}\n" for name in self.parents)
        if argv == sacctmgr.configuration_arguments():
            return f"PurgeJobAfter          = {self.jobs_kept}\n"
        if argv == ["scontrol", "-a", "-o", "show", "node"]:
            return "".join(NODE.format(number=number) for number in (1, 2))
        match argv[4:5]:
            case ["qos"]:
                return "normal|1.000000||\ndouble|2.000000||\n"
            case ["user"]:
                is_one = any(part.startswith("name=") for part in argv)
                mine = [
                    row for row in self.users.values() if not is_one or f"name={row[1]}" in argv
                ]
                first = {row[1]: row[0] for row in reversed(mine)}
                return "".join(
                    f"{first[row[1]]}|{row[0]}|{row[1]}|{row[2]}||normal|\n" for row in mine
                )
            case ["assoc"]:
                name = argv[7].removeprefix("account=")
                return f"{name}||||normal|\n" if name in self.parents else ""
        raise AssertionError(argv)

    def _rows(self, wanted: list[str] | None) -> Iterator[str]:
        numbers = {name: number for number, name in enumerate(self.parents, start=1)}
        for name, parent in self.parents.items():
            if wanted is None or name in wanted:
                yield self._row(
                    self.limits[name],
                    account=name,
                    user="",
                    partition="",
                    id=numbers[name],
                    raw=self.raw(name),
                    parent=f"{parent}({numbers[parent]})" if parent else "",
                    running=self.running.get(name, 0),
                    running_jobs=0,
                )
        for association, (account, user, partition, raw) in self.users.items():
            if wanted is None or account in wanted:
                yield self._row(
                    self.user_limits[association],
                    account=account,
                    user=f"{user}({self.uids.get(user, 1000)})",
                    partition=partition,
                    id=association,
                    raw=raw,
                    parent="",
                    running=0,
                    running_jobs=self.running_jobs.get(association, 0),
                )

    def _row(self, limits: dict[str, int], *, raw: int, **fields: object) -> str:
        return ROW.format(
            cluster=self.cluster,
            raw=raw,
            counted=raw // 60,
            jobs=limits.get("GrpJobs", "N"),
            submit=limits.get("GrpSubmitJobs", "N"),
            cpus=limits.get("GrpTRES=cpu", "N"),
            run=limits.get("GrpTRESRunMins=cpu", "N"),
            cpu=limits.get("GrpTRESMins=cpu", "N"),
            billing=limits.get("GrpTRESMins=billing", "N"),
            **fields,
        )

    def _modify(self, names: list[str], change: str) -> str:
        for name in names:
            if name not in self.parents:
                continue
            if change == "RawUsage=0":
                for user in self.users.values():
                    if user[0] in self.below(name):
                        user[3] = 0
                continue
            _set(self.limits[name], change)
        return " Modified account associations...\n"

    def _modify_users(self, which: dict[str, str], change: str) -> str:
        names = which["name"].split(",")
        found = [
            association
            for association, (account, user, partition, _) in self.users.items()
            if account == which["account"] and user in names and partition == which["partition"]
        ]
        if not found:
            raise SlurmError("sacctmgr ended with status 1: Nothing modified")
        for association in found:
            _set(self.user_limits[association], change)
        return " Modified user associations...\n"


def _set(limits: dict[str, int], change: str) -> None:
    limit, _, value = change.rpartition("=")
    if value == "-1":
        limits.pop(limit, None)
    else:
        limits[limit] = int(value)


def _asked(rows: str, argv: list[str]) -> str:
    """Return the runs that sacct shows: those that had not ended before the span of time."""
    found = rows.splitlines(keepends=True)
    if "DBIndex" not in argv[argv.index("-o") + 1]:
        return rows
    if "-S" in argv:
        since = datetime.fromisoformat(f"{argv[argv.index('-S') + 1]}+00:00").timestamp()
        found = [row for row in found if not _end(row).isdigit() or int(_end(row)) >= since]
    if "-j" in argv:
        job = argv[argv.index("-j") + 1]
        found = [row for row in found if job in _ids(row)]
    if argv[-2:] == ["-s", "RESIZING"]:
        found = [row for row in found if "|RESIZING|" in row]
    return "".join(found)


def _end(row: str) -> str:
    return row.split("|")[9]


def _ids(row: str) -> tuple[str, ...]:
    _, job_id, shown_id, *_ = row.split("|")
    return job_id, shown_id, shown_id.split("_")[0], shown_id.split("+")[0]


def take_over(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """Let the bank talk to a model in place of a cluster."""
    fake = FakeSlurm()
    for room in ROOMS:
        monkeypatch.setattr(room, "run", fake.run)
    return fake
