"""Capture, as a companion of the server: what the model is asked and answers, handed to the monitor.

A monitor that is absent, slow, lying or killed delays no request and fails none; what it does not take in time is
counted as dropped. Where it has died, it gets again what it had not acknowledged. At the end it gets the rest.
"""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Final, Self

from prometheus_client import REGISTRY

from modelward_inference.capture.buffer import Buffer
from modelward_inference.capture.link import Link
from modelward_inference.telemetry.metrics import CaptureCollector, CaptureFigures

log = logging.getLogger(__name__)

FLUSH: Final = 0.1
"""Seconds that rows wait to be joined."""

FIRST_PAUSE: Final = 0.1
LAST_PAUSE: Final = 2.0
"""Seconds between attempts to connect, twice as many each time until a connection was of use."""

FAREWELL: Final = 3.0
"""Seconds at the end until the monitor has acknowledged all: within what a pod has left by then."""

STRANGER: Final = 0.5
"""The same where no monitor was ever there."""


class Capture:
    """`async with` it to hand over what `buffer` is given. `path`: of the socket that the monitor listens at."""

    def __init__(self, path: Path, buffer: Buffer) -> None:
        self._path = path
        self._buffer = buffer
        self._metrics = CaptureCollector(self._figures)
        self._link: Link | None = None
        self._met = False  # a monitor greeted, in this run
        self._ending = False
        self._flushing = False
        self._warned = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._settled = asyncio.Event()
        self._hurry = asyncio.Event()
        self._buffer.on_full = self._wake
        self._timer = self._loop.call_later(FLUSH, self._tick)
        self._connecting = self._loop.create_task(self._stay_connected())
        REGISTRY.register(self._metrics)
        return self

    async def __aexit__(self, *reason: object) -> None:
        self._ending = True
        self._hurry.set()
        self._flush()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), FAREWELL if self._met else STRANGER)
        self._timer.cancel()
        unsent = self._buffer.give_up()
        unsure = self._buffer.unacknowledged - unsent
        if unsent or unsure:
            log.warning("%d captured rows reached no monitor; of %d it is not known", unsent, unsure)
        self._connecting.cancel()
        if self._link is not None:
            self._link.close()
        REGISTRY.unregister(self._metrics)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # a prediction in a thread may end after the loop
            self._loop.call_soon_threadsafe(self._flush)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(FLUSH, self._tick)
        self._flush()

    def _flush(self) -> None:
        """Join what waits, a batch in each turn of the loop, and send it."""
        if self._flushing:
            return
        self._flushing = self._buffer.join()
        if self._flushing:
            self._loop.call_soon(self._flush_on)
        self._go_on()

    def _flush_on(self) -> None:
        self._flushing = False
        self._flush()

    def _go_on(self) -> None:
        if self._link is not None:
            self._link.pump()
        if self._ending and not self._flushing and self._buffer.settled:
            self._settled.set()

    def _news(self) -> None:
        self._met = True
        self._go_on()

    async def _stay_connected(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                _, link = await self._loop.create_unix_connection(
                    lambda: Link(self._buffer, self._news), str(self._path)
                )
            except OSError as error:
                self._warn(f"no monitor listens at {self._path} ({error})")
            else:
                self._link = link
                await link.closed
                self._link = None
                pause = FIRST_PAUSE if link.useful else pause
                self._warn("the connection to the monitor has ended")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause)
            self._hurry.clear()
            pause = min(2 * pause, LAST_PAUSE)

    def _warn(self, what: str) -> None:
        """Once a run is enough: the metrics tell of the rest."""
        log.log(logging.DEBUG if self._warned else logging.WARNING, "%s; rows wait for it within a bound", what)
        self._warned = True

    def _figures(self) -> CaptureFigures:
        buffer, link = self._buffer, self._link
        return CaptureFigures(
            buffer.rows_sent, buffer.dropped, buffer.sampled_out, buffer.rows_acknowledged, buffer.size,
            link is not None and link.greeted,
        )  # fmt: skip
