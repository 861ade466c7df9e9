"""The site's program that tells people: whatever it does, the bank goes on. Real small programs."""

import os
import stat
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bank.errors import NotPermitted, NotTold, SettingsError
from bank.notify.program import tell

EVENT = '{"id": "test1/lower_limit/1", "event": "lower_limit"}\n'
# Long enough that only what never ends is ended for it.
LONG, SHORT = 30, 0.3
Make = Callable[[str], str]
# Lines that write down the program's own number, in a file that is whole when it is there.
SELF = "echo $$ > $d/$$; mv $d/$$ $d/self"
# One that starts what does the same, and goes on until the program's file is removed.
WRITE_CHILD = "d=$0; echo $$ > $d/$$; mv $d/$$ $d/child"
CHILD = f"sh -c '{WRITE_CHILD}; while test -e $d/tell; do sleep 0.1; done' $d"
AWAIT_CHILD = "until test -e $d/child; do sleep 0.01; done"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a program of shell lines."""
    # pytest's own directories may be open to others where the umask is.
    tmp_path.chmod(0o755)

    def program(lines: str) -> str:
        path = tmp_path / "tell"
        path.write_text(f"#!/bin/sh\nd={tmp_path}\n{lines}\n")
        path.chmod(0o755)
        return str(path)

    yield program
    # So that nothing goes on that got away.
    (tmp_path / "tell").unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    # One whose parent has not looked yet is no more.
    return state not in "ZX"


def tell_in_vain(path: str, file: Path) -> None:
    """Tell with a program that never ends, in time enough that it could write a file."""
    for seconds in (SHORT, 10 * SHORT, LONG):
        with pytest.raises(NotTold, match=rf"did not end within {seconds:g} s and was ended"):
            tell(path, EVENT, timeout_seconds=seconds)
        if file.exists():
            return
    pytest.fail(f"{file} was not written")


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + LONG
    while is_running(pid):
        assert time.monotonic() < deadline, f"{pid} goes on"


def test_it_is_given_exactly_one_line(make: Make, tmp_path: Path) -> None:
    tell(make("cat > $d/given"), EVENT)
    assert (tmp_path / "given").read_text() == EVENT
    assert EVENT.count("\n") == 1


def test_its_environment_directory_and_arguments_are_built(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "word")
    lines = (
        "env > $d/environment",
        "pwd > $d/here",
        "echo $# > $d/count",
        "ls /proc/self/fd > $d/fds",
    )
    tell(make("\n".join(lines)), EVENT)
    found = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines())
    # What sh itself adds is its own business.
    found = {name: value for name, value in found.items() if name not in ("PWD", "SHLVL", "_")}
    assert found == {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    assert (tmp_path / "here").read_text() == "/\n"
    assert (tmp_path / "count").read_text() == "0\n"
    # 0, 1 and 2, and the directory that ls looks into: none of the bank's own files.
    assert (tmp_path / "fds").read_text().split() == ["0", "1", "2", "3"]


def test_a_pipe_that_closes_ends_what_it_starts_as_usual(make: Make) -> None:
    tell(make("yes | head -n 1 > $d/first && test $(wc -l < $d/first) = 1"), EVENT)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("exit 1", "ended with status 1: no message"),
        ("echo 'no such host' >&2; exit 75", "ended with status 75: no such host"),
        ("printf 'one\\ntwo\\n' >&2; exit 1", "status 1: one two"),
        ("kill -TERM $$", "ended with status -15"),
        ("head -c 100000 /dev/urandom >&2; exit 1", "ended with status 1: "),
        ("exec 2>&-; exit 3", "ended with status 3: no message"),
    ],
)
def test_another_status_means_that_nobody_was_told(make: Make, lines: str, said: str) -> None:
    path = make(lines)
    with pytest.raises(NotTold) as caught:
        tell(path, EVENT)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "lines",
    [
        "exit 0",
        "exec 0<&-; exit 0",
        "head -c 3000000 /dev/urandom; exit 0",
        "head -c 3000000 /dev/urandom >&2; exit 0",
        "exec 1>&- 2>&-; exit 0",
        "exec 2>&-; sleep 0.1; exit 0",
    ],
)
def test_what_it_prints_or_does_not_read_stops_nothing(make: Make, lines: str) -> None:
    tell(make(lines), EVENT * 5000, timeout_seconds=LONG)


def test_a_program_that_prints_without_end_is_ended(make: Make) -> None:
    with pytest.raises(NotTold, match="did not end within 0.3 s"):
        tell(make("yes >&2"), EVENT, timeout_seconds=SHORT)


def test_what_it_prints_is_not_kept(make: Make) -> None:
    path = make("head -c 10000000 /dev/urandom >&2; head -c 10000000 /dev/urandom")
    tracemalloc.start()
    try:
        tell(path, EVENT, timeout_seconds=LONG)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1_000_000


def test_one_that_hangs_is_ended_with_all_that_it_started(make: Make, tmp_path: Path) -> None:
    path = make(f"{CHILD} & {AWAIT_CHILD}; {SELF}; wait")
    tell_in_vain(path, tmp_path / "self")
    for file in ("child", "self"):
        wait_until_gone(int((tmp_path / file).read_text()))


def test_one_that_does_not_heed_signals_is_ended(make: Make) -> None:
    with pytest.raises(NotTold, match="did not end"):
        tell(make("trap '' TERM INT HUP; while :; do sleep 1; done"), EVENT, timeout_seconds=SHORT)


def test_what_got_away_keeps_nobody_waiting(make: Make, tmp_path: Path) -> None:
    path = make(f"setsid {CHILD} & sleep 600")
    tell_in_vain(path, tmp_path / "child")
    assert is_running(int((tmp_path / "child").read_text()))


def test_a_mailer_left_in_the_background_goes_on_and_is_not_waited_for(
    make: Make, tmp_path: Path
) -> None:
    path = make(f"{CHILD} & {AWAIT_CHILD}; exit 0")
    tell(path, EVENT, timeout_seconds=LONG)
    assert is_running(int((tmp_path / "child").read_text()))


def test_an_interrupted_bank_leaves_no_program_behind(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        while not (tmp_path / "self").exists():
            pass
        raise KeyboardInterrupt

    path = make(f"{SELF}; sleep 600")
    monkeypatch.setattr("select.select", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tell(path, EVENT)
    wait_until_gone(int((tmp_path / "self").read_text()))


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_program_that_others_can_write_is_not_run(make: Make, tmp_path: Path, mode: int) -> None:
    path = make("touch $d/ran")
    Path(path).chmod(mode)
    with pytest.raises(NotPermitted, match=f"can be written by others: chmod go-w {path}"):
        tell(path, EVENT)
    assert not (tmp_path / "ran").exists()


def test_nor_one_in_a_directory_that_others_can_write(make: Make, tmp_path: Path) -> None:
    path = make("touch $d/ran")
    link = tmp_path / "link"
    link.symlink_to(path)
    tmp_path.chmod(0o777)
    for given in (path, str(link)):
        with pytest.raises(NotPermitted, match=f"chmod go-w {tmp_path}$"):
            tell(given, EVENT)
    assert not (tmp_path / "ran").exists()
    tmp_path.chmod(0o777 | stat.S_ISVTX)
    tell(path, EVENT)


def test_nor_one_of_somebody_else(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make("touch $d/ran")
    if os.geteuid() == 0:
        os.chown(path, 54321, -1)
    else:
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(NotPermitted, match="belongs to somebody who could change it: chown it"):
        tell(path, EVENT)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("whose", ["above", "above/own", "above/link", "above/own/tell"])
def test_nor_one_that_somebody_else_could_replace(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    own = tmp_path / "above" / "own"
    own.mkdir(parents=True)
    Path(make("touch $d/ran")).rename(own / "tell")
    link = tmp_path / "above" / "link"
    link.symlink_to("own/../own/./tell")
    tell(str(link), EVENT)
    (tmp_path / "ran").unlink()
    lstat = os.lstat

    def other(path: str) -> os.stat_result:
        found = lstat(path)
        is_theirs = path == str(tmp_path / whose)
        return os.stat_result((*found[:4], 54321, *found[5:])) if is_theirs else found

    monkeypatch.setattr(os, "lstat", other)
    with pytest.raises(NotPermitted, match=f": {tmp_path / whose} belongs to somebody who"):
        tell(str(link), EVENT)
    assert not (tmp_path / "ran").exists()


def test_nor_one_behind_a_link_that_others_can_replace(make: Make, tmp_path: Path) -> None:
    path = make("touch $d/ran")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "link").symlink_to(path)
    shared.chmod(0o777)
    with pytest.raises(NotPermitted, match=f"chmod go-w {shared}$"):
        tell(str(shared / "link"), EVENT)
    assert not (tmp_path / "ran").exists()
    shared.chmod(0o1777)
    tell(str(shared / "link"), EVENT)
    assert (tmp_path / "ran").exists()


def test_a_program_that_cannot_be_started(make: Make, tmp_path: Path) -> None:
    path = make("exit 0")
    Path(path).chmod(0o644)
    no_script = tmp_path / "no_script"
    no_script.write_bytes(b"\x00\x01")
    no_script.chmod(0o755)
    no_shell = tmp_path / "no_shell"
    no_shell.write_text("#!/nosuch/sh\n")
    no_shell.chmod(0o755)
    for given, why in (
        (path, "Permission denied"),
        (str(tmp_path / "missing"), "No such file or directory"),
        (str(tmp_path), "Permission denied"),
        (str(no_script), "Exec format error"),
        (str(no_shell), "No such file or directory"),
    ):
        with pytest.raises(SettingsError, match=rf"NOTIFY_COMMAND {given} cannot be run \({why}\)"):
            tell(given, EVENT)


def test_nothing_is_left_open(make: Make) -> None:
    path = make("exit 1")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        with pytest.raises(NotTold):
            tell(path, EVENT)
    # What the test runner had open may be closed at any time.
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
