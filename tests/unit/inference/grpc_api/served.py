"""A gRPC server on a real socket, in a thread with an event loop of its own, and the models that it serves."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from modelward_inference.artifact.bundle import Joining, Manifest, Signature, Tensor
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.runtimes.base import Model
from modelward_inference.serve.grpc_api import server as grpc_api
from modelward_inference.serve.identity import Headers
from modelward_inference.serve.rest import State
from modelward_inference.telemetry.tracing import Tracing

MAX_BODY = 100_000
DEADLINE = 30.0
"""Seconds after which a test fails instead of hanging."""


class Echo:
    """Adds up rows, gives texts back, and fails when told to."""

    signature = Signature(
        (Tensor("x", "FP32", (-1, 2)), Tensor("kind", "BYTES", (-1,)), Tensor("count", "INT8", (-1,))),
        (Tensor("sum", "FP32", (-1,)), Tensor("echo", "BYTES", (-1,))),
    )
    libraries: Mapping[str, str] = {}
    warnings: Sequence[str] = ()

    def predict(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        if "fail" in inputs["kind"]:
            raise RuntimeError("told to")
        answers = {"sum": inputs["x"].sum(axis=1), "echo": inputs["kind"]}
        return {name: answers[name] for name in outputs}


class Identity:
    """Gives one tensor of any datatype back."""

    libraries: Mapping[str, str] = {}
    warnings: Sequence[str] = ()

    def __init__(self, datatype: str) -> None:
        self.signature = Signature((Tensor("x", datatype, (-1, -1)),), (Tensor("y", datatype, (-1, -1)),))

    def predict(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        return dict.fromkeys(outputs, inputs["x"])


class Gate(Identity):
    """Answers when it is let. `began`: that a prediction runs; `runs`: how many began."""

    def __init__(self) -> None:
        super().__init__("FP32")
        self.began = threading.Event()
        self.open = threading.Event()
        self.runs = 0

    def predict(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        self.runs += 1
        self.began.set()
        assert self.open.wait(DEADLINE)
        return super().predict(inputs, outputs)


def until(condition: Callable[[], bool]) -> None:
    """It asks the server, which takes its time."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end


def data_plane(model: Model, max_waiting: int = 16) -> DataPlane:
    digest = "sha256:" + "a" * 64
    manifest = Manifest(
        "m",
        "onnx",
        "model.onnx",
        digest,
        1,
        "s3://b/m.onnx",
        "2026-01-01T00:00:00Z",
        model.signature,
        joining=Joining(True, "as the test says"),
    )
    return DataPlane(model, manifest, "1", workers=1, max_waiting=max_waiting)


class Served:
    """`with Served(model) as served:` serves it at `served.address`, and stops at the end."""

    def __init__(
        self,
        model: Model,
        max_waiting: int = 16,
        drain: float = 0.0,
        tracing: Tracing | None = None,
        headers: Headers = (),
        longest: float = grpc_api.LONGEST,
    ) -> None:
        self.state = State()
        self.plane = data_plane(model, max_waiting)
        self.server = grpc_api.GrpcServer(
            self.plane, self.state, 0, MAX_BODY, "127.0.0.1", drain=drain, longest=longest, tracing=tracing,
            headers=headers,
        )  # fmt: skip
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self.server.__aenter__)
        self.address = f"127.0.0.1:{self.server.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.run(lambda: self.server.stop(None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    def run(self, coroutine: Callable[[], Any]) -> Any:
        """Run something in the server's loop, and wait for it."""
        return self.begin(coroutine).result(DEADLINE)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until it holds in the server's loop, at most DEADLINE seconds."""

        async def held() -> None:
            while not condition():
                await asyncio.sleep(0.01)

        self.run(lambda: asyncio.wait_for(held(), DEADLINE))

    def begin(self, coroutine: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine(), self._loop)
