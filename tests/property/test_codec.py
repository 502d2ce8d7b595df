"""What holds for every tensor and every body."""

import contextlib
from typing import Any

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelward_inference import codec
from modelward_inference.protocol import InferRequest, InferResponse, RequestError
from modelward_inference.runtimes.base import DTYPES, datatype_of

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
