"""Data that is small as text, and must stay so: memory, depth, and what a message repeats of it."""

import json
import tracemalloc
from typing import Any

import pytest

from modelward_inference import codec
from modelward_inference.protocol import RequestError
from modelward_inference.runtimes.base import DTYPES

NUMERIC = [name for name in DTYPES if name != "BYTES"]
TEXT, COUNT = "x" * 10_000, 5_000
ROOM = 2 << 20
"""Bytes to read 20 KB with; numpy would take 200 MB for numbers that it keeps as texts."""

DATA: dict[str, Any] = {
    "first": [TEXT, *[1] * COUNT],
    "last": [*[1] * COUNT, TEXT],
    "in a row": [[1] * COUNT, [TEXT, *[1] * (COUNT - 1)]],
    "among truths": [*[True] * COUNT, TEXT],
}


def refusal(datatype: str, data: Any, shape: Any = (1,)) -> str:
    body = json.dumps({"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]}).encode()
    with pytest.raises(RequestError) as caught:
        codec.decode(body, None)
    return str(caught.value)


@pytest.mark.parametrize("where", DATA)
@pytest.mark.parametrize("datatype", NUMERIC)
def test_a_long_text_among_numbers_costs_its_own_room_only(datatype: str, where: str) -> None:
    tracemalloc.start()
    try:
        said = refusal(datatype, DATA[where])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert said.startswith(f"inputs[0] (x).data does not hold {datatype} values: found xxx")
    assert len(said) < 500
    assert peak < ROOM


@pytest.mark.parametrize("depth", [31, 33, 64, 65, 900])
@pytest.mark.parametrize("datatype", DTYPES)
@pytest.mark.parametrize("inner", [None, {}, "a", 1, True])
def test_data_of_any_depth_is_refused_in_a_sentence(datatype: str, inner: Any, depth: int) -> None:
    data = inner
    for _ in range(depth):
        data = [data]
    assert "inputs[0] (x).data" in refusal(datatype, data)


def test_a_message_repeats_little_of_a_long_list() -> None:
    assert len(refusal("FP32", [1], ["a" * 1000] * 1000)) < 500
