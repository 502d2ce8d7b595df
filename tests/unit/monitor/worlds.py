"""A monitor's surroundings: bundles, batches, and the monitor as a process of its own with a sender as its server."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from modelward_drift.building.builder import profile_of
from modelward_drift.profiles.reference import FILE, Feature, Reference
from modelward_inference.artifact.bundle import Joining, Manifest, Signature, Tensor
from modelward_inference.capture import wire
from modelward_inference.capture.wire import Batch

PACKAGE = Path(__file__).parents[3] / "inference_image"

DEADLINE = 60.0
"""Seconds after which a test fails instead of hanging."""

POLL = 0.02

SIGNATURE = Signature(
    (Tensor("x", "FP64", (-1, 2)), Tensor("city", "BYTES", (-1, 1))), (Tensor("label", "INT64", (-1,)),)
)
CITIES = ("bern", "graz", "linz")


def reference(seed: int = 0, source: Any = "training") -> Reference:
    """Of the signature above."""
    random = np.random.default_rng(seed)
    numbers = [profile_of(f"x[{i}]", "numeric", random.normal(size=500)) for i in range(2)]
    city = profile_of("city", "categorical", random.choice(np.array(CITIES, object), 500))
    label = profile_of("output:label", "categorical", random.integers(0, 2, 500))
    return Reference(
        (
            *(Feature("input", "x", i, each) for i, each in enumerate(numbers)),
            Feature("input", "city", None, city),
            Feature("output", "label", None, label),
        ),
        source,
    )


def batch(number: int, rows: int, epoch: str = "run", seed: int | None = None, **more: int) -> Batch:
    """Rows that hang on the number alone."""
    random = np.random.default_rng(number if seed is None else seed)
    return Batch(
        epoch,
        number,
        rows,
        {"x": random.normal(size=(rows, 2)), "city": random.choice(np.array(CITIES, object), (rows, 1))},
        {"label": random.integers(0, 2, rows)},
        **more,
    )


def write_bundle(folder: Path, of: Reference | None, signature: Signature = SIGNATURE) -> None:
    digest = "sha256:" + "a" * 64
    Manifest(
        "m",
        "onnx",
        "model.onnx",
        digest,
        1,
        "s3://b/m",
        "2026-01-01T00:00:00Z",
        signature,
        joining=Joining(True, "as the test says"),
    ).write(folder)
    if of is not None:
        (folder / FILE).write_bytes(orjson.dumps(of.to_dict()))


class MonitorProcess:
    """`start` it, `kill` it, start it again; it is killed at the end of `with`. `settings`: environment variables."""

    def __init__(self, folder: Path, **settings: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.log_file = folder / "log"
        # Sockets have short names; pytest's folders do not.
        self._short = tempfile.TemporaryDirectory(prefix="mw")
        self.folder = Path(self._short.name)
        self.socket = self.folder / "capture.sock"
        self.environment = {
            **os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1", "MODEL_NAME": "m",
            "BUNDLE_DIR": str(folder), "MONITOR_DIR": str(self.folder), "MONITOR_PORT": str(self.port),
            "HOST": "127.0.0.1", "POD_UID": "pod-1", "TERMINATION_LOG": str(folder / "termination"),
            "OPERATOR_UNAUTHENTICATED": "true", **settings,
        }  # fmt: skip
        self._pool = HTTPConnectionPool("127.0.0.1", self.port, retries=False, timeout=DEADLINE)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._pool.close()
        self._short.cleanup()

    def start(self, wait: bool = True) -> None:
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "modelward_inference", "monitor"], env=self.environment, stderr=log
            )
        end = time.monotonic() + DEADLINE
        while wait:
            try:
                if self.get("/healthz")[0] == 200:
                    return
            except HTTPError:
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the monitor did not begin to answer:\n{self.log}")
            time.sleep(POLL)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def request(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        answer = self._pool.request(method, path, **more)
        kind = answer.headers.get("content-type", "")
        return answer.status, orjson.loads(answer.data) if kind == "application/json" else answer.data.decode()

    def get(self, path: str) -> tuple[int, Any]:
        return self.request("GET", path)

    def metrics(self) -> dict[str, float]:
        lines = [line for line in self.get("/metrics")[1].splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


class Sender:
    """A server's side of the socket, as simple as can be: sends again what is not acknowledged."""

    def __init__(self, path: Path, batches: Iterable[Batch]) -> None:
        self._path = path
        self.waiting = {each.number: each for each in batches}

    async def run(self) -> None:
        """Until all is acknowledged."""
        async with asyncio.timeout(DEADLINE):
            while self.waiting:
                try:
                    await self._once()
                except (OSError, asyncio.IncompleteReadError):
                    await asyncio.sleep(POLL)

    async def _once(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            greeting = await read_frame(reader)
            epoch = next(iter(self.waiting.values())).epoch
            if greeting["epoch"] == epoch:
                self._acknowledged(greeting["number"])
            for each in list(self.waiting.values()):
                writer.writelines(wire.dump_batch(each))
                await writer.drain()
            while self.waiting:
                self._acknowledged((await read_frame(reader))["ack"])
        finally:
            writer.close()

    def _acknowledged(self, number: int) -> None:
        for each in [each for each in self.waiting if each <= number]:
            del self.waiting[each]


async def read_frame(reader: asyncio.StreamReader) -> Mapping[str, Any]:
    """Its head."""
    head, _ = wire.lengths(await reader.readexactly(wire.LENGTHS.size))
    found: Mapping[str, Any] = orjson.loads(await reader.readexactly(head))
    return found


def send(path: Path, *batches: Batch) -> None:
    """Returns when they are acknowledged."""
    asyncio.run(Sender(path, batches).run())
