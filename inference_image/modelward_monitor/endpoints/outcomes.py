"""The Unix socket that servers hand outcomes to: read, judged, kept on the disk, and only then answered.

A request that comes again under its id, since nobody heard the answer to it, is taken once. Of what is not kept that is
the answer. capture/outcomes.py is the other side.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from modelward_inference.capture import wire
from modelward_inference.capture.outcomes import NO_LOG, TAKEN, Told
from modelward_inference.capture.wire import WireError
from modelward_inference.protocol.compression import decompressed
from modelward_inference.protocol.messages import RequestError
from modelward_inference.protocol.outcomes import MAX_BODY, Outcome, read
from modelward_monitor.monitor import Monitor
from modelward_monitor.predictionlog import mark as marks
from modelward_monitor.predictionlog.journal import Pending
from modelward_monitor.predictionlog.outcomes import record
from modelward_monitor.predictionlog.service import PredictionLog
from modelward_monitor.predictionlog.settings import KEY

if TYPE_CHECKING:
    from modelward_monitor.traces import Traces

log = logging.getLogger(__name__)

MAX_HEAD: Final = 1024

CONNECTIONS: Final = 64
"""At once: more than a server has."""

ARRIVES: Final = 10.0
"""Seconds that a request may take to arrive: its server has all of it."""

GATHER: Final = 0.1
"""Seconds that outcomes wait for others, to be written with them: each write is a whole snapshot."""

ENDS: Final = "the monitor ends; send these outcomes again, another pod takes them"


class Desk:
    """`async with` it to listen on `path`. `kept`: the log, None: there is none; `wall`: seconds since the epoch;
    `traces`: makes spans of them, None: nobody wants any."""

    def __init__(
        self,
        monitor: Monitor,
        path: Path,
        kept: PredictionLog | None,
        wall: Callable[[], float] = time.time,
        traces: "Traces | None" = None,
    ) -> None:
        self._monitor, self._path, self._kept, self._wall, self._traces = monitor, path, kept, wall, traces
        self._server: asyncio.Server | None = None
        self._under_way: dict[str, asyncio.Task[Told]] = {}
        self._connections = 0
        self._closed = False

    async def __aenter__(self) -> "Desk":
        self._path.unlink(missing_ok=True)  # of an earlier run that was killed
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take nothing more. What was taken is answered."""
        self._closed = True
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections > CONNECTIONS:
                told = Told(503, {"error": "too many requests with outcomes are under way; send these again"})
            else:
                told = await self._asked(reader)
            writer.writelines(wire.frame({"status": told.status, "answer": told.answer}))
            await writer.drain()
        except (WireError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            log.debug("outcomes did not arrive: %s", error)
        finally:
            self._connections -= 1
            writer.close()

    async def _asked(self, reader: asyncio.StreamReader) -> Told:
        async with asyncio.timeout(ARRIVES):
            name, encoding, trace, body = await _frame(reader)
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.create_task(self._traced(name, encoding, trace, body))
            task.add_done_callback(lambda _: self._under_way.pop(name, None))
        return await asyncio.shield(task)

    async def _traced(self, name: str, encoding: str, trace: str, body: bytes) -> Told:
        began = time.time_ns()
        told = await self._told(name, encoding, body)
        if self._traces is not None and trace:
            self._traces.kept(trace, began, told.status, told.answer.get("outcomes", 0))
        return told

    async def _told(self, name: str, encoding: str, body: bytes) -> Told:
        if self._kept is None:
            return Told(404, {"error": NO_LOG})
        now = self._wall()
        try:
            entries = read(decompressed(body, encoding, MAX_BODY), now)
            if KEY in self._kept.settings.columns.exclude:
                _check_named(entries)
        except RequestError as error:
            self._kept.refused += 1
            return Told(error.status, {"error": str(error)})
        answer = {"outcomes": len(entries)}
        if self._monitor.has_told(name):
            return Told(TAKEN, answer)
        if self._closed:
            return Told(503, {"error": ENDS})
        pending = Pending(record(name, entries, now), len(entries), name)
        self._kept.outcomes.add(pending)
        await asyncio.sleep(GATHER)
        with contextlib.suppress(OSError):  # what becomes of this one stands in it
            await self._monitor.save()
        if pending.kept:
            return Told(TAKEN, answer)
        return Told(503, {"error": _why(pending)})


def _why(pending: Pending) -> str:
    if pending.lost == marks.FULL:
        return (
            "the pod's disk has no room for more outcomes until its log's store takes some; send them again, or raise "
            "spec.predictionLog.diskLimit"
        )
    return "the pod's disk can't be written, so that the outcomes are not kept; send them again"


def _check_named(entries: Sequence[Outcome]) -> None:
    """Raises RequestError: the log has no keys."""
    for index, each in enumerate(entries):
        if each.request_id is None:
            where = f"outcomes[{index}].key" if len(entries) > 1 else "key"
            raise RequestError(
                f"{where}: this model's log has no keys (spec.predictionLog.columns.exclude), so that no prediction "
                "could be found by one; send request_id"
            )


async def _frame(reader: asyncio.StreamReader) -> tuple[str, str, str, bytes]:
    """Name, encoding, trace and body of a request. Raises WireError, IncompleteReadError and OSError."""
    head_length, body_length = wire.lengths(await reader.readexactly(wire.LENGTHS.size))
    if head_length > MAX_HEAD or body_length > MAX_BODY:
        raise WireError(f"outcomes of {head_length} and {body_length} bytes are too long")
    try:
        head: Any = orjson.loads(await reader.readexactly(head_length))
        name, encoding, trace = head["id"], head["encoding"], head.get("trace", "")
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise WireError(f"outcomes with a head that can't be read: {error}") from None
    if not isinstance(name, str) or not 1 <= len(name) <= 64 or not isinstance(encoding, str):
        raise WireError("outcomes without a name")
    return name, encoding, trace if isinstance(trace, str) else "", await reader.readexactly(body_length)
