"""What the demo shows of the whole bank: a department, its grant and limits, an outage."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from tests.demo.story import SU, USER, Demo, Differs, check, line_of, submit, submitted, title

OTHER = "lab-bob"
GRANT, SHARE, TOO_MUCH, OWN_LIMIT, GIVEN = 500, 300, 900, 5, 5
# After so many seconds the grant starts. What is shown until then takes three of them, more on a
# busy machine; a command that came after the start would start it.
PROMISED_SECONDS = 10
JOB = """\
#!/bin/bash
#SBATCH -A stars -p fast -n 3 --mem=3G -t 1 -o /dev/null
sleep 2
"""
QUEUE = "squeue -A stars --sort=i --format='%.6i %.8a %.8u %.9T %.6M  %r'"
WAITS = "AssocGrpCPUMinutesLimit"


class Department(NamedTuple):
    """What runs in the department while it is shown.

    Attributes:
        began: when it began, as people say it.
        start, end: of its grant.
        job: the other user's job, on the node c2.
    """

    began: datetime
    start: datetime
    end: datetime
    job: int


def share_out(demo: Demo) -> Department:
    """Promise a department a grant, and share it out."""
    title("7. A department is promised a grant, and shares it out")
    began = datetime.now()  # noqa: DTZ005 - days and times are the machine's own, as the bank's are
    describe = "description=demo organization=demo"
    demo.type(f"sacctmgr -iQ add account astro {describe}")
    demo.type(f"sacctmgr -iQ add account stars parent=astro {describe}")
    demo.type(f"sacctmgr -iQ add user {USER},{OTHER} account=stars")
    start = datetime.now().replace(microsecond=0) + timedelta(seconds=PROMISED_SECONDS)  # noqa: DTZ005
    end = start + timedelta(days=365)
    span = f"--start {start.isoformat()} --end {end.isoformat()}"
    said = demo.type(f"./slurm_bank.py grant astro {GRANT} {span} --kind 'call 7'")
    check(
        "it is no money before it starts: astro is held",
        seen=said,
        is_so=said.startswith("Account astro has 0 SUs") and f"{GRANT} SUs is promised" in said,
    )
    shown = demo.type("./slurm_bank.py grants astro")
    check("it is promised", seen=shown, is_so=bool(re.search(r" promised .* call 7\b", shown)))
    job = submit(demo, "stars", "-p fast -w c2 -t 2 --no-requeue", "sleep 600", user=OTHER)
    said = demo.type(f"./slurm_bank.py grant stars {TOO_MUCH} {span}", status=1)
    check(
        "a project is not given more than its department has",
        seen=said,
        is_so=said.endswith("(larger_than_parent)\n"),
    )
    demo.type(f"./slurm_bank.py grant stars {SHARE} {span}")
    demo.type(f"./slurm_bank.py limit_user stars {USER} {OWN_LIMIT} --reason student")
    return Department(began, start, end, job)


def start_grant(demo: Demo, department: Department) -> None:
    """Let the pass find that the grant has started; users get to see what is theirs."""
    title("8. The grant starts, and users may look")
    demo.type(f"sed -i \"s#^PUBLISHED = .*#PUBLISHED = '{demo.program}/copies'#\" {demo.settings}")
    demo.wait_for_job(department.job, "PENDING", WAITS)
    demo.wait(lambda: datetime.now() >= department.start, "the grant to start")  # noqa: DTZ005
    said = demo.type("./slurm_bank.py enforce")
    check("the pass has found it", seen=said, is_so=f"of {GRANT} SUs is in force until" in said)
    check("and let astro go", seen=said, is_so="released: astro" in said)
    demo.wait_for_job(department.job, "RUNNING")
    said = demo.type("./slurm_bank.py renew astro --kind 'call 8'")
    again = f"{GRANT} SUs is promised, from {department.end.isoformat()} until before"
    check("next year's can be given today", seen=said, is_so=again in said)
    demo.type(f"./slurm_bank.py transfer astro biology {GIVEN} --reason 'joint project'")
    shown = demo.type("./slurm_bank.py grants biology")
    check(
        "what is given away keeps its end",
        seen=shown,
        is_so=shown.count(department.end.isoformat()) == 1,
    )
    said = demo.type("./slurm_bank.py balance stars", user=OTHER)
    check(
        "its user sees the account",
        seen=said,
        is_so=line_of(said, "stars").split()[1] == str(SHARE),
    )
    said = demo.type("./slurm_bank.py balance physics", user=OTHER, status=1)
    check("and none of others", seen=said, is_so=said.endswith("(no_such_account)\n"))


def quote(demo: Demo, _: Department) -> None:
    """Ask what a job will cost, run it, and compare."""
    title("9. What will my job cost? The same was charged")
    (demo.program / "job.sh").write_text(JOB, encoding="utf-8")
    demo.type("cat job.sh", user=USER)
    said = demo.type("./slurm_bank.py quote job.sh", user=USER)
    quoted = re.search(r"^billing (\d+) for", said, re.MULTILINE)
    if quoted is None:
        raise Differs(f"there is no billing in {said!r}")
    billing = int(quoted[1])
    job = submitted(demo.type("sbatch job.sh", user=USER))
    demo.wait_for_job(job, "COMPLETED")
    columns = "JobID,State,ElapsedRaw,AllocTRES%50"
    ask = f"sacct -nX -j {job} -o {columns}"
    demo.wait(lambda: "COMPLETED" in demo.lab.run(*ask.split()), "slurmdbd to know its end")
    seconds = int(demo.type(ask).split()[2])
    demo.wait(lambda: demo.lab.raw_usage("stars", USER) > 0, "the controller to count it")
    said = demo.type("./slurm_bank.py enforce")
    check("the pass holds the user", seen=said, is_so=f"users held now: {USER} in stars" in said)
    raw = demo.lab.raw_usage("stars", USER)
    shown = demo.type("./slurm_bank.py balance stars")
    used = line_of(shown, USER).split()[2]
    check(
        f"a billing of {billing} for {seconds} s: {used} SUs, just what was quoted for each second",
        seen=(raw, used),
        is_so=raw == billing * seconds and used == f"{raw / SU:g}",
    )


def explain(demo: Demo, department: Department) -> None:
    """Ask why a job waits, do what the answer advises, and see it start."""
    title("10. Why does my job wait?")
    job = submit(demo, "stars", "-w c1", "sleep 600")
    demo.wait_for_job(job, "PENDING", WAITS)
    shown = demo.type(QUEUE)
    line = line_of(shown, str(department.job))
    check(f"the job of {OTHER} runs on", seen=line, is_so="RUNNING" in line)
    said = demo.type(f"./slurm_bank.py explain --job {job}", user=USER)
    remedy = re.search(rf"'slurm_bank.py (limit_user stars {USER} \d+)'", said)
    if remedy is None:
        raise Differs(f"there is no remedy in {said!r}")
    demo.type(f"./slurm_bank.py {remedy[1]}")
    demo.wait_for_job(job, "RUNNING")
    line = line_of(demo.type(QUEUE), str(job))
    check("what the answer advises lets it start", seen=line, is_so="RUNNING" in line)


def outage(demo: Demo, department: Department) -> None:
    """Take a node down, and give back what was lost with it."""
    title("11. A node crashes; what was lost is given back, once")
    demo.type("scontrol update NodeName=c2 State=DOWN Reason='power failure'")
    demo.wait_for_job(department.job, "NODE_FAIL")
    failed = datetime.now()  # noqa: DTZ005
    ask = ("sacct", "-nX", "-j", str(department.job), "-o", "State")
    demo.wait(lambda: "NODE_FAIL" in demo.lab.run(*ask), "slurmdbd to know what was lost")
    # Of what ended within this second the bank says: try again.
    over = failed.replace(microsecond=0) + timedelta(seconds=1)
    demo.wait(lambda: datetime.now() >= over, "the second to be over")  # noqa: DTZ005
    end = over.isoformat()
    demo.type("./slurm_bank.py enforce")
    window = f"refund --window {department.began.isoformat(timespec='seconds')} {end} --nodes c2"
    tried = demo.type(f"./slurm_bank.py {window} --dry-run")
    done = demo.type(f"./slurm_bank.py {window} --reason 'power failure' --yes")
    given = re.search(r"^([\d.]+) SUs given back for 1 jobs?$", done, re.MULTILINE)
    check(
        "the job that the node took with it, as the dry run said",
        seen=(tried, done),
        is_so=given is not None and f"{given[1]} SUs for 1 job" in tried,
    )
    said = demo.type(f"./slurm_bank.py refund --job {department.job}", status=1)
    check(
        "a second time is refused, and shows the first",
        seen=said,
        is_so=said.endswith("(already_refunded)\n")
        and f": {given[1] if given else ''} SUs" in said,
    )


def prove(demo: Demo) -> None:
    """Show a statement, and that the books agree with themselves and with Slurm."""
    title("13. A statement, and the proof")
    shown = demo.type("./slurm_bank.py statement stars")
    left = demo.ask("balance", "stars")
    closing = next(line for line in shown.splitlines() if "closing balance" in line).split()
    check(
        "it closes with what the account has",
        seen=(closing, left),
        is_so=closing[-3:-1] == [str(left["limit_su"]), str(left["used_su"])],
    )
    said = demo.type("./slurm_bank.py verify")
    check("every chain, total and reading fits", seen=said, is_so=said == "the books agree\n")
    said = demo.type("./slurm_bank.py verify --against-slurm")
    check(
        "and every difference to sacct has a cause",
        seen=said,
        is_so=said.endswith("every difference has a cause\n"),
    )
