"""TRES lists: "cpu=64,mem=1G,gres/gpu=4" as Slurm prints them."""

import re
from fractions import Fraction

from bank.errors import OutputNotUnderstood

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGTPE]?)")
_POWER = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
# Slurm counts mem and the burst buffers in megabytes; its own lists print them with a unit.
_IN_MEGABYTES = 2


def quantities(text: str) -> dict[str, Fraction]:
    """Read a TRES list whose values may have units and decimals: AllocTRES, TRESBillingWeights.

    Returns:
        By name in lower case; memory in megabytes, where it has a unit.

    Source:
        slurm.conf(5), TRESBillingWeights: "Mem=0.25G" weighs each gigabyte. sacct(1), AllocTRES.
    """
    found = {}
    for part in text.split(",") if text else ():
        name, equals, value = part.partition("=")
        match = _NUMBER.fullmatch(value)
        if not (name and equals and match):
            raise OutputNotUnderstood(f"{part!r} in {text!r} is not a TRES and a number")
        number, unit = Fraction(match.group(1)), match.group(2)
        if unit:
            number *= Fraction(1024) ** (_POWER[unit] - _IN_MEGABYTES)
        found[name.lower()] = number
    return found


def weights(text: str) -> dict[str, Fraction]:
    """Read TRESBillingWeights; the weight of memory is returned for one megabyte.

    Source:
        slurm.conf(5), TRESBillingWeights: a unit behind a weight is the unit it is for.
    """
    found = {}
    for part in text.split(",") if text else ():
        name, equals, value = part.partition("=")
        match = _NUMBER.fullmatch(value)
        if not (name and equals and match):
            raise OutputNotUnderstood(f"{part!r} in {text!r} is not a TRES and a weight")
        number, unit = Fraction(match.group(1)), match.group(2)
        if unit:
            number /= Fraction(1024) ** (_POWER[unit] - _IN_MEGABYTES)
        found[name.lower()] = number
    return found
