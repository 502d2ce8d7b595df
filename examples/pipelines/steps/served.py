"""A bundle as production serves it: fetched, compiled, held against its golden rows, asked over HTTP on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FETCH = 600.0
"""Seconds until a model is compiled."""

START = 120.0
"""Seconds until the server answers."""

BATCH = 200
"""Rows of a request."""


class Served:
    """`report`: the manifest of what is served; `compilation` says in which form, and why."""

    def __init__(self, address: str, report: dict[str, Any]) -> None:
        self.address = address
        self.report = report

    def answers(self, rows: Sequence[dict[str, Any]]) -> list[Any]:
        """To each row, in order."""
        found: list[Any] = []
        for first in range(0, len(rows), BATCH):
            found += self._asked(rows[first : first + BATCH])
        return found

    def milliseconds(self, rows: Sequence[dict[str, Any]]) -> list[float]:
        """Of a request with one row each, one after another."""
        taken = []
        for row in rows:
            began = time.perf_counter()
            self._asked([row])
            taken.append((time.perf_counter() - began) * 1000)
        return taken

    def _asked(self, rows: Sequence[dict[str, Any]]) -> list[Any]:
        body = json.dumps({"instances": list(rows)}).encode()
        request = urllib.request.Request(f"{self.address}/v1/models/model:predict", body)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return [label(each) for each in json.load(answer)["predictions"]]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"the served model refuses the held out rows: {error.read(500).decode()}") from None


def label(prediction: Any) -> Any:
    """Of a prediction with several outputs, the label."""
    return prediction.get("predict", prediction) if isinstance(prediction, dict) else prediction


@contextmanager
def served(bundle: Path) -> Iterator[Served]:
    """Raises SystemExit where production would not serve it: a file that can't be read, golden rows that differ."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "volume").mkdir()
        shutil.copyfile(bundle, place / "volume" / "model.tar")
        settings = {
            "MODEL_URI": "pvc://pipeline/model.tar", "PVC_MOUNT": str(place / "volume"), "MODEL_NAME": "model",
            "BUNDLE_DIR": str(place / "bundle"), "TERMINATION_LOG": str(place / "told"),
            "MODEL_ALLOWED_FORMATS": "sklearn,skops,onnx,xgboost,lightgbm",
        }  # fmt: skip
        (place / "bundle").mkdir()
        program = [sys.executable, "-m", "modelward_inference"]
        environment = {**os.environ, **settings}
        ended = subprocess.run(
            [*program, "fetch"], env=environment, text=True, capture_output=True, timeout=FETCH, check=False
        )
        if ended.returncode:
            raise SystemExit(f"production would not serve this model: {ended.stderr.strip()[-1500:]}")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment |= {
            "HOST": "127.0.0.1", "PORT": str(port), "GRPC_PORT": "", "OPERATOR_UNAUTHENTICATED": "true",
        }  # fmt: skip
        with (
            (place / "log").open("w") as log,
            subprocess.Popen([*program, "serve"], env=environment, stderr=log) as server,
        ):
            try:
                address = f"http://127.0.0.1:{port}"
                _wait(address, server, place / "log")
                yield Served(address, json.loads((place / "bundle" / "model.json").read_text()))
            finally:
                server.kill()


def _wait(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """For its golden rows, which come before it is ready."""
    end = time.monotonic() + START
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/v2/health/ready", timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"the server did not become ready: {log.read_text()[-1500:]}")
