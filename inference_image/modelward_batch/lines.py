"""A CSV file in pieces that end where a row does: at a line's end outside of quotes. Pure but for what it reads.

Invariant: the pieces are all bytes, in order, however many are read at a time, and wherever reading begins at a row.
"""

from collections.abc import Callable, Iterator
from typing import Final

from modelward_batch.errors import Incurable

PIECE: Final = 4 << 20
"""Bytes that are read at a time."""

LONGEST: Final = 64 << 20
"""Bytes of a row; more is a quote that nobody closes, and would fill the memory."""


def pieces(read: Callable[[int], bytes], size: int, where: str, piece: int = PIECE) -> Iterator[bytes]:
    """`read`: gives the next bytes, of `size` in all, none when there are no more. Raises Incurable."""
    carried, left = b"", size
    while left:
        content = read(min(piece, left))
        if not content:
            raise Incurable(f"{where}: the file ends {left} bytes too early; write it again")
        left -= len(content)
        held = carried + content
        if not left and held.count(b'"') % 2:
            raise Incurable(
                f"{where}: a quotation mark is never closed, so that nobody can tell where rows end; write the file "
                "again, with quotes around values that have quotes in them"
            )
        cut = last_end(held) if left else len(held)
        if not cut and len(held) > LONGEST:
            raise Incurable(
                f"{where}: a row has more than {LONGEST >> 20} MB, as where a quotation mark is never closed; write "
                "the file again"
            )
        if cut:
            yield held[:cut]
        carried = held[cut:]


def last_end(held: bytes) -> int:
    """Behind the last line's end that is outside of quotes; 0 where there is none. `held` begins outside of them."""
    at = held.rfind(b"\n")
    quotes = held.count(b'"', 0, at + 1)
    while at >= 0 and quotes % 2:
        before = held.rfind(b"\n", 0, at)
        quotes -= held.count(b'"', before + 1, at + 1)
        at = before
    return at + 1


def first_end(held: bytes) -> int:
    """Behind the first one; 0 where there is none."""
    at, quotes, begin = held.find(b"\n"), 0, 0
    while at >= 0:
        quotes += held.count(b'"', begin, at)
        if quotes % 2 == 0:
            return at + 1
        begin, at = at + 1, held.find(b"\n", at + 1)
    return 0
