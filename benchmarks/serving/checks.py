"""Before the clock runs: every server gives the right answers, compared with scikit-learn's own."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving import messages
from benchmarks.serving.cases import BINARY, GRPC
from benchmarks.serving.loads import Loads, rest_headers
from benchmarks.serving.models import Model
from benchmarks.serving.processes import post
from localcluster.progress import SetupError

TOLERANCE = 1e-4
"""Of a probability: servers may compute in 32-bit floats."""

MISTAKES = 0.005
"""The share of rows that may differ where many are sent: one that lies on a tree's threshold may fall to either side."""


def prepare(model: Model, transport: str, rows: int, folder: Path) -> tuple[Path, dict[str, str]]:
    """A file with the request, and the headers that go with it."""
    some = model.rows[:rows]
    json_length = None
    if transport == GRPC:
        body = messages.grpc_request(some, "model", model.output)
    elif transport == BINARY:
        body, json_length = messages.binary_body(some, model.output)
    else:
        body = messages.json_body(some, model.output)
    path = folder / f"{model.name}-{transport}-{rows}"
    path.write_bytes(body)
    return path, rest_headers(transport, json_length)


def check_rest(url: str, body: Path, headers: dict[str, str], expected: Any) -> None:
    """Raises SetupError where the answer is wrong."""
    answer, got = post(url, body.read_bytes(), headers)
    length = got.get(messages.JSON_LENGTH)
    compare(messages.read_binary(answer, int(length) if length else None), expected)


def check_echo(url: str, body: Path, headers: dict[str, str]) -> None:
    """Raises SetupError where something else comes back than was sent."""
    sent = body.read_bytes()
    if post(url, sent, headers)[0] != sent:
        raise SetupError("the echo is another one")


def check_rpc(loads: Loads, address: str, body: Path, expected: Any) -> None:
    """Raises SetupError where the answer is wrong."""
    compare(messages.read_grpc(loads.rpc_once(address, body)), expected)


def compare(answer: Any, expected: Any) -> None:
    """Raises SetupError where more rows differ than may."""
    if np.size(answer) != np.size(expected):
        raise SetupError(f"answers with {np.size(answer)} values instead of {np.size(expected)}")
    close = np.isclose(np.reshape(answer, np.shape(expected)), expected, rtol=0, atol=TOLERANCE)
    wrong = np.count_nonzero(~(close if close.ndim == 1 else close.all(axis=1)))
    if wrong > MISTAKES * len(expected):
        raise SetupError(f"gives other answers than scikit-learn in {wrong} of {len(expected)} rows")
