"""Looks at the bytes of one gRPC connection as they pass, and tells calls of inference with their answers.

As watch.py does for HTTP/1: nothing is delayed or changed, and what is not understood makes the watch blind, while the
connection goes on. Looked at is `ModelInfer` of the Open Inference Protocol alone: other calls that may predict
are counted, and of all others, whatever they are and however long they stream, only the fields are read over, since
those of later calls refer to them.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from modelward_inference.tap import metrics
from modelward_inference.tap.exchange import KEPT, Ending, Exchange, Reason, Room
from modelward_inference.tap.frames import PREFACE, Frames
from modelward_inference.tap.grpcbody import ENOUGH, model_of
from modelward_inference.tap.hpack import Decoder
from modelward_inference.tap.spans import TRACED, Spans

log = logging.getLogger(__name__)

INFER: Final = b"/inference.GRPCInferenceService/ModelInfer"

NO_INFERENCE: Final = re.compile(
    rb"/grpc\.[^/]*/.*|/inference\.GRPCInferenceService/(?!Model(Stream)?Infer$).*"
    rb"|/tensorflow\.serving\.(ModelService/.*|PredictionService/GetModelMetadata)"
)
"""Methods that answer no prediction: health, reflection, what a server says of itself. Others may, whoever has them."""

AT_ONCE: Final = 1024
"""Calls of one connection that are followed; the others are passed on, and counted as busy. Servers allow some 100."""

PATH, HTTP_STATUS, STATUS = b":path", b":status", b"grpc-status"

OK: Final = 200
"""Status of an exchange that went well, as HTTP has it."""

NAMES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""Of gRPC's codes, by number."""


@dataclass(slots=True)
class Call:
    """`known`: whether the exchange is one of this model is decided; `begun`: of its body, as long as it is not."""

    exchange: Exchange
    known: bool = False
    begun: bytes = b""


class Streams:
    """`model`: by whose name clients ask; the others as Watch has them."""

    between: Final = False
    """What the tap answers itself is not asked by gRPC."""

    def __init__(
        self,
        model: str,
        room: Room,
        wanted: Callable[[], bool],
        on_end: Callable[[Exchange], None],
        spans: Spans | None = None,
    ) -> None:
        self._model, self._room, self._wanted, self._spans = model.encode(), room, wanted, spans
        self._ended = Ending(room, on_end, spans)
        self.blind = False
        self._calls: dict[int, Call] = {}
        self._newest = 0  # of the client's streams
        kept = (KEPT if spans is None else TRACED) | {PATH}
        requests, answers = Decoder(), Decoder()
        self._requests: Frames | None = Frames(_Requests(self, requests, answers, kept), PREFACE)
        self._answers: Frames | None = Frames(_Answers(self, answers, requests))

    def asked(self, data: bytes) -> None:
        """What a client sent."""
        self._feed(self._requests, data)

    def told(self, data: bytes) -> None:
        """What the server answered."""
        self._feed(self._answers, data)

    def end(self, *, broken: bool = False) -> None:
        """The connection is over. `broken`: by the server."""
        self._lose("unfinished", broken=broken)

    def _feed(self, frames: Frames | None, data: bytes) -> None:
        if frames is None or self.blind:
            return
        try:
            frames.feed(data)
        except Exception as error:  # noqa: BLE001  whatever passes by, the connection goes on
            log.debug("a gRPC connection is not understood, and only passed on: %s", error)
            metrics.BLIND.inc()
            self._lose("unreadable")

    def _lose(self, reason: Reason, *, broken: bool = False) -> None:
        self.blind = True
        self._requests = self._answers = None  # with what they keep
        calls, self._calls = list(self._calls.values()), {}
        for each in calls:
            self._ended(each.exchange, reason, broken=broken)

    # What the frames tell.

    def begin(self, stream: int, headers: dict[bytes, bytes], *, last: bool) -> None:
        """The fields of a request, or those behind its body."""
        call = self._calls.get(stream)
        # No number comes twice (RFC 9113, 5.1.1): the answer to the first would be taken for one to the second.
        if call is None and stream > self._newest:
            self._newest = stream
            path = headers.pop(PATH, b"")
            if path == INFER:
                call = self._begun(stream, headers)
            elif self._wanted() and not NO_INFERENCE.fullmatch(path):
                metrics.SKIPPED.labels("other_method").inc()
        if call is not None and last:
            self._came(call)

    def _begun(self, stream: int, headers: dict[bytes, bytes]) -> Call | None:
        wanted = self._wanted()
        if not wanted and self._spans is None:
            return None
        exchange = Exchange()
        exchange.asked.headers = headers
        if self._spans is not None:
            self._spans.begin(exchange)
        if wanted:
            exchange.form = "grpc"
            exchange.begin(self._room)
        elif exchange.traced is None:
            return None
        else:
            exchange.forget_headers()
        if len(self._calls) >= AT_ONCE:
            exchange.traced = None  # how long it takes is not seen
            self._ended(exchange, "busy")
            return None
        call = self._calls[stream] = Call(exchange)
        return call

    def body(self, stream: int, part: bytes, *, last: bool) -> None:
        """Of a request."""
        call = self._calls.get(stream)
        if call is None or call.exchange.complete:
            return
        exchange = call.exchange
        exchange.keep(exchange.asked, part, self._room)
        if not call.known:
            self._know(call, part, last=last)
        if last:
            self._came(call)

    def _know(self, call: Call, part: bytes, *, last: bool) -> None:
        """Whose the exchange is, as soon as it can be told; also of one that is not kept."""
        exchange = call.exchange
        call.begun += part[: ENOUGH - len(call.begun)]
        model = model_of(call.begun)
        if model is None and not last and len(call.begun) < ENOUGH:
            return
        call.known, call.begun = True, b""
        if model is not None and model != self._model:
            exchange.missed, exchange.traced = None, None
            exchange.miss("other_model", self._room)
        elif model is None:
            exchange.miss("unreadable", self._room)

    def _came(self, call: Call) -> None:
        if not call.exchange.complete:
            call.exchange.came()

    def answer_fields(self, stream: int, headers: dict[bytes, bytes], *, last: bool) -> None:
        """Of an answer, or those behind its body."""
        call = self._calls.get(stream)
        if call is None:
            return
        exchange = call.exchange
        status = headers.pop(HTTP_STATUS, b"")
        if status.startswith(b"1"):
            return
        if not exchange.answered:
            exchange.begins_to_answer()
        code = headers.pop(STATUS, None)
        if code is not None:
            number = int(code) if code.isdigit() and len(code) < 3 else len(NAMES)
            exchange.status = OK if number == 0 else NAMES[number] if number < len(NAMES) else "UNKNOWN"
        elif status and status != b"200":  # from who is no gRPC server
            number = int(status) if status.isdigit() and len(status) == 3 else 0
            exchange.status = number if number >= 300 else "UNKNOWN"
        exchange.told.headers |= headers
        if last:
            self._answered(stream)

    def answer_body(self, stream: int, part: bytes, *, last: bool) -> None:
        call = self._calls.get(stream)
        if call is None:
            return
        call.exchange.keep(call.exchange.told, part, self._room)
        if last:
            self._answered(stream)

    def _answered(self, stream: int) -> None:
        exchange = self._calls.pop(stream).exchange
        # A server may answer before it has the whole request, and need not read the rest.
        whole = exchange.complete and exchange.status != 0
        self._ended(exchange, None if whole else "unfinished")

    def reset(self, stream: int, *, broken: bool) -> None:
        """Somebody ends a call before its answer is complete."""
        call = self._calls.pop(stream, None)
        if call is not None:
            self._ended(call.exchange, "unfinished", broken=broken)


class _Requests:
    """What frames of clients tell."""

    def __init__(self, streams: Streams, own: Decoder, others: Decoder, kept: frozenset[bytes]) -> None:
        self._streams, self._own, self._others, self._kept = streams, own, others, kept

    def data(self, stream: int, part: bytes, *, last: bool) -> None:
        self._streams.body(stream, part, last=last)

    def fields(self, stream: int, block: bytes, *, last: bool) -> None:
        self._streams.begin(stream, self._own.decode(block, self._kept), last=last)

    def reset(self, stream: int) -> None:
        self._streams.reset(stream, broken=False)

    def table(self, size: int) -> None:
        self._others.allow(size)


class _Answers:
    """The same of servers."""

    kept: Final = frozenset({HTTP_STATUS, STATUS, b"grpc-encoding"})

    def __init__(self, streams: Streams, own: Decoder, others: Decoder) -> None:
        self._streams, self._own, self._others = streams, own, others

    def data(self, stream: int, part: bytes, *, last: bool) -> None:
        self._streams.answer_body(stream, part, last=last)

    def fields(self, stream: int, block: bytes, *, last: bool) -> None:
        self._streams.answer_fields(stream, self._own.decode(block, self.kept), last=last)

    def reset(self, stream: int) -> None:
        self._streams.reset(stream, broken=True)

    def table(self, size: int) -> None:
        self._others.allow(size)
