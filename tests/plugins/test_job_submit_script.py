"""job_submit.lua by itself, in each Lua that Slurm is built with."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.fake_bank import FakeBank, fake_bank, said

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "bank" / "plugins" / "job_submit.lua"
LUAS = ("lua5.1", "lua5.2", "lua5.3", "lua5.4")
# What is printed whenever it is loaded.
COMMON = ("info slurm_bank: asks", "loaded true")
NUMBERS_SET = {"user_id": 1000, "min_cpus": 1, "bitflags": 503316480}

Run = Callable[..., list[str]]


@pytest.fixture
def bank(public_directory: Path) -> Iterator[FakeBank]:
    # The path of a socket must be short.
    with fake_bank(public_directory / "bank.sock") as bank:
        yield bank


@pytest.fixture(params=LUAS)
def run(request: pytest.FixtureRequest, tmp_path: Path, public_directory: Path) -> Run:
    """Return a function that runs a chunk with the script loaded; returns what was printed."""

    def run(chunk: str, site: str | None = None, **settings: object) -> list[str]:
        (tmp_path / "job_submit.lua").write_text(SCRIPT.read_text())
        (tmp_path / "chunk.lua").write_text(chunk)
        values: dict[str, object] = {
            "socket": str(public_directory / "bank.sock"),
            "wait_ms": 500,
            "fail_open": True,
            "mode": "enforce",
            "lua_cpath": "",
        }
        lines = [f"  {name} = {lua(value)}," for name, value in {**values, **settings}.items()]
        (tmp_path / "slurm_bank_hooks.lua").write_text("\n".join(["return {", *lines, "}\n"]))
        if site is not None:
            (tmp_path / "job_submit.site.lua").write_text(site)
        argv = [request.param, HERE / "harness.lua", tmp_path / "job_submit.lua"]
        ended = subprocess.run(
            [*argv, tmp_path / "chunk.lua"], capture_output=True, text=True, timeout=30, check=False
        )
        assert ended.returncode == 0, ended.stderr + ended.stdout
        lines = ended.stdout.splitlines()
        return [
            line for line in lines if not line.startswith(("info slurm_bank: asks", "loaded true"))
        ]

    return run


def lua(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_what_was_not_set_is_not_told_and_what_is_infinite_has_a_name(
    run: Run, bank: FakeBank
) -> None:
    run(
        "submit{account='a', time_limit=INFINITE, cpus_per_task=NO_VAL16, ntasks_per_core=65535,"
        " num_tasks=65534, min_mem_per_node=NO_VAL64, pn_min_memory=NO_VAL64, shared=0,"
        " partition=''}"
    )
    ((path, question),) = bank.asked
    assert path == "/v1/hooks/submit"
    assert question == {
        "job": {
            **NUMBERS_SET,
            "account": "a",
            "time_limit": "unlimited",
            "ntasks_per_core": "unlimited",
            # A number of tasks has 32 bits: this is one.
            "num_tasks": 65534,
            "shared": 0,
        },
        "mode": "enforce",
        "let_through": 0,
        "refused": 0,
    }


def test_numbers_are_whole_and_memory_is_exact(run: Run, bank: FakeBank) -> None:
    run("submit{account='a', min_mem_per_cpu=2000.0, time_limit=30.0, bitflags=2^40 + 256}")
    job = bank.asked[0][1]["job"]
    assert (job["min_mem_per_cpu"], job["time_limit"], job["bitflags"]) == (2000, 30, 2**40 + 256)
    assert all(type(value) is not float for value in job.values())


def test_any_text_arrives_as_it_is(run: Run, bank: FakeBank) -> None:
    run(r"""submit{account='a"b\\c\n\t\1', features='x&y', array_inx='1-3%2'}""")
    job = bank.asked[0][1]["job"]
    assert (job["account"], job["features"], job["array_inx"]) == (
        'a"b\\c\n\t\x01',
        "x&y",
        "1-3%2",
    )


def test_default_account_is_told_where_none_was_given(run: Run, bank: FakeBank) -> None:
    run("submit{default_account='mine'} submit{default_account='mine', account='other'}")
    assert [question["job"]["account"] for _, question in bank.asked] == ["mine", "other"]


def test_yes_sets_the_token_beside_what_is_in_the_comment(run: Run, bank: FakeBank) -> None:
    bank.answer = lambda _path, _question: said("yes", "abc123", "")
    assert run(
        "print(submit{}.admin_comment)"
        "print(submit{admin_comment='ticket 5'}.admin_comment)"
        "print(submit{admin_comment='bank:stolen ticket 5 bank:old'}.admin_comment)"
    ) == [
        *("status 0", "bank:abc123"),
        *("status 0", "ticket 5 bank:abc123"),
        *("status 0", " ticket 5 bank:abc123"),
    ]


@pytest.mark.usefixtures("bank")
def test_token_that_came_with_a_job_does_not_stay(run: Run) -> None:
    assert run("print(submit{admin_comment='x bank:stolen'}.admin_comment)") == ["status 0", "x"]


def test_no_is_told_with_the_banks_own_words(run: Run, bank: FakeBank) -> None:
    bank.answer = lambda _path, _question: said("no", "", "100% too dear: 5.0 SUs")
    assert run("submit{}") == [
        "info slurm_bank: job of user 1000 refused: 100% too dear: 5.0 SUs",
        "user 100% too dear: 5.0 SUs",
        "status 2050",
    ]


def test_report_only_refuses_nothing_and_says_what_it_would_have(run: Run, bank: FakeBank) -> None:
    bank.answer = lambda _path, _question: said("no", "", "too dear")
    chunk = "submit{}"
    assert run(chunk, mode="report", fail_open=False) == [
        "info slurm_bank: job of user 1000 would be refused: too dear",
        "status 0",
    ]
    bank.stop()
    assert run(chunk, mode="report", fail_open=False)[-1] == "status 0"


@pytest.mark.parametrize(("fail_open", "status"), [(True, "status 0"), (False, "status 2050")])
def test_setting_decides_while_the_bank_is_away(
    run: Run, bank: FakeBank, fail_open: bool, status: str
) -> None:
    bank.stop()
    printed = run("submit{} submit{}", fail_open=fail_open)
    assert [line for line in printed if line.startswith("status")] == [status, status]
    assert any("does not answer (connection refused)" in line for line in printed)
    assert any(line.startswith("user the bank does not answer") for line in printed) != fail_open


def test_setting_decides_where_the_bank_does_not_know(run: Run, bank: FakeBank) -> None:
    bank.answer = lambda _path, _question: said("unknown", "", "nodes are not known yet")
    assert run("submit{}")[-1] == "status 0"
    assert run("submit{}", fail_open=False)[-1] == "status 2050"


def timed(chunk: str) -> str:
    return (
        "local now = require('socket.core').gettime; local began = now() "
        f"{chunk} print(string.format('took %.0f', (now() - began) * 1000))"
    )


def test_frozen_bank_is_waited_for_once_and_then_asked_nothing_for_a_while(
    run: Run, bank: FakeBank
) -> None:
    bank.answer = lambda _path, _question: None
    printed = run(timed("for _ = 1, 200 do submit{} end"), wait_ms=40)
    assert printed.count("status 0") == 200
    assert 40 <= int(printed[-1].split()[1]) < 400
    assert len(bank.asked) == 1


def test_whole_conversation_has_one_deadline(run: Run, bank: FakeBank) -> None:
    def late_and_not_all(_path: str, _question: Any) -> bytes | None:  # noqa: ANN401
        time.sleep(0.4)
        bank.connection.sendall(b"HTTP/1.1 200 OK\r\n")
        return None

    bank.answer = late_and_not_all
    printed = run(timed("print(submit{}.admin_comment)"), wait_ms=500)
    assert "nil" in printed
    assert 480 < int(printed[-1].split()[1]) < 750


def test_bank_is_asked_again_after_its_rest_and_told_what_went_without_it(
    run: Run, bank: FakeBank
) -> None:
    answers = iter([None, said("yes", "", ""), said("yes", "", "")])
    bank.answer = lambda _path, _question: next(answers)
    clock = (
        "local core = require('socket.core'); local real, skew = core.gettime, 0; "
        "core.gettime = function() return real() + skew end "
    )
    # The script has taken the clock when it was loaded: so it is loaded again here.
    chunk = f"{clock} dofile(arg[1]) submit{{}} submit{{}} skew = 6 submit{{}} submit{{}}"
    run(chunk, wait_ms=40)
    counts = [(question["let_through"], question["refused"]) for _, question in bank.asked]
    assert counts == [(0, 0), (2, 0), (0, 0)]


def test_clock_that_is_set_back_does_not_make_it_rest_for_longer(run: Run, bank: FakeBank) -> None:
    answers = iter([None, said("yes", "", "")])
    bank.answer = lambda _path, _question: next(answers)
    chunk = (
        "local core = require('socket.core'); local real, skew = core.gettime, 0; "
        "core.gettime = function() return real() + skew end "
        "dofile(arg[1]) submit{} skew = -3600 submit{}"
    )
    run(chunk, wait_ms=40)
    assert len(bank.asked) == 2


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 6\r\n\r\nyes\n\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nyes\n\n\n",
        b"HTTP/1.1 200 OK\r\n\r\nyes\n\n\n",
        said("maybe", "", ""),
        said("yes"),
        said("yes", "to;ken", ""),
        said("yes", "", "", "and more"),
        b"\0\xff\n\n",
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(run: Run, bank: FakeBank, garbage: bytes) -> None:
    bank.answer = lambda _path, _question: garbage
    printed = run("print(submit{}.admin_comment)", fail_open=False)
    assert printed[-2:] == ["status 2050", "nil"]


def test_wrong_answers_that_come_at_once_do_not_make_it_rest(run: Run, bank: FakeBank) -> None:
    bank.answer = lambda _path, _question: b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    run("submit{} submit{}")
    assert len(bank.asked) == 2


def test_job_that_is_too_long_is_not_asked_about(run: Run, bank: FakeBank) -> None:
    printed = run("submit{array_inx=string.rep('1,', 60000)}", fail_open=False)
    assert printed[-1] == "status 2050"
    assert bank.asked == []


def test_fault_in_the_script_is_as_no_answer(run: Run) -> None:
    broken = "local desc = setmetatable({}, {__index = function() error('gone') end})"
    call = "print(string.format('%.0f', slurm_job_submit(desc, {}, 0)))"
    assert run(f"{broken} {call}")[-1] == "0"
    assert run(f"{broken} {call}", fail_open=False)[-1] == "2050"


def test_without_settings_or_sockets_every_job_is_let_through(
    run: Run, bank: FakeBank, tmp_path: Path
) -> None:
    broken = "package.loaded['socket.unix'] = nil package.preload['socket.unix'] = error"
    again = f"{broken} dofile(arg[1]) submit{{}}"
    printed = run(again)
    assert printed[-1] == "status 0"
    assert any("no sockets" in line for line in printed)
    remove = f"os.remove('{tmp_path}/slurm_bank_hooks.lua') dofile(arg[1]) submit{{}}"
    assert run(remove)[-1] == "status 0"
    assert bank.asked == []


SITE = """
visits = 0
local function count() visits = visits + 1 end
function slurm_job_submit(job_desc, part_list, submit_uid)
  count()
  job_desc.partition = "site" .. visits
  if job_desc.account == "bad" then return slurm.ERROR end
  if job_desc.account == "worse" then error("site's own") end
  if job_desc.account == "odd" then return nil end
  return slurm.SUCCESS
end
function slurm_job_modify(job_desc, job_rec, part_list, modify_uid)
  return slurm_job_submit(job_rec, part_list, modify_uid)
end
return slurm.SUCCESS
"""


def test_sites_script_is_called_first_and_the_bank_asked_about_what_it_made(
    run: Run, bank: FakeBank
) -> None:
    assert run("submit{account='a'} submit{account='a'}", site=SITE) == ["status 0"] * 2
    assert [question["job"]["partition"] for _, question in bank.asked] == ["site1", "site2"]


def test_what_the_sites_script_refuses_is_refused_without_the_bank(
    run: Run, bank: FakeBank
) -> None:
    assert run("submit{account='bad'}", site=SITE) == ["status -1"]
    assert bank.asked == []


def test_error_in_the_sites_script_stays_one_unless_the_bank_says_no(
    run: Run, bank: FakeBank
) -> None:
    (line,) = run("submit{account='worse'}", site=SITE)
    assert line.startswith("status error")
    assert line.endswith("site's own")
    bank.answer = lambda _path, _question: said("no", "", "too dear")
    assert run("submit{account='worse'}", site=SITE)[-1] == "status 2050"


def test_sites_functions_may_call_each_other_by_name(run: Run, bank: FakeBank) -> None:
    chunk = "modify({time_limit=5}, {job_id=7, account='a'}, 1000) print(visits)"
    assert run(chunk, site=SITE) == ["status 0", "1"]
    assert [path for path, _ in bank.asked] == ["/v1/hooks/modify"]


def test_sites_script_is_read_again_when_it_changes_and_a_broken_one_is_not(
    run: Run, bank: FakeBank, tmp_path: Path
) -> None:
    def write(text: str) -> str:
        return (
            f"local file = io.open('{tmp_path}/job_submit.site.lua', 'w') file:write([[{text}]])"
            " file:close() "
        )

    second = "function slurm_job_submit(d) d.partition = 'second' return 0 end"
    chunk = f"{write(second)} submit{{}} {write('not lua at all')} submit{{}} submit{{}}"
    printed = run(chunk, site=SITE)
    assert [question["job"]["partition"] for _, question in bank.asked] == ["second"] * 3
    assert sum("cannot be loaded" in line for line in printed) == 1


@pytest.mark.parametrize("site", ["not lua at all", "return slurm.ERROR", "error('x')"])
def test_sites_script_that_cannot_be_loaded_keeps_the_controller_from_starting_as_before(
    run: Run, site: str
) -> None:
    (line,) = run("", site=site)
    assert line.startswith("loaded false slurm_bank: ")


def test_change_is_asked_about_only_where_it_changes_the_price(run: Run, bank: FakeBank) -> None:
    record = (
        "{job_id=7, account='a', partition='p', qos='q', time_limit=10, user_id=1000,"
        " admin_comment='bank:x', array_task_cnt=3}"
    )
    run(
        f"modify({{time_limit=NO_VAL, num_tasks=5}}, {record}, 1000)"
        f"modify({{time_limit=20}}, {record}, 1000)"
        f"modify({{time_limit=NO_VAL, qos='high'}}, {record}, 1000)"
        f"modify({{time_limit=20}}, {record}, 0)"
    )
    assert [(path, question["job"]) for path, question in bank.asked] == [
        ("/v1/hooks/modify", {"time_limit": 20}),
        ("/v1/hooks/modify", {"qos": "high"}),
    ]
    assert bank.asked[0][1]["record"] == {
        "job_id": 7,
        "account": "a",
        "partition": "p",
        "qos": "q",
        "time_limit": 10,
        "user_id": 1000,
        "admin_comment": "bank:x",
        "array_task_cnt": 3,
    }


def test_change_that_cannot_be_paid_for_is_refused(run: Run, bank: FakeBank) -> None:
    bank.answer = lambda _path, _question: said("no", "", "too dear")
    record = "{job_id=7, account='a'}"
    assert run(f"modify({{time_limit=20}}, {record}, 1000)")[-1] == "status 2050"
    assert run(f"modify({{time_limit=20}}, {record}, 1000)", mode="report")[-1] == "status 0"
