"""What breaks in the middle of a rollout loses no request, and the rollout ends as it would have."""

from typing import Any

import pytest
from examples.demo.load import load
from examples.demo.model import Trained

from benchmarks.rollout.under_load import (
    GOOD,
    OTHER,
    RATE,
    address,
    body,
    command,
    phase,
    publish_versions,
)  # fmt: skip
from localcluster.clients import kubectl

from .model import Model, until
from .test_life import OPERATOR

STEP: dict[str, Any] = {
    "strategy": "Canary", "steps": [{"weight": 50, "hold": "15s"}], "gates": {"errorRate": {"margin": "5%"}},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def published(namespace: str, trained: Trained) -> None:
    publish_versions(namespace, trained)


def rows(trained: Trained) -> list[str]:
    return [body(row) for row in trained.rows[:40].tolist()]


def is_live(model: Model) -> bool:
    return "stepStartedAt" in model.get()["status"].get("rollout", {})


def delete(model: Model, *pods: str) -> None:
    kubectl("delete", "pods", "-n", model.namespace, *pods)


@pytest.mark.alone
def test_operator_router_and_a_candidate_pod_are_killed_in_the_middle_of_a_step(model: Model, trained: Trained) -> None:
    spec = {"rollout": STEP, "replicas": 2, "router": {"replicas": 2}}
    model.apply(GOOD, **spec)
    model.settle()
    with load(model.namespace, "rest", address(model), *rows(trained), rate=RATE) as sent:
        model.apply(OTHER, **spec)
        until(lambda: is_live(model), "the step")
        kubectl("delete", "pods", *OPERATOR, "--grace-period=0", "--force")
        delete(model, model.pod_names("router")[0], "--wait=false")
        candidate = model.get()["status"]["candidate"]["revision"]
        delete(model, model.pod_names(revision=candidate)[0], "--wait=false")
        until(lambda: phase(model) == "Promoted", "the promotion")
        model.settle()
    assert model.stable() == candidate
    assert not sent.failed


def test_a_candidate_whose_pods_are_all_gone_gets_nothing_until_they_are_back(model: Model, trained: Trained) -> None:
    """Killed as by the kernel: nobody tells the router before."""
    slow = {**STEP, "steps": [{"weight": 50, "hold": "10m"}]}
    model.apply(GOOD, rollout=slow)
    model.settle()
    model.apply(OTHER, rollout=slow)
    until(lambda: is_live(model), "the step")
    candidate = model.get()["status"]["candidate"]["revision"]
    with load(model.namespace, "rest", address(model), *rows(trained), rate=RATE) as sent:
        kubectl(
            "delete",
            "pods",
            "-n",
            model.namespace,
            "-l",
            f"modelward.io/revision={candidate}",
            "--force",
            "--grace-period=0",
        )
        until(lambda: not is_live(model), "the end of its share")
        until(lambda: is_live(model) or phase(model) == "RolledBack", "its share again")
    lost = sum(sent.failed.values())
    assert lost <= 5, f"no more than what the pod had begun to answer: {sent.failed}"


def test_a_candidate_that_can_not_start_is_given_up_with_its_cause(model: Model, trained: Trained) -> None:
    impatient = {**STEP, "startDeadline": "20s"}
    model.apply(GOOD, rollout=impatient)
    model.settle()
    stable = model.stable()
    with load(model.namespace, "rest", address(model), *rows(trained), rate=RATE) as sent:
        model.apply("corrupt/model.onnx", rollout=impatient)
        until(lambda: model.condition("Stalled")["reason"] == "ArtifactCorrupt", "its cause, before it is given up")
        until(lambda: phase(model) == "RolledBack", "the rollback")
    assert not sent.failed
    assert set(sent.revisions) == {stable}
    message = model.get()["status"]["rollout"]["message"]
    assert "startDeadline" in message
    assert "can't be loaded as ONNX" in message
    command(model, "retry")
    until(lambda: model.get()["status"]["rollout"]["attempt"] == 2, "another try")
    model.apply(GOOD, rollout=impatient)
    model.settle()
