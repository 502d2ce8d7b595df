"""One request and its answer, as copies of what passed by: bounded, and only of what is to be captured. Pure."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Final, Literal

from modelward_inference.protocol.origin import MAX_ID

if TYPE_CHECKING:
    from modelward_inference.tap.spans import Spans
    from modelward_inference.telemetry.tracing import Traced

Form = Literal["v1", "v2", "grpc"]
Reason = Literal["unreadable", "too_large", "busy", "unfinished", "other_model"]

REQUEST_ID: Final = b"x-request-id"

KEPT: Final = frozenset({
    REQUEST_ID, b"modelward-key", b"x-modelward-arms", b"content-encoding", b"inference-header-content-length",
    b"grpc-encoding",
})  # fmt: skip
"""Headers that say whose a request is, or how a body is to be read; in lower case."""

PATIENCE: Final = 60.0
"""Seconds that one may be under way before it gives way to others. A client that is gone without a word, or sends a
byte now and then, would have its room for ever."""

WEIGHT: Final = 1000
"""Bytes that one takes in memory besides its bodies, about."""


class Paths:
    """By which clients ask the model `name`."""

    def __init__(self, name: str) -> None:
        self._own: dict[Form, re.Pattern[bytes]] = {
            form: re.compile(pattern.replace(b"NAME", re.escape(name.encode()))) for form, pattern in _ANY.items()
        }

    def form(self, target: bytes) -> tuple[Form | None, bool]:
        """What protocol a request to `target` speaks, None: it is no inference; and whether it is of this model."""
        path = target.partition(b"?")[0]
        for form, pattern in _ANYBODYS.items():
            if pattern.fullmatch(path):
                return form, self._own[form].fullmatch(path) is not None
        return None, False


_ANY: Final[dict[Form, bytes]] = {
    "v2": rb"/v2/models/NAME(/versions/[^/]+)?/infer/?",
    "v1": rb"/v1/models/NAME(/(versions|labels)/[^/:]+)?:predict/?",
}
_ANYBODYS: Final[dict[Form, re.Pattern[bytes]]] = {
    form: re.compile(pattern.replace(b"NAME", b"[^/:]+")) for form, pattern in _ANY.items()
}


class Room:
    """`limit`: bytes that copies may take together; `most`: of one body."""

    def __init__(self, limit: int, most: int) -> None:
        self.limit, self.most = limit, most
        self.held = 0
        self._holders: dict[int, Exchange] = {}  # the oldest first

    def take(self, size: int) -> bool:
        """Whether there is room for so many more. What is under way for long gives way."""
        if self.held + size > self.limit:
            self._make()
        if self.held + size > self.limit:
            return False
        self.held += size
        return True

    def add(self, exchange: "Exchange") -> None:
        """It holds some of it from now on."""
        self._holders[id(exchange)] = exchange

    def discard(self, exchange: "Exchange") -> None:
        self._holders.pop(id(exchange), None)

    def _make(self) -> None:
        before = time.monotonic() - PATIENCE
        for each in list(takewhile(lambda each: each.since < before, self._holders.values())):
            if not each.over:
                each.miss("busy", self)

    def give_back(self, size: int) -> None:
        self.held -= size


@dataclass(slots=True)
class Side:
    """A message as far as it is kept. `headers`: of KEPT."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Exchange:
    """`form`: None: it is passed on, and nothing more. `missed`: why nothing of it can be captured; `asked`, `told`:
    request and answer; `status`: HTTP's, or the name of gRPC's where it is an error; 0: there is no answer yet.
    `arrived`, `ended`: seconds on the monotonic clock, when the request and its answer were complete; `time`: the
    second one, seconds since the epoch; `size`: bytes of room that it takes, `since`: on that clock; `over`: it has
    ended. `traced`: its span, None: there is none, and then neither of `began`, `answered`: the clock when its head had
    come, and that of its answer, 0: it has not."""

    form: Form | None = None
    head: bool = False
    missed: Reason | None = None
    asked: Side = field(default_factory=Side)
    told: Side = field(default_factory=Side)
    complete: bool = False
    status: int | str = 0
    arrived: float = 0.0
    ended: float = 0.0
    time: float = 0.0
    size: int = 0
    since: float = 0.0
    over: bool = False
    traced: "Traced | None" = None
    began: float = 0.0
    answered: float = 0.0

    def begin(self, room: Room) -> None:
        """Its head has come, and what was kept of that takes room."""
        size = WEIGHT + sum(map(len, self.asked.headers.values()))
        if not room.take(size):
            self.miss("busy", room)
            return
        self.size, self.since = size, time.monotonic()
        room.add(self)

    def keep(self, side: Side, part: bytes, room: Room) -> None:
        """A further part of a body. What has no room is not kept, and neither is anything behind it."""
        if self.form is None or self.missed is not None:
            return
        if len(side.body) + len(part) > room.most:
            self.miss("too_large", room)
        elif not room.take(len(part)):
            self.miss("busy", room)
        elif self.missed is not None:  # it was its own turn to give way
            room.give_back(len(part))
        else:
            side.body += part
            self.size += len(part)

    def miss(self, reason: Reason, room: Room) -> None:
        """Nothing is captured, and what was kept is let go, but for the request's id, by which errors are told."""
        if self.missed is None:
            self.missed = reason
        self.asked, self.told = Side(self._named()), Side()
        self.free(room)

    def forget_headers(self) -> None:
        """Nobody wants copies. Where there is a span, it tells the request's id."""
        self.asked.headers = self._named() if self.traced is not None else {}

    def _named(self) -> dict[bytes, bytes]:
        request_id = self.asked.headers.get(REQUEST_ID, b"")[:MAX_ID]
        return {REQUEST_ID: request_id} if request_id else {}

    def free(self, room: Room) -> None:
        """It takes no more room."""
        room.give_back(self.size)
        room.discard(self)
        self.size = 0

    def came(self) -> None:
        """The request is complete."""
        self.complete, self.arrived = True, time.monotonic()

    def begins_to_answer(self) -> None:
        """The head of its answer has come."""
        if self.traced is not None:
            self.answered = time.monotonic()

    def end(self) -> None:
        """The answer is, or never will be."""
        self.over, self.ended, self.time = True, time.monotonic(), time.time()


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of an exchange that ends. `on_end`: is given each that was of inference, once; `spans`: made of
    those whose traces are kept, None: traces are off."""

    room: Room
    on_end: Callable[[Exchange], None]
    spans: "Spans | None"

    def __call__(self, exchange: Exchange, reason: Reason | None = None, *, broken: bool = False) -> None:
        """`reason`: why it can't be captured; `broken`: the server ended the connection, or took none."""
        if exchange.over or (exchange.form is None and exchange.traced is None):
            return
        if reason is not None:
            exchange.miss(reason, self.room)
        exchange.end()
        if self.spans is not None:
            self.spans.end(exchange, broken=broken)
        if exchange.form is not None:
            self.on_end(exchange)
