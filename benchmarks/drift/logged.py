"""`python -m benchmarks.drift.logged [--rounds 8]`: what the prediction log costs the server, beside capture alone.

One server captures all the time; two monitors take turns at its socket, one that keeps a log and one that does not. The
first closes a segment each second, three hundred times as often as it would, so that files are written and brought to
a folder within every turn. Monitors and clients share the core that the server does not have. Each pair of turns gives
one ratio, and the median of all counts.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.drift.capture import BUFFER, CASES, Result, Turn, table
from benchmarks.serving import checks, models
from benchmarks.serving.cases import GOAL_MODEL, Case
from benchmarks.serving.loads import Loads
from benchmarks.serving.processes import ServerProcess
from benchmarks.serving.requests import Request, prepare
from benchmarks.serving.servers import INFER, MODEL_READY, OURS, SERVERS, Place, free_ports
from localcluster import debian
from localcluster.progress import SetupError, say, step

SECONDS = 2
"""Of a turn."""

LOG = {
    "MODEL_NAMESPACE": "bench", "MODEL_REVISION": "model-a", "PREDICTION_LOG_SECONDS": "1",
}  # fmt: skip


def run(rounds: int) -> list[Result]:
    """Raises SetupError where there are no two cores, or a server does not come."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SetupError("the server needs one core, and the monitor with the clients another")
    debian.ensure({"wrk": "wrk", "taskset": "util-linux"})
    ours = next(server for server in SERVERS if server.name == OURS)
    load = Loads(cores[-2], Path("none"))
    found: dict[Case, list[tuple[Turn, Turn]]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory(prefix="mw-log-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        with step("training and fetching the model"):
            model = models.train(GOAL_MODEL, folder)
            requests = {case: prepare(model, case, folder) for case in CASES}
            for each in ("server", "pod", "store", "monitor"):
                (folder / each).mkdir()
            place = Place(Path(sys.executable), model, folder / "server", cores[-1], *free_ports(3))
            command, env = ours.launch(place)
        capture = {"CAPTURE_SOCKET": str(folder / "pod" / "capture.sock"), "CAPTURE_BUFFER_BYTES": str(BUFFER)}
        server = ServerProcess(command, {**env, **capture, "MODEL_REVISION": "model-a"}, folder / "server", cores[-1])
        stack.callback(server.stop)
        server.wait_ready(f"http://127.0.0.1:{place.port}{MODEL_READY}")
        url = f"http://127.0.0.1:{place.port}{INFER}"
        for case, request in requests.items():
            checks.check_rest(url, request)
            for number in range(rounds):
                turns = {}
                for logs in (False, True) if number % 2 else (True, False):
                    with _monitor(folder, env, cores[-2], logs=logs):
                        turns[logs] = _turn(server, load, url, request)
                found[case].append((turns[False], turns[True]))
        files = sum(1 for each in (folder / "store").rglob("*.parquet") if each.is_file())
        say(f"{files} files of the log")
        if not files:
            raise SetupError("no file of the log came about")
    return [Result(case, found[case], 0.0) for case in CASES]


@contextlib.contextmanager
def _monitor(folder: Path, env: Mapping[str, str], core: int, *, logs: bool) -> Iterator[None]:
    (port,) = free_ports(1)
    own = {
        **env, "MODEL_NAME": "model", "MONITOR_DIR": str(folder / "pod"), "MONITOR_PORT": str(port), "POD_UID": "bench",
        "MONITOR_FAREWELL_SECONDS": "0", **(LOG | {"PREDICTION_LOG_URI": str(folder / "store")} if logs else {}),
    }  # fmt: skip
    process = ServerProcess([sys.executable, "-m", "modelward_inference", "monitor"], own, folder / "monitor", core)
    try:
        process.wait_ready(f"http://127.0.0.1:{port}/healthz")
        yield
    finally:
        process.stop()


def _turn(server: ServerProcess, load: Loads, url: str, request: Request) -> Turn:
    before = server.cpu_seconds()
    figure = load.rest(url, request, SECONDS)
    if figure.failure:
        raise SetupError(figure.failure)
    return Turn(figure.rate, figure.p99, (server.cpu_seconds() - before) / (figure.rate * SECONDS))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift.logged", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="pairs of turns a case")
    results = run(parser.parse_args().rounds)
    print(table(results).replace("capture", "log", 1), end="\n\n")
    costs = {
        "log_throughput_cost": round(max(each.throughput_cost for each in results), 4),
        "log_p99_cost": round(max(each.p99_cost for each in results), 4),
        "log_cpu_cost": round(max(each.cpu_cost for each in results), 4),
    }
    print(json.dumps(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
