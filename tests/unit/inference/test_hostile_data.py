"""Data that is small as text, and must stay so: memory, depth, and what a message repeats of it."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from modelward_inference.artifact.arrays import DTYPES
from modelward_inference.protocol import codec
from modelward_inference.protocol.messages import RequestError
from modelward_inference.protocol.tensors import MAX_TENSORS, RAGGED

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
    shape = (2, COUNT) if where == "in a row" else (COUNT + 1,)
    tracemalloc.start()
    try:
        said = refusal(datatype, DATA[where], shape)
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


MANY = 200_000
MISSHAPEN = {
    "one null among numbers": ",".join(["null", *["1.5"] * MANY]),
    "rows of unequal length": ",".join([*["[1]"] * MANY, "[1,2]"]),
    "rows of one": ",".join(["[1]"] * MANY),
    "deep rows": ",".join(["[[[[1]]]]"] * MANY),
    "texts": ",".join(['""'] * MANY),
    "truths": ",".join(["true"] * MANY),
}


def asked(data: str, shape: Any, datatype: str = "FP64") -> tuple[Any, int]:
    """What becomes of a body, and the bytes that Python and numpy took meanwhile."""
    form = json.dumps({"name": "x", "datatype": datatype, "shape": shape, "data": []})[:-2]
    body = f'{{"inputs":[{form}{data}]}}]}}'.encode()
    outcome: Any
    tracemalloc.start()
    try:
        outcome = codec.decode(body, None).inputs[0].array
    except RequestError as error:
        outcome = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return outcome, peak


@pytest.mark.parametrize("case", MISSHAPEN)
def test_a_large_body_that_has_not_the_form_of_its_shape_is_refused_before_anything_is_built(case: str) -> None:
    said, peak = asked(MISSHAPEN[case], [1, 30])
    assert said.startswith("inputs[0] (x).data has " if "row" not in case else "inputs[0] (x).data is nested as ")
    assert peak < 100_000


@pytest.mark.parametrize("beside", ["", "null", '"text"', "true"])
def test_rows_of_unequal_length_are_refused_before_lists_are_made_of_them(beside: str) -> None:
    rows = MISSHAPEN["rows of unequal length"]
    said, peak = asked(f"{rows},[{beside}]" if beside else rows, [MANY + 1 + bool(beside), 1])
    assert said == "inputs[0] (x).data does not hold FP64 values: " + RAGGED
    assert peak < 20 * MANY  # the numbers in an array, while it grows; lists would take a hundred each


def test_null_among_numbers_costs_what_the_numbers_do() -> None:
    array, peak = asked(MISSHAPEN["one null among numbers"], [MANY + 1])
    assert np.isnan(array[0])
    assert (array[1:] == 1.5).all()
    assert peak < 100 * MANY


@pytest.mark.parametrize(
    ("data", "shape"), [([[[1, None], [2, 3]]], [1, 2, 2]), ([[], []], [2, 0]), ([[[]]], [1, 1, 0])]
)
def test_what_has_the_form_of_its_shape_is_read_as_before(data: Any, shape: Any) -> None:
    array, _ = asked(json.dumps(data)[1:-1], shape)
    np.testing.assert_array_equal(array, np.array(data, np.float64))


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_a_request_has_no_more_tensors_than_a_model_may_have(field: str) -> None:
    tensor = {"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}
    document = {"inputs": [tensor], field: [{**tensor, "name": str(number)} for number in range(MAX_TENSORS + 1)]}
    with pytest.raises(RequestError, match=f"^{field} has 10001 tensors; a request may have 10000$"):
        codec.decode(json.dumps(document).encode(), None)


def with_more(inside: str = "", beside: str = "") -> str:
    """A good request with more fields in its input, or beside the inputs."""
    return f'{{"inputs":[{{"name":"x","shape":[1],"datatype":"FP64","data":[1]{inside}}}]{beside}}}'


FIELDS, OBJECTS = ",".join(f'"{n}":1' for n in range(MANY)), ",".join(["{}"] * MANY)
ONES, NESTED = ",".join(["1"] * MANY), ",".join(["[[]]"] * (MANY // 3))
BESIDE: dict[str, tuple[str, str]] = {
    # name: (the body, a piece of what is said of it)
    "parameters": (with_more("", f',"parameters":{{{FIELDS}}}'), "parameters has too many values"),
    "a list in parameters": (with_more("", f',"parameters":{{"a":[{ONES}]}}'), "parameters has too many values"),
    "lists in a list": (with_more("", f',"parameters":{{"a":[{NESTED}]}}'), "parameters has too many values"),
    "a tensor's parameters": (with_more(f',"parameters":{{{FIELDS}}}'), "inputs[0].parameters has too many values"),
    "a tensor's unknown field": (with_more(f',"y":[{OBJECTS}]'), "inputs[0].y has too many values"),
    "an unknown field": (with_more("", f',"y":[{OBJECTS}]'), "y has too many values"),
    "fields": (with_more("", f",{FIELDS}"), "the body has 200001 fields"),
    "inputs twice": (with_more("", f',"inputs":[{OBJECTS}]'), "one of them twice"),
    "data twice": (with_more(f',"data":[{OBJECTS}]'), "inputs[0] has 5 fields, and one of them twice"),
}


@pytest.mark.parametrize("case", BESIDE)
@pytest.mark.parametrize("binary", [False, True], ids=["json", "head of a binary body"])
def test_much_beside_the_data_is_refused_before_objects_are_made_of_it(case: str, binary: bool) -> None:
    body, said = BESIDE[case]
    tracemalloc.start()
    try:
        with pytest.raises(RequestError) as caught:
            codec.decode(body.encode(), len(body) if binary else None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert said in str(caught.value)
    assert peak < 8 * len(body) + 10_000_000


def test_what_a_request_may_have_beside_its_data_is_taken() -> None:
    texts = ",".join(f'"{number}":"{number}"' for number in range(5_000))
    request = codec.decode(with_more("", f',"parameters":{{{texts}}}').encode(), None)
    assert len(request.parameters) == 5_000
