"""What all tests share: a real Slurm cluster, and the rule that nothing is left out unsaid."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.lab import Lab, LabError, layout
from tests.scheduling import ON_CLUSTER, ClustersApart

# A file system in memory, where there is one, and what all tests together may need of it.
MEMORY = Path("/dev/shm")  # noqa: S108
MEMORY_BYTES = 1024**3
# Files in which one test takes half a minute or more.
LONG = (
    *("test_killed", "test_model", "test_statement_model", "test_user_limits_model", "test_demo"),
    *("test_quote_limits_real", "test_quotes_real", "test_clusters_real"),
)
# Beside pytest's own 0 to 5: all that was run passed, but not all was run.
NOT_ALL_RUN = 6

# Deadlines measure the machine's load; pytest-timeout is there for what never ends.
hypothesis.settings.register_profile("bank", deadline=None, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-slurm",
        action="store_true",
        help=f"leave out the tests on a real Slurm cluster; ends with status {NOT_ALL_RUN} at best",
    )


def pytest_configure(config: pytest.Config) -> None:
    del config
    hypothesis.settings.load_profile("bank")
    # As Ctrl-C does: fixtures are torn down, so that no cluster outlives a run that timed out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # What whoever runs the tests has set for their own cluster must not decide how they end.
    for name in list(os.environ):
        if name.startswith(("SLURM_", "SBATCH_", "SACCT_", "SQUEUE_")) and name != "SLURM_LAB_HOME":
            del os.environ[name]
    if "TMPDIR" not in os.environ and has_room(MEMORY):
        # A commit waits for the disk several times, and tests make a hundred thousand of them. The
        # clusters stay on the disk.
        os.environ["SLURM_LAB_HOME"] = str(layout.home())
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def has_room(directory: Path) -> bool:
    """Say whether a directory lies in memory and takes what tests write, programs included."""
    try:
        found = os.statvfs(directory)
    except FileNotFoundError:
        return False
    is_free = found.f_bavail * found.f_frsize >= MEMORY_BYTES
    return is_free and not found.f_flag & os.ST_NOEXEC and os.access(directory, os.W_OK)


def pytest_itemcollected(item: pytest.Item) -> None:
    if is_on_cluster(item):
        item.add_marker(pytest.mark.xdist_group(ON_CLUSTER))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ClustersApart | None:  # noqa: ANN401
    return ClustersApart(config, log) if config.getvalue("dist") == "loadgroup" else None


def is_on_cluster(item: pytest.Item) -> bool:
    return "shared_lab" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Those begin first, so that none of them is what all other processes wait for at the end.
    items.sort(key=lambda item: not item.path.name.startswith(LONG))
    if not config.getoption("--no-slurm"):
        return
    on_cluster = [item for item in items if is_on_cluster(item)]
    config.hook.pytest_deselected(items=on_cluster)
    items[:] = [item for item in items if item not in on_cluster]


def skipped(config: pytest.Config) -> list[Any]:
    """Return the reports of skipped tests; empty in a worker, which reports to somebody else."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [] if reporter is None else reporter.stats.get("skipped", [])


def pytest_sessionfinish(session: pytest.Session) -> None:
    passed = session.exitstatus == pytest.ExitCode.OK
    if passed and skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    elif passed and session.config.getoption("--no-slurm"):
        session.exitstatus = NOT_ALL_RUN


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reports = skipped(config)
    if reports:
        terminalreporter.section("skipped tests: this run does not count as passed", red=True)
        for report in reports:
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            terminalreporter.line(f"{report.nodeid}: {why}")
    if config.getoption("--no-slurm"):
        terminalreporter.section("the tests on a real Slurm cluster were NOT run", red=True)


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the machine be in UTC; a test that changes TZ calls time.tzset()."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """An empty directory that every user may pass through.

    Those of pytest are its user's alone. Opened to all, they are closed again by the next run of
    pytest that this user starts on the machine.
    """
    with tempfile.TemporaryDirectory(prefix="bank-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="session")
def shared_lab(worker_id: str) -> Iterator[Lab]:
    """A real cluster for all tests of this process; a test asks for ``lab`` instead."""
    with Lab(f"t_{worker_id}_{os.getpid()}", say=print) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    """A real cluster with no accounts, jobs or changed parameters.

    A test may freeze, kill and reconfigure it: what is not as it was is put right before the next.
    """
    try:
        for daemon in shared_lab.daemons():
            if daemon.is_frozen:
                daemon.thaw()
        if shared_lab.is_up() and not shared_lab.record.overrides:
            shared_lab.clean()
            return shared_lab
    except LabError as error:
        print(f"starting a new cluster, because this one could not be cleaned: {error}")
    shared_lab.stop()
    shared_lab.start()
    return shared_lab
