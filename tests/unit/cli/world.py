"""A namespace as kubectl tells of it, and a program that stands in for kubectl: it gives out files, and runs here what
is to be run in a container."""

import contextlib
import io
import json
import os
import stat
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

from modelward_cli import kubectl
from modelward_cli.main import main

from . import stand_in

PACKAGES: Final = [str(Path(__file__).parents[3] / each) for each in ("inference_image", "integrations/cli")]
DEADLINE: Final = 60.0
PROGRAM: Final = f"#!{sys.executable} -IS\n{Path(stand_in.__file__).read_text()}"

A, B, C, OLD = "fraud-aaaaaaaaaa", "fraud-bbbbbbbbbb", "fraud-cccccccccc", "fraud-0000000000"
VARIANT = "fraud-b-dddddddddd"

SEVEN: Mapping[str, Any] = {
    "name": "fraud", "runId": "cd8ccc0832c4460db4f3291185786a52", "modelId": "m-8c84",
    "commit": "5be0e9c1c5f8b6d0f2f1c0b2a79a4e3d6c8f7a11", "repository": "https://github.com/acme/fraud.git",
    "dataSets": [{"name": "train", "digest": "d7"}, {"name": "holdout", "digest": "h1"}],
    "parameters": {"max_depth": "4", "seed": "1"}, "metrics": {"auc": "0.93"}, "frameworks": {"sklearn": "1.9.1"},
    "registeredBy": "alice", "approvedBy": "bob", "approval": "looks good",
}  # fmt: skip
SIX: Mapping[str, Any] = {
    **SEVEN, "runId": "aaaa", "commit": "1111111111111111111111111111111111111111",
    "dataSets": [{"name": "train", "digest": "d6"}, {"name": "holdout", "digest": "h1"}],
    "parameters": {"max_depth": "3", "seed": "1"}, "metrics": {"auc": "0.91"},
}  # fmt: skip
EIGHT: Mapping[str, Any] = {**SEVEN, "runId": "8888", "commit": "8888888"}


def record(name: str, version: str, lineage: Mapping[str, Any], promoted: int | None = None) -> dict[str, Any]:
    """A ControllerRevision."""
    model = {"uri": f"s3://m/{version}", "format": "auto", "digest": None, "version": version, "lineage": lineage}
    annotations = {"modelward.io/promoted": json.dumps({"number": promoted, "at": 1_767_225_600.0})} if promoted else {}
    metadata = {
        "name": name, "namespace": "ml", "labels": {"app.kubernetes.io/instance": "fraud"}, "annotations": annotations,
        "creationTimestamp": "2025-12-31T23:00:00Z",
    }  # fmt: skip
    return {"metadata": metadata, "data": {"model": json.dumps(model), "template": {}}}


def deployment() -> dict[str, Any]:
    """Version 7 is stable, 8 is tried with 25 %, 6 is gone."""
    status = {
        "model": {
            "uri": "s3://m/8", "version": "8", "source": "Registry", "lineage": EIGHT,
            "reference": {"alias": "champion", "registry": "mlflow", "version": "8"},
        },
        "stable": {"revision": A, "uri": "s3://m/7", "version": "7", "digest": "sha256:7", "signedBy": "sha256:k",
                   "lineage": SEVEN, "weight": 70},
        "candidate": {"revision": B, "uri": "s3://m/8", "version": "8", "digest": "sha256:8", "weight": 25},
        "variants": [{"name": "b", "revision": VARIANT, "uri": "s3://m/other", "weight": 5, "mirrorPercent": 10}],
        "previous": [
            {"revision": OLD, "uri": "s3://m/6", "version": "6", "digest": "sha256:6", "lineage": SIX,
             "since": "2025-12-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        ],
        "rollout": {"revision": B, "startedAt": "2026-01-05T00:00:00Z", "stepStartedAt": "2026-01-06T00:00:00Z"},
    }  # fmt: skip
    return {"metadata": {"name": "fraud", "namespace": "ml"}, "spec": {}, "status": status}


def pod(name: str, revision: str, *, monitor: bool = True, model: str = "fraud") -> dict[str, Any]:
    labels = {"app.kubernetes.io/instance": model, "modelward.io/revision": revision}
    spec = {"initContainers": [{"name": "monitor"}] if monitor else [], "containers": [{"name": "server"}]}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"phase": "Running"}}


class Namespace:
    """`folder`: what the stand-in reads; `monitors`: of each pod, a folder as its monitor has one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.monitors = folder / "monitors"
        self.program = folder / "kubectl"
        self.program.write_text(PROGRAM)
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self.holds("modeldeployments.modelward.io", deployment())
        self.holds("controllerrevisions.apps", record(A, "7", SEVEN, 2), record(B, "8", EIGHT))
        self.holds("retrainingruns.modelward.io")
        self.holds("pods", pod("pod-a", A), pod("pod-b", B))

    def holds(self, resource: str, *items: Any) -> None:
        (self.folder / f"{resource}.json").write_text(json.dumps({"items": items}))

    def then(self, resource: str, *states: Sequence[Any]) -> None:
        """Each look at the resource shows the next of these, and all later ones the last."""
        lines = [json.dumps({"items": list(items)}) for items in states]
        (self.folder / f"{resource}.next").write_text("\n".join(lines))

    def refuses(self, what: str, said: str) -> None:
        """`what`: a resource, or a pod that nothing may be run in."""
        (self.folder / f"{what}.refused").write_text(said)

    def modelward(self, verb: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The command line in this process, with kubectl's stand-in in it: hundreds of starts of Python are minutes."""
        with mock.patch.object(kubectl, "subprocess", _WITHOUT_PROCESSES):
            return _here(verb, ["--kubectl", str(self.program), *arguments], _environment())

    def program_modelward(
        self, verb: str, *arguments: str, stdout: int = subprocess.PIPE
    ) -> "subprocess.CompletedProcess[str]":
        """The same as a program, without packages that are installed, and kubectl's stand-in as another."""
        return subprocess.run(
            [sys.executable, "-S", "-m", "modelward_cli", verb, "--kubectl", str(self.program), *arguments],
            env=_environment(), stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip

    def json(self, *arguments: str, code: int = 0) -> Any:
        ended = self.modelward("lineage", "-o", "json", *arguments)
        assert ended.returncode == code, ended.stderr
        return json.loads(ended.stdout)

    def text(self, *arguments: str, code: int = 0) -> str:
        ended = self.modelward("lineage", *arguments)
        assert ended.returncode == code, ended.stderr
        return ended.stdout

    def calls(self) -> Sequence[Sequence[str]]:
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def _here(verb: str, arguments: Sequence[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """`python -m modelward_cli` without a new process; what it raises is raised."""
    written, said = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    given = [verb, *arguments]
    with (
        mock.patch.object(sys, "argv", ["modelward", *given]),
        mock.patch.dict(os.environ, environment, clear=True),
        contextlib.redirect_stdout(written),
        contextlib.redirect_stderr(said),
    ):
        try:
            code = main(given)
        except SystemExit as ended:  # argparse's
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(given, code, _text(written), _text(said))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def _kubectl(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[bytes]":
    """`subprocess.run` of the stand-in without a new process. Only what is run in a container is one."""
    program = Path(command[0])
    if not program.is_file() or program.read_text() != PROGRAM:  # none, or a test's own
        return subprocess.run(command, **options)
    try:
        code, written, said = stand_in.answer(
            list(command[1:]), options["input"].decode(), program.parent, dict(os.environ)
        )
    except Exception:  # noqa: BLE001  a program that ends so
        code, written, said = 1, "", traceback.format_exc()
    return subprocess.CompletedProcess(command, code, written.encode(), said.encode())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(PACKAGES), "PYTHONDONTWRITEBYTECODE": "1"}


_WITHOUT_PROCESSES: Final = SimpleNamespace(run=_kubectl, TimeoutExpired=subprocess.TimeoutExpired)
