"""Long answers are written in pieces, between which the event loop runs; what is written is the same."""

from unittest import mock

import numpy as np
import orjson
import pytest

from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.protocol import codec, messages, tensors, v1
from modelward_inference.protocol.messages import InferRequest, InferResponse

ROWS = 12_345
FLOATS = np.linspace(-1e30, 1, ROWS * 2, dtype=np.float32).reshape(ROWS, 2)
FLOATS[7, 1] = np.nan
LABELS = np.arange(ROWS) % 3
TEXTS = np.array([f"é{each}" if each % 5 else None for each in range(ROWS)], object)
OUTPUTS = {
    "rows": {"p": FLOATS},
    "numbers": {"label": LABELS},
    "texts": {"t": TEXTS},
    "all": {"label": LABELS, "p": FLOATS, "t": TEXTS},
    "one long row": {"p": FLOATS.reshape(1, -1)},
    "truths": {"b": LABELS > 1},
    "more dimensions": {"p": FLOATS[:12_000].reshape(10, 60, 40)},
}
SIGNATURE = Signature((Tensor("x", "FP32", (-1, 1)),), (Tensor("y", "FP32", (-1,)),))


@pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_pieces_make_the_same_answer(name: str, columns: bool) -> None:
    response = InferResponse("m", "1", OUTPUTS[name])
    assert messages.is_large(response)
    request = InferRequest((), parameters={"inputs": True} if columns else {})
    for form in (codec, v1.V1(SIGNATURE, 1)):
        in_pieces = form.encode(response, request)
        with mock.patch.object(tensors, "PIECE", 1 << 40), mock.patch.object(codec, "PIECE", 1 << 40):
            assert form.encode(response, request) == in_pieces


def test_no_piece_is_long() -> None:
    longest: list[int] = []

    class Watched:
        OPT_SERIALIZE_NUMPY = orjson.OPT_SERIALIZE_NUMPY
        Fragment = orjson.Fragment

        @staticmethod
        def dumps(value: object, option: int = 0) -> bytes:
            longest.append(len(orjson.dumps(value, option=option)))
            return orjson.dumps(value, option=option)

    with mock.patch.object(tensors, "orjson", Watched):
        codec.encode(InferResponse("m", "1", OUTPUTS["all"]), InferRequest(()))
    assert len(longest) >= 10
    assert max(longest) < 100_000
