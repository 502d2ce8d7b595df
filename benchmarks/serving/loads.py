"""Load on one server for a few seconds: wrk for REST, our own client for gRPC, a loop for the bare model call.

A figure with a single failed request is void, and says why: an error is often faster than an answer.
"""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.requests import Request
from localcluster import binaries, debian
from localcluster.progress import SetupError

HERE = Path(__file__).parent / "load"

REQUEST_SECONDS = 10
"""How long one request may take before it counts as failed."""

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"([\d.]+)"
_FAILURES = (
    (rf"Non-2xx or 3xx responses: {_NUMBER}", "answers were no success"),
    (rf"Socket errors: connect {_NUMBER}", "connections failed"),
    (rf"Socket errors: .*read {_NUMBER}", "reads failed"),
    (rf"Socket errors: .*write {_NUMBER}", "writes failed"),
    (rf"Socket errors: .*timeout {_NUMBER}", f"requests took more than {REQUEST_SECONDS} s"),
)


@dataclass(frozen=True)
class Figure:
    """One measurement. `rate`: requests a second; `p50`, `p99`: seconds; `requests`: that were answered; `failure`: why
    it is void."""

    rate: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    requests: int = 0
    failure: str | None = None


def parse_wrk(text: str) -> Figure:
    """What `wrk --latency` printed."""
    for pattern, words in _FAILURES:
        found = re.search(pattern, text)
        if found and int(found[1]):
            return Figure(failure=f"{found[1]} {words}")
    rate = re.search(rf"^Requests/sec:\s+{_NUMBER}", text, re.MULTILINE)
    quantiles = {
        int(percent): float(value) * _UNITS[unit]
        for percent, value, unit in re.findall(rf"^\s+(\d+)%\s+{_NUMBER}(us|ms|s|m|h)\s*$", text, re.MULTILINE)
    }
    count = re.search(r"^\s+(\d+) requests in ", text, re.MULTILINE)
    if rate is None or count is None or not float(rate[1]) or not {50, 99} <= quantiles.keys():
        return Figure(failure="no request was answered")
    return Figure(float(rate[1]), quantiles[50], quantiles[99], int(count[1]))


def parse_report(text: str) -> Figure:
    """What the gRPC client or the loop printed."""
    report = json.loads(text)
    if report["errors"]:
        return Figure(failure=f"{report['errors']} clients failed: {report['first_error']}")
    if not report["requests"]:
        return Figure(failure="no request was answered")
    requests = int(report["requests"])
    return Figure(requests / report["seconds"], report["p50"], report["p99"], requests)


@dataclass(frozen=True)
class Loads:
    """Starts the load, pinned to its core. `grpc`: the client's binary."""

    core: int
    grpc: Path

    def rest(self, url: str, request: Request, seconds: int) -> Figure:
        words = [word for pair in request.headers.items() for word in pair]
        command = [
            "wrk",
            "--latency",
            "-t1",
            f"-c{request.case.clients}",
            f"-d{seconds}s",
            f"--timeout={REQUEST_SECONDS}s",
        ]
        text = pinned(
            self.core, [*command, "-s", str(HERE / "post.lua"), url, "--", str(request.body), *words], seconds
        )
        return parse_wrk(text)

    def rpc(self, address: str, request: Request, seconds: int) -> Figure:
        clients = str(request.case.clients)
        words = ["-address", address, "-body", str(request.body), "-clients", clients, "-duration", f"{seconds}s"]
        return parse_report(pinned(self.core, [str(self.grpc), *words], seconds))

    def rpc_once(self, address: str, request: Request) -> bytes:
        """The bytes of one answer. Raises SetupError."""
        result = subprocess.run(
            [str(self.grpc), "-once", "-address", address, "-body", str(request.body)], capture_output=True, check=False
        )
        if result.returncode:
            raise SetupError(f"gRPC: {result.stderr.decode(errors='replace').strip()[:300]}")
        return result.stdout


def cores_and_load() -> tuple[int, Loads]:
    """The servers' core, and the load on another one. Raises SetupError where there is none."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SetupError("the servers need one core and the load another; run this where there are two")
    debian.ensure({"wrk": "wrk", "taskset": "util-linux"})
    return cores[-1], Loads(cores[-2], binaries.program("the gRPC client", HERE / "grpc"))


def model_call(python: Path, model: Path, rows: Path, core: int, seconds: int) -> Figure:
    """The model's own speed, on the servers' core."""
    words = [str(python), str(HERE / "modelcall.py"), str(model), str(rows), str(seconds)]
    return parse_report(pinned(core, words, seconds, OMP_NUM_THREADS="1"))


def pinned(core: int, command: Sequence[str], seconds: int, **env: str) -> str:
    """The program's stdout. Raises SetupError where it fails or hangs."""
    try:
        result = subprocess.run(
            ["taskset", "--cpu-list", str(core), *command],
            capture_output=True, text=True, check=False, timeout=seconds + 3 * REQUEST_SECONDS,
            env={**os.environ, **env},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SetupError(f"{Path(command[0]).name} did not end") from None
    if result.returncode:
        raise SetupError(f"{Path(command[0]).name}: {(result.stderr or result.stdout).strip()[-300:]}")
    return result.stdout
