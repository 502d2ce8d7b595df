"""The body of a unary gRPC call: its message, and the model that one asks. Pure.

Failure: RequestError, for what is no message.
"""

import zlib
from typing import Final

from modelward_inference.protocol import compression
from modelward_inference.protocol.messages import RequestError

PREFIX: Final = 5
"""Bytes before a message: whether it is compressed, and its length."""

_BEGIN: Final = 1024
"""Bytes of a message in which its model has to be named: it is the first field, and every library writes it first."""

ENOUGH: Final = PREFIX + _BEGIN
"""Bytes of a body behind which nothing more is learned of its model."""

_MODEL_NAME: Final = 0x0A
"""Field 1, a text."""


def message(body: bytes, encoding: str, limit: int) -> bytes:
    """`encoding`: of grpc-encoding; `limit`: bytes that it may unpack to. Raises RequestError."""
    if len(body) < PREFIX or int.from_bytes(body[1:PREFIX]) != len(body) - PREFIX:
        raise RequestError("a call has not exactly one message")
    content = body[PREFIX:]
    if not body[0]:
        return content
    if not (plainly := compression.plainly(encoding)):
        raise RequestError("a message is compressed, and the call does not say how")
    return compression.decompressed(content, plainly, limit)


def model_of(body: bytes | bytearray) -> bytes | None:
    """The model that a ModelInferRequest names, by the beginning of its body; None: it can't be told from so much."""
    if len(body) < PREFIX:
        return None
    begin = bytes(body[PREFIX : PREFIX + _BEGIN])
    if body[0]:
        try:
            begin = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(begin, _BEGIN)  # gzip's head or zlib's
        except zlib.error:
            return None
    if len(begin) < 2 or begin[0] != _MODEL_NAME:
        return None
    length, start = begin[1], 2
    if length >= 0x80:
        if len(begin) < 3 or begin[2] >= 0x80:
            return None
        length, start = length & 0x7F | begin[2] << 7, 3
    name = begin[start : start + length]
    return name if len(name) == length else None
