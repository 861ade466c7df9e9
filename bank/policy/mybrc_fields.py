"""Reports of jobs as clients of myBRC send them: what each field may be, and how it is shown.

Every field is read by a function that returns its value or raises InputError with what is allowed;
so a report is checked once, here, and all that is wrong with it is said at once.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from bank.errors import InputError
from bank.ledger.amounts import BILLING_SECONDS_PER_SU, MAX_SU
from bank.ledger.names import account_name

# By field, what is wrong with it; NO_FIELD is for what is wrong with several together.
Problems = dict[str, list[str]]
NO_FIELD = "non_field_errors"

# An amount of myBRC has two decimals, so each is a whole number of billing-seconds.
BILLING_SECONDS_PER_HUNDREDTH = BILLING_SECONDS_PER_SU // 100
JOB_KEY = "[0-9A-Za-z][0-9A-Za-z_.+-]{0,149}"
_DECIMALS = 2
_LONGEST_TEXT = 50
_LONGEST_NODE_NAME = 255
_INT32 = 2**31
# Hours; what is more than any job has run would add up to what JSON cannot say.
_MOST_HOURS = 1e12
_MOST_UID = 2**32 - 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*", re.ASCII)


class Told(NamedTuple):
    """What is told of a job beside its id, user, account and amount; None is not known.

    Attributes:
        submitdate, startdate, enddate: UTC microseconds.
        nodes: their names.
        raw_time, cpu_time: hours, and hours times CPUs.
    """

    submitdate: int | None = None
    startdate: int | None = None
    enddate: int | None = None
    jobstatus: str | None = None
    partition: str | None = None
    qos: str | None = None
    nodes: tuple[str, ...] = ()
    num_cpus: int | None = None
    num_req_nodes: int | None = None
    num_alloc_nodes: int | None = None
    raw_time: float | None = None
    cpu_time: float | None = None


class Report(NamedTuple):
    """A job as one request tells it.

    Attributes:
        job_key: the id that the client gave.
        uid: number of the user.
        account: its name.
        amount: billing-seconds; None where none was said.
        told: by field of `Told`, what was said; a field that is not in it was not.
    """

    job_key: str
    uid: int
    account: str
    amount: int | None
    told: dict[str, Any]


def read(body: Mapping[str, Any], job_key: str | None = None) -> Report | Problems:
    """Read the body of a request.

    Args:
        body: by field; of a form all values are text.
        job_key: the id in the address, None where there is none; the body must say the same.

    Returns:
        The report, or all that is wrong with it.
    """
    problems: Problems = {}
    values: dict[str, Any] = {}
    for name, (reads, is_needed) in _FIELDS.items():
        if name not in body:
            if is_needed:
                problems[name] = ["this field is needed"]
            continue
        try:
            values[name] = reads(body[name])
        except InputError as error:
            problems[name] = [str(error)]
    if job_key is not None and values.get("jobslurmid", job_key) != job_key:
        problems["jobslurmid"] = [f"the address names another job: {job_key}"]
    if problems or (problems := _out_of_order(values)):
        return problems
    key, uid, account = (values.pop(name) for name in ("jobslurmid", "userid", "accountid"))
    return Report(key, uid, account, values.pop("amount", None), values)


def _out_of_order(values: Mapping[str, Any]) -> Problems:
    found = []
    for first, second in (
        ("submitdate", "startdate"),
        ("startdate", "enddate"),
        ("submitdate", "enddate"),
    ):
        one, other = values.get(first), values.get(second)
        if one is not None and other is not None and one > other:
            found.append(f"{second} is before {first}")
    return {NO_FIELD: found} if found else {}


def shown_amount(billing_seconds: int) -> str:
    """Write an amount as SUs with two decimals, rounded half up.

    Example:
        >>> shown_amount(3636), shown_amount(17), shown_amount(18)
        ('1.01', '0.00', '0.01')
    """
    whole, rest = divmod(to_hundredths(billing_seconds) // BILLING_SECONDS_PER_HUNDREDTH, 100)
    return f"{whole}.{rest:02d}"


def to_hundredths(billing_seconds: int) -> int:
    """Return the amount of two decimals that is nearest, half up; billing-seconds."""
    half = BILLING_SECONDS_PER_HUNDREDTH // 2
    return (billing_seconds + half) // BILLING_SECONDS_PER_HUNDREDTH * BILLING_SECONDS_PER_HUNDREDTH


def shown_time(microseconds: int | None) -> str | None:
    """Write a time as clients read it: ISO 8601, UTC; parts of a second where it has some."""
    if microseconds is None:
        return None
    moment = (_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=None)
    return f"{moment.isoformat()}Z"


def read_amount(value: object) -> int:
    """Read an amount of SUs, text or a number of JSON, as billing-seconds.

    Raises:
        InputError: it is not a plain decimal from 0 with at most two decimals.
    """
    allowed = f"give SUs from 0 to less than {MAX_SU} with at most two decimals, such as '12.50'"
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise InputError(allowed)
    try:
        amount = Decimal(value.strip()) if isinstance(value, str) else Decimal(value)
    except InvalidOperation as error:
        raise InputError(allowed) from error
    # A not-a-number is neither smaller nor larger than anything, and comparing it raises.
    if not amount.is_finite() or not 0 <= amount < MAX_SU:
        raise InputError(allowed)
    # Of a finite one the exponent is a number.
    if int(amount.as_tuple().exponent) < -_DECIMALS:
        raise InputError(allowed)
    return int(amount * BILLING_SECONDS_PER_SU)


def _moment(value: object) -> int | None:
    if value is None or value == "":
        return None
    allowed = "give a date and time such as 2027-01-31T12:00:00Z; without a zone it is UTC"
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        raise InputError(allowed)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise InputError(allowed) from error
    zoned = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    microseconds = (zoned - _EPOCH) // timedelta(microseconds=1)
    try:
        shown_time(microseconds)
    except OverflowError as error:
        # The last hours of year 9999 west of Greenwich.
        raise InputError(allowed) from error
    return microseconds


def _text(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise InputError(f"give text of at most {_LONGEST_TEXT} characters, or null")
    return value


def _count(value: object) -> int | None:
    if value is None or value == "":
        return None
    number = _whole(value)
    if number is None or not -_INT32 <= number < _INT32:
        raise InputError("give a whole number of 32 bits, or null")
    return number


def _whole(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch("-?[0-9]{1,11}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _hours(value: object) -> float | None:
    if value is None or value == "":
        return None
    allowed = "give a number of hours, or null"
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise InputError(allowed)
    try:
        hours = float(value)
    except (ValueError, OverflowError) as error:
        raise InputError(allowed) from error
    if not math.isfinite(hours) or abs(hours) > _MOST_HOURS:
        raise InputError(allowed)
    return hours


def _nodes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InputError('give a list such as [{"name": "n0001"}]')
    names: dict[str, None] = {}
    for one in value:
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str) or len(name) > _LONGEST_NODE_NAME or not name.isprintable():
            raise InputError(f"each node has a name of at most {_LONGEST_NODE_NAME} characters")
        # A job that never got a node is told with one without a name.
        if name.strip():
            names[name] = None
    return tuple(names)


def read_uid(value: object) -> int:
    """Read the number of a user.

    Raises:
        InputError: it is none that a system can give.
    """
    number = _whole(value)
    if number is None or not 0 <= number <= _MOST_UID:
        raise InputError("give the number of a user, such as '1000'")
    return number


def _job_key(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(JOB_KEY, text):
        raise InputError(
            "give the id of a job, such as '12345' or '12345_7': up to 150 letters, digits and"
            " _ . + - are allowed, first a letter or a digit"
        )
    return text


def _account(value: object) -> str:
    if not isinstance(value, str):
        raise InputError("give the name of an account")
    return account_name(value)


_FIELDS: dict[str, tuple[Callable[[object], Any], bool]] = {
    "jobslurmid": (_job_key, True),
    "userid": (read_uid, True),
    "accountid": (_account, True),
    "amount": (read_amount, False),
    "submitdate": (_moment, False),
    "startdate": (_moment, False),
    "enddate": (_moment, False),
    "jobstatus": (_text, False),
    "partition": (_text, False),
    "qos": (_text, False),
    "nodes": (_nodes, False),
    "num_cpus": (_count, False),
    "num_req_nodes": (_count, False),
    "num_alloc_nodes": (_count, False),
    "raw_time": (_hours, False),
    "cpu_time": (_hours, False),
}
