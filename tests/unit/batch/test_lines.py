"""Pieces of a CSV file are all of it, and each begins with a row."""

import csv
import io
import random

import pytest

from modelward_batch import lines
from modelward_batch.errors import Incurable

ALPHABET = ["a", "7", ",", "\n", "\r\n", '"', "é", " "]


def drawn(seed: int) -> bytes:
    """A file with all that makes rows hard to tell apart, as Python's writer has it."""
    chance = random.Random(seed)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator=chance.choice(["\n", "\r\n"]))
    for _ in range(chance.randrange(1, 40)):
        writer.writerow(["".join(chance.choices(ALPHABET, k=chance.randrange(6))) for _ in range(3)])
    text = buffer.getvalue()
    return (text if chance.random() < 0.7 else text.rstrip("\r\n")).encode()


def rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


@pytest.mark.parametrize("seed", range(60))
def test_each_piece_is_whole_rows_and_together_they_are_the_file(seed: int) -> None:
    content = drawn(seed)
    for piece in (1, 7, 64, 10_000):
        read = io.BytesIO(content).read
        found = list(lines.pieces(read, len(content), "f", piece))
        assert b"".join(found) == content
        assert [row for each in found for row in rows(each)] == rows(content)


def test_the_first_line_may_have_line_ends_in_quotes() -> None:
    assert lines.first_end(b'"a\nb",c\n1,2\n') == 8
    assert lines.first_end(b'"a\nb",c') == 0


@pytest.mark.parametrize(("content", "size", "words"), [
    (b'a,"b\nc,d\n', 9, "a quotation mark is never closed"),
    (b"a,b\n", 10, "the file ends 6 bytes too early"),
])  # fmt: skip
def test_what_can_not_be_told_apart_is_refused(content: bytes, size: int, words: str) -> None:
    with pytest.raises(Incurable, match=f"f: {words}"):
        list(lines.pieces(io.BytesIO(content).read, size, "f", 4))


def test_a_row_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 1 << 20)
    read = 0

    def endless(size: int) -> bytes:
        nonlocal read
        read += size
        return b"x" * size

    with pytest.raises(Incurable, match="a row has more than 1 MB"):
        list(lines.pieces(endless, 1 << 40, "f", 1 << 18))
    assert read <= 2 << 20
