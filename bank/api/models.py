"""The shapes of what is asked and answered, for the description of the interface.

Amounts come twice: as SUs in text, exact to four decimals, for people, and as whole billing-seconds
(3600 make one SU). None is unlimited.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bank.ledger.amounts import MAX_SU

# One name, as Slurm's commands can be given it without misreading it.
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.@+\-]{0,254}$"
_TEXT = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
Text = Annotated[str, StringConstraints(pattern=_TEXT, max_length=500)]
# As many tasks as Slurm's largest MaxArraySize lets an array have.
_MOST_TASKS = 4_000_001
_LARGEST_JOB_ID = 2**32 - 1
_DAY_SECONDS = 86_400


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Share(_Exact):
    """What of an account is on one cluster."""

    cluster: str
    used_su: str
    set_aside_su: str
    used_billing_seconds: int
    set_aside_billing_seconds: int
    is_held: bool
    held_above: list[str]


class UserState(_Exact):
    """Where a user stands who has a limit in an account."""

    user: str
    limit_su: str
    used_su: str
    left_su: str
    held: str
    is_held: bool
    limit_billing_seconds: int
    used_billing_seconds: int
    left_billing_seconds: int


class AccountState(_Exact):
    """Where an account stands."""

    account: str
    is_open: bool
    limit_su: str | None
    used_su: str
    set_aside_su: str
    available_su: str | None
    percent: int | None
    held: str = Field(description="no, or by whom and why")
    is_held: bool
    held_above: list[str]
    period_started_on: str | None
    credit_su: str
    credit_billing_seconds: int
    limit_billing_seconds: int | None
    used_billing_seconds: int
    set_aside_billing_seconds: int
    available_billing_seconds: int | None
    clusters: list[Share]
    users: list[UserState]


class Accounts(_Exact):
    """Where all accounts stand that the caller may see."""

    accounts: list[AccountState]


class Event(_Exact):
    """An entry, or a change that is not an amount."""

    kind: str
    reference: str | None
    at: str
    amount_su: str | None
    granted_su: str | None
    used_su: str | None
    cluster: str | None
    user: str | None
    actor: str
    reason: str


class Events(_Exact):
    """A part of an account's history."""

    entries: list[Event]
    next: int | None = Field(description="what `after` is to be for those that follow")


class LienState(_Exact):
    """SUs set aside for one job, or one array of jobs."""

    token: str
    cluster: str
    account: str
    user: str
    job: int | None
    is_array: bool
    state: str = Field(description="placed, bound, settled, voided or expired")
    set_aside_su: str
    set_aside_billing_seconds: int
    tasks: int
    tasks_at_once: int
    tasks_ended: int
    placed_by: str
    placed: str
    bound: str | None
    gone: str | None
    expires: str | None
    ended: str | None
    is_held: bool
    reason: str


class Liens(_Exact):
    """Liens that the caller may see."""

    liens: list[LienState]


class LienRequest(_Exact):
    """SUs that are to be set aside for a job."""

    account: Name
    user: Name
    cluster: Name
    cost_su: str = Field(
        description="what the job, or each task of it, may cost at most: as many SUs",
        pattern=r"^[0-9]{1,11}(\.[0-9]{1,4})?$",
        examples=["480", "99.5"],
    )
    tasks: int = Field(default=1, ge=1, le=_MOST_TASKS, description="of its array")
    at_once: int | None = Field(
        default=None,
        ge=1,
        le=_MOST_TASKS,
        description="for how many tasks something is set aside at a time; all, if not given",
    )
    job: int | None = Field(default=None, ge=1, le=_LARGEST_JOB_ID, description="Slurm's number")
    is_array: bool = Field(default=False, description="whether job is that of a whole array")
    expires_in_seconds: int = Field(
        default=_DAY_SECONDS,
        ge=1,
        le=366 * _DAY_SECONDS,
        description="after which it sets nothing aside any more, if no job is known by then",
    )
    reason: Text = ""


class Placed(_Exact):
    """What came of asking for a lien."""

    lien: LienState | None = Field(description="none where the account is not the bank's business")
    account: str
    cost_su: str
    cost_billing_seconds: int
    available_su: str | None = Field(description="what the account has after it; none: unlimited")
    is_repeat: bool


class QuoteRequest(_Exact):
    """A job as it would be given to sbatch."""

    arguments: list[Annotated[str, StringConstraints(pattern=_TEXT, max_length=4096)]] = Field(
        default=[], max_length=200, examples=[["-A", "physics", "-n", "4", "-t", "1:00:00"]]
    )
    script: str | None = Field(default=None, description="the text of the batch script")
    user: Name | None = Field(default=None, description="whose job it would be")


Quote = dict[str, Any]
Statement = dict[str, Any]

assert MAX_SU == 10**11, "cost_su has as many digits"
