"""Slurm's reasons: each that it can give is known here, and what it is about."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy.job_reasons import (
    ASSOCIATION,
    QOS,
    WORDS,
    LimitReason,
    code_of,
    limit_reason,
)
from bank.policy.reasons import STOPS, WAITS

# The strings of libslurm 22.05, but for those of BlueGene, which it cannot run on any more.
RECORDED = Path(__file__).parent.parent / "slurm" / "recorded" / "22.05" / "job_reasons.txt"
ALL = RECORDED.read_text().split()


@pytest.mark.parametrize("code", ALL)
def test_every_reason_of_slurm_is_known_once(code: str) -> None:
    assert (limit_reason(code) is not None) != (code in WORDS)
    assert code_of(code) == code


def test_there_are_enough_of_them() -> None:
    assert len(ALL) > 180


@pytest.mark.parametrize(
    ("code", "holder", "limit"),
    [
        ("AssocGrpCPUMinutesLimit", ASSOCIATION, "GrpTRESMins=cpu"),
        ("AssocGrpBillingMinutes", ASSOCIATION, "GrpTRESMins=billing"),
        ("AssocGrpBillingRunMinutes", ASSOCIATION, "GrpTRESRunMins=billing"),
        ("AssocGrpCpuLimit", ASSOCIATION, "GrpTRES=cpu"),
        ("AssocGrpMemLimit", ASSOCIATION, "GrpTRES=mem"),
        ("AssocGrpGRES", ASSOCIATION, "GrpTRES=gres/"),
        ("AssocGrpJobsLimit", ASSOCIATION, "GrpJobs"),
        ("AssocGrpWallLimit", ASSOCIATION, "GrpWall"),
        ("AssocMaxJobsLimit", ASSOCIATION, "MaxJobs"),
        ("AssocMaxWallDurationPerJobLimit", ASSOCIATION, "MaxWallPJ"),
        ("AssocMaxCpuMinutesPerJobLimit", ASSOCIATION, "MaxTRESMinsPJ=cpu"),
        ("AssocMaxNodePerJobLimit", ASSOCIATION, "MaxTRESPJ=node"),
        ("AssocMaxGRESPerNode", ASSOCIATION, "MaxTRESPN=gres/"),
        ("QOSGrpMemoryMinutes", QOS, "GrpTRESMins=mem"),
        ("QOSMaxCpuPerUserLimit", QOS, "MaxTRESPU=cpu"),
        ("QOSMaxJobsPerUserLimit", QOS, "MaxJobsPU"),
        ("MaxCpuPerAccount", QOS, "MaxTRESPA=cpu"),
        ("MaxJobsPerAccount", QOS, "MaxJobsPA"),
        ("QOSMinCpuNotSatisfied", QOS, "MinTRESPJ=cpu"),
        ("QOSMinGRES", QOS, "MinTRESPJ=gres/"),
        ("AssocGrpUnknown", ASSOCIATION, "GrpTRES="),
    ],
)
def test_which_limit_a_reason_is_about(code: str, holder: str, limit: str) -> None:
    assert limit_reason(code) == LimitReason(holder, limit)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("ReqNodeNotAvail, UnavailableNodes:c[1-3]", "ReqNodeNotAvail"),
        ("ReqNodeNotAvail, May be reserved for other job", "ReqNodeNotAvail"),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in", "NodesUnavailable"),
        (
            "Job's account not permitted to use this partition (normal denies x including x)",
            "AccountNotAllowed",
        ),
        ("Job's QOS not permitted to use this partition (normal allows a not b)", "QOSNotAllowed"),
        ("launch failed requeued held", "HeldAfterFailure"),
        ("job requeued in held state", "HeldAfterFailure"),
    ],
)
def test_reasons_in_free_words(said: str, code: str) -> None:
    assert code_of(said) == code
    assert code in WORDS


@given(st.text())
def test_what_is_not_known_stays_what_it_is(text: str) -> None:
    code = code_of(text)
    assert code == text or code in WORDS


@pytest.mark.parametrize("code", WORDS)
def test_every_reason_says_what_changes_it(code: str) -> None:
    words = WORDS[code]
    assert words.effect in (STOPS, WAITS)
    assert words.sentence
    assert "{" not in words.remedy.format(job=17)
    assert words.remedy
