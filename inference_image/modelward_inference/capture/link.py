"""One connection to the monitor, from its greeting to its end.

The monitor is not trusted: what it says is bounded in length and in how often it is listened to, and a word that can't
be true ends the connection. It may also say and read nothing: what is written then stays within `IN_FLIGHT`, and the
buffer fills.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final, cast

import orjson

from modelward_inference.capture.buffer import Buffer
from modelward_inference.capture.wire import LENGTHS, WireError, lengths

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 256 << 10
"""Bytes that are given to the transport beyond what the kernel takes, and not more than one batch above."""

KERNEL_BUFFER: Final = 1 << 20
"""Bytes asked of the kernel: a batch is then written at once, not in five goes with the monitor woken up for each."""

GREETING_SECONDS: Final = 10.0
"""How long a monitor may take to greet."""

MAX_ANSWER: Final = 4096
"""Bytes of what a monitor has to say at a time."""

PATIENCE: Final = 64
"""Answers that are read in a row besides one for each batch; then the monitor has to wait for PAUSE seconds."""

PAUSE: Final = 0.1


class Link(asyncio.Protocol):
    """`on_news`: called when the monitor has greeted and whenever it has acknowledged something.

    `closed`: done when the connection is; `greeted`; `useful`: whether anything was acknowledged by it.
    """

    def __init__(self, buffer: Buffer, on_news: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.greeted = self.useful = False
        self._loop = loop
        self._buffer = buffer
        self._on_news = on_news
        self._received = bytearray()
        self._patience = PATIENCE
        self._paused = False
        self._last = 0  # number of the last batch that was written here

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=IN_FLIGHT)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
        self._timer = self._loop.call_later(GREETING_SECONDS, self._too_late)

    def connection_lost(self, _: Exception | None) -> None:
        self._timer.cancel()
        self._paused = True
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.pump()

    def pump(self) -> None:
        """Write what there is, as far as the monitor keeps up."""
        while self.greeted and not self._paused:
            frame = self._buffer.after(self._last)
            if frame is None:
                return
            self._last += 1
            self._patience += 1
            self._transport.writelines(frame.pieces)

    def close(self) -> None:
        """At once; what is on its way is lost."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._listen()

    def _listen(self) -> None:
        try:
            while self._patience > 0:
                answer = self._answer()
                if answer is None:
                    return
                self._patience -= 1
                self._heed(answer)
        except WireError as error:
            log.warning("the monitor is not understood, and disconnected: %s", error)
            self._paused = True
            self.close()
            return
        self._transport.pause_reading()
        self._timer = self._loop.call_later(PAUSE, self._go_on)

    def _go_on(self) -> None:
        if not self.closed.done() and not self._transport.is_closing():
            self._patience = PATIENCE
            self._transport.resume_reading()
            self._listen()

    def _answer(self) -> dict[str, Any] | None:
        """The next one, None where it is not there yet. Raises WireError."""
        received, begin = self._received, LENGTHS.size
        if len(received) < begin:
            return None
        head, body = lengths(bytes(received[:begin]))
        if head > MAX_ANSWER or body:
            raise WireError(f"an answer of {head} and {body} bytes is too long")
        if len(received) < begin + head:
            return None
        try:
            answer = orjson.loads(received[begin : begin + head])
        except ValueError as error:
            raise WireError(f"an answer that can't be read: {error}") from None
        del received[: begin + head]
        if not isinstance(answer, dict):
            raise WireError("an answer is no object")
        return answer

    def _heed(self, answer: dict[str, Any]) -> None:
        if self.greeted:
            news = self._buffer.forget(_number(answer, "ack"))
            self.useful = self.useful or news
        else:
            news = self._greet(answer)
        if news:
            self._on_news()

    def _greet(self, greeting: dict[str, Any]) -> bool:
        number = _number(greeting, "number")
        if greeting.get("epoch") == self._buffer.epoch:
            self._buffer.forget(number)
        self._timer.cancel()
        self._last = self._buffer.acknowledged
        self.greeted = True
        return True

    def _too_late(self) -> None:
        if not self.closed.done():
            log.warning("the monitor has not greeted within %.0f s, and is disconnected", GREETING_SECONDS)
            self.close()


def _number(answer: dict[str, Any], name: str) -> int:
    number = answer.get(name)
    if type(number) is not int:
        raise WireError(f"{name} is {number!r:.50}, and no number")
    return number
