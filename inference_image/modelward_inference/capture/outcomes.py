"""Outcomes on their way to the monitor: a connection for each request, over a Unix socket beside the batches' one.

    server:  a frame of wire.py: head {"id": text, "encoding": text, "trace": the server's span, where one is kept}, and
             the client's body as it came
    monitor: a frame: head {"status": number, "answer": {…}}, once it is known

The monitor reads and judges them: here is only a pipe, so that no prediction waits for them. It answers when they are
on its disk. One that is gone meanwhile is asked again under the same id, which it takes once; who hears nothing in time
is told so, and to send them again.
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from prometheus_client import Counter

from modelward_inference.capture.wire import LENGTHS, WireError, frame, lengths
from modelward_inference.protocol.outcomes import MAX_BODY

log = logging.getLogger(__name__)

SOCKET: Final = "outcome.sock"
"""In the folder of the batches' socket. No longer than its name: paths of sockets are short."""

MAX_ANSWER: Final = 64 << 10
"""Bytes."""

AT_ONCE: Final = 16
"""Requests: each holds a body."""

PATIENCE: Final = 15.0
"""Seconds that a client waits for the monitor: it begins anew within a second, and its disk may be slow."""

PAUSE: Final = 0.2
"""Seconds between two attempts."""

TAKEN: Final = 202

REQUESTS: Final = Counter(
    "modelward_inference_outcome_requests", "Requests that tell outcomes, by the code of their answer.", ["code"]
)


@dataclass(frozen=True)
class Told:
    """An answer for the client. `later`: it may send the same again."""

    status: int
    answer: dict[str, Any]

    @property
    def later(self) -> bool:
        return self.status == 503


class Outcomes:
    """`capture`: the path of the batches' socket; `patience`: seconds."""

    def __init__(self, capture: Path, patience: float = PATIENCE) -> None:
        self._path = capture.with_name(SOCKET)
        self._patience = patience
        self._free = AT_ONCE

    async def hand_over(self, body: bytes, encoding: str, trace: str = "") -> Told:
        """`body`: as it came; `encoding`: of Content-Encoding; `trace`: the server's span, as traceparent."""
        if not self._free:
            return _later(f"{AT_ONCE} requests with outcomes are under way; send these again in a second")
        self._free -= 1
        try:
            async with asyncio.timeout(self._patience):
                head = {"id": secrets.token_hex(8), "encoding": encoding[:50]}
                return await self._asked({**head, "trace": trace} if trace else head, body)
        except TimeoutError:
            return _later(
                "the monitor has not said that it has these outcomes; send them again: the same one twice counts once"
            )
        finally:
            self._free += 1

    async def _asked(self, head: dict[str, str], body: bytes) -> Told:
        while True:
            try:
                return await self._once(head, body)
            except (OSError, asyncio.IncompleteReadError, WireError) as error:
                log.debug("the monitor does not take outcomes, and is asked again: %s", error)
            await asyncio.sleep(PAUSE)

    async def _once(self, head: dict[str, str], body: bytes) -> Told:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.writelines(frame(head, [body]))
            await writer.drain()
            return _read(await _head(reader))
        finally:
            writer.close()


def count(told: Told) -> None:
    REQUESTS.labels(str(told.status)).inc()


def too_large() -> Told:
    return Told(413, {"error": f"the body has more than {MAX_BODY} bytes; send fewer outcomes at a time"})


def nowhere() -> Told:
    """Of a server without a monitor."""
    return Told(404, {"error": NO_LOG})


NO_LOG: Final = (
    "this model keeps no prediction log, and so no outcomes; set spec.predictionLog (and spec.monitor, whose it is)"
)


def _later(message: str) -> Told:
    return Told(503, {"error": message})


async def _head(reader: asyncio.StreamReader) -> bytes:
    head, body = lengths(await reader.readexactly(LENGTHS.size))
    if head > MAX_ANSWER or body:
        raise WireError(f"an answer of {head} and {body} bytes is too long")
    return await reader.readexactly(head)


def _read(raw: bytes) -> Told:
    """Raises WireError."""
    try:
        said = orjson.loads(raw)
        status, answer = said["status"], said["answer"]
    except (ValueError, TypeError, LookupError) as error:
        raise WireError(f"an answer that can't be read: {error}") from None
    if type(status) is not int or not 200 <= status <= 599 or not isinstance(answer, dict):
        raise WireError(f"an answer with status {status!r:.50}")
    return Told(status, answer)
