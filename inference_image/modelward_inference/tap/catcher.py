"""From copies of requests and answers to captured rows and samples, beside the traffic.

Bodies are read in one thread, many at a time, so that the event loop only takes them in; what waits is bounded by the
room that all copies have together. Invariant: each exchange of inference that ended is counted once, as captured or by
why it was not; no failure here reaches a connection.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

from modelward_inference.artifact.arrays import Array
from modelward_inference.capture.buffer import Buffer
from modelward_inference.protocol.messages import RequestError
from modelward_inference.tap import metrics
from modelward_inference.tap.exchange import REQUEST_ID, Exchange, Reason, Room
from modelward_inference.tap.reading import Answered, read
from modelward_inference.telemetry.samples import Samples

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""Exchanges that the thread reads before the event loop hears of them."""

LAST: Final = 2.0
"""Seconds at the end for what still waits."""

SUCCESS: Final = range(200, 300)

TOO_LARGE: Final = 413
"""Status of what unpacks to more than the limit."""

Read = Callable[[Exchange, int], Answered]

Outputs = Mapping[str, Array]


class Catcher:
    """`async with` it. `buffer`: where rows go, None: nobody counts them; `limit`: bytes that a body may unpack to."""

    def __init__(self, room: Room, samples: Samples, buffer: Buffer | None, limit: int, reads: Read = read) -> None:
        self._room, self._samples, self._buffer, self._limit, self._read = room, samples, buffer, limit, reads
        self._waiting: deque[Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "reading")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *reason: object) -> None:
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=LAST)
            self._task.cancel()
        for each in self._waiting:
            each.free(self._room)
            metrics.SKIPPED.labels("busy").inc()
        self._waiting.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def wanted(self) -> bool:
        """Whether anybody wants copies."""
        return self._buffer is not None or self._samples.active

    def take(self, exchange: Exchange) -> None:
        """One that has ended."""
        if exchange.missed is not None:
            metrics.SKIPPED.labels(exchange.missed).inc()
            self._sampled(exchange, None)
            return
        if exchange.status not in SUCCESS:  # our own server's monitor hears of none, either
            exchange.free(self._room)
            self._sampled(exchange, None)
            return
        self._waiting.append(exchange)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._go_on())

    def _sampled(self, exchange: Exchange, outputs: Outputs | None) -> None:
        """An error is a sample by its code alone. One that was passed on and can't be read is none, and neither is what
        another model answered."""
        if not self._samples.active or exchange.missed == "other_model":
            return
        request_id = exchange.asked.headers.get(REQUEST_ID, b"")
        if outputs is not None:
            self._samples.take(request_id, exchange.status, outputs)
        elif exchange.status and exchange.status not in SUCCESS:
            self._samples.take(request_id, exchange.status, None)

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            several = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            found = await loop.run_in_executor(self._thread, self._read_all, several)
            for exchange, said in zip(several, found, strict=True):
                exchange.free(self._room)
                if isinstance(said, str):
                    metrics.SKIPPED.labels(said).inc()
                else:
                    metrics.CAPTURED.inc()
                    self._sampled(exchange, said)

    def _read_all(self, several: Sequence[Exchange]) -> list[Outputs | Reason]:
        return [self._one(each) for each in several]

    def _one(self, exchange: Exchange) -> Outputs | Reason:
        """Its outputs, as far as anybody wants them: read, a body takes some times the room that is counted for it, and
        those of a whole turn would be in memory together."""
        try:
            found = self._read(exchange, self._limit)
            if self._buffer is not None and found.rows:
                asked = ((found.origin, found.rows, exchange.arrived),)
                ended = (exchange.time, exchange.ended)
                self._buffer.take(found.inputs, found.outputs, found.rows, asked, ended)
        except Exception as error:  # noqa: BLE001  clients and servers may send anything
            log.debug("a request was passed on, and is not captured: %s", error)
            return "too_large" if isinstance(error, RequestError) and error.status == TOO_LARGE else "unreadable"
        return found.outputs if self._samples.active else {}
