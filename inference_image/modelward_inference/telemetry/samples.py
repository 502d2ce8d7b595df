"""Samples of answers, by which what two revisions said to the same requests can be compared.

The router's mirror keeps `x-request-id`, and whether a request is sampled hangs on a hash of it alone: two servers that
do not know of each other keep the same ones. Where they come too fast, a server keeps half of them, then half of those:
servers at different levels still share all that the higher level keeps.

Invariants: nobody pays while nobody asks; the choice never depends on the answer; memory is bounded; no failure here
reaches a request (it is counted, and logged once). Everything runs in the event loop's thread.
"""

import hashlib
import logging
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any
from zlib import crc32

import orjson

from modelward_inference.artifact.arrays import Array
from modelward_inference.telemetry import metrics
from modelward_telemetry.logs import QUOTES

log = logging.getLogger(__name__)

ASKED_FOR = 60.0
"""Seconds that sampling goes on after somebody asked."""

MOST, FEWEST = 200, 50
"""Samples a second, above and below which the level changes. A level halves them: the level comes to rest only because
there is more than a factor of two between."""

CAPACITY = 2048
"""Samples: ten seconds of the highest rate."""

MAX_BYTES = 4 << 20
"""Of all samples together; a usual one has some hundred."""

PAGE = 1000
"""Samples that one answer holds."""

OUTPUTS, ROWS, VALUES, TEXT = 8, 8, 8, 64
"""How much of an answer is kept: so many outputs, rows of each, values of a row, and characters of a text."""

INTEGERS = 64
"""Whole numbers and truths of a row: they cost next to nothing, since nothing has to be shortened."""

_BITS = 32
"""Of the hash, and so the highest level."""


class Samples:
    """Of one model, over all protocols. `level`: to begin with; `clock`: seconds, monotonic.

    `active`: whether there is a point in calling `take`; `epoch`: another one in each process.
    """

    def __init__(self, level: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.active = False
        self.epoch = secrets.token_hex(8)
        self._clock = clock
        self._asked = self._since = clock()
        self._kept = 0  # since `_since`
        self._ring: deque[bytes] = deque()
        self._size = 0
        self._last = 0  # sequence number of the newest in the ring; those before it have the numbers before
        self._failed = False
        self._set_level(level)

    @property
    def level(self) -> int:
        """Requests are kept whose hash is below 2^(32 - level)."""
        return self._level

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    def take(self, request_id: bytes, code: int | str, outputs: Mapping[str, Array] | None = None) -> None:
        """Keep what was answered, if it is this request's turn; one without an id has none.

        `code`: of the answer, HTTP's or the name of gRPC's; `outputs`: None where the answer was an error.
        """
        try:
            self._take(request_id, code, outputs)
        except Exception:
            metrics.SAMPLE_ERRORS.inc()
            if not self._failed:
                self._failed = True
                log.exception(
                    "an answer could not be sampled; others that can't be are only counted", extra={QUOTES: True}
                )

    def page(self, after: int) -> dict[str, Any]:
        """What came behind a sequence number, oldest first, as orjson writes it; sampling goes on for ASKED_FOR.

        `next` is the number to go on with.
        """
        self._asked = self._clock()
        self.active = True
        gone = self._last - len(self._ring)
        begin = max(after - gone, 0)
        found = [orjson.Fragment(sample) for sample in islice(self._ring, begin, begin + PAGE)]
        following = min(gone + begin + len(found), self._last)
        return {"epoch": self.epoch, "next": following, "level": self._level, "samples": found}

    def _take(self, request_id: bytes, code: int | str, outputs: Mapping[str, Array] | None) -> None:
        now = self._clock()
        if now - self._asked > ASKED_FOR:
            self.active = False
            return
        if now - self._since >= 1:
            if self._kept < FEWEST:
                self._set_level(self._level - 1)
            self._since, self._kept = now, 0
        if not request_id or (hashed := crc32(request_id)) >= self._limit:
            return
        self._kept += 1
        if self._kept > MOST:  # without waiting for the second's end: a burst is stemmed at once
            self._set_level(self._level + 1)
            self._since, self._kept = now, 0
        self._keep({
            "seq": self._last + 1,
            "hash": hashed,
            "id": hashlib.blake2b(request_id, digest_size=8).hexdigest(),
            "outputs": None if outputs is None else compact(outputs),
            "error": str(code) if outputs is None else None,
        })  # fmt: skip

    def _keep(self, sample: dict[str, Any]) -> None:
        written = orjson.dumps(sample)
        self._ring.append(written)
        self._size += len(written)
        self._last += 1
        while len(self._ring) > CAPACITY or self._size > MAX_BYTES:
            self._size -= len(self._ring.popleft())
        metrics.SAMPLES.inc()

    def _set_level(self, level: int) -> None:
        self._level = min(max(level, 0), _BITS)
        self._limit = 1 << (_BITS - self._level)


def compact(outputs: Mapping[str, Array]) -> dict[str, list[Any]]:
    """What can be compared of the first rows: decisions (whole numbers, truths, texts) where there are any, else
    floating numbers to 6 digits. Each row is a value, or a list where it has more than one dimension."""
    decisions = {name: array for name, array in outputs.items() if array.dtype.kind != "f"}
    return {name: _rows(array) for name, array in islice((decisions or outputs).items(), OUTPUTS)}


def _rows(array: Array) -> list[Any]:
    kind = array.dtype.kind
    shorten = _rounded if kind == "f" else _cut if kind in "USO" else None
    rows = array[:ROWS] if array.ndim else array.reshape(1)
    if rows.ndim > 1:
        rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))[:, : VALUES if shorten else INTEGERS]
    values: list[Any] = rows.tolist()
    if shorten is None:
        return values
    return [[shorten(value) for value in row] for row in values] if rows.ndim > 1 else list(map(shorten, values))


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _cut(value: Any) -> str:
    if isinstance(value, bytes):
        value = value[: 4 * TEXT].decode(errors="replace")  # no character of UTF-8 has more bytes
    return str(value)[:TEXT]
