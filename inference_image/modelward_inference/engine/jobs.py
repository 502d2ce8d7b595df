"""The requests that wait for the model, in two lanes: what the event loop computes itself, and what needs a thread.

The lanes use different things, the loop and the workers, so neither waits for the other: a cheap request passes what
needs a thread, and what needs a thread is begun before the loop goes on with what is cheap. Among those that need one a
short request goes ahead of a long one that came before it by less than the long one takes, and of no other: nobody
starves. Invariant: a job is in one lane, or in none. Not for more than one thread.
"""

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import chain
from types import MappingProxyType
from typing import Final

from modelward_inference.artifact.arrays import Array
from modelward_inference.engine.costs import Costs
from modelward_inference.protocol.origin import Origin

NOTHING: Final[Mapping[str, Array]] = MappingProxyType({})


class Job:
    """A request as the model takes it. `key`: jobs with the same may be joined, None: with nobody; `size`: elements;
    `deadline`, `arrived`: seconds on the monotonic clock; `due`: when it would be done if it were alone; `origin`:
    whose it is, where somebody wants to know; `beside`: what travels with its rows and the model does not take."""

    __slots__ = (
        "arrived", "batch", "beside", "computed", "deadline", "due", "future", "inputs", "key", "origin", "queued",
        "rows", "size", "wanted",
    )  # fmt: skip

    def __init__(
        self, inputs: dict[str, Array], wanted: Sequence[str], key: object, rows: int, size: int, arrived: float,
        deadline: float, origin: Origin | None = None, beside: Mapping[str, Array] = NOTHING,
    ) -> None:  # fmt: skip
        self.inputs, self.wanted, self.key, self.rows, self.size = inputs, wanted, key, rows, size
        self.arrived = self.due = arrived
        self.deadline, self.origin, self.beside = deadline, origin, beside
        self.queued, self.computed, self.batch = 0.0, 0.0, 1
        self.future: asyncio.Future[dict[str, Array]]


class Light:
    """First come, first served."""

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()

    def add(self, job: Job) -> None:
        self.jobs.append(job)

    def pop(self) -> Job:
        return self.jobs.popleft()


class Heavy:
    """By when each would be done if it were alone."""

    def __init__(self, costs: Costs) -> None:
        self.jobs: list[Job] = []
        self._costs = costs

    def add(self, job: Job) -> None:
        job.due = job.arrived + self._costs.estimate(job.size)
        insort(self.jobs, job, key=_due)

    def pop(self) -> Job:
        return self.jobs.pop(0)


class Lanes:
    """Both. `costs`: say what is cheap."""

    def __init__(self, costs: Costs) -> None:
        self.light, self.heavy = Light(), Heavy(costs)
        self._costs = costs
        self._cheap = costs.cheap_size

    def __len__(self) -> int:
        return len(self.light.jobs) + len(self.heavy.jobs)

    def __iter__(self) -> Iterator[Job]:
        return chain(self.light.jobs, self.heavy.jobs)

    def add(self, job: Job) -> None:
        lane = self.light if job.size <= self._cheap else self.heavy
        lane.add(job)

    def remove(self, job: Job) -> bool:
        """Whether it was there."""
        for lane in (self.light, self.heavy):
            if job in lane.jobs:
                lane.jobs.remove(job)
                return True
        return False

    def settle(self) -> None:
        """Sort anew where something else is cheap than before."""
        if self._cheap != self._costs.cheap_size:
            self._cheap = self._costs.cheap_size
            waiting = list(merge(self.light.jobs, sorted(self.heavy.jobs, key=_arrived), key=_arrived))
            self.light.jobs.clear()
            self.heavy.jobs.clear()
            for job in waiting:
                self.add(job)


def _due(job: Job) -> float:
    return job.due


def _arrived(job: Job) -> float:
    return job.arrived
