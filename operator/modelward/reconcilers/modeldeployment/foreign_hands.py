"""What others did to objects of ours: found by name where the watches lost sight of them, and told in words.

A watch by label tells of an object that lost the label as of one that was deleted. So what a ModelDeployment had and
what is not there is read by name before it is taken for gone; what was changed is put back by the plan, as any edit is.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from modelward.api import conditions, names
from modelward.api.conditions import AUTOSCALED
from modelward.api.modeldeployment import ModelDeployment
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api
from modelward.kube.ends import has_ended
from modelward.kube.resources import (
    AUTOSCALERS,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    Resource,
)
from modelward.revisions import autoscaler, disruption
from modelward.revisions.deployment import load_model, load_promotion
from modelward.revisions.health.diagnosis import Problem
from modelward.revisions.naming import is_revision_of
from modelward.revisions.observed.ownership import is_ours, is_pod_of
from modelward.revisions.observed.workloads import label
from modelward.revisions.update import SKIP
from modelward.routing import routers
from modelward.routing.stored import load_routes
from modelward.values.transition import Transition

LABELS_CHANGED = "LabelsChanged"

_READERS = {
    names.ANNOTATION_MODEL: load_model,
    names.ANNOTATION_PROMOTED: load_promotion,
    names.ANNOTATION_ROUTES: load_routes,
}

_LATER = (names.ANNOTATION_PROMOTED, names.ANNOTATION_INTENT, names.ANNOTATION_UPDATE, names.ANNOTATION_MADE_OF)
"""Annotations that an object gets after it was made, or of a later operator."""


async def find_lost(owner: ModelDeployment, cache: Cache, api: Api) -> None:
    """Bring what `owner` had, and the watches lost sight of, back into the cache. Reads only what is not in sight."""
    if not owner.status.get("stable"):
        return
    for resource, name in routers.wanted(owner).objects(owner):
        if resource is not DISRUPTION_BUDGETS or owner.spec.router.replicas >= disruption.LEAST:
            await _find(owner, cache, api, resource, name)
    if AUTOSCALED in conditions.by_type(owner.status.get("conditions") or ()):
        await _find(owner, cache, api, AUTOSCALERS, autoscaler.name_of(owner))
    for revision in dict.fromkeys(_revisions(owner, cache)):
        for resource in (CONTROLLER_REVISIONS, DEPLOYMENTS, SERVICES):
            await _find(owner, cache, api, resource, revision)


async def _find(owner: ModelDeployment, cache: Cache, api: Api, resource: Resource, name: str) -> None:
    if resource not in cache.watched or cache.get(resource, owner.namespace, name) is not None:
        return
    body = await api.get(resource, owner.namespace, name)
    if body is not None and not body["metadata"].get("deletionTimestamp") and is_ours(body, owner):
        cache.restore(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **body})


def _revisions(owner: ModelDeployment, cache: Cache) -> Iterator[str]:
    """Those that routes or status name as used, and those of which anything else is in sight: what runs of them must
    not be left over because its own object is out of sight."""
    resource, name = routers.wanted(owner).objects(owner)[-1]
    if (found := routers.stored(cache.get(resource, owner.namespace, name), owner)) is not None:
        yield found.routes.stable
        yield from (arm.revision for arm in found.routes.arms)
    used = (owner.status.get("stable"), owner.status.get("candidate"), *(owner.status.get("history") or ()))
    yield from (each["revision"] for each in used if each)
    key = Key(owner.namespace, owner.name)
    for resource in (CONTROLLER_REVISIONS, DEPLOYMENTS, SERVICES, DISRUPTION_BUDGETS):
        yield from (
            body["metadata"]["name"]
            for body in cache.children(key, resource)
            if is_revision_of(owner.name, body["metadata"]["name"])
        )
    for pod in cache.children(key, PODS):
        of = label(pod, names.LABEL_REVISION)
        ends = pod["metadata"].get("deletionTimestamp") or has_ended(pod)
        if of is not None and not ends and is_revision_of(owner.name, of) and is_pod_of(pod, of):
            yield of


def repaired(manifest: Mapping[str, Any], live: Object) -> Transition | None:
    """The Event of labels and annotations that somebody else changed, and that `manifest` puts back."""
    metadata = live["metadata"]
    annotations = metadata.get("annotations") or {}
    spoilt = [*_labels(manifest, live), *(f"annotation {name}" for name in _annotations(manifest, annotations))]
    if not spoilt:
        return None
    what = f"{manifest['kind']} {metadata['name']}: somebody else changed {', '.join(spoilt)}; put back"
    return Transition("Warning", "MetadataRepaired", what, f"{metadata['uid']}@{metadata['resourceVersion']}")


def unpaused(manifest: Mapping[str, Any], live: Object) -> Transition | None:
    """The Event of a Deployment that somebody else paused, and that goes on by `manifest`."""
    if manifest["kind"] != DEPLOYMENTS.kind or not (live.get("spec") or {}).get("paused"):
        return None
    metadata = live["metadata"]
    what = (
        f"Deployment {metadata['name']}: somebody else paused it, so its pods would have stayed as they were; it goes "
        f"on. To pause a rollout, annotate the ModelDeployment with {names.ANNOTATION_COMMAND}=pause; to keep its pods "
        f"from a newer platform, with {names.ANNOTATION_PLATFORM}={SKIP}"
    )
    return Transition("Warning", "PauseLifted", what, f"{metadata['uid']}@{metadata['resourceVersion']}")


def stays_changed(manifest: Mapping[str, Any], applied: Object) -> Problem | None:
    """What the API server made of the labels that were applied, where that is something else."""
    changed = ", ".join(_labels(manifest, applied))
    if not changed:
        return None
    return Problem(
        LABELS_CHANGED,
        f"{manifest['kind']} {manifest['metadata']['name']} does not keep its labels: {changed}. Something changes "
        "them as they are written (a mutating webhook, a policy). Exempt what Modelward makes from it: by its labels "
        "the operator sees it",
    )


def _labels(manifest: Mapping[str, Any], live: Object) -> list[str]:
    there = live["metadata"].get("labels") or {}
    return [
        f"label {name} ({there.get(name, 'taken away')}, not {value})"
        for name, value in manifest["metadata"]["labels"].items()
        if there.get(name) != value
    ]


def _annotations(manifest: Mapping[str, Any], there: Mapping[str, str]) -> Iterator[str]:
    for name in manifest["metadata"].get("annotations") or {}:
        if not name.startswith(f"{names.GROUP}/"):
            continue  # a user's, which spec may have got just now
        # One that was not there yet is news of our own, but for those that come with the object.
        gone = name not in there and name not in _LATER
        if gone or (name in there and name in _READERS and _READERS[name](there[name]) is None):
            yield name
