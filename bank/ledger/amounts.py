"""Amounts: billing-seconds inside, SUs at the edges.

One SU is one billing TRES for one hour, so 3600 billing-seconds. An amount is always an `int`.
"""

import re

from bank.errors import InputError

BILLING_SECONDS_PER_SU = 3600
BILLING_SECONDS_PER_MINUTE = 60
# The largest amount of one command: 64 bits hold twenty thousand of them in one account.
MAX_SU = 100_000_000_000

_SU_TEXT = re.compile(r"([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.([0-9]+))?")


def parse_su(text: str) -> int:
    """Read an amount of SUs as a person types it.

    Returns:
        The amount in billing-seconds, at least 0.

    Raises:
        InputError: it is not a whole or decimal number such as 10000, 10,000 or 99.5: signs,
            exponents, underscores and units are refused, and so is a fraction that is neither a
            whole number of billing-seconds nor written as `format_su` writes one.

    Units:
        SU x 3600 = billing-seconds.

    Example:
        >>> parse_su("10,000.5")
        36001800
    """
    match = _SU_TEXT.fullmatch(text)
    if match is None:
        raise InputError(
            f"{text!r} is not an amount of SUs: give a number such as 10000, 10,000 or 99.5;"
            " insert and modify also take -1, which is unlimited"
        )
    whole, decimals = match.group(1).replace(",", ""), match.group(2) or ""
    if len(whole.lstrip("0")) > len(str(MAX_SU)) or int(whole) >= MAX_SU:
        raise InputError(f"{text!r} is too large: an amount is less than {MAX_SU:,} SUs")
    scaled = int(whole + decimals) * BILLING_SECONDS_PER_SU
    amount, rest = divmod(scaled, int("1" + "0" * len(decimals)))
    if rest == 0:
        return amount
    # Four decimals name one billing-second and no other: what the bank has printed it takes.
    printed = f"{int(whole)}.{decimals}".rstrip("0")
    for near in (amount, amount + 1):
        if format_su(near) == printed:
            return near
    raise InputError(
        f"{text!r} is not a whole number of billing-seconds (3600 make one SU): the nearest are"
        f" {format_su(amount)} and {format_su(amount + 1)}"
    )


def format_su(billing_seconds: int) -> str:
    """Write an amount as SUs, with as many decimals as it needs, at most four.

    Example:
        >>> format_su(36001800), format_su(1), format_su(-1800)
        ('10000.5', '0.0003', '-0.5')
    """
    sign = "-" if billing_seconds < 0 else ""
    whole, rest = divmod(abs(billing_seconds), BILLING_SECONDS_PER_SU)
    # One billing-second is 0.00028 SU, so four decimals tell every amount from the next, and even
    # the last fraction, 3599 of 3600, is not rounded up to a whole.
    ten_thousandths = (rest * 10_000 + BILLING_SECONDS_PER_SU // 2) // BILLING_SECONDS_PER_SU
    decimals = f".{ten_thousandths:04d}".rstrip("0").rstrip(".")
    return f"{sign}{whole}{decimals}"


def format_known_su(billing_seconds: int | None) -> str | None:
    """Write an amount as `format_su` does; what is no amount, None, stays None."""
    return None if billing_seconds is None else format_su(billing_seconds)
