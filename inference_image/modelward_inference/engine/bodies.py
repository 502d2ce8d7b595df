"""Bodies between their bytes and a request: how much all of them may hold together, and where they are read.

Whoever reads a body keeps the event loop, or the interpreter, from all other requests. So what is read here is little,
or plain enough to be read in some tenths of a millisecond; all else is read by another process (`readerprocess`).
Parts of large bodies are taken by turns, so that whoever sends much leaves room for those who send little. Invariant:
what was held is given back, whatever becomes of a request.
Failure: OverloadedError. Budgets are the event loop's alone.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from modelward_inference.engine.readerprocess import ReaderProcess
from modelward_inference.engine.sharedbytes import SharedBytes, written
from modelward_inference.protocol.messages import InferRequest, OverloadedError
from modelward_inference.protocol.reading import COUNTED, Reading, TooMuchError
from modelward_inference.telemetry import metrics

T = TypeVar("T")

SMALL = 8 << 10
"""Bytes up to which a body is read in the event loop, whatever is in it: the worst take a millisecond."""

LARGE = COUNTED
"""Bytes from which a body counts as held, and is read by the other process."""

MEANWHILE = 1 << 20
"""Bytes that a body may have, or become, to be read in a thread while the other process starts for the first time."""

MIDDLE = 1 << 20
"""Bytes up to which plain numbers are read in a thread: a table of a thousand rows does not pay for the way."""

PIECE = 256 << 10
"""Bytes that are handed over in the event loop; more are in a thread, which needs no interpreter for that."""

READERS = 2
"""Threads for what takes a while."""

TURNS = 1
"""Parts of large bodies that are taken in one turn of the event loop. A part is what one read of a socket brought."""

BUDGET = 256 << 20
"""Bytes that all large bodies may hold together, where nothing else is said."""


class Bodies:
    """Of one server. `budget`: bytes."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self.held = 0
        """Bytes, now."""
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._far = ReaderProcess()
        self._waiting: deque[asyncio.Future[None]] = deque()

    def hold(self) -> "Held":
        """`with` it for as long as a request lasts."""
        return Held(self)

    async def apart(self, function: Callable[..., T], *arguments: object) -> T:
        """What a function gives that takes longer than the event loop should wait."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)

    async def read(self, reading: Reading, body: bytes | SharedBytes, held: "Held") -> InferRequest:
        """A body as a request, read by the other process. Raises what `reading` raises of RequestError, and
        OverloadedError; RuntimeError for whatever else."""
        room = self.budget - self.held
        try:
            if isinstance(body, bytes) and not self._far.ready and reading.most(len(body)) <= MEANWHILE:
                self._far.start()
                request, unpacked = await self.apart(reading.request, body, room)
            else:
                shared = body if isinstance(body, SharedBytes) else await self._shared(body, held)
                request, unpacked = await self._far.read(reading, shared, room)
        except TooMuchError:
            raise self.too_much() from None
        held.note(unpacked)
        return request

    async def _shared(self, body: bytes, held: "Held") -> SharedBytes:
        # Nobody else has it before it is complete: a thread goes on to write when the request has been cancelled.
        return held.keep(written(body) if len(body) <= PIECE else await self.apart(written, body))

    def too_much(self) -> OverloadedError:
        """For whoever asked for more than there is room for."""
        metrics.REJECTED.inc()
        return OverloadedError(
            f"the bodies of all requests together have {self.held} bytes, and may have {self.budget}; try "
            "again in a second, with fewer rows at a time"
        )

    async def turn(self) -> None:
        """Before the next part of a large body is taken."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._next)
        waiter = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _next(self) -> None:
        for _ in range(min(TURNS, len(self._waiting))):
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)


class Held:
    """What one request holds."""

    __slots__ = ("_bodies", "_shared", "_size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._size = 0
        self._shared: SharedBytes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bodies.held -= self._size
        self._size = 0
        if self._shared is not None:
            self._shared.close()

    def add(self, size: int) -> None:
        """So many bytes more. Raises OverloadedError where all requests together would hold too many."""
        if self._bodies.held + size > self._bodies.budget:
            raise self._bodies.too_much()
        self.note(size)

    def note(self, size: int) -> None:
        """So many bytes more, which are there already."""
        self._bodies.held += size
        self._size += size

    def keep(self, shared: SharedBytes) -> SharedBytes:
        """Close the one large body of this request at its end."""
        self._shared = shared
        return shared
