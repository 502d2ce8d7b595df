"""What the page at /docs says of each endpoint, with examples."""

from typing import Any, Final


def _example(description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


def _error(description: str, message: str) -> dict[str, Any]:
    return _example(description, {"error": message})


def _given(example: Any, **more: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"example": example}}}, **more}


_DIGEST: Final = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PROFILE: Final = {
    "name": "age", "kind": "numeric", "counts": [120, 380, 400, 90, 0, 0, 10], "rows": 1000, "levels": [],
    "grid": {"edges": [20.5, 40.5, 60.5], "centres": [19.0, 31.2, 50.4, 66.0], "low": 18, "high": 81, "scale": 12.4},
    "inflation": {"largest": 1.0, "total": 1.0, "freedom": None}, "schema_version": 1,
}  # fmt: skip
_REFERENCE: Final = {
    "digest": _DIGEST, "schema_version": 1, "source": "training",
    "features": [{"side": "input", "tensor": "age", "column": None, "profile": _PROFILE}],
}  # fmt: skip
_READING: Final = {
    "schema_version": 1, "pod": "0d9a5d0c-3ad2-4b54-9c50-9f9f2cf0f7a2", "epoch": "d3b07384d113edec49eaa6238ad5ff00",
    "sequence": 42, "digest": _DIGEST, "final": False,
    "counts": [{"digest": "sha256:…", "cells": [12, 40, 39, 9, 0, 0, 1], "quality": [0, 1, 0, 0]}],
    "intake": {"counted": 101, "sampled_out": 0, "dropped": 0, "refused": 0, "lost": 0},
}  # fmt: skip
_WINDOW: Final = {
    "start": 1767225600.0, "end": 1767229200.0, "seconds": 3600.0, "closed": True, "rows": 101,
    "features": [{
        "feature": "age", "psi": 0.021, "rows": 101, "effective_rows": 101.0,
        "test": {"statistic": 2.9, "dof": 3.0, "denominator": None, "variance": 0.011, "log_p": -0.9},
        "quality": {
            "rows": 101, "missing": 1, "non_finite": 0, "out_of_range": 1, "new_categories": 0, "type_errors": 0
        },
    }],
}  # fmt: skip
_LEARNING: Final = _example(
    "There is no reference yet, or (with `problem`) the bundle's can't be used",
    {"error": "there is no reference yet: …", "learning": {"rows": 1200, "of": 5000}},
)
_UNKNOWN: Final = _error("It was not the operator that asked", "only the operator may ask this, by the header …")
_FULL: Final = _error("The snapshot can't be written", "the snapshot can't be written: …; make room in …")

HEALTHZ: Final[dict[str, Any]] = {"summary": "Whether the monitor listens"}
METRICS: Final[dict[str, Any]] = {"summary": "Prometheus metrics"}

GET_REFERENCE: Final[dict[str, Any]] = {
    "summary": "What is counted against",
    "responses": {200: _example("The reference", _REFERENCE), 401: _UNKNOWN, 404: _LEARNING, 503: _FULL},
}
PUT_REFERENCE: Final[dict[str, Any]] = {
    "summary": "Give a reference",
    "description": "Only where there is none yet. Rows that were held back to learn one are counted against it.",
    "openapi_extra": _given(_REFERENCE),
    "responses": {
        200: _example("It is the reference now, or was already", {"digest": _DIGEST}),
        400: _error("The body is no reference", "this is no reference: …"),
        401: _UNKNOWN,
        409: _error("There is another one", "this pod counts against sha256:… already; it can't count against …"),
        503: _FULL,
    },
}
COUNTS: Final[dict[str, Any]] = {
    "summary": "All that was counted, since the epoch began",
    "description": (
        "`counts` are in the order of the reference's features, `cells` in that of its profile: bins or categories, "
        "then `other`, `non_finite` and `null`; with `rare` labels eight groups of them and `new` before these. They "
        "only grow within an `epoch`, and `sequence` with them: subtract an earlier reading to know what came since. "
        "`final`: the server has ended, and nothing will come any more. "
        "With `final=1` the caller says that it keeps what it reads: a monitor that was told to end then does."
    ),
    "responses": {200: _example("The counts", _READING), 401: _UNKNOWN, 404: _LEARNING, 503: _FULL},
}
_LOG: Final = {
    "schema_version": 1, "pod": "0d9a5d0c-3ad2-4b54-9c50-9f9f2cf0f7a2", "epoch": "9f86d081884c7d65",
    "rows": {"written": 1200, "stored": 1000, "waiting": 200, "left_out": 0, "sampled_out": 0},
    "lost": {"full": 0, "failed": 0, "unreadable": 0, "damaged": 0, "dropped": 0}, "unreadable_values": 0,
    "outcomes": {"written": 12, "stored": 12, "waiting": 0, "refused": 0, "lost": 0, "invalid_requests": 0},
    "waiting_bytes": 40960, "failure": None, "disk_failure": None, "final": False,
}  # fmt: skip
LOG: Final[dict[str, Any]] = {
    "summary": "How far the prediction log has come",
    "description": (
        "Rows since its epoch began. `waiting` ones are on the pod's disk; `lost` ones are in no file, by reason. "
        "`outcomes`: that were told to this pod; `refused` ones were not kept, which was answered. "
        "`failure`: what keeps files from the store, since when (seconds since 1970), and what to do."
    ),
    "responses": {
        200: _example("So far", _LOG),
        401: _UNKNOWN,
        404: _error("None is kept", "this monitor …"),
    },
}
WINDOWS: Final[dict[str, Any]] = {
    "summary": "What this pod saw in its last windows, the one that goes on first",
    "description": "Of one pod alone, and since its monitor began. Features are ordered by their PSI, the worst first.",
    "responses": {200: _example("The windows", {"windows": [_WINDOW]}), 404: _LEARNING, 503: _FULL},
}
EVENTS: Final[dict[str, Any]] = {
    "summary": "KServe's logger",
    "description": (
        "CloudEvents in binary mode. Bodies are those of the V1 protocol (`instances`, `predictions`) or of V2 "
        "(`inputs`, `outputs`), in JSON. Requests and responses are counted as they come, without being paired."
    ),
    "openapi_extra": _given(
        {"instances": [[39, 77516.0], [50, 83311.0]]},
        parameters=[
            {
                "name": "ce-type", "in": "header", "required": True,
                "schema": {"enum": [f"org.kubeflow.serving.inference.{each}" for each in ("request", "response")]},
            },
            {"name": "ce-id", "in": "header", "schema": {"type": "string"}},
        ],
    ),
    "responses": {
        200: _example("Taken", {"rows": 2}),
        403: _error("The monitor takes none: MONITOR_EVENTS is not true", "this monitor takes no events; set …"),
        400: _error("It can't be read; it is counted as refused", "inputs[0].datatype must be one of …"),
        413: _error("It is too large; it is counted as refused", "the body has more than 4194304 bytes"),
    },
}  # fmt: skip
