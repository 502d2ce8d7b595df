"""How long a prediction will take, learned from those before: whether it may run in the event loop itself.

Handing a prediction to a thread costs more than a small model does, and a long one in the loop would hold up every
other request and the probes. Sizes are elements of all inputs, in classes of powers of two: what is cheap for one row
may be long for a thousand. Invariant: a size that was never measured is not cheap.
"""

import math
import time
from collections.abc import Callable

INLINE_BUDGET = 200e-6
"""Seconds that a prediction may hold the loop: a few times what a hop to a thread and back costs (50-100 µs)."""

RETRY = 30.0
"""Seconds until a size that turned out long is tried in the loop again: it may have been a pause of the machine."""

_WEIGHT = 1 / 8
"""Of a new measurement; about the last dozen count."""

_CLIP = 4 * INLINE_BUDGET
"""More than that tells nothing new: one pause of the machine must not bar a size, three in a row do."""

_CLASSES = 64


class Costs:
    """Moving averages of the time by size. `clock`: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._average = [math.inf] * _CLASSES
        self._barred_until = [-math.inf] * _CLASSES
        self.cheap_size = 0
        """The largest size that is cheap; 0 where none is known to be."""

    def cheap(self, size: int) -> bool:
        return self._average[size.bit_length()] <= INLINE_BUDGET

    def inline(self, size: int, seconds: float) -> None:
        """A prediction in the loop took that long on the wall's clock."""
        kind = size.bit_length()
        self._learn(kind, seconds)
        if self._average[kind] > INLINE_BUDGET:
            self._barred_until[kind] = self._clock() + RETRY
            self._average[kind] = math.inf
            self._update()

    def threaded(self, size: int, cpu_seconds: float) -> None:
        """A prediction in a thread used so much of the processor; its wall time would count waiting for others."""
        kind = size.bit_length()
        if self._average[kind] <= INLINE_BUDGET or self._clock() >= self._barred_until[kind]:
            self._learn(kind, cpu_seconds)
            self._update()

    def _learn(self, kind: int, seconds: float) -> None:
        before, new = self._average[kind], min(seconds, _CLIP)
        self._average[kind] = new if before == math.inf else before + (new - before) * _WEIGHT

    def _update(self) -> None:
        cheap = [kind for kind, average in enumerate(self._average) if average <= INLINE_BUDGET]
        self.cheap_size = (1 << cheap[-1]) - 1 if cheap else 0
