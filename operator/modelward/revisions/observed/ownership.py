"""Whose an object is. Ours is what names our owner's uid; a name or a label alone says nothing, anybody may set them.

Two kinds of objects have no living owner and may be taken over: those of a deleted namesake (no two custom resources of
a kind have one name, so whoever had ours before is gone), and those that somebody detached on purpose
(`kubectl delete --cascade=orphan`) and that still carry our labels.
"""

from collections.abc import Mapping
from typing import Any

from modelward.api import names
from modelward.api.batchinference import BatchInference
from modelward.api.driftpolicy import DriftPolicy
from modelward.api.modeldeployment import ModelDeployment
from modelward.kube.cache import Object
from modelward.revisions.observed.workloads import label

Owner = ModelDeployment | DriftPolicy | BatchInference


def belongs_to(body: Object, owner: Owner) -> bool:
    """Children of a deleted namesake are still there for a moment; they are not ours."""
    return any(reference.get("uid") == owner.uid for reference in _references(body))


def is_ours(body: Object, owner: Owner) -> bool:
    """Whether `body` belongs to `owner`, or did until somebody took the reference to it away and left our labels."""
    return belongs_to(body, owner) or (_controller(body) is None and _is_labelled(body, owner))


def claim_of_another(body: Object, owner: Owner) -> str | None:
    """Who else has `body`, as the end of a sentence ("Service a …"); None where `owner` may apply over it."""
    if belongs_to(body, owner):
        return None
    controller = _controller(body)
    if controller is not None:
        group = str(controller.get("apiVersion", "")).split("/")[0]
        namesake = (group, controller.get("kind"), controller.get("name")) == (names.GROUP, owner.kind, owner.name)
        return None if namesake else f"belongs to {controller.get('kind')} {controller.get('name')}"
    return None if _is_labelled(body, owner) else "exists and was not made by Modelward"


def is_pod_of(pod: Object, deployment: str) -> bool:
    """Whether the Deployment's ReplicaSet controls the pod: `deployment` and the hash of the template make its name.

    Only who may create pods can say so of one; a Job's pods have a Job for a controller, whatever their labels.
    """
    controller = _controller(pod)
    if controller is None or controller.get("kind") != "ReplicaSet":
        return False
    return (
        str(controller.get("apiVersion")) == "apps/v1" and str(controller.get("name")).rpartition("-")[0] == deployment
    )


def is_pod_of_job(pod: Object, job: Object) -> bool:
    """Whether this very Job controls the pod."""
    controller = _controller(pod)
    return controller is not None and controller.get("uid") == job["metadata"]["uid"]


def controlling_job(pod: Object) -> str | None:
    """The name of the Job that controls the pod."""
    controller = _controller(pod)
    return str(controller.get("name")) if controller is not None and controller.get("kind") == "Job" else None


def _is_labelled(body: Object, owner: Owner) -> bool:
    return label(body, names.LABEL_MANAGED_BY) == names.MANAGED_BY and label(body, names.LABEL_INSTANCE) == owner.name


def _references(body: Object) -> tuple[Mapping[str, Any], ...]:
    return tuple(body["metadata"].get("ownerReferences") or ())


def _controller(body: Object) -> Mapping[str, Any] | None:
    return next((reference for reference in _references(body) if reference.get("controller")), None)
