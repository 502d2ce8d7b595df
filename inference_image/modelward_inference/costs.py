"""Whether a prediction is short enough to run in the event loop itself, learned from those before.

Handing a prediction to a thread costs more than a small model does, and a long one in the loop would hold up every
other request and the probes. Sizes are elements of all inputs, in classes of powers of two: what is short for one row
may be long for a thousand. What counts is how many were too long, not their mean: a busy machine now and then stops any
of them for milliseconds. Invariant: a size that was never measured is not cheap,
unless a larger one is.
"""

import math
import time
from collections.abc import Callable

INLINE_BUDGET = 200e-6
"""Seconds that a prediction may hold the loop: a few times what a hop to a thread and back costs (50-100 µs)."""

RETRY = 30.0
"""Seconds until a size that turned out long is tried in the loop again."""

_WEIGHT = 1 / 4
"""Of a new measurement in the share of those too long: three in a row tip it."""

_CLASSES = 64


class Costs:
    """The share of predictions that were too long, by size. `clock`: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._too_long = [1.0] * _CLASSES
        self._known = [False] * _CLASSES
        self._barred_until = [-math.inf] * _CLASSES
        self.cheap_size = -1
        """The largest size that is cheap; -1 where none is known to be. What is smaller takes no longer."""

    def inline(self, size: int, seconds: float) -> None:
        """A prediction in the loop took that long."""
        kind = size.bit_length()
        self._learn(kind, seconds)
        if self._too_long[kind] > 0.5:
            self._barred_until[kind] = self._clock() + RETRY
            self._known[kind] = False
            self._update()

    def threaded(self, size: int, cpu_seconds: float) -> None:
        """A prediction in a thread used so much of the processor; its wall time would count waiting for others."""
        kind = size.bit_length()
        if self._clock() >= self._barred_until[kind]:
            self._learn(kind, cpu_seconds)
            self._update()

    def _learn(self, kind: int, seconds: float) -> None:
        sample = 1.0 if seconds > INLINE_BUDGET else 0.0
        weight = _WEIGHT if self._known[kind] else 1.0
        self._known[kind] = True
        self._too_long[kind] += (sample - self._too_long[kind]) * weight

    def _update(self) -> None:
        largest = -1
        for kind, share in enumerate(self._too_long):
            if share <= 0.5:
                largest = kind
            elif self._known[kind] or self._barred_until[kind] > -math.inf:
                break
        self.cheap_size = (1 << largest) - 1 if largest >= 0 else -1
