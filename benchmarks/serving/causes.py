"""`python -m benchmarks.serving.causes [--busy] [--seconds N] [--clients N]`: what the slowest requests wait for.

The server runs as it always does, in a process of its own on one core, and notes of each request of one row how long it
took from the arrival of its bytes to the answer's write, and what happened meanwhile. Of the slowest percent the table
says the cause: a pass of the garbage collector, a pause that the kernel's scheduler made, the queue and the model (its
batch), or the loop, which served others. What goes on before the bytes arrive and after the write is not seen.
"""

import argparse
import asyncio
import contextlib
import gc
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from resource import RUSAGE_THREAD, getrusage
from typing import Any

from benchmarks.serving import busy, models
from benchmarks.serving.cases import JSON, Case
from benchmarks.serving.requests import prepare
from benchmarks.serving.servers import INFER, SERVERS, Place, free_ports
from localcluster import settings

MODEL = "logistic-regression"
WARM = 200
"""Requests that do not count."""

SHARE = 0.3
"""Of a request's time that a cause must explain."""

CAUSES = ("garbage", "scheduler", "queue and model", "loop")


def serve(out: Path) -> None:
    """Until SIGTERM; then it writes [seconds, garbage, pauses, queue and model] of each request to `out`."""
    from modelward_inference import cpu

    cores = cpu.limit_library_threads()
    from modelward_inference.engine.dataplane import DataPlane
    from modelward_inference.serve import http as own
    from modelward_inference.serve import process as server

    notes: list[tuple[float, float, int, float]] = []
    spent: dict[Any, float] = {}
    garbage = [0.0, 0.0]  # all passes so far, and when this one began
    received, answered, infer = own.GuardedProtocol.data_received, own.Exchange.answer, DataPlane.infer

    def collecting(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            garbage[1] = time.perf_counter()
        else:
            garbage[0] += time.perf_counter() - garbage[1]

    def data_received(self: Any, data: bytes) -> None:
        self.came = (time.perf_counter(), garbage[0], getrusage(RUSAGE_THREAD).ru_nivcsw)
        received(self, data)

    async def inferred(self: Any, *given: Any, **named: Any) -> Any:
        response = await infer(self, *given, **named)
        if response.timing is not None:
            spent[asyncio.current_task()] = response.timing.queued + response.timing.computed
        return response

    def answer(self: Any, *given: Any) -> bool:
        written = answered(self, *given)
        came = getattr(self._cycle.transport.get_protocol(), "came", None)
        inside = spent.pop(asyncio.current_task(), None)
        if came is not None and inside is not None:
            pauses = getrusage(RUSAGE_THREAD).ru_nivcsw - came[2]
            notes.append((time.perf_counter() - came[0], garbage[0] - came[1], pauses, inside))
        return written

    gc.callbacks.append(collecting)
    own.GuardedProtocol.data_received = data_received  # type: ignore[method-assign]
    own.Exchange.answer = answer  # type: ignore[method-assign, assignment]
    DataPlane.infer = inferred  # type: ignore[method-assign]
    server.serve(server.Settings.from_environment(cores))
    out.write_text(json.dumps(notes[WARM:]))


def cause_of(seconds: float, garbage: float, pauses: int, inside: float) -> str:
    """Of one slow request: the rarest thing first that explains enough of its time."""
    if garbage > SHARE * seconds:
        return "garbage"
    if pauses:
        return "scheduler"
    return "queue and model" if inside > SHARE * seconds else "loop"


def table(notes: list[tuple[float, float, int, float]]) -> str:
    """The slowest percent by cause, beside the same of all requests."""
    ordered = sorted(notes)
    slowest = ordered[len(ordered) * 99 // 100 :]
    middle = ordered[len(ordered) // 2][0]
    of_all, of_slow = (Counter(cause_of(*each) for each in some) for some in (ordered, slowest))
    most = slowest[0][0]
    lines = [
        f"{len(ordered):,} requests; p50 {middle * 1e6:.0f} µs, p99 {most * 1e6:.0f} µs ({most / middle:.1f} as much)",
        "",
        "| cause | of all | of the slowest percent | their median, µs |",
        "|---|--:|--:|--:|",
    ]
    for cause in CAUSES:
        times = sorted(each[0] for each in slowest if cause_of(*each) == cause)
        median = f"{times[len(times) // 2] * 1e6:.0f}" if times else "-"
        shares = f"{of_all[cause] / len(ordered):.1%} | {of_slow[cause] / len(slowest):.1%}"
        lines.append(f"| {cause} | {shares} | {median} |")
    return "\n".join(lines)


def _ask(port: int, body: bytes, end: float) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        while time.monotonic() < end:
            connection.request("POST", INFER, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise SystemExit(f"the server answers {answer.status}: {answer.read()[:300].decode()}")
            answer.read()


def measure(seconds: float, clients: int) -> list[tuple[float, float, int, float]]:
    """What the server noted while so many clients asked for so long."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="modelward-causes-") as name:
        folder = Path(name)
        model = models.train(MODEL, folder)
        port, grpc_port, spare = free_ports(3)
        place = Place(Path(sys.executable), model, folder, cores[-1], port, grpc_port, spare)
        _, env = SERVERS[0].launch(place)
        body = prepare(model, Case(MODEL, JSON, 1, clients), folder).body.read_bytes()
        notes = folder / "notes"
        paths = f"{env['PYTHONPATH']}:{settings.REPOSITORY}:{settings.REPOSITORY / 'tests'}"
        command = [sys.executable, "-m", "benchmarks.serving.causes", "--serve", str(notes)]
        pinned = ["taskset", "--cpu-list", str(cores[-1]), *command]
        process = subprocess.Popen(pinned, env={**os.environ, **env, "PYTHONPATH": paths, "GRPC_PORT": ""})
        try:
            _wait(port)
            end = time.monotonic() + seconds
            os.sched_setaffinity(0, {cores[0]})
            threads = [threading.Thread(target=_ask, args=(port, body, end)) for _ in range(clients)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            return [tuple(each) for each in json.loads(notes.read_text())]
        finally:
            process.kill()
            process.wait()


def _wait(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise SystemExit("the server is not ready after 60 s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.causes", description=__doc__)
    parser.add_argument("--busy", action="store_true", help="with a steady load beside, on each core")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve)
        return
    cores = sorted(os.sched_getaffinity(0))
    with busy.beside(cores, 10 * chosen.seconds + 300) if chosen.busy else contextlib.nullcontext():
        print(table(measure(chosen.seconds, chosen.clients)))


if __name__ == "__main__":
    main()
