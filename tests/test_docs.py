"""The documentation against the program: nothing is left out, and what it shows is what happens."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

import bank.errors
import slurm_bank
from bank.ledger.entries import KINDS
from bank.operations.bank import login
from bank.policy import metering
from bank.settings import RULES, Settings, assignments, default_text
from tests.demo.terminal import run_in_terminal, without_colours
from tests.lab import Lab
from tests.predecessor.old_file import make_old_database, old_row, read_rows

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
USAGE = slurm_bank.__doc__ or ""
# What the documentation calls the cluster and the directories of the database and the settings.
CLUSTER, DIRECTORY, SETTINGS = "hpc", "/var/lib/slurm_bank", "/etc/slurm_bank"
USED = 12 * 3600


class Typed(NamedTuple):
    """A command of a console session, and what the documentation says it prints."""

    command: str
    output: str


def sessions(text: str) -> Iterator[Typed]:
    """Yield the commands of all blocks that are marked as console sessions."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Typed(command, output)


def verbs() -> list[str]:
    """Return every verb of the usage."""
    lines = USAGE.partition("Usage:")[2].partition("\n\n")[0]
    words = re.findall(r"slurm_bank\.py \(?([a-z_|]+)", lines)
    return [verb for group in words for verb in group.split("|")]


def exit_statuses() -> set[int]:
    errors = [kind for kind in vars(bank.errors).values() if isinstance(kind, type)]
    stated = {kind.exit_status for kind in errors if issubclass(kind, bank.errors.BankError)}
    # Interrupted, and nobody reads the output any more: bank/cli/main.py.
    return stated | {0, 130, 141}


def test_every_verb_has_an_example() -> None:
    pages = [path.read_text(encoding="utf-8") for path in DOCS]
    shown = " ".join(typed.command for page in pages for typed in sessions(page))
    # One that answers until it is stopped is typed by no page.
    shown += " ./slurm_bank.py serve"
    assert [verb for verb in verbs() if f"slurm_bank.py {verb}" not in shown] == []


def test_every_option_is_explained() -> None:
    options = set(re.findall(r"^  (?:-\w )?(--[a-z-]+)", USAGE, re.MULTILINE))
    assert options
    assert [option for option in sorted(options) if option not in README + USAGE] == []
    spoken = {"--json", "--dry-run", "--reason", "--key", "--yes", "--force", "--choose"}
    assert [option for option in sorted(spoken) if option not in README] == []


@pytest.mark.parametrize("name", RULES)
def test_every_setting_stands_in_the_table_with_its_default(name: str) -> None:
    rows = re.findall(rf"^\| `{name}` \| (.*?) \| .+ \|$", README, re.MULTILINE)
    default = "" if name == "DATABASE" else f"`{default_text(name)}`"
    assert rows == [default or "none: every site chooses"]


def test_settings_file_sets_every_setting_to_its_default() -> None:
    path = str(ROOT / "py_sb_settings.py")
    found = assignments(path, Path(path).read_text(encoding="utf-8"))
    assert sorted(found) == sorted(RULES)
    for name, value in found.items():
        # Which the file suggests: no program knows where a site keeps them.
        if name not in ("DATABASE", "LOGFILE"):
            default = Settings._field_defaults[name.lower()]
            assert RULES[name].read(value) == default, name


def test_every_exit_status_stands_in_the_table() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \|$", README, re.MULTILINE)
    assert [int(row) for row in rows] == sorted(exit_statuses())


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:")):
            continue
        file, _, heading = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {title.lower().replace(" ", "-") for title in titles}, target


def test_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = [path.name for path in (ROOT / "bank").iterdir() if (path / "__init__.py").exists()]
    assert [room for room in rooms if f"`{room}" not in text and f"{room}/" not in text] == []


def test_architecture_names_every_kind_of_entry_and_every_cause_of_a_reading() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    constants = [value for name, value in vars(metering).items() if name.isupper()]
    causes = {value for value in constants if isinstance(value, str)}
    assert [kind for kind in KINDS if f"\n| {kind} |" not in text] == []
    assert [cause for cause in sorted(causes) if f"\n| `{cause}` |" not in text] == []


def normalised(text: str, lab: Lab, places: Mapping[str, Path]) -> list[str]:
    """Return lines without what differs from run to run: times, names of places, widths."""
    for said, real in places.items():
        text = text.replace(str(real), said)
    text = text.replace(lab.cluster, CLUSTER)
    text = re.sub(rf"\b{re.escape(login())}\b", "root", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]*(Z|…)?", "TIME", text)
    text = re.sub(r"\d+ (second|minute)s? ago", "NOW", text)
    text = re.sub(r"\d{4}-\d\d-\d\d", "DATE", text)
    # How many days are left until a last day is another number every day.
    text = re.sub(r"DATE +\d+$", "DATE DAYS", text, flags=re.MULTILINE)
    text = re.sub(r"\d+ bytes", "N bytes", text)
    text = re.sub(r"\bbank_[A-Za-z0-9_-]{20,}", "TOKEN", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "SHA256", text)
    text = re.sub(r"before-repopulate-\d+", "before-repopulate-TIME", text)
    text = re.sub(r"(predecessor|schema-\d+)-\d+", r"\1-TIME", text)
    return [" ".join(line.split()) for line in text.splitlines()]


def use_exactly(lab: Lab, account: str, wanted: int) -> None:
    """Have jobs use so much in an account: a job may run a second longer than it says."""
    for _ in range(10):
        job = lab.submit(account, partition="fast", cpus=6, command="sleep 1.9")
        lab.wait_for_state(job, {"COMPLETED"})
        lab.wait_for(lambda: lab.raw_usage(account) > 0, "use to be counted")
        if lab.raw_usage(account) == wanted:
            return
        lab.run("sacctmgr", "-i", "modify", "account", account, "set", "RawUsage=0")
        lab.wait_for(lambda: lab.raw_usage(account) == 0, "use to be reset")
    pytest.fail(f"no job used {wanted} billing-seconds exactly")


def settings_for(lab: Lab, directory: Path) -> Path:
    text = (ROOT / "py_sb_settings.py").read_text(encoding="utf-8")
    text = re.sub(
        r"^DATABASE = .*$", f"DATABASE = '{directory}/slurm_bank.db'", text, flags=re.MULTILINE
    )
    text = re.sub(
        r"^LOGFILE = .*$", f"LOGFILE = '{directory}/slurm_bank.log'", text, flags=re.MULTILINE
    )
    text = re.sub(
        r"^SLURM_CONF = .*$", f"SLURM_CONF = '{lab.slurm_conf}'", text, flags=re.MULTILINE
    )
    path = directory / "py_sb_settings.py"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return path


def environment_for(lab: Lab, directory: Path) -> dict[str, str]:
    return {
        **lab.environment,
        "PATH": f"{Path(sys.executable).parent}:{lab.environment['PATH']}",
        "TERM": "xterm",
        "HOME": str(directory),
        "SLURM_BANK_SETTINGS": str(settings_for(lab, directory)),
    }


def test_console_sessions_of_the_readme_print_what_it_says(lab: Lab, tmp_path: Path) -> None:
    lab.make_accounts(["physics", "biology"], users=["lab-ada"])
    use_exactly(lab, "physics", USED)
    type_all(README, lab, environment_for(lab, tmp_path), {DIRECTORY: tmp_path, SETTINGS: tmp_path})


def type_all(
    text: str,
    lab: Lab,
    environment: Mapping[str, str],
    places: Mapping[str, Path],
    *,
    is_counted: bool = True,
) -> None:
    """Type what a page shows, and compare what comes with what it shows.

    Args:
        text: the page.
        lab: where.
        environment: of the commands.
        places: what the page calls them, and where they are.
        is_counted: whether numbers are compared.
    """
    typed = list(sessions(text))
    assert typed
    for command, expected in typed:
        here = command
        for said, real in places.items():
            here = here.replace(said, str(real))
        shown = run_in_terminal(
            ["/bin/sh", "-c", here], environment=dict(environment), directory=ROOT
        )
        said_now = normalised(without_colours(shown.text), lab, places)
        wanted = normalised(expected, lab, places)
        if not is_counted:
            said_now, wanted = [
                [re.sub(r"[\d.]+", "N", line) for line in lines] for lines in (said_now, wanted)
            ]
        assert said_now == wanted, command


# What each page of docs/tasks takes as given: accounts, each with the one above it.
PAGES = {
    "grant.md": {"physics": "root", "biology": "root"},
    "renew.md": {"physics": "root"},
    "outage-refund.md": {"astro": "root"},
    "department-tree.md": {"chem": "root", "organic": "chem"},
    "audit.md": {"geology": "root"},
    "jobs.md": {"optics": "root"},
}
# Where jobs ran as long as they did: no number is compared.
RAN_FREELY = ("outage-refund.md", "audit.md", "jobs.md")


def prepare(name: str, lab: Lab, environment: Mapping[str, str]) -> None:
    """Make what a page takes as given, and an empty bank."""
    for account, parent in PAGES[name].items():
        lab.make_account(account, parent=parent, users=["lab-ada", "lab-bob"])
    if name == "grant.md":
        use_exactly(lab, "physics", USED)
    if name in RAN_FREELY:
        (account,) = PAGES[name]
        for node in ("c1", "c2"):
            job = lab.submit(account, partition="fast", command="sleep 1", extra=["-w", node])
            lab.wait_for_state(job, {"COMPLETED"})
        question = ("sacct", "-aXnP", "-A", account, "-o", "State")
        ended = ["COMPLETED", "COMPLETED"]
        lab.wait_for(lambda: lab.run(*question).split() == ended, "slurmdbd to know both jobs")
    done = run_in_terminal(
        ["./slurm_bank.py", "migrate"], environment=dict(environment), directory=ROOT
    )
    assert "made with schema" in done.text


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_tasks_show_what_happens(name: str, lab: Lab, tmp_path: Path) -> None:
    environment = environment_for(lab, tmp_path)
    prepare(name, lab, environment)
    text = (ROOT / "docs" / "tasks" / name).read_text(encoding="utf-8")
    places = {DIRECTORY: tmp_path, SETTINGS: tmp_path}
    type_all(text, lab, environment, places, is_counted=name not in RAN_FREELY)


def test_every_page_of_tasks_is_typed() -> None:
    assert sorted(path.name for path in (ROOT / "docs" / "tasks").iterdir()) == sorted(PAGES)


def test_moving_in_happens_as_its_page_says(lab: Lab, tmp_path: Path) -> None:
    names = ["physics", "biology", "chemistry", "astro", "geology", "robotics", "maths"]
    lab.make_accounts(names, users=["lab-ada"])
    use_exactly(lab, "physics", USED)
    for name in ("physics", "geology", "robotics"):
        where = ("where", f"account={name}", f"cluster={lab.cluster}")
        lab.run("sacctmgr", "-i", "modify", "account", *where, "set", "GrpTRESMins=cpu=0")
        lab.wait_for(partial(is_held, lab, name), f"the controller to hold {name}")
    places = {
        DIRECTORY: tmp_path / "var",
        "/etc/slurm_bank": tmp_path / "etc",
        "/etc/cron.d": tmp_path / "cron.d",
    }
    for place in places.values():
        place.mkdir()
    old = tmp_path / "etc" / "database" / "slurm_bank.db"
    old.parent.mkdir()
    rows = [
        old_row(1, "physics", 10, upper_limit_informed=1, max_limit_informed=1),
        old_row(2, "Biology", 5000),
        old_row(3, "chemistry", 100),
        old_row(4, "astro", 0),
        old_row(5, "geology", 300),
        old_row(6, "chemistry", 200),
        old_row(7, "robotics", 50),
        old_row(8, "oldproject", 20),
        old_row(9, "maths", None),
    ]
    make_old_database(old, rows)
    before = read_rows(old)
    (tmp_path / "cron.d" / "slurm_bank").write_text("the old one\n")
    environment = environment_for(lab, tmp_path / "var")
    type_all((ROOT / "docs" / "moving-in.md").read_text(encoding="utf-8"), lab, environment, places)
    # The way back leads to what was there, and keeps what came in its place.
    assert sorted(one.name for one in tmp_path.glob("etc*")) == ["etc", "etc.new"]
    assert read_rows(old) == before
    assert (tmp_path / "cron.d" / "slurm_bank").read_text() == "the old one\n"


def is_held(lab: Lab, name: str) -> bool:
    return "cpu=0" in lab.run("sshare", "-nP", "-A", name, "-o", "GrpTRESMins")


@pytest.mark.parametrize(
    "script", ["env.sh", "slurm_bank_cron.sh", "db_print.sh", "scripts/demo", "scripts/setup"]
)
def test_shell_script_is_well_formed(script: str) -> None:
    done = subprocess.run(
        ["/bin/bash", "-n", str(ROOT / script)],
        env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
