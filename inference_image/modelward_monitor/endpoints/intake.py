"""The Unix socket that servers hand their batches to.

The monitor greets with the last batch that is on its disk, and acknowledges each one once it is there. A batch that
can't be read is counted as refused and acknowledged like any other, so that it does not come for ever.
"""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from modelward_inference.capture import wire
from modelward_inference.capture.wire import Batch, WireError
from modelward_inference.protocol.entities import without_keys
from modelward_monitor.answered import Answered
from modelward_monitor.counting.arrivals import Arrival
from modelward_monitor.counting.counter import Run, State
from modelward_monitor.monitor import Monitor

if TYPE_CHECKING:
    from modelward_monitor.traces import Traces

log = logging.getLogger(__name__)

MAX_BODY: Final = 4 << 20
"""Bytes of a batch; the server cuts into pieces of a fourth of it. A larger one is not read: its rows are refused."""

MAX_HEAD: Final = 4 << 20

_CHUNK: Final = 1 << 16


class Intake:
    """`with` it to listen on `path`. `answered`: remembers whose rows came; `traces`: makes spans of them, None: nobody
    wants any."""

    def __init__(self, monitor: Monitor, path: Path, answered: Answered, traces: "Traces | None" = None) -> None:
        self._monitor, self._path, self._answered, self._traces = monitor, path, answered, traces
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def __aenter__(self) -> "Intake":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)  # of an earlier run that was killed
        # The first to hear of a snapshot: what it has not written by then is acknowledged only afterwards.
        self._forget = self._monitor.listen(lambda _: self._answered.flush())
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        self._forget()
        self._answered.flush()
        self._answered.close()

    def close(self) -> None:
        """Take nothing more."""
        if self._server is not None:
            self._server.close()
        for writer in self._connections:
            writer.close()

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def quiet(self) -> None:
        """Returns once no server is connected."""
        await self._quiet.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        self._quiet.clear()
        connection = _Connection(writer)
        end = self._monitor.listen(connection.acknowledge)
        try:
            connection.greet(self._monitor.saved)
            while True:
                arrival = await _read(reader)
                if self._traces is not None:
                    self._traces.came(arrival.batch, self._monitor.saved)
                self._monitor.offer(arrival)
                self._answered.note(arrival.batch.requests)
                connection.epoch = arrival.batch.epoch
                connection.acknowledge(self._monitor.saved)
        except asyncio.IncompleteReadError:
            pass  # the server ended
        except (WireError, OSError) as error:
            log.warning("the connection to the server ends: %s", error)
        finally:
            end()
            writer.close()
            self._connections.discard(writer)
            if not self._connections:
                self._quiet.set()


class _Connection:
    """What a server was told."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._told = 0
        self.epoch: str | None = None

    def greet(self, saved: State) -> None:
        epoch = next(reversed([*saved.runs]), None)
        self._write({"epoch": epoch, "number": saved.runs[epoch].number if epoch else 0})

    def acknowledge(self, saved: State) -> None:
        """What is on the disk, if that is news."""
        number = saved.runs.get(self.epoch or "", Run()).number
        if number > self._told and not self._writer.is_closing():
            self._told = number
            self._write({"ack": number})

    def _write(self, head: dict[str, object]) -> None:
        self._writer.writelines(wire.frame(head))


async def _read(reader: asyncio.StreamReader) -> Arrival:
    """The next batch. Raises IncompleteReadError at the end, WireError where it can't be told whose batch it is."""
    head_length, body_length = wire.lengths(await reader.readexactly(wire.LENGTHS.size))
    if head_length > MAX_HEAD:
        raise WireError(f"a head of {head_length} bytes; there may be {MAX_HEAD}")
    head = await reader.readexactly(head_length)
    if body_length > MAX_BODY:
        await _skip(reader, body_length)
        return _refused(head, f"it has {body_length} bytes; there may be {MAX_BODY}")
    body = await reader.readexactly(body_length)
    try:
        batch = wire.load_batch(head, body)
    except WireError as error:
        return _refused(head, str(error))
    if batch.number < 1 or not 0 <= batch.rows <= MAX_BODY:
        return _refused(head, f"it can't be number {batch.number} of {batch.rows} rows")
    return Arrival(replace(batch, inputs=without_keys(batch.inputs)), raw=(head, body))


def _refused(head: bytes, why: str) -> Arrival:
    """Of what can't be counted, at least the numbers."""
    try:
        raw = orjson.loads(head)
        figures = [raw[name] for name in ("number", "rows", "dropped", "sampled_out")]
        if not all(type(each) is int and 0 <= each < 2**53 for each in figures):
            raise ValueError("its numbers are none")
        batch = Batch(str(raw["epoch"]), figures[0], figures[1], {}, {}, figures[2], figures[3])
    except (ValueError, TypeError, LookupError) as error:
        raise WireError(f"a batch that can't be read, {why}, and {error}") from None
    log.warning("batch %d of %d rows is refused: %s", batch.number, batch.rows, why)
    return Arrival(batch, refused=True)


async def _skip(reader: asyncio.StreamReader, size: int) -> None:
    while size:
        part = await reader.read(min(size, _CHUNK))
        if not part:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(part)
