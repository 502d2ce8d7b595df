"""Text for a terminal of 100 columns. What others wrote is printed as text: no control character gets through.

Widths are those of cells: letters of East Asia take two.
"""

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

WIDTH: Final = 100
"""Columns, whatever reads it: a pipe gets what a terminal does."""

GAP: Final = "  "


def plain(value: str) -> str:
    """On one line, and nothing that a terminal takes for a command."""
    return "".join(each if each.isprintable() else " " for each in value)


def cells(text: str) -> int:
    """How many columns it takes."""
    return sum(0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF") for each in text)


def cut(value: str, room: int) -> str:
    """At most `room` columns of it, on one line; an ellipsis says that there is more."""
    shown = plain(value)
    if cells(shown) <= room:
        return shown
    while shown and cells(shown) > room - 1:
        shown = shown[:-1]
    return f"{shown}…"


def pad(text: str, columns: int) -> str:
    return text + " " * (columns - cells(text))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], most: Sequence[int]) -> list[str]:
    """Lines. `most`: columns of each; where they are not enough together, values that are longer are cut. Columns
    without any value are left out."""
    kept = [place for place, _ in enumerate(head) if any(row[place] for row in rows)]
    lines = [[plain(line[place] or "-") for place in kept] for line in (head, *rows)]
    room = [most[place] for place in kept]
    if sum(_widths(lines)) > sum(room):
        lines = [[cut(cell, columns) for cell, columns in zip(line, room, strict=True)] for line in lines]
    widths = _widths(lines)
    return [GAP.join(pad(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cells, column)) for column in zip(*lines, strict=True)]


def wrapped(text: str, indent: int, most: int = 0) -> Iterator[str]:
    """Lines of at most WIDTH columns, each indented. `most`: lines of it, 0 for all."""
    lines = [
        part for line in textwrap.wrap(plain(text), WIDTH - indent) or [""] for part in _fitting(line, WIDTH - indent)
    ]
    if most and len(lines) > most:
        lines = [*lines[: most - 1], cut(f"{lines[most - 1]} {lines[most]}", WIDTH - indent)]
    for line in lines:
        yield " " * indent + line


def labelled(name: str, values: str | Sequence[str] | None, wide: int) -> Iterator[str]:
    """A name at the left, `wide` columns, and one or more values beside it; nothing of what has none."""
    given = [values] if isinstance(values, str) else list(values or ())
    lines = [line.strip() for value in given if value for line in wrapped(value, wide + 4)]
    for number, line in enumerate(lines):
        yield f"  {pad(name if number == 0 else '', wide)}  {line}"


def _fitting(line: str, room: int) -> Iterator[str]:
    """textwrap counts letters, and not columns."""
    while cells(line) > room:
        end = len(line)
        while cells(line[:end]) > room:
            end -= 1
        yield line[:end]
        line = line[end:]
    yield line
