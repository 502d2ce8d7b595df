"""Keeps what the pods of a namespace cost from those of others: its share of time, bytes, connections and readers.

What is decided is in net/purse.py. Invariant: whatever pods of one namespace do, pods of others are asked as if they
were not there. Failure: LeftOutError, before anything is sent.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from modelward import telemetry
from modelward.facts import PodFacts
from modelward.net.purse import WAIT, Purse, cost

CONNECTIONS: Final = 50
"""To pods of a namespace at once."""

READERS: Final = 2
"""Large answers of a namespace that are read at once, of the four of all: whoever comes next waits for one at most."""

SUSPECTS: Final = 20_000
NAMESPACES: Final = 10_000
"""That are remembered; the oldest go first."""


class LeftOutError(Exception):
    """The pod is not asked now. `suspect`: it did not answer before, so nothing new is known of it."""

    def __init__(self, message: str, *, suspect: bool) -> None:
        super().__init__(message)
        self.suspect = suspect


@dataclass
class Question:
    """What came of it. `size`: bytes of the answer; `in_vain`: until somebody has answered."""

    readers: asyncio.Semaphore
    size: int = 0
    in_vain: bool = True

    def heard(self, size: int) -> None:
        """Another piece of the answer has come, of `size` bytes, whether it is going to be whole or not."""
        self.size += size


@dataclass
class _Namespace:
    purse: Purse = field(default_factory=Purse)
    asked: int = 0
    connections: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS))
    readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))


class Budget:
    """`clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._namespaces: OrderedDict[str, _Namespace] = OrderedDict()
        self._suspects: OrderedDict[str, None] = OrderedDict()

    @asynccontextmanager
    async def asking(self, pod: PodFacts) -> AsyncIterator[Question]:
        """Around one question to a pod. Raises LeftOutError."""
        space = self._namespace(pod.namespace)
        suspect = pod.uid in self._suspects
        if suspect and space.connections.locked():
            raise _left_out(pod, suspect=True)  # it would wait for the others of its kind
        space.asked += 1
        try:
            await _acquired(space.connections, pod)
            try:
                async with self._paid(space, pod, suspect) as question:
                    yield question
            finally:
                space.connections.release()
        finally:
            space.asked -= 1

    @asynccontextmanager
    async def _paid(self, space: _Namespace, pod: PodFacts, suspect: bool) -> AsyncIterator[Question]:
        began = self._clock()
        left = space.purse.now(began).asked(suspect=suspect)
        if left is None:
            raise _left_out(pod, suspect=suspect)
        space.purse = left
        question = Question(space.readers)
        try:
            yield question
        finally:
            now = self._clock()
            space.purse = space.purse.now(now).answered(
                now - began, question.size, suspect=suspect, in_vain=question.in_vain
            )
            self._remember(pod, suspect=question.in_vain or cost(now - began, in_vain=False) > 0)

    def _namespace(self, name: str) -> _Namespace:
        found = self._namespaces.setdefault(name, _Namespace())
        self._namespaces.move_to_end(name)
        if len(self._namespaces) > NAMESPACES:
            idle = next((each for each, space in self._namespaces.items() if not space.asked and each != name), None)
            if idle is not None:
                del self._namespaces[idle]
        return found

    def _remember(self, pod: PodFacts, *, suspect: bool) -> None:
        self._suspects.pop(pod.uid, None)
        if suspect:
            self._suspects[pod.uid] = None
            while len(self._suspects) > SUSPECTS:
                self._suspects.popitem(last=False)


async def _acquired(connections: asyncio.Semaphore, pod: PodFacts) -> None:
    try:
        async with asyncio.timeout(WAIT):
            await connections.acquire()
    except TimeoutError:
        raise _left_out(pod, suspect=True) from None


def _left_out(pod: PodFacts, *, suspect: bool) -> LeftOutError:
    telemetry.PODS_LEFT_OUT.labels(pod.namespace).inc()
    what = "time" if suspect else "bytes"
    return LeftOutError(
        f"it is not asked now: the pods of its namespace take more {what} than the operator has for them",
        suspect=suspect,
    )
