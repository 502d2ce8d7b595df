"""The work queue: which objects are due, each at most once, and never two workers on one.

The same promises as client-go's workqueue: a key added while it is worked on becomes due again when that ends; failures
come back with exponential backoff; a later due time never delays an earlier one.
"""

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable

from modelward import telemetry
from modelward.cluster.cache import Key

BACKOFF_BASE = 0.2
"""Seconds before the first retry."""

BACKOFF_MAX = 60.0
"""Seconds: a model whose cause was repaired waits no longer than this where no watch tells of it."""

JITTER = 0.2
"""Share of a delay that is random, so that keys which failed together don't return together."""


class WorkQueue:
    """Keys that are due now or later. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._later: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._working: set[Key] = set()
        self._again: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Make `key` due in `delay` seconds, or earlier where it already was to be."""
        at = self._clock() + delay
        if key in self._working:
            self._again[key] = min(at, self._again.get(key, at))
            return
        if key in self._due:
            return
        if delay <= 0:
            self._later.pop(key, None)
            self._due[key] = at
        elif at < self._later.get(key, float("inf")):
            self._later[key] = at
            heapq.heappush(self._heap, (at, key))
        self._wake.set()
        telemetry.QUEUE_DEPTH.set(len(self._due))

    def retry(self, key: Key) -> float:
        """Make `key` due after a delay that doubles with every failure; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(BACKOFF_MAX, BACKOFF_BASE * 2.0 ** min(failures, 16))
        delay *= 1 - JITTER * random.random()  # noqa: S311  spreading load needs no secrecy
        self.add(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """`key` went well: its next failure starts with the shortest delay again."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The key that has been due longest; it is the caller's alone until `done`."""
        while True:
            self._promote()
            if self._due:
                key = next(iter(self._due))
                telemetry.QUEUE_SECONDS.observe(max(0.0, self._clock() - self._due.pop(key)))
                telemetry.QUEUE_DEPTH.set(len(self._due))
                self._working.add(key)
                return key
            self._wake.clear()
            timeout = self._heap[0][0] - self._clock() if self._heap else None
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the wake-up, and a worker
            # that can't be cancelled keeps an operator alive that has lost its lease.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._wake.wait()

    def done(self, key: Key) -> None:
        """The worker has ended with `key`."""
        self._working.discard(key)
        again = self._again.pop(key, None)
        if again is not None:
            self.add(key, again - self._clock())

    def _promote(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._later.get(key) == at:
                del self._later[key]
                self._due.setdefault(key, at)
        telemetry.QUEUE_DEPTH.set(len(self._due))
