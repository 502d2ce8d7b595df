"""Reads a ModelInferRequest: the same in the server and in the process that reads large ones for it.

Failure: RequestError.
"""

from dataclasses import dataclass

from modelward_inference.protocol.messages import InferRequest, RequestError, unknown_model
from modelward_inference.serve.grpc_api import messages
from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferRequest

SMALL = 8 << 10
"""Bytes of a message, or of what is in it besides raw tensors, that are read in the event loop whatever they are."""

QUICK = 1 << 20
"""Bytes of a message of raw tensors: a tenth of a millisecond to copy."""

FEW = 200
"""Fields of a message."""

_RAW = ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER
_LENGTH_DELIMITED = 2
_ONE_BY_ONE = (b"BYTES", b"BOOL")
"""Datatypes whose raw form is looked at element by element."""


@dataclass(frozen=True)
class Reader:
    """Of the model `name` in `version`."""

    name: str
    version: str

    def decode(self, body: bytes | memoryview, _: int | None = None) -> InferRequest:
        """Read a request. Raises RequestError, with the status 404 for another model."""
        message = messages.parse(ModelInferRequest, bytes(body))
        self.check_known(message.model_name, message.model_version)
        return messages.decode(message)

    def check_known(self, name: str, version: str) -> None:
        """Raises RequestError, 404."""
        if name != self.name:
            raise RequestError(unknown_model(name, self.name), 404)
        if version not in ("", self.version):
            raise RequestError(f"model {name!r} has no version {version!r} here; it has {self.version!r}", 404)


def is_quick(body: bytes) -> bool:
    """Whether it takes less than about a millisecond to read: it is little, or raw tensors with little beside them."""
    if len(body) <= SMALL:
        return True
    if len(body) > QUICK:
        return False
    position = besides = fields = 0
    while position < len(body):
        tag, position = _number(body, position)
        length, begin = _number(body, position)
        position = begin + length
        fields += 1
        if tag & 7 != _LENGTH_DELIMITED or fields > FEW:
            return False
        if tag >> 3 != _RAW:
            besides += length
            if besides > SMALL or any(datatype in body[begin:position] for datatype in _ONE_BY_ONE):
                return False
    return True


def _number(body: bytes, position: int) -> tuple[int, int]:
    """A varint, and where it ends. One that is not complete, or too long, is as long as what is left."""
    found = 0
    for shift, byte in enumerate(body[position : position + 5]):
        found |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return found, position + shift + 1
    return len(body), len(body)
