"""A real server of others as a process of the test's own, started by what its preset says and by nothing else: the pod
as the operator renders it, its artifact brought and laid out by the download's own code.

What differs from the pod: the ports are free ones, the folder of models is a temporary one, and nobody confines it.
"""

import contextlib
import ctypes
import hashlib
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any
from unittest import mock

from builders import PLATFORM, owner
from foreign import environment
from localcluster.loopback import free_port
from modelward.api.modeldeployment import Model
from modelward.api.runtime import Runtime
from modelward.platform import Platform
from modelward.revisions import deployment
from modelward.revisions.pods import foreign_pod
from modelward.runtime_files import presets
from modelward_inference.fetch.layout import FOLDER, Layout, obtained
from modelward_inference.fetch.run import Request
from servers import Served

TESTS = Path(__file__).parents[1]
NAME = "fraud"
"""Of the ModelDeployment."""

START_SECONDS = 120.0
PORTS = ("PORT", "GRPC_PORT", "METRICS_PORT")


def missing_library() -> str | None:
    """Python's own library, with which Triton's Python backend is linked, where this machine has none."""
    name = f"libpython{sysconfig.get_python_version()}.so.1.0"
    for path in (name, f"{sysconfig.get_config_var('LIBDIR')}/{name}"):
        with contextlib.suppress(OSError):
            ctypes.CDLL(path)
            return None
    return name


class PresetServer(Served):
    """`with PresetServer(preset, artifact, file) as server:`; it is ready by the preset's own path.

    `file`: what the artifact is called in its store. `rest`, `grpc`, `metrics`: where it listens, host and port.
    """

    def __init__(self, preset: str, artifact: bytes, file: str, **variables: str) -> None:
        super().__init__(preset, START_SECONDS)
        self.preset = preset
        runtime = Runtime(name=preset, args=_more_arguments(preset, self._folder))
        pod = _pod(runtime, artifact, file)
        (download,), (server,) = pod["initContainers"], pod["containers"]
        self._lay_out(download, artifact, file)
        ports = {name: str(free_port()) for name in PORTS}
        self.rest, self.grpc, self.metrics = (f"127.0.0.1:{ports[name]}" for name in PORTS)
        told = _expanded(server["env"], {**ports, "MODELS_DIR": str(self._folder / FOLDER)})
        self._variables = told | _of_the_image(preset) | variables
        self._line = [_put_in(each, self._variables) for each in (*server["command"], *server["args"])]
        self.ready, self.live = (server[f"{name}Probe"]["httpGet"]["path"] for name in ("readiness", "liveness"))

    def _lay_out(self, download: dict[str, Any], artifact: bytes, file: str) -> None:
        claim = self._folder / "claim"
        claim.mkdir()
        (claim / file).write_bytes(artifact)
        told = {each["name"]: each["value"] for each in download["env"] if "value" in each}
        with mock.patch.dict(os.environ, {**told, "PVC_MOUNT": str(claim)}):
            layout = Layout.from_environment()
            assert layout is not None
            obtained(Request.from_environment(), layout, self._folder, frozenset({"files"}))

    def _command(self) -> list[str]:
        return ["env", "-i", *(f"{name}={value}" for name, value in self._variables.items()), *self._line]

    def _asked(self) -> str:
        return f"http://{self.rest}{self.ready}"


def _pod(runtime: Runtime, artifact: bytes, file: str) -> dict[str, Any]:
    """As the operator renders it."""
    platform: Platform = Platform(**{**vars(PLATFORM), "runtimes": presets(None)})
    digest = f"sha256:{hashlib.sha256(artifact).hexdigest()}"
    asked = owner(model=Model(f"pvc://models/{file}", digest=digest), runtime=runtime)
    assert asked.name == NAME
    found: dict[str, Any] = deployment.shape(asked, platform, f"{NAME}-0123456789").template["spec"]
    return found


def _expanded(listed: list[dict[str, str]], replaced: dict[str, str]) -> dict[str, str]:
    """Variables as the kubelet makes them, those of `replaced` with that value, and folders below its MODELS_DIR."""
    known: dict[str, str] = {}
    for each in listed:
        text = replaced.get(each["name"], _put_in(each["value"], known))
        known[each["name"]] = text.replace(foreign_pod.MODELS_DIR, replaced["MODELS_DIR"])
    return known


def _put_in(text: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"$({name})", value)
    return text


def _of_the_image(preset: str) -> dict[str, str]:
    """What the server's image would set."""
    path = [str(_bin(preset)), "/usr/local/bin", "/usr/bin", "/bin"]
    if preset != "triton":
        return {"PATH": ":".join(path)}
    site = _site(preset)
    libraries = (str(site / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR"))
    # What loads a model finds its Python's packages by PATH.
    path.insert(0, str(site / "pytriton/tritonserver/bin"))
    return {"PATH": ":".join(path), "LD_LIBRARY_PATH": ":".join(libraries)}


def _more_arguments(preset: str, folder: Path) -> tuple[str, ...]:
    """Triton looks for its backends where they are in its image; PyTriton's wheel puts them together at its start."""
    if preset != "triton":
        return ()
    triton = _site(preset) / "pytriton/tritonserver"
    backends = folder / "backends"
    shutil.copytree(triton / "backends", backends)
    stub = triton / "python_backend_stubs" / sysconfig.get_python_version() / "triton_python_backend_stub"
    shutil.copy2(stub, backends / "python")
    return (f"--backend-directory={backends}",)


def _bin(preset: str) -> Path:
    lock = {"triton": "tritonserver", "mlserver": "seldonserver"}[preset]
    return environment(preset, TESTS / lock / "requirements.lock")


def _site(preset: str) -> Path:
    (found,) = _bin(preset).parent.glob("lib/python3*/site-packages")
    return found
