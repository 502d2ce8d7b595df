"""From a decoded request to the model's answer, whatever the transport: the checks, the deadline, the queue.

Predictions that take longer than a moment run in threads, as many as there are cores, so that neither the event loop
nor a health probe ever waits for one. Who comes when the queue is full is told so at once.
"""

import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array, no_rows, warm_up_inputs
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.engine.batching import Batcher, Limits, key_of
from modelward_inference.engine.bodies import Bodies
from modelward_inference.engine.computing import Observer
from modelward_inference.engine.jobs import Job
from modelward_inference.engine.refusals import Guards
from modelward_inference.protocol.checks import size_of
from modelward_inference.protocol.messages import (
    REFUSERS,
    DeadlineExceededError,
    InferRequest,
    InferResponse,
    ModelRefusedError,
    RequestError,
    Timing,
)
from modelward_inference.protocol.names import Names
from modelward_inference.protocol.tensors import shown
from modelward_inference.runtimes.base import Model
from modelward_inference.telemetry import metrics
from modelward_inference.telemetry.samples import Samples
from modelward_inference.telemetry.users import Users

log = logging.getLogger(__name__)

REQUEST_TIMEOUT = 60.0
"""Seconds that a request may wait where the client says nothing."""

MAX_ROWS = 100_000
"""Rows of a request: at 30 features as much as the default limit of a body holds."""

WARM_UP_SECONDS = 2.0
"""Of predictions that show how the time grows with the rows; a slow model ends it sooner."""

MANY_NUMBERS, MANY_INPUTS = 100_000, 200
"""Of a tensor, and of a request: beyond these it is checked in a thread. To look at so many takes some tenths of a
millisecond."""

TEXT = 30
"""Numbers that are looked at while one text is."""

IGNORED = "ignored_inputs"
"""The parameter of an answer that names the columns which made no difference to it."""

Fill = Callable[[InferRequest, float], Awaitable[InferRequest]]
"""The same request with what else the model takes, or the same one. Seconds of time.monotonic() until when. Raises
RequestError, UnavailableError."""

_REFUSALS = frozenset({"InvalidArgument"})
"""Names of exceptions, besides ValueError, by which a runtime says that the input is at fault: onnxruntime's."""


class DataPlane:
    """One model, ready to answer.

    `workers`: predictions in threads at a time; `max_waiting`: requests that may wait for one; `max_batch_rows`: 1
    turns batching off; `max_batch_delay`, `timeout`: seconds; `max_rows`: of a request. `samples` are given the
    answers by the adapters, which alone see every failure; `bodies` is what they share to read requests.
    """

    def __init__(
        self,
        model: Model,
        manifest: Manifest,
        version: str,
        workers: int,
        max_waiting: int,
        *,
        max_batch_rows: int = 256,
        max_batch_delay: float = 0.0,
        timeout: float = REQUEST_TIMEOUT,
        max_rows: int = MAX_ROWS,
        bodies: Bodies | None = None,
    ) -> None:
        self.manifest = manifest
        self.name = manifest.name
        self.version = version
        self.signature = manifest.signature
        self.samples = Samples()
        self.users = Users()
        self.bodies = bodies or Bodies()
        self._model = model
        self._names = Names(self.signature, manifest.columns)
        self._outputs = tuple(tensor.name for tensor in self.signature.outputs)
        widths = {tensor.name: math.prod(tensor.shape[1:]) for tensor in self.signature.inputs}
        self._guards = Guards(manifest.refusals, widths)
        self._timeout = timeout
        self.fill: Fill | None = None
        """Is given each request before it is checked; None: clients bring all that the model takes."""
        self.features: Callable[[], Mapping[str, Any]] | None = None
        """What clients are told of where features are looked up; None: they are not."""
        self.max_rows = max_rows
        # Along the first axis, where fetch has proven that this changes no answer.
        joining = manifest.joining
        joins = joining is not None and joining.joins
        self.max_batch_rows = max_batch_rows if joins else 1
        """Rows of different requests that are computed together; 1 for none."""
        self._batches = self.max_batch_rows > 1
        self._answers_none = joins and all(
            -1 not in tensor.shape[1:] and not tensor.any_rank for tensor in self.signature.outputs
        )
        self._one_size = joining is None or joining.one_size
        limits = Limits(workers, max_waiting, max_batch_rows, max_batch_delay)
        self._batcher = Batcher(model.predict, limits, (self.name, version))
        self._refused = {by: metrics.REFUSED.labels(self.name, version, by) for by in REFUSERS}

    @property
    def pending(self) -> int:
        """Requests that wait for the model or are in it."""
        return self._batcher.pending

    @property
    def busy(self) -> bool:
        """Whether a request that comes now may have to wait."""
        return self._batcher.busy or self.fill is not None

    @property
    def observed(self) -> bool:
        """Whether anybody wants to know whose requests there are."""
        return self._batcher.observer is not None

    def observe(self, observer: Observer) -> None:
        """Let it have every answer from now on. Requests for some outputs only are observed with those alone."""
        self._batcher.observer = observer

    def warm_up(self) -> None:
        """Answer requests of zeros: the first real client must not pay for what is set up lazily.

        One row, then twice as many each time while that is cheap, so that the costs are known before anyone asks. A
        sound model may refuse zeros (an encoder that never saw that category): that is logged, and no failure.
        """
        self._batcher.measure_hop()
        inputs = warm_up_inputs(self.signature)
        end = time.monotonic() + WARM_UP_SECONDS
        try:
            cheap = True
            while cheap and time.monotonic() < end and _rows(inputs) <= self.max_rows:
                size = sum(map(size_of, inputs.values()))
                cheap = self._batcher.measure(inputs, self._outputs, size) and self._batches
                inputs = {name: np.concatenate((array, array)) for name, array in inputs.items()} if cheap else inputs
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a model may raise anything
            log.warning("the model was not warmed up, it refuses a row of zeros: %s", error)

    async def infer(self, request: InferRequest, *, deadline: float | None = None) -> InferResponse:
        """Check, wait, compute. `deadline`: seconds of time.monotonic(); the server's own limit holds in any case.

        Raises RequestError for the client's mistakes, OverloadedError, DeadlineExceededError, UnavailableError, and
        whatever the model raises. A caller that is cancelled while its request waits leaves the queue.
        """
        now = time.monotonic()
        latest = now + self._timeout
        if deadline is not None and deadline < latest:
            if deadline <= now:
                metrics.EXPIRED.inc()
                raise DeadlineExceededError("the request's time was over when it arrived")
            latest = deadline
        try:
            if self.fill is not None:
                request = await self.fill(request, latest)
                now = time.monotonic()
            if _takes_long(request):
                job = await self.bodies.apart(self._job, request, now, latest)
            else:
                job = self._job(request, now, latest)
        except ModelRefusedError as error:
            self._refused[error.by].inc()
            raise
        try:
            # No rows have no answers; many models fail where they are asked for them.
            outputs = await self._batcher.run(job) if job.size or not self._answers_none else self._none(job.wanted)
        except Exception as error:
            if isinstance(error, ValueError) or type(error).__name__ in _REFUSALS:
                # Not a failure of the server: one client's NaN must not look like a bad model.
                self._refused["model"].inc()
                raise ModelRefusedError(f"the model refuses these inputs: {error}", "model") from error
            raise
        if request.outputs:
            outputs = {asked: outputs[name] for asked, name in self._names.outputs(request).items()}
        timing = Timing(job.queued, job.computed, job.batch)
        response = InferResponse(self.name, self.version, outputs, request.id, timing=timing)
        if len(request.inputs) > 1:
            few = len(request.inputs) <= MANY_INPUTS
            ignored = self._names.ignored(request) if few else await self.bodies.apart(self._names.ignored, request)
            if ignored:
                response.parameters = {IGNORED: shown(", ".join(ignored))}
        if request.told:
            response.parameters = {**response.parameters, **request.told}
        return response

    def _none(self, wanted: Iterable[str]) -> dict[str, Array]:
        outputs = {tensor.name: tensor for tensor in self.signature.outputs}
        return {name: no_rows(outputs[name]) for name in wanted}

    def _job(self, request: InferRequest, now: float, deadline: float) -> Job:
        inputs = self._names.inputs(request)
        rows = self._checked_rows(inputs)
        self._guards.check(inputs)
        wanted = tuple(self._names.outputs(request).values()) if request.outputs else self._outputs
        key = key_of(inputs, wanted) if self._batches else None
        if key is not None and request.entities:
            key = (*key, *request.entities)  # with others that have these as well
        return Job(inputs, wanted, key, rows, sum([size_of(array) for array in inputs.values()]), now, deadline,
                   request.origin, request.entities)  # fmt: skip

    def _checked_rows(self, inputs: Mapping[str, Array]) -> int:
        rows = -1
        for name, array in inputs.items():
            if not self._names.expected[name].rows:
                continue
            count = array.shape[0]
            if self._one_size and rows not in (-1, count):
                raise RequestError(f"inputs differ in their number of rows: {sorted({rows, count})}")
            if count > self.max_rows:
                raise RequestError(
                    f"inputs ({name}).shape asks for {count} rows; this server takes {self.max_rows} at a time", 413
                )
            rows = max(rows, count)
        return max(rows, 1)


def _takes_long(request: InferRequest) -> bool:
    """Whether to check it, and to make its numbers of the model's type, keeps the event loop for a while."""
    inputs = request.inputs
    if len(inputs) == 1:
        return _weight(inputs[0].array) > MANY_NUMBERS
    return len(inputs) > MANY_INPUTS or max([_weight(each.array) for each in inputs], default=0) > MANY_NUMBERS


def _weight(array: Array) -> int:
    return array.size if array.dtype.kind != "O" else array.size * TEXT


def _rows(inputs: Mapping[str, Array]) -> int:
    return max((array.shape[0] for array in inputs.values() if array.ndim), default=1)
