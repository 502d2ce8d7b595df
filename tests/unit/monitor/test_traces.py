"""Spans of the monitor, as values: which requests have one, where it stands, what it tells, and how often."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest

from modelward_inference.capture.requests import Requests
from modelward_inference.capture.wire import Batch
from modelward_inference.errors import InvalidConfiguration
from modelward_monitor import traces
from modelward_monitor.counting.counter import MAX_RUNS, Run, State
from modelward_monitor.traces import SpanCounts, Traces
from modelward_telemetry.exporter import CAPACITY
from modelward_telemetry.spans import CONSUMER, SERVER, Span
from modelward_telemetry.tracer import Tracer

from .worlds import batch

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
SECOND = 1_000_000_000

LOADED = """
import sys
from modelward_monitor import run
from modelward_monitor.settings import Settings
print(run._traces(Settings.from_environment(), logs=False))
heavy = ("modelward_telemetry.tracer", "modelward_telemetry.exporter", "fastapi")
print([name for name in sys.modules if name.startswith(heavy)])
"""


class World:
    """A monitor's traces at a time that the test sets, in seconds since the epoch; `spans`: what was made."""

    def __init__(self, share: float = 1.0) -> None:
        self.now = 100.0
        self.spans: list[Span] = []
        tracer = Tracer(self.spans.append, share)
        self.traces = Traces(tracer, SpanCounts(), "m-a", logs=True, clock=lambda: int(self.now * SECOND))

    @property
    def dropped(self) -> int:
        return self.traces.tally.counts()["dropped"]


def traced(number: int, told: Sequence[tuple[int, str]], epoch: str = "run", requests: int = 2) -> Batch:
    """A batch of two rows a request, all of which were answered at 97 seconds."""
    names = [f"q{number}-{index}" for index in range(requests)]
    whose = Requests(
        names, [None] * requests, ["stable"] * requests, [2] * requests, [0] * requests, [97.0] * requests,
        [0.1] * requests, told,
    )  # fmt: skip
    return replace(batch(number, 2 * requests, epoch), requests=whose)


def on_disk(**numbers: int) -> State:
    return State(epoch="e", runs={epoch: Run(number) for epoch, number in numbers.items()})


def test_a_request_that_is_kept_has_a_span_until_it_is_on_the_disk() -> None:
    world = World(share=0)  # the server has decided, not this sampler
    world.traces.came(traced(1, [(1, PARENT)]), on_disk())
    world.traces.came(traced(2, []), on_disk())
    world.traces.saved(on_disk(other=5))
    assert world.spans == []
    world.now = 101.5
    world.traces.saved(on_disk(run=2))
    (span,) = world.spans
    assert (span.name, span.trace_id, span.parent, span.kind) == ("observe", TRACE, SPAN, CONSUMER)
    assert span.span_id not in ("", SPAN)
    assert (span.begin, span.end) == (100 * SECOND, int(101.5 * SECOND))
    assert span.attributes == {
        "revision": "m-a", "request_id": "q1-1", "rows": 2, "batch_requests": 2, "delay_seconds": 3.0, "logged": True,
    }  # fmt: skip
    world.traces.saved(on_disk(run=3))
    assert len(world.spans) == 1


def test_a_batch_that_comes_again_has_its_spans_once() -> None:
    world = World()
    world.traces.came(traced(1, [(0, PARENT)]), on_disk())
    world.traces.came(traced(1, [(0, PARENT)]), on_disk())
    world.traces.saved(on_disk(run=1))
    world.traces.came(traced(1, [(0, PARENT)]), on_disk(run=1))
    world.traces.saved(on_disk(run=1))
    assert len(world.spans) == 1


def test_more_than_there_is_room_for_are_dropped_and_counted() -> None:
    world = World()
    many = [(index, PARENT) for index in range(CAPACITY + 5)]
    world.traces.came(traced(1, many, requests=CAPACITY + 5), on_disk())
    assert world.dropped == 5
    world.traces.saved(on_disk(run=1))
    assert len(world.spans) == CAPACITY
    world.traces.came(traced(2, [(0, PARENT)]), on_disk(run=1))
    world.traces.close()
    assert world.dropped == 6


def test_runs_of_a_server_that_never_come_to_the_disk_make_room() -> None:
    world = World()
    for number in range(MAX_RUNS + 3):
        world.traces.came(traced(1, [(0, PARENT)], f"run{number}"), on_disk())
    assert world.dropped == 3
    world.traces.saved(on_disk(**{f"run{number}": 1 for number in range(MAX_RUNS + 3)}))
    assert len(world.spans) == MAX_RUNS


@pytest.mark.parametrize(("status", "failed"), [(202, False), (400, False), (503, True)])
def test_outcomes_have_a_span_below_the_servers(status: int, failed: bool) -> None:
    world = World(share=0)
    world.traces.kept(PARENT, 99 * SECOND, status, 3)
    (span,) = world.spans
    assert (span.name, span.trace_id, span.parent, span.kind, span.failed) == ("keep", TRACE, SPAN, SERVER, failed)
    assert (span.begin, span.end) == (99 * SECOND, 100 * SECOND)
    assert span.attributes == {"revision": "m-a", "code": str(status), "outcomes": 3}


@pytest.mark.parametrize("trace", ["", "nonsense", PARENT[:-2] + "00"])
def test_outcomes_of_no_trace_that_is_kept_have_none(trace: str) -> None:
    world = World()
    world.traces.kept(trace, 99 * SECOND, 202, 3)
    assert world.spans == []


def test_nothing_asks_for_traces_or_can_not_be_used() -> None:
    assert traces.of_environment("m", environment={"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None
    with pytest.raises(InvalidConfiguration, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT"):
        traces.of_environment("m", environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"})


def test_what_is_not_asked_for_is_not_loaded() -> None:
    """Where traces are off: neither tracer nor exporter; nor what writes the page at /docs."""
    off = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    found = subprocess.run([sys.executable, "-c", LOADED], env=off, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["None", "[]"]
