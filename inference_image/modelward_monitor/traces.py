"""Spans of the monitor: of each request whose trace the server keeps, from when its rows came until they were on the
pod's disk; and of outcomes, until they were kept. Each goes below the server's span of the same request.

The server decides what is kept and says so with the batch; nothing here decides it again. Invariant: a batch that the
server sends again has its spans once in the life of a monitor; spans that wait are bounded in number, and the others
are counted as dropped. Switched on by OpenTelemetry's variables, as the server's are; when off there is none of these.
From the event loop's thread.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Final

from modelward_inference.capture.requests import Requests
from modelward_inference.capture.wire import Batch
from modelward_inference.errors import InvalidConfiguration
from modelward_monitor.counting.counter import MAX_RUNS, Run, State
from modelward_telemetry.context import Context, read
from modelward_telemetry.exporter import CAPACITY, DROPPED, SENT, Exporter
from modelward_telemetry.logs import MAX_ID
from modelward_telemetry.spans import CONSUMER, SERVER, Value
from modelward_telemetry.tracer import ENDPOINTS, Tracer, TracingError, from_environment

OBSERVE, KEEP = "observe", "keep"
"""Names of the spans: of rows, and of outcomes."""

SUFFIX: Final = "-monitor"
"""The service is called as the model, with this."""

_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A traced request whose rows are not on the disk yet. `parent`: the server's span; `number`: of its batch; `came`:
    nanoseconds since the epoch; `told`: attributes."""

    parent: Context
    number: int
    came: int
    told: Mapping[str, Value]


class SpanCounts:
    """What became of spans; counted from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = {SENT: 0, DROPPED: 0}

    def add(self, result: str, spans: int) -> None:
        with self._lock:
            self._counts[result] += spans

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)


class Traces:
    """`tracer`: makes the spans; `tally`: of them; `revision`: of the pod; `logs`: whether a prediction log is kept;
    `exporter`: sends them, None: somebody else does; `clock`: nanoseconds since the epoch."""

    def __init__(
        self,
        tracer: Tracer,
        tally: SpanCounts,
        revision: str = "",
        *,
        logs: bool = False,
        exporter: Exporter | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.tally = tally
        self._tracer, self._revision, self._logs, self._exporter, self._clock = tracer, revision, logs, exporter, clock
        self._waiting: dict[str, list[Unsaved]] = {}  # by the server's run, numbers ascending
        self._count = 0
        if exporter is not None:
            exporter.start()

    def came(self, batch: Batch, saved: State) -> None:
        """A batch has arrived. `saved`: what is on the disk by now."""
        requests = batch.requests
        if requests is None or not requests.traces:
            return
        if batch.epoch not in self._waiting and len(self._waiting) >= MAX_RUNS:
            self._forget(next(iter(self._waiting)))
        waiting = self._waiting.get(batch.epoch, [])
        last = max(saved.runs.get(batch.epoch, Run()).number, waiting[-1].number if waiting else 0)
        if batch.number <= last:
            return  # it comes again
        now = self._clock()
        contexts = requests.contexts
        room = max(CAPACITY - self._count, 0)
        if len(contexts) > room:
            self.tally.add(DROPPED, len(contexts) - room)
        found = [Unsaved(at, batch.number, now, self._told(requests, index, now)) for index, at in contexts[:room]]
        if found:
            self._waiting[batch.epoch] = waiting + found
            self._count += len(found)

    def saved(self, state: State) -> None:
        """What of it is on the disk has been observed."""
        if not self._count:
            return
        end = self._clock()
        for epoch, waiting in list(self._waiting.items()):
            number = state.runs.get(epoch, Run()).number
            done = [each for each in waiting if each.number <= number]
            if not done:
                continue
            self._waiting[epoch] = waiting[len(done) :]
            self._count -= len(done)
            if not self._waiting[epoch]:
                del self._waiting[epoch]
            for each in done:
                self._end(each.parent, OBSERVE, each.came, end, each.told, CONSUMER)

    def kept(self, trace: str, began: int, status: int, outcomes: int) -> None:
        """Outcomes have been answered. `trace`: the server's span, as traceparent; `began`: nanoseconds since the
        epoch; `status`: HTTP's; `outcomes`: how many were read."""
        parent = read(trace)
        if parent is not None and parent.sampled:
            told: dict[str, Value] = {"revision": self._revision, "code": str(status), "outcomes": outcomes}
            self._end(parent, KEEP, began, self._clock(), told, SERVER, failed=status >= 500)

    def close(self) -> None:
        """Send what is left. What never came to the disk is dropped."""
        self.tally.add(DROPPED, self._count)
        self._waiting, self._count = {}, 0
        if self._exporter is not None:
            self._exporter.close()

    def _forget(self, epoch: str) -> None:
        """A run of the server that others came after, as the snapshot does."""
        gone = self._waiting.pop(epoch)
        self._count -= len(gone)
        self.tally.add(DROPPED, len(gone))

    def _told(self, requests: Requests, index: int, now: int) -> dict[str, Value]:
        return {
            "revision": self._revision,
            "request_id": requests.ids[index][:MAX_ID],
            "rows": requests.rows[index],
            "batch_requests": len(requests),
            "delay_seconds": max(now / _NANOSECONDS - requests.times[index], 0.0),
            "logged": self._logs,
        }

    def _end(
        self,
        parent: Context,
        name: str,
        begin: int,
        end: int,
        told: Mapping[str, Value],
        kind: int,
        *,
        failed: bool = False,
    ) -> None:
        at = self._tracer.below(parent)
        self._tracer.end(at, parent, name, begin, max(begin, end), told, kind=kind, failed=failed)


def of_environment(
    model: str, revision: str = "", *, logs: bool = False, environment: Mapping[str, str] = os.environ
) -> Traces | None:
    """None where nothing asks for traces. `logs`: whether a prediction log is kept. Raises InvalidConfiguration where
    they can't be made."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    tally = SpanCounts()
    try:
        made = from_environment(model + SUFFIX, tally.add, environment)
    except TracingError as error:
        raise InvalidConfiguration(str(error)) from None
    return None if made is None else Traces(made[0], tally, revision, logs=logs, exporter=made[1])
