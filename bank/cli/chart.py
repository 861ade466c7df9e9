"""The burn-down chart: what an account had left and may have left, drawn with characters."""

from collections.abc import Sequence
from typing import NamedTuple

# What had been left; what will be at the highest rate; at the expected one; at the lowest one.
_BLOCKS = ("█", "▓", "▒", "░")
_ASCII = ("#", "=", "-", ".")
# How much of a cell of the past is filled, in parts of one cell.
_PARTS = 8
_FILLED = (" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█")
_LEAST_WIDTH = 30
_AXIS, _CORNER, _ASCII_AXIS, _ASCII_CORNER = "│", "└", "|", "+"


class Point(NamedTuple):
    """What is left at an instant; of the past all three are the same.

    Attributes:
        at: a number that grows with time.
        least, expected, most: amounts.
    """

    at: int
    least: int
    expected: int
    most: int


class Text(NamedTuple):
    """What stands beside the chart.

    Attributes:
        top: the amount that is as high as the chart.
        start, now, end: the days at the left, at the border of past and future, and at the right.
    """

    top: str
    start: str
    now: str
    end: str


def drawn(
    points: Sequence[Point], now: int, text: Text, *, width: int, height: int, is_ascii: bool
) -> list[str]:
    """Return the lines of a chart; none where it is too narrow to say anything.

    Args:
        points: in the order of time, at least one.
        now: what is before is known.
        text: what stands beside it.
        width: of the terminal.
        height: of the chart, in lines.
        is_ascii: use no other characters.
    """
    margin = len(text.top) + 2
    columns = width - margin
    if columns < _LEAST_WIDTH or points[-1].at <= points[0].at:
        return []
    first, span = points[0].at, points[-1].at - points[0].at
    top = max(1, *(point.most for point in points))
    times = [first + span * column // (columns - 1) for column in range(columns)]
    bars = [
        _bar(_at(points, at), top, height, is_past=at <= now, is_ascii=is_ascii) for at in times
    ]
    axis, corner = (_ASCII_AXIS, _ASCII_CORNER) if is_ascii else (_AXIS, _CORNER)
    lines = []
    for row in reversed(range(height)):
        label = text.top if row == height - 1 else "0" if row == 0 else ""
        drawn_row = "".join(bar[row] for bar in bars)
        lines.append(f"{label:>{margin - 2}} {axis}{drawn_row}".rstrip())
    line = "-" if is_ascii else "─"
    lines.append(f"{'':{margin - 1}}{corner}{line * columns}")
    border = (now - first) * (columns - 1) // span
    lines.append(" " * margin + _days(text, border, columns))
    return lines


def _days(text: Text, border: int, columns: int) -> str:
    """Return the days under the chart: those that would stand in each other are left out."""
    line = text.start.ljust(columns)
    last = columns - len(text.end)
    if border > len(text.start) and border + len(text.now) < last:
        line = line[:border] + text.now + line[border + len(text.now) :]
    return line[:last] + text.end


def _at(points: Sequence[Point], at: int) -> Point:
    """Return a point between two that are known, on a straight line."""
    before = points[0]
    for point in points:
        if point.at > at:
            part, whole = at - before.at, point.at - before.at
            amounts = zip(before[1:], point[1:], strict=True)
            return Point(at, *(one + (other - one) * part // whole for one, other in amounts))
        before = point
    return before


def _bar(point: Point, top: int, height: int, *, is_past: bool, is_ascii: bool) -> list[str]:
    """Return the characters of one column, from the bottom up."""
    past, least, expected, most = _ASCII if is_ascii else _BLOCKS
    levels = [max(amount, 0) * height * _PARTS // top for amount in point[1:]]
    bar = []
    for bottom in range(0, height * _PARTS, _PARTS):
        middle = bottom + _PARTS // 2
        shades = list(zip(levels, (least, expected, most), strict=True))
        if is_past and not is_ascii:
            bar.append(_FILLED[min(max(levels[0] - bottom, 0), _PARTS)])
        elif is_past:
            bar.append(past if levels[0] >= middle else " ")
        else:
            bar.append(next((shade for level, shade in shades if level >= middle), " "))
    return bar


def legend(*, is_ascii: bool) -> str:
    """Return what the characters mean."""
    past, least, expected, most = _ASCII if is_ascii else _BLOCKS
    return (
        f"{past} was left  {least} will be left at the highest rate"
        f"  {expected} at the expected  {most} at the lowest"
    )
