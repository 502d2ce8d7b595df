"""The server in a process of its own, with a model that takes several datatypes."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

import modelward_inference
from modelward_inference import runtimes
from modelward_inference.bundle import Manifest

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(modelward_inference.__file__).parents[1])}
"""Of a process that finds the package where this one did."""

DEADLINE = 30.0
"""Seconds after which a test fails instead of hanging."""


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


class Process:
    """One server on loopback, for the model `m`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        (folder / "model.onnx").write_bytes(several_datatypes())
        signature = runtimes.load("onnx", folder / "model.onnx").signature
        digest = "sha256:" + "a" * 64
        Manifest("m", "onnx", "model.onnx", digest, 1, "s3://b/m", "2026-01-01T00:00:00Z", signature).write(folder)
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        environment = {
            **ENVIRONMENT, "BUNDLE_DIR": str(folder), "HOST": "127.0.0.1", "PORT": str(self.port), "GRPC_PORT": "0",
            "DRAIN_SECONDS": "0", "TERMINATION_LOG": str(folder / "termination"), **settings,
        }  # fmt: skip
        self._child = subprocess.Popen(
            [sys.executable, "-m", "modelward_inference", "serve"], env=environment, stderr=subprocess.PIPE, text=True
        )

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def wait(self) -> None:
        """Until it listens."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                socket.create_connection(self.address, timeout=DEADLINE).close()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < end, "the server does not start"
                assert self._child.poll() is None, "the server ended"
                time.sleep(0.05)

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self._child.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=DEADLINE)

    def terminate(self) -> None:
        self._child.send_signal(signal.SIGTERM)

    def end(self) -> tuple[int, str]:
        """Exit code and log."""
        try:
            code = self._child.wait(DEADLINE)
        finally:
            self._child.kill()
            _, log = self._child.communicate()
        return code, log


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Process]:
    """A server that listens; it has to end well, and must not have lost its composure meanwhile."""
    made = Process(folder, **settings)
    try:
        made.wait()
        yield made
    finally:
        made.terminate()
        code, log = made.end()
    assert code == 0, log
    assert "Traceback" not in log, log


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
