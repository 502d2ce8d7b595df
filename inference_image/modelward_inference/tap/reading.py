"""What a request and its answer say, as tensors by name. Pure, and in any thread.

V2, over REST and gRPC, and V1 are read by what our own server reads them with, so that they are named and typed alike:
V1's tensors without a name are called as ours calls them, and its whole numbers, which JSON does not tell from others,
are floating ones.
Failure: RequestError, for what can't be read; another server may well have read it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.protocol import codec, compression
from modelward_inference.protocol.messages import InferRequest, Input, RequestError
from modelward_inference.protocol.origin import ARMS_HEADER, KEY_HEADER, Origin, key_of
from modelward_inference.protocol.v1 import COLUMNS, INSTANCES, V1
from modelward_inference.runtimes.base import PREDICT
from modelward_inference.tap import grpcbody
from modelward_inference.tap.exchange import REQUEST_ID, Exchange, Side

MAX_ROWS: Final = 100_000
"""Of a request, as of our own server's."""

MAX_TENSORS: Final = 2000
"""Of a request or an answer. A server that reads over what it does not know answers a body of a hundred thousand, and
each costs as much as a small tensor does wherever it is passed to."""

MAX_DIGITS: Final = 18

_REQUESTS: Final = V1(Signature((), ()), MAX_ROWS)
_ANSWERS: Final = V1(Signature((Tensor(PREDICT, "FP64", (-1,)),), ()), MAX_ROWS)
"""Answers have the form of requests, under other words."""

_PREDICTIONS, _OUTPUTS = "predictions", "outputs"


@dataclass(frozen=True)
class Answered:
    """`rows`: 0 for a request of none."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    rows: int
    origin: Origin


def read(exchange: Exchange, limit: int) -> Answered:
    """`limit`: bytes that a body may unpack to. Raises RequestError."""
    request = _request(exchange, limit)
    outputs = _named(_answer(exchange, limit))
    inputs = _named(request.inputs)
    headers = exchange.asked.headers
    key = key_of(headers.get(KEY_HEADER.encode()), request.parameters)
    trace = exchange.traced.traceparent if exchange.traced is not None else ""
    origin = Origin(_text(headers, REQUEST_ID) or request.id or "", key, _text(headers, ARMS_HEADER.encode()), trace)
    return Answered(inputs, outputs, _rows(inputs, outputs), origin)


def _request(exchange: Exchange, limit: int) -> InferRequest:
    if exchange.form == "grpc":
        return _grpc_request(exchange, limit)
    body, length = _plain(exchange.asked, limit)
    if exchange.form == "v2":
        return codec.decode(body, length)
    found = _REQUESTS.decode(body, length)
    inputs = tuple(Input(each.name, each.datatype, _floating(each.array)) for each in found.inputs)
    # The columns' own parameter is no client's.
    return InferRequest(inputs)


def _grpc_request(exchange: Exchange, limit: int) -> InferRequest:
    from modelward_inference.serve.grpc_api import messages  # with what it hangs on, for those who have gRPC
    from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferRequest

    message = messages.parse(ModelInferRequest, _message(exchange.asked, limit))
    # Of a field that comes twice the last one counts, and only the first was looked at as it passed.
    if message.model_name.encode() != grpcbody.model_of(exchange.asked.body):
        raise RequestError("two models are named")
    return messages.decode(message)


def _grpc_answer(exchange: Exchange, limit: int) -> Sequence[Input]:
    from modelward_inference.serve.grpc_api import messages
    from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferResponse

    return messages.decode_answer(messages.parse(ModelInferResponse, _message(exchange.told, limit)))


def _message(side: Side, limit: int) -> bytes:
    return grpcbody.message(bytes(side.body), _text(side.headers, b"grpc-encoding"), limit)


def _answer(exchange: Exchange, limit: int) -> Sequence[Input]:
    if exchange.form == "grpc":
        return _grpc_answer(exchange, limit)
    body, length = _plain(exchange.told, limit)
    if exchange.form == "v2":
        return codec.decode_answer(body, length)
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the answer is not valid JSON: {error}") from None
    if isinstance(document, dict):
        for word, asked in ((_PREDICTIONS, INSTANCES), (_OUTPUTS, COLUMNS)):
            if word in document:
                return _ANSWERS.read({asked: document[word]}).inputs
    raise RequestError(f"the answer has neither {_PREDICTIONS} nor {_OUTPUTS}")


def _plain(side: Side, limit: int) -> tuple[bytes, int | None]:
    """The body as it was before compression, and the length of its JSON part where more follows."""
    body, length = bytes(side.body), side.headers.get(b"inference-header-content-length")
    if encoding := compression.plainly(_text(side.headers, b"content-encoding")):
        body = compression.decompressed(body, encoding, limit)
    if length is None:
        return body, None
    if not length.isdigit() or len(length) > MAX_DIGITS:
        raise RequestError("Inference-Header-Content-Length is no number")
    return body, int(length)


def _named(tensors: Sequence[Input]) -> dict[str, Array]:
    if len(tensors) > MAX_TENSORS:
        raise RequestError(f"there are {len(tensors)} tensors; no more than {MAX_TENSORS} are read")
    found = {each.name: each.array for each in tensors}
    if len(found) != len(tensors):
        raise RequestError("two tensors have one name")
    return found


def _rows(inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> int:
    """As many as the inputs that have any agree on; 1 of a model without an axis for them."""
    counts = {len(array) for array in inputs.values() if array.ndim}
    told = {len(array) for array in outputs.values() if array.ndim}
    shared = counts & told if len(counts) > 1 else counts
    return max(shared, default=1)


def _floating(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "i" else array


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")
