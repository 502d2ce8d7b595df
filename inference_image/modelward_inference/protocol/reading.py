"""How a body is read, whatever process does it: unpacked within its limits, then decoded.

Failure: RequestError; TooMuchError where what it unpacks to has no room.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modelward_inference.protocol import compression
from modelward_inference.protocol.messages import InferRequest

Decode = Callable[[bytes | memoryview, int | None], InferRequest]
"""A body and the length of its JSON part; can be pickled."""

COUNTED = 64 << 10
"""Bytes from which what a body unpacks to counts as held."""


class TooMuchError(Exception):
    """`size`: bytes that a body unpacks to, for which there is no room at the moment."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


@dataclass(frozen=True)
class Reading:
    """`json_length`: of the header, None where all is JSON; `encoding`: of Content-Encoding, empty for none; `limit`:
    bytes that the plain body may have."""

    decode: Decode
    json_length: int | None = None
    encoding: str = ""
    limit: int = 0

    def request(self, body: bytes, room: int) -> tuple[InferRequest, int]:
        """What was sent, and how many bytes it unpacked to (0: it was not packed, or they are few). `room`: bytes."""
        if not self.encoding:
            return self.decode(body, self.json_length), 0
        plain = compression.decompressed(body, self.encoding, self.limit)
        size = len(plain) if len(plain) > COUNTED else 0
        if size > room:
            raise TooMuchError(size)
        return self.decode(plain, self.json_length), size

    def most(self, size: int) -> int:
        """Bytes that a body of so many may become."""
        return compression.most(size, self.limit) if self.encoding else size
