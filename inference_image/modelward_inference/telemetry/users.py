"""Answers by users, for rollouts whose users stay on one side: a header of the router says where a request names its.

Users are counted in few buckets, by a hash of their name, and the name is forgotten: memory is bounded, and nobody is
kept by name. Invariants: a request without that header costs one look-up; no failure here reaches a request. Everything
runs in the event loop's thread.
"""

from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final
from zlib import crc32

from modelward_inference.telemetry.metrics import GONE, SECONDS, Series

HEADER: Final = "x-modelward-users"
"""From the router alone: `header:<name>` or `cookie:<name>` where the user's name is; `request` where each request
stands for itself; `matched` where a rule chose the side, not chance."""

BUCKETS: Final = 32

MATCHED: Final = BUCKETS
"""The row of requests that a rule sent here; it follows the buckets."""

CLIENTS_MISTAKES: Final = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE"})
_LEFT: Final = frozenset({GONE, "CANCELLED"})


class Users:
    """Of one model, over all protocols."""

    def __init__(self) -> None:
        self._times = [Series(SECONDS) for _ in range(BUCKETS + 1)]
        self._failed = [0] * (BUCKETS + 1)
        self._refused = [0] * (BUCKETS + 1)

    def count(self, where: str, get: Callable[[str], str], code: int | str, seconds: float, *, refused: bool) -> None:
        """One answer. `where`: the header's value; `get`: a header of the request by its name, empty where it has none;
        `code`: of HTTP, or the name of gRPC's; `refused`: the model did not take it."""
        if code in _LEFT:
            return
        row = MATCHED if where == "matched" else crc32(_user(where, get).encode()) % BUCKETS
        self._times[row].observe(seconds)
        self._failed[row] += code >= 500 if isinstance(code, int) else code not in CLIENTS_MISTAKES and code != "OK"
        self._refused[row] += refused

    def page(self, slo: float | None) -> dict[str, Any]:
        """By bucket, and then of those that a rule sent: answers, failed, refused, slower than `slo` (seconds; the next
        bound that is not below)."""
        fast = len(SECONDS) if slo is None else min(bisect_left(SECONDS, slo * (1 - 1e-9)), len(SECONDS) - 1)
        rows = []
        for times, failed, refused in zip(self._times, self._failed, self._refused, strict=True):
            upto = list(accumulate(times.counts))
            rows.append([upto[-1], failed, refused, upto[-1] - upto[fast]])
        return {"users": rows}


def _user(where: str, get: Callable[[str], str]) -> str:
    """Who has no name is the one that its request's id names: so does the router's hash, and a cookie that it sets."""
    kind, _, name = where.partition(":")
    if kind == "header":
        found = get(name)
    elif kind == "cookie":
        pairs = (part.strip().partition("=") for part in get("cookie").split(";"))
        found = next((value for key, _, value in pairs if key == name), "")
    else:
        found = ""
    return found or get("x-request-id")
