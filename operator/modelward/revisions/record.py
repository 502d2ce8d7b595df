"""What pods were, kept beside them: a ControllerRevision, from which their objects are made again.

Spec knows nothing any more of a stable revision once it asks for another, and a live Deployment is anybody's to edit or
delete. The API server refuses to change `data` of a ControllerRevision, and the cluster's own `edit` role may not write
one: what is read here is what the operator wrote. A change of the platform alone changes pods in place: the record is
what they were until the new ones have proved themselves, and is replaced then (`modelward.revisions.update`).
"""

from collections.abc import Mapping
from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment
from modelward.facts import Promotion
from modelward.kube import manifests as common
from modelward.revisions.deployment import Shape, dump_model, dump_promotion, load_model
from modelward.revisions.update import Mark, dump_mark, load_mark

KIND = "ControllerRevision"


def record(
    owner: ModelDeployment,
    revision: str,
    shape: Shape,
    promotion: Promotion | None = None,
    intent: str | None = None,
    mark: Mark | None = None,
    asked: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The ControllerRevision, which has the revision's name. The promotion is on it, too: Deployments get lost.
    `intent`, `asked`: what the user wrote, where it is known; `mark`: of an update that goes on or has failed."""
    kept = {"model": dump_model(shape.model), "template": shape.template, "asked": asked}
    annotations = {
        names.ANNOTATION_PROMOTED: dump_promotion(promotion) if promotion else None,
        names.ANNOTATION_INTENT: intent,
        names.ANNOTATION_UPDATE: dump_mark(mark) if mark else None,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": KIND,
        "metadata": common.metadata(owner, revision, names.COMPONENT_SERVER, revision, _there(annotations)),
        "revision": 1,
        "data": {name: value for name, value in kept.items() if value is not None},
    }


def router_record(
    owner: ModelDeployment, name: str, template: Mapping[str, Any], intent: str, mark: Mark | None
) -> dict[str, Any]:
    """That of the router's pods, which has the name of their Deployment."""
    annotations = {
        names.ANNOTATION_INTENT: intent,
        names.ANNOTATION_UPDATE: dump_mark(mark) if mark else None,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": KIND,
        "metadata": common.metadata(owner, name, names.COMPONENT_ROUTER, None, _there(annotations)),
        "revision": 1,
        "data": {"template": template},
    }


def _there(annotations: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in annotations.items() if value is not None}


def as_stored(manifest: dict[str, Any], body: Mapping[str, Any] | None) -> dict[str, Any]:
    """`manifest` over the record that is there, whose data stays."""
    return manifest if body is None else {**manifest, "data": body.get("data")}


def must_be_replaced(manifest: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Whether the record that is there has to go first: the API server lets nobody change the data of one."""
    return manifest.get("kind") == KIND and manifest.get("data") != body.get("data")


def template_of(body: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The pod template that is recorded; None where there is none that can be read."""
    template = ((body or {}).get("data") or {}).get("template")
    return template if isinstance(template, Mapping) else None


def asked_in(body: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What the user wrote of the revision; None where an earlier operator made the record."""
    asked = ((body or {}).get("data") or {}).get("asked")
    return asked if isinstance(asked, Mapping) else None


def intent_in(body: Mapping[str, Any] | None) -> str:
    """What the user wrote of the pods, as a hash; empty where an earlier operator made the record."""
    return str(_annotation(body, names.ANNOTATION_INTENT) or "")


def mark_in(body: Mapping[str, Any] | None) -> Mark | None:
    """How far an update has come; None: there is none."""
    return load_mark(_annotation(body, names.ANNOTATION_UPDATE))


def _annotation(body: Mapping[str, Any] | None, name: str) -> str | None:
    value = (((body or {}).get("metadata") or {}).get("annotations") or {}).get(name)
    return None if value is None else str(value)


def recorded(body: Mapping[str, Any] | None) -> Shape | None:
    """The inverse of `record`; None where there is none that can be read."""
    model, template = load_model(((body or {}).get("data") or {}).get("model")), template_of(body)
    return Shape(model, template) if model is not None and template is not None else None
