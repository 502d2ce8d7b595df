"""Samples of answers: what is kept of one, when, how many; how they are asked for; and that they harm nobody."""

import logging
from typing import Any
from unittest import mock

import numpy as np
import orjson
import pytest

from modelward_inference.serve.rest import Rest
from modelward_inference.serve.state import State
from modelward_inference.telemetry import samples
from modelward_inference.telemetry.samples import (
    ASKED_FOR,
    CAPACITY,
    FEWEST,
    MAX_BYTES,
    MOST,
    PAGE,
    TEXT,
    Samples,
    compact,
)

from .grpc_api.served import Echo, data_plane
from .queueing import count
from .test_requests import call, good

LABELS = {"predict": np.array([1, 0])}


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def active(clock: Clock | None = None) -> Samples:
    """Somebody has asked."""
    made = Samples(clock=clock or Clock())
    made.page(0)
    return made


def taken(made: Samples, after: int = 0) -> list[dict[str, Any]]:
    """What a page holds, as it is sent."""
    found: list[dict[str, Any]] = orjson.loads(orjson.dumps(made.page(after)))["samples"]
    return found


NAN = float("nan")
KEPT: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "labels": ({"y": np.array([1, 0])}, {"y": [1, 0]}),
    "truths": ({"y": np.array([[True], [False]])}, {"y": [[True], [False]]}),
    "large numbers": ({"y": np.array([2**64 - 1], np.uint64)}, {"y": [2**64 - 1]}),
    "texts": ({"y": np.array(["a", b"\xc3\xbc", b"\xff", ""], object)}, {"y": ["a", "ü", "�", ""]}),
    "numpy's texts": ({"y": np.array([["a", "bc"]])}, {"y": [["a", "bc"]]}),
    "a long text": ({"y": np.array(["ü" * 9999], object)}, {"y": ["ü" * TEXT]}),
    "long bytes": ({"y": np.array(["\U0001f600".encode() * 9999], object)}, {"y": ["\U0001f600" * TEXT]}),
    "floats": ({"p": np.array([0.1, 1234567.8, 1e-9, NAN, -np.inf])}, {"p": [0.1, 1234570, 1e-9, None, None]}),
    "small floats": ({"p": np.array([[0.1, 0.9]], np.float32)}, {"p": [[0.1, 0.9]]}),
    "half floats": ({"p": np.array([1 / 3], np.float16)}, {"p": [0.333252]}),
    "decisions before floats": ({"p": np.ones((1, 2)), "y": np.array([1])}, {"y": [1]}),
    "several decisions": ({"y": np.array([1]), "t": np.array(["a"])}, {"y": [1], "t": ["a"]}),
    "several floats": ({"a": np.zeros(1), "b": np.zeros(1)}, {"a": [0.0], "b": [0.0]}),
    "many rows": ({"y": np.arange(100)}, {"y": list(range(8))}),
    "wide floats": ({"p": np.zeros((9, 99))}, {"p": [[0.0] * 8] * 8}),
    "wide texts": ({"p": np.full((9, 99), "a", object)}, {"p": [["a"] * 8] * 8}),
    "wide numbers": ({"y": np.zeros((9, 99), int)}, {"y": [[0] * 64] * 8}),
    "many dimensions": ({"y": np.arange(24).reshape(2, 3, 2, 2)}, {"y": [[*range(12)], [*range(12, 24)]]}),
    "against the order of memory": ({"y": np.arange(4).reshape(2, 2).T}, {"y": [[0, 2], [1, 3]]}),
    "no dimension": ({"y": np.array(7)}, {"y": [7]}),
    "no rows": ({"y": np.zeros((0, 3), int)}, {"y": []}),
    "rows of nothing": ({"y": np.zeros((2, 0), int)}, {"y": [[], []]}),
    "many outputs": ({f"y{i}": np.array([i]) for i in range(20)}, {f"y{i}": [i] for i in range(8)}),
    "no outputs": ({}, {}),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_is_kept_of_an_answer(case: str) -> None:
    outputs, kept = KEPT[case]
    assert orjson.loads(orjson.dumps(compact(outputs))) == kept
    made = active()
    made.take(b"id", 200, outputs)
    assert [(sample["outputs"], sample["error"]) for sample in taken(made)] == [(kept, None)]


def test_a_sample_names_the_request_but_not_by_its_id() -> None:
    made = active()
    made.take(b"3f2a-1", 200, LABELS)
    made.take(b"3f2a-2", "INTERNAL")
    made.take(b"", 200, LABELS)
    made.take(b"3f2a-1", 503)
    first, second, third = taken(made)
    outputs = {"predict": [1, 0]}
    assert first == {"seq": 1, "hash": 1201511845, "id": "db5969d4acb25214", "outputs": outputs, "error": None}
    assert (second["seq"], second["outputs"], second["error"]) == (2, None, "INTERNAL")
    assert (third["id"], third["error"]) == (first["id"], "503")
    assert second["id"] != first["id"]


def test_nothing_is_kept_unless_somebody_has_asked_within_the_last_minute(clock: Clock) -> None:
    made = Samples(clock=clock)
    assert not made.active
    made.page(0)
    assert made.active
    clock.now += ASKED_FOR
    made.take(b"in time", 200, LABELS)
    assert made.active
    clock.now += 0.001
    made.take(b"too late", 200, LABELS)
    assert not made.active
    assert len(taken(made)) == 1
    assert made.active
    made.take(b"again", 200, LABELS)
    assert [sample["seq"] for sample in taken(made)] == [1, 2]


@pytest.mark.parametrize("rate", [1, 40, 300, 3000, 30_000])
def test_samples_come_neither_too_fast_nor_too_slowly(clock: Clock, rate: int) -> None:
    made = active(clock)
    kept: list[int] = []
    for second in range(10):
        before = count("samples_total")
        for number in range(rate):
            clock.now += 1 / rate
            made.take(b"%d-%d" % (second, number), 200, LABELS)
        kept.append(int(count("samples_total") - before))
    most = 2 * MOST  # the level may rise within a second
    assert max(kept[1:]) <= most
    assert min(kept[-3:]) >= min(rate, FEWEST)
    assert kept[0] <= MOST * (made.level + 1)
    for number in range(made.level + 1):  # once it is quiet the level falls, even if nothing is kept
        clock.now += 1
        made.take(b"quiet-%d" % number, 200, LABELS)
    assert made.level == 0


def test_the_level_rests_where_the_rate_is_steady(clock: Clock) -> None:
    made = active(clock)
    levels = []
    for second in range(30):
        for number in range(1000):
            clock.now += 0.001
            made.take(b"%d-%d" % (second, number), 200, LABELS)
        levels.append(made.level)
    assert len(set(levels[3:])) == 1


def test_the_level_has_its_limits(clock: Clock) -> None:
    made = Samples(level=32, clock=clock)
    made.page(0)
    with mock.patch.object(samples, "crc32", return_value=0):
        for _ in range(MOST + 1):
            made.take(b"id", 200, LABELS)
    assert made.level == 32


def test_pages_follow_one_another_and_what_is_lost_is_seen(clock: Clock) -> None:
    made = active(clock)
    with mock.patch.object(samples, "MOST", CAPACITY * 2):
        for number in range(CAPACITY + 10):
            made.take(b"%d" % number, 200, LABELS)
    found, after, sizes = [], 0, []
    while page := taken(made, after):
        sizes.append(len(page))
        found += [sample["seq"] for sample in page]
        after = made.page(after)["next"]
    assert sizes == [PAGE, PAGE, CAPACITY - 2 * PAGE]
    assert found == list(range(11, CAPACITY + 11))
    assert after == CAPACITY + 10
    assert [sample["seq"] for sample in taken(made, after - 2)] == [after - 1, after]


@pytest.mark.parametrize("after", [3, 4, 10**18])
def test_who_asks_beyond_the_end_is_told_where_it_is(after: int) -> None:
    made = active()
    for number in range(3):
        made.take(b"%d" % number, 200, LABELS)
    page = made.page(after)
    assert (page["samples"], page["next"]) == ([], 3)


def test_large_samples_are_bounded_in_bytes() -> None:
    made = active()
    wide = {f"y{i}": np.full((8, 8), "\1" * TEXT, object) for i in range(8)}
    for number in range(50):
        made.take(b"%d" % number, 200, wide)
        assert 0 < made.size <= MAX_BYTES
    assert 0 < len(taken(made)) < 50
    assert taken(made)[-1]["seq"] == 50
    made.take(b"small", 200, LABELS)
    assert made.size == sum(len(orjson.dumps(sample)) for sample in taken(made))


def test_another_process_is_another_epoch() -> None:
    assert len({Samples().epoch for _ in range(100)}) == 100


async def test_a_failure_harms_no_request_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    plane = data_plane(Echo())
    app = Rest(plane, State(), 10_000)
    plane.samples.page(0)
    errors = count("sample_errors_total")
    body = orjson.dumps(good())
    with mock.patch.object(samples, "compact", side_effect=MemoryError), caplog.at_level(logging.ERROR):
        for number in range(3):
            assert (await call(app, body, x_request_id=f"bad-{number}"))[0] == 200
    assert count("sample_errors_total") == errors + 3
    assert len(caplog.records) == 1
    assert (await call(app, body, x_request_id="fine"))[0] == 200
    assert [sample["seq"] for sample in taken(plane.samples)] == [1]
