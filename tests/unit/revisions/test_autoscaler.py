"""The autoscaler as it is made, and what is told of it."""

from typing import Any

import pytest

from builders import owner
from modelward.api.modeldeployment import Autoscaling
from modelward.kube.cache import Cache, Key
from modelward.kube.resources import AUTOSCALERS
from modelward.revisions.autoscaler import condition, manifest
from modelward.revisions.health.diagnosis import Problem

EXTERNAL = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "30"}}}
FAST = {"scaleDown": {"stabilizationWindowSeconds": 60}}


def metrics_of(**wanted: Any) -> Any:
    made = manifest(owner(autoscaling=Autoscaling(8, **wanted)))
    assert made is not None
    return made["spec"]["metrics"]


def test_it_scales_the_model_and_none_of_its_deployments() -> None:
    made = manifest(owner(autoscaling=Autoscaling(8, 2, behavior=FAST)))
    assert made is not None
    assert made["spec"]["scaleTargetRef"] == {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "name": "fraud",
    }  # fmt: skip
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (2, 8)
    assert made["spec"]["behavior"] == FAST
    assert made["metadata"]["ownerReferences"] == [owner().owner_reference]
    assert manifest(owner()) is None


def test_a_share_of_the_cpu_is_the_servers_alone() -> None:
    (cpu,) = metrics_of(cpu_utilization=60)
    assert cpu["containerResource"] == {
        "name": "cpu", "container": "server", "target": {"type": "Utilization", "averageUtilization": 60},
    }  # fmt: skip
    assert metrics_of()[0]["containerResource"]["target"]["averageUtilization"] == 80
    assert metrics_of(metrics=(EXTERNAL,)) == [EXTERNAL]
    assert metrics_of(metrics=(EXTERNAL,), cpu_utilization=60) == [cpu, EXTERNAL]


def said(*conditions: dict[str, str]) -> dict[str, Any]:
    return {"status": {"conditions": list(conditions)}}


def told(kind: str, status: str, reason: str = "Any", message: str = "m") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


ABLE, ACTIVE = told("AbleToScale", "True"), told("ScalingActive", "True")
NO_METRICS = (
    "failed to get cpu utilization: unable to fetch metrics from resource metrics API: the server could not find"
)
CASES: dict[str, tuple[Any, bool | None, str, str]] = {
    "it is not there yet": (None, None, "WaitingForAutoscaler", "Waiting for"),
    "nobody has looked": (said(), None, "WaitingForAutoscaler", "Waiting for"),
    "it works": (said(ABLE, ACTIVE), True, "Scaling", "keeps 2 to 8 replicas"),
    "it would have more": (
        said(ABLE, ACTIVE, told("ScalingLimited", "True", "TooManyReplicas")), True, "AtMost", "maxReplicas",
    ),
    "it would have less": (
        said(ABLE, ACTIVE, told("ScalingLimited", "True", "TooFewReplicas")), True, "Scaling", "2 to 8",
    ),
    "there is no metrics-server": (
        said(ABLE, told("ScalingActive", "False", "FailedGetResourceMetric", f"{NO_METRICS} pods.metrics.k8s.io")),
        False, "FailedGetResourceMetric", "Install metrics-server",
    ),
    "a sidecar asks for nothing": (
        said(ABLE, told("ScalingActive", "False", "FailedGetResourceMetric", "missing request for cpu in container x")),
        False, "FailedGetResourceMetric", "spec.resources",
    ),
    "two scale one": (
        said(ABLE, told("ScalingActive", "False", "AmbiguousSelector", "pods are selected by two")),
        False, "AmbiguousSelector", "kubectl describe hpa fraud",
    ),
    "it can't reach the model": (
        said(told("AbleToScale", "False", "FailedGetScale", "not found")), False, "FailedGetScale", "not found",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_what_the_cluster_says_is_told(what: str) -> None:
    body, status, reason, part = CASES[what]
    found = condition(owner(autoscaling=Autoscaling(8, 2)), body, None)
    assert found is not None
    assert (found.type, found.status, found.reason) == ("Autoscaled", status, reason)
    assert part in found.message


def test_what_can_not_be_made_is_told_and_nothing_where_none_is_asked_for() -> None:
    problem = Problem("NameTaken", "HorizontalPodAutoscaler fraud exists and was not made by Modelward")
    found = condition(owner(autoscaling=Autoscaling(8)), said(ABLE, ACTIVE), problem)
    assert found is not None
    assert (found.status, found.reason) == (False, "NameTaken")
    assert condition(owner(), said(ABLE, ACTIVE), None) is None


def test_what_an_autoscaler_measures_wakes_nobody() -> None:
    """It writes that four times a minute, of every model."""
    cache, news = Cache(), []
    cache.on_change = lambda resource, _body: news.append(resource)
    made = manifest(owner(autoscaling=Autoscaling(8)))
    assert made is not None

    def tell(version: int, **status: Any) -> Key | None:
        metadata = {**made["metadata"], "uid": "u", "resourceVersion": str(version)}
        return cache.upsert(AUTOSCALERS, {**made, "metadata": metadata, "status": status})

    assert tell(1) == Key("ml", "fraud")
    measured = [{**ABLE, "lastTransitionTime": "2026-11-30T00:00:00Z"}]
    assert tell(2, conditions=measured, currentReplicas=1) == Key("ml", "fraud")
    assert tell(3, conditions=measured, currentReplicas=2, currentMetrics=[{"type": "External"}]) is None
    assert tell(4, conditions=[told("AbleToScale", "False")]) == Key("ml", "fraud")
    assert len(news) == 3
