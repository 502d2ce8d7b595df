"""The server in a process of its own, with a model that takes several datatypes, and requests to it."""

import contextlib
import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from .processes import DEADLINE as DEADLINE
from .processes import ServerProcess


def several_datatypes() -> bytes:
    """`x` FP32 [-1, 2], `kind` BYTES [-1], `count` INT8 [-1]; gives `sum` of each row of x, and the others back."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=0),
            helper.make_node("Identity", ["kind"], ["echo"]),
            helper.make_node("Identity", ["count"], ["same"]),
        ],
        "several",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2]),
            helper.make_tensor_value_info("kind", TensorProto.STRING, [None]),
            helper.make_tensor_value_info("count", TensorProto.INT8, [None]),
        ],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [None]),
            helper.make_tensor_value_info("echo", TensorProto.STRING, [None]),
            helper.make_tensor_value_info("same", TensorProto.INT8, [None]),
        ],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class Process(ServerProcess):
    """A server of that model."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, model=several_datatypes(), **{"DRAIN_SECONDS": "0", **settings})

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=DEADLINE)


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Process]:
    """A server that answers; it has to end well, and must not have lost its composure meanwhile."""
    with Process(folder, **settings) as made:
        yield made
        made.terminate()
        code = made.process.wait(DEADLINE)
    assert code == 0, made.log
    assert "Traceback" not in made.log, made.log


def ask(process: Process, body: bytes, path: str = "/v2/models/m/infer", **headers: str) -> tuple[int, Any]:
    """One request on a connection of its own: status and raw body."""
    connection = process.connection()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("POST", path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
