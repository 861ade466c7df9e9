"""What the books have against an account: one row a reason, and that none is ever passed over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.policy import periods
from bank.policy.enforcement import has_nothing_left
from bank.policy.reasons import (
    ABOVE,
    ACCOUNT,
    CLUSTER,
    COMING,
    EFFECTS,
    JOB,
    NOTE,
    STOPS,
    UNKNOWN,
    USER,
    WAITS,
    Reason,
    in_order,
    verdict,
)
from bank.policy.reasons_of_books import (
    ASKED,
    FREE,
    HELD,
    OTHERS,
    Account,
    Grant,
    Hold,
    Reading,
    UserLimit,
    explain_account,
    explain_parent,
    explain_reading,
    explain_users,
    explain_who_pays,
)
from bank.policy.time_texts import ago, span, time_text
from bank.slurm import spans

SU = 3600
NOW = 1_800_000_000
DAY = 86_400
BY_CPU = ("GrpTRESMins=cpu",)


def account(**changes: object) -> Account:
    """Return an open account with 100 SUs, of which 60 are used and 10 set aside."""
    known = Account(
        name="physics",
        is_open=True,
        was_open=True,
        limit=100 * SU,
        used=60 * SU,
        counted=60 * SU,
        set_aside=10 * SU,
        credit=0,
        is_to_hold=False,
        hold_reason=None,
        held_by="",
        held_at=0,
        holds=(Hold("hpc", FREE),),
        running_jobs=2,
    )
    return known._replace(**changes)  # type: ignore[arg-type]


def used_up(**changes: object) -> Account:
    fields: dict[str, Any] = {"used": 101 * SU, "counted": 101 * SU, "is_to_hold": True}
    return account(**(fields | changes))


def only(known: Account) -> Reason:
    (found,) = explain_account(known, is_above=False, now=NOW)
    return found


HOLDS: list[tuple[Account, str, str, str, str]] = [
    # the account, code, effect, part of the sentence, part of the remedy
    (
        used_up(holds=(Hold("hpc", HELD, BY_CPU),)),
        "nothing_left",
        STOPS,
        (
            "nothing is left: a limit of 100 SUs, 101 used, 10 set aside by 2 running jobs,"
            " -11 available; the bank holds it by GrpTRESMins=cpu=0 on hpc"
        ),
        # One more than what is overdrawn: with just that nothing would be left.
        "'slurm_bank.py add physics 2' or more",
    ),
    (
        used_up(holds=(Hold("hpc", ASKED, BY_CPU),)),
        "nothing_left",
        COMING,
        "the hold was asked for and is not confirmed yet by GrpTRESMins=cpu=0 on hpc",
        "add physics 2",
    ),
    (used_up(), "nothing_left", COMING, "the next pass holds it on hpc", "add physics 2"),
    (used_up(holds=()), "nothing_left", COMING, "the next pass holds it", "add physics 2"),
    (
        used_up(used=90 * SU, counted=100 * SU, holds=(Hold("hpc", HELD),), running_jobs=1),
        "nothing_left",
        STOPS,
        (
            "counting what running jobs may still use: a limit of 100 SUs, 90 used, 10 set aside"
            " by 1 running job,"
        ),
        "add physics 1'",
    ),
    (
        used_up(credit=SU, holds=(Hold("hpc", HELD),), running_jobs=None),
        "nothing_left",
        STOPS,
        "a limit of 100 SUs and a credit of 1, 101 used, 10 set aside, -10 available",
        "add physics 1'",
    ),
    (
        account(
            is_to_hold=True,
            hold_reason="audit",
            held_by="ada",
            held_at=NOW,
            holds=(Hold("hpc", HELD, BY_CPU),),
        ),
        "held_by_hand",
        STOPS,
        "held by hand by ada at 2027-01-15T08:00:00Z: audit; the bank holds it",
        "'slurm_bank.py release_hold physics'",
    ),
    (
        account(
            is_to_hold=True,
            hold_reason=periods.hold_reason("2026-11-20"),
            holds=(Hold("hpc", HELD),),
        ),
        "period_ended",
        STOPS,
        "its period ended on 2026-11-20; the bank holds it",
        "'slurm_bank.py reset_usage physics'",
    ),
    (
        account(is_open=False, is_to_hold=True, hold_reason="audit", holds=(Hold("hpc", HELD),)),
        "deleted",
        STOPS,
        "deleted from the bank while it was held: audit",
        "'slurm_bank.py release_hold physics', or 'slurm_bank.py insert physics SU'",
    ),
    (
        account(is_open=False, was_open=False, is_to_hold=True, holds=(Hold("hpc", HELD),)),
        "unknown_account",
        STOPS,
        "the bank does not know it; the bank holds it",
        "'slurm_bank.py insert physics SU'",
    ),
    (
        account(holds=(Hold("hpc", HELD, BY_CPU),)),
        "to_be_released",
        STOPS,
        (
            "the next pass releases it, because it has something left; until then the bank holds"
            " it by GrpTRESMins=cpu=0 on hpc"
        ),
        "'slurm_bank.py release_hold physics'",
    ),
    (
        account(holds=(Hold("hpc", OTHERS, ("GrpJobs", "GrpTRES=cpu")),)),
        "held_by_others",
        STOPS,
        "a limit of 0 that the bank did not set stops it by GrpJobs=0, GrpTRES=cpu=0 on hpc",
        "'sacctmgr modify account physics set GrpJobs=-1 GrpTRES=cpu=-1'",
    ),
    (
        account(holds=(Hold("hpc", OTHERS),)),
        "held_by_others",
        STOPS,
        "a limit of 0 that the bank did not set stops it on hpc",
        "'sacctmgr show assoc where account=physics user='",
    ),
]


@pytest.mark.parametrize(("known", "code", "effect", "said", "remedy"), HOLDS)
def test_a_hold_in_plain_words(
    known: Account, code: str, effect: str, said: str, remedy: str
) -> None:
    found = only(known)
    assert (found.code, found.effect, found.scope) == (code, effect, ACCOUNT)
    assert said in found.sentence
    assert remedy in found.remedy
    assert found.subject == "account physics"


def test_an_account_with_something_left_and_no_hold_has_nothing_against_it() -> None:
    assert explain_account(account(), is_above=False, now=NOW) == []
    assert explain_account(account(holds=(Hold("hpc", ASKED),)), is_above=False, now=NOW) == []
    assert explain_account(account(limit=None), is_above=False, now=NOW) == []


def test_a_hold_by_hand_is_not_all_where_nothing_is_left_either() -> None:
    known = used_up(hold_reason="audit", holds=(Hold("hpc", HELD),))
    found = explain_account(known, is_above=False, now=NOW)
    assert [one.code for one in found] == ["held_by_hand", "nothing_left"]


def test_each_cluster_is_as_it_is() -> None:
    holds = (Hold("one", HELD), Hold("two", FREE), Hold("three", OTHERS, ("GrpJobs",)))
    found = explain_account(used_up(holds=holds), is_above=True, now=NOW)
    assert [(one.code, one.effect, one.scope, one.clusters) for one in found] == [
        ("held_by_others", STOPS, ABOVE, ("three",)),
        ("nothing_left", STOPS, ABOVE, ("one",)),
        ("nothing_left", COMING, ABOVE, ("two",)),
    ]


def test_what_is_held_by_others_alone_is_the_banks_to_hold_later() -> None:
    known = used_up(holds=(Hold("hpc", OTHERS, ("GrpJobs",)),))
    _, after = explain_account(known, is_above=False, now=NOW)
    assert "once that limit is lifted" in after.sentence


def test_grants_that_come_and_go() -> None:
    grants = (
        Grant("in force", 50 * SU, 20 * SU, 25, "2027-01-01", "2027-01-25", NOW + 10 * DAY),
        Grant("in force", 50 * SU, 20 * SU, 0, "2027-01-01", "2027-02-20", NOW + 31 * DAY),
        Grant("in force", 50 * SU, 20 * SU, 0, "2027-01-01", "", None),
        Grant("promised", 70 * SU, 0, 0, "2027-01-16", "2027-04-16", NOW + 90 * DAY),
    )
    ending, promised = explain_account(account(grants=grants), is_above=False, now=NOW)
    assert (ending.code, promised.code) == ("grant_ending", "grant_promised")
    said = "50 SUs ends on 2027-01-25, and with it what is unused then: 20 now; 25 % are carried"
    assert said in ending.sentence
    assert "70 SUs starts on 2027-01-16" in promised.sentence
    assert promised.numbers["amount_billing_seconds"] == 70 * SU


def test_limits_of_users() -> None:
    limits = (
        UserLimit("ada", 10 * SU, 10 * SU, is_held=True),
        UserLimit("bob", 10 * SU, SU),
        UserLimit("cy", 10 * SU, 11 * SU),
        UserLimit("dan", 10 * SU, SU, is_held=True),
    )
    known = account(user_limits=limits)
    used, left, soon, late = explain_users(known, None)
    assert (soon.code, soon.effect) == ("user_limit_used", COMING)
    assert (late.code, late.effect) == ("user_to_be_released", STOPS)
    assert verdict("physics", [soon], clusters=[]).startswith(
        "jobs of user cy in account physics st"
    )
    assert (used.code, used.effect, used.scope) == ("user_limit_used", STOPS, USER)
    assert used.sentence == (
        "nothing is left of their own limit: 10 of 10 SUs are used; the bank holds them"
    )
    assert used.remedy == "'slurm_bank.py limit_user physics ada 11' or more"
    assert (left.code, left.effect) == ("user_limit", NOTE)
    assert explain_users(known, "bob") == [left]


@pytest.mark.parametrize(
    ("own", "parent", "is_said"),
    [
        ({}, {"used": 90 * SU}, True),
        ({"limit": None}, {}, True),
        ({}, {}, False),
        ({}, {"limit": None}, False),
        ({}, {"used": 90 * SU, "is_open": False}, False),
        ({}, {"used": 100 * SU, "is_to_hold": True}, False),
    ],
)
def test_a_parent_with_less_is_said(
    own: dict[str, Any], parent: dict[str, Any], is_said: bool
) -> None:
    found = explain_parent(account(**own), account(name="dept", **parent))
    assert bool(found) == is_said
    for one in found:
        assert "dept above it has" in one.sentence


def test_who_pays_for_an_account_that_is_not_in_the_bank() -> None:
    assert explain_who_pays(account(), "dept") == []
    (gone,) = explain_who_pays(account(is_open=False), "dept")
    assert gone.sentence == "it was deleted from the bank: what it uses counts for account dept"
    (never,) = explain_who_pays(account(is_open=False, was_open=False), None)
    assert never.sentence == "it is not in the bank: what it uses counts for nobody"


@pytest.mark.parametrize(
    ("read_at", "code", "said"),
    [
        (None, "never_read", "never read"),
        (NOW - 42, "last_reading", "the bank read it last 42 seconds ago"),
        (NOW + 5, "last_reading", "0 seconds ago"),
        (NOW - 3600, "last_reading", "60 minutes ago"),
        (NOW - 3601, "no_passes", "60 minutes ago: what was used since is not booked"),
    ],
)
def test_how_old_a_reading_is(read_at: int | None, code: str, said: str) -> None:
    found = explain_reading(Reading("hpc", read_at), now=NOW)
    assert found.code == code
    assert said in found.sentence
    assert bool(found.remedy) == (code != "last_reading")


def reason(effect: str, scope: str, subject: str = "account physics") -> Reason:
    return Reason("code", effect, scope, subject, "why", clusters=("one",))


@pytest.mark.parametrize(
    ("first", "clusters", "said"),
    [
        (reason(STOPS, ACCOUNT), ["one"], "no job of account physics starts: why"),
        (reason(STOPS, ACCOUNT), ["one", "two"], "no job of account physics starts on one: why"),
        (
            reason(STOPS, ABOVE, "account dept"),
            ["one"],
            "no job of account physics starts: account dept: why",
        ),
        (
            reason(STOPS, USER, "user ada in account physics"),
            ["one"],
            "no job of user ada in account physics starts: why",
        ),
        (
            reason(WAITS, JOB, "job 7"),
            ["one"],
            "nothing stops account physics as a whole; job 7: why",
        ),
        (
            reason(COMING, ACCOUNT),
            ["one"],
            "jobs of account physics start until the next pass of the bank: why",
        ),
        (
            reason(UNKNOWN, CLUSTER, "cluster one"),
            ["one"],
            "nothing that is known stops jobs of account physics: why",
        ),
        (reason(NOTE, CLUSTER), ["one"], "nothing stops jobs of account physics"),
    ],
)
def test_the_verdict(first: Reason, clusters: list[str], said: str) -> None:
    notes = [reason(NOTE, JOB), reason(NOTE, ACCOUNT)]
    assert verdict("physics", in_order([*notes, first]), clusters=clusters) == said


_AMOUNTS = st.integers(0, 5 * SU)


@given(
    limit=st.none() | _AMOUNTS,
    used=_AMOUNTS,
    set_aside=_AMOUNTS,
    is_open=st.booleans(),
    hold_reason=st.sampled_from([None, "audit", periods.hold_reason("2026-11-20")]),
    states=st.lists(st.sampled_from([HELD, ASKED, OTHERS, FREE]), max_size=3),
    is_above=st.booleans(),
    others=st.lists(st.sampled_from(EFFECTS), max_size=3),
)
def test_never_is_nothing_said_to_stop_what_the_policy_holds(
    *,
    limit: int | None,
    used: int,
    set_aside: int,
    is_open: bool,
    hold_reason: str | None,
    states: list[str],
    is_above: bool,
    others: list[str],
) -> None:
    is_to_hold = hold_reason is not None or (is_open and has_nothing_left(limit=limit, used=used))
    known = account(
        is_open=is_open,
        limit=limit if is_open else None,
        used=used,
        counted=used,
        set_aside=set_aside,
        is_to_hold=is_to_hold,
        hold_reason=hold_reason,
        holds=tuple(Hold(f"c{number}", state, BY_CPU) for number, state in enumerate(states)),
    )
    found = explain_account(known, is_above=is_above, now=NOW)
    reasons = in_order([*found, *(reason(effect, JOB, "job 7") for effect in others)])
    said = verdict("physics", reasons, clusters=["c0"])
    is_stopped = is_to_hold or {HELD, OTHERS} & set(states)
    if is_stopped:
        assert found
        assert not said.startswith("nothing stops jobs")
    if {HELD, OTHERS} & set(states):
        assert reasons[0].effect == STOPS
        assert said.startswith("no job of account physics starts")
    if not is_stopped:
        assert found == []
    effects = [EFFECTS.index(one.effect) for one in reasons]
    assert effects == sorted(effects)


@given(st.integers(0, 10**7))
def test_spans_are_written_as_slurm_reads_them(minutes: int) -> None:
    assert spans.minutes(span(minutes)) == minutes


def test_times_as_people_read_them() -> None:
    assert (ago(1), ago(119), ago(120), ago(7200), ago(3 * DAY)) == (
        "1 second ago",
        "119 seconds ago",
        "2 minutes ago",
        "2 hours ago",
        "3 days ago",
    )
    assert time_text(0) == "1970-01-01T00:00:00Z"
