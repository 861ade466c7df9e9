import html
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import picture
from tests.lab import Lab, layout

ROOT = Path(__file__).resolve().parent.parent
# The demo makes a cluster of its own. That of the tests is asked for all the same: a run without a
# real cluster then leaves these tests out, and says so.
needs_cluster = pytest.mark.usefixtures("shared_lab")


def start_demo(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(ROOT / "scripts" / "demo"), *arguments],
        # Labs keep an empty database below the usual place for temporary files, for all of them.
        env={"SLURM_LAB_HOME": str(layout.home()), **os.environ, "TMPDIR": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
    )


@pytest.fixture
def demo_home(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A short path that every user may pass through, where the demo makes its directory."""
    home = Path("/tmp") / f"sbd-{os.getpid()}-{request.node.name[:12]}"  # noqa: S108
    home.mkdir(mode=0o755)
    yield home
    home.rmdir()


@needs_cluster
def test_demo_shows_the_main_job_on_a_real_cluster_and_leaves_nothing(demo_home: Path) -> None:
    with start_demo(demo_home) as demo:
        said, _ = demo.communicate(timeout=110)
    assert demo.returncode == 0, said
    for line in (
        "root$ ./slurm_bank.py insert physics 10 --reason 'first allocation'",
        "Account physics has 10 SUs",
        "  [ok] Slurm holds physics",
        "  [ok] Slurm holds biology",
        "  [ok] the next job of physics waits, and Slurm says why",
        "  [ok] the job that was already running goes on",
        "  [ok] the waiting job of physics has started",
        "  [ok] RawUsage in Slurm is 0 again",
        "  [ok] the waiting job of biology has started",
        "the books agree",
        "  [ok] it is no money before it starts: astro is held",
        "  [ok] a project is not given more than its department has",
        "  [ok] and let astro go",
        "  [ok] next year's can be given today",
        "  [ok] what is given away keeps its end",
        "  [ok] and none of others",
        "  [ok] the pass holds the user",
        "  [ok] the job of lab-bob runs on",
        "  [ok] what the answer advises lets it start",
        "  [ok] the job that the node took with it, as the dry run said",
        "  [ok] a second time is refused, and shows the first",
        "  [ok] the expected rate is what its jobs have used, by days",
        "  [ok] it closes with what the account has",
        "  [ok] and every difference to sacct has a cause",
        "  [ok] what cannot be told is refused, with what to type",
        "  [ok] exact: nothing before, hold now: defect 9",
        "  [ok] topped: stays held before, release now: defect 4",
        "  [ok] chem: the old check and the first pass do the same (hold)",
        "  [ok] a top-up ends the hold that the predecessor set",
        "  [ok] and not the one that somebody else did",
        "  [ok] jobs charge the cluster",
        "  [ok] a job that cannot be paid for is refused, with the numbers",
        "  [ok] the second is held at its start, and says why",
        "  [ok] a top-up lets it go, and it has run",
        "  [ok] nothing of the hooks is left",
    ):
        assert line in said.splitlines(), said
    assert "AssocGrpCPUMinutesLimit" in said
    assert list(demo_home.iterdir()) == []
    # The picture in the README shows commands that the demo still has.
    drawn = html.unescape(picture.PICTURE.read_text(encoding="utf-8")).replace("\xa0", " ")
    for command, *_ in picture.chosen(picture.blocks(said)):
        assert command.partition(" ")[2] in drawn


@needs_cluster
def test_interrupted_demo_removes_its_cluster(demo_home: Path) -> None:
    with start_demo(demo_home) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("== 2."):
                break
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, said
    assert list(demo_home.iterdir()) == []


@needs_cluster
def test_kept_demo_goes_on_until_it_is_ended(demo_home: Path) -> None:
    with start_demo(demo_home, "--keep") as demo:
        said, _ = demo.communicate(timeout=110)
    (directory,) = demo_home.iterdir()
    try:
        assert demo.returncode == 0, said
        assert f"  scripts/demo --end {directory}" in said.splitlines()
        lab = Lab.attach("demo", directory / "lab")
        script = f". {directory}/activate && ./slurm_bank.py get_sus physics"
        played = subprocess.run(
            ["/bin/sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert played.stdout == "Account physics has 30 SUs\n", played.stderr
        assert lab.is_up()
    finally:
        with start_demo(demo_home, "--end", str(directory)) as ending:
            said, _ = ending.communicate(timeout=60)
    assert ending.returncode == 0, said
    assert not directory.exists()


def test_demo_without_root_says_so_and_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = subprocess.run(
        [str(ROOT / "scripts" / "demo")],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 69
    assert done.stdout == ""
    assert done.stderr.startswith("demo: missing: root")


@pytest.mark.parametrize("arguments", [["--kept"], ["--end"], ["--keep", "now"]])
def test_demo_refuses_what_it_does_not_know(arguments: list[str]) -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / "demo"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--end DIR" in done.stderr
