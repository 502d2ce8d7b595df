"""How much memory the monitor takes: the real one, in a process of its own, with a reference of 100 features."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import numpy as np

from localcluster.progress import SetupError
from modelward_drift.building.builder import profile_of
from modelward_drift.profiles.reference import Feature, Reference

FEATURES: Final = 100
REQUESTS: Final = 200
ROWS: Final = 100
"""A request."""

DEADLINE: Final = 60.0
"""Seconds until it listens."""


def resident() -> float:
    """Resident memory after some thousand rows, in MB. Raises SetupError."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        port = _free_port()
        environment = {
            **os.environ, "MODEL_NAME": "bench", "BUNDLE_DIR": str(home / "bundle"), "MONITOR_DIR": str(home),
            "MONITOR_EVENTS": "true", "MONITOR_PORT": str(port), "POD_UID": "bench",
            "OPERATOR_UNAUTHENTICATED": "true", "MONITOR_FAREWELL_SECONDS": "0",
        }  # fmt: skip
        (home / "bundle").mkdir()
        log = home / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "modelward_inference", "monitor"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait(process, f"http://127.0.0.1:{port}/healthz", log)
            _feed(f"http://127.0.0.1:{port}")
            return _resident_mb(process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _feed(address: str) -> None:
    """A reference, and rows as KServe's logger sends them."""
    random = np.random.default_rng(0)
    names = [f"f[{index}]" for index in range(FEATURES)]
    features = (
        Feature("input", "f", index, profile_of(name, "numeric", random.standard_normal(10_000)))
        for index, name in enumerate(names)
    )
    _send(f"{address}/v1/reference", "PUT", Reference(tuple(features)).to_dict(), {})
    for request in range(REQUESTS):
        rows = {"instances": random.standard_normal((ROWS, FEATURES)).round(6).tolist()}
        headers = {
            "ce-specversion": "1.0", "ce-type": "org.kubeflow.serving.inference.request", "ce-id": str(request),
            "ce-source": "bench",
        }  # fmt: skip
        _send(address + "/", "POST", rows, headers)
    with urllib.request.urlopen(f"{address}/v1/counts", timeout=30) as answer:  # noqa: S310
        counted = json.load(answer)["intake"]["counted"]
    if counted != REQUESTS * ROWS:
        raise SetupError(f"the monitor has counted {counted} rows of {REQUESTS * ROWS}")


def _send(address: str, method: str, body: Any, headers: dict[str, str]) -> None:
    headers = {"content-type": "application/json", **headers}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers, method=method)  # noqa: S310
    try:
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        raise SetupError(f"{method} {address} answers {error.code}: {error.read()[:300]!r}") from None


def _wait(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    end = monotonic() + DEADLINE
    while monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=1).close()  # noqa: S310
        except OSError:
            sleep(0.1)
        else:
            return
    raise SetupError(f"the monitor does not listen: {log.read_text()[-500:]}")


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
