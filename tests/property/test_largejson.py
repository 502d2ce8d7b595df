"""What the quick reader of large bodies takes, it takes as the ordinary one does; the rest it leaves to that one."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward_inference.protocol import codec, largejson
from modelward_inference.protocol.messages import InferRequest, RequestError

DATATYPES = ("FP32", "FP64", "INT64", "INT8", "UINT8", "BOOL", "BYTES", "FP16")

numbers = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.none(), st.booleans(),
    st.text(max_size=3),
)  # fmt: skip
plain = st.one_of(st.integers(-100, 100), st.floats(-1e3, 1e3))
leaves = st.one_of(plain, numbers)
nested = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4), max_leaves=12)
rows = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(plain, min_size=width, max_size=width), max_size=4))
data = st.one_of(st.lists(plain, max_size=8), rows, st.lists(nested, max_size=4), nested)
sizes = st.lists(st.integers(0, 6), max_size=3)


def shape_of(value: Any) -> Any:
    return list(np.shape(value)) if isinstance(value, list) else [1]


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    inputs = []
    for name in draw(st.lists(st.sampled_from(["a", "b", "["]), max_size=2)):
        content = draw(data)
        try:
            fitting = shape_of(content)
        except ValueError:
            fitting = [2]
        shape = draw(st.one_of(st.just(fitting), sizes))
        inputs.append({"name": name, "datatype": draw(st.sampled_from(DATATYPES)), "shape": shape, "data": content})
    extra = draw(st.dictionaries(st.sampled_from(["id", "outputs", "parameters", "x[]"]), nested, max_size=2))
    return {"inputs": inputs, **extra}


def outcome(body: bytes) -> InferRequest | str:
    try:
        return codec.decode(body, None)
    except RequestError as error:
        return str(error)


@pytest.fixture(autouse=True)
def every_body_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(largejson, "FROM", 0)


@given(documents())
def test_both_readers_agree(document: dict[str, Any]) -> None:
    try:
        body = orjson.dumps(document)
    except TypeError:  # an integer beyond 64 bits
        return
    quick = outcome(body)
    read, largejson.FROM = largejson.FROM, 1 << 62
    try:
        ordinary = outcome(body)
    finally:
        largejson.FROM = read
    assert type(quick) is type(ordinary), (quick, ordinary)
    if isinstance(quick, str) or isinstance(ordinary, str):
        assert quick == ordinary
        return
    assert (quick.id, quick.outputs, quick.parameters) == (ordinary.id, ordinary.outputs, ordinary.parameters)
    for one, other in zip(quick.inputs, ordinary.inputs, strict=True):
        assert (one.name, one.datatype, one.array.dtype) == (other.name, other.datatype, other.array.dtype)
        np.testing.assert_array_equal(one.array, other.array)


@given(st.binary(max_size=200))
def test_what_is_no_json_is_left_to_the_ordinary_reader(body: bytes) -> None:
    assert largejson.read(body) is None or isinstance(orjson.loads(body), dict)


@pytest.mark.parametrize("content", [[1.5, 2, 3, 4], [[1.5, 2], [3, 4]]])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_plain_numbers_are_taken(content: Any, datatype: str) -> None:
    body = orjson.dumps({"inputs": [{"name": "a", "datatype": datatype, "shape": [2, 2], "data": content}]})
    assert largejson.read(body) is not None
    (tensor,) = codec.decode(body, None).inputs
    assert tensor.array.tolist() == [[1.5, 2], [3, 4]]


ROWS = largejson.PIECE // 3
"""So many rows of one digit, with their brackets and commas, are more than one piece of a body."""


@pytest.mark.parametrize("last", [[[9]], [[[9]]]], ids=["rows", "one that is deeper"])
def test_brackets_are_counted_to_the_end_of_a_body(last: Any) -> None:
    content = [[1]] * ROWS + last
    body = orjson.dumps({"inputs": [{"name": "a", "datatype": "FP64", "shape": [ROWS + 1, 1], "data": content}]})
    assert len(body) > largejson.PIECE
    count = body.count(b"[")
    plain = last == [[9]]
    assert (largejson.read(body, lists=count) is not None) == plain
    assert largejson.read(body, lists=count - 1) is None


@pytest.mark.parametrize("content", [[[1, [2]]], [[[1], [2]]], [[1], [2, 3]], [1, None], ["1"], [True], [], {}, "1"])
def test_what_is_not_plain_is_left_to_the_ordinary_reader(content: Any) -> None:
    body = orjson.dumps({"inputs": [{"name": "a", "datatype": "FP64", "shape": [1, 2], "data": content}]})
    if ", but shape" in str(outcome(body)):  # it is refused before anything is made of it
        return
    read = largejson.read(body)
    assert read is None or read["inputs"][0]["data"].size == 0
