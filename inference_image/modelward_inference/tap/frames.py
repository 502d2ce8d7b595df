"""HTTP/2's frames (RFC 9113) of one direction of a connection, as one looks on who only passes the bytes on.

Bodies are told in parts, as they come; a block of fields once it is whole, and settings. Everything else is passed
over without being kept. Failure: FramesError, after which nothing more of that direction can be read.
"""

from typing import Final, Protocol

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with."""

MAX_BLOCK: Final = 64 << 10
"""Bytes of fields, which are kept until they are complete; Envoy's own limit is 60 KiB."""

DATA, HEADERS, RESET, SETTINGS, PROMISE, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x5, 0x9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
TABLE_SIZE: Final = 0x1

_HEAD: Final = 9


class FramesError(ValueError):
    """What is no HTTP/2, or not of the kind that gRPC speaks."""


class Heard(Protocol):
    """Who is told. May raise what ends the reading."""

    def data(self, stream: int, part: bytes, *, last: bool) -> None:
        """`last`: nothing of the stream follows."""

    def fields(self, stream: int, block: bytes, *, last: bool) -> None: ...

    def reset(self, stream: int) -> None: ...

    def table(self, size: int) -> None:
        """Bytes that the sender lets the other side's table of fields have."""


class Frames:
    """`preface`: what has to come first, empty: nothing has."""

    def __init__(self, heard: Heard, preface: bytes = b"") -> None:
        self._heard, self._preface = heard, preface
        self._kept = b""  # of a frame that is not complete
        self._left = 0  # bytes of a frame that are still to come, and are not kept
        self._padding = 0  # bytes behind those
        self._body: tuple[int, int] | None = None  # stream and flags of that frame, where it is one of a body
        self._block = bytearray()  # thousands of frames may have a byte of it each
        self._of: tuple[int, int] | None = None  # stream and flags of a block that goes on

    def feed(self, data: bytes) -> None:
        """Raises FramesError, and what `heard` raises."""
        if self._kept:
            data, self._kept = self._kept + data, b""
        position = len(self._preface)
        if self._preface:
            if not data.startswith(self._preface[: len(data)]):
                raise FramesError("the connection does not begin as HTTP/2 does")
            if len(data) < position:
                self._kept = data
                return
            self._preface = b""
        while position < len(data):
            if self._left:
                part = data[position : position + self._left]
                position += len(part)
                self._left -= len(part)
                self._tell_part(part)
                continue
            if len(data) - position < _HEAD:
                break
            length = int.from_bytes(data[position : position + 3])
            kind, flags = data[position + 3], data[position + 4]
            stream = int.from_bytes(data[position + 5 : position + _HEAD]) & 0x7FFFFFFF
            if self._of is not None and kind != CONTINUATION:
                raise FramesError("a block of fields does not go on")
            if kind in (HEADERS, CONTINUATION, SETTINGS, RESET):
                if length > MAX_BLOCK:
                    raise FramesError(f"a frame of fields has {length} bytes")
                if len(data) - position < _HEAD + length:
                    break
                self._whole(kind, flags, stream, data[position + _HEAD : position + _HEAD + length])
                position += _HEAD + length
                continue
            if kind == PROMISE:
                raise FramesError("a server pushes")
            padding = 0
            if kind == DATA and flags & PADDED:
                if length and len(data) - position == _HEAD:
                    break
                padding = 1 + data[position + _HEAD] if length else 1
                if padding > length:
                    raise FramesError("a frame is shorter than its padding")
                position += 1
            position += _HEAD
            self._left, self._padding = length - padding, max(padding - 1, 0)
            self._body = (stream, flags) if kind == DATA else None
            if not self._left:
                self._tell_part(b"")
        self._kept = data[position:]

    def _tell_part(self, part: bytes) -> None:
        if self._body is not None:
            stream, flags = self._body
            self._heard.data(stream, part, last=not self._left and bool(flags & END_STREAM))
        if not self._left:
            self._left, self._padding, self._body = self._padding, 0, None

    def _whole(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == RESET:
            self._heard.reset(stream)
        elif kind == SETTINGS:
            if not flags & ACK:
                for begin in range(0, len(payload) - 5, 6):
                    if int.from_bytes(payload[begin : begin + 2]) == TABLE_SIZE:
                        self._heard.table(int.from_bytes(payload[begin + 2 : begin + 6]))
        elif kind == HEADERS:
            self._block += _fragment(flags, payload)
            self._go_on(stream, flags, flags)
        else:
            if self._of is None or self._of[0] != stream:
                raise FramesError("a block of fields goes on that has not begun")
            self._block += payload
            self._go_on(stream, self._of[1], flags)

    def _go_on(self, stream: int, first: int, flags: int) -> None:
        if len(self._block) > MAX_BLOCK:
            raise FramesError(f"a block of fields has more than {MAX_BLOCK} bytes")
        if flags & END_HEADERS:
            block, self._of = bytes(self._block), None
            self._block.clear()
            self._heard.fields(stream, block, last=bool(first & END_STREAM))
        else:
            self._of = (stream, first)


def _fragment(flags: int, payload: bytes) -> bytes:
    """The fields of a HEADERS frame, without padding and priority."""
    begin, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise FramesError("a frame's padding has no length")
        begin, end = 1, end - payload[0]
    if flags & PRIORITY:
        begin += 5
    if begin > end:
        raise FramesError("a frame is shorter than its padding")
    return payload[begin:end]
