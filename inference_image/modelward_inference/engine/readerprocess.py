"""Reads bodies in a process of its own, which gets the processor last.

A parser in C holds the interpreter for as long as a body is long, and unpacking takes the processor and memory: in a
thread of the server, all other requests would wait for it, a dozen milliseconds a body of 8 MiB. The process is started
when the first such body comes, and reads one after the other, the smallest and the oldest of those that wait by turns:
who sends little does not wait for all that others send, and who sends much is not passed for ever.
Bodies and answers are handed over as memory (`sharedbytes`), in a form that can't make the server run anything
(`records`). Failure: OverloadedError where the process ends, for want of memory most likely, or does not answer; the
next body gets another one.
"""

import asyncio
import contextlib
import os
import pickle
import socket
import struct
import subprocess
import sys
import weakref
from collections import deque
from itertools import islice
from pathlib import Path

from modelward_inference.engine import records
from modelward_inference.engine.sharedbytes import SharedBytes, mapped
from modelward_inference.protocol.messages import InferRequest, OverloadedError, RequestError
from modelward_inference.protocol.reading import Decode, Reading, TooMuchError

NICENESS = 10

SECONDS = 120.0
"""That a body may take, on a machine that has no time for it: alone, the largest take a second or two."""

LOOKED_AT = 200
"""Bodies among which the smallest is looked for."""

FIRST_KILLED = 1000
"""The kernel's word for what ends first where memory runs out (oom_score_adj): rather this process than the server."""

_ANSWERED = struct.Struct("<BQQ")
"""Of an answer: its kind, its length, and how many bytes the body unpacked to."""

_READY, _READ, _REFUSED, _FAILED, _TOO_MUCH = range(5)

_MESSAGE = 4096
"""Bytes of one on the socket; all that may be long is memory that comes with it."""

Read = tuple[InferRequest, int]
"""A request, and how many bytes its body unpacked to, as `Reading` has them."""


class _Job:
    """A body that waits. `room`: bytes that it may unpack to."""

    __slots__ = ("body", "done", "reading", "room")

    def __init__(self, reading: Reading, body: SharedBytes, room: int, done: "asyncio.Future[Read]") -> None:
        self.reading, self.body, self.room, self.done = reading, body, room, done


class ReaderProcess:
    """Belongs to one event loop. `ready`: whether one has ever been."""

    def __init__(self) -> None:
        self.ready = False
        self.other: _Other | None = None
        self._answer: asyncio.Future[tuple[int, int, memoryview]] | None = None
        self._waiting: deque[_Job] = deque()
        self._running: asyncio.Task[None] | None = None
        self._pickled: dict[Decode, bytes] = {}

    async def read(self, reading: Reading, body: SharedBytes, room: int) -> Read:
        """`reading.request(body, room)`. The body is given away. Raises what that raises of RequestError and
        TooMuchError; OverloadedError; RuntimeError for whatever else it raises."""
        return await self._queued(reading, body, room)  # no name for it: an error that is raised would hold itself

    def _queued(self, reading: Reading, body: SharedBytes, room: int) -> "asyncio.Future[Read]":
        job = _Job(reading, body, room, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self.start()
        return job.done

    def start(self) -> None:
        """Where it does not run yet."""
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        """Until nobody waits. A body that was asked about is read to its end, whoever waits for its answer."""
        smallest = False
        with contextlib.suppress(OSError, ValueError):
            await self._started()
        while self._waiting:
            job = self._next(smallest)
            smallest = not smallest
            if job.done.done():  # who sent it has left
                job.body.close()
                continue
            outcome = await self._asked(job)
            if job.done.done():
                continue
            if isinstance(outcome, Exception):
                job.done.set_exception(outcome)
            else:
                job.done.set_result(outcome)

    def _next(self, smallest: bool) -> _Job:
        if not smallest:
            return self._waiting.popleft()
        job = min(islice(self._waiting, LOOKED_AT), key=lambda job: job.reading.most(job.body.size))
        self._waiting.remove(job)
        return job

    async def _asked(self, job: _Job) -> Read | Exception:
        """What came of it. Errors are given, not raised: they would hold the answer's memory until it is collected."""
        try:
            connection = await self._started()
            self._answer = asyncio.get_running_loop().create_future()
            self._send(connection, job)
            async with asyncio.timeout(SECONDS):
                kind, unpacked, content = await self._answer
            self._answer = None
            found = await _understood(kind, content)
        except OverloadedError as error:  # it was not handed over
            return OverloadedError(str(error))
        except Exception:  # noqa: BLE001  it ended, or does not answer, or what is no answer
            self._end()
            return OverloadedError(
                "the process that reads large bodies ended, most likely for want of memory; send fewer rows"
            )
        return (found, unpacked) if isinstance(found, InferRequest) else found

    def _send(self, connection: socket.socket, job: _Job) -> None:
        reading, body = job.reading, job.body
        decode = self._pickled.get(reading.decode)
        if decode is None:
            decode = self._pickled[reading.decode] = pickle.dumps(reading.decode)
        size = body.size
        body.write(decode)
        told = pickle.dumps((size, len(decode), reading.json_length, reading.encoding, reading.limit, job.room))
        socket.send_fds(connection, [told], [body.fileno()])
        body.close()  # the other one has the last descriptor: to give so much memory back takes time

    async def _started(self) -> socket.socket:
        if self.other is None:
            loop = asyncio.get_running_loop()
            # In a thread: it copies what the system knows of this process's memory.
            self.other = await loop.run_in_executor(None, _Other)
            self._answer = loop.create_future()
            loop.add_reader(self.other.connection, self._answered)
            await self._answer
            self.ready = True
        return self.other.connection

    def _answered(self) -> None:
        assert self.other is not None
        connection = self.other.connection
        content = memoryview(b"")
        try:
            told, descriptors, _, _ = socket.recv_fds(connection, _MESSAGE, 1)
            kind, length, unpacked = _ANSWERED.unpack(told)
            for descriptor in descriptors:
                content = mapped(descriptor, length)
        except BlockingIOError:
            return
        except (OSError, ValueError, struct.error) as error:  # among them: it ended, and there is nothing
            asyncio.get_running_loop().remove_reader(connection)
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(ConnectionError(str(error)))
            return
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((kind, unpacked, content))

    def _end(self) -> None:
        if self.other is not None:
            asyncio.get_running_loop().remove_reader(self.other.connection)
            self.other.end()
            self.other = None


class _Other:
    """The process, and our end of its socket. It ends with this object."""

    def __init__(self) -> None:
        self.connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.setblocking(False)
        with theirs:
            self.process = subprocess.Popen([sys.executable, "-m", __name__], stdin=theirs.fileno())
        self.end = weakref.finalize(self, _ended, self.process, self.connection)


def _ended(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    process.kill()
    process.wait()


async def _understood(kind: int, content: memoryview) -> InferRequest | Exception:
    """Raises whatever is wrong with an answer that is none."""
    if kind == _READ:
        for found in records.read(content):
            if found is not None:
                return found
            await asyncio.sleep(0)
    answer = records.read_value(content)
    if kind == _REFUSED:
        return RequestError(str(answer[0]), int(answer[1]))
    if kind == _TOO_MUCH:
        return TooMuchError(int(answer))
    if kind == _FAILED:
        return RuntimeError(str(answer))
    raise ValueError(f"{kind} is no kind of answer")


def _serve(connection: socket.socket) -> None:
    """Until the server closes its end, or is gone."""
    connection.send(_ANSWERED.pack(_READY, 0, 0))
    known: dict[bytes, Decode] = {}
    while True:
        told, descriptors, _, _ = socket.recv_fds(connection, _MESSAGE, 1)
        if not told:
            return
        size, length, json_length, encoding, limit, room = pickle.loads(told)  # noqa: S301  of the server
        with os.fdopen(descriptors[0], "rb", buffering=0) as given:
            body = os.pread(given.fileno(), size, 0)
            pickled = os.pread(given.fileno(), length, size)
        if pickled not in known:
            known[pickled] = pickle.loads(pickled)  # noqa: S301  of the server
        reading = Reading(known[pickled], json_length, encoding, limit)
        answer = SharedBytes()
        try:
            kind, unpacked = _read(reading, body, room, answer)
            del body
            connection_told = _ANSWERED.pack(kind, answer.size, unpacked)
            socket.send_fds(connection, [connection_told], [answer.fileno()])
        finally:
            answer.close()


def _read(reading: Reading, body: bytes, room: int, answer: SharedBytes) -> tuple[int, int]:
    """The kind of the answer, and how many bytes the body unpacked to."""
    try:
        request, unpacked = reading.request(body, room)
        records.write(request, answer)
    except RequestError as error:
        records.write_value((str(error), error.status), answer)
        return _REFUSED, 0
    except TooMuchError as error:
        records.write_value(error.size, answer)
        return _TOO_MUCH, 0
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  the server says that it failed, and goes on
        records.write_value(f"{type(error).__name__}: {error}", answer)
        return _FAILED, 0
    return _READ, unpacked


if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_KILLED))
    with contextlib.suppress(BrokenPipeError, ConnectionError, KeyboardInterrupt), socket.socket(fileno=0) as given:
        _serve(given)
