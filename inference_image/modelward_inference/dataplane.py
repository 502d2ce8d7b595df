"""From a decoded request to the model's answer, whatever the transport: the checks, the queue, the prediction.

Predictions run in threads, as many as there are cores, so that neither the event loop nor a health probe ever waits for
one. Who comes when the queue is full is told so at once.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from modelward_inference import metrics
from modelward_inference.bundle import Manifest, Tensor
from modelward_inference.protocol import (
    DeadlineExceededError,
    InferRequest,
    InferResponse,
    Input,
    OverloadedError,
    RequestError,
)
from modelward_inference.runtimes.base import DTYPES, Array, Model, warm_up_inputs

log = logging.getLogger(__name__)


class DataPlane:
    """One model, ready to answer. `workers`: predictions at a time; `max_waiting`: requests that may wait for one."""

    def __init__(self, model: Model, manifest: Manifest, version: str, workers: int, max_waiting: int) -> None:
        self.manifest = manifest
        self.name = manifest.name
        self.version = version
        self.signature = manifest.signature
        self._model = model
        self._inputs = {tensor.name: tensor for tensor in self.signature.inputs}
        self._outputs = [tensor.name for tensor in self.signature.outputs]
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="predict")
        self._capacity = workers + max_waiting
        self._pending = 0

    def warm_up(self) -> None:
        """Answer one request of zeros: the first real client must not pay for what is set up lazily.

        A sound model may refuse zeros (an encoder that never saw that category): that is logged, and no failure.
        """
        try:
            self._model.predict(warm_up_inputs(self.signature), self._outputs)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a model may raise anything
            log.warning("the model was not warmed up, it refuses a row of zeros: %s", error)

    async def infer(self, request: InferRequest, *, deadline: float | None = None) -> InferResponse:
        """Raises RequestError for the client's mistakes, OverloadedError, DeadlineExceededError, or the model's error.

        `deadline`: of time.monotonic(), in seconds; nothing is computed after it.
        """
        inputs = {given.name: self._checked(given) for given in request.inputs}
        missing = [name for name in self._inputs if name not in inputs]
        if missing:
            raise RequestError(f"inputs lacks {', '.join(missing)}; the model takes {', '.join(self._inputs)}")
        rows = {array.shape[0] for array in inputs.values() if array.ndim}
        if len(inputs) > 1 and len(rows) > 1:
            raise RequestError(f"inputs differ in their number of rows: {sorted(rows)}")
        wanted = self._wanted(request)
        if self._pending >= self._capacity:
            metrics.REJECTED.inc()
            raise OverloadedError(f"{self._pending} requests wait already; try again in a second")
        self._count(+1)
        predicted = asyncio.get_running_loop().run_in_executor(self._executor, self._predict, inputs, wanted, deadline)
        # A client that leaves does not stop the thread: its place is free only when that has ended.
        predicted.add_done_callback(lambda _: self._count(-1))
        outputs = await asyncio.shield(predicted)
        return InferResponse(self.name, self.version, outputs, request.id)

    def _count(self, change: int) -> None:
        self._pending += change
        metrics.PENDING.set(self._pending)

    def _predict(self, inputs: dict[str, Array], wanted: Sequence[str], deadline: float | None) -> dict[str, Array]:
        if deadline is not None and time.monotonic() >= deadline:
            raise DeadlineExceededError("the client's time was up before the model was free")
        began = time.perf_counter()
        try:
            return self._model.predict(inputs, wanted)
        finally:
            metrics.COMPUTE_SECONDS.observe(time.perf_counter() - began)

    def _wanted(self, request: InferRequest) -> list[str]:
        if not request.outputs:
            return self._outputs
        for wanted in request.outputs:
            if wanted.name not in self._outputs:
                raise RequestError(f"outputs: the model has no {wanted.name!r}; it gives {', '.join(self._outputs)}")
        return [wanted.name for wanted in request.outputs]

    def _checked(self, given: Input) -> Array:
        tensor = self._inputs.get(given.name)
        if tensor is None:
            raise RequestError(f"inputs: the model takes no {given.name!r}; it takes {', '.join(self._inputs)}")
        _check_shape(given, tensor)
        return _cast(given, tensor)


def _check_shape(given: Input, tensor: Tensor) -> None:
    shape = given.array.shape
    fits = len(shape) == len(tensor.shape) and all(
        wanted in (-1, size) for size, wanted in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        raise RequestError(
            f"inputs ({given.name}).shape is {list(shape)}, but the model takes {list(tensor.shape)} (-1: any size)"
        )


def _cast(given: Input, tensor: Tensor) -> Array:
    """Numbers may change their type where no value is lost but for the precision of floats; nothing else may."""
    if given.datatype == tensor.datatype:
        return given.array
    target = DTYPES[tensor.datatype]
    source_kind, target_kind = given.array.dtype.kind, target.kind
    if target_kind == "f" and source_kind in "fiu":
        return given.array.astype(target)
    if target_kind in "iu" and source_kind in "iu":
        limits = np.iinfo(target)
        inside = not given.array.size or (int(given.array.min()) >= limits.min and int(given.array.max()) <= limits.max)
        if inside:
            return given.array.astype(target)
    raise RequestError(f"inputs ({given.name}).datatype is {given.datatype}, but the model takes {tensor.datatype}")
