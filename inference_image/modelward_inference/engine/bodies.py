"""Bodies between their bytes and a request: how much all of them may hold together, and threads that read large ones.

Reading takes time in proportion to the bytes, so only small bodies are read in the event loop; the others two at a
time, which also bounds what is made of them meanwhile, and very large ones in another process (`readerprocess`).
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

from modelward_inference.engine.readerprocess import FAR, Decode, ReaderProcess
from modelward_inference.protocol.messages import InferRequest, OverloadedError
from modelward_inference.telemetry import metrics

T = TypeVar("T")

LARGE = 64 << 10
"""Bytes from which a body counts, and is read in a thread: that takes some tenths of a millisecond, as the hop does."""

READERS = 2
"""Large bodies that are read at a time."""

TURNS = 2
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

    async def decoded(self, decode: Decode, body: bytes, json_length: int | None) -> InferRequest:
        """A large body as a request. Raises what `decode` raises, and OverloadedError."""
        if len(body) > FAR:
            return await self._far.read(decode, body, json_length)
        return await self.apart(decode, body, json_length)

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

    __slots__ = ("_bodies", "_size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bodies.held -= self._size
        self._size = 0

    def add(self, size: int) -> None:
        """So many bytes more. Raises OverloadedError where all requests together would hold too many."""
        bodies = self._bodies
        if bodies.held + size > bodies.budget:
            metrics.REJECTED.inc()
            raise OverloadedError(
                f"the bodies of all requests together have {bodies.held} bytes, and may have {bodies.budget}; try "
                "again in a second, with fewer rows at a time"
            )
        bodies.held += size
        self._size += size
