"""What the hooks need in slurm.conf and beside it."""

import pytest

from bank.errors import InputError
from bank.policy.hook_setup import (
    Places,
    end_hook_problem,
    lines_to_add,
    lines_to_take_out,
    read_settings,
    settings_text,
)

AT = Places("/etc/slurm")
NOTHING = {"JobSubmitPlugins": "(null)", "PrologSlurmctld": "(null)", "JobCompType": "jobcomp/none"}
PROLOG = "PrologSlurmctld=/etc/slurm/slurm_bank_prolog"
JOBCOMP = ["JobCompType=jobcomp/script", "JobCompLoc=/etc/slurm/slurm_bank_end"]


def test_every_hook_reads_the_settings_that_were_written() -> None:
    text = settings_text({"socket": "/run/a b'c", "wait_ms": 50, "fail_open": False, "spool": ""})
    assert read_settings(text) == {
        "socket": "/run/a b'c",
        "wait_ms": "50",
        "fail_open": "false",
        "spool": "",
    }
    assert read_settings('  socket = os.execute("x"),\nreturn 5') == {}


@pytest.mark.parametrize("value", ['/run/"x', "/run/\\x", "/run/\n", "/run/ä", "/run/\x00"])
def test_value_that_a_hook_would_misread_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="socket"):
        settings_text({"socket": value})


@pytest.mark.parametrize(
    ("config", "end_hook", "lines"),
    [
        (NOTHING, "none", [PROLOG, "JobSubmitPlugins=lua"]),
        ({}, "none", [PROLOG, "JobSubmitPlugins=lua"]),
        (NOTHING, "jobcomp", [PROLOG, "JobSubmitPlugins=lua", *JOBCOMP]),
        (
            {**NOTHING, "JobSubmitPlugins": "throttle,pbs"},
            "epilogslurmctld",
            [
                *(PROLOG, "JobSubmitPlugins=throttle,pbs,lua"),
                "EpilogSlurmctld=/etc/slurm/slurm_bank_end",
            ],
        ),
        ({**NOTHING, "JobSubmitPlugins": "job_submit/lua,pbs"}, "none", [PROLOG]),
        ({"JobSubmitPlugins": "lua", "PrologSlurmctld": AT.prolog}, "none", []),
    ],
)
def test_lines_that_are_missing_are_said(
    config: dict[str, str], end_hook: str, lines: list[str]
) -> None:
    assert lines_to_add(config, AT, end_hook) == lines


def test_lines_that_were_there_before_are_said_when_the_hooks_go() -> None:
    ours = {
        "JobSubmitPlugins": "pbs,lua",
        "PrologSlurmctld": AT.prolog,
        "EpilogSlurmctld": AT.end,
        "JobCompLoc": AT.end,
    }
    site = {"site_prolog": "/site/prolog"}
    assert lines_to_take_out(ours, AT, has_site_script=False, site=site) == [
        *("PrologSlurmctld=/site/prolog", "EpilogSlurmctld=", "JobCompType=jobcomp/none"),
        *("JobCompLoc=", "JobSubmitPlugins=pbs"),
    ]
    theirs = {"JobSubmitPlugins": "lua", "PrologSlurmctld": "/site/prolog", "JobCompLoc": "/x"}
    assert lines_to_take_out(theirs, AT, has_site_script=True, site=site) == []


def test_sites_own_job_completion_plugin_is_not_taken_away() -> None:
    filetxt = {"JobCompType": "jobcomp/filetxt", "JobCompLoc": "/var/log/jobs"}
    assert "there can be only one" in end_hook_problem(filetxt, AT, "jobcomp")
    assert end_hook_problem(filetxt, AT, "epilogslurmctld") == ""
    assert end_hook_problem(NOTHING, AT, "jobcomp") == ""
    ours = {"JobCompType": "jobcomp/script", "JobCompLoc": AT.end}
    assert end_hook_problem(ours, AT, "jobcomp") == ""
