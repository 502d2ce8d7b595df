"""Drawings of what outcomes say, as inline SVG: values by day, curves, and intervals side by side.

What a picture says is in its title in words, too; colours are the page's, by class, and nothing is told by a colour
alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from math import ceil, floor, log10
from typing import Final

from modelward_inference.drift_report.worth import CalibratedBin, DayMeasure, LossRise, Measure

WIDTH: Final = 400
"""Units of drawings that are as wide as those of drift."""

SQUARE: Final = 260
"""Units of the sides of a curve's drawing."""

LONGEST: Final = 18
"""Characters of a name that are drawn."""

DAY: Final = 86400.0

_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, WIDTH - 10.0, 18.0, 140.0


@dataclass(frozen=True)
class Maturity:
    """From `matured` on outcomes are still to come, as was known at `now`: seconds since the epoch."""

    matured: float
    now: float


@dataclass(frozen=True)
class _Axis:
    """From values to places of a drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        held = min(max(value, self.low), self.high)
        return self.start + (self.end - self.start) * (held - self.low) / ((self.high - self.low) or 1.0)


def by_day(
    days: Sequence[DayMeasure], maturity: Maturity, reference: Measure | None, estimate: Measure | None,
    rises: Sequence[LossRise], title: str,
) -> str:  # fmt: skip
    """One metric. `days`: at least one, in the order of time; `reference`: a dashed line; `estimate`: of what has not
    matured; `rises`: of the loss, whose beginnings are marked."""
    x = _Axis(days[0].day, max(maturity.now, days[-1].day + DAY), _LEFT, _RIGHT)
    y = _Axis(*_span([each.measure for each in days], reference, estimate), _BOTTOM, _TOP)
    parts = [_waiting(x, y, maturity, estimate), _ticks(y), _dates(x)]
    if reference is not None:
        parts.append(_line("cut", _LEFT, y(reference.value), _RIGHT, y(reference.value)))
    for own in _by_revision(days):
        line = _path([(x(each.day + DAY / 2), y(each.measure.value)) for each in own], "line")
        parts += [_band(own, x, y), line, *(_point(each, x, y) for each in own)]
    for own in _by_revision(days)[1:]:
        at = x(own[0].day)
        side = "end" if at > WIDTH * 0.7 else "start"
        parts.append(_line("change", at, _TOP, at, _BOTTOM))
        parts.append(f'<text x="{at + (-3 if side == "end" else 3):.1f}" y="{_TOP - 6:.0f}" class="{side}">'
                     f"{_cut(own[0].revision)}</text>")  # fmt: skip
    for each in rises:
        at = x(each.since)
        parts.append(_line("rose", at, _TOP, at, _BOTTOM))
        parts.append(f'<path class="alarm" d="M{at - 5:.1f} {_BOTTOM} h10 l-5 -8 z"/>')
    return _drawing(WIDTH, _BOTTOM + 22, title, "".join(parts))


def roc(points: Sequence[tuple[float, float]], title: str) -> str:
    x, y = _Axis(0.0, 1.0, 40.0, SQUARE - 8.0), _Axis(0.0, 1.0, SQUARE - 40.0, 8.0)
    curve = [(x(false), y(true)) for false, true in points]
    area = f'<polygon class="band" points="{_places([*curve, (x(1), y(0)), (x(0), y(0))])}"/>'
    content = _frame(x, y, "false positive rate", "true positive rate")
    return _drawing(SQUARE, SQUARE, title, content + area + _line("cut", x(0), y(0), x(1), y(1)) + _path(curve, "line"))


def calibration(bins: Sequence[CalibratedBin], title: str) -> str:
    """Where dots are on the dashed line scores are what they say; the larger a dot, the more rows it is of."""
    x, y = _Axis(0.0, 1.0, 40.0, SQUARE - 8.0), _Axis(0.0, 1.0, SQUARE - 40.0, 8.0)
    most = max(each.share.rows for each in bins) or 1
    parts = [_frame(x, y, "mean score", "share that was positive"), _line("cut", x(0), y(0), x(1), y(1))]
    parts.append(_path([(x(each.score), y(each.share.value)) for each in bins], "line thin"))
    for each in bins:
        share = each.share
        at, radius = x(each.score), 2.0 + 4.5 * (share.rows / most) ** 0.5
        if share.low is not None and share.high is not None:
            parts.append(_line("whisker", at, y(share.low), at, y(share.high)))
        told = f"score {each.score:.3f}: {share.value:.3f} positive of {share.rows:,} rows"
        parts.append(f'<circle class="point" cx="{at:.1f}" cy="{y(share.value):.1f}" r="{radius:.1f}">'
                     f"<title>{told}</title></circle>")  # fmt: skip
    return _drawing(SQUARE, SQUARE, title, "".join(parts))


def side_by_side(
    rows: Sequence[tuple[str, Measure, bool]], line: float | None, title: str, *, percent: bool = False
) -> str:
    """Values with their intervals, one below the other. `rows`: at least one: name, value, and whether it is marked;
    `line`: what they are held against."""
    low, high = _span([each for _, each, _ in rows], None if line is None else Measure(line, None, None, 0), None)
    x = _Axis(low, high, 124.0, WIDTH - 66.0)
    bottom = 8.0 + 20 * len(rows)
    parts = [_line("cut", x(line), 2, x(line), bottom)] if line is not None else []
    for place, (name, measure, marked) in enumerate(rows):
        at = 16.0 + 20 * place
        if measure.low is not None and measure.high is not None:
            parts.append(_line("whisker", x(measure.low), at, x(measure.high), at))
        mark = f'<path class="alarm" d="M{x(measure.value):.1f} {at - 6:.1f} l6 6 l-6 6 l-6 -6 z"/>'
        dot = f'<circle class="point" cx="{x(measure.value):.1f}" cy="{at:.1f}" r="4"/>'
        said = f"{measure.value:.2%}" if percent else f"{measure.value:.4g}"
        parts.append(
            f'<text x="118" y="{at + 4:.1f}" class="end">{_cut(name)}</text>{mark if marked else dot}'
            f'<text x="{WIDTH - 2}" y="{at + 4:.1f}" class="end">{said}</text>'
        )
    ticks = "".join(
        f'<text x="{x(level):.1f}" y="{bottom + 14:.0f}" class="middle">'
        f"{f'{100 * level:.3g} %' if percent else f'{level:.3g}'}</text>"
        for level in _nice(low, high, 4)
    )
    return _drawing(WIDTH, bottom + 20, title, "".join(parts) + ticks)


def _waiting(x: _Axis, y: _Axis, maturity: Maturity, estimate: Measure | None) -> str:
    """What has not matured: shaded, and where somebody knows with what it is most likely worth."""
    begin = x(maturity.matured)
    if _RIGHT - begin < 1:
        return ""
    parts = [f'<rect class="waiting" x="{begin:.1f}" y="{_TOP}" width="{_RIGHT - begin:.1f}" '
             f'height="{_BOTTOM - _TOP}"/>', _line("border", begin, _TOP, begin, _BOTTOM)]  # fmt: skip
    if estimate is not None:
        middle, at = (begin + _RIGHT) / 2, y(estimate.value)
        if estimate.low is not None and estimate.high is not None:
            parts.append(_line("whisker", middle, y(estimate.low), middle, y(estimate.high)))
        parts.append(f'<path class="guess" d="M{middle:.1f} {at - 6:.1f} l6 6 l-6 6 l-6 -6 z">'
                     f"<title>most likely {estimate.value:.4g}</title></path>")  # fmt: skip
    return "".join(parts)


def _band(days: Sequence[DayMeasure], x: _Axis, y: _Axis) -> str:
    known = [
        (x(each.day + DAY / 2), each.measure) for each in days if None not in (each.measure.low, each.measure.high)
    ]
    above = [(at, y(each.high)) for at, each in known if each.high is not None]
    below = [(at, y(each.low)) for at, each in known if each.low is not None]
    if len(known) == 1:  # A day alone has no area.
        return _line("whisker", *above[0], *below[0])
    return f'<polygon class="band" points="{_places([*above, *reversed(below)])}"/>' if known else ""


def _point(each: DayMeasure, x: _Axis, y: _Axis) -> str:
    own = each.measure
    interval = "" if own.low is None or own.high is None else f" ({own.low:.4g} to {own.high:.4g})"
    told = f"{_date(each.day)}: {own.value:.4g}{interval} of {own.rows:,} rows"
    return (
        f'<circle class="point" cx="{x(each.day + DAY / 2):.1f}" cy="{y(own.value):.1f}" r="2.5">'
        f"<title>{told}</title></circle>"
    )


def _by_revision(days: Sequence[DayMeasure]) -> list[list[DayMeasure]]:
    """In the order of their first days: a line does not go on from one to another."""
    found: dict[str, list[DayMeasure]] = {}
    for each in days:
        found.setdefault(each.revision, []).append(each)
    return list(found.values())


def _span(measures: Sequence[Measure], *others: Measure | None) -> tuple[float, float]:
    """What is drawn of the values: all of them, and of their intervals as much again at most, so that a day of three
    rows does not make a line of the others."""
    values = [each.value for each in (*measures, *others) if each is not None]
    low, high = min(values), max(values)
    room = (high - low) or abs(high) * 0.1 or 0.1
    least = min((each.low for each in measures if each.low is not None), default=low)
    most = max((each.high for each in measures if each.high is not None), default=high)
    low, high = max(min(least, low), low - room), min(max(most, high), high + room)
    edge = ((high - low) or room) * 0.06
    return low - edge, high + edge


def _nice(low: float, high: float, most: int) -> list[float]:
    """Round numbers within."""
    size = (high - low) / most
    if not size > 0:
        return [low]
    unit = 10.0 ** floor(log10(size))
    step = next((each * unit for each in (1, 2, 2.5, 5) if each * unit >= size), 10 * unit)
    found = [step * place for place in range(ceil(low / step), floor(high / step) + 1)]
    return [0.0 if abs(each) < step / 1000 else each for each in found]


def _ticks(y: _Axis) -> str:
    return "".join(
        f"{_line('rule', _LEFT, y(level), _RIGHT, y(level))}"
        f'<text x="{_LEFT - 4:.0f}" y="{y(level) + 4:.1f}" class="end">{level:.3g}</text>'
        for level in _nice(y.low, y.high, 4)
    )


def _dates(x: _Axis) -> str:
    """The first day, the last, and one between."""
    first, last = floor(x.low / DAY), floor((x.high - 1) / DAY)
    days = sorted({first, (first + last) // 2, last}) if last - first > 3 else [first]
    kinds = {first: "start", last: "end"}
    return "".join(
        f'<text x="{_RIGHT if day == last and day != first else x(day * DAY):.1f}" y="{_BOTTOM + 16:.0f}" '
        f'class="{kinds.get(day, "middle")}">{_date(day * DAY)}</text>'
        for day in days
    )  # fmt: skip


def _frame(x: _Axis, y: _Axis, across: str, upward: str) -> str:
    ticks = "".join(
        f"{_line('rule', x(0), y(level), x(1), y(level))}"
        f'<text x="{x(0) - 4:.0f}" y="{y(level) + 4:.1f}" class="end">{level:g}</text>'
        f'<text x="{x(level):.1f}" y="{y(0) + 14:.1f}" class="middle">{level:g}</text>'
        for level in (0, 0.25, 0.5, 0.75, 1)
    )
    middle = (y(0) + y(1)) / 2
    return (
        f'{ticks}<text x="{(x(0) + x(1)) / 2:.1f}" y="{y(0) + 30:.1f}" class="middle">{across}</text>'
        f'<text transform="translate(10 {middle:.1f}) rotate(-90)" class="middle">{upward}</text>'
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _path(points: Iterable[tuple[float, float]], kind: str) -> str:
    return f'<polyline class="{kind}" points="{_places(points)}"/>'


def _places(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _cut(name: str) -> str:
    return escape(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")


def _date(seconds: float) -> str:
    """UTC, as people say it: 29 Nov."""
    found = datetime.fromtimestamp(seconds, UTC)
    return f"{found.day} {found.strftime('%b')}"


def _drawing(width: float, height: float, title: str, content: str) -> str:
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img"><title>{escape(title)}</title>{content}</svg>'
