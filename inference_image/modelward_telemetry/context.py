"""Where a request stands in a trace, as W3C has it: https://www.w3.org/TR/trace-context.

Clients write these headers: what is not well formed is as if it were not there, and never an error.
"""

import re
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class Context:
    """A span of somebody. `trace_id`, `span_id`: 32 and 16 hexadecimal digits; `sampled`: whether who began the trace
    keeps it; `state`: of tracing systems, passed on as it came."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""


def written(context: Context) -> str:
    """As `traceparent`: what `read` reads, but for the state."""
    return f"00-{context.trace_id}-{context.span_id}-{_SAMPLED if context.sampled else 0:02x}"


def read(traceparent: str, tracestate: str = "") -> Context | None:
    """What the two headers say; None where they say nothing."""
    found = _PARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    state = tracestate if _STATE.fullmatch(tracestate) else ""
    return Context(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), state)
