"""Whether a prediction is short enough to run in the event loop itself, learned from those before.

Handing a prediction to a thread costs more than a small model does, and a long one in the loop would hold up every
other request and the probes. Sizes are elements of all inputs, in classes of powers of two: what is short for one row
may be long for a thousand. A busy machine makes any of them long now and then (cold caches after a pause: some times
its own processor time), and several in a row; a long model is long nearly each time. So a class is judged by the lower
quartile of its newest samples, against what the hop to a thread and back was measured to take, and not by a few.
Invariant: a size that was never measured is not cheap, unless a larger one is.
"""

import math
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

INLINE_BUDGET = 200e-6
"""Seconds that a prediction may hold the loop, where the hop takes no longer than that."""

MOST = 500e-6
"""Seconds that it may hold the loop however long the hop takes: others wait for it."""

WAIT = 0.02
"""Seconds by the clock from which an uninterrupted prediction counts as one that waits: for a disk, a network, threads
of its own. It holds the loop and uses no processor time. (Less may be a wait for the interpreter.)"""

HELD = 0.05
"""Seconds of processor time that say by themselves that the model is long: no pause explains so much. So many together
are enough to judge a class by few samples."""

MANY_HELD = 3
"""Of the newest samples of a class: then it is long, however short the others are."""

EXPLAINED = 1e-3
"""Seconds of processor time that cold caches may make of a short prediction: more is the model's own."""

WINDOW = 128
"""Samples of a class that count: the newest."""

LEAST = 64
"""Samples before a class is barred from the loop, unless they held it for HELD together."""

HOPS = 31
"""Ways to a thread and back that count: the newest."""

RETRY = 30.0
"""Seconds until a size that turned out long in the loop is tried there again; twice as many each time it did."""

LONGEST_RETRY = 3600.0

_CLASSES = 64


@dataclass(slots=True)
class Sample:
    """A prediction. `cpu`: seconds of processor time of its thread; `wall`: seconds by the clock; `interrupted`: that
    the kernel took the processor away meanwhile."""

    cpu: float
    wall: float
    interrupted: bool = False


@dataclass(slots=True)
class _Class:
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    barred_until: float = -math.inf
    retry: float = RETRY
    _ordered: list[float] | None = None  # made where it is asked for: most samples are never looked at

    def add(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._ordered = None

    def clear(self) -> None:
        self.seconds.clear()
        self._ordered = None

    def ordered(self) -> list[float]:
        """The newest samples, the least first."""
        if self._ordered is None:
            self._ordered = sorted(self.seconds)
        return self._ordered

    def quartile(self) -> float:
        """The lower one of the newest samples; infinite where there is none."""
        ordered = self.ordered()
        return ordered[len(ordered) // 4] if ordered else math.inf

    def is_long(self, budget: float) -> bool:
        ordered = self.ordered()
        return self.quartile() > budget or len(ordered) - bisect_left(ordered, HELD) >= MANY_HELD


class Costs:
    """What predictions took, by size. `clock`: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._classes = [_Class() for _ in range(_CLASSES)]
        self._hops: deque[float] = deque(maxlen=HOPS)
        self.budget = INLINE_BUDGET
        """Seconds that a prediction may hold the loop: what the hop takes, within limits."""
        self.cheap_size = -1
        """The largest size that is cheap; -1 where none is known to be. What is smaller takes no longer."""

    def hop(self, seconds: float) -> None:
        """The way to a thread and back took that long, the prediction itself not counted."""
        self._hops.append(seconds)
        median = sorted(self._hops)[len(self._hops) // 2]
        self.budget = min(max(median, INLINE_BUDGET), MOST)

    def inline(self, size: int, sample: Sample) -> None:
        """A prediction in the loop."""
        seconds = max(sample.cpu, WAIT) if sample.wall >= WAIT else sample.cpu
        if sample.interrupted and seconds > self.budget and sample.cpu < EXPLAINED:
            return  # the caches were cold, or the pause was what took so long: it says nothing of the model
        kind = self._classes[size.bit_length()]
        kind.add(seconds)
        if seconds <= self.budget:
            return
        if (len(kind.seconds) >= LEAST or sum(kind.seconds) >= HELD) and kind.is_long(self.budget):
            self._bar(kind)

    def threaded(self, size: int, cpu_seconds: float) -> None:
        """A prediction in a thread used so much of the processor; its wall time would count waiting for others."""
        kind = self._classes[size.bit_length()]
        if self._clock() >= kind.barred_until:
            kind.add(cpu_seconds)
            self._update()

    def estimate(self, size: int) -> float:
        """Seconds that a prediction of that size is likely to take: of the next smaller class that was measured, in
        proportion; 0.0 where there is none."""
        kind = size.bit_length()
        for at in range(kind, -1, -1):
            if self._classes[at].seconds:
                return self._classes[at].quartile() * float(1 << (kind - at))
        return 0.0

    def _bar(self, kind: _Class) -> None:
        now = self._clock()
        if now >= kind.barred_until + kind.retry:
            kind.retry = RETRY  # it was short for long enough since
        kind.barred_until = now + kind.retry
        kind.retry = min(2 * kind.retry, LONGEST_RETRY)
        kind.clear()
        self._update()

    def _update(self) -> None:
        largest = -1
        for at, kind in enumerate(self._classes):
            if kind.seconds and not kind.is_long(self.budget):
                largest = at
            elif kind.seconds or kind.barred_until > -math.inf:
                break
        self.cheap_size = (1 << largest) - 1 if largest >= 0 else -1
