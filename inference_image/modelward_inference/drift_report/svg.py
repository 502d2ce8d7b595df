"""Small drawings as inline SVG: shares by cell, and a metric over time. Colours are the page's, by class."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from modelward_drift.judging.verdict import Decision
from modelward_drift.profiles.profile import Profile
from modelward_inference.drift_report.cells import Cell

WIDTH = 400
"""Units of all drawings, which are scaled to the page."""

MOST_CATEGORIES = 15
"""That are drawn; the table has all of them."""

LONGEST = 16
"""Characters of a category's name that are drawn."""

_TOP, _BOTTOM, _SIDE = 14, 120, 6
_LABELS = 128
"""Width of the categories' names."""

_ROW = 20


def histogram(
    profile: Profile, names: Sequence[Cell], reference: Sequence[float], current: Sequence[float], title: str
) -> str:
    """Shares by cell: wide pale bars for the reference, narrow full ones for the window. `names`: of the cells."""
    if profile.grid is None or names[0].special:
        return _categories(names, reference, current, title)
    return _bins(profile, names, reference, current, title)


def timeline(decisions: Sequence[Decision], starts: Sequence[float | None], title: str) -> str:
    """The metric in each window, and its cut."""
    values, cuts = [each.statistic.value for each in decisions], [each.cut for each in decisions]
    highest = max(*values, *cuts) * 1.1 or 1.0

    def x(index: int) -> float:
        return 40 + (WIDTH - 50) * (index / (len(values) - 1) if len(values) > 1 else 0.5)

    def y(value: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * value / highest

    def path(points: Sequence[float]) -> str:
        return " ".join(f"{x(index):.1f},{y(point):.1f}" for index, point in enumerate(points))

    marks = "".join(
        f'<circle class="{"alarm" if each.drifted else "point"}" cx="{x(index):.1f}" cy="{y(value):.1f}" '
        f'r="{4 if each.drifted else 1.5}"/>'
        for index, (each, value) in enumerate(zip(decisions, values, strict=True))
    )
    ticks = "".join(
        f'<line class="rule" x1="40" x2="{WIDTH - 10}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
        f'<text x="36" y="{y(level) + 4:.1f}" class="end">{level:.2g}</text>'
        for level in (0.0, highest / 1.1)
    )
    times = (
        f'<text x="40" y="{_BOTTOM + 16}">{moment(starts[0])}</text>'
        f'<text x="{WIDTH - 10}" y="{_BOTTOM + 16}" class="end">{moment(starts[-1])}</text>'
    )
    lines = f'<polyline class="cut" points="{path(cuts)}"/><polyline class="line" points="{path(values)}"/>'
    return _drawing(_BOTTOM + 22, title, ticks + lines + marks + times)


def moment(seconds: float | None) -> str:
    """UTC, to the minute."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def day(seconds: float) -> str:
    """UTC, as people say it: 29 Nov 20:00."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment.strftime('%b %H:%M')}"


def _bins(
    profile: Profile, names: Sequence[Cell], reference: Sequence[float], current: Sequence[float], title: str
) -> str:
    bins = profile.bins
    seen = [cell for cell in range(bins, len(reference)) if reference[cell] or current[cell]]
    slots = bins + len(seen) + (0.5 if seen else 0)
    slot = (WIDTH - 2 * _SIDE) / slots
    highest = max(*reference, *current) or 1.0
    parts = [f'<text x="{_SIDE}" y="10">{highest:.1%}</text>']

    def bar(cell: int, place: float) -> None:
        for kind, share, inset in (("reference", reference[cell], 0.06), ("current", current[cell], 0.27)):
            height = (_BOTTOM - _TOP) * share / highest
            parts.append(
                f'<rect class="{kind}" x="{_SIDE + slot * (place + inset):.1f}" y="{_BOTTOM - height:.1f}" '
                f'width="{slot * (1 - 2 * inset):.1f}" height="{height:.1f}"/>'
            )

    for cell in range(bins):
        bar(cell, cell)
    for position, cell in enumerate(seen):
        place = bins + 0.5 + position
        bar(cell, place)
        name = names[cell].text.removesuffix(" values")
        parts.append(
            f'<text x="{min(_SIDE + slot * (place + 0.5), WIDTH - 32):.1f}" y="{_BOTTOM + 14}" '
            f'class="middle special">{name}</text>'
        )
    edges = profile.grid.edges if profile.grid else ()
    labels = [_label(edge) for edge in edges]
    every = 1 + int(max(map(len, labels), default=0) * 7 // slot)
    parts += [
        f'<text x="{_SIDE + slot * (index + 1):.1f}" y="{_BOTTOM + 14}" '
        f'class="middle{" spare" if index // every % 2 else ""}">{label}</text>'
        for index, label in enumerate(labels)
        if index % every == 0
    ]
    parts.append(f'<line class="rule" x1="{_SIDE}" x2="{WIDTH - _SIDE}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>')
    return _drawing(_BOTTOM + 22, title, "".join(parts))


def _label(edge: float) -> str:
    """Three digits, without an exponent where the number can do without one."""
    short = f"{edge:.3g}"
    return f"{edge:.0f}" if "e+" in short and abs(edge) < 1e7 else short


def _categories(names: Sequence[Cell], reference: Sequence[float], current: Sequence[float], title: str) -> str:
    seen = [cell for cell in range(len(names)) if reference[cell] or current[cell]]
    most = sorted(seen, key=lambda cell: -abs(current[cell] - reference[cell]))[:MOST_CATEGORIES]
    chosen = [cell for cell in seen if cell in set(most)]
    highest = max((max(reference[cell], current[cell]) for cell in chosen), default=1.0)
    scale = (WIDTH - _LABELS - 118) / highest
    parts = []
    for row, cell in enumerate(chosen):
        top = 4 + _ROW * row
        text = names[cell].text
        name = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
        style = "end special" if names[cell].special else "end"
        parts.append(
            f'<text x="{_LABELS - 6}" y="{top + 13}" class="{style}">{escape(name)}</text>'
            f'<rect class="reference" x="{_LABELS}" y="{top + 1}" width="{reference[cell] * scale:.1f}" height="16"/>'
            f'<rect class="current" x="{_LABELS}" y="{top + 5}" width="{current[cell] * scale:.1f}" height="8"/>'
            f'<text x="{WIDTH - 4}" y="{top + 13}" class="end">{reference[cell]:.1%} → {current[cell]:.1%}</text>'
        )
    return _drawing(8 + _ROW * len(chosen), title, "".join(parts))


def _drawing(height: int, title: str, content: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(title)}</title>{content}</svg>'
