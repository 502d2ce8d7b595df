"""The servers: ours and its peers, each at its best settings on one core. A setting that is not obvious says why."""

import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.cases import BINARY, GOAL_MODEL, GRPC, JSON, MODELS
from benchmarks.serving.models import Model
from localcluster import settings
from localcluster.commands import run

PEERS = Path(__file__).parent / "peers"
IMAGE = settings.REPOSITORY / "inference_image"

OURS, KSERVE, ECHO = "modelward", "kserve", "echo"
MLSERVER, MLSERVER_BATCHING = "mlserver", "mlserver, batching"

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""More threads than cores only get in each other's way."""


@dataclass(frozen=True)
class Place:
    """Where one server of one model runs."""

    python: Path
    model: Model
    folder: Path
    core: int
    port: int
    grpc_port: int
    spare_port: int

    @property
    def env(self) -> dict[str, str]:
        return {
            **ONE_THREAD,
            "MODEL_FILE": str(self.model.file),
            "OUTPUT": self.model.output,
            "PORT": str(self.port),
            "GRPC_PORT": str(self.grpc_port),
            "PYTHONPATH": str(PEERS),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def script(self, name: str) -> list[str]:
        return [str(self.python), str(PEERS / name)]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


Launch = tuple[list[str], Mapping[str, str]]
"""A command, and what its environment has besides ours."""


@dataclass(frozen=True)
class Server:
    """`launch` prepares a place and says what to start; `ready`: a path that answers 200; `lacks`: forms, and why."""

    name: str
    requirements: Path
    transports: frozenset[str]
    ready: str
    launch: Callable[[Place], Launch]
    lacks: Mapping[str, str] = field(default_factory=dict)
    models: frozenset[str] = frozenset(MODELS)

    @property
    def environment(self) -> str:
        """Servers with the same requirements share one."""
        return self.requirements.stem if self.requirements.parent == PEERS else self.name


def modelward(place: Place, image: Path = IMAGE) -> Launch:
    """`image`: the server's own source, of this checkout or another."""
    bundle = place.folder / "bundle"
    bundle.mkdir()
    env = {
        "PYTHONPATH": str(image),
        "PYTHONDONTWRITEBYTECODE": "1",
        "BUNDLE_DIR": str(bundle),
        "TERMINATION_LOG": str(place.folder / "termination-log"),
        "HOST": "127.0.0.1",
        "PORT": str(place.port),
        "GRPC_PORT": str(place.grpc_port),
        "DRAIN_SECONDS": "0",
    }
    command = ["taskset", "--cpu-list", str(place.core), str(place.python), "-m", "modelward_inference"]
    source = {"MODEL_URI": f"pvc://models/{place.model.file.name}", "PVC_MOUNT": str(place.model.file.parent)}
    run([*command, "fetch"], env={**env, **source})
    return [*command[3:], "serve"], env


MLSERVER_BATCH = {"max_batch_size": 16, "max_batch_time": 0.005}
"""Requests and seconds: better where many ask, far worse where one does. So both ways are measured."""


def _mlserver(place: Place, batching: bool = False) -> Launch:
    (place.folder / "settings.json").write_text(
        json.dumps(
            {
                "host": "127.0.0.1",
                "http_port": place.port,
                "grpc_port": place.grpc_port,
                "metrics_port": place.spare_port,
                # A worker process costs more than it brings where there is one core.
                "parallel_workers": 0,
                # Its debug mode, which is on by default, logs every request.
                "debug": False,
                "gzip_enabled": False,
            }
        )
    )
    onnx = place.model.file.suffix == ".onnx"
    model = {
        "name": "model",
        "implementation": "mlserver_onnx.OnnxModel" if onnx else "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(place.model.file)},
        **(MLSERVER_BATCH if batching else {}),
    }
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    return [str(place.python.parent / "mlserver"), "start", str(place.folder)], place.env


def _mlserver_batching(place: Place) -> Launch:
    return _mlserver(place, batching=True)


def _bentoml(place: Place) -> Launch:
    env = {**place.env, "BENTOML_HOME": str(place.folder), "BENTOML_DO_NOT_TRACK": "True"}
    words = ["serve", "bentoml_app:Service", "--working-dir", str(PEERS), "--host", "127.0.0.1"]
    return [str(place.python), "-m", "bentoml", *words, "--port", str(place.port)], env


def _script(name: str) -> Callable[[Place], Launch]:
    return lambda place: (place.script(name), place.env)


NO_BINARY = "has no binary tensor extension in REST"
OWN_API = dict.fromkeys((BINARY, GRPC), "does not speak the Open Inference Protocol of its own")
INFER, MODEL_READY = "/v2/models/model/infer", "/v2/models/model/ready"

SERVERS = (
    Server(OURS, IMAGE / "requirements.lock", frozenset({JSON, BINARY, GRPC}), MODEL_READY, modelward),
    Server(MLSERVER, PEERS / "mlserver.txt", frozenset({JSON, GRPC}), MODEL_READY, _mlserver, {BINARY: NO_BINARY}),
    Server(
        MLSERVER_BATCHING, PEERS / "mlserver.txt", frozenset({JSON, GRPC}), MODEL_READY, _mlserver_batching,
        {BINARY: NO_BINARY}, frozenset({GOAL_MODEL}),
    ),
    Server(KSERVE, PEERS / "kserve.txt", frozenset({JSON, BINARY, GRPC}), MODEL_READY, _script("kserve_app.py")),
    Server("bentoml", PEERS / "bentoml.txt", frozenset({JSON}), "/readyz", _bentoml, OWN_API),
    Server("litserve", PEERS / "litserve.txt", frozenset({JSON}), "/health", _script("litserve_app.py"), OWN_API),
    Server("fastapi", PEERS / "fastapi.txt", frozenset({JSON}), "/ready", _script("fastapi_app.py"), OWN_API),
    Server(ECHO, PEERS / "fastapi.txt", frozenset({JSON}), "/", _script("echo.py"), OWN_API),
)  # fmt: skip
