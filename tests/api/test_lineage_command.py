"""`modelward lineage` against a real API server, with a real kubectl: of what a real operator wrote.

Pods never run here: what is to be run in a monitor's container runs in a folder of the test; tests/e2e runs it there.
"""

import json
import os
import stat
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from localcluster import binaries
from modelward_inference.capture.requests import Requests
from modelward_monitor.answered import Answered
from nodeless.cluster import REPOSITORY, Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until
from recorded_mlflow import COMMIT, RUN, Recorded

from .test_registries import CANARY, Registry, follow, serves

DEADLINE = 60.0

LOCALLY = """\
import os, subprocess, sys
arguments = sys.argv[1:]
if "exec" in arguments:
    pod, command = arguments[arguments.index("exec") + 1], arguments[arguments.index("--") + 1:]
    environment = {{**os.environ, "PYTHONPATH": {image!r}, "MONITOR_DIR": os.path.join({monitors!r}, pod)}}
    sys.exit(subprocess.run([sys.executable, *command[1:]], env=environment).returncode)
os.execv({kubectl!r}, [{kubectl!r}, *arguments])
"""


class Line:
    """The command, as a person has it."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self._cluster, self._namespace, self._monitors = cluster, namespace, folder / "monitors"
        self._kubectl = folder / "kubectl"
        told = {
            "image": str(REPOSITORY / "inference_image"), "monitors": str(self._monitors),
            "kubectl": str(binaries.kubectl()),
        }  # fmt: skip
        self._kubectl.write_text(f"#!{sys.executable}\n{LOCALLY.format(**told)}")
        self._kubectl.chmod(self._kubectl.stat().st_mode | stat.S_IXUSR)

    def answered(self, pod: str, request_id: str, arm: str) -> None:
        made = Answered(self._monitors / pod / "answered")
        made.note(Requests([request_id], [None], [arm], [1], [0], [1_767_300_000.0], [0.1]))
        made.flush()
        made.close()

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [
                sys.executable, "-m", "modelward_cli", "lineage", "-n", self._namespace,
                "--kubectl", str(self._kubectl), "--kubeconfig", str(self._cluster.server.kubeconfig), *arguments,
            ],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "integrations/cli")},
            capture_output=True, text=True, timeout=DEADLINE,
            check=False,
        )  # fmt: skip

    def json(self, *arguments: str, code: int = 0) -> Any:
        ended = self.run(*arguments, "-o", "json")
        assert ended.returncode == code, ended.stderr + ended.stdout
        return json.loads(ended.stdout)


@pytest.fixture
def line(cluster: Cluster, namespace: str, tmp_path: Path) -> Line:
    return Line(cluster, namespace, tmp_path)


async def test_the_lineage_of_a_request_a_revision_and_a_model(
    cluster: Cluster, model: Model, namespace: str, line: Line
) -> None:
    registry = Registry(cluster, namespace)
    async with Recorded() as mlflow, operator(cluster):
        registry.apply(mlflow.url)
        follow(model, monitor={})
        await until(lambda: serves(model, "1"), "the version that the alias names")
        first = model.stable()["revision"]
        (alone,) = line.json(first)["revisions"]
        assert (alone["role"], alone["version"], alone["alias"], alone["registry"]) == (
            "stable",
            "1",
            "champion",
            "mlflow",
        )
        assert (alone["run"], alone["commit"], alone["before"]) == (RUN, COMMIT, None)
        assert alone["dataSets"] == [{"name": "fraud-train", "digest": "81835f75"}]
        assert alone["stableSince"] is not None
        # The second one is held, on trial.
        follow(model, monitor={}, rollout={**CANARY, "steps": [{"weight": 10, "hold": "1h"}]})
        mlflow.aliases["champion"] = "2"
        await until(lambda: model.is_ready() or candidate(model, 10), "the new version on trial")
        await until(lambda: candidate(model, 10), "its share of the requests")
        second = model.get()["status"]["candidate"]["revision"]
        request_id = str(uuid.uuid4())
        line.answered(f"{second}-0", request_id, "candidate")
        told = line.json(request_id)
        (found,) = told["revisions"]
        assert (found["revision"], found["version"], found["alias"]) == (second, "2", "champion")
        assert (found["answers"][0]["arm"], found["weight"]) == ("candidate", 10)
        assert (found["before"]["revision"], found["before"]["version"], found["before"]["run"]) == (first, "1", RUN)
        assert {"version", "uri"} <= {each["what"] for each in found["differences"]}
        assert sorted(each["revision"] for each in told["pods"]) == sorted([first, second])
        could = line.json(str(uuid.uuid4()), code=3)
        assert [(each["revision"], each["share"]) for each in could["revisions"]] == [(first, 90), (second, 10)]
        follow(model, monitor={})
        await until(lambda: serves(model, "2") and len(model.revisions()) == 1, "the new version, alone", 60)
        (of_model,) = line.json("fraud")["revisions"]
        assert (of_model["revision"], of_model["before"]["revision"], of_model["before"]["gone"]) == (
            second,
            first,
            True,
        )
        assert (of_model["before"]["version"], of_model["before"]["commit"]) == ("1", COMMIT)
        (gone,) = line.json(first)["revisions"]
        assert (gone["role"], gone["gone"], gone["stableUntil"] is not None) == ("removed", True, True)
        person = line.run("fraud")
        assert person.returncode == 0, person.stderr
        assert f"before it: {first} version 1" in person.stdout
        assert "is gone: its ControllerRevision was deleted" in line.json("fraud-0123456789", code=1)["notes"][0]


def candidate(model: Model, weight: int) -> bool:
    model.kubelet.settle()
    return bool(model.get()["status"].get("candidate", {}).get("weight") == weight)


def test_what_the_cluster_does_not_let_somebody_see_is_said(cluster: Cluster, namespace: str, line: Line) -> None:
    ended = line.run("fraud", "--context", "no-such-context")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "no-such-context" in ended.stderr
    empty = line.json("fraud", code=1)
    assert empty["revisions"] == []
    assert "No pod knows who answered the request fraud" in empty["notes"][0]
    assert f"The namespace {namespace} has no ModelDeployment" in empty["notes"][1]
