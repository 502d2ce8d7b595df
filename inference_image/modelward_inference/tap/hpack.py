"""HPACK (RFC 7541) as one looks on who neither sends nor answers: header blocks to fields. Pure.

Every block of a connection's direction has to be decoded, in its order, since later ones refer to it. Bounds: of the
table, of the fields of a block, and of what is given back, which is by the names that are asked for; a block of a few
bytes may stand for many fields. Failure: HpackError, after which nothing more of that direction can be read.
"""

from collections import deque
from collections.abc import Collection
from functools import lru_cache
from typing import Final

MAX_TABLE: Final = 64 << 10
"""Bytes of the table of fields that later blocks refer to; proxies and gRPC have 4 KiB."""

DEFAULT_TABLE: Final = 4096
ENTRY: Final = 32
"""Bytes that each field counts for in it besides its texts."""

MAX_FIELDS: Final = 2000
"""Of a block."""

REPEATED: Final = 100
"""Bytes of a text that is remembered: short ones come again and again."""

LONGEST: Final = 4096
"""Bytes of a text that is given back; a longer one is given back as an empty one. Unpacking costs a microsecond for
some bytes, so that of texts which no later block refers to only those are unpacked that somebody asks for."""

_MAX_NUMBER: Final = 1 << 31

_STATIC: Final = tuple(
    (name.encode(), value.encode())
    for name, _, value in (
        line.strip().partition(" ")
        for line in """
            :authority
            :method GET
            :method POST
            :path /
            :path /index.html
            :scheme http
            :scheme https
            :status 200
            :status 204
            :status 206
            :status 304
            :status 400
            :status 404
            :status 500
            accept-charset
            accept-encoding gzip, deflate
            accept-language
            accept-ranges
            accept
            access-control-allow-origin
            age
            allow
            authorization
            cache-control
            content-disposition
            content-encoding
            content-language
            content-length
            content-location
            content-range
            content-type
            cookie
            date
            etag
            expect
            expires
            from
            host
            if-match
            if-modified-since
            if-none-match
            if-range
            if-unmodified-since
            last-modified
            link
            location
            max-forwards
            proxy-authenticate
            proxy-authorization
            range
            referer
            refresh
            retry-after
            server
            set-cookie
            strict-transport-security
            transfer-encoding
            user-agent
            vary
            via
            www-authenticate
        """.strip().splitlines()
    )
)
"""Appendix A."""

_LENGTHS: Final = (
    "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6f565"
    "65666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmnqqkjmnmp"
    "qqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu"
)
"""Bits of each byte's code, and of the end's, to the base of 36: appendix B, whose codes follow from their lengths."""

_END: Final = 256
_FAILED: Final = -1


class HpackError(ValueError):
    """What is no header block, or one beyond the bounds."""


Fields = dict[bytes, bytes]
"""By name, in lower case as HTTP/2 has them; of a name that comes twice the last."""


class Decoder:
    """Of one direction of a connection. `most`: bytes that its table may have: raised to what the other side allows."""

    def __init__(self) -> None:
        self.most = DEFAULT_TABLE
        self._entries: deque[tuple[bytes, bytes]] = deque()  # the newest first
        self._size, self._limit = 0, DEFAULT_TABLE

    def allow(self, size: int) -> None:
        """The other side takes a table of so many bytes."""
        self.most = max(self.most, min(size, MAX_TABLE))

    def decode(self, block: bytes, wanted: Collection[bytes]) -> Fields:
        """The fields of these names. Raises HpackError."""
        found: Fields = {}
        position, count = 0, 0
        try:
            while position < len(block):
                first = block[position]
                if first & 0x80:
                    index, position = _number(block, position, 7)
                    name, value = self._at(index)
                elif first & 0xE0 == 0x20:
                    size, position = _number(block, position, 5)
                    self._resize(size)
                    continue
                else:
                    kept = first & 0x40
                    index, position = _number(block, position, 6 if kept else 4)
                    if index:
                        name = self._at(index)[0]
                    else:
                        name, position = _text(block, position, MAX_TABLE if kept else REPEATED)
                    longest = MAX_TABLE if kept else LONGEST if name in wanted else 0
                    value, position = _text(block, position, longest)
                    if kept:
                        self._add(name, value)
                count += 1
                if count > MAX_FIELDS:
                    raise HpackError(f"a block has more than {MAX_FIELDS} fields")
                if name in wanted:
                    found[name] = value if len(value) <= LONGEST else b""
        except IndexError:
            raise HpackError("a block breaks off") from None
        return found

    def _at(self, index: int) -> tuple[bytes, bytes]:
        if not 0 < index <= len(_STATIC) + len(self._entries):
            raise HpackError(f"there is no field {index}")
        return _STATIC[index - 1] if index <= len(_STATIC) else self._entries[index - len(_STATIC) - 1]

    def _add(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + ENTRY
        self._entries.appendleft((name, value))
        self._evict()

    def _resize(self, size: int) -> None:
        if size > self.most:
            raise HpackError(f"a table of {size} bytes was not allowed")
        self._limit = size
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + ENTRY


def _number(block: bytes, position: int, bits: int) -> tuple[int, int]:
    """And where it ends: 5.1. Raises IndexError, HpackError."""
    most = (1 << bits) - 1
    found = block[position] & most
    position += 1
    if found < most:
        return found, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        found += (byte & 0x7F) << shift
        if byte < 0x80:
            return found, position
        shift += 7
        if found > _MAX_NUMBER or shift > 28:
            raise HpackError("a number is too large")


def _text(block: bytes, position: int, longest: int) -> tuple[bytes, int]:
    """And where it ends: 5.2. `longest`: bytes of a packed one that is unpacked; others are empty."""
    packed = block[position] & 0x80
    length, position = _number(block, position, 7)
    end = position + length
    if end > len(block):
        raise HpackError("a block breaks off")
    text = block[position:end]
    if packed and length > longest:
        text = b""
    elif packed:
        text = _remembered(text) if length <= REPEATED else unpacked(text)
    return text, end


def unpacked(text: bytes) -> bytes:
    """What is packed by the code of appendix B. Raises HpackError."""
    steps = _steps()
    found = bytearray()
    node = 0
    for byte in text:
        for half in (byte >> 4, byte & 15):
            node, symbol = steps[node][half]
            if symbol >= 0:
                found.append(symbol)
            elif node == _FAILED:
                raise HpackError("a text has a code that is none")
    if node not in _endings():
        raise HpackError("a text ends within a code")
    return bytes(found)


_remembered = lru_cache(maxsize=1024)(unpacked)


@lru_cache(maxsize=1)
def _tree() -> list[list[int]]:
    """Nodes with what follows a 0 and a 1: a node, or the complement of a symbol."""
    nodes = [[0, 0]]
    code = before = 0
    for length, symbol in sorted((int(digit, 36), symbol) for symbol, digit in enumerate(_LENGTHS)):
        code <<= length - before
        before, node = length, 0
        for bit in range(length - 1, 0, -1):
            side = code >> bit & 1
            if not nodes[node][side]:
                nodes.append([0, 0])
                nodes[node][side] = len(nodes) - 1
            node = nodes[node][side]
        nodes[node][code & 1] = ~symbol
        code += 1
    return nodes


@lru_cache(maxsize=1)
def _steps() -> list[list[tuple[int, int]]]:
    """From each node by each four bits: the node, and the symbol that ended, -1: none did. No code is shorter."""
    return [[_step(node, half) for half in range(16)] for node in range(len(_tree()))]


def _step(node: int, half: int) -> tuple[int, int]:
    ended = -1
    for bit in (3, 2, 1, 0):
        node = _tree()[node][half >> bit & 1]
        if node < 0:
            if ~node == _END:
                return _FAILED, -1
            ended, node = ~node, 0
    return node, ended


@lru_cache(maxsize=1)
def _endings() -> frozenset[int]:
    """Nodes at which a text may end: within the end's code, at most 7 bits."""
    nodes = [0]
    for _ in range(7):
        nodes.append(_tree()[nodes[-1]][1])
    return frozenset(nodes)
