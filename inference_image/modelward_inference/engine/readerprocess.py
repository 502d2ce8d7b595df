"""Reads very large bodies in a process of its own, which gets the processor last.

A parser in C holds the interpreter for as long as a body is long: in a thread of the server, all other requests would
wait for it, a dozen milliseconds a body of 8 MiB. The process is started when the first such body comes, and reads one
after the other. What it answers is unpickled with a handful of names allowed, so that a body by which somebody
takes the process over makes the server run nothing.
Failure: OverloadedError where the process ends, for want of memory most likely; the next body gets another one.
"""

import asyncio
import contextlib
import io
import os
import pickle
import struct
import sys
from collections.abc import Callable
from typing import IO, Any

from modelward_inference.protocol.messages import InferRequest, Input, OverloadedError, RequestError, WantedOutput

Decode = Callable[[bytes, int | None], InferRequest]

FAR = 1 << 20
"""Bytes from which a body is read here. Less holds the interpreter for a millisecond or two; the way costs as much."""

NICENESS = 10

_ASKED = struct.Struct(">QQ")
"""Of a question: the lengths of what is to be done, and of the body."""

_ANSWERED = struct.Struct(">BQQ")
"""Of an answer: its kind, the length of the value, and how many arrays follow, each behind its own length."""

_LENGTH = struct.Struct(">Q")
_READ, _REFUSED, _FAILED = range(3)

_PARTS = {(part.__module__, part.__name__) for part in (InferRequest, Input, WantedOutput)} | {
    ("numpy", "ndarray"), ("numpy", "dtype"), ("numpy._core.numeric", "_frombuffer"),
    ("numpy._core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "scalar"),
}  # fmt: skip


class ReaderProcess:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._one = asyncio.Lock()

    async def read(self, decode: Decode, body: bytes, json_length: int | None) -> InferRequest:
        """`decode(body, json_length)`. `decode` can be pickled. Raises what it raises of RequestError; OverloadedError;
        RuntimeError for whatever else it raises."""
        task = pickle.dumps((decode, json_length))
        # A question that has begun is asked to the end, whoever waits for its answer: the next one comes behind it.
        return await asyncio.shield(asyncio.ensure_future(self._in_turn(task, body)))

    async def _in_turn(self, task: bytes, body: bytes) -> InferRequest:
        async with self._one:
            try:
                return await self._asked(task, body)
            except (OSError, asyncio.IncompleteReadError, pickle.UnpicklingError):
                self._end()
                raise OverloadedError(
                    "the process that reads large bodies ended, most likely for want of memory; send fewer rows"
                ) from None

    async def _asked(self, task: bytes, body: bytes) -> InferRequest:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(_ASKED.pack(len(task), len(body)) + task)
        process.stdin.write(body)
        await process.stdin.drain()
        kind, length, arrays = _ANSWERED.unpack(await process.stdout.readexactly(_ANSWERED.size))
        value = await process.stdout.readexactly(length)
        buffers = []
        for _ in range(arrays):
            (size,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
            buffers.append(await process.stdout.readexactly(size))
        answer = _Answer(io.BytesIO(value), buffers=buffers).load()
        if kind == _REFUSED:
            raise RequestError(*answer)
        if kind == _FAILED:
            raise RuntimeError(answer)
        assert isinstance(answer, InferRequest)
        return answer

    def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._process = None


class _Answer(pickle.Unpickler):
    """Of a request's own parts, and arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PARTS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a request")


def _serve(asked: IO[bytes], answered: IO[bytes]) -> None:
    """Until the server closes the pipe, or is gone."""
    while head := asked.read(_ASKED.size):
        task_length, body_length = _ASKED.unpack(head)
        decode, json_length = pickle.loads(asked.read(task_length))  # noqa: S301  of the server
        buffers: list[pickle.PickleBuffer] = []
        value: Any
        try:
            kind, value = _READ, decode(asked.read(body_length), json_length)
        except RequestError as error:
            kind, value = _REFUSED, (str(error), error.status)
        except Exception as error:  # noqa: BLE001  the server says that it failed, and goes on
            kind, value = _FAILED, f"{type(error).__name__}: {error}"
        written = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        answered.write(_ANSWERED.pack(kind, len(written), len(buffers)) + written)
        for buffer in buffers:
            with buffer.raw() as raw:
                answered.write(_LENGTH.pack(raw.nbytes))
                answered.write(raw)
        answered.flush()


if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        _serve(sys.stdin.buffer, sys.stdout.buffer)
