"""Spans as values, and as the bytes of OTLP: https://github.com/open-telemetry/opentelemetry-proto, trace/v1.

Written by hand, since it is one message of few fields: a library for it would cost each process some 15 MB.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from struct import pack
from typing import Final

Value = str | bool | int | float

INTERNAL: Final = 1
SERVER: Final = 2
CONSUMER: Final = 5
"""Kinds of spans: SpanKind."""

_ERROR: Final = 2
"""StatusCode."""

_SCOPE: Final = "modelward"
_ALL_BITS: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time. `parent`: the id of the span around it, empty for the first of a trace; `state`:
    tracestate; `begin`, `end`: nanoseconds since the epoch; `failed`: by the fault of who made it."""

    name: str
    trace_id: str
    span_id: str
    begin: int
    end: int
    parent: str = ""
    kind: int = INTERNAL
    state: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    failed: bool = False


def encode(resource: Mapping[str, Value], spans: Iterable[Span]) -> bytes:
    """An ExportTraceServiceRequest. `resource`: who made them."""
    scope = _bytes(1, _text(1, _SCOPE)) + b"".join(_bytes(2, _span(each)) for each in spans)
    return _bytes(1, _bytes(1, _attributes(1, resource)) + _bytes(2, scope))


def _span(span: Span) -> bytes:
    return b"".join((
        _bytes(1, bytes.fromhex(span.trace_id)),
        _bytes(2, bytes.fromhex(span.span_id)),
        _text(3, span.state) if span.state else b"",
        _bytes(4, bytes.fromhex(span.parent)) if span.parent else b"",
        _text(5, span.name),
        _number(6, span.kind),
        _fixed(7, span.begin),
        _fixed(8, span.end),
        _attributes(9, span.attributes),
        _bytes(15, _number(3, _ERROR)) if span.failed else b"",
    ))  # fmt: skip


def _attributes(number: int, values: Mapping[str, Value]) -> bytes:
    return b"".join(_bytes(number, _text(1, name) + _bytes(2, _value(value))) for name, value in values.items())


def _value(value: Value) -> bytes:
    if isinstance(value, bool):
        return _number(2, int(value))
    if isinstance(value, int):
        return _number(3, value)
    return _varint(4 << 3 | 1) + pack("<d", value) if isinstance(value, float) else _text(1, value)


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode(errors="replace"))


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _fixed(number: int, value: int) -> bytes:
    return _varint(number << 3 | 1) + pack("<Q", value)


def _varint(value: int) -> bytes:
    """Negative numbers as two's complement of 64 bits, as int64 has them."""
    value &= _ALL_BITS
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
