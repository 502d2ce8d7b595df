"""One connection to the monitor, without a socket: what it hears, what it writes, and how often it listens."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from modelward_inference.capture import link
from modelward_inference.capture.buffer import Buffer
from modelward_inference.capture.link import PATIENCE, Link
from modelward_inference.capture.wire import LENGTHS, frame

GREETING = {"epoch": None, "number": 0}


class Socket:
    def setsockopt(self, *_: object) -> None:
        pass


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[list[Any]] = []
        self.aborted = False
        self.reading = True

    def get_extra_info(self, _: str) -> Socket:
        return Socket()

    def set_write_buffer_limits(self, high: int) -> None:
        self.limit = high

    def writelines(self, pieces: list[Any]) -> None:
        self.written.append(pieces)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Connected:
    """`batches` wait. `news`: how often there were any."""

    def __init__(self, batches: int = 0, buffer: Buffer | None = None) -> None:
        self.buffer = buffer or Buffer(1 << 20)
        for _ in range(batches):
            self.buffer.take({"x": np.zeros((1, 2))}, {}, 1)
            while self.buffer.join():
                pass
        self.news = 0
        self.transport: Any = Transport()
        self.link = Link(self.buffer, self.heard)
        self.link.connection_made(self.transport)

    def heard(self) -> None:
        self.news += 1
        self.link.pump()

    def say(self, *words: dict[str, Any]) -> None:
        self.link.data_received(said(*words))


def said(*words: dict[str, Any]) -> bytes:
    return b"".join(b"".join(frame(each)) for each in words)


async def test_nothing_is_sent_before_the_greeting_then_everything_that_is_not_acknowledged() -> None:
    made = Connected(3)
    made.link.pump()
    assert made.transport.written == []
    made.say(GREETING)
    assert len(made.transport.written) == 3
    made.say({"ack": 2})
    assert (made.buffer.unacknowledged, made.link.useful, made.news) == (1, True, 2)
    again = Connected(buffer=made.buffer)
    again.say(GREETING)
    assert again.transport.written == made.transport.written[2:]
    third = Connected(buffer=made.buffer)
    third.say({"epoch": made.buffer.epoch, "number": 3})
    assert (third.transport.written, made.buffer.size) == ([], 0)


async def test_words_may_come_byte_by_byte() -> None:
    made = Connected(1)
    for byte in said(GREETING, {"ack": 1}):
        made.link.data_received(bytes([byte]))
    assert made.buffer.unacknowledged == 0


async def test_a_monitor_that_does_not_keep_up_is_given_no_more() -> None:
    made = Connected(2)
    made.link.pause_writing()
    made.say(GREETING)
    assert made.transport.written == []
    made.link.resume_writing()
    assert len(made.transport.written) == 2


def raw(head: bytes, body: bytes = b"") -> bytes:
    return LENGTHS.pack(len(head), len(body)) + head + body


LIES: dict[str, Callable[[str], bytes]] = {
    "noise": lambda _: b"\xff" * 100,
    "a web server": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a head that is too long": lambda _: LENGTHS.pack(1 << 20, 0),
    "a body": lambda _: raw(b"{}", b"12345"),
    "no object": lambda _: raw(b"[]"),
    "no JSON": lambda _: raw(b"{]"),
    "nothing": lambda _: raw(b""),
    "no number": lambda _: said({"epoch": None}),
    "truth for a number": lambda _: said({"epoch": None, "number": True}),
    "a batch from the future": lambda epoch: said({"epoch": epoch, "number": 3}),
    "a negative batch": lambda epoch: said({"epoch": epoch, "number": -1}),
    "acknowledges the future": lambda _: said(GREETING, {"ack": 3}),
    "acknowledges beyond all numbers": lambda _: said(GREETING, {"ack": 2**64 - 1}),
    "acknowledges nothing": lambda _: said(GREETING, {"ack": None}),
    "acknowledges less than nothing": lambda _: said(GREETING, {"ack": -1}),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_ends_the_connection_and_loses_nothing(lie: str) -> None:
    made = Connected(2)
    made.link.data_received(LIES[lie](made.buffer.epoch))
    assert made.transport.aborted
    assert made.buffer.unacknowledged == 2
    written = len(made.transport.written)
    made.link.pump()
    assert len(made.transport.written) == written


async def test_a_flood_of_answers_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    later: list[Callable[[], None]] = []
    made = Connected(2)
    made.say(GREETING)
    monkeypatch.setattr(made.link, "_loop", type("Loop", (), {"call_later": lambda *given: later.append(given[1])}))
    heard: list[object] = []
    forget = made.buffer.forget
    monkeypatch.setattr(made.buffer, "forget", lambda number: (heard.append(number), forget(number))[1])
    made.say(*[{"ack": 1}] * 1000)
    assert not made.transport.reading
    assert len(heard) <= PATIENCE + 2
    (on,) = later
    on()
    assert len(heard) <= 2 * (PATIENCE + 2)
    assert not made.transport.reading
    assert not made.transport.aborted


async def test_a_monitor_that_does_not_greet_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "GREETING_SECONDS", 0.0)
    made = Connected()
    while not made.transport.aborted:
        await asyncio.sleep(0)


async def test_who_greeted_in_time_may_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "GREETING_SECONDS", 0.0)
    made = Connected()
    made.say(GREETING)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not made.transport.aborted
