"""The request of a case: the same bytes for every server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving import messages
from benchmarks.serving.cases import BINARY, GRPC, Case
from benchmarks.serving.models import Model


@dataclass(frozen=True)
class Request:
    """`body`: a file with it; `expected`: what the first output of the answer should hold."""

    case: Case
    body: Path
    headers: dict[str, str]
    expected: Any


def prepare(model: Model, case: Case, folder: Path) -> Request:
    """Write the request of a case into `folder`."""
    rows = model.rows[: case.rows]
    headers = {"Content-Type": "application/json"}
    if case.transport == GRPC:
        body = messages.grpc_request(rows, "model", model.output)
    elif case.transport == BINARY:
        body, json_length = messages.binary_body(rows, model.output)
        headers = {"Content-Type": "application/octet-stream", messages.JSON_LENGTH: str(json_length)}
    else:
        body = messages.json_body(rows, model.output)
    path = folder / f"{case.transport}-{case.rows}"
    path.write_bytes(body)
    return Request(case, path, headers, model.expected[: case.rows])
