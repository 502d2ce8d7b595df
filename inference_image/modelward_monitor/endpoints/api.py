"""The monitor's HTTP API: what the operator reads, what people look at, and KServe's events. Errors are {"error": "…"}.

Who may ask what is decided before (`OPEN`, and run.py): nothing here looks at who asks.

Nothing is shown that is not on the disk: who has read a count never sees less of it in the same epoch.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import asdict
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from modelward_drift.errors import ProfileError
from modelward_drift.profiles.reference import Reference
from modelward_inference import __version__
from modelward_inference.capture.wire import Batch
from modelward_inference.protocol.messages import RequestError
from modelward_inference.serve.application import Endpoints
from modelward_inference.telemetry.labelled import exposition
from modelward_monitor.counting.arrivals import Arrival
from modelward_monitor.counting.placing import check_widths, fitted
from modelward_monitor.counting.windows import Window
from modelward_monitor.endpoints import documents, logger
from modelward_monitor.monitor import Monitor
from modelward_monitor.predictionlog.service import PredictionLog

MAX_EVENT: Final = 4 << 20
"""Bytes. As Python's objects they take ten times as much."""

MAX_REFERENCE: Final = 16 << 20

OPEN: Final = frozenset({"/", "/healthz", "/metrics", "/v1/windows", "/docs", "/openapi.json"})
"""What everybody may ask who reaches the port: figures of this pod alone. The rest is the operator's: counts, whose
reading ends a farewell, and references."""


def application(
    monitor: Monitor,
    registry: CollectorRegistry,
    name: str,
    farewell: asyncio.Event,
    *,
    events: bool,
    revision: str = "",
    log: PredictionLog | None = None,
) -> Starlette:
    """`farewell` is set when somebody has read the last counts; `events`: whether KServe's are taken; `revision`: that
    metrics tell of; `log`: where the prediction log is kept."""
    app = Endpoints(f"Modelward's monitor of {name}", __version__)

    @app.get("/healthz", **documents.HEALTHZ)
    async def healthz() -> Response:
        return _json({"listening": True})

    @app.get("/metrics", **documents.METRICS)
    async def metrics() -> Response:
        text, content_type = exposition(registry, revision)
        return Response(text, headers={"content-type": content_type})

    @app.get("/v1/reference", **documents.GET_REFERENCE)
    async def get_reference() -> Response:
        await _saved(monitor)
        reference = monitor.saved.reference
        return _json(reference.to_dict()) if reference else _none_yet(monitor)

    @app.put("/v1/reference", **documents.PUT_REFERENCE)
    async def put_reference(request: Request) -> Response:
        try:
            reference = Reference.from_dict(orjson.loads(await _body(request, MAX_REFERENCE)))
        except (orjson.JSONDecodeError, ProfileError) as error:
            raise HTTPException(400, f"this is no reference: {error}") from None
        if monitor.final:
            raise HTTPException(503, "the monitor ends")
        if not await _written(monitor.adopt(reference)):
            there = monitor.plan.problem or f"this pod counts against {monitor.state.digest} already"
            raise HTTPException(409, f"{there}; it can't count against {reference.digest}")
        return _json({"digest": reference.digest})

    @app.get("/v1/counts", **documents.COUNTS)
    async def counts(final: str = "") -> Response:
        await _saved(monitor)
        reading = monitor.reading()
        if reading is None:
            return _none_yet(monitor)
        last = BackgroundTask(farewell.set) if reading.final and final not in ("", "0", "false") else None
        return _json(reading.to_dict(), background=last)

    @app.get("/v1/log", **documents.LOG)
    async def prediction_log() -> Response:
        if log is None:
            return _json({"error": "this monitor keeps no prediction log; PREDICTION_LOG_URI is not set"}, 404)
        return _json(log.document())

    @app.get("/v1/windows", **documents.WINDOWS)
    async def windows() -> Response:
        state = await _saved(monitor)
        if state.reference is None:
            return _none_yet(monitor)
        return _json({"windows": [_window(each) for each in monitor.windows.all(state)]})

    @app.post("/", **documents.EVENTS)
    async def event(request: Request) -> Response:
        if monitor.final:
            raise HTTPException(503, "the monitor ends")
        if not events:
            # Whoever reaches the port could make a drift of rows that the model was never asked.
            raise HTTPException(
                403, "this monitor takes no events; set MONITOR_EVENTS=true for those of KServe's logger"
            )
        rows = 1
        try:
            body = await _body(request, MAX_EVENT)
            if not monitor.layout.slots:
                monitor.settle()  # the first rows tell what there is to learn from
            arrival = logger.arrival(request.headers.get("ce-type"), body, monitor.tensors, monitor.features)
            rows = arrival.batch.rows
            arrival = fitted(monitor.layout, arrival)
            check_widths(monitor.layout, arrival)
        except (RequestError, HTTPException) as error:
            monitor.offer(Arrival(Batch("", 0, max(rows, 1), {}, {}), refused=True))
            raise HTTPException(getattr(error, "status", 413), str(getattr(error, "detail", error))) from None
        monitor.offer(arrival)
        return _json({"rows": arrival.batch.rows})

    async def failed(_: Request, error: HTTPException) -> Response:
        return _json({"error": str(error.detail)}, error.status_code)

    return app.application(failed, redirect_slashes=True)


def _json(content: Any, status: int = 200, background: BackgroundTask | None = None) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json", background=background)


def _none_yet(monitor: Monitor) -> Response:
    plan, held = monitor.plan, monitor.saved.held
    if plan.problem:
        return _json({"error": plan.problem, "problem": True}, 404)
    learning = {"rows": held.rows, "of": plan.learn_rows}
    if plan.signature is None:
        error = "there is no reference, and no model.json to learn one by; give one by PUT /v1/reference"
    else:
        error = f"there is no reference yet: it is learned from the first {plan.learn_rows} rows, {held.rows} are here"
    return _json({"error": error, "learning": learning}, 404)


async def _saved(monitor: Monitor) -> Any:
    return await _written(monitor.save())


async def _written(writing: Awaitable[Any]) -> Any:
    try:
        return await writing
    except OSError as error:
        raise HTTPException(503, f"the snapshot can't be written: {error}; make room in the monitor's volume") from None


async def _body(request: Request, most: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"the body has more than {most} bytes")
        parts.append(part)
    return b"".join(parts)


def _window(window: Window) -> dict[str, Any]:
    features = [
        {
            "feature": each.statistic.feature, each.statistic.metric: each.statistic.value, "rows": each.statistic.rows,
            "effective_rows": each.statistic.effective_rows, "test": asdict(each.statistic.test),
            "quality": asdict(each.quality),
        }
        for each in window.features
    ]  # fmt: skip
    head = {
        "start": window.start,
        "end": window.end,
        "seconds": window.seconds,
        "closed": window.closed,
        "rows": window.rows,
    }
    return {**head, "features": features}
