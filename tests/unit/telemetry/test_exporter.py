"""Spans on their way: to a receiver that takes them, refuses them, or is away."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from modelward_telemetry import exporter
from modelward_telemetry.exporter import DROPPED, SENT, Exporter
from modelward_telemetry.spans import Span
from otlp import DEADLINE, Receiver

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Counted:
    """What became of spans; `wait` until there are so many."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._changed = threading.Condition()

    def __call__(self, result: str, spans: int) -> None:
        with self._changed:
            self.counts[result] += spans
            self._changed.notify_all()

    def wait(self, result: str, spans: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.counts[result] >= spans, DEADLINE), self.counts


def span(number: int) -> Span:
    return Span(f"span {number}", TRACE, f"{number + 1:016x}", 1, 2)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def exporter_to(endpoint: str, counted: Counted) -> Exporter:
    return Exporter(f"{endpoint}/v1/traces", {"x-key": "secret"}, {"service.name": "m"}, counted)


def test_they_arrive_in_order_with_the_headers(receiver: Receiver) -> None:
    counted = Counted()
    sending = exporter_to(receiver.endpoint, counted)
    sending.start()
    for number in range(3 * exporter.BATCH + 1):
        sending.put(span(number))
    found = receiver.wait_for("m", 3 * exporter.BATCH + 1)
    assert [each.name for each in found] == [f"span {number}" for number in range(3 * exporter.BATCH + 1)]
    assert {each["x-key"] for each in receiver.headers} == {"secret"}
    assert {each["content-type"] for each in receiver.headers} == {"application/x-protobuf"}
    sending.close()
    assert counted.counts == {SENT: 3 * exporter.BATCH + 1, DROPPED: 0}


def test_what_is_left_is_sent_at_the_end(receiver: Receiver) -> None:
    counted = Counted()
    sending = exporter_to(receiver.endpoint, counted)
    sending.put(span(0))
    sending.start()
    sending.close()
    assert len(receiver.spans("m")) == 1


def test_while_the_collector_is_away_a_bounded_number_waits_and_the_others_are_counted() -> None:
    counted = Counted()
    sending = exporter_to("http://127.0.0.1:1", counted)
    for number in range(exporter.CAPACITY + 7):
        sending.put(span(number))
    assert counted.counts == {DROPPED: 7}
    sending.start()
    sending.close()
    assert counted.counts[DROPPED] == exporter.CAPACITY + 7


@pytest.mark.parametrize("status", [400, 401, 302])
def test_what_a_collector_refuses_is_dropped_and_counted_and_it_goes_on(receiver: Receiver, status: int) -> None:
    counted = Counted()
    sending = exporter_to(receiver.endpoint, counted)
    receiver.status = status
    sending.start()
    sending.put(span(0))
    counted.wait(DROPPED, 1)
    receiver.status = 200
    sending.put(span(1))
    assert [each.name for each in receiver.wait_for("m", 1)] == ["span 1"]
    sending.close()


def test_one_that_is_overloaded_is_asked_again(receiver: Receiver) -> None:
    counted = Counted()
    sending = exporter_to(receiver.endpoint, counted)
    receiver.status = 503
    sending.start()
    sending.put(span(0))
    receiver.wait_asked(1)
    receiver.status = 200
    assert [each.name for each in receiver.wait_for("m", 1)] == ["span 0"]
    sending.close()
    assert counted.counts == {SENT: 1, DROPPED: 0}
