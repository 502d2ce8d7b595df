"""How far reading is, on stderr: a bar where people look, else a line now and then."""

import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO

from modelward_inference.reference.source import Chunk

BAR: Final = 24
"""Characters."""

BETWEEN_BARS, BETWEEN_LINES = 0.1, 10.0
"""Seconds."""


class Progress:
    """`clock`: seconds from any zero."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._bar = stream.isatty()

    def over(self, chunks: Iterator[Chunk], title: str) -> Iterator[Chunk]:
        """The chunks, and reports of those that were worked on."""
        begun = told = self._clock()
        rows, done = 0, None
        for chunk in chunks:
            yield chunk
            rows, done = rows + chunk.rows, chunk.done
            now = self._clock()
            if now - told >= (BETWEEN_BARS if self._bar else BETWEEN_LINES):
                told = now
                self._tell(line(title, rows, done, now - begun), last=False)
        self._tell(line(title, rows, 1.0, self._clock() - begun), last=True)

    def _tell(self, text: str, *, last: bool) -> None:
        if self._bar:  # \x1b[K clears what a longer line left
            self._stream.write(f"\r{text}\x1b[K" + "\n" * last)
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def line(title: str, rows: int, done: float | None, seconds: float) -> str:
    """`done`: up to 1; None: nobody knows."""
    speed = f", {rows / seconds:,.0f} rows/s" if seconds > 0 else ""
    if done is None:
        return f"{title}: {rows:,} rows{speed}"
    full = round(min(done, 1.0) * BAR)
    left = f", {seconds / done - seconds:.0f} s left" if 0.02 < done < 1 else ""
    return f"{title} [{'#' * full}{'.' * (BAR - full)}] {100 * min(done, 1.0):.0f} %, {rows:,} rows{speed}{left}"
