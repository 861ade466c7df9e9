"""What quote says of a job and what Slurm then gives and counts: the same, for many kinds of job.

The cluster has nodes with threads, with GPUs of several kinds, and nodes of unequal size; it is
run with each way in which Slurm gives out CPUs and memory, with and without MAX_TRES.
"""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bank.errors import BankError, Refusal
from bank.operations import quote
from bank.policy.cluster_shape import Cluster
from bank.policy.job_request import Request
from bank.policy.quotes import quote as priced
from bank.slurm import tres
from tests.lab import CommandFailed, Lab
from tests.lab.config import Node
from tests.operations.branch import ADA, Branch

TIMES = "DefaultTime=00:10:00 MaxTime=7-00:00:00"
NODES = (
    *(
        Node(f"t{number}", cpus=32, memory_mb=65_536, sockets=2, threads=2, features="threads")
        for number in (1, 2, 3)
    ),
    Node("b1", cpus=64, memory_mb=262_144, sockets=2, features="small"),
    Node("b2", cpus=128, memory_mb=524_288, sockets=2, features="big"),
    Node(
        *("h1", 0, 32, 131_072, 4),
        gpu_types=("tesla", "volta"),
        sockets=2,
        features="typed",
    ),
    Node("p1", cpus=16, memory_mb=32_768, gpus=2, sockets=2, features="gpus"),
    Node("p2", cpus=16, memory_mb=32_768, gpus=2, sockets=2, features="gpus"),
)
YEAR = 365 * 24 * 60
# Which nodes each partition has: jobs on different ones do not disturb each other.
PLACES = {
    **dict.fromkeys(("normal", "fractional", "bynode", "plain", "endless", "forced"), "c"),
    **dict.fromkeys(("threads", "whole", "capped"), "t"),
    "mixed": "b",
    "typed": "h",
    "gpus": "p",
    "gpu": "g",
}
PARTITIONS = (
    f"threads Nodes=t[1-3] {TIMES} TRESBillingWeights=CPU=0.5,Mem=0.125G",
    f"whole Nodes=t[1-3] OverSubscribe=EXCLUSIVE {TIMES} TRESBillingWeights=CPU=1.0,Mem=0.25G",
    (
        f"capped Nodes=t[1-3] MaxMemPerCPU=1500 DefMemPerCPU=700 {TIMES}"
        " TRESBillingWeights=CPU=1.0,Mem=0.3G"
    ),
    (
        f"bynode Nodes=c[1-2] DefMemPerNode=3000 MaxMemPerNode=100000 {TIMES}"
        " TRESBillingWeights=CPU=0.1,Mem=0.77G,Node=2"
    ),
    f"mixed Nodes=b[1-2] {TIMES} TRESBillingWeights=CPU=0.3,Mem=0.1G",
    "plain Nodes=c[1-2] MaxTime=2:00:00 OverTimeLimit=3",
    "endless Nodes=c[1-2] TRESBillingWeights=CPU=1",
    f"typed Nodes=h1 {TIMES} TRESBillingWeights=CPU=0.1,GRES/gpu=2,GRES/gpu:tesla=3",
    (
        f"gpus Nodes=p[1-2] DefCpuPerGPU=2 DefMemPerGPU=3000 {TIMES}"
        " TRESBillingWeights=CPU=0.25,Mem=0.1G,GRES/gpu=1.7,license/matlab=5"
    ),
    f"forced Nodes=c[1-2] OverSubscribe=FORCE:4 {TIMES} TRESBillingWeights=CPU=1,Mem=1G",
)
PARAMETERS = {
    "AccountingStorageTRES": "gres/gpu,gres/gpu:tesla,gres/gpu:volta,license/matlab",
    "Licenses": "matlab:50,other:9",
}


# How many small jobs may be there at once so that none has to be spread.
ROOM = {"c": 8, "t": 2}


class Kind(NamedTuple):
    """A kind of request.

    Attributes:
        words: what sbatch is given.
        is_exact: whether an idle cluster gives just what quote says it does; else only the bound
            holds, because there Slurm itself has a choice, or does not do as its manual says.
        seconds: how long the job runs; RawUsage is looked at where it is more than 0.
        is_large: whether it leaves no room for others on its nodes.
    """

    words: str
    is_exact: bool = True
    seconds: int = 0
    is_large: bool = False


# Where cores and memory are given out, which is the usual way.
CORES = (
    Kind("-n 1", seconds=1),
    Kind("-n 4"),
    Kind("-n 4 -c 2"),
    Kind("--cpus-per-task=6"),
    Kind("-N 2"),
    Kind("-N2 -n8"),
    Kind("-N 1-2 -n 8"),
    Kind("-N 1-2 -n 8 --use-min-nodes"),
    Kind("-n 2 --spread-job"),
    Kind("-N 2 --ntasks-per-node=3 -c 2"),
    Kind("-n 8 --ntasks-per-node=4"),
    Kind("-n 6 --ntasks-per-node=4"),
    Kind("-n 100", is_large=True),
    Kind("-x c1 -n 3"),
    Kind("-w c[1-2] -n 3"),
    Kind("--exclusive=user -n 2", is_large=True),
    Kind("--array=1-3%2 -n 2"),
    Kind("-p fractional -n 3 --mem=3500M", seconds=1),
    Kind("-p fractional -n 1 --mem-per-cpu=1234M"),
    Kind("-p fractional -N 2 -n 3 --mem=1001M"),
    Kind("-p fractional --mem=0", is_large=True),
    Kind("-p fractional --exclusive", seconds=1, is_large=True),
    Kind("-p fractional --exclusive -N 2 --mem=10G", is_large=True),
    Kind("-p fractional -O -n 10"),
    Kind("-p fractional -n 3 -q double", seconds=1),
    Kind("-p fractional,normal -n 3", is_exact=False),
    Kind("-p bynode -n 3", seconds=1),
    Kind("-p bynode -N 2"),
    Kind("-p bynode --mem-per-cpu=3000 -n 4"),
    Kind("-p plain", seconds=1),
    Kind("-p endless -t 0"),
    Kind("-p endless -q double"),
    Kind("-p forced -n 3 -s"),
    Kind("-p threads -n 1"),
    Kind("-p threads -n 3", seconds=1),
    Kind("-p threads -n 3 -c 3", is_large=True),
    Kind("-p threads -c 5"),
    Kind("-p threads -n 4 --hint=nomultithread"),
    Kind("-p threads -n 4 --ntasks-per-core=1"),
    Kind("-p threads -n 2 -c 3 --ntasks-per-core=1"),
    Kind("-p threads --exclusive --hint=nomultithread", is_large=True),
    Kind("-p threads --exclusive --ntasks-per-core=1 -n 20", is_large=True),
    Kind("-p threads -N 3 -n 40", is_large=True),
    Kind("-p threads -n 5 --mem=2000"),
    Kind("-p threads -B 2:4:2", is_large=True),
    Kind("-p threads --ntasks-per-socket=1 -n 3"),
    Kind("-p threads --mincpus=7 -n 2"),
    Kind("-p threads -m plane=2 -n 6 -N 2"),
    Kind("-p threads -O -n 10 -N 2"),
    Kind("-p threads --mem-per-cpu=0", is_large=True),
    Kind("-p threads -S 2 -n 3"),
    Kind("-p whole -n 1", seconds=1, is_large=True),
    Kind("-p whole -n 1 --mem=1G", is_large=True),
    Kind("-p whole -N 2 --mem-per-cpu=500", is_large=True),
    Kind("-p capped -n 2"),
    Kind("-p capped -n 2 --mem-per-cpu=4000", seconds=1),
    Kind("-p capped -n 4 --mem=10000"),
    Kind("-p capped -N 2 --ntasks-per-node=2 --mem=10000", is_large=True),
    Kind("-p capped -c 3 --mem-per-cpu=2000"),
    Kind("-p mixed -n 100"),
    Kind("-p mixed --exclusive", is_exact=False),
    Kind("-p mixed -N 2 --exclusive"),
    Kind("-p mixed -C big -n 2 --exclusive"),
    Kind("-p gpu --gres=gpu:2", seconds=1),
    Kind("-p gpu --gpus=3 --cpus-per-gpu=4"),
    Kind("-p gpu -n 2 --gpus-per-task=2"),
    Kind("-p gpu --gpus=2 --mem-per-gpu=5G"),
    Kind("-p gpu --exclusive"),
    Kind("-p gpu --ntasks-per-gpu=2 --gpus=2"),
    Kind("-p gpu --ntasks-per-gpu=2 -n 4"),
    Kind("-p gpus --gpus=1"),
    Kind("-p gpus -G 4"),
    Kind("-p gpus --gpus=1 --mem=1G"),
    Kind("-p gpus --exclusive --gres=gpu:1"),
    Kind("-p gpus -N 2 --gpus-per-node=1 -L matlab:3", seconds=1),
    Kind("-p gpus -n 1 -L matlab:2,other:1"),
    # Slurm 22.05 gives memory for the GPUs of two nodes there, and counts no GPU.
    Kind("-p gpus --gpus-per-socket=1 --sockets-per-node=2 -n 2", is_exact=False),
    Kind("-p gpus --gpus-per-task=1 -n 3"),
    Kind("-p typed --gres=gpu:tesla:1", seconds=1),
    Kind("-p typed --gpus=volta:1,tesla:1"),
    Kind("-p typed --gres=gpu:3"),
    Kind("-p typed --exclusive"),
)
# What depends on how CPUs and memory are given out.
ELSEWHERE = (
    Kind("-n 3"),
    Kind("-p fractional -N 2 -n 3 --mem=8G", seconds=1),
    Kind("-p threads -n 3", seconds=1),
    Kind("-p threads -n 3 -c 3", is_large=True),
    Kind("-p threads -n 4 --hint=nomultithread"),
    Kind("-p threads -n 4 --ntasks-per-core=1"),
    Kind("-p threads -N 1 -n 2 -c 2 --ntasks-per-socket=1", is_large=True),
    Kind("-p threads -n 20", is_large=True),
    Kind("-p threads -N 2 -n 24", is_large=True),
    Kind("-p whole -n 3", is_large=True),
    Kind("-p gpu --gpus=2 -n 3", seconds=1),
    Kind("-p gpus --gpus=2 -n 3 -L matlab:1", seconds=1),
    Kind("-p gpus --gpus=1 --mem=30G -L matlab:1"),
    Kind("-p capped -n 2 --mem-per-cpu=4000"),
    Kind("-p bynode -N 2 -n 3"),
    Kind("-p typed --gpus=2"),
)
WAYS: dict[str, tuple[dict[str, str], Sequence[Kind]]] = {
    "cores": ({}, CORES),
    "cpus, MAX_TRES": (
        {"SelectTypeParameters": "CR_CPU_Memory", "PriorityFlags": "MAX_TRES"},
        ELSEWHERE,
    ),
    "cores without memory": ({"SelectTypeParameters": "CR_Core"}, ELSEWHERE),
    "sockets": ({"SelectTypeParameters": "CR_Socket_Memory"}, ELSEWHERE),
    "one task a core": (
        {"SelectTypeParameters": "CR_Core_Memory,CR_ONE_TASK_PER_CORE"},
        ELSEWHERE,
    ),
}


# They share one further cluster: each process that ran one of them would start its own.
pytestmark = pytest.mark.xdist_group("quotes")


@pytest.fixture(scope="module")
def shared_lab(worker_id: str) -> Iterator[Lab]:
    """A cluster of its own, in place of the one that other tests share."""
    lab = Lab(f"q_{worker_id}", say=print)
    lab.start(nodes=NODES, partitions=PARTITIONS, parameters=PARAMETERS)
    try:
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def branch(shared_lab: Lab, tmp_path: Path) -> Branch:
    """A bank whose user is one of the cluster's."""
    shared_lab.clean()
    shared_lab.run("sacctmgr", "-i", "add", "qos", "double", "set", "UsageFactor=2.5")
    branch = Branch(shared_lab, tmp_path)
    branch.bank = branch.bank._replace(actor=ADA)
    return branch


class Job(NamedTuple):
    """A job that was quoted and submitted."""

    kind: Kind
    account: str
    number: int
    quoted: dict[str, Any]


def quoted(branch: Branch, words: Sequence[str]) -> dict[str, Any]:
    return quote.quote(branch.bank, [*words, "--wrap=true"], {})


def submitted(branch: Branch, kind: Kind, account: str, cluster: Cluster | None = None) -> Job:
    """Quote a job and submit it; where it is given, on what the cluster is known to have."""
    words = [*shlex.split(kind.words), f"--account={account}"]
    if cluster is None:
        found = quoted(branch, words)
    else:
        (request,) = quote._requests([*words, "--wrap=true"], ())
        found = quote._told(branch.bank, cluster, [priced(request, cluster)], ())
    text = branch.lab.run(
        *("sbatch", "--parsable", "--output=/dev/null", "--chdir=/", *words),
        f"--wrap=sleep {kind.seconds}" if kind.seconds else "--wrap=true",
        user=ADA,
    )
    return Job(kind, account, int(text), found)


def place(kind: Kind) -> str:
    """Return the nodes that a kind of job may be on."""
    match = re.search(r"-p (\w+)", kind.words)
    return PLACES[match.group(1) if match else "normal"]


def ended(branch: Branch, jobs: Sequence[Job]) -> list[dict[str, str]]:
    """Wait until jobs have ended well; return what the controller says of them."""
    return [branch.lab.wait_for_state(job.number, {"COMPLETED"}) for job in jobs]


def in_waves(kinds: Sequence[Kind]) -> Iterator[list[Kind]]:
    """Yield kinds of jobs that do not disturb each other, as many at once as there is room for."""
    left = sorted(kinds, key=lambda kind: kind.seconds, reverse=True)
    while left:
        wave: list[Kind] = []
        room = {name: ROOM.get(name, 1) for name in "cthpgb"}
        for kind in list(left):
            there = place(kind)
            takes = {name: ROOM.get(name, 1) if kind.is_large else 1 for name in there}
            if all(room[name] >= takes[name] for name in there):
                for name in there:
                    room[name] -= takes[name]
                wave.append(kind)
                left.remove(kind)
        yield wave


def given(shown: Mapping[str, str]) -> tuple[dict[str, int], int]:
    """Return what a job was given, and the billing that Slurm shows."""
    found = {name: int(number) for name, number in tres.quantities(shown["TRES"]).items()}
    billing = found.pop("billing", 0)
    return found, billing


def difference(branch: Branch, job: Job, shown: Mapping[str, str]) -> str | None:
    """Say where Slurm and the quote differ."""
    component = job.quoted["components"][0]
    allocated, billing = given(shown)
    wrong = []
    if job.kind.is_exact and allocated != component["usual_allocated"]:
        wrong.append(f"given {allocated}, quoted {component['usual_allocated']}")
    exact = Fraction(component["usual_billing"])
    if job.kind.is_exact and billing != int(exact):
        wrong.append(f"billing {billing}, quoted {exact}")
    if billing > Fraction(component["billing"]):
        wrong.append(f"billing {billing} is above the bound {component['billing']}")
    if shown["QOS"] != component["qos"]:
        wrong.append(f"QOS {shown['QOS']}, quoted {component['qos']}")
    minutes = component["time_limit_minutes"]
    limit = "UNLIMITED" if minutes is None else span(minutes)
    # The backfill scheduler gives a year to a job that nothing limits, the main one nothing.
    if shown["TimeLimit"] != limit and (minutes is not None or shown["TimeLimit"] != span(YEAR)):
        wrong.append(f"limit {shown['TimeLimit']}, quoted {limit}")
    if job.kind.seconds:
        rate = exact * Fraction(component["usage_factor"])
        raw = branch.lab.raw_usage(job.account)
        hair = Fraction(1, 1000)
        used = rate * seconds(shown["RunTime"])
        if not int(used - hair) <= raw <= int(used + hair):
            wrong.append(f"RawUsage {raw}, quoted {used}")
        cost = component["cost_of_one_task_billing_seconds"]
        if cost is not None and raw > cost:
            wrong.append(f"RawUsage {raw} is above the bound {cost}")
    return f"{job.kind.words}: {'; '.join(wrong)}" if wrong else None


def span(minutes: int) -> str:
    days, rest = divmod(minutes, 24 * 60)
    return (f"{days}-" if days else "") + f"{rest // 60:02}:{rest % 60:02}:00"


def seconds(text: str) -> int:
    hours, minutes, rest = (int(part) for part in text.split(":"))
    return (hours * 60 + minutes) * 60 + rest


@pytest.mark.parametrize("way", WAYS)
def test_jobs_get_and_cost_what_was_quoted(branch: Branch, way: str) -> None:
    parameters, kinds = WAYS[way]
    lab = branch.lab
    if lab.record.overrides != {**PARAMETERS, **parameters}:
        lab.reconfigure(**PARAMETERS, **parameters)
    accounts = [f"k{number}" for number in range(len(kinds))]
    lab.make_accounts(accounts, users=[ADA])
    branch.sacctmgr(
        "modify", "account", "where", f"name={','.join(accounts)}", "set", "qos+=double"
    )
    cluster, _ = quote._cluster(branch.bank, [Request(account=accounts[0])])
    names = dict(zip(kinds, accounts, strict=True))
    wrong: list[str] = []
    exact = 0
    for wave in in_waves(kinds):
        jobs = [submitted(branch, kind, names[kind], cluster) for kind in wave]
        for job, shown in zip(jobs, ended(branch, jobs), strict=True):
            found = difference(branch, job, shown)
            wrong += [] if found is None else [found]
            exact += found is None and job.kind.is_exact
    print(f"{way}: of {len(kinds)} kinds {exact} exact, {len(kinds) - exact - len(wrong)} within")
    assert not wrong, "\n".join(wrong)


def as_usual(branch: Branch, *accounts: str) -> Lab:
    """Return the cluster as it gives out cores and memory, with accounts."""
    if branch.lab.record.overrides != PARAMETERS:
        branch.lab.reconfigure(**PARAMETERS)
    branch.lab.make_accounts(accounts, users=[ADA])
    return branch.lab


def test_a_busy_cluster_gives_no_more_than_was_quoted(branch: Branch) -> None:
    lab = as_usual(branch, "busy")
    # One CPU is left on each of two nodes, and one core on each of three.
    others = [
        submitted(branch, Kind(words, seconds=600), "busy").number
        for words in (
            *(f"-w c{number} -n 63" for number in (1, 2)),
            *(f"-p threads -w t{number} -c 30 --mem=1G" for number in (1, 2, 3)),
        )
    ]
    for number in others:
        lab.wait_for_state(number, {"RUNNING"})
    spread = submitted(branch, Kind("-p fractional -n 2 --mem=3G"), "busy")
    threads = submitted(branch, Kind("-p threads -n 6 --mem=2G"), "busy")
    for job, shown in zip((spread, threads), ended(branch, (spread, threads)), strict=True):
        component = job.quoted["components"][0]
        # On an idle cluster it would have been one node, and half of the memory or less.
        assert component["usual_allocated"]["node"] == 1
        assert given(shown)[0] == component["allocated"]
        assert given(shown)[1] == int(Fraction(component["billing"]))
    lab.run("scancel", *(str(number) for number in others))


SCRIPT = """#!/bin/sh
# SBATCH --ntasks=9
#SBATCH --ntasks=3 --comment="-n 7"   # -n 8
#SBATCH -p fractional --mem-per-cpu=1G
#SBATCH --time=30 -Hn2
#SBATCH --job-name='a b' --output=/dev/null \\
true
#SBATCH --ntasks=5
"""


@pytest.mark.parametrize(
    ("typed", "environment"),
    [
        ([], {}),
        (["-n", "4"], {}),
        ([], {"SBATCH_TIMELIMIT": "1:00:00", "SBATCH_MEM_PER_NODE": "4G"}),
        (["-t2-0", "--mem-per-cpu", "2G"], {"SBATCH_TIMELIMIT": "7", "SBATCH_MEM_PER_NODE": "4G"}),
        (["--exclus"], {"SBATCH_PARTITION": "threads", "SBATCH_OVERCOMMIT": "no"}),
        (["--hint=nomultithread"], {"SBATCH_PARTITION": "threads", "SLURM_HINT": "multithread"}),
    ],
)
def test_a_script_is_read_as_sbatch_reads_it(
    branch: Branch, public_directory: Path, typed: list[str], environment: dict[str, str]
) -> None:
    lab = as_usual(branch, "script")
    script = public_directory / "job.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    found = quote.quote(branch.bank, [*typed, "-A", "script", str(script), "-n", "9"], environment)
    variables = [f"{name}={value}" for name, value in environment.items()]
    words = ["sbatch", "--parsable", "--chdir=/", *typed, "-A", "script", str(script), "-n", "9"]
    number = int(lab.run("env", *variables, *words, user=ADA))
    # The script holds the job.
    assert lab.job(number)["JobState"] == "PENDING"
    lab.run("scontrol", "release", str(number))
    shown = lab.wait_for_state(number, {"COMPLETED"})
    (component,) = found["components"]
    assert given(shown)[0] == component["usual_allocated"]
    assert shown["TimeLimit"] == span(component["time_limit_minutes"])
    assert shown["Partition"] == component["partition"]


def test_each_component_of_a_heterogeneous_job_is_quoted(branch: Branch) -> None:
    lab = as_usual(branch, "het")
    # Memory and account of one count for the other, the partition does not.
    words = shlex.split("-A het -p threads -n 3 -t 5 : -p fractional -n 2 --mem=1G -t 10")
    found = quoted(branch, words)
    number = lab.run(
        *("sbatch", "--parsable", "--output=/dev/null", "--chdir=/", *words, "--wrap=true"),
        user=ADA,
    )
    for offset, component in enumerate(found["components"]):
        shown = lab.wait_for_state(int(number) + offset, {"COMPLETED"})
        assert given(shown)[0] == component["usual_allocated"]
        assert shown["TimeLimit"] == span(component["time_limit_minutes"])
    # Each may be spread over as many nodes as it has tasks.
    costs = [(Fraction("0.5") * 6 + Fraction("0.125") * 3) * 300, Fraction("1.5") * 600]
    rounded = [math.ceil(cost) for cost in costs]
    assert [one["cost_billing_seconds"] for one in found["components"]] == rounded
    assert found["cost_billing_seconds"] == math.ceil(costs[0] + costs[1])


@pytest.mark.parametrize(
    "words",
    [
        "-c 65",
        "--mem=1T",
        "-q double",
        "-p typed --gres=gpu:5",
        "-p nosuch",
        "-A nosuch",
        "-N 1 -n 8 --ntasks-per-node=4",
        "-p gpus --mem-per-gpu=1G",
        "--array=0-30000",
        "--ntasks=0",
        "--mem=1X",
        "-t 1:2:3:4",
        "--nosuch",
        "--nt=3",
        "-N 3-2",
    ],
)
def test_what_sbatch_refuses_is_refused(branch: Branch, words: str) -> None:
    lab = as_usual(branch, "refused")
    argv = [*shlex.split(words), *([] if "-A" in words else ["-A", "refused"])]
    with pytest.raises(CommandFailed):
        lab.run("sbatch", "--chdir=/", *argv, "--wrap=true", user=ADA)
    with pytest.raises(BankError):
        quoted(branch, argv)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("-t 0", "PartitionTimeLimit"),
        ("-p bynode --mem=200000", "MaxMemPerLimit"),
        ("-p threads -N 4", "PartitionConfig"),
    ],
)
def test_what_would_wait_for_ever_is_refused(branch: Branch, words: str, reason: str) -> None:
    lab = as_usual(branch, "waits")
    argv = [*shlex.split(words), "-A", "waits"]
    text = lab.run("sbatch", "--parsable", "--chdir=/", *argv, "--wrap=true", user=ADA)
    lab.wait_for_reason(int(text), reason)
    with pytest.raises(Refusal) as refused:
        quoted(branch, argv)
    assert refused.value.code == "job_never_runs"
