"""Keeps the Lease in a thread of its own, with an event loop and a connection of its own.

Invariant: how long anything takes on the operator's own loop (a reconcile, a scrape of /metrics, a long list) does not
decide whether the Lease is renewed in time. The fence is the Lease's: a deadline that any thread may read.
Failure: a thread that ends, for whatever reason, renews nothing; `keep` then ends as well, and with it the process.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from modelward.kube.client import Api, connect
from modelward.kube.lease import Lease, LeaseSettings

T = TypeVar("T")


@contextlib.asynccontextmanager
async def own_connection() -> AsyncIterator[Api]:
    """A connection for the Lease alone, whose requests are unfenced; nothing else may be written by it."""
    async with await connect() as client:
        yield Api(client, may_write=lambda: False)


class LeaseThread:
    """One candidate, from `acquire` to `release`. `open_api`: makes the connection, in the thread's own loop."""

    def __init__(
        self,
        settings: LeaseSettings,
        identity: str,
        clock: Callable[[], float],
        open_api: Callable[[], AbstractAsyncContextManager[Api]] = own_connection,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._clock = clock
        self._open_api = open_api
        self._lease: Lease | None = None
        self._thread: threading.Thread | None = None
        self._stop: Future[Callable[[], None]] = Future()
        self._acquired: Future[None] = Future()
        self._ended: Future[None] = Future()

    def is_held(self) -> bool:
        """Whether this process may write now. To be asked from any thread."""
        lease = self._lease
        return lease is not None and lease.is_held()

    async def acquire(self) -> None:
        """Return once the lease is ours. Raises what ended the thread before that."""
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()
        await _result(self._acquired)

    async def keep(self) -> None:
        """Return when the lease is lost, or raise what ended the thread. Nothing renews it from that moment on."""
        await _result(self._ended)

    async def release(self) -> None:
        """Let go at a regular end, and wait for the thread's. Raises what ended the thread, where that was not it."""
        if self._thread is None:
            return
        if not self._ended.done():
            (await _result(self._stop))()
        try:
            await _result(self._ended)
        finally:
            if self._ended.done():
                self._thread.join()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._live())
        except asyncio.CancelledError:
            pass  # it was asked to end
        except BaseException as raised:  # noqa: BLE001  whoever waits for the thread has to be told
            error = raised
        for waited_for in (self._stop, self._acquired, self._ended):
            if error is not None and not waited_for.done():
                waited_for.set_exception(error)
        if error is None:
            self._acquired.cancel()
            self._ended.set_result(None)

    async def _live(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop() -> None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(task.cancel)

        self._stop.set_result(stop)
        async with self._open_api() as api:
            self._lease = Lease(api, self._settings, self._identity, self._clock)
            await self._lease.acquire()
            self._acquired.set_result(None)
            try:
                await self._lease.keep()
            finally:
                await self._lease.release()


async def _result(future: "Future[T]") -> T:
    """Whoever stops to wait for it stops nothing but that."""
    return await asyncio.shield(asyncio.wrap_future(future))
