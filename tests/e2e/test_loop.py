"""The whole loop on a real cluster: drift, a training Job that trains, and a rollout that promotes or refuses."""

import io
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from examples.demo import objects
from examples.demo.cluster import publish
from examples.demo.load import load
from examples.demo.loop import inverted
from examples.demo.model import Trained

from localcluster import images
from localcluster.clients import kubectl

from .model import Model, until
from .test_monitors import BUNDLE, RATE, address, requests
from .versions import failing

ROOT = Path(__file__).parents[2]
LONG = 240.0
CANARY = {
    "steps": [{"weight": 30, "hold": "2s"}],
    "gates": {"errorRate": {"margin": "1%"}, "refusals": {"margin": "1%"}, "minSamples": 50},
}
MONITOR = {"window": {"duration": "5s", "minSamples": 200}}
REPORTS = "echo '{report}' > /dev/termination-log"


class Policy:
    """The demo's DriftPolicy, for a model of the test's own."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def apply(self, command: list[str] | None = None, **spec: Any) -> None:
        """`command`: what the Job runs instead of examples/retraining/train.py, from the ConfigMap `retraining`."""
        body = yaml.safe_load((ROOT / "examples/demo/drift-policy.yaml").read_text())
        body["metadata"] = {"name": self.model.name, "namespace": self.model.namespace}
        body["spec"] |= {"target": {"name": self.model.name}, **spec}
        pod = body["spec"]["retrain"]["job"]["template"]["spec"]["template"]["spec"]
        pod["volumes"][0]["configMap"] = {"name": "retraining", "optional": True}
        (container,) = pod["containers"]
        container["image"] = images.ensure(["inference"])["inference"]
        container["envFrom"] = [{"secretRef": {"name": "s3-credentials"}}]
        container["command"] = command or ["/opt/venv/bin/python3", "/training/train.py"]
        kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def get(self) -> dict[str, Any]:
        return objects.get("driftpolicies", self.model.namespace, self.model.name)

    def target(self) -> dict[str, Any]:
        return next(iter(self.get().get("status", {}).get("targets", ())), {})

    def runs(self) -> list[dict[str, Any]]:
        """The RetrainingRuns, the latest first."""
        selector = f"modelward.io/policy={self.model.name}"
        items: list[dict[str, Any]] = json.loads(
            kubectl("get", "rr", "-n", self.model.namespace, "-l", selector, "-o", "json")
        )["items"]
        return sorted(items, key=lambda each: str(each["spec"]["requestedAt"]), reverse=True)

    def ended(self) -> dict[str, Any] | None:
        """The last run that has ended."""
        return next((each for each in self.runs() if "finishedAt" in each.get("status", {})), None)

    def timeline(self, run: dict[str, Any]) -> str:
        """Seconds from the end of the window that drifted to what came of it."""
        name = run["metadata"]["name"]
        body = objects.get("jobs", self.model.namespace, name)
        pods = objects.find_all("pods", self.model.namespace, f"batch.kubernetes.io/job-name={name}")
        began = pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]["startedAt"]
        times = {
            "decided": run["spec"]["requestedAt"], "Job": body["metadata"]["creationTimestamp"],
            "training began": began, "training done": body["status"]["completionTime"],
            "promoted": run["status"]["finishedAt"],
        }  # fmt: skip
        start = datetime.fromisoformat(run["spec"]["evidence"]["window"]["end"])
        return ", ".join(
            f"{what} {(datetime.fromisoformat(at) - start).total_seconds():.0f} s" for what, at in times.items()
        )

    def condition(self, kind: str) -> dict[str, str]:
        conditions = self.get().get("status", {}).get("conditions", ())
        return next((each for each in conditions if each["type"] == kind), {"status": "", "reason": "", "message": ""})

    def jobs(self) -> list[str]:
        selector = f"modelward.io/policy={self.model.name}"
        return objects.names("jobs", self.model.namespace, selector)


@pytest.fixture
def policy(model: Model, trained: Trained) -> Policy:
    """With what its Job needs: the script, and labelled rows of the changed world."""
    content = io.BytesIO()
    np.savez(content, rows=inverted(trained.train_rows), labels=trained.train_labels)
    publish(
        model.namespace,
        "models",
        {f"{model.name}/data/latest.npz": content.getvalue(), "failing/model.onnx": failing(trained.onnx())},
    )
    script = (ROOT / "examples/retraining/train.py").read_text()
    kubectl("apply", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "retraining", "namespace": model.namespace},
        "data": {"train.py": script},
    }))  # fmt: skip
    return Policy(model)


def accuracy(model: Model, rows: Any, labels: Any) -> float:
    import tritonclient.http as triton

    with model.client() as client:
        tensor = triton.InferInput("input", list(rows.shape), "FP32")
        tensor.set_data_from_numpy(rows.astype(np.float32))
        answer = client.infer(model.name, [tensor]).as_numpy("predict")
    return float(np.mean(answer == labels))


@pytest.mark.timeout(600)  # several waits of LONG, each of which says what was waited for
def test_drift_leads_to_a_model_that_sees_again(
    model: Model, policy: Policy, trained: Trained, measured: Callable[[str], None]
) -> None:
    model.apply(BUNDLE, monitor=MONITOR, rollout=CANARY)
    model.settle()
    policy.apply()
    changed = inverted(trained.rows)
    before, drifted = (accuracy(model, rows, trained.labels) for rows in (trained.rows, changed))
    with load(model.namespace, "rest", address(model), *requests(changed), rate=RATE, longest=400) as sent:
        until(lambda: policy.condition("Drifted")["status"] == "True", "drift")
        until(policy.jobs, "a training Job")
        ended = until(policy.ended, "the end of the run", LONG)
        assert ended["status"]["phase"] == "Promoted", ended
        until(lambda: policy.condition("Drifted")["status"] == "False", "no drift against the new reference")
    assert not sent.failed
    after = accuracy(model, changed, trained.labels)
    assert (before > 0.9, drifted < 0.5, after > 0.9) == (True, True, True), (before, drifted, after)
    assert len(policy.jobs()) == 1
    body = model.get()
    assert body["spec"]["model"]["uri"].endswith(BUNDLE), "spec is not written"
    assert body["status"]["model"]["uri"] == ended["status"]["model"]["uri"]
    assert body["status"]["model"]["run"] == ended["metadata"]["name"]
    assert ended["spec"]["trigger"] == "Drift"
    measured(f"from the end of the drifted window: {policy.timeline(ended)}")
    holdout = ended["status"]["holdout"]
    measured(f"accuracy {before:.3f}, drifted {drifted:.3f}, after one training Job {after:.3f}; {holdout}")


@pytest.mark.timeout(600)
def test_a_retrained_model_that_fails_is_rolled_back_and_not_trained_in_a_circle(
    model: Model, policy: Policy, trained: Trained
) -> None:
    model.apply(monitor={"learnRows": 200, **MONITOR}, rollout=CANARY)
    model.settle()
    report = json.dumps({"modelUri": "s3://models/failing/model.onnx"})
    policy.apply(["/bin/sh", "-c", REPORTS.format(report=report)])
    stable = model.stable()
    rows, changed = trained.rows.copy(), inverted(trained.rows)
    changed[:, 0] = 99.0  # what the version that the Job brings fails at
    plain, shifted = ([body.replace('"input"', '"X"') for body in requests(each)] for each in (rows, changed))
    with load(model.namespace, "rest", address(model), *plain, rate=RATE) as sent:
        until(lambda: model.condition("Monitored")["reason"] == "LearnedReference", "a reference")
    assert not sent.failed
    with load(model.namespace, "rest", address(model), *shifted, rate=RATE, longest=400) as sent:
        ended = until(policy.ended, "the end of the run", LONG)
        assert ended["status"]["phase"] == "RolledBack", ended
        window = policy.target()["window"]["end"]
        until(lambda: policy.target()["window"]["end"] != window, "another drifted window")
        until(lambda: policy.target()["verdict"] == "Drifted", "which still drifts")
    assert model.stable() == stable
    assert len(policy.jobs()) == 1, "the same drift of the same revision does not train again"
    assert model.get()["status"]["model"]["source"] == "Spec"
    assert ended["status"]["model"]["uri"] == "s3://models/failing/model.onnx"
    assert "refusals" in ended["status"]["message"]


def test_a_model_that_is_worse_on_the_holdout_gets_no_request(model: Model, policy: Policy, trained: Trained) -> None:
    model.apply(BUNDLE, monitor=MONITOR, rollout=CANARY)
    model.settle()
    holdout = {"metric": "accuracy", "current": 0.9, "candidate": 0.4}
    report = {"modelUri": "s3://models/digits/2/model.onnx", "metrics": {"holdout": holdout}}
    policy.apply(["/bin/sh", "-c", REPORTS.format(report=json.dumps(report))])
    asked = kubectl("annotate", "dp", model.name, "-n", model.namespace, "modelward.io/retrain=now")
    assert "annotated" in asked
    ended = until(policy.ended, "the end of the run", LONG)
    assert ended["status"]["phase"] == "Refused"
    assert "0.4" in ended["status"]["message"]
    assert model.get()["spec"]["model"]["uri"].endswith(BUNDLE)
    assert "candidate" not in model.get()["status"]


def test_deleting_a_run_stops_its_job_and_its_pods(model: Model, policy: Policy, trained: Trained) -> None:
    model.apply(BUNDLE, monitor=MONITOR, rollout=CANARY)
    model.settle()
    policy.apply(["/bin/sh", "-c", "sleep 600"])
    kubectl("annotate", "dp", model.name, "-n", model.namespace, "modelward.io/retrain=now")
    until(lambda: [each for each in policy.runs() if each.get("status", {}).get("phase") == "Running"], "a run", LONG)
    (run,) = policy.runs()
    kubectl("delete", "rr", run["metadata"]["name"], "-n", model.namespace)
    selector = f"modelward.io/run={run['metadata']['name']}"
    pods = ("get", "pods", "-n", model.namespace, "-l", selector, "-o", "name")
    until(lambda: not policy.jobs() and not kubectl(*pods).split(), "nothing of it is left", LONG)
    until(lambda: policy.target().get("lastRun", {}).get("phase") == "Deleted", "the policy knows")
