"""sbatch's options as sbatch reads them: words, scripts, environment, values."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import BankError, InputError, UsageError
from bank.policy import hostlists, sbatch_options, sbatch_request, sbatch_values
from bank.policy.job_request import UNLIMITED, GresRequest, Request
from bank.policy.sbatch_options import joined, read_command_line, read_environment, read_script
from bank.policy.sbatch_table import OPTIONS


def requests(words: str, script: str = "#!/bin/sh\n", **environment: str) -> list[Request]:
    given_there = joined(
        read_command_line(words.split()), read_script(script), read_environment(environment)
    )
    return [sbatch_request.request(options) for options in given_there]


def request(words: str, script: str = "#!/bin/sh\n", **environment: str) -> Request:
    (one,) = requests(words, script, **environment)
    return one


def test_every_option_of_sbatch_is_read_ignored_or_refused_and_none_twice() -> None:
    ignored = {name for name, option in OPTIONS.items() if option.is_ignored}
    refused = {name for name, option in OPTIONS.items() if option.refused}
    other_names = set(sbatch_options._OTHER_NAMES)
    several = {*sbatch_request._SEVERAL, *sbatch_request._GRES, "exclusive", "oversubscribe"}
    read = {*sbatch_request._PLAIN, *sbatch_request._FLAGS, *several}
    assert not ignored & refused
    assert not (ignored | refused) & read
    assert ignored | refused | read == set(OPTIONS) - other_names


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("", {}),
        ("-n 4", {"tasks": 4, "min_cpus": 4}),
        ("-n4 -c2", {"tasks": 4, "cpus_per_task": 2, "min_cpus": 8, "node_cpus": 2}),
        ("--ntasks=4", {"tasks": 4, "min_cpus": 4}),
        ("--ntasks 4", {"tasks": 4, "min_cpus": 4}),
        ("-HOn4", {"tasks": 4, "overcommits": True}),
        ("--ntasks-per-n=2 -N 3", {"tasks_per_node": 2, "tasks": 6, "min_cpus": 6}),
        ("--tasks-per-node=2 -N 3", {"tasks_per_node": 2, "tasks": 6}),
        ("-N 2", {"min_nodes": 2, "max_nodes": 2, "min_cpus": 2}),
        ("-N 2-5 -n 3", {"min_nodes": 2, "max_nodes": 3}),
        ("-N 4 -n 2", {"min_nodes": 2, "max_nodes": 2}),
        ("-N 1k", {"min_nodes": 1024, "max_nodes": 1024}),
        ("-w c[1-3]", {"nodes": ("c1", "c2", "c3"), "min_nodes": 3, "min_cpus": 3}),
        ("-B 2:4", {"sockets_per_node": 2, "cores_per_socket": 4, "tasks": 8}),
        ("-B 2-4:*:1", {"sockets_per_node": 2, "cores_per_socket": None, "threads_per_core": 1}),
        ("--hint=nomultithread", {"threads_per_core": 1}),
        ("--hint=memory_bound", {"threads_per_core": 1, "cores_per_socket": 1}),
        ("--hint=nomultithread --ntasks-per-core=2", {"threads_per_core": None}),
        ("--exclusive", {"sharing": "exclusive"}),
        ("--exclusive=user", {"sharing": "user"}),
        ("--exclusive -s", {"sharing": "oversubscribe"}),
        ("--mem=1K", {"memory_per_node_mb": 1}),
        ("--mem-per-cpu=2gb", {"memory_per_cpu_mb": 2048}),
        ("-t 90 --time=1-0", {"time_minutes": 1440}),
        ("-p a,b -A x -q y", {"partitions": ("a", "b"), "account": "x", "qos": "y"}),
        ("--array=0-9:3,20%2", {"array_tasks": 5, "array_highest": 20, "array_at_once": 2}),
        ("-G 2", {"gres": (GresRequest("gpu", "", 2, "job"),)}),
        ("--gpus-per-task=t:2", {"gres": (GresRequest("gpu", "t", 2, "task"),)}),
        ("--gres=none", {"gres": ()}),
        ("-L a:2,b", {"licenses": (("a", 2), ("b", 1))}),
        ("-J -n --wrap=x -n 3", {"tasks": 3}),
        ("-n 2 -- -n 3", {"tasks": 2}),
        ("-n 2 script -n 3", {"tasks": 2}),
        ("--nice --nice=5 -k -n 2", {"tasks": 2}),
        ("--use-min-nodes --spread-job", {"takes_fewest_nodes": True, "spreads": True}),
    ],
)
def test_command_lines(words: str, fields: dict[str, Any]) -> None:
    found = request(words)._asdict()
    assert {name: found[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("--nosuch", "--nosuch is not an option of sbatch"),
        ("-n 2 --json", "right after quote"),
        ("--ntasks-per=2", "not clear"),
        ("-y", "-y in '-y' is not an option"),
        ("-n", "--ntasks needs a value"),
        ("--hold=yes", "takes no value"),
        ("--mem=1G --mem-per-cpu=1G", "do not go together"),
        ("--uid=0", "as that user"),
        ("--bb=x", "burst buffer"),
        ("-w c[1-3] -N 1-2", "names 3 nodes"),
    ],
)
def test_command_lines_that_are_refused(words: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        request(words)


@pytest.mark.parametrize(
    "words",
    [
        *("-n 0", "-n x", "-n -1", "-N 0", "-N 3-2", "-N 2-", "-t 1:2:3:4", "-t x", "--mem=1X"),
        *("--array=3-1", "--array=", "--array=1-2%0", "--array=9999999", "--gres=gpu:a:b:1"),
        *("--gres=:2", "--licenses=a|b", "-w c[3-1]", "-B 1:2:3:4", "--hint=fast", "-m arbitrary"),
        *("--exclusive=x", "--mem=", "-t 99999999999"),
    ],
)
def test_values_that_are_refused_name_their_option(words: str) -> None:
    with pytest.raises(InputError, match="^--[a-z-]+ in the command line: "):
        request(words)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("5", 5),
        ("0:1", 1),
        ("5:00", 5),
        ("5:01", 6),
        ("1:2:3", 63),
        ("2-3", 51 * 60),
        ("2-3:4", 51 * 60 + 4),
        ("2-3:4:5", 51 * 60 + 5),
        ("0", UNLIMITED),
        ("0:00", UNLIMITED),
        ("UNLIMITED", UNLIMITED),
        ("-1", UNLIMITED),
    ],
)
def test_times(text: str, minutes: int) -> None:
    assert sbatch_values.minutes(text) == minutes


@given(st.integers(0, 300), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_a_time_is_the_sum_of_its_parts_rounded_up(
    days: int, hours: int, minutes: int, seconds: int
) -> None:
    in_all = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    found = sbatch_values.minutes(f"{days}-{hours}:{minutes}:{seconds}")
    assert found == UNLIMITED if in_all == 0 else 0 <= found * 60 - in_all < 60
    if days == 0:
        assert found == sbatch_values.minutes(f"{hours}:{minutes}:{seconds}")


@given(st.integers(0, 10**6), st.sampled_from("KMGT"))
def test_sizes(number: int, unit: str) -> None:
    exact = number * 1024 ** "KMGT".index(unit)
    found = sbatch_values.megabytes(f"{number}{unit}") * 1024
    assert 0 <= found - exact < 1024
    assert sbatch_values.megabytes(f"{number}{unit.lower()}B") * 1024 == found


@given(st.sets(st.integers(0, 4000), min_size=1), st.one_of(st.none(), st.integers(1, 9)))
def test_an_array_has_as_many_tasks_as_it_has_different_indexes(
    indexes: set[int], at_once: int | None
) -> None:
    text = ",".join(str(index) for index in indexes) + (f"%{at_once}" if at_once else "")
    assert sbatch_values.array(text) == (len(indexes), max(indexes), at_once)


@given(st.integers(1, 9999), st.integers(0, 50), st.integers(1, 5))
def test_lists_of_nodes(first: int, more: int, width: int) -> None:
    begin = str(first).zfill(width)
    found = hostlists.names(f"n[{begin}-{first + more}]x,other")
    assert found[0] == f"n{begin}x"
    assert found[-1] == "other"
    assert len(found) == more + 2


SCRIPT = """#!/bin/sh
#SBATCH --ntasks=3 # --ntasks=4
# SBATCH --ntasks=5
##SBATCH --ntasks=5
 #SBATCH --ntasks=5
#SBATCH --job-name="a # b" --comment=a\\ b 'x'y=

#SBATCH --time=10
echo
#SBATCH --ntasks=6
"""


def test_a_script_is_read_up_to_its_first_command() -> None:
    text = SCRIPT.replace(" 'x'y=", "")
    (found,) = read_script(text)
    assert [(one.name, one.value) for one in found] == [
        ("ntasks", "3"),
        ("job-name", "a # b"),
        ("comment", "a b"),
        ("time", "10"),
    ]


@pytest.mark.parametrize(
    ("script", "what"),
    [
        (SCRIPT, "'xy=' in a #SBATCH line"),
        ("echo\n", "does not look like a batch script"),
        ("#!/bin/sh\r\ntrue\r\n", "DOS line breaks"),
        ("#!/bin/sh\n#SBATCH -J 'a\n", "line 2 of the script has a ' without"),
        ("#!/bin/sh\n#PBS -l nodes=2\n", "#PBS"),
        ("#!/bin/sh\n#SBATCH --nosuch\n", "--nosuch"),
    ],
)
def test_scripts_that_are_refused(script: str, what: str) -> None:
    with pytest.raises(BankError, match=what):
        read_script(script)


def test_lines_of_other_systems_are_comments_where_they_are_ignored() -> None:
    script = "#!/bin/sh\n#PBS -l nodes=2\n#SBATCH -n 2\n"
    (found,) = read_script(sbatch_options.without_other_marks(script))
    assert [one.value for one in found] == ["2"]


WORDS = st.lists(st.text("ab-= #\\\"'$\t1", min_size=1).filter(str.strip), min_size=1, max_size=5)


@given(WORDS)
def test_words_that_are_escaped_in_a_script_are_read_as_they_were(words: list[str]) -> None:
    written = " ".join("".join(f"\\{sign}" for sign in word) for word in words)
    assert sbatch_options._words(written, 1) == words


@given(st.text("abn-=: #\\\"'\t\n!/SBATCHhetjob1", max_size=80))
def test_any_script_is_read_or_refused(text: str) -> None:
    with suppress(InputError, UsageError):
        read_script(f"#!/bin/sh\n#SBATCH {text}")


@given(st.lists(st.text("-=:,[]nctwGBNa019 x", max_size=12), max_size=6))
def test_any_command_line_is_read_or_refused(words: list[str]) -> None:
    try:
        for options in joined(read_command_line(words), ((),), ()):
            sbatch_request.request(options)
    except (InputError, UsageError):
        pass


@pytest.mark.parametrize(
    ("words", "script", "environment", "minutes"),
    [
        ("-t 1", "-t 3", {"SBATCH_TIMELIMIT": "2"}, 1),
        ("", "-t 3", {"SBATCH_TIMELIMIT": "2"}, 2),
        ("", "-t 3", {}, 3),
        ("", "", {}, None),
    ],
)
def test_the_command_line_wins_over_the_environment_and_that_over_the_script(
    words: str, script: str, environment: dict[str, str], minutes: int | None
) -> None:
    found = request(words, f"#!/bin/sh\n#SBATCH {script}\n", **environment)
    assert found.time_minutes == minutes


def test_memory_and_hints_of_the_environment_give_way_to_others() -> None:
    found = request("--mem-per-cpu=1G", SBATCH_MEM_PER_NODE="4G")
    assert (found.memory_per_node_mb, found.memory_per_cpu_mb) == (None, 1024)
    found = request("--ntasks-per-core=2", SLURM_HINT="nomultithread")
    assert (found.tasks_per_core, found.threads_per_core) == (2, None)
    assert request("", SBATCH_EXCLUSIVE="").sharing == "exclusive"
    assert request("", SBATCH_OVERCOMMIT="0").overcommits is False
    assert request("", SBATCH_OVERCOMMIT="1").overcommits is True


def test_components_share_what_sbatch_does_not_forget_between_them() -> None:
    first, second = requests("-n 2 -p a : -n 3 -t 7 --mem=1G")
    assert (first.tasks, first.partitions, first.time_minutes) == (2, ("a",), 7)
    assert (second.tasks, second.partitions, second.memory_per_node_mb) == (3, (), 1024)
    assert first.memory_per_node_mb == 1024


def test_components_of_a_script_get_the_last_options_of_the_command_line() -> None:
    script = "#!/bin/sh\n#SBATCH -n 2\n#SBATCH hetjob\n#SBATCH -n 3 -p b\n"
    first, second = requests("-c 2", script)
    assert (first.tasks, first.cpus_per_task, first.partitions) == (2, 2, ())
    assert (second.tasks, second.cpus_per_task, second.partitions) == (3, 2, ("b",))
