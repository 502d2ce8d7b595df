"""The calls of GRPCInferenceService.

Handlers take and give bytes: a message that is no protobuf is then the client's mistake with a sentence, not gRPC's
"exception deserializing request". Every failure ends in a status whose message names the cause.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from modelward_inference import __version__
from modelward_inference.artifact import formats
from modelward_inference.artifact.bundle import Tensor
from modelward_inference.engine.bodies import LARGE
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.protocol.messages import (
    DeadlineExceededError,
    InferRequest,
    InferResponse,
    ModelRefusedError,
    OverloadedError,
    RequestError,
    UnavailableError,
    is_large,
)
from modelward_inference.protocol.origin import ARMS_HEADER, KEY_HEADER, Origin, key_of
from modelward_inference.protocol.reading import Reading
from modelward_inference.serve import triton
from modelward_inference.serve.endpoints import EXTENSIONS, metadata
from modelward_inference.serve.grpc_api import messages, reading
from modelward_inference.serve.grpc_api import open_inference_pb2 as types
from modelward_inference.serve.identity import Headers
from modelward_inference.serve.state import State
from modelward_inference.telemetry import metrics, users
from modelward_inference.telemetry.requestlog import AccessLog, rows_of, whose
from modelward_inference.telemetry.tracing import Traced, Tracing
from modelward_telemetry.logs import QUOTES

log = logging.getLogger(__name__)

NAME = types.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

REQUEST_ID = "x-request-id"
PARENT = "traceparent"

MAX_MESSAGE = 2000
"""Bytes of a status message: it travels in the trailers, where a byte may take 3 and clients take 8 KiB in all."""

Context = Any
"""grpc.aio.ServicerContext[bytes, bytes]"""

Call = Callable[[bytes, Context], Awaitable[bytes]]

_CODES = {
    404: grpc.StatusCode.NOT_FOUND, 413: grpc.StatusCode.OUT_OF_RANGE, 422: grpc.StatusCode.FAILED_PRECONDITION,
}  # fmt: skip
"""Of the client's mistakes, by their HTTP status; all others are invalid arguments."""

_FAILURES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
"""Errors of the server in a trace, by OpenTelemetry's conventions."""


class Service:
    """The calls, as handlers that grpc.aio can register. `headers`: metadata of every answer, whatever it says."""

    def __init__(
        self,
        plane: DataPlane,
        state: State,
        tracing: Tracing | None = None,
        headers: Headers = (),
        access: AccessLog | None = None,
    ) -> None:
        self._headers = headers
        self._access = access if access is not None else AccessLog()
        self._plane = plane
        self._state = state
        self._tracing = tracing
        self._requests = metrics.Requests(plane.name, plane.version, "grpc")
        self._samples = plane.samples
        self._users = plane.users
        self._reader = reading.Reader(plane.name, plane.version)

    def handler(self) -> grpc.GenericRpcHandler:
        calls = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
            "ModelStatistics": self._model_statistics,
            "ModelConfig": self._model_config,
            "RepositoryIndex": self._repository_index,
        }
        methods = {name: grpc.unary_unary_rpc_method_handler(self._named_in(call)) for name, call in calls.items()}
        return grpc.method_handlers_generic_handler(NAME, methods)

    def _named_in(self, call: Call) -> Call:
        headers = self._headers
        if not headers:
            return call

        async def named(body: bytes, context: Context) -> bytes:
            context.set_trailing_metadata(headers)
            return await call(body, context)

        return named

    async def _model_infer(self, body: bytes, context: Context) -> bytes:
        began = time.perf_counter()
        code, words, answer, refused = grpc.StatusCode.OK, "", b"", False
        response: InferResponse | None = None
        traced = None
        if self._tracing is not None:
            traced = self._tracing.begin(_metadata(context, PARENT), _metadata(context, "tracestate"))
        try:
            answer, response = await self._infer(body, context, traced)
        except asyncio.CancelledError:
            self._record(grpc.StatusCode.CANCELLED, began, context, traced)
            raise
        except Exception as error:
            code, words = _explained(error)
            refused = isinstance(error, ModelRefusedError)
            if code is grpc.StatusCode.INTERNAL:
                extra = {QUOTES: True, **whose(_metadata(context, REQUEST_ID), _metadata(context, PARENT))}
                log.error("the model failed", exc_info=error, extra=extra)
        self._record(code, began, context, traced, response)
        if where := _metadata(context, users.HEADER):
            seconds = time.perf_counter() - began
            self._users.count(where, lambda name: _metadata(context, name), code.name, seconds, refused=refused)
        if self._samples.active:
            outputs = response.outputs if response is not None else None
            self._samples.take(_metadata(context, REQUEST_ID).encode(), code.name, outputs)
        if code is not grpc.StatusCode.OK:
            await context.abort(code, _shortened(words))
        return answer

    async def _infer(self, body: bytes, context: Context, traced: Traced | None) -> tuple[bytes, InferResponse]:
        remaining = context.time_remaining()
        deadline = None if remaining is None else time.monotonic() + remaining
        bodies = self._plane.bodies
        with bodies.hold() as held:
            if len(body) > LARGE:
                held.add(len(body))
            if reading.is_quick(body):
                request = self._reader.decode(body)
            else:
                request = await bodies.read(Reading(self._reader.decode), body, held)
            if self._plane.observed:
                request.origin = _origin(context, request, traced)
            response = await self._plane.infer(request, deadline=deadline)
            if is_large(response):
                return await bodies.apart(messages.encode, response, request), response
            return messages.encode(response, request), response

    def _record(
        self,
        code: grpc.StatusCode,
        began: float,
        context: Context,
        traced: Traced | None,
        response: InferResponse | None = None,
    ) -> None:
        seconds = time.perf_counter() - began
        self._requests.observe(code.name, seconds)
        if self._access.active:
            ids = (_metadata(context, REQUEST_ID), _metadata(context, PARENT))
            self._access.take("grpc", code.name, seconds, rows_of(response), *ids)
        if traced is not None:
            labels = (self._plane.name, self._plane.version, "grpc")
            timing = response.timing if response else None
            traced.end(labels, code.name, seconds, timing, code in _FAILURES, _metadata(context, REQUEST_ID))
            self._requests.exemplify(code.name, seconds, traced.trace_id)

    async def _server_live(self, _: bytes, __: Context) -> bytes:
        return types.ServerLiveResponse(live=True).SerializeToString()

    async def _server_ready(self, _: bytes, __: Context) -> bytes:
        return types.ServerReadyResponse(ready=not self._state.draining).SerializeToString()

    async def _model_ready(self, body: bytes, context: Context) -> bytes:
        await self._named(types.ModelReadyRequest, body, context)
        return types.ModelReadyResponse(ready=not self._state.draining).SerializeToString()

    async def _server_metadata(self, _: bytes, __: Context) -> bytes:
        return types.ServerMetadataResponse(
            name="modelward", version=__version__, extensions=EXTENSIONS
        ).SerializeToString()

    async def _model_metadata(self, body: bytes, context: Context) -> bytes:
        await self._named(types.ModelMetadataRequest, body, context)
        plane = self._plane
        return types.ModelMetadataResponse(
            name=plane.name,
            versions=[plane.version],
            platform=formats.platform_of(plane.manifest.format),
            inputs=[_described(tensor) for tensor in plane.signature.inputs],
            outputs=[_described(tensor) for tensor in plane.signature.outputs],
            properties=metadata(plane)["properties"],
        ).SerializeToString()

    async def _model_statistics(self, body: bytes, context: Context) -> bytes:
        request = types.ModelStatisticsRequest.FromString(body)
        if request.name:  # empty: of all models
            await self._named(types.ModelStatisticsRequest, body, context)
        return _filled(types.ModelStatisticsResponse(), triton.statistics(self._plane))

    async def _model_config(self, body: bytes, context: Context) -> bytes:
        await self._named(types.ModelConfigRequest, body, context)
        return _filled(types.ModelConfigResponse(), {"config": triton.configuration(self._plane)})

    async def _repository_index(self, _: bytes, __: Context) -> bytes:
        models = triton.index(self._plane, not self._state.draining)
        return _filled(types.RepositoryIndexResponse(), {"models": models})

    async def _named(self, kind: Any, body: bytes, context: Context) -> None:
        """Refuse a request about something that is not here."""
        try:
            request = messages.parse(kind, body)
            self._reader.check_known(request.name, request.version)
        except RequestError as error:
            code, words = _explained(error)
            await context.abort(code, _shortened(words))


def _filled(message: Any, content: dict[str, Any]) -> bytes:
    filled: bytes = ParseDict(content, message).SerializeToString()
    return filled


def _explained(error: Exception) -> tuple[grpc.StatusCode, str]:
    match error:
        case RequestError():
            return _CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT), str(error)
        case OverloadedError():
            return grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)
        case DeadlineExceededError():
            return grpc.StatusCode.DEADLINE_EXCEEDED, str(error)
        case UnavailableError():
            late = error.status == 504
            return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.UNAVAILABLE, str(error)
    return grpc.StatusCode.INTERNAL, f"the model failed: {type(error).__name__}: {error}"


def _shortened(words: str) -> str:
    return words.encode()[:MAX_MESSAGE].decode(errors="ignore")


def _metadata(context: Context, name: str) -> str:
    return next((str(value) for key, value in context.invocation_metadata() or () if key == name), "")


def _origin(context: Context, request: InferRequest, traced: Traced | None) -> Origin:
    """Raises RequestError for a key that is none."""
    sent = dict(context.invocation_metadata() or ())
    key = key_of(sent.get(KEY_HEADER), request.parameters)
    trace = "" if traced is None else traced.traceparent
    return Origin(str(sent.get(REQUEST_ID, "")) or request.id or "", key, str(sent.get(ARMS_HEADER, "")), trace)


def _described(tensor: Tensor) -> types.ModelMetadataResponse.TensorMetadata:
    return types.ModelMetadataResponse.TensorMetadata(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
