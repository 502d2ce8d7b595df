"""gzip and deflate, both ways. Failure: RequestError for a body that is not what its header says, or too large."""

import re
import zlib

from modelward_inference.protocol.messages import RequestError

COMPRESS_FROM = 16 * 1024
"""Bytes: a smaller answer is sent faster than it is compressed."""

LEVEL = 1
"""Of zlib: the numbers of a tensor hardly get smaller with more effort."""

RATIO = 100
"""How many times as large as it came a body may be: numbers as text are up to ten times, sparse rows some dozens."""

FREE = 1 << 20
"""Bytes that any body may have, whatever it came as: a thousand rows of zeros are a few hundred bytes."""

_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_ZERO = re.compile(r"q=0(\.0*)?")
_DETECT = 32 + zlib.MAX_WBITS
"""zlib's own detection takes gzip and zlib streams alike."""


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """The plain body. `encoding`: of Content-Encoding; `limit`: bytes that the plain body may have.

    No more than that is ever unpacked, and no more than RATIO times what came.
    """
    encoding = plainly(encoding)
    if not encoding:
        return body
    allowed = most(len(body), limit)
    unpacker = zlib.decompressobj(_DETECT)
    try:
        plain = unpacker.decompress(body, allowed + 1)
    except zlib.error as error:
        raise RequestError(f"the body is not valid {encoding} data: {error}") from None
    if len(plain) > allowed < limit:
        raise RequestError(
            f"the body is more than {RATIO} times as large as its {len(body)} bytes of {encoding}; send it as it is",
            413,
        )
    if len(plain) > limit:
        raise RequestError(f"the body has more than {limit} bytes; send fewer rows at a time", 413)
    if not unpacker.eof:
        raise RequestError(f"the {encoding} data of the body breaks off")
    if unpacker.unused_data:
        raise RequestError(f"{len(unpacker.unused_data)} bytes follow the {encoding} data of the body")
    return plain


def plainly(encoding: str) -> str:
    """The name of a coding, empty for none. Raises RequestError for one that is not supported."""
    encoding = encoding.strip().lower()
    if encoding not in ("identity", "", *_WINDOW):
        raise RequestError(
            f"Content-Encoding {encoding[:50]!r} is not supported; send gzip, deflate or no compression", 415
        )
    return "" if encoding == "identity" else encoding


def most(size: int, limit: int) -> int:
    """Bytes that `size` of packed ones may become."""
    return min(limit, max(FREE, RATIO * size))


def little(body: bytes, size: int) -> bytes | None:
    """The plain body where it has no more than `size` bytes and nothing is wrong with it, else None."""
    unpacker = zlib.decompressobj(_DETECT)
    try:
        plain = unpacker.decompress(body, size + 1)
    except zlib.error:
        return None
    return plain if len(plain) <= size and unpacker.eof and not unpacker.unused_data else None


def chosen(accepted: str) -> str | None:
    """What of Accept-Encoding is used: gzip, else deflate, else None. A quality of zero excludes one."""
    wishes = {}
    for part in accepted.lower().split(","):
        name, _, parameters = part.partition(";")
        wishes[name.strip()] = _ZERO.fullmatch(parameters.replace(" ", "")) is None
    return next((name for name in _WINDOW if wishes.get(name)), None)


def compressed(body: bytes, encoding: str) -> bytes:
    """`encoding`: gzip or deflate."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _WINDOW[encoding])
    return packer.compress(body) + packer.flush()
