"""Bars and lines as SVG without any style of its own: the page's style sheet colours them. Pure.

What they show stands beside them as text, so they are hidden from who does not see.
"""

from collections.abc import Sequence
from typing import Final

from modelward_cli.page.markup import Html, element

WIDE: Final = 100
HIGH: Final = 24


def shares(parts: Sequence[tuple[str, int]]) -> Html:
    """One bar of 100 %. `parts`: a class of the style sheet, and percent."""
    drawn, left = [element("rect", class_="rest", x=0, y=0, width=WIDE, height=8)], 0
    for kind, percent in parts:
        wide = max(0, min(percent, WIDE - left))
        drawn.append(element("rect", class_=kind, x=left, y=0, width=wide, height=8))
        left += wide
    return _svg("bar", 8, drawn)


def steps(done: int, many: int) -> Html:
    """Steps of a rollout, of which `done` are behind it or under way."""
    many = max(1, min(many, 20))
    wide = WIDE / many
    drawn = [
        element("rect", class_="candidate" if place < done else "rest", x=f"{place * wide:.2f}", y=0,
                width=f"{wide - 1:.2f}", height=8)
        for place in range(many)
    ]  # fmt: skip
    return _svg("bar", 8, drawn)


def against(value: float, cut: float) -> Html:
    """A value beside what it has to reach, which is a line in the middle."""
    long = min(WIDE, WIDE / 2 * value / cut) if cut > 0 else WIDE * (value > 0)
    return _svg("bar", 8, [
        element("rect", class_="rest", x=0, y=0, width=WIDE, height=8),
        element("rect", class_="over" if value >= cut else "under", x=0, y=0, width=f"{max(0.0, long):.2f}", height=8),
        element("line", class_="cut", x1=WIDE // 2, y1=0, x2=WIDE // 2, y2=8),
    ])  # fmt: skip


def trail(values: Sequence[float], cut: float) -> Html | None:
    """Values from the oldest to the newest, and the cut; None: one value is no line."""
    if len(values) < 2:
        return None
    highest = max(*values, cut) or 1.0
    lowest = min(0.0, *values)

    def place(value: float) -> float:
        return HIGH - 1 - (HIGH - 2) * (value - lowest) / (highest - lowest or 1.0)

    points = " ".join(
        f"{WIDE * number / (len(values) - 1):.1f},{place(value):.1f}" for number, value in enumerate(values)
    )
    return _svg("trail", HIGH, [
        element("line", class_="cut", x1=0, y1=f"{place(cut):.1f}", x2=WIDE, y2=f"{place(cut):.1f}"),
        element("polyline", points=points),
    ])  # fmt: skip


def _svg(kind: str, high: int, drawn: Sequence[Html]) -> Html:
    box = f"0 0 {WIDE} {high}"
    return element("svg", drawn, class_=kind, viewBox=box, preserveAspectRatio="none", aria_hidden="true")
