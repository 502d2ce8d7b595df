"""What holds for every tensor and every message over gRPC."""

import contextlib
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelward_inference.artifact.arrays import DTYPES, datatype_of
from modelward_inference.protocol.messages import InferRequest, InferResponse, RequestError
from modelward_inference.serve.grpc_api import messages
from modelward_inference.serve.grpc_api import open_inference_pb2 as types

NUMERIC = [name for name in DTYPES if name != "BYTES"]
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)
TENSORS = st.sampled_from(NUMERIC).flatmap(lambda name: hnp.arrays(DTYPES[name], SHAPES))
TEXTS = st.lists(st.text(), max_size=6).map(lambda texts: np.array([*texts, None], dtype=object)[:-1])


def sent_back(array: Any, raw: bool) -> Any:
    """Encode as an output, and decode the same contents as an input."""
    answer = messages.encode(InferResponse("m", "1", {"x": array}), InferRequest((), binary_output=raw))
    response = messages.parse(types.ModelInferResponse, answer)
    typed = response.outputs[0].HasField("contents")
    assert not (raw and typed)
    # After a typed request both forms are there; a request may have one of them.
    request = types.ModelInferRequest(raw_input_contents=() if typed else response.raw_output_contents)
    request.inputs.add().MergeFromString(response.outputs[0].SerializeToString())
    return messages.decode(request).inputs[0].array


@given(TENSORS | TEXTS, st.booleans())
def test_a_tensor_comes_back_as_it_went(array: Any, raw: bool) -> None:
    back = sent_back(array, raw)
    assert datatype_of(back) == datatype_of(array)
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def decodes_or_explains(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        messages.decode(messages.parse(types.ModelInferRequest, body))


@given(st.binary(max_size=300))
def test_no_bytes_are_an_internal_error(body: bytes) -> None:
    decodes_or_explains(body)


CONTENTS = st.builds(
    types.InferTensorContents,
    bool_contents=st.lists(st.booleans(), max_size=2),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
    int64_contents=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2),
    uint_contents=st.lists(st.integers(0, 2**32 - 1), max_size=3),
    fp32_contents=st.lists(st.floats(width=32), max_size=3),
    bytes_contents=st.lists(st.binary(max_size=4), max_size=2),
)
INPUTS = st.builds(
    types.ModelInferRequest.InferInputTensor,
    name=st.text(max_size=2),
    datatype=st.sampled_from([*DTYPES, ""]),
    shape=st.lists(st.integers(-1, 3) | st.integers(-(2**63), 2**63 - 1), max_size=3),
    contents=st.none() | CONTENTS,
)
REQUESTS = st.builds(
    types.ModelInferRequest,
    inputs=st.lists(INPUTS, max_size=3),
    raw_input_contents=st.lists(st.binary(max_size=16), max_size=3),
)


@given(REQUESTS)
def test_no_message_is_an_internal_error(request: types.ModelInferRequest) -> None:
    decodes_or_explains(request.SerializeToString())
