"""The server as a process of its own, as a pod runs it, on free ports of the loopback."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from modelward_inference import runtimes
from modelward_inference.artifact.bundle import Joining, Manifest

from .artifacts import onnx

PACKAGE = Path(__file__).parents[3] / "inference_image"
DEADLINE = 60.0
"""Seconds after which a test fails instead of hanging."""

POLL = 0.05
"""Seconds between looks whether the server answers."""


def environment(**settings: str) -> dict[str, str]:
    """Of a process that runs the package of this checkout, however the tests themselves find it."""
    return {**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1", **settings}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def write_bundle(folder: Path, model: bytes) -> Manifest:
    """An ONNX model, named m."""
    (folder / "model.onnx").write_bytes(model)
    signature = runtimes.load("onnx", folder / "model.onnx").signature
    digest = "sha256:" + "a" * 64
    manifest = Manifest(
        "m",
        "onnx",
        "model.onnx",
        digest,
        1,
        "s3://b/m",
        "2026-01-01T00:00:00Z",
        signature,
        joining=Joining(True, "as the test says"),
    )
    manifest.write(folder)
    return manifest


class ServerProcess:
    """`with` it to have it ready on `port`; killed at the end, and `log` is then what it wrote to stderr.

    `model`: an ONNX file, else a small classifier; `settings`: environment variables.
    """

    def __init__(self, folder: Path, *program: str, model: bytes | None = None, **settings: str) -> None:
        self.manifest = write_bundle(folder, model or onnx())
        self.port = free_port()
        self._program = program or ("-m", "modelward_inference", "serve")
        self._folder = folder
        self._settings: Mapping[str, str] = {
            "BUNDLE_DIR": str(folder), "HOST": "127.0.0.1", "PORT": str(self.port), "GRPC_PORT": "",
            "TERMINATION_LOG": str(folder / "termination"), "OPERATOR_UNAUTHENTICATED": "true", **settings,
        }  # fmt: skip
        self.log = ""

    def __enter__(self) -> Self:
        with (self._folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self._program], env=environment(**self._settings), cwd=self._folder, stderr=log
            )
        for _ in range(int(DEADLINE / POLL)):
            try:
                urlopen(f"http://127.0.0.1:{self.port}/v2/health/ready", timeout=DEADLINE).close()
                return self
            except URLError:
                pass
            try:
                self.process.wait(POLL)
                break
            except subprocess.TimeoutExpired:
                pass
        self.__exit__()
        raise AssertionError(f"the server did not begin to answer:\n{self.log}")

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        self.log = (self._folder / "log").read_text()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)
