"""Which of an ONNX graph's inputs and outputs are scalars, and which may have any rank: its file alone tells.

onnxruntime shows both as a shape of no dimensions. In the file the one has a shape without dimensions, the other none.
The file is read as protobuf lays it out, field by field, and only these few fields are: weights are stepped over.
Failure: what can't be read has no known rank, so that nobody is refused for it.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

_MODEL_GRAPH, _GRAPH_INPUT, _GRAPH_OUTPUT = 7, 11, 12
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE = 1, 2, 1, 2
"""Numbers of fields in onnx.proto."""

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
"""Protobuf's kinds of fields."""

Span = tuple[int, int]
"""Where a message begins and ends in the file."""


def ranked(path: Path) -> frozenset[str]:
    """Names of the graph's inputs and outputs whose shape is given, if only as a scalar's."""
    found: set[str] = set()
    try:
        with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for graph in _messages(content, (0, len(content)), _MODEL_GRAPH):
                for side in (_GRAPH_INPUT, _GRAPH_OUTPUT):
                    for value in _messages(content, graph, side):
                        if _has_shape(content, value):
                            found |= {_text(content, name) for name in _messages(content, value, _VALUE_NAME)}
    except (ValueError, IndexError):
        return frozenset()
    return frozenset(found)


def _has_shape(content: mmap.mmap, value: Span) -> bool:
    return any(
        True
        for kind in _messages(content, value, _VALUE_TYPE)
        for tensor in _messages(content, kind, _TYPE_TENSOR)
        for _ in _messages(content, tensor, _TENSOR_SHAPE)
    )


def _messages(content: mmap.mmap, span: Span, wanted: int) -> Iterator[Span]:
    """The fields of that number. Raises ValueError and IndexError where it is no protobuf."""
    at, end = span
    while at < end:
        key, at = _varint(content, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            _, at = _varint(content, at)
        elif kind in (_FIXED_32, _FIXED_64):
            at += 4 if kind == _FIXED_32 else 8
        elif kind == _BYTES:
            size, at = _varint(content, at)
            if at + size > end:
                raise ValueError("a field ends behind its message")
            if number == wanted:
                yield at, at + size
            at += size
        else:
            raise ValueError(f"protobuf has no kind {kind} of fields")


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number has more than ten bytes")


def _text(content: mmap.mmap, span: Span) -> str:
    return content[span[0] : span[1]].decode(errors="replace")
