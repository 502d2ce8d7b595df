"""Requests of much that is cheap to send: what is checked and written for them keeps nobody else waiting."""

import json
import threading
from typing import Any

import pytest

from modelward_inference.engine.dataplane import MANY_INPUTS, MANY_NUMBERS, TEXT
from modelward_inference.protocol import codec
from modelward_inference.serve.rest import Rest, State

from .grpc_api.served import Identity, data_plane
from .test_requests import call


def body(datatype: str, rows: int) -> bytes:
    tensor = {"name": "x", "shape": [rows, 1], "datatype": datatype, "data": ["a" if datatype == "BYTES" else 1] * rows}
    return json.dumps({"inputs": [tensor]}).encode()


class Threads(dict[str, Any]):
    """In which thread each function ran."""

    def watch(self, holder: Any, name: str) -> Any:
        function = getattr(holder, name)

        def watched(*arguments: Any) -> Any:
            self[name] = threading.current_thread() is threading.main_thread()
            return function(*arguments)

        return watched


@pytest.mark.parametrize(
    ("datatype", "rows", "here"),
    [
        ("FP32", 100, True),
        ("FP32", MANY_NUMBERS, True),
        ("BYTES", 10, True),
        ("BYTES", MANY_NUMBERS // TEXT + 1, False),
    ],
)
async def test_what_there_is_much_of_is_checked_in_a_thread(datatype: str, rows: int, here: bool) -> None:
    plane, threads = data_plane(Identity(datatype)), Threads()
    plane._job = threads.watch(plane, "_job")  # type: ignore[method-assign]
    status, answer, _ = await call(Rest(plane, State(), 1 << 30), body(datatype, rows))
    assert status == 200
    assert len(json.loads(answer)["outputs"][0]["data"]) == rows
    assert threads == {"_job": here}


async def test_so_is_a_request_of_many_tensors() -> None:
    plane, threads = data_plane(Identity("FP32")), Threads()
    plane._job = threads.watch(plane, "_job")  # type: ignore[method-assign]
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}
    many = json.dumps({"inputs": [tensor, *({**tensor, "name": f"y{each}"} for each in range(MANY_INPUTS))]}).encode()
    status, answer, _ = await call(Rest(plane, State(), 1 << 30), many)
    assert status == 400
    assert "the model takes no 'y0'" in json.loads(answer)["error"]
    assert threads == {"_job": False}


@pytest.mark.parametrize(("rows", "here"), [(1, True), (5_000, True), (5_001, False)])
async def test_a_long_answer_is_written_in_a_thread(rows: int, here: bool) -> None:
    app, threads = Rest(data_plane(Identity("FP32")), State(), 1 << 30), Threads()

    class Form:
        decode = staticmethod(codec.decode)
        decode_quickly = staticmethod(codec.decode_quickly)
        decode_plain = staticmethod(codec.decode_plain)
        encode = staticmethod(threads.watch(codec, "encode"))

    app._forms = dict.fromkeys(app._forms, Form())
    assert (await call(app, body("FP32", rows)))[0] == 200
    assert threads == {"encode": here}


async def test_a_request_of_no_tensor_is_told_so() -> None:
    app = Rest(data_plane(Identity("FP32")), State(), 1 << 30)
    status, answer, _ = await call(app, b'{"inputs":{}}', path="/v1/models/m:predict")
    assert status == 400
    assert "inputs lacks x" in json.loads(answer)["error"]
