"""A run: start the servers of a model, check them, measure them in turn, end them; then the next model.

In each round every server has its turn at a case before the next case comes, so that whatever else happens on the
machine hits them alike; those who wait are paused. A server that can't be installed, started or trusted is left out,
and the table says why.
"""

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.serving import checks, models
from benchmarks.serving.cases import BINARY, GRPC, Case, Plan
from benchmarks.serving.environments import python_for
from benchmarks.serving.loads import Figure, Loads, model_call
from benchmarks.serving.messages import read_grpc
from benchmarks.serving.models import Model
from benchmarks.serving.processes import ServerProcess
from benchmarks.serving.requests import Request, prepare
from benchmarks.serving.servers import ECHO, INFER, OURS, SERVERS, Place, Server, free_ports
from localcluster.progress import SetupError, step

MODEL_CALL, SKLEARN_CALL = "model call (onnxruntime)", "model call (scikit-learn)"


@dataclass
class Results:
    """`figures` of each round and why some are `absent`, by case and server; `memory` in bytes, by model and server."""

    figures: dict[tuple[Case, str], list[Figure]] = field(default_factory=dict)
    memory: dict[tuple[str, str], int] = field(default_factory=dict)
    absent: dict[tuple[Case, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A server that answers, and where."""

    server: Server
    place: Place
    process: ServerProcess

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.place.port}{INFER}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.place.grpc_port}"


class Run:
    """One run of a plan. `core`: the one that all servers share."""

    def __init__(self, plan: Plan, core: int, load: Loads) -> None:
        self._plan = plan
        self._core = core
        self._load = load
        self._results = Results()
        self._pythons: dict[str, Path] = {}
        self._missing: dict[str, str] = {}

    def measure(self) -> Results:
        for server in SERVERS:
            try:
                self._pythons[server.name] = python_for(server.environment, server.requirements)
            except SetupError as error:
                self._missing[server.name] = f"can't be installed: {error}"
        with tempfile.TemporaryDirectory(prefix="modelward-serving-") as name:
            for model in self._plan.models:
                folder = Path(name) / model
                folder.mkdir()
                with step(f"training {model}"):
                    trained = models.train(model, folder)
                self._measure_model(trained, folder)
        return self._results

    def _measure_model(self, model: Model, folder: Path) -> None:
        requests = {case: prepare(model, case, folder) for case in self._plan.cases if case.model == model.name}
        with contextlib.ExitStack() as stack:
            with step(f"starting the servers of {model.name}"):
                running = self._start_all(model, folder, list(requests), stack)
                able = {
                    case: [one for one in running if self._able(request, one)] for case, request in requests.items()
                }
            for one in running:
                one.process.pause()
            for number in range(self._plan.rounds):
                with step(f"{model.name}: round {number + 1} of {self._plan.rounds}"):
                    for case, request in requests.items():
                        for one in able[case]:
                            self._keep(case, one.name, partial(self._turn, request, one))
                        if case.transport == BINARY:
                            self._model_calls(case, model, folder)
            for one in running:
                self._results.memory[model.name, one.name] = one.process.memory()

    def _start_all(self, model: Model, folder: Path, cases: list[Case], stack: contextlib.ExitStack) -> list[Running]:
        """The servers that became ready; the others are noted as absent."""
        started = []
        for server in (server for server in SERVERS if model.name in server.models):
            try:
                if server.name in self._missing:
                    raise SetupError(self._missing[server.name])
                started.append(self._start(server, model, folder, stack))
            except SetupError as error:
                for case in cases:
                    self._results.absent[case, server.name] = str(error)
        return started

    def _start(self, server: Server, model: Model, folder: Path, stack: contextlib.ExitStack) -> Running:
        home = folder / server.name
        home.mkdir()
        place = Place(self._pythons[server.name], model, home, self._core, *free_ports(3))
        command, env = server.launch(place)
        process = ServerProcess(command, env, home, self._core)
        stack.callback(process.stop)
        process.wait_ready(f"http://127.0.0.1:{place.port}{server.ready}")
        return Running(server, place, process)

    def _able(self, request: Request, one: Running) -> bool:
        """Whether it has the form and answers right; if not, it is noted why."""
        case = request.case
        if case.transport not in one.server.transports:
            self._results.absent[case, one.name] = one.server.lacks[case.transport]
            return False
        try:
            if one.name == ECHO:
                checks.check_echo(one.url, request)
            elif case.transport == GRPC:
                checks.compare(read_grpc(self._load.rpc_once(one.address, request)), request.expected)
            else:
                checks.check_rest(one.url, request)
        except SetupError as error:
            self._results.absent[case, one.name] = str(error)
            return False
        except (LookupError, ValueError, TypeError, StopIteration) as error:
            self._results.absent[case, one.name] = f"its answer can't be read: {type(error).__name__}: {error}"
            return False
        return True

    def _turn(self, request: Request, one: Running) -> Figure:
        one.process.check()
        with one.process.awake():
            if request.case.transport == GRPC:
                return self._load.rpc(one.address, request, self._plan.seconds)
            return self._load.rest(one.url, request, self._plan.seconds)

    def _model_calls(self, case: Case, model: Model, folder: Path) -> None:
        """By the libraries of our own environment, on the servers' core."""
        if OURS not in self._pythons:
            return
        rows = folder / f"rows-{case.rows}.npy"
        np.save(rows, model.rows[: case.rows])
        files = {MODEL_CALL: model.graph} | ({SKLEARN_CALL: model.file} if model.file != model.graph else {})
        for name, file in files.items():
            turn = partial(model_call, self._pythons[OURS], file, rows, self._core, self._plan.seconds)
            self._keep(case, name, turn)

    def _keep(self, case: Case, name: str, turn: Callable[[], Figure]) -> None:
        try:
            figure = turn()
        except SetupError as error:
            figure = Figure(failure=str(error))
        self._results.figures.setdefault((case, name), []).append(figure)
