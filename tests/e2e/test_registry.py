"""A real MLflow server in the cluster: aliases that move, an outage, artifacts that somebody overwrites."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from examples.demo import objects
from examples.demo.cluster import publish
from examples.demo.load import load
from examples.demo.model import Trained, train
from examples.demo.registry import ALIAS, Mlflow, install_mlflow, wait_for_mlflow

from benchmarks.rollout.under_load import RATE, address, body
from localcluster.clients import kubectl

from .model import Model, until
from .test_loop import LONG, Policy

POLL = "5s"
COMMITS = {version: version * 40 for version in "123"}
CANARY: dict[str, Any] = {
    "strategy": "Canary",
    "steps": [{"weight": 50, "hold": "2s"}],
    "gates": {"errorRate": {"margin": "5%"}, "minSamples": 50},
}
MOVES_THE_ALIAS = """
import json, urllib.request
body = json.dumps({"name": "NAME", "alias": "ALIAS", "version": "2"}).encode()
head = {"Content-Type": "application/json"}
path = "http://mlflow:5000/api/2.0/mlflow/registered-models/alias"
urllib.request.urlopen(urllib.request.Request(path, body, head), timeout=30).read()
open("/dev/termination-log", "w").write(json.dumps({"modelUri": "models:/NAME@ALIAS", "version": "2"}))
"""


class Registered:
    """A registered model with two versions, which lie in the namespace's store; version 1 has the alias."""

    def __init__(self, model: Model, mlflow: Mlflow, trained: Trained) -> None:
        self.model, self.mlflow = model, mlflow
        self.files = {
            f"{model.name}/1/model.onnx": trained.onnx(),
            f"{model.name}/2/model.onnx": train(trees=25).onnx(),
        }
        publish(model.namespace, "models", self.files)
        mlflow.ask("POST", "registered-models/create", name=model.name)
        for version in "12":
            run = mlflow.ask(
                "POST", "runs/create", experiment_id="0", tags=[
                    {"key": "mlflow.source.git.commit", "value": COMMITS[version]},
                ],
            )["run"]["info"]["run_id"]  # fmt: skip
            data = {"name": "digits", "digest": f"data{version}", "source_type": "code", "source": "{}"}
            mlflow.ask("POST", "runs/log-inputs", run_id=run, datasets=[{"dataset": data}])
            mlflow.ask(
                "POST", "model-versions/create", name=model.name, run_id=run,
                source=f"s3://models/{model.name}/{version}/model.onnx",
            )  # fmt: skip
        self.move("1")

    def move(self, version: str) -> None:
        self.mlflow.move(self.model.name, ALIAS, version)

    def apply(self, **spec: Any) -> None:
        self.model.apply(model={"uri": f"models:/{self.model.name}@{ALIAS}", "registry": "mlflow"}, **spec)

    def phase(self) -> str:
        return str(self.model.get()["status"].get("rollout", {}).get("phase"))

    def is_promoted(self) -> bool:
        stable = self.model.get()["status"]["stable"]
        return self.phase() == "Promoted" and stable["uri"].endswith("/2/model.onnx") and stable["version"] == "2"

    def looks_before_the_move_was_seen(self) -> int:
        """How often the operator asked for the alias since it moved last, until it asked where version 2 lies."""
        name = self.model.name
        log = kubectl("logs", "deployment/mlflow", "-n", self.model.namespace).splitlines()
        moved = max(number for number, line in enumerate(log) if '"POST ' in line and "registered-models/alias" in line)
        after = [line for line in log[moved:] if f"name={name}&" in line or f"name={name} " in line]
        seen = next(number for number, line in enumerate(after) if "get-download-uri" in line)
        return sum("registered-models/alias" in line for line in after[:seen])


@pytest.fixture(scope="module")
def mlflow(namespace: str) -> Iterator[Mlflow]:
    """A server of this file's, and the ModelRegistry `mlflow` that names it."""
    install_mlflow(namespace)
    registry = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelRegistry",
        "metadata": {"name": "mlflow", "namespace": namespace},
        "spec": {"mlflow": {"url": f"http://mlflow.{namespace}.svc:5000"}, "pollInterval": POLL},
    }  # fmt: skip
    kubectl("apply", "-f", "-", stdin=json.dumps(registry))
    wait_for_mlflow(namespace)
    with Mlflow(namespace) as opened:
        yield opened
    kubectl("delete", "mreg", "mlflow", "-n", namespace, "--wait=false")
    kubectl("delete", "deployment", "mlflow", "-n", namespace, "--wait=false")


@pytest.fixture
def registered(model: Model, mlflow: Mlflow, trained: Trained) -> Registered:
    return Registered(model, mlflow, trained)


@contextlib.contextmanager
def outage(namespace: str) -> Iterator[None]:
    """The server's processes are halted: connections hang, and the Service soon leads nowhere. It loses nothing."""
    _signal(namespace, "SIGSTOP")
    try:
        yield
    finally:
        _signal(namespace, "SIGCONT")


def _signal(namespace: str, name: str) -> None:
    """To all but the container's first process, which can't be halted from inside."""
    others = "[int(each) for each in os.listdir('/proc') if each.isdigit() and int(each) not in (1, os.getpid())]"
    script = f"import os, signal\nfor each in {others}: os.kill(each, signal.{name})"
    kubectl("exec", "deployment/mlflow", "-n", namespace, "--", "/opt/venv/bin/python3", "-c", script)


def pods(model: Model) -> set[str]:
    selector = f"app.kubernetes.io/instance={model.name},modelward.io/revision"
    return set(objects.names("pods", model.namespace, selector))


def requests(trained: Trained) -> list[str]:
    return [body(row) for row in trained.rows[:40].tolist()]


def test_an_alias_that_moves_is_a_canary_at_the_next_poll(
    registered: Registered, trained: Trained, measured: Callable[[str], None]
) -> None:
    model = registered.model
    registered.apply(rollout=CANARY)
    status = model.settle()["status"]
    assert (status["stable"]["version"], status["stable"]["commit"]) == ("1", COMMITS["1"])
    assert status["model"]["lineage"]["dataSets"] == [{"name": "digits", "digest": "data1"}]
    assert model.agreement(trained) == 1.0
    registered.move("2")
    moved = time.monotonic()
    status = until(lambda: found if "candidate" in (found := model.get()["status"]) else None, "a candidate")
    measured(f"{time.monotonic() - moved:.1f} s from the alias's move to the candidate; pollInterval is {POLL}")
    assert registered.looks_before_the_move_was_seen() == 1
    assert (status["candidate"]["version"], status["candidate"]["commit"]) == ("2", COMMITS["2"])
    assert (status["stable"]["version"], status["model"]["version"]) == ("1", "2")
    assert "VersionMoved" in model.events()


def test_an_outage_of_the_registry_for_a_whole_rollout_changes_nothing(
    registered: Registered, trained: Trained
) -> None:
    model = registered.model
    registered.apply(rollout=CANARY, replicas=2)
    model.settle()
    with load(model.namespace, "rest", address(model), *requests(trained), rate=RATE) as sent:
        registered.move("2")
        until(lambda: model.get()["status"].get("candidate"), "a candidate")
        with outage(model.namespace):
            kubectl("delete", "pod", min(pods(model)), "-n", model.namespace, "--wait=false")
            until(registered.is_promoted, "the promotion")
            until(lambda: model.condition("Resolved")["status"] == "False", "that the registry can't be asked")
            status = model.settle()["status"]
            gone = min(pods(model))
            kubectl("delete", "pod", gone, "-n", model.namespace)
            until(lambda: model.is_settled() and gone not in pods(model), "another pod in its place")
        until(lambda: model.condition("Resolved")["status"] == "True", "that the registry answers again")
    assert not sent.failed
    after = model.settle()["status"]
    assert after["stable"]["revision"] == status["stable"]["revision"]
    assert after["model"]["reference"] == status["model"]["reference"]
    wide = kubectl("get", "md", model.name, "-n", model.namespace, "-o", "wide", "--no-headers").split()
    assert wide[4] == "2"
    assert after["stable"]["commit"] == COMMITS["2"]
    assert model.get()["metadata"]["generation"] == 1, "spec is not written"


def test_an_artifact_that_somebody_overwrites_is_refused(registered: Registered, trained: Trained) -> None:
    model = registered.model
    registered.apply(replicas=2)
    model.settle()
    digest = model.get()["status"]["stable"]["digest"]
    files = registered.files
    first, second = sorted(files)
    publish(model.namespace, "models", {first: files[second]})
    kubectl("delete", "pod", min(pods(model)), "-n", model.namespace)
    until(lambda: model.condition("Stalled")["reason"] == "ArtifactChanged", "the refusal")
    assert "was overwritten" in model.condition("Stalled")["message"]
    assert model.agreement(trained) == 1.0, "the pod that has the right bytes goes on"
    publish(model.namespace, "models", {first: files[first]})
    for each in objects.find_all("pods", model.namespace, f"modelward.io/revision={model.stable()}"):
        if each["status"]["phase"] == "Pending":  # else the kubelet would wait longer and longer
            kubectl("delete", "pod", each["metadata"]["name"], "-n", model.namespace)
    status = model.settle()["status"]
    assert (status["readyReplicas"], status["stable"]["digest"]) == (2, digest)


def test_a_run_that_moves_the_alias_itself_ends_with_what_came_of_it(registered: Registered) -> None:
    model = registered.model
    registered.apply()
    model.settle()
    script = MOVES_THE_ALIAS.replace("NAME", model.name).replace("ALIAS", ALIAS)
    policy = Policy(model)
    policy.apply(["/opt/venv/bin/python3", "-c", script])
    kubectl("annotate", "dp", model.name, "-n", model.namespace, "modelward.io/retrain=now")
    ended = until(policy.ended, "the end of the run", LONG)
    assert ended["status"]["phase"] == "Promoted", ended
    assert ended["status"]["model"]["uri"] == f"s3://models/{model.name}/2/model.onnx"
    status = model.settle()["status"]
    assert (status["stable"]["version"], status["model"]["source"]) == ("2", "Registry")
