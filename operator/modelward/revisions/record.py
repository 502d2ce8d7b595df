"""What a revision was, kept beside it: a ControllerRevision, from which its objects are made again.

Spec knows nothing any more of a stable revision once it asks for another, and a live Deployment is anybody's to edit or
delete. The API server refuses to change `data` of a ControllerRevision, and the cluster's own `edit` role may not write
one: what is read here is what the operator wrote.
"""

from collections.abc import Mapping
from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment
from modelward.facts import Promotion
from modelward.kube import manifests as common
from modelward.revisions.deployment import Shape, dump_model, dump_promotion, load_model


def record(owner: ModelDeployment, revision: str, shape: Shape, promotion: Promotion | None = None) -> dict[str, Any]:
    """The ControllerRevision, which has the revision's name. The promotion is on it, too: Deployments get lost."""
    annotations = {names.ANNOTATION_PROMOTED: dump_promotion(promotion)} if promotion else None
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": common.metadata(owner, revision, names.COMPONENT_SERVER, revision, annotations),
        "revision": 1,
        "data": {"model": dump_model(shape.model), "template": shape.template},
    }


def as_stored(manifest: dict[str, Any], body: Mapping[str, Any] | None) -> dict[str, Any]:
    """`manifest` over the record that is there, whose data can't be changed."""
    return manifest if body is None else {**manifest, "data": body.get("data")}


def recorded(body: Mapping[str, Any] | None) -> Shape | None:
    """The inverse of `record`; None where there is none that can be read."""
    data = (body or {}).get("data") or {}
    model, template = load_model(data.get("model")), data.get("template")
    return Shape(model, template) if model is not None and isinstance(template, Mapping) else None
