"""Coverage-guided fuzzing of every parser that reads a client's bytes, or a server's: `make fuzz`.

The first byte chooses the parser; a RequestError or a WireError is an answer, anything else a finding, which atheris
keeps as a file.
Arguments are libFuzzer's, such as -max_total_time=60.
"""

import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports():
    from modelward_inference.capture import wire
    from modelward_inference.protocol import codec, compression, largejson, outcomes
    from modelward_inference.protocol.messages import RequestError
    from modelward_inference.serve.grpc_api import messages
    from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferRequest

from unit.inference.malformed import corpus

MAX_BODY = 1 << 16
largejson.FROM = 256  # bytes: so that both readers of JSON get their share


def test_one(data: bytes) -> None:
    """One input of the fuzzer."""
    kind, body = data[:1], data[1:]
    try:
        match kind[0] % 6 if kind else 0:
            case 0:
                codec.decode(body, None)
            case 1:
                codec.decode(body[2:], int.from_bytes(body[:2], "little"))
            case 2:
                codec.decode(compression.decompressed(body, "gzip", MAX_BODY), None)
            case 3:
                messages.decode(messages.parse(ModelInferRequest, body))
            case 4:
                outcomes.read(body, 0.0)
            case _:
                size = int.from_bytes(body[:2], "little")
                wire.load_batch(body[2 : 2 + size], body[2 + size :])
    except (RequestError, wire.WireError):
        return


def seeds(folder: Path) -> None:
    """What the tests send already, for the fuzzer to change."""
    for number, each in enumerate(corpus()):
        length = each.headers.get("Inference-Header-Content-Length", "")
        if length.isdecimal() and int(length) < 1 << 16:
            content = b"\1" + int(length).to_bytes(2, "little") + each.body
        else:
            content = (b"\2" if "Content-Encoding" in each.headers else b"\0") + each.body
        (folder / str(number)).write_bytes(content[:MAX_BODY])
    told = b'{"outcomes": [{"key": "k", "row": 1, "value": 1, "time": "1970-01-01T00:00:00Z", "weight": 0.5}]}'
    (folder / "told").write_bytes(b"\4" + told)
    texts = np.array([["a"], ["ü"]], object)
    batch = wire.Batch("e", 1, 2, {"x": np.ones((2, 3), np.float32), "kind": texts}, {"y": np.array([True, False])})
    _, head, *parts = wire.dump_batch(batch)
    (folder / "batch").write_bytes(b"\5" + len(head).to_bytes(2, "little") + head + b"".join(parts))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        seeds(Path(folder))
        atheris.Setup([*sys.argv, folder], test_one)
        atheris.Fuzz()
