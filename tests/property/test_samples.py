"""What holds for whatever two servers are asked and answer: they keep the same requests, and not too much."""

from typing import Any

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelward_inference.artifact.arrays import DTYPES
from modelward_inference.telemetry.samples import CAPACITY, MAX_BYTES, MOST, Samples, compact

IDS = st.lists(st.uuids().map(lambda each: str(each).encode()) | st.binary(min_size=1), max_size=MOST, unique=True)
LEVELS = st.integers(0, 5)
TEXTS = hnp.arrays(object, hnp.array_shapes(max_dims=2), elements=st.text(max_size=80) | st.binary(max_size=300))
NUMBERS = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12).flatmap(
    lambda shape: st.sampled_from([dtype for dtype in DTYPES.values() if dtype.kind != "O"]).flatmap(
        lambda dtype: hnp.arrays(dtype, shape)
    )
)
OUTPUTS = st.dictionaries(st.text(max_size=5), NUMBERS | TEXTS, max_size=3)
ANSWERS = OUTPUTS | st.none()


def kept(ids: list[bytes], level: int, answers: list[Any]) -> dict[str, Any]:
    """What a server at a level keeps, by id. Time stands still, and so does the level."""
    made = Samples(level, clock=lambda: 0.0)
    made.page(0)
    for number, each in enumerate(ids):
        made.take(each, 500, answers[number % len(answers)])
    page = orjson.loads(orjson.dumps(made.page(0)))
    assert page["level"] == level
    return {sample["id"]: sample for sample in page["samples"]}


@given(IDS, LEVELS, LEVELS)
def test_servers_at_different_levels_share_what_the_higher_one_keeps(ids: list[bytes], one: int, other: int) -> None:
    first, second = kept(ids, one, [None]), kept(ids, other, [None])
    higher, lower = (first, second) if one >= other else (second, first)
    assert first.keys() & second.keys() == higher.keys()
    limit = 2 ** (32 - max(one, other))
    assert higher.keys() == {key for key, sample in lower.items() if sample["hash"] < limit}
    assert len(kept(ids, 0, [None])) == len(ids)


@given(IDS, LEVELS, st.lists(ANSWERS, min_size=1, max_size=3), st.lists(ANSWERS, min_size=1, max_size=3))
def test_the_choice_does_not_depend_on_the_answers(ids: list[bytes], level: int, some: Any, others: Any) -> None:
    assert list(kept(ids, level, some)) == list(kept(ids, level, others))


@given(OUTPUTS)
def test_every_output_can_be_kept_and_says_what_the_answer_said(outputs: dict[str, Any]) -> None:
    found = orjson.loads(orjson.dumps(compact(outputs)))
    for name, rows in found.items():
        array = outputs[name]
        flat = [value for row in rows for value in (row if isinstance(row, list) else [row])]
        assert len(rows) == (min(len(array), 8) if array.ndim else 1)
        if array.dtype.kind == "f":
            width = int(np.prod(array.shape[1:])) if array.ndim else 1
            given = [float(each) for row in array.reshape(-1, width)[:8] for each in row[:8]] if array.size else []
            assert [value is None for value in flat] == [not np.isfinite(each) for each in given]
            numbers = [(value, each) for value, each in zip(flat, given, strict=True) if value is not None]
            assert all(abs(value - each) <= 5e-6 * abs(each) for value, each in numbers)
        elif array.dtype.kind != "O" and array.ndim <= 1:
            assert flat == array.ravel()[:8].tolist()


@given(st.lists(st.tuples(st.floats(0, 2), st.binary(max_size=3), ANSWERS), max_size=60), st.integers(0, 40))
def test_there_are_never_too_many(happens: list[tuple[float, bytes, Any]], after: int) -> None:
    now = [0.0]
    made = Samples(clock=lambda: now[0])
    for passed, request_id, answer in happens:
        now[0] += passed
        made.take(request_id, 200, answer)
        page = made.page(after)
        assert len(page["samples"]) <= CAPACITY
        assert made.size <= MAX_BYTES
        assert 0 <= made.level <= 32
        assert page["next"] >= len(page["samples"])
