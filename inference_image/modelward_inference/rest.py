"""The REST adapter of the data plane: raw ASGI for inference, FastAPI for the small rest and its documentation page.

No pydantic on the hot path: bytes → orjson → numpy → model → bytes. Every error is `{"error": "…"}`, which is what
tritonclient and the KServe client read.
"""

import logging
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

import orjson
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from modelward_inference import __version__, codec, formats, metrics
from modelward_inference.bundle import Tensor
from modelward_inference.dataplane import DataPlane
from modelward_inference.protocol import OverloadedError, RequestError

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

EXTENSIONS = ["binary_tensor_data"]
JSON_LENGTH_HEADER = b"inference-header-content-length"

MAX_DIGITS = 18
"""Of a length in a header: more can't be the length of anything."""

COMPRESS_FROM = 16 * 1024
"""Bytes: a smaller answer is sent faster than it is compressed."""


class State:
    """What the probes ask for."""

    def __init__(self) -> None:
        self.draining = False


class Rest:
    """The ASGI application. `max_body`: bytes that a request may have, also after decompression."""

    def __init__(self, plane: DataPlane, state: State, max_body: int) -> None:
        self._plane = plane
        self._state = state
        self._max_body = max_body
        base = f"/v2/models/{plane.name}"
        self._infer_paths = {f"{base}/infer", f"{base}/versions/{plane.version}/infer"}
        self._seconds = metrics.REQUEST_SECONDS.labels(plane.name, plane.version, "rest")
        self._rest = _small_endpoints(plane, state)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and unquote(scope["path"]) in self._infer_paths:
            await self._infer(scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    async def _infer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = await self._body(receive)
        if body is None:
            return
        began = time.perf_counter()
        extra: list[tuple[bytes, bytes]] = []
        try:
            if isinstance(body, RequestError):
                raise body
            request = codec.decode(_decompressed(body, headers, self._max_body), _json_length(headers))
            answer, json_length = codec.encode(await self._plane.infer(request), request)
            status = 200
            if json_length is not None:
                extra.append((JSON_LENGTH_HEADER, str(json_length).encode()))
        except RequestError as error:
            status, answer = error.status, _error(str(error))
        except OverloadedError as error:
            status, answer = 503, _error(str(error))
            extra.append((b"retry-after", b"1"))
        except Exception as error:  # a model may raise anything; the process goes on
            log.exception("the model failed", extra={"request_id": headers.get(b"x-request-id", b"").decode("latin-1")})
            status, answer = 500, _error(f"the model failed: {type(error).__name__}: {error}")
        self._seconds.observe(time.perf_counter() - began)
        metrics.REQUESTS.labels(self._plane.name, self._plane.version, "rest", str(status)).inc()
        kind = b"application/octet-stream" if extra and status == 200 else b"application/json"
        await self._send(send, status, answer, [(b"content-type", kind), *extra], headers)

    async def _body(self, receive: Receive) -> bytes | RequestError | None:
        """The whole body; an error where it is too long; None where the client is gone."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_body:
                return RequestError(f"the body has more than {self._max_body} bytes; send fewer rows at a time", 413)
            parts.append(chunk)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _send(
        self, send: Send, status: int, body: bytes, extra: list[tuple[bytes, bytes]], headers: dict[bytes, bytes]
    ) -> None:
        if len(body) >= COMPRESS_FROM and b"gzip" in headers.get(b"accept-encoding", b""):
            packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
            body = packer.compress(body) + packer.flush()
            extra.append((b"content-encoding", b"gzip"))
        extra.append((b"content-length", str(len(body)).encode()))
        if self._state.draining:
            extra.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": extra})
        await send({"type": "http.response.body", "body": body})


def _json_length(headers: dict[bytes, bytes]) -> int | None:
    raw = headers.get(JSON_LENGTH_HEADER)
    if raw is None:
        return None
    if not raw.isdigit() or len(raw) > MAX_DIGITS:
        raise RequestError(f"Inference-Header-Content-Length must be a number, not {raw.decode('latin-1')[:50]!r}")
    return int(raw)


def _decompressed(body: bytes, headers: dict[bytes, bytes], limit: int) -> bytes:
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise RequestError(f"Content-Encoding {encoding!r} is not supported; send gzip, deflate or no compression", 415)
    # zlib's own header detection takes gzip and zlib streams alike.
    unpacker = zlib.decompressobj(32 + zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(f"the body is not valid {encoding} data: {error}") from None
    if len(plain) > limit:
        raise RequestError(f"the body has more than {limit} bytes; send fewer rows at a time", 413)
    if not unpacker.eof:
        raise RequestError(f"the {encoding} data of the body breaks off")
    if unpacker.unused_data:
        raise RequestError(f"{len(unpacker.unused_data)} bytes follow the {encoding} data of the body")
    return plain


def _error(message: str) -> bytes:
    return orjson.dumps({"error": message})


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _small_endpoints(plane: DataPlane, state: State) -> FastAPI:
    """Health, metadata, metrics, and the page at /docs."""
    app = FastAPI(title=f"Modelward: {plane.name}", version=__version__, redoc_url=None)

    def known(name: str, version: str | None = None) -> None:
        if name != plane.name:
            raise HTTPException(404, f"there is no model {name!r} here; this server has {plane.name!r}")
        if version not in (None, plane.version):
            raise HTTPException(404, f"model {name!r} has no version {version!r} here; it has {plane.version!r}")

    @app.get("/v2", summary="Server metadata")
    async def server_metadata() -> Response:
        return _json({"name": "modelward", "version": __version__, "extensions": EXTENSIONS})

    @app.get("/v2/health/live", summary="Whether the process works")
    async def live() -> Response:
        return _json({"live": True})

    # The protocol's text and the KServe client differ in the key of readiness, so both are there.
    @app.get("/v2/health/ready", summary="Whether requests should be sent here")
    async def ready() -> Response:
        return _json({"live": True, "ready": not state.draining}, 503 if state.draining else 200)

    @app.get("/v2/models/{name}/ready", summary="Whether the model answers")
    @app.get("/v2/models/{name}/versions/{version}/ready", summary="Whether the version of the model answers")
    async def model_ready(name: str, version: str | None = None) -> Response:
        known(name, version)
        return _json({"name": name, "ready": not state.draining}, 503 if state.draining else 200)

    @app.get("/v2/models/{name}", summary="Model metadata")
    @app.get("/v2/models/{name}/versions/{version}", summary="Metadata of a version of the model")
    async def model_metadata(name: str, version: str | None = None) -> Response:
        known(name, version)
        manifest = plane.manifest
        about = {"digest": manifest.digest, "uri": manifest.uri, "format": manifest.format}
        return _json(
            {
                "name": plane.name,
                "versions": [plane.version],
                "platform": formats.PLATFORMS[manifest.format],
                "inputs": [_described(tensor) for tensor in plane.signature.inputs],
                "outputs": [_described(tensor) for tensor in plane.signature.outputs],
                "properties": {**about, "libraries": manifest.libraries, "warnings": list(manifest.warnings)},
            }
        )

    # The real work is done before FastAPI is asked; this stands here for /docs and for wrong names.
    @app.post("/v2/models/{name}/infer", summary="Inference", openapi_extra=_infer_documentation(plane))
    @app.post("/v2/models/{name}/versions/{version}/infer", summary="Inference by a version of the model")
    async def infer(name: str, version: str | None = None) -> Response:
        known(name, version)
        raise HTTPException(404, "no such path")

    @app.get("/metrics", summary="Prometheus metrics")
    async def prometheus() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> Response:
        return _json({"error": str(error.detail)}, error.status_code)

    return app


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _infer_documentation(plane: DataPlane) -> dict[str, Any]:
    inputs = [{**_described(tensor), "data": []} for tensor in plane.signature.inputs]
    return {"requestBody": {"content": {"application/json": {"example": {"inputs": inputs}}}}}
