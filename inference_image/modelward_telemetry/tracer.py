"""Which requests get a span, and the spans of one; switched on by OpenTelemetry's own variables.

Whoever began a trace decides whether it is kept; of those that begin here, a share is, by the trace's id, so that all
who are asked with it decide alike. Off is None: whoever makes spans compares with that, and does nothing else.
"""

import os
import random
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from modelward_telemetry.context import Context
from modelward_telemetry.exporter import Count, Exporter
from modelward_telemetry.spans import INTERNAL, Span, Value

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
ENDPOINTS: Final = (ENDPOINT, TRACES_ENDPOINT)
"""One of them switches traces on; the first is the address of all signals, to which a path is added."""

PATH: Final = "/v1/traces"

_SAMPLER: Final = "OTEL_TRACES_SAMPLER"
_BY_PARENT: Final = "parentbased_"
_BASES: Final = ("always_on", "always_off", "traceidratio")
_LOWER_BITS: Final = (1 << 64) - 1


class TracingError(ValueError):
    """A variable can't be used; the message names it, and what to write instead."""


class Tracer:
    """`put`: takes each span that has ended, from one thread; `share`: of the traces begun here that are kept, 0 to 1;
    `by_parent`: whether who is asked within a trace does what its beginner decided."""

    def __init__(
        self,
        put: Callable[[Span], None],
        share: float = 1.0,
        *,
        by_parent: bool = True,
        bits: Callable[[int], int] = random.getrandbits,
    ) -> None:
        self._put = put
        self._limit = int(share * (_LOWER_BITS + 1))
        self._by_parent = by_parent
        self._bits = bits

    def begin(self, parent: Context | None) -> Context | None:
        """The place of a span below `parent`, or of the first of a trace; None: it is not kept."""
        trace_id = parent.trace_id if parent is not None else f"{self._id(128):032x}"
        if parent is not None and self._by_parent:
            kept = parent.sampled
        else:
            kept = int(trace_id, 16) & _LOWER_BITS < self._limit
        return Context(trace_id, f"{self._id(64):016x}", True, parent.state if parent else "") if kept else None

    def below(self, parent: Context) -> Context:
        """The place of a span below one that is kept, as whoever made that has decided."""
        return Context(parent.trace_id, f"{self._id(64):016x}", True, parent.state)

    def end(
        self,
        at: Context,
        parent: Context | None,
        name: str,
        begin: int,
        end: int,
        attributes: Mapping[str, Value],
        *,
        kind: int = INTERNAL,
        failed: bool = False,
    ) -> None:
        """A span that `begin` gave a place. `begin`, `end`: nanoseconds since the epoch."""
        above = parent.span_id if parent is not None else ""
        self._put(Span(name, at.trace_id, at.span_id, begin, end, above, kind, at.state, attributes, failed))

    def part(self, whole: Context, name: str, begin: int, end: int) -> None:
        """A span inside another one."""
        self._put(Span(name, whole.trace_id, f"{self._id(64):016x}", begin, end, whole.span_id, state=whole.state))

    def _id(self, size: int) -> int:
        return self._bits(size) or 1


def from_environment(
    service: str, count: Count, environment: Mapping[str, str] = os.environ
) -> tuple[Tracer, Exporter] | None:
    """None where nothing asks for traces. `service`: OTEL_SERVICE_NAME goes before it; `count`: as Exporter has it.
    Raises TracingError."""
    address = _address(environment)
    if not address:
        return None
    share, by_parent = _sampling(environment)
    resource: dict[str, Value] = {"service.name": service, **_pairs(environment, "OTEL_RESOURCE_ATTRIBUTES")}
    if environment.get("OTEL_SERVICE_NAME"):
        resource["service.name"] = environment["OTEL_SERVICE_NAME"]
    headers = _pairs(environment, "OTEL_EXPORTER_OTLP_HEADERS")
    certificate = environment.get("OTEL_EXPORTER_OTLP_CERTIFICATE", "")
    try:
        exporter = Exporter(address, headers, resource, count, certificate)
    except OSError as error:
        raise TracingError(f"OTEL_EXPORTER_OTLP_CERTIFICATE: {certificate!r} can't be read: {error}") from None
    return Tracer(exporter.put, share, by_parent=by_parent), exporter


def _address(environment: Mapping[str, str]) -> str:
    own, shared = environment.get(TRACES_ENDPOINT, "").strip(), environment.get(ENDPOINT, "").strip()
    return checked(own, TRACES_ENDPOINT) if own else address_of(checked(shared, ENDPOINT)) if shared else ""


def address_of(endpoint: str) -> str:
    """Where spans go, by a collector's address of all signals."""
    return endpoint.rstrip("/") + PATH


def checked(text: str, name: str) -> str:
    """An address of OTLP over HTTP, as it was written in the variable `name`. Raises TracingError."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        whole = False
    if not whole or not text.isascii() or not text.isprintable() or " " in text:
        raise TracingError(f"{name} is no address of OTLP over HTTP; set it to one such as http://collector:4318")
    return text


def _sampling(environment: Mapping[str, str]) -> tuple[float, bool]:
    """The share, and whether a parent decides."""
    name = environment.get(_SAMPLER, "").strip() or f"{_BY_PARENT}always_on"
    base = name.removeprefix(_BY_PARENT)
    if base not in _BASES:
        raise TracingError(f"{_SAMPLER} is {name[:50]!r}; set it to {' or '.join(_BASES)}, or parentbased_ before one")
    text = environment.get(f"{_SAMPLER}_ARG", "").strip() or "1"
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise TracingError(f"{_SAMPLER}_ARG is {text[:50]!r}; set it to a share between 0 and 1")
    return {"always_on": 1.0, "always_off": 0.0}.get(base, share), name != base


def _pairs(environment: Mapping[str, str], variable: str) -> dict[str, str]:
    """`name=value,…`, percent-encoded. A value may be a secret: no message has it."""
    found = {}
    for each in filter(None, (part.strip() for part in environment.get(variable, "").split(","))):
        name, equals, value = each.partition("=")
        name, value = unquote(name.strip()), unquote(value.strip())
        if not equals or not name or not (name + value).isprintable() or not (name + value).isascii():
            raise TracingError(f"{variable} is not as name=value,name=value with printable characters")
        found[name] = value
    return found
