"""A queue before a model whose computations a test lets happen one by one, in its own thread: no clock, no race."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any
from unittest import mock

import numpy as np
from prometheus_client import REGISTRY

from modelward_inference.engine import batching
from modelward_inference.engine.batching import Batcher, Limits
from modelward_inference.engine.costs import Costs
from modelward_inference.engine.jobs import Job

DEADLINE = 30.0
"""Seconds after which a test fails instead of hanging."""


class Doubling:
    """Doubles rows, refuses negative ones. `asked`: what each call was given; `answered`: rows of those that did."""

    def __init__(self) -> None:
        self.asked: list[list[float]] = []
        self.answered: list[float] = []

    def __call__(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        rows = inputs["x"][:, 0].tolist()
        self.asked.append(rows)
        if min(rows) < 0:
            raise ValueError("negative")
        self.answered += rows
        return dict.fromkeys(outputs, inputs["x"] * 2)


class Fixed(Costs):
    """Knows from the start what is cheap and how long each row takes, and learns nothing."""

    def __init__(self, cheap_size: int, seconds: float = 0.0) -> None:
        super().__init__()
        self.cheap_size = cheap_size
        self._seconds = seconds

    def estimate(self, size: int) -> float:
        return size * self._seconds

    def _update(self) -> None:
        pass


class ByHand:
    """An executor that computes when `finish` is called."""

    def __init__(self, *_: object, **__: object) -> None:
        self._work: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._work.append((future, lambda: function(*arguments)))
        return future

    async def finish(self) -> bool:
        """Compute what was begun first, and let the news spread. Returns whether there was something."""
        if not self._work:
            return False
        future, function = self._work.pop(0)
        future.set_result(function())
        await turns()
        return True

    async def finish_all(self) -> None:
        await turns()
        while await self.finish():
            pass


class Clock:
    """Stands in for the module `time` in the queue; it moves when it is told to."""

    perf_counter, thread_time = time.perf_counter, time.thread_time

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Queue:
    """A Batcher, its model and its executor. One worker; `cheap_size`: -1, so that nothing runs in the loop; `seconds`:
    that a row is said to take."""

    def __init__(
        self, model: Any = None, *, rows: int = 8, waiting: int = 8, delay: float = 0.0, workers: int = 1,
        cheap_size: int = -1, seconds: float = 0.0,
    ) -> None:  # fmt: skip
        self.model = model or Doubling()
        with mock.patch.object(batching, "ThreadPoolExecutor", ByHand):
            self.batcher = Batcher(
                self.model, Limits(workers, waiting, rows, delay), ("queue", "1"), Fixed(cheap_size, seconds)
            )  # fmt: skip
        self.executor: Any = self.batcher._executor

    async def ask(self, *rows: float, key: object = "key", deadline: float = math.inf) -> "asyncio.Task[list[float]]":
        """A request that has arrived: one row for each number. The task gives the answer's rows."""
        array = np.array(rows)[:, np.newaxis]
        arrived = batching.time.monotonic()
        task = asyncio.ensure_future(
            self._answer(Job({"x": array}, ("y",), key, len(rows), len(rows), arrived, deadline))
        )
        await asyncio.sleep(0)  # until it is in the queue; what the queue does with it is the next turn
        return task

    async def _answer(self, job: Job) -> list[float]:
        outputs = await self.batcher.run(job)
        self.batch = job.batch
        return [float(number) for number in outputs["y"][:, 0]]

    async def occupy(self) -> "asyncio.Task[list[float]]":
        """A request that is being computed from now on."""
        task = await self.ask(0)
        await turns()
        return task


async def turns(number: int = 8) -> None:
    """Let everything happen that needs no clock."""
    for _ in range(number):
        await asyncio.sleep(0)


def count(name: str, **labels: str) -> float:
    """A metric's value now."""
    return REGISTRY.get_sample_value(f"modelward_inference_{name}", labels) or 0.0
