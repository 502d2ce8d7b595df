"""What holds for every tensor and every body."""

import contextlib
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelward_inference.artifact.arrays import DTYPES, datatype_of
from modelward_inference.protocol import codec
from modelward_inference.protocol.messages import InferRequest, InferResponse, RequestError

NUMERIC = [name for name in DTYPES if name != "BYTES"]
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    dtype = DTYPES[draw(st.sampled_from(NUMERIC))]
    # JSON has no infinities; NaN comes back as NaN by way of null.
    floats = {"allow_infinity": False, "allow_nan": True} if dtype.kind == "f" else {}
    elements = hnp.from_dtype(dtype, **floats)
    return draw(hnp.arrays(dtype, draw(SHAPES), elements=elements))


TEXTS = st.lists(st.text(), max_size=6).map(lambda texts: np.array([*texts, None], dtype=object)[:-1])


def sent_back(array: Any, binary: bool) -> Any:
    """Encode as an output, and decode the same bytes as an input."""
    body, length = codec.encode(InferResponse("m", "1", {"x": array}), InferRequest((), binary_output=binary))
    document = orjson.loads(body if length is None else body[:length])
    request = orjson.dumps({"inputs": document["outputs"]})
    tail = b"" if length is None else body[length:]
    return codec.decode(request + tail, len(request) if tail or binary else None).inputs[0].array


@example(np.array([0, 2**63], dtype=np.uint64), False)
@example(np.array([[2**64 - 1, 1]], dtype=np.uint64), False)
@given(st.one_of(tensors(), TEXTS), st.booleans())
def test_a_tensor_comes_back_as_it_went(array: Any, binary: bool) -> None:
    back = sent_back(array, binary)
    assert datatype_of(back) == datatype_of(array)
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def decodes_or_explains(body: bytes, length: int | None) -> None:
    with contextlib.suppress(RequestError):
        codec.decode(body, length)


@given(st.binary(max_size=300), st.none() | st.integers(-5, 400))
def test_no_bytes_are_an_internal_error(body: bytes, length: int | None) -> None:
    decodes_or_explains(body, length)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e300, 1e300) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip
INPUT = st.fixed_dictionaries(
    {
        "name": st.just("x") | JSON,
        "datatype": st.sampled_from(list(DTYPES)),
        "shape": st.lists(st.integers(0, 4)) | JSON,
    },
    optional={"data": JSON, "parameters": JSON | st.fixed_dictionaries({"binary_data_size": JSON})},
)  # fmt: skip


@settings(max_examples=300)
@given(st.fixed_dictionaries({"inputs": st.lists(INPUT, max_size=2) | JSON}, optional={"outputs": JSON, "id": JSON}))
def test_no_document_is_an_internal_error(document: Any) -> None:
    try:
        body = orjson.dumps(document)
    except TypeError:
        return  # beyond 64 bits: no JSON that orjson writes
    decodes_or_explains(body, None)


EVERY = {name: hnp.arrays(DTYPES[name], SHAPES) for name in NUMERIC}
ELEMENTS = st.lists(st.text() | st.binary(max_size=8), max_size=6)


@pytest.mark.parametrize("name", NUMERIC)
@given(st.data())
def test_binary_tensors_keep_every_bit(name: str, data: st.DataObject) -> None:
    array = data.draw(EVERY[name])
    assert sent_back(array, binary=True).tobytes() == array.tobytes()


@given(ELEMENTS)
def test_binary_texts_may_be_any_bytes(elements: list[str | bytes]) -> None:
    back = sent_back(np.array([*elements, None], dtype=object)[:-1], binary=True)
    plain = [each if isinstance(each, bytes) else each.encode() for each in elements]
    assert [each if isinstance(each, bytes) else each.encode() for each in back] == plain


@given(st.one_of(tensors(), TEXTS), st.data())
def test_a_binary_request_that_breaks_off_is_refused(array: Any, data: st.DataObject) -> None:
    tail = codec.to_binary(array)
    parameters = {"binary_data_size": len(tail)}
    tensor = {"name": "x", "datatype": datatype_of(array), "shape": array.shape, "parameters": parameters}
    head = orjson.dumps({"inputs": [tensor]})
    body = head + tail
    assert codec.decode(body, len(head)).inputs[0].array.shape == array.shape
    with pytest.raises(RequestError):
        codec.decode(body[: data.draw(st.integers(0, len(body) - 1))], len(head))


SIZES = st.integers(-1, 40) | JSON
BINARY_INPUT = st.fixed_dictionaries(
    {
        "name": st.sampled_from("xy"),
        "datatype": st.sampled_from(list(DTYPES)),
        "shape": st.lists(st.integers(0, 3), max_size=3),
        "parameters": st.fixed_dictionaries({"binary_data_size": SIZES}),
    }
)


@settings(max_examples=300)
@given(st.lists(BINARY_INPUT, min_size=1, max_size=3), st.binary(max_size=80), st.integers(-3, 3))
def test_no_binary_data_is_an_internal_error(inputs: list[Any], tail: bytes, off: int) -> None:
    try:
        head = orjson.dumps({"inputs": inputs})
    except TypeError:
        return  # beyond 64 bits
    decodes_or_explains(head + tail, len(head) + off)
    decodes_or_explains(head + tail, len(head))


PLACES = [
    '{"inputs": %s}', '{"inputs": [%s]}', '{"inputs": [{"name": %s}]}',
    '{"inputs": [{"name": "x", "datatype": %s}]}', '{"inputs": [{"name": "x", "datatype": "FP32", "shape": %s}]}',
    *('{"inputs": [{"name": "x", "shape": [1], "datatype": "' + name + '", "data": %s}]}' for name in DTYPES),
    '{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "parameters": %s}]}',
    '{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": %s}}]}',
    *('{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}], ' + rest + "}" for rest in (
        '"id": %s', '"parameters": %s', '"parameters": {"binary_data_output": %s}', '"outputs": %s',
        '"outputs": [{"name": %s}]', '"outputs": [{"name": "y", "parameters": {"binary_data": %s}}]',
    )),
]  # fmt: skip


@given(st.sampled_from(PLACES), st.integers(0, 1100), st.sampled_from(["", "1", "null", '"a"', "{}", "true", "1e999"]))
def test_no_depth_is_an_internal_error(place: str, depth: int, inner: str) -> None:
    decodes_or_explains((place % ("[" * depth + inner + "]" * depth)).encode(), None)


@pytest.mark.parametrize("data", [f"[-1, {2**63}]", f"[0.5, {2**63}]", f"[0, {2**64}]"])
def test_what_no_unsigned_number_is_stays_refused(data: str) -> None:
    body = f'{{"inputs": [{{"name": "x", "datatype": "UINT64", "shape": [2], "data": {data}}}]}}'
    with pytest.raises(RequestError, match="data does not hold UINT64 values"):
        codec.decode(body.encode(), None)
