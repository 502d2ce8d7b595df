"""The pod's own tumbling windows and what was measured in them. Kept in memory: who needs more reads the counts.

Lengths are of the monotonic clock; the wall clock is only shown, and may jump.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from modelward_drift.counting.counts import Counts, Quality, quality
from modelward_drift.judging.statistic import Statistic, measure
from modelward_monitor.counting.counter import State

KEPT: Final = 24

METRIC: Final = "psi"
"""What features are ranked by. It is there for every kind."""


@dataclass(frozen=True)
class Measured:
    """A feature in a window."""

    statistic: Statistic
    quality: Quality


@dataclass(frozen=True)
class Window:
    """`start`, `end`: of the wall clock, seconds since the epoch; `seconds`: that really passed; `rows`: counted;
    `features`: the worst first, without those that no row had."""

    start: float
    end: float
    seconds: float
    rows: int
    features: tuple[Measured, ...]
    closed: bool = True


class Windows:
    """`period`: seconds; `clock`: monotonic; `wall`: the time that is shown."""

    def __init__(self, period: float, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._period, self._clock, self._wall = period, clock, wall
        self._closed: deque[Window] = deque(maxlen=KEPT)
        self._base: State | None = None
        self._begin()

    def roll(self, state: State) -> None:
        """To be called now and then: closes the window when its time is over."""
        if self._base is None or self._base.digest != state.digest:
            self._base = state
            self._begin()
        elif self._clock() - self._since >= self._period:
            self._closed.append(self._measured(self._base, state, closed=True))
            self._base = state
            self._begin()

    @property
    def last(self) -> Window | None:
        """That has ended."""
        return self._closed[-1] if self._closed else None

    def all(self, state: State) -> list[Window]:
        """The newest first, which goes on."""
        running = [self._measured(self._base, state, closed=False)] if self._base and state.reference else []
        return [*running, *reversed(self._closed)]

    def _begin(self) -> None:
        self._since, self._start = self._clock(), self._wall()

    def _measured(self, base: State, state: State, *, closed: bool) -> Window:
        seconds = self._clock() - self._since
        rows = state.intake.counted - base.intake.counted
        counts = _since(base, state)
        features = [
            Measured(measure(profile, each, (METRIC,))[0], quality(each))
            for profile, each in zip(state.reference.profiles if state.reference else (), counts, strict=True)
            if each.rows
        ]
        features.sort(key=lambda each: -each.statistic.value)
        return Window(self._start, self._wall(), seconds, rows, tuple(features), closed)


def _since(base: State, state: State) -> Iterable[Counts]:
    if base.epoch != state.epoch or base.digest != state.digest:
        return state.counts
    return tuple(now - before for now, before in zip(state.counts, base.counts, strict=True))
