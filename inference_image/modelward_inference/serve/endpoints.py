"""What of REST is not inference: health, metadata, metrics, and the page at /docs. Starlette serves it.

Every error is `{"error": "…"}`, which is what tritonclient and the KServe client read.
"""

import time
from typing import Any

import orjson
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from modelward_inference import __version__
from modelward_inference.artifact import formats
from modelward_inference.artifact.bundle import Tensor
from modelward_inference.capture import outcomes as told
from modelward_inference.capture.outcomes import Outcomes, Told
from modelward_inference.engine.bodies import Held
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.protocol.messages import OverloadedError, unknown_model
from modelward_inference.protocol.origin import ARMS_HEADER, COPY, arm_of
from modelward_inference.protocol.outcomes import MAX_BODY
from modelward_inference.serve import triton
from modelward_inference.serve.application import Added, Endpoints, Handler
from modelward_inference.serve.state import State
from modelward_inference.telemetry.labelled import exposition
from modelward_inference.telemetry.samples import ASKED_FOR, PAGE
from modelward_inference.telemetry.tracing import OUTCOMES, Tracing
from modelward_inference.telemetry.users import BUCKETS, HEADER

EXTENSIONS = ["binary_tensor_data", *triton.EXTENSIONS]

PRIVATE_PREFIX = "/modelward/"
"""What is below it is for the operator alone; who asks is known before (rest.py)."""

REQUEST_ID = "x-request-id"

MAX_DIGITS = 18
"""Of a sequence number: more can't be one."""


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


async def _told(outcomes: Outcomes | None, request: Request, revision: str, held: Held, trace: str) -> Told:
    """What becomes of a request that tells outcomes. Raises OverloadedError where there is no room for its body, and
    ClientDisconnect."""
    if outcomes is None:
        return told.nowhere()
    if arm_of(request.headers.get(ARMS_HEADER, ""), revision) == COPY:
        # Its original tells the same.
        return Told(409, {"error": "outcomes of a copy are not taken; the original's are"})
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            return told.too_large()
        held.add(len(part))
        parts.append(part)
    return await outcomes.hand_over(b"".join(parts), request.headers.get("content-encoding", ""), trace)


def small_endpoints(
    plane: DataPlane,
    state: State,
    revision: str = "",
    outcomes: Outcomes | None = None,
    tracing: Tracing | None = None,
) -> Starlette:
    """The application that answers everything but inference. `outcomes`: brings them to the monitor; None: there is
    none."""
    app = Endpoints(f"Modelward: {plane.name}", __version__)

    def known(name: str, version: str | None = None) -> None:
        if name != plane.name:
            raise HTTPException(404, unknown_model(name, plane.name))
        if version not in (None, plane.version):
            raise HTTPException(404, f"model {name!r} has no version {version!r} here; it has {plane.version!r}")

    def get(path: str, summary: str, **more: Any) -> Added:
        """GET, and HEAD, by which load balancers probe."""

        def added(handler: Handler) -> Handler:
            return app.head(path)(app.get(path, summary=summary, **more)(handler))

        return added

    @get("/v2/models", "The model that is here")
    async def models() -> Response:
        return _json({"models": [plane.name]})

    @get("/v1/models", "The model that is here, as the V1 protocol has it")
    async def v1_models() -> Response:
        return _json({"models": [plane.name]})

    @get("/v1/models/{name}", "Whether the model answers, as KServe's and as TensorFlow Serving's V1 have it")
    async def v1_model(name: str) -> Response:
        known(name)
        status = {"version": plane.version, "state": "UNLOADING" if state.draining else "AVAILABLE"}
        found = {"name": name, "ready": not state.draining, "model_version_status": [status]}
        return _json(found, 503 if state.draining else 200)

    @get("/", "Whether the process works, as the V1 protocol has it")
    async def alive() -> Response:
        return _json({"status": "alive"})

    @get("/v2", summary="Server metadata")
    async def server_metadata() -> Response:
        return _json({"name": "modelward", "version": __version__, "extensions": EXTENSIONS})

    @get("/v2/health/live", summary="Whether the process works")
    async def live() -> Response:
        return _json({"live": True})

    # The protocol's text and the KServe client differ in the key of readiness, so both are there.
    @get("/v2/health/ready", summary="Whether requests should be sent here")
    async def ready() -> Response:
        return _json({"live": True, "ready": not state.draining}, 503 if state.draining else 200)

    @get("/v2/models/{name}/ready", summary="Whether the model answers")
    @get("/v2/models/{name}/versions/{version}/ready", summary="Whether the version of the model answers")
    async def model_ready(name: str, version: str | None = None) -> Response:
        known(name, version)
        return _json({"name": name, "ready": not state.draining}, 503 if state.draining else 200)

    if plane.name != "stats":

        @get("/v2/models/stats", "Statistics of all models, as Triton has them")
        async def all_stats() -> Response:
            return _json(triton.statistics(plane))

    @get("/v2/models/{name}/stats", "Statistics, as Triton has them")
    @get("/v2/models/{name}/versions/{version}/stats", "Statistics of a version of the model")
    async def stats(name: str, version: str | None = None) -> Response:
        known(name, version)
        return _json(triton.statistics(plane))

    @get("/v2/models/{name}", summary="Model metadata")
    @get("/v2/models/{name}/versions/{version}", summary="Metadata of a version of the model")
    async def model_metadata(name: str, version: str | None = None) -> Response:
        known(name, version)
        return _json(metadata(plane))

    @get("/v2/models/{name}/config", "The model's configuration, as Triton has it")
    @get("/v2/models/{name}/versions/{version}/config", "Configuration of a version of the model")
    async def config(name: str, version: str | None = None) -> Response:
        known(name, version)
        return _json(triton.configuration(plane))

    @app.post("/v2/repository/index", summary="The models that are here, as Triton has them")
    async def repository_index() -> Response:
        return _json(triton.index(plane, not state.draining))

    # The real work is done before these are asked; this stands here for /docs and for wrong names.
    @app.post("/v2/models/{name}/infer", summary="Inference", openapi_extra=_infer_documentation(plane))
    @app.post("/v2/models/{name}/versions/{version}/infer", summary="Inference by a version of the model")
    async def infer(name: str, version: str | None = None) -> Response:
        known(name, version)
        raise HTTPException(404, "no such path")

    @app.post("/v1/models/{name}:predict", summary="Inference by the V1 protocol: instances, or inputs by column")
    async def predict(name: str) -> Response:
        known(name)
        raise HTTPException(404, "no such path")

    @app.post("/v2/models/{name}/outcomes", summary="What became of predictions", **_outcomes_documentation())
    async def take_outcomes(name: str, request: Request) -> Response:
        known(name)
        began, traced = time.perf_counter(), None
        if tracing is not None:
            traced = tracing.begin(request.headers.get("traceparent", ""), request.headers.get("tracestate", ""))
        try:
            with plane.bodies.hold() as held:
                found = await _told(outcomes, request, revision, held, traced.traceparent if traced else "")
        except OverloadedError as error:
            found = Told(503, {"error": str(error)})
        except ClientDisconnect:  # nobody is there to answer
            found = Told(400, {"error": "the body did not come"})
        told.count(found)
        if traced is not None:
            labels, request_id = (plane.name, plane.version, "rest"), request.headers.get(REQUEST_ID, "")
            seconds = time.perf_counter() - began
            traced.end(labels, found.status, seconds, request_id=request_id, name=OUTCOMES)
        return _json(found.answer, found.status, {"retry-after": "1"} if found.later else None)

    @get("/metrics", summary="Prometheus metrics")
    async def prometheus(request: Request) -> Response:
        text, content_type = exposition(REGISTRY, revision, request.headers.get("accept"))
        return Response(text, headers={"content-type": content_type})

    @get(f"{PRIVATE_PREFIX}samples", summary="Answers, to compare revisions by", openapi_extra=_samples_documentation())
    async def samples(request: Request) -> Response:
        after = request.query_params.get("after", "0")
        if not after.isdecimal() or len(after) > MAX_DIGITS:
            raise HTTPException(400, f"after is {after[:50]!r}; set it to the last answer's `next`, or to 0 for all")
        return _json(plane.samples.page(int(after)))

    @get(f"{PRIVATE_PREFIX}users", summary="Answers by groups of users", openapi_extra=_users_documentation())
    async def users(request: Request) -> Response:
        slo = request.query_params.get("slo")
        try:
            limit = None if slo is None else float(slo[:50])
        except ValueError:
            raise HTTPException(400, f"slo is {slo!s:.50}; write seconds, as 0.05") from None
        return _json(plane.users.page(limit))

    async def failed(_: Request, error: HTTPException) -> Response:
        told = f"there is no such path; inference is POST /v2/models/{plane.name}/infer, all paths stand at /docs"
        words = told if error.detail in ("Not Found", "Method Not Allowed") else str(error.detail)
        return Response(orjson.dumps({"error": words}), error.status_code, error.headers, media_type="application/json")

    return app.application(failed, redirect_slashes=False)


def metadata(plane: DataPlane) -> dict[str, Any]:
    """A model's metadata, with everything that the bundle tells of it under `properties`: texts, as the protocol has
    them; what has parts is JSON in a text."""
    manifest = plane.manifest
    properties: dict[str, Any] = {
        "digest": manifest.digest,
        "uri": manifest.uri,
        "format": manifest.format,
        "libraries": manifest.libraries,
        "warnings": list(manifest.warnings),
    }
    if manifest.compilation is not None:
        properties["compilation"] = manifest.compilation
    if manifest.joining is not None:
        properties["joining"] = manifest.joining
    if manifest.columns:
        properties["columns"] = manifest.columns
    if manifest.refusals:
        properties["refusals"] = manifest.refusals
    if manifest.classes:
        properties["classes"] = manifest.classes
    if manifest.trained_with:
        properties["trained_with"] = manifest.trained_with
    if plane.features is not None:
        properties["features"] = plane.features()
    return {
        "name": plane.name,
        "versions": [plane.version],
        "platform": formats.platform_of(manifest.format),
        "inputs": [_described(tensor) for tensor in plane.signature.inputs],
        "outputs": [_described(tensor) for tensor in plane.signature.outputs],
        "properties": {name: _as_text(value) for name, value in properties.items()},
    }


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _infer_documentation(plane: DataPlane) -> dict[str, Any]:
    inputs = [{**_described(tensor), "data": []} for tensor in plane.signature.inputs]
    return {"requestBody": {"content": {"application/json": {"example": {"inputs": inputs}}}}}


def _outcomes_documentation() -> dict[str, Any]:
    first = {"request_id": "3f1c…", "row": 0, "value": 1, "time": "2026-03-01T07:00:00Z", "weight": 1.0}
    example = {"outcomes": [first, {"key": "order-4711", "value": "fraud"}]}

    def error(description: str, message: str) -> dict[str, Any]:
        return {"description": description, "content": {"application/json": {"example": {"error": message}}}}

    return {
        "description": (
            "All of a request's outcomes are taken, or none. They are answered when they are on the pod's disk; its "
            "log brings them to the store of the predictions. An outcome need not reach the pod that predicted."
        ),
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"example": example}}}},
        "responses": {
            202: {
                "description": "Kept; how many", "content": {"application/json": {"example": {"outcomes": 2}}}
            },
            400: error("One is wrong: which, and in what", "outcomes[1].value is missing: say what became of …"),
            404: error("The model keeps no log", told.NO_LOG),
            413: error("Too many at a time, or too large", f"the body has more than {MAX_BODY} bytes; send fewer …"),
            503: error("Send them again (Retry-After)", "the pod's disk has no room for more outcomes …"),
        },
    }  # fmt: skip


def _users_documentation() -> dict[str, Any]:
    answer = {"users": [[120, 0, 3, 1], [98, 1, 0, 0]]}
    return {
        "description": (
            f"For rollouts whose users stay on one side. A router says in {HEADER} which header or cookie names a "
            f"request's user; a hash of the name gives one of {BUCKETS} groups, and the name is forgotten. For each "
            "group, and last of all for requests that a rule sent here: answers, failed ones, refused ones, slow ones, "
            "since the process began. Only the operator is answered, by the signature in x-modelward-auth."
        ),
        "parameters": [
            {
                "name": "slo",
                "in": "query",
                "schema": {"type": "number"},
                "description": "Seconds, from where an answer is slow; without it none is",
            }
        ],
        "responses": {
            "200": {"description": "Counts", "content": {"application/json": {"example": answer}}},
            "400": {"description": "`slo` is no number"},
            "401": {"description": "It was not the operator that asked"},
        },
    }


def _samples_documentation() -> dict[str, Any]:
    after = {"type": "integer", "minimum": 0, "default": 0}
    sample = {"seq": 8, "hash": 81985529, "id": "0123456789abcdef", "outputs": {"predict": [1, 0]}}
    answer = {"epoch": "9f86d081884c7d65", "next": 8, "level": 2, "samples": [sample]}
    return {
        "description": (
            "Requests are chosen by a hash of their x-request-id, which has to be below 2^(32 - `level`), so servers "
            "that see the same requests sample the same ones. Sampling ends "
            f"{ASKED_FOR:.0f} s after the last question. The oldest samples come first, at most {PAGE}; ask for more "
            "with `next`. A `seq` that is left out was lost; another `epoch` means another process, which counts anew. "
            "Only the operator is answered, by the signature in x-modelward-auth. "
            "`outputs` has the first rows of whole numbers, booleans and texts, else of floating numbers to 6 digits, "
            "and `error` is null; or `error` is the answer's code, and `outputs` null."
        ),
        "parameters": [{"name": "after", "in": "query", "schema": after, "description": "The last answer's `next`"}],
        "responses": {
            "200": {"description": "Samples behind `after`", "content": {"application/json": {"example": answer}}},
            "400": {"description": "`after` is no sequence number"},
            "401": {"description": "It was not the operator that asked"},
        },
    }
