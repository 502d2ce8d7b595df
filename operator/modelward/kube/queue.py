"""The work queue: which objects are due, each at most once, and never two workers on one.

The same promises as client-go's workqueue: a key added while it is worked on becomes due again when that ends; failures
come back with exponential backoff; a later due time never delays an earlier one.
"""

import asyncio
import contextlib
import heapq
import random
from collections import Counter
from collections.abc import Callable

from modelward import telemetry
from modelward.kube.cache import Key

BACKOFF_BASE = 0.2
"""Seconds before the first retry."""

BACKOFF_MAX = 60.0
"""Seconds: a model whose cause was repaired waits no longer than this where no watch tells of it."""

JITTER = 0.2
"""Share of a delay that is random, so that keys which failed together don't return together."""


class WorkQueue:
    """Keys that are due now or later. `clock`: monotonic seconds; `each`: keys of one namespace that are worked on at
    once, so that one whose keys take long leaves workers to the others."""

    def __init__(self, clock: Callable[[], float], each: float = float("inf")) -> None:
        self._clock = clock
        self._each = each
        self._busy: Counter[str] = Counter()
        self._waiting: dict[str, dict[Key, float]] = {}
        """Keys that are due and wait for a worker of their namespace, by namespace, the first to come first."""
        self._promised: set[Key] = set()
        """Of the keys that are due: those to whom one that ended has left its place."""
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
        if key in self._due or key in self._waiting.get(key.namespace, ()):
            return
        if delay <= 0:
            self._later.pop(key, None)
            self._due[key] = at
        elif at < self._later.get(key, float("inf")):
            self._later[key] = at
            heapq.heappush(self._heap, (at, key))
        self._wake.set()
        self._show_depth()

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
        """The key that has been due longest, of a namespace that has a worker left; the caller's alone until `done`."""
        while True:
            self._promote()
            while self._due:
                key = next(iter(self._due))
                at = self._due.pop(key)
                if not self._has_place(key):
                    self._waiting.setdefault(key.namespace, {})[key] = at
                    continue
                telemetry.QUEUE_SECONDS.observe(max(0.0, self._clock() - at))
                self._show_depth()
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
        self._leave_place(key.namespace)
        again = self._again.pop(key, None)
        if again is not None:
            self.add(key, again - self._clock())

    def _has_place(self, key: Key) -> bool:
        if key in self._promised:
            self._promised.discard(key)
            return True
        if self._busy[key.namespace] >= self._each:
            return False
        self._busy[key.namespace] += 1
        return True

    def _leave_place(self, namespace: str) -> None:
        """To the key of the namespace that has waited longest; it is due behind what is due of others."""
        waiting = self._waiting.get(namespace)
        if waiting:
            key = next(iter(waiting))
            self._due[key] = waiting.pop(key)
            self._promised.add(key)
            self._wake.set()
            return
        self._waiting.pop(namespace, None)
        self._busy[namespace] -= 1
        if not self._busy[namespace]:
            del self._busy[namespace]

    def _show_depth(self) -> None:
        telemetry.QUEUE_DEPTH.set(len(self._due) + sum(map(len, self._waiting.values())))

    def _promote(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._later.get(key) == at:
                del self._later[key]
                if key not in self._waiting.get(key.namespace, ()):
                    self._due.setdefault(key, at)
        self._show_depth()
