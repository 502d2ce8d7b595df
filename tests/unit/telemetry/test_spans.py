"""Spans on the wire, by OpenTelemetry's own messages; and who is kept."""

import random

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelward_telemetry.context import Context, read
from modelward_telemetry.spans import SERVER, Span, encode
from modelward_telemetry.tracer import Tracer
from otlp import attributes

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOLD = {"text": "ü\udc80\n", "no": False, "yes": True, "few": 0, "many": 2**40, "less": -3, "share": 0.1, "empty": ""}


def test_opentelemetry_reads_what_is_written() -> None:
    span = Span("infer", TRACE, SPAN, 1, 2**62, "00f067aa0ba902b7", SERVER, "vendor=1", TOLD, failed=True)
    first = Span("queue", TRACE, "0" * 15 + "1", 5, 5)
    request = ExportTraceServiceRequest.FromString(encode({"service.name": "m"}, [span, first]))
    (resource,) = request.resource_spans
    assert attributes(resource.resource) == {"service.name": "m"}
    (scope,) = resource.scope_spans
    told, bare = scope.spans
    assert (told.trace_id.hex(), told.span_id.hex(), told.parent_span_id.hex()) == (TRACE, SPAN, "00f067aa0ba902b7")
    assert (told.name, told.kind, told.trace_state) == ("infer", told.SPAN_KIND_SERVER, "vendor=1")
    assert (told.start_time_unix_nano, told.end_time_unix_nano) == (1, 2**62)
    assert told.status.code == told.status.STATUS_CODE_ERROR
    assert attributes(told) == {**TOLD, "text": "ü?\n"}
    assert (bare.parent_span_id, bare.trace_state, bare.kind) == (b"", "", bare.SPAN_KIND_INTERNAL)
    assert bare.status.code == bare.status.STATUS_CODE_UNSET


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"00-{TRACE}-{SPAN}-01", Context(TRACE, SPAN, True)), (f"00-{TRACE}-{SPAN}-00", Context(TRACE, SPAN, False)),
        (f"00-{TRACE}-{SPAN}-03", Context(TRACE, SPAN, True)),
        (f"01-{TRACE}-{SPAN}-01-more", Context(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-01-more", None), (f"ff-{TRACE}-{SPAN}-01", None), (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None), (f"00-{TRACE.upper()}-{SPAN}-01", None), (f"00-{TRACE}-{SPAN}-01\n", None),
        (f"00-{TRACE}-{SPAN}", None), ("", None), ("\u0660" * 55, None), (f" 00-{TRACE}-{SPAN}-01", None),
    ],
)  # fmt: skip
def test_a_clients_header(header: str, found: Context | None) -> None:
    assert read(header) == found


@pytest.mark.parametrize("state", ["a=1,b=2", "", "a\nb", "ü", "a" * 513])
def test_a_state_that_is_none_is_not_passed_on(state: str) -> None:
    context = read(f"00-{TRACE}-{SPAN}-01", state)
    assert context is not None
    assert context.state == (state if state == "a=1,b=2" else "")


def test_who_began_a_trace_decides_and_of_those_that_begin_here_a_share_is_kept() -> None:
    made: list[Span] = []
    tracer = Tracer(made.append, 0.25, bits=random.Random(7).getrandbits)
    kept = [tracer.begin(None) for _ in range(4000)]
    assert 800 < sum(each is not None for each in kept) < 1200
    for sampled in (True, False):
        at = tracer.begin(Context(TRACE, SPAN, sampled, "a=1"))
        assert (at is not None) is sampled
        assert at is None or (at.trace_id, at.state) == (TRACE, "a=1")


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_is_a_share_and_the_same_for_all_who_are_asked(share: float) -> None:
    here, there = (Tracer(lambda _: None, share, by_parent=False) for _ in range(2))
    seen = [Context(f"{1:016x}{number * 2**54:016x}", SPAN, False) for number in range(1024)]
    decided = [here.begin(each) is not None for each in seen]
    assert sum(decided) == 1024 * share
    assert decided == [there.begin(each) is not None for each in seen]
