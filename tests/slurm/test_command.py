"""Starting a process: nothing inherited, nothing left over, every failure named."""

import os
import signal
import stat
import time
from pathlib import Path

import pytest

from bank.errors import OutputNotUnderstood, SlurmError, SlurmTimedOut
from bank.slurm.command import Slurm, run


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(str(tmp_path), "/site/slurm.conf", 1)


def command(slurm: Slurm, script: str) -> None:
    path = Path(slurm.bin_directory) / "sshare"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_environment_is_built_and_not_inherited(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SACCT_FORMAT", "x")
    monkeypatch.setenv("SLURM_CLUSTERS", "other")
    monkeypatch.setenv("SLURM_CONF", "/elsewhere")
    command(slurm, "/usr/bin/env")
    names = {line.split("=", 1)[0] for line in run(slurm, ["sshare"]).splitlines()}
    # What a shell adds by itself.
    names -= {"PWD", "OLDPWD", "SHLVL", "_"}
    assert names == {"PATH", "LC_ALL", "TZ", "SLURM_TIME_FORMAT", "SLURM_BITSTR_LEN", "SLURM_CONF"}


def test_arguments_reach_the_command_as_they_are(slurm: Slurm) -> None:
    command(slurm, 'for word; do echo "<$word>"; done')
    words = ["a b", "$(id)", "; touch x", "*", "", "'\""]
    assert run(slurm, ["sshare", *words]).splitlines() == [f"<{word}>" for word in words]


def test_standard_input_is_empty(slurm: Slurm) -> None:
    command(slurm, "/bin/cat; echo end")
    assert run(slurm, ["sshare"]) == "end\n"


def test_a_status_that_is_not_0_is_an_error_with_what_was_said(slurm: Slurm) -> None:
    command(slurm, "echo half an answer; echo 'no such\ncluster' >&2; exit 3")
    with pytest.raises(SlurmError, match="sshare ended with status 3: no such cluster"):
        run(slurm, ["sshare"])


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("slurm_load_assoc_mgr_info error: Broken pipe", 2),
        ("Zero Bytes were transmitted or received", 2),
        ("Unable to contact slurm controller (connect failure)", 1),
    ],
)
def test_a_connection_that_was_broken_off_is_tried_once_more(
    slurm: Slurm, tmp_path: Path, said: str, count: int
) -> None:
    calls = tmp_path / "calls"
    command(slurm, f"echo >> {calls}; echo '{said}' >&2; exit 1")
    with pytest.raises(SlurmError, match="ended with status 1"):
        run(slurm, ["sshare"])
    assert len(calls.read_text()) == count


def test_the_second_answer_counts_where_the_first_was_broken_off(
    slurm: Slurm, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    said = "slurm_load_assoc_mgr_info error: Connection reset by peer"
    command(slurm, f"echo answer; [ -e {mark} ] && exit; echo > {mark}; echo '{said}' >&2; exit 1")
    assert run(slurm, ["sshare"]) == "answer\n"


def test_a_command_that_is_not_there_is_named(slurm: Slurm) -> None:
    with pytest.raises(SlurmError, match="SLURM_BIN"):
        run(slurm, ["sshare"])


def test_bytes_that_are_no_text_are_not_understood(slurm: Slurm) -> None:
    command(slurm, "printf '\\377\\376'")
    with pytest.raises(OutputNotUnderstood, match="UTF-8"):
        run(slurm, ["sshare"])


def run_in_vain(slurm: Slurm, file: Path) -> list[int]:
    """Run a command that never ends, in time enough to write process numbers; return them."""
    for seconds in (1, 5, 20):
        with pytest.raises(SlurmTimedOut, match=f" {seconds} s"):
            run(slurm._replace(timeout_seconds=seconds), ["sshare"])
        if file.exists():
            return [int(number) for number in file.read_text().split()]
    pytest.fail(f"{file} was not written")


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    slurm: Slurm, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    write = f"echo $! $$ > {pids}.new; /bin/mv {pids}.new {pids}"
    command(slurm, f"/bin/sleep 60 & {write}; /bin/sleep 60")
    waiting = run_in_vain(slurm, pids)
    assert len(waiting) == 2
    deadline = time.monotonic() + 10
    while waiting and time.monotonic() < deadline:
        waiting = [pid for pid in waiting if not _is_dead(pid)]
    assert not waiting


def test_what_got_away_from_a_command_that_hangs_keeps_nobody_waiting(
    slurm: Slurm, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    # It writes its number itself: then it has got away.
    write = f"echo $$ > {away}.$$; /bin/mv {away}.$$ {away}"
    command(slurm, f"/usr/bin/setsid /bin/sh -c '{write}; exec /bin/sleep 25' & /bin/sleep 60")
    (child,) = run_in_vain(slurm, away)
    assert not _is_dead(child)
    os.kill(child, signal.SIGKILL)


def _is_dead(pid: int) -> bool:
    """Tell whether a process has ended and only waits for init to take note of it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"
