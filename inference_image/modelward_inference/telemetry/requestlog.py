"""What is written of single requests: whose a line is, and the access log of sampled predictions.

The access log says that a request was answered, and never what it asked or got: the prediction log is for that. Which
requests are in it is decided by their ids, so that the pods of a request's copies choose the same.
"""

import logging
from random import random
from typing import Any, Final
from zlib import crc32

from modelward_inference.protocol.messages import InferResponse
from modelward_telemetry import context
from modelward_telemetry.logs import MAX_ID

ACCESS: Final = logging.getLogger("modelward.access")
"""Its lines are written at every level: `share` alone says how many."""

_ALL: Final = 1 << 32


def whose(request_id: str, traceparent: str = "") -> dict[str, Any]:
    """The `extra` of a line about a request. `traceparent`: the header, empty: there is none."""
    told = {}
    if request_id:
        told["request_id"] = request_id[:MAX_ID]
    if traceparent and (above := context.read(traceparent)) is not None:
        told["trace_id"] = above.trace_id
    return told


class AccessLog:
    """`active`: whether there is anything to ask it: one comparison for each request while it is off."""

    def __init__(self) -> None:
        ACCESS.setLevel(logging.INFO)
        self.active = False
        self._limit = 0

    def set_share(self, share: float) -> None:
        """Of the requests, from 0 to 1."""
        self._limit = round(share * _ALL)
        self.active = self._limit > 0

    def take(
        self, protocol: str, status: int | str, seconds: float, rows: int | None, request_id: str, traceparent: str = ""
    ) -> None:
        """A request that was answered; written if it is this one's turn. `rows`: None: it failed; one
        without an id is chosen at random."""
        place = crc32(request_id.encode(errors="replace")) if request_id else int(random() * _ALL)  # noqa: S311
        if place >= self._limit:
            return
        told = {"protocol": protocol, "status": str(status), "ms": round(seconds * 1000, 3), "rows": rows}
        ACCESS.info("answered", extra={**told, **whose(request_id, traceparent)})


def rows_of(response: InferResponse | None) -> int | None:
    """How many were answered; None: it failed."""
    if response is None or not response.outputs:
        return None
    shape = next(iter(response.outputs.values())).shape
    return int(shape[0]) if shape else 1
