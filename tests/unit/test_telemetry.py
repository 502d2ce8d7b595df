"""The operator's metrics of a ModelDeployment say what its status says, and nothing that is no longer true."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from builders import MODEL, observed, owner, revision, router
from modelward import telemetry
from modelward.api.rollout import CANARY, Rollout, Step
from modelward.domain.facts import Arm, Clock, Observed, Progress, VariantFacts
from modelward.domain.rollout import decide
from modelward.domain.status import build_status

A, B, C = "fraud-a", "fraud-b", "fraud-c"
NAMESPACE, NAME = "told", "fraud"
CANARIES = Rollout(CANARY, (Step(10), Step(50)))
VARIANT = VariantFacts("b", C, MODEL, 20, 5)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    telemetry.forget(NAMESPACE, NAME)


def show(facts: Observed, gates: list[dict[str, Any]] | None = None, name: str = NAME) -> None:
    status = build_status(owner(), facts, decide(facts), "v1", None, "2026-01-01T00:00:00Z", gates)
    telemetry.show(NAMESPACE, name, status)


def told(name: str = NAME) -> dict[str, float]:
    """Every series of the ModelDeployment but the times at which counters began: metric, and what it is about."""
    return {
        "/".join([sample.name.removeprefix("modelward_"), *list(sample.labels.values())[2:]]): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if (sample.labels.get("namespace"), sample.labels.get("name")) == (NAMESPACE, name)
        and not sample.name.endswith("_created")
    }


def rolling(**facts: Any) -> Observed:
    routes = router(A, arms=(Arm("candidate", B, 10, 30), Arm("b", C, 20, 5)), progress=Progress(B))
    values = {"rollout": CANARIES, "clock": Clock(1000.0), "variants": (VARIANT,), **facts}
    return observed(B, revision(A), revision(B), revision(C), router=routes, **values)


def gate(name: str, verdict: str) -> dict[str, Any]:
    return {"name": name, "verdict": verdict}


ALONE = observed(A, revision(A), router=router(A))
OF_ONE = {
    "modeldeployment_ready": 1.0, "modeldeployment_not_compiled": 0.0,
    "traffic_weight/stable": 100.0, "traffic_weight/candidate": 0.0,
    "traffic_mirror/stable": 0.0, "traffic_mirror/candidate": 0.0,
}  # fmt: skip


def test_a_model_without_a_rollout() -> None:
    show(ALONE)
    assert told() == OF_ONE
    show(replace(ALONE, revisions={A: revision(A, ready=0)}))
    assert told() == OF_ONE | {"modeldeployment_ready": 0.0}


def test_a_rollout_with_a_variant_and_gates() -> None:
    show(rolling(), [gate("errorRate", "Pass"), gate("latency", "Inconclusive"), gate("revenue", "Fail")])
    assert told() == {
        "modeldeployment_ready": 0.0, "modeldeployment_not_compiled": 0.0,
        "traffic_weight/stable": 70.0, "traffic_weight/candidate": 10.0, "traffic_weight/b": 20.0,
        "traffic_mirror/stable": 0.0, "traffic_mirror/candidate": 0.0, "traffic_mirror/b": 5.0,
        "rollout_phase/Progressing": 1.0, "rollout_step": 1.0,
        "rollout_gate/errorRate": 1.0, "rollout_gate/latency": 0.0, "rollout_gate/revenue": -1.0,
    }  # fmt: skip


def test_what_is_no_longer_true_goes() -> None:
    show(rolling(), [gate("errorRate", "Pass"), gate("latency", "Pass")])
    show(rolling(command="pause", variants=()), [gate("latency", "Fail")])
    shown = told()
    assert {name for name in shown if name.startswith("rollout")} == {
        "rollout_phase/Paused", "rollout_step", "rollout_gate/latency",
    }  # fmt: skip
    assert not any(name.endswith("/b") for name in shown)
    show(ALONE)
    assert told() == OF_ONE, "spec went back to the stable, and nothing is left of the rollout"


def test_a_model_that_is_not_compiled() -> None:
    status = build_status(owner(), ALONE, decide(ALONE), "v1", None, "2026-01-01T00:00:00Z")
    telemetry.show(NAMESPACE, NAME, {**status, "stable": {**status["stable"], "fallback": "no converter"}})
    assert told()["modeldeployment_not_compiled"] == 1.0


def test_all_is_dropped_with_the_model_and_nothing_of_another() -> None:
    show(rolling(), [gate("errorRate", "Pass")])
    show(ALONE, name="other")
    telemetry.ROLLOUTS.labels(NAMESPACE, NAME, "Promoted").inc()
    telemetry.ROLLOUTS.labels(NAMESPACE, "other", "Promoted").inc()
    assert told()["rollouts_total/Promoted"] == 1.0
    telemetry.forget(NAMESPACE, NAME)
    assert told() == {}
    assert told("other") == OF_ONE | {"rollouts_total/Promoted": 1.0}
    telemetry.forget(NAMESPACE, "other")
    assert told("other") == {}
