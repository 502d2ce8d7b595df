"""The queue before the model: what has gathered is computed together, what is cheap at once, the rest in threads.

A request never waits for others to come (unless max_delay says so): a batch is what the same turn of the event loop
brought, or what gathered while the model was busy. Invariants: answers are those of each request alone, in its own
rows; one request that the model refuses does not touch its neighbours; a request whose client is gone or whose time is
over while it waits is not computed; the queue is bounded. Everything but `_compute` runs in the event loop's thread.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from resource import RUSAGE_THREAD, getrusage
from typing import Any

import numpy as np

from modelward_inference import metrics
from modelward_inference.costs import Costs, Sample
from modelward_inference.protocol import DeadlineExceededError, OverloadedError
from modelward_inference.runtimes.base import Array

log = logging.getLogger(__name__)

Predict = Callable[[Mapping[str, Array], Sequence[str]], dict[str, Array]]
Outcome = dict[str, Array] | Exception
Observer = Callable[[Mapping[str, Array], Mapping[str, Array], int], None]
"""Is given inputs, outputs and rows of each call of the model that succeeded, in the thread that made it. It raises
nothing; nobody changes the arrays any more."""

LOOP_SLICE = 1e-3
"""Seconds of cheap predictions in a row before the event loop gets its turn."""

SWEEP = 0.01
"""Seconds between looks for requests whose time is over while the queue does not move."""

MEASUREMENTS = 3
"""Predictions of a size before anyone is served."""

HOPS = 15
"""Ways to a thread and back that are measured before anyone is served."""


@dataclass(frozen=True)
class Limits:
    """`workers`: predictions in threads at a time; `waiting`: requests; `rows`: of a batch, 1 for no batching;
    `delay`: seconds that a request may wait for others to join."""

    workers: int
    waiting: int
    rows: int = 256
    delay: float = 0.0


class Job:
    """A request as the model takes it. `key`: jobs with the same may be joined, None: with nobody; `size`: elements;
    `deadline`, `arrived`: seconds on the monotonic clock."""

    __slots__ = (
        "arrived", "batch", "computed", "deadline", "future", "inputs", "key", "queued", "rows", "size", "wanted",
    )  # fmt: skip

    def __init__(
        self, inputs: dict[str, Array], wanted: Sequence[str], key: object, rows: int, size: int, arrived: float,
        deadline: float,
    ) -> None:  # fmt: skip
        self.inputs, self.wanted, self.key, self.rows, self.size = inputs, wanted, key, rows, size
        self.arrived, self.deadline = arrived, deadline
        self.queued, self.computed, self.batch = 0.0, 0.0, 1
        self.future: asyncio.Future[dict[str, Array]]


class Batcher:
    """One model's queue. `labels`: model and version, for the metrics. `observer`: None for none."""

    observer: Observer | None = None

    def __init__(self, predict: Predict, limits: Limits, labels: tuple[str, str], costs: Costs | None = None) -> None:
        self._predict = predict
        self._limits = limits
        self._costs = costs or Costs()
        self._queue: deque[Job] = deque()
        self._executor = ThreadPoolExecutor(limits.workers, thread_name_prefix="predict")
        self._busy = 0  # workers
        self._computing = 0  # requests in them
        self._joins = True  # until the model shows that it does not answer row by row
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._queue_seconds = metrics.QUEUE_SECONDS.labels(*labels)
        self._compute_seconds = metrics.COMPUTE_SECONDS.labels(*labels)
        self._batch_requests = metrics.BATCH_REQUESTS.labels(*labels)
        self._batch_rows = metrics.BATCH_ROWS.labels(*labels)

    @property
    def pending(self) -> int:
        """Requests that wait or are being computed."""
        return len(self._queue) + self._computing

    @property
    def busy(self) -> bool:
        """Whether a request that comes now may have to wait for more than a moment."""
        if self._busy >= self._limits.workers or self._limits.delay:
            return True
        # What the same turn of the loop has brought before it may be about to take the worker.
        return bool(self._queue) and self._queue[0].size > self._costs.cheap_size

    async def run(self, job: Job) -> dict[str, Array]:
        """The outputs. Raises OverloadedError, DeadlineExceededError, or what the model raises."""
        loop = asyncio.get_running_loop()
        if self._full():
            self._dispatch()  # what is cheap makes room
            if self._full():
                metrics.REJECTED.inc()
                raise OverloadedError(f"{self.pending} requests wait already; try again in a second")
        job.future = loop.create_future()
        self._queue.append(job)
        if not self._scheduled:
            # Not at once: the requests that this turn of the loop has brought are in time to be computed together.
            self._scheduled = True
            loop.call_soon(self._dispatch)
        try:
            return await job.future
        except asyncio.CancelledError:
            if job in self._queue:
                self._queue.remove(job)
                metrics.ABANDONED.inc()
            raise

    def measure_hop(self) -> None:
        """Learn before anyone is served what it takes to hand something to a thread; each that comes corrects it."""
        for _ in range(HOPS):
            began = time.perf_counter()
            self._executor.submit(_nothing).result()
            self._costs.hop(time.perf_counter() - began)

    def measure(self, inputs: dict[str, Array], wanted: Sequence[str], size: int) -> bool:
        """Compute before anyone is served, and learn what it costs. Returns whether that is cheap."""
        times: list[float] = []
        while len(times) < MEASUREMENTS:
            began = time.perf_counter()
            self._predict(inputs, wanted)
            times.append(time.perf_counter() - began)
        # The first sets things up, and the machine may pause in any: the least is what it costs.
        self._costs.threaded(size, min(times))
        return size <= self._costs.cheap_size

    def _full(self) -> bool:
        return len(self._queue) >= self._limits.waiting + self._limits.workers - self._busy

    def _dispatch(self) -> None:
        self._scheduled = False
        began = time.monotonic()
        while self._queue:
            if self._limits.delay and self._wait_for_more():
                break
            cheap = self._costs.cheap_size
            if self._queue[0].size <= cheap:
                batch = self._take(cheap)
                if batch:
                    self._finish(batch, *self._compute(batch), inline=True)
                if time.monotonic() - began > LOOP_SLICE:
                    self._schedule()
                    break
            elif self._busy < self._limits.workers:
                batch = self._take(math.inf)
                if batch:
                    self._start(batch)
            else:
                break
        if self._queue and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause(), self._sweep)

    def _pause(self) -> float:
        """Seconds until the queue has to be looked at again, even if nothing happens."""
        left = self._queue[0].arrived + self._limits.delay - time.monotonic() if self._limits.delay else 0.0
        return min(left, SWEEP) if left > 0 else SWEEP

    def _schedule(self) -> None:
        if self._queue and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _sweep(self) -> None:
        self._timer = None
        now = time.monotonic()
        for job in [job for job in self._queue if job.deadline <= now]:
            self._queue.remove(job)
            _expire(job)
        self._dispatch()

    def _wait_for_more(self) -> bool:
        """Whether the first in the queue may still wait for company; `_sweep` looks at it again."""
        head = self._queue[0]
        left = head.arrived + self._limits.delay - time.monotonic()
        alone = head.key is None or not self._joins
        if alone or left <= 0 or self._full():
            return False
        return sum(job.rows for job in self._queue) < self._limits.rows

    def _take(self, max_size: float) -> list[Job]:
        """The first of the queue, and those directly behind it that may join."""
        now = time.monotonic()
        batch: list[Job] = []
        rows = size = 0
        while self._queue:
            job = self._queue[0]
            if batch:
                rows, size = rows + job.rows, size + job.size
                if job.key != batch[0].key or rows > self._limits.rows or size > max_size:
                    break
            self._queue.popleft()
            if job.future.done():  # cancelled in this turn of the loop; `run` is about to hear of it
                metrics.ABANDONED.inc()
                continue
            if job.deadline <= now:
                _expire(job)
                continue
            if not batch:
                rows, size = job.rows, job.size
            batch.append(job)
            if job.key is None or not self._joins:
                break
        return batch

    def _start(self, batch: list[Job]) -> None:
        self._busy += 1
        self._computing += len(batch)
        given = time.monotonic()
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._compute, batch)

        def done(finished: asyncio.Future[tuple[list[Outcome], float, Sample]]) -> None:
            self._busy -= 1
            self._computing -= len(batch)
            if not finished.cancelled():
                outcomes, began, sample = finished.result()
                self._costs.hop(time.monotonic() - given - sample.wall)
                self._finish(batch, outcomes, began, sample, inline=False)
            self._schedule()

        future.add_done_callback(done)

    def _compute(self, batch: list[Job]) -> tuple[list[Outcome], float, Sample]:
        """The outcomes, when it began (seconds, monotonic), and what it took."""
        pauses = getrusage(RUSAGE_THREAD).ru_nivcsw
        began, began_cpu = time.monotonic(), time.thread_time()
        outcomes = self._outcomes(batch)
        cpu, wall = time.thread_time() - began_cpu, time.monotonic() - began
        return outcomes, began, Sample(cpu, wall, getrusage(RUSAGE_THREAD).ru_nivcsw != pauses)

    def _outcomes(self, batch: list[Job]) -> list[Outcome]:
        if len(batch) == 1:
            return [self._alone(batch[0])]
        try:
            joined = {name: np.concatenate([job.inputs[name] for job in batch]) for name in batch[0].inputs}
            outputs = self._predict(joined, batch[0].wanted)
            rows = sum(job.rows for job in batch)
            fits = all(array.ndim and array.shape[0] == rows for array in outputs.values())
        except Exception:  # noqa: BLE001  a model may raise anything, and give anything; each request is then on its own
            return [self._alone(job) for job in batch]
        if not fits:
            self._joins = False
            log.warning("the model does not answer row by row; requests are computed one at a time from now on")
            return [self._alone(job) for job in batch]
        if self.observer is not None:
            self.observer(joined, outputs, rows)
        outcomes: list[Outcome] = []
        begin = 0
        for job in batch:
            end = begin + job.rows
            outcomes.append({name: array[begin:end] for name, array in outputs.items()})
            begin = end
        return outcomes

    def _alone(self, job: Job) -> Outcome:
        try:
            outputs = self._predict(job.inputs, job.wanted)
        except Exception as error:  # noqa: BLE001  it belongs to the one who asked
            return error
        if self.observer is not None:
            self.observer(job.inputs, outputs, job.rows)
        return outputs

    def _finish(self, batch: list[Job], outcomes: list[Outcome], began: float, sample: Sample, *, inline: bool) -> None:
        size, wall = sum([job.size for job in batch]), sample.wall
        if inline:
            self._costs.inline(size, sample)
        else:
            self._costs.threaded(size, sample.cpu)
        self._compute_seconds.observe(wall)
        self._batch_requests.observe(len(batch))
        self._batch_rows.observe(sum([job.rows for job in batch]))
        for job, outcome in zip(batch, outcomes, strict=True):
            job.queued, job.computed, job.batch = began - job.arrived, wall, len(batch)
            self._queue_seconds.observe(job.queued)
            if job.future.done():
                continue  # the client left while the model was at work
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)


def _nothing() -> None:
    pass


def _expire(job: Job) -> None:
    if not job.future.done():
        metrics.EXPIRED.inc()
        job.future.set_exception(DeadlineExceededError("the request's time was over before the model was free for it"))


def key_of(inputs: Mapping[str, Array], wanted: Sequence[str]) -> Any:
    """What two requests must share to be joined; None for one without rows."""
    shapes = []
    for array in inputs.values():
        if not array.ndim or not array.shape[0]:
            return None
        shapes.append(array.shape[1:])
    return (*shapes, *wanted)
