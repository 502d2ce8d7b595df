"""What capture costs the server: it is turned off and on in one process, on one core, under load.

Two processes of the same server differ by more than capture costs, for all their lives; so they do not take turns, one
does with itself, and several are started. The monitor and the clients share the other core. Each pair of turns gives
one ratio, and the median of all counts. The processor time a request is the least noisy figure. The buffer is large
enough for a second of the load, which is what a monitor takes to acknowledge: the cost is that of every row.
"""

import contextlib
import itertools
import os
import re
import signal
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.markdown import markdown
from benchmarks.serving import checks, models
from benchmarks.serving.cases import BINARY, GOAL_CLIENTS, GOAL_MODEL, JSON, MANY_ROWS, Case
from benchmarks.serving.environments import python_for
from benchmarks.serving.loads import Figure, Loads
from benchmarks.serving.processes import ServerProcess
from benchmarks.serving.requests import Request, prepare
from benchmarks.serving.servers import IMAGE, INFER, MODEL_READY, OURS, SERVERS, Place, free_ports
from localcluster import debian
from localcluster.progress import SetupError, say, step

CASES = (Case(GOAL_MODEL, JSON, 1, GOAL_CLIENTS), Case(GOAL_MODEL, BINARY, MANY_ROWS, GOAL_CLIENTS))
HERE = Path(__file__).parent
SERVER, DRAIN = HERE / "switched.py", HERE / "drain.py"
BUFFER = 256 << 20
SOCKET_SECONDS = 20.0
"""How long a monitor may take to listen."""


@dataclass(frozen=True)
class Turn:
    """`cpu`: seconds of the server's processor time a request."""

    rate: float
    p99: float
    cpu: float


@dataclass(frozen=True)
class Result:
    """One case: turns without and with capture, in pairs. `dropped`: share of the rows that found no room."""

    case: Case
    pairs: Sequence[tuple[Turn, Turn]]
    dropped: float

    @property
    def throughput_cost(self) -> float:
        return median(1 - on.rate / off.rate for off, on in self.pairs)

    @property
    def p99_cost(self) -> float:
        return median(on.p99 / off.p99 - 1 for off, on in self.pairs)

    @property
    def cpu_cost(self) -> float:
        return median(on.cpu / off.cpu - 1 for off, on in self.pairs)


def run(short: bool = False) -> list[Result]:
    """Raises SetupError where there are no two cores, or a server does not come."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SetupError("the server needs one core, and the monitor with the clients another")
    debian.ensure({"wrk": "wrk", "taskset": "util-linux"})
    starts, rounds, seconds = (2, 6, 1) if short else (4, 20, 1)
    ours = next(server for server in SERVERS if server.name == OURS)
    python = python_for(ours.environment, ours.requirements)
    load = Loads(cores[-2], Path("none"))
    found: dict[Case, list[tuple[Turn, Turn]]] = {case: [] for case in CASES}
    dropped: dict[Case, list[float]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory(prefix="mw-capture-") as name:
        folder = Path(name)
        with step("training and fetching the model"):
            model = models.train(GOAL_MODEL, folder)
            requests = {case: prepare(model, case, folder) for case in CASES}
            home = folder / "server"
            home.mkdir()
            command, env = ours.launch(Place(python, model, home, cores[-1], *free_ports(3)))
        for start in range(starts):
            with step(f"start {start + 1} of {starts}"), _running(folder / f"{start}", command, env, cores) as one:
                for case, request in requests.items():
                    checks.check_rest(one.url, request)
                    before = one.rows()
                    for number in range(rounds):
                        found[case].append(one.turns(load, request, seconds, on_first=bool(number % 2)))
                    rows = [now - then for now, then in zip(one.rows(), before, strict=True)]
                    dropped[case].append(rows[1] / sum(rows))
    return [Result(case, found[case], median(dropped[case])) for case in CASES]


def table(results: Sequence[Result]) -> str:
    """For people."""
    figures = [(f"off, {what}", f"on, {what}", "cost") for what in ("req/s", "p99 ms", "CPU µs")]
    header = ["capture", *itertools.chain.from_iterable(figures), "rows dropped"]
    rows = []
    for each in results:
        off, on = ([pair[side] for pair in each.pairs] for side in (0, 1))
        rows.append([
            each.case.label,
            *(f"{median(turn.rate for turn in side):,.0f}" for side in (off, on)), f"{each.throughput_cost:.1%}",
            *(f"{median(turn.p99 for turn in side) * 1000:.2f}" for side in (off, on)), f"{each.p99_cost:.1%}",
            *(f"{median(turn.cpu for turn in side) * 1e6:.0f}" for side in (off, on)), f"{each.cpu_cost:.1%}",
            f"{each.dropped:.1%}",
        ])  # fmt: skip
    return markdown(header, rows)


def summary(results: Sequence[Result]) -> dict[str, float]:
    """The worst of the cases."""
    return {
        "capture_throughput_cost": round(max(each.throughput_cost for each in results), 4),
        "capture_p99_cost": round(max(each.p99_cost for each in results), 4),
        "capture_cpu_cost": round(max(each.cpu_cost for each in results), 4),
    }


@dataclass
class Running:
    """A server that captures, unless it was switched off."""

    port: int
    process: ServerProcess

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{INFER}"

    def turns(self, load: Loads, request: Request, seconds: int, *, on_first: bool) -> tuple[Turn, Turn]:
        """Off and on. It captures before and afterwards."""
        if on_first:
            on = self._turn(load, request, seconds)
        self.process.signal(signal.SIGUSR1)
        off = self._turn(load, request, seconds)
        self.process.signal(signal.SIGUSR1)
        if not on_first:
            on = self._turn(load, request, seconds)
        return off, on

    def _turn(self, load: Loads, request: Request, seconds: int) -> Turn:
        before = self.process.cpu_seconds()
        figure: Figure = load.rest(self.url, request, seconds)
        spent = self.process.cpu_seconds() - before
        if figure.failure:
            raise SetupError(figure.failure)
        return Turn(figure.rate, figure.p99, spent / (figure.rate * seconds))

    def rows(self) -> tuple[float, float]:
        """Handed over, and dropped."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        sent, dropped = (
            re.search(rf'^modelward_capture_rows_total{{result="{result}"}} (\S+)', text, re.MULTILINE)
            for result in ("sent", "dropped")
        )
        if sent is None or dropped is None:
            raise SetupError("the server does not capture")
        return float(sent[1]), float(dropped[1])


@contextlib.contextmanager
def _running(folder: Path, command: Sequence[str], env: Mapping[str, str], cores: Sequence[int]) -> Iterator[Running]:
    with contextlib.ExitStack() as stack:
        folder.mkdir()
        _monitor(folder, command[0], env, cores[-2], stack)
        port, grpc_port = free_ports(2)
        capture = {"CAPTURE_SOCKET": str(folder / "capture.sock"), "CAPTURE_BUFFER_BYTES": str(BUFFER)}
        ports = {"PORT": str(port), "GRPC_PORT": str(grpc_port)}
        process = ServerProcess([command[0], str(SERVER)], {**env, **ports, **capture}, folder, cores[-1])
        stack.callback(process.stop)
        process.wait_ready(f"http://127.0.0.1:{port}{MODEL_READY}")
        yield Running(port, process)


def _monitor(folder: Path, python: str, env: Mapping[str, str], core: int, stack: contextlib.ExitStack) -> None:
    """The real one where there is one, which learns its reference from the first rows."""
    (port,) = free_ports(1)
    own = {**env, "MODEL_NAME": "model", "MONITOR_DIR": str(folder), "MONITOR_PORT": str(port), "POD_UID": "bench"}
    programs = [[python, str(DRAIN), str(folder / "capture.sock")]]
    if (IMAGE / "modelward_monitor").exists():
        programs.insert(0, [python, "-m", "modelward_inference", "monitor"])
    failure: SetupError | None = None
    for number, program in enumerate(programs):
        home = folder / f"monitor{number}"
        home.mkdir()
        process = ServerProcess(program, own, home, core)
        try:
            _wait_for_socket(process, folder / "capture.sock")
        except SetupError as error:
            failure = error
            process.stop()
        else:
            stack.callback(process.stop)
            if str(DRAIN) in program:
                say(f"the monitor does not start, another reads in its place: {failure}")
            return
    raise failure or SetupError("there is no monitor")


def _wait_for_socket(process: ServerProcess, path: Path) -> None:
    end = time.monotonic() + SOCKET_SECONDS
    while not path.exists():
        process.check()
        if time.monotonic() > end:
            raise SetupError(f"no monitor listens after {SOCKET_SECONDS:.0f} s")
        time.sleep(0.05)


if __name__ == "__main__":
    measured = run(short=True)
    print(table(measured), end="\n\n")
    print(summary(measured))
