"""The HorizontalPodAutoscaler of a ModelDeployment, and what the cluster says of it. Pure.

It scales the ModelDeployment, never one of its Deployments: revisions come and go, and a rollout counts its steps' pods
by spec.replicas, which is what the autoscaler writes. What it can't do stops nothing else.
"""

from collections.abc import Mapping
from typing import Any, Final

from modelward.api import conditions, names
from modelward.api.conditions import Condition
from modelward.api.modeldeployment import KIND as TARGET
from modelward.api.modeldeployment import ModelDeployment
from modelward.kube import manifests as common
from modelward.revisions.health.diagnosis import Problem, clipped
from modelward.runtimes.runtime import MODELWARD

API_VERSION: Final = "autoscaling/v2"
KIND: Final = "HorizontalPodAutoscaler"

COMPONENT: Final = "autoscaler"

DEFAULT_UTILIZATION: Final = 80
"""Percent of the server's requested CPU where spec names neither that nor metrics, as Kubernetes has it."""

WAITING: Final = "WaitingForAutoscaler"
_OF_METRICS_SERVER: Final = "metrics.k8s.io"


def name_of(owner: ModelDeployment) -> str:
    """As `kubectl autoscale` names one, so that there are no two."""
    return owner.name


def manifest(owner: ModelDeployment) -> dict[str, Any] | None:
    """None where spec asks for none."""
    wanted = owner.spec.autoscaling
    if wanted is None:
        return None
    metrics = [dict(each) for each in wanted.metrics]
    if wanted.cpu_utilization is not None or not metrics:
        metrics.insert(0, _cpu(wanted.cpu_utilization or DEFAULT_UTILIZATION))
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": common.metadata(owner, name_of(owner), COMPONENT),
        "spec": {
            "scaleTargetRef": {"apiVersion": names.API_VERSION, "kind": TARGET, "name": owner.name},
            "minReplicas": wanted.min_replicas,
            "maxReplicas": wanted.max_replicas,
            "metrics": metrics,
            **({"behavior": dict(wanted.behavior)} if wanted.behavior else {}),
        },
    }


def _cpu(percent: int) -> dict[str, Any]:
    """Of the server alone: a sidecar that asks for no CPU would make a share of the whole pod's unknown."""
    target = {"type": "Utilization", "averageUtilization": percent}
    return {
        "type": "ContainerResource",
        "containerResource": {"name": "cpu", "container": MODELWARD.containers.server, "target": target},
    }


def condition(owner: ModelDeployment, body: Mapping[str, Any] | None, refused: Problem | None) -> Condition | None:
    """Autoscaled. `body`: as the cluster has it, None: it is not there yet; `refused`: why it can't be made."""
    wanted = owner.spec.autoscaling
    if wanted is None:
        return None
    stay = "The model goes on with the replicas that it has"
    if refused is not None:
        return Condition(conditions.AUTOSCALED, False, refused.reason, f"{refused.message}. {stay}")
    told = conditions.by_type(((body or {}).get("status") or {}).get("conditions") or ())
    if not told:
        waits = f"Waiting for the cluster's autoscaler to look at HorizontalPodAutoscaler {name_of(owner)}"
        return Condition(conditions.AUTOSCALED, None, WAITING, waits)
    for kind in ("AbleToScale", "ScalingActive"):
        found = told.get(kind) or {}
        if found.get("status") == "False":
            said = clipped(str(found.get("message", "")))
            message = f"The cluster's autoscaler can't: {said}. {_cure(owner, said)}. {stay}"
            return Condition(conditions.AUTOSCALED, False, str(found.get("reason") or "ScalingInactive"), message)
    message = f"The cluster's autoscaler keeps {wanted.min_replicas} to {wanted.max_replicas} replicas"
    limited = told.get("ScalingLimited") or {}
    if (limited.get("status"), limited.get("reason")) == ("True", "TooManyReplicas"):
        message += ", and would have more: raise spec.autoscaling.maxReplicas if the cluster has room"
        return Condition(conditions.AUTOSCALED, True, "AtMost", message)
    return Condition(conditions.AUTOSCALED, True, "Scaling", message)


def _cure(owner: ModelDeployment, said: str) -> str:
    if "missing request for" in said:
        return "Write a request for that into spec.resources (of sidecars into spec.template)"
    if _OF_METRICS_SERVER in said or "could not find the requested resource" in said:
        return (
            "Install metrics-server, or see why it does not answer; where pods have just begun, it has to wait for them"
        )
    return f"See kubectl describe hpa {name_of(owner)} -n {owner.namespace}, and spec.autoscaling"
