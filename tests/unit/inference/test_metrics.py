"""The metrics as Prometheus reads them: the same as its own client's, with labels that nobody outside can multiply."""

import json
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from modelward_inference.serve.rest import Rest
from modelward_inference.serve.state import State
from modelward_inference.telemetry import metrics

from .grpc_api.served import Echo, Gate, data_plane
from .queueing import count
from .test_requests import call, good

OBSERVED = {
    ("m", 'with "quotes" \\ and\nlines'): [0.0, 0.0001, 0.00011, 0.3, 1, 2.5, 59.9, 60, 61, 300, 301, 1e6],
    ("m", "2"): [0.02] * 7,
    ("m", "never"): [],
}


@pytest.fixture(params=[metrics.SECONDS, metrics.SIZES])
def both(request: pytest.FixtureRequest) -> tuple[CollectorRegistry, CollectorRegistry]:
    """The same observations in our histogram and in Prometheus's own."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    fast = metrics.FastHistogram("test_seconds", "A test.", ("model", "version"), request.param)
    REGISTRY.unregister(fast)
    ours.register(fast)
    slow = Histogram("test_seconds", "A test.", ("model", "version"), registry=theirs, buckets=request.param)
    for labels, values in OBSERVED.items():
        series, other = fast.labels(*labels), slow.labels(*labels)
        for value in values:
            series.observe(value)
            other.observe(value)
    return ours, theirs


def samples(registry: CollectorRegistry) -> list[Sample]:
    """What a scrape reads, but when the series began."""
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert [family.type for family in families if not family.name.endswith("_created")] == ["histogram"]
    return [each for family in families for each in family.samples if not each.name.endswith("_created")]


def test_a_histogram_reads_as_prometheus_own(both: tuple[CollectorRegistry, CollectorRegistry]) -> None:
    ours, theirs = map(samples, both)
    assert len(ours) > 40
    assert ours == theirs


def test_the_bounds_of_times_rise_and_are_close_where_limits_are_set() -> None:
    pairs = list(pairwise(metrics.SECONDS))
    assert all(low < high for low, high in pairs)
    assert all(high <= 2 * low for low, high in pairs if 0.001 <= low < 3)


def test_labels_have_to_be_complete() -> None:
    with pytest.raises(ValueError, match="has the labels model, version"):
        metrics.QUEUE_SECONDS.labels("m")


def series() -> set[str]:
    return {
        f"{each.name}{sorted(each.labels.items())}"
        for family in text_string_to_metric_families(generate_latest().decode())
        for each in family.samples
        if family.name.startswith("modelward")
    }


async def test_nothing_that_a_client_sends_makes_a_series() -> None:
    app = Rest(data_plane(Echo()), State(), 10_000)
    body = json.dumps(good(id="an id")).encode()
    assert (await call(app, body))[0] == 200
    assert (await call(app, b"{"))[0] == 400
    before = series()
    assert any("'code', '400'" in each and "'protocol', 'rest'" in each for each in before)
    for number in range(20):
        name = f"strange-{number}"
        assert (await call(app, body, f"/{name}"))[0] == 404
        assert (await call(app, body, f"/v2/models/{name}/infer"))[0] == 404
        assert (await call(app, body, f"/v2/models/m/versions/{name}/infer"))[0] == 404
        assert (await call(app, body, x_request_id=name, host=name))[0] == 200
        assert (await call(app, json.dumps({"inputs": [], "id": name}).encode()))[0] == 400
    assert series() == before


async def test_each_answer_is_counted_under_its_code() -> None:
    gate = Gate()
    gate.open.set()
    plane = data_plane(gate)
    labels = {"model": "m", "version": "1", "protocol": "rest", "code": "200"}
    app = Rest(plane, State(), 10_000)
    body = json.dumps({"inputs": [{"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1, 2]}]}).encode()

    model = {"model": "m", "version": "1"}
    parts = ["queue_duration_seconds_count", "compute_duration_seconds_count", "batch_requests_sum", "batch_rows_sum"]
    before = [count("request_duration_seconds_count", **labels), *(count(part, **model) for part in parts)]
    assert (await call(app, body))[0] == 200
    after = [count("request_duration_seconds_count", **labels), *(count(part, **model) for part in parts)]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1, 1, 2]
