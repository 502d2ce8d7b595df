"""Before the clock runs: every server gives the right answers, compared with scikit-learn's own."""

from typing import Any

import numpy as np

from benchmarks.serving import messages
from benchmarks.serving.processes import post
from benchmarks.serving.requests import Request
from localcluster.progress import SetupError

TOLERANCE = 1e-4
"""Of a probability: servers may compute in 32-bit floats."""

MISTAKES = 0.005
"""The share of rows that may differ where many are sent: a value on a tree's threshold may fall to either side."""


def check_rest(url: str, request: Request) -> None:
    """Raises SetupError where the answer is none of success or wrong."""
    answer, got = post(url, request.body.read_bytes(), request.headers)
    length = got.get(messages.JSON_LENGTH)
    compare(messages.read_binary(answer, int(length) if length else None), request.expected)


def check_echo(url: str, request: Request) -> None:
    """Raises SetupError where something else comes back than was sent."""
    sent = request.body.read_bytes()
    if post(url, sent, request.headers)[0] != sent:
        raise SetupError("what comes back is not what was sent")


def compare(answer: Any, expected: Any) -> None:
    """Raises SetupError where more rows differ than may."""
    if np.size(answer) != np.size(expected):
        raise SetupError(f"answers with {np.size(answer)} values instead of {np.size(expected)}")
    close = np.isclose(np.reshape(answer, np.shape(expected)), expected, rtol=0, atol=TOLERANCE)
    wrong = np.count_nonzero(~(close if close.ndim == 1 else close.all(axis=1)))
    if wrong > MISTAKES * len(expected):
        raise SetupError(f"gives other answers than scikit-learn in {wrong} of {len(expected)} rows")
