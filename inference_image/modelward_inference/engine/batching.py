"""The queue before the model: what has gathered is computed together, what is cheap at once, the rest in threads.

A request never waits for others to come (unless max_delay says so): a batch is what the same turn of the event loop
brought, or what gathered while the model was busy. Invariants: a request that the model refuses does not touch its
neighbours' answers; a request whose client is gone or whose time is over while it waits is not computed; the queue is
bounded; what needs a thread never holds up what does not (`jobs`). Everything but `_compute` runs in the event loop's
thread.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from resource import RUSAGE_THREAD, getrusage
from typing import Any

from modelward_inference.artifact.arrays import Array
from modelward_inference.engine.computing import Computer, Observer, Outcome, Predict
from modelward_inference.engine.costs import Costs, Sample
from modelward_inference.engine.jobs import Heavy, Job, Lanes, Light
from modelward_inference.protocol.messages import DeadlineExceededError, OverloadedError
from modelward_inference.telemetry import metrics

LOOP_SLICE = 1e-3
"""Seconds of cheap predictions in a row before the event loop gets its turn."""

SWEEP = 0.01
"""Seconds between looks for requests whose time is over while the queue does not move."""

MEASUREMENTS = 3
"""Predictions of a size before anyone is served."""

HOPS = 15
"""Ways to a thread and back that are measured before anyone is served."""


LONELY = 8
"""Dispatches of one request each, in a row, after which the next one is expected to be alone, too."""


@dataclass(frozen=True)
class Limits:
    """`workers`: predictions in threads at a time; `waiting`: requests; `rows`: of a batch, 1 for no batching;
    `delay`: seconds that a request may wait for others to join."""

    workers: int
    waiting: int
    rows: int = 256
    delay: float = 0.0


@dataclass(slots=True)
class _Computed:
    """`outcomes`: None where the batch has to be computed in parts; `began`: seconds, monotonic; `took`: what the first
    call of the model did; `seconds`: of all of them."""

    outcomes: list[Outcome] | None
    began: float
    took: Sample
    seconds: float


class Batcher:
    """One model's queue. `labels`: model and version, for the metrics."""

    def __init__(self, predict: Predict, limits: Limits, labels: tuple[str, str], costs: Costs | None = None) -> None:
        self._predict = predict
        self._computer = Computer(predict)
        self._limits = limits
        self._costs = costs or Costs()
        self._lanes = Lanes(self._costs)
        self._parts: deque[list[Job]] = deque()  # of cheap batches that the model refused
        self._executor = ThreadPoolExecutor(limits.workers, thread_name_prefix="predict")
        self._busy = 0  # workers
        self._computing = 0  # requests in them
        self._pauses = 0  # of the loop's thread, by the kernel, when the last long prediction ended
        self._lonely = 0  # dispatches of one request in a row
        self._this_turn = False  # that one was computed at once in this turn of the loop
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._queue_seconds = metrics.QUEUE_SECONDS.labels(*labels)
        self._compute_seconds = metrics.COMPUTE_SECONDS.labels(*labels)
        self._batch_requests = metrics.BATCH_REQUESTS.labels(*labels)
        self._batch_rows = metrics.BATCH_ROWS.labels(*labels)

    @property
    def observer(self) -> Observer | None:
        """Sees each call of the model that succeeds; None for none."""
        return self._computer.observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._computer.observer = observer

    @property
    def pending(self) -> int:
        """Requests that wait or are being computed."""
        return len(self._lanes) + sum(map(len, self._parts)) + self._computing

    @property
    def busy(self) -> bool:
        """Whether a request that comes now may have to wait for more than a moment."""
        # What the same turn of the loop has brought before it may be about to take the worker.
        return self._busy >= self._limits.workers or bool(self._limits.delay) or bool(self._lanes.heavy.jobs)

    async def run(self, job: Job) -> dict[str, Array]:
        """The outputs. Raises OverloadedError, DeadlineExceededError, or what the model raises."""
        loop = asyncio.get_running_loop()
        if self._lonely >= LONELY and self._idle_for(job):
            if not self._this_turn:
                self._this_turn = True
                loop.call_soon(self._turn_ends)
                return self._at_once(job)
            self._lonely = 0  # it has company
        if self._full():
            self._dispatch()  # what is cheap makes room
            if self._full():
                metrics.REJECTED.inc()
                raise OverloadedError(f"{self.pending} requests wait already; try again in a second")
        job.future = loop.create_future()
        self._lanes.add(job)
        if not self._scheduled:
            # Not at once: the requests that this turn of the loop has brought are in time to be computed together.
            self._scheduled = True
            loop.call_soon(self._dispatch)
        try:
            return await job.future
        except asyncio.CancelledError:
            if self._lanes.remove(job):
                metrics.ABANDONED.inc()
            raise

    def _idle_for(self, job: Job) -> bool:
        """Whether there is nothing to wait for, and nobody to join."""
        nothing = not (self._lanes or self._parts or self._scheduled or self._limits.delay)
        return nothing and job.size <= self._costs.cheap_size and job.deadline > job.arrived

    def _turn_ends(self) -> None:
        self._this_turn = False

    def _at_once(self, job: Job) -> dict[str, Array]:
        """Without a queue, for one who is alone: a future and two turns of the loop cost a tenth of a short request."""
        batch = [job]
        computed = self._compute_learning(batch)
        assert computed.outcomes is not None  # one request is computed whatever the model says
        self._note(batch, computed)
        outcome = computed.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

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
        return len(self._lanes) >= self._limits.waiting + self._limits.workers - self._busy

    def _dispatch(self) -> None:
        self._scheduled = False
        began = time.monotonic()
        light, heavy = self._lanes.light, self._lanes.heavy
        self._lonely = self._lonely + 1 if len(self._lanes) == 1 else 0
        while True:
            self._lanes.settle()
            # The workers first: the loop would go on with what is cheap for as long as there is any.
            while heavy.jobs and self._busy < self._limits.workers and self._ready(heavy):
                batch = self._take(heavy, math.inf)
                if batch:
                    self._start(batch)
            if self._parts:
                self._compute_here(self._living(self._parts.popleft()))
            elif light.jobs and self._ready(light):
                self._compute_here(self._take(light, self._costs.cheap_size))
            else:
                break
            if time.monotonic() - began > LOOP_SLICE:
                self._schedule()
                break
        if self._lanes and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause(), self._sweep)

    def _pause(self) -> float:
        """Seconds until the queue has to be looked at again, even if nothing happens."""
        if not self._limits.delay:
            return SWEEP
        left = min(job.arrived for job in self._lanes) + self._limits.delay - time.monotonic()
        return min(left, SWEEP) if left > 0 else SWEEP

    def _schedule(self) -> None:
        if (self._lanes or self._parts) and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _sweep(self) -> None:
        self._timer = None
        now = time.monotonic()
        for job in [job for job in self._lanes if job.deadline <= now]:
            self._lanes.remove(job)
            _expire(job)
        self._dispatch()

    def _ready(self, lane: Light | Heavy) -> bool:
        """Whether the first in it need not wait for company; `_sweep` looks at it again."""
        if not self._limits.delay:
            return True
        jobs = lane.jobs
        head = jobs[0]
        if head.key is None or not self._computer.joins or self._full():
            return True
        return head.arrived + self._limits.delay <= time.monotonic() or sum(j.rows for j in jobs) >= self._limits.rows

    def _take(self, lane: Light | Heavy, max_size: float) -> list[Job]:
        """The first of a lane, and those directly behind it that may join."""
        now = time.monotonic()
        batch: list[Job] = []
        rows = size = 0
        while lane.jobs:
            job = lane.jobs[0]
            if batch:
                rows, size = rows + job.rows, size + job.size
                if job.key != batch[0].key or rows > self._limits.rows or size > max_size:
                    break
            lane.pop()
            if not _lives(job, now):
                continue
            if not batch:
                rows, size = job.rows, job.size
            batch.append(job)
            if job.key is None or not self._computer.joins:
                break
        return batch

    def _living(self, batch: list[Job]) -> list[Job]:
        now = time.monotonic()
        return [job for job in batch if _lives(job, now)]

    def _start(self, batch: list[Job]) -> None:
        self._busy += 1
        self._computing += len(batch)
        given = time.monotonic()
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._compute, batch, True)

        def done(finished: asyncio.Future[_Computed]) -> None:
            self._busy -= 1
            self._computing -= len(batch)
            if not finished.cancelled():
                computed = finished.result()
                self._costs.hop(time.monotonic() - given - computed.seconds)
                self._costs.threaded(_size(batch), computed.took.cpu)
                self._finish(batch, computed)
            self._schedule()

        future.add_done_callback(done)

    def _compute_here(self, batch: list[Job]) -> None:
        if not batch:
            return
        computed = self._compute_learning(batch)
        if computed.outcomes is None:
            # Not at once: it takes many calls, and the loop has others to serve between them.
            self._parts.extend(self._computer.parts(batch))
        self._finish(batch, computed)

    def _compute_learning(self, batch: list[Job]) -> _Computed:
        """In the loop."""
        computed = self._compute(batch, False)
        if computed.took.cpu > self._costs.budget or computed.took.wall > self._costs.budget:
            # Asked of the kernel only now, to save a microsecond: a pause since the last long one counts as this one.
            pauses = getrusage(RUSAGE_THREAD).ru_nivcsw
            computed.took.interrupted = pauses != self._pauses
            self._pauses = pauses
        self._costs.inline(_size(batch), computed.took)
        return computed

    def _compute(self, batch: list[Job], to_the_end: bool) -> _Computed:
        """`to_the_end`: in parts as well, where it has to be."""
        began, began_cpu = time.monotonic(), time.thread_time()
        outcomes = self._computer.together(batch)
        cpu, wall = time.thread_time() - began_cpu, time.monotonic() - began
        took = Sample(cpu, wall)
        if outcomes is None and to_the_end:
            outcomes = [each for part in self._computer.parts(batch) for each in self._computer.outcomes(part)]
            wall = time.monotonic() - began
        return _Computed(outcomes, began, took, wall)

    def _note(self, batch: list[Job], computed: _Computed) -> None:
        seconds = computed.seconds
        self._compute_seconds.observe(seconds)
        if computed.outcomes is None:
            return
        self._batch_requests.observe(len(batch))
        self._batch_rows.observe(sum([job.rows for job in batch]))
        for job in batch:
            job.queued, job.computed, job.batch = computed.began - job.arrived, seconds, len(batch)
            self._queue_seconds.observe(job.queued)

    def _finish(self, batch: list[Job], computed: _Computed) -> None:
        self._note(batch, computed)
        for job, outcome in zip(batch, computed.outcomes or (), strict=False):
            if job.future.done():
                continue  # the client left while the model was at work
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)


def _size(batch: list[Job]) -> int:
    return sum([job.size for job in batch])


def _nothing() -> None:
    pass


def _lives(job: Job, now: float) -> bool:
    """Whether somebody waits for it; else that is counted. `now`: seconds, monotonic."""
    if job.future.done():  # cancelled in this turn of the loop; `run` is about to hear of it
        metrics.ABANDONED.inc()
        return False
    if job.deadline <= now:
        _expire(job)
        return False
    return True


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
