"""Looks at the bytes of one connection as they pass, and tells requests with their answers.

Nothing here delays or changes a byte: who passes them on has done so before. What is no HTTP/1, or is not understood,
makes the watch blind: the connection goes on without it, and what was under way is counted as unreadable.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import httptools

from modelward_inference.tap import metrics
from modelward_inference.tap.exchange import KEPT, Ending, Exchange, Paths, Reason, Room, Side
from modelward_inference.tap.spans import TRACED, Spans

log = logging.getLogger(__name__)

MAX_HEAD: Final = 64 << 10
"""Bytes of a request line and its headers, which parsers keep until they are complete; Envoy's own limit is 60 KiB."""

PIPELINED: Final = 64
"""Requests of one connection whose answers have not come: beyond, nothing is looked at any more."""


class Watch:
    """`paths`: of the model; `wanted`: whether anybody wants copies now; `on_end`: is given each exchange that was of
    inference, once; `spans`: made of requests to this model, None: traces are off."""

    def __init__(
        self,
        paths: Paths,
        room: Room,
        wanted: Callable[[], bool],
        on_end: Callable[[Exchange], None],
        spans: Spans | None = None,
    ) -> None:
        self._paths, self._room, self._wanted = paths, room, wanted
        self._ended = Ending(room, on_end, spans)
        self._spans, self._kept = spans, KEPT if spans is None else TRACED
        self.blind = False
        self._waiting: deque[Exchange] = deque()  # whose answers have not come, the oldest first
        self._coming: Exchange | None = None  # whose request is being received
        self._target = b""
        self._requests: Any = httptools.HttpRequestParser(_Requests(self))
        self._answers: Any = httptools.HttpResponseParser(_Answers(self))
        self._answer_is_head = False
        self._in_head = False
        self._heard = False  # whether the parser has told of what it is fed
        self._unheard = 0  # bytes that the parser keeps: of a head that is not complete, or of a line of a trailer

    @property
    def between(self) -> bool:
        """Whether the next byte of the client begins a request, and nothing is under way."""
        return not self.blind and self._coming is None and not self._waiting

    def asked(self, data: bytes) -> None:
        """What a client sent."""
        if self.blind:
            return
        self._heard = False
        self._feed(self._requests, data)
        self._unheard = 0 if self._heard and not self._in_head else self._unheard + len(data)
        if self._unheard > MAX_HEAD and not self.blind:
            self._lose("unreadable")

    def told(self, data: bytes) -> None:
        """What the server answered."""
        if not self.blind:
            self._feed(self._answers, data)
            if self._answer_is_head and not self.blind:
                # It has the length of a body that does not come; the parser would wait for that.
                self._answer_is_head = False
                self._answers = httptools.HttpResponseParser(_Answers(self))

    def end(self, *, broken: bool = False) -> None:
        """The connection is over. `broken`: by the server."""
        self._lose("unfinished", broken=broken)

    def _feed(self, parser: Any, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # no HTTP any more
            self._lose("unreadable")
        except Exception as error:  # noqa: BLE001  whatever passes by, the connection goes on
            log.debug("a connection is not understood, and only passed on: %s", error)
            self._lose("unreadable")

    def _lose(self, reason: Reason, *, broken: bool = False) -> None:
        self.blind = True
        if reason == "unreadable":
            metrics.BLIND.inc()
        for each in (*self._waiting, *((self._coming,) if self._coming is not None else ())):
            self._ended(each, reason, broken=broken)
        self._waiting.clear()
        self._coming = None
        self._requests = self._answers = None  # with what they keep

    # What the parsers tell.

    def begin(self) -> None:
        self._coming, self._target, self._in_head = Exchange(), b"", True

    def url(self, part: bytes) -> None:
        self._target += part

    def head(self, method: bytes) -> None:
        coming = self._coming
        assert coming is not None
        self._in_head = False
        coming.head = method == b"HEAD"
        self._waiting.append(coming)
        if len(self._waiting) > PIPELINED or (len(self._waiting) > 1 and any(each.head for each in self._waiting)):
            raise ValueError("requests before their answers, more than can be followed")
        form, own = self._paths.form(self._target) if method == b"POST" else (None, False)
        if own and self._spans is not None:
            self._spans.begin(coming)
        if form is None or not self._wanted():
            coming.forget_headers()
            return
        coming.form = form
        if not own:
            coming.miss("other_model", self._room)
        else:
            coming.begin(self._room)

    def header(self, side: Side, name: bytes, value: bytes) -> None:
        self._heard = True
        name = name.lower()
        if name in self._kept:
            side.headers[name] = value

    def trailer(self) -> None:
        """Of a request. It says nothing of whose that is, as the router lets none through, and has no room."""
        self._heard = True

    @property
    def in_head(self) -> bool:
        """Of the request that is being received."""
        return self._in_head

    def body(self, exchange: Exchange, side: Side, part: bytes) -> None:
        self._heard = True
        exchange.keep(side, part, self._room)

    def request_complete(self) -> None:
        assert self._coming is not None
        self._heard = True
        self._coming.came()
        self._coming = None

    def answer_head(self, status: int) -> None:
        """Raises IndexError for an answer that nobody asked for."""
        oldest = self._waiting[0]
        if status >= 200:  # else another one follows
            oldest.status = status
            oldest.begins_to_answer()
            if oldest.head:
                self._answer_is_head = True
                self._waiting.popleft()

    def answer_complete(self) -> None:
        if self._answer_is_head or not self._waiting or not self._waiting[0].status:
            return
        oldest = self._waiting.popleft()
        # A server may answer before it has the whole request, and need not read the rest.
        self._ended(oldest, None if oldest.complete else "unfinished")

    @property
    def coming(self) -> Exchange | None:
        return self._coming

    @property
    def oldest(self) -> Exchange:
        """Whose answer comes now. Raises IndexError."""
        return self._waiting[0]


class _Requests:
    """What httptools calls for requests."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def on_message_begin(self) -> None:
        self._watch.begin()

    def on_url(self, part: bytes) -> None:
        self._watch.url(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        if (coming := self._watch.coming) is None or not self._watch.in_head:
            self._watch.trailer()
        else:
            self._watch.header(coming.asked, name, value)

    def on_headers_complete(self) -> None:
        self._watch.head(self._watch._requests.get_method())

    def on_body(self, part: bytes) -> None:
        if (coming := self._watch.coming) is not None:
            self._watch.body(coming, coming.asked, part)

    def on_message_complete(self) -> None:
        self._watch.request_complete()


class _Answers:
    """The same for answers."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def on_header(self, name: bytes, value: bytes) -> None:
        self._watch.header(self._watch.oldest.told, name, value)

    def on_headers_complete(self) -> None:
        self._watch.answer_head(self._watch._answers.get_status_code())

    def on_body(self, part: bytes) -> None:
        if self._watch._answer_is_head:
            raise ValueError("an answer to HEAD has a body")
        oldest = self._watch.oldest
        self._watch.body(oldest, oldest.told, part)

    def on_message_complete(self) -> None:
        self._watch.answer_complete()
