"""From what the cluster holds of a ModelDeployment's revisions to facts.

A revision is there while its Deployment or its record is. Both are known by their owner and their name: labels and
annotations are anybody's to change, and one that is gone or unreadable must hide no revision.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment
from modelward.facts import ModelFacts, Promotion, RevisionFacts, RuntimeFacts, WorkloadFacts
from modelward.kube.cache import Object
from modelward.revisions.deployment import Shape, load_model, load_promotion
from modelward.revisions.naming import is_revision_of
from modelward.revisions.observed.ownership import is_ours, is_pod_of
from modelward.revisions.observed.workloads import label, workload_facts
from modelward.revisions.pods import foreign_pod
from modelward.revisions.record import asked_in, intent_in, recorded
from modelward.runtimes.runtime import MODELWARD

NO_PODS = WorkloadFacts(desired=0)
"""Of a revision whose Deployment is gone."""


def revisions_of(
    owner: ModelDeployment,
    deployments: Iterable[Object],
    records: Iterable[Object],
    services: Iterable[Object],
    pods: Iterable[Object],
) -> dict[str, RevisionFacts]:
    """The revisions of `owner` by name, from objects that claim to be of it."""
    deployed, kept, named = _own(owner, deployments), _own(owner, records), _own(owner, services)
    found = {}
    for name in sorted({*deployed, *kept}):
        body, record = deployed.get(name), kept.get(name)
        own = [pod for pod in pods if label(pod, names.LABEL_REVISION) == name and _is_server(pod, name)]
        found[name] = RevisionFacts(
            name,
            _model(body, record),
            workload_facts(body, own) if body is not None else NO_PODS,
            _promotion(body) or _promotion(record),
            deployed=body is not None,
            addressed=name in named,
            intent=intent_in(record),
            asked=asked_in(record),
            runtime=_runtime(body, record),
            tapped=_tapped(body, record),
        )
    return found


def shape_of(deployment: Object | None, record: Object | None) -> Shape | None:
    """What makes the revision's objects: its record, or where there is none (any more), its Deployment as it is."""
    if (shape := recorded(record)) is not None:
        return shape
    return None if deployment is None else Shape(_model(deployment, None), deployment["spec"]["template"])


def _own(owner: ModelDeployment, bodies: Iterable[Object]) -> dict[str, Object]:
    named = ((body["metadata"]["name"], body) for body in bodies if is_ours(body, owner))
    return {name: body for name, body in named if is_revision_of(owner.name, name)}


def _is_server(pod: Object, name: str) -> bool:
    """Whether what the pod says is evidence: the revision's own Deployment made it, for its server."""
    return is_pod_of(pod, name) and label(pod, names.LABEL_COMPONENT) == names.COMPONENT_SERVER


def _model(deployment: Object | None, record: Object | None) -> ModelFacts:
    if (shape := recorded(record)) is not None:
        return shape.model
    told = load_model(_annotation(deployment, names.ANNOTATION_MODEL))
    return told if told is not None else _fetched((deployment or {}).get("spec") or {})


def _runtime(deployment: Object | None, record: Object | None) -> RuntimeFacts | None:
    """As its pods' template has it."""
    shape = shape_of(deployment, record)
    metadata = (shape.template if shape is not None else {}).get("metadata") or {}
    return foreign_pod.load((metadata.get("annotations") or {}).get(names.ANNOTATION_RUNTIME))


def _tapped(deployment: Object | None, record: Object | None) -> bool:
    """Whether a tap is in its pods' template."""
    shape = shape_of(deployment, record)
    spec = (shape.template if shape is not None else {}).get("spec") or {}
    return any(each.get("name") == MODELWARD.containers.tap for each in spec.get("initContainers") or ())


def _fetched(spec: Mapping[str, Any]) -> ModelFacts:
    """The model by what the pods are told to fetch."""
    pod = (spec.get("template") or {}).get("spec") or {}
    # By what it does: earlier releases give the step another name. Others may stand before it, with any variables.
    containers = sorted(
        pod.get("initContainers") or (), key=lambda one: one.get("name") != MODELWARD.containers.download
    )
    steps = [{each["name"]: each.get("value") for each in one.get("env") or ()} for one in containers]
    told = next((each for each in steps if "MODEL_URI" in each), {})
    uri = str(told.get("MODEL_URI") or "unknown").replace("$$", "$")  # as `manifests.literal` wrote it
    return ModelFacts(uri, told.get("MODEL_FORMAT") or "auto", told.get("MODEL_DIGEST"))


def _promotion(body: Object | None) -> Promotion | None:
    return load_promotion(_annotation(body, names.ANNOTATION_PROMOTED))


def _annotation(body: Object | None, name: str) -> str | None:
    return ((body or {"metadata": {}})["metadata"].get("annotations") or {}).get(name)
