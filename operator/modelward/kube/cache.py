"""What the watches said, pruned to what decisions need.

Invariant: of two versions of an object the newer stays, whoever delivers it (watch, resync, or the answer to our own
write), and an object that was deleted does not come back by a late delivery. One that lost the label by which it is
watched is told of as deleted, too: it is heard of again once it is newer than that. Resource versions are compared as
the integers they are (KEP-5504). One event loop owns the cache; there are no locks.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from typing import Any

from modelward import telemetry
from modelward.api.names import (
    ANNOTATION_CONFIG,
    COMPONENT_MONITOR,
    GROUP,
    LABEL_BATCH,
    LABEL_COMPONENT,
    LABEL_INSTANCE,
    LABEL_POLICY,
    VOLUME_IDENTITY,
    VOLUMES_FROM,
)
from modelward.kube.resources import (
    AUTOSCALERS,
    BATCH_INFERENCES,
    CONFIG_MAPS,
    DISRUPTION_BUDGETS,
    DRIFT_POLICIES,
    JOBS,
    MODEL_DEPLOYMENTS,
    NAMESPACES,
    OPTIONAL,
    OWNERS,
    PODS,
    RETRAINING_RUNS,
    WATCHED,
    Resource,
)

TOMBSTONES = 10_000
"""Deleted uids that are remembered; far more than events that can still be on their way."""


@dataclass(frozen=True, order=True)
class Key:
    """One object that is reconciled, as the work queue names it."""

    namespace: str
    name: str
    kind: str = MODEL_DEPLOYMENTS.kind

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


Object = Mapping[str, Any]

_Name = tuple[str, str]
"""Namespace and name; no namespace for a namespace."""


class Cache:
    """Objects by resource and name, and children by the ModelDeployment, DriftPolicy or BatchInference that owns them.

    A RetrainingRun is a child of the policy that owns it, and of the ModelDeployment that it is for.
    """

    def __init__(self) -> None:
        self.watched: tuple[Resource, ...] = WATCHED
        """What the watches tell of: of anything else, that nothing is here says nothing."""
        self.places: tuple[str | None, ...] = (None,)
        """The namespaces that are watched; None: all."""
        self.withheld: Mapping[Resource, str] = {}
        """Kinds that the cluster may serve and this account may not list, and what the API server says of it."""
        self.unread: dict[str, str] = {}
        """Namespaces whose own labels could not be read by name, and what the API server says of it."""
        self._objects: dict[Resource, dict[_Name, Object]] = {resource: {} for resource in (*WATCHED, *OPTIONAL)}
        self._children: dict[Key, dict[Resource, set[str]]] = {}
        self.on_change: Callable[[Resource, Object], None] = lambda _resource, _body: None
        """Told of every object that is news, whoever brings it: a watch, a list, or the answer to a write of ours."""
        self.on_foreign: Callable[[Key], None] = lambda _key: None
        """Told whose object others may have changed, where the answer to a write of ours is what brings it."""
        self._tombstones: dict[str, float] = {}
        """The resource version up to which nothing of a uid counts any more."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._objects[resource].get((namespace, name))

    def all(self, resource: Resource) -> list[Object]:
        """The objects of `resource`; they are replaced when they change, and never changed themselves."""
        return list(self._objects[resource].values())

    def names(self, resource: Resource) -> KeysView[_Name]:
        """Namespace and name of each object of `resource`, as it is when it is looked at."""
        return self._objects[resource].keys()

    def of_namespace(self, resource: Resource, namespace: str) -> list[Object]:
        """The objects of `resource` in a namespace, ordered by name."""
        found = self._objects[resource]
        return [found[key] for key in sorted(key for key in found if key[0] == namespace)]

    def children(self, owner: Key, resource: Resource) -> list[Object]:
        """The objects of `resource` that belong to the owner, ordered by name."""
        found = self._children.get(owner, {}).get(resource, set())
        return [self._objects[resource][owner.namespace, name] for name in sorted(found)]

    def namespaces(self) -> set[str]:
        """Those in which there is something that is reconciled."""
        return {key.namespace for key in self.keys()}

    def keys_of(self, namespace: str) -> list[Key]:
        """Every object of a namespace that is reconciled."""
        return [key for key in self.keys() if key.namespace == namespace]

    def in_namespace(self, namespace: str) -> list[Key]:
        """Every ModelDeployment of a namespace."""
        return [Key(*name) for name in self._objects[MODEL_DEPLOYMENTS] if name[0] == namespace]

    def keys(self) -> Iterator[Key]:
        """Every object that is reconciled."""
        return iter([Key(*name, owner.kind) for owner in OWNERS for name in self._objects[owner]])

    def upsert(self, resource: Resource, body: Object) -> Key | None:
        """Take in one object. Returns what is to be reconciled where something new was learnt, else None."""
        metadata = body["metadata"]
        key = _name_of(metadata)
        known = self._objects[resource].get(key)
        if _version(body) <= self._tombstones.get(metadata["uid"], -1) or (known and not _is_newer(body, known)):
            return None
        pruned = _pruned(resource, body)
        if resource is AUTOSCALERS and known is not None and _says_the_same(pruned, known):
            return None  # but for what it measures, four times a minute
        if known is not None:
            self._unlink(resource, key, known)
        self._objects[resource][key] = pruned
        owner = _owner(resource, body)
        for each in _parents(resource, body, owner):
            self._children.setdefault(each, {}).setdefault(resource, set()).add(metadata["name"])
        telemetry.CACHED_OBJECTS.labels(resource.plural).set(len(self._objects[resource]))
        self.on_change(resource, self._objects[resource][key])
        return owner

    def upsert_answer(self, resource: Resource, body: Object) -> None:
        """Take in the answer to a write of ours that others' writes may have come before: the event that tells of these
        is no news when it comes, since the answer has them, too."""
        known = self._objects[resource].get(_name_of(body["metadata"]))
        owner = self.upsert(resource, body)
        if owner is None or known is None:
            return
        # Of these we write nothing but status, which is nobody else's.
        if resource not in (*OWNERS, RETRAINING_RUNS) or _asked(body) != _asked(known):
            self.on_foreign(owner)

    def remove(self, resource: Resource, body: Object, *, final: bool = False) -> Key | None:
        """Forget one object. Returns what is to be reconciled where it was known, else None.

        `final`: it was deleted for certain, by ourselves; a watch says the same of one that lost its label.
        """
        metadata = body["metadata"]
        if resource is NAMESPACES:
            # It has left the selector, which it may meet again, so that its uid must not be buried; what is older than
            # its going must not bring back what it said.
            key = _name_of(metadata)
            if (found := self._objects[resource].get(key)) is None or not _is_newer(found, body):
                self._objects[resource][key] = _pruned(resource, {"metadata": {**metadata, "labels": {}}})
            return None
        key = _name_of(metadata)
        known = self._objects[resource].get(key)
        same = known is not None and known["metadata"]["uid"] == metadata["uid"]
        if same and known is not None and not final and _is_newer(known, body):
            return None
        self._bury(metadata["uid"], float("inf") if final else _version(body))
        if known is None or not same:
            return None
        del self._objects[resource][key]
        self._unlink(resource, key, known)
        telemetry.CACHED_OBJECTS.labels(resource.plural).set(len(self._objects[resource]))
        self.on_change(resource, known)
        return _owner(resource, known)

    def restore(self, resource: Resource, body: Object) -> None:
        """Take in what was just read by name, whatever a watch by label said of it."""
        self._tombstones.pop(body["metadata"]["uid"], None)
        self.upsert(resource, body)

    def snapshot(self, resource: Resource, namespace: str | None = None) -> dict[str, tuple[_Name, str]]:
        """What is known now, by uid: name and resource version. To be given to `reconcile_with` after a list.

        `namespace`: that is listed; None: all.
        """
        return {
            body["metadata"]["uid"]: (key, body["metadata"]["resourceVersion"])
            for key, body in self._objects[resource].items()
            if namespace in (None, key[0])
        }

    def reconcile_with(
        self, resource: Resource, before: Mapping[str, tuple[_Name, str]], listed: Iterable[Object]
    ) -> set[Key]:
        """Take in a complete list and drop what it lacks; `before`: the snapshot taken before the list was asked for.

        Only what was known before and has not changed since may be dropped: what is newer than the list is not in it
        for a good reason. Returns the objects for which something was repaired.
        """
        seen: set[str] = set()
        return self.upsert_listed(resource, listed, seen) | self.drop_unlisted(resource, before, seen)

    def upsert_listed(self, resource: Resource, page: Iterable[Object], seen: set[str]) -> set[Key]:
        """Take in a part of a list, and add the uids of it to `seen`. Returns what was repaired."""
        repaired = set()
        for body in page:
            seen.add(body["metadata"]["uid"])
            owner = self.upsert(resource, body)
            if owner:
                repaired.add(owner)
        return repaired

    def drop_unlisted(
        self, resource: Resource, before: Mapping[str, tuple[_Name, str]], seen: Collection[str]
    ) -> set[Key]:
        """The end of `reconcile_with`, once every part of the list is taken in. `seen`: the uids of all."""
        repaired = set()
        for uid, (key, version) in before.items():
            known = self._objects[resource].get(key)
            if uid in seen or known is None:
                continue
            if known["metadata"]["uid"] == uid and known["metadata"]["resourceVersion"] == version:
                owner = self.remove(resource, known)
                if owner:
                    repaired.add(owner)
        return repaired

    def _unlink(self, resource: Resource, key: _Name, body: Object) -> None:
        for owner in _parents(resource, body, _owner(resource, body)):
            by_resource = self._children.get(owner, {})
            by_resource.get(resource, set()).discard(key[1])
            if not any(by_resource.values()):
                self._children.pop(owner, None)

    def _bury(self, uid: str, version: float) -> None:
        self._tombstones[uid] = max(version, self._tombstones.get(uid, -1))
        while len(self._tombstones) > TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]


def _name_of(metadata: Mapping[str, Any]) -> _Name:
    """A namespace itself lies in none."""
    return metadata.get("namespace", ""), metadata["name"]


def _owner(resource: Resource, body: Object) -> Key | None:
    metadata = body["metadata"]
    if resource is NAMESPACES:
        return None
    if resource in OWNERS:
        return Key(metadata["namespace"], metadata["name"], resource.kind)
    kinds = {owner.kind for owner in OWNERS}
    for reference in metadata.get("ownerReferences") or ():
        # Labels are anybody's to change; what has no such reference is a pod, which belongs to what made it.
        if reference.get("kind") in kinds and str(reference.get("apiVersion")).startswith(f"{GROUP}/"):
            return Key(metadata["namespace"], reference["name"], reference["kind"])
    labels = metadata.get("labels") or {}
    if LABEL_POLICY in labels:
        return Key(metadata["namespace"], labels[LABEL_POLICY], DRIFT_POLICIES.kind)
    if LABEL_BATCH in labels:
        return Key(metadata["namespace"], labels[LABEL_BATCH], BATCH_INFERENCES.kind)
    instance = labels.get(LABEL_INSTANCE)
    return Key(metadata["namespace"], instance) if instance else None


def target_of(run: Object) -> Key | None:
    """The ModelDeployment that a RetrainingRun is for; None where it does not say."""
    name = ((run.get("spec") or {}).get("target") or {}).get("name")
    return Key(run["metadata"]["namespace"], str(name)) if name else None


def _parents(resource: Resource, body: Object, owner: Key | None) -> list[Key]:
    """Under whom it is found as a child."""
    target = target_of(body) if resource is RETRAINING_RUNS else None
    return [] if resource in OWNERS else [each for each in (owner, target) if each is not None]


def _is_newer(body: Object, known: Object) -> bool:
    return _version(body) > _version(known)


def _asked(body: Object) -> tuple[Object, Any]:
    """What of an object may be anybody's to write."""
    metadata = {field: body["metadata"].get(field) or None for field in _METADATA if field != "resourceVersion"}
    return metadata, body.get("spec")


def _version(body: Object) -> int:
    return int(body["metadata"]["resourceVersion"])


_METADATA = (
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "labels",
    "annotations", "ownerReferences", "finalizers",
)  # fmt: skip
_JOB_SPEC = ("completions", "parallelism", "suspend")
_POD_STATUS = ("phase", "reason", "message", "podIP", "conditions", "containerStatuses", "initContainerStatuses")


def _pruned(resource: Resource, body: Object) -> Object:
    """Only what is read again: of a thousand models' pods, the whole would be hundreds of megabytes."""
    metadata = {field: body["metadata"][field] for field in _METADATA if field in body["metadata"]}
    if resource is PODS:
        annotations = metadata.pop("annotations", None) or {}
        if ANNOTATION_CONFIG in annotations:
            metadata["annotations"] = {ANNOTATION_CONFIG: annotations[ANNOTATION_CONFIG]}
        status = body.get("status") or {}
        volumes = (body.get("spec") or {}).get("volumes") or ()
        kept = [{"name": each["name"]} for each in volumes if each["name"] == VOLUME_IDENTITY]
        kept += [each for each in volumes if each["name"] in VOLUMES_FROM]
        return {
            "metadata": metadata,
            "status": {field: status[field] for field in _POD_STATUS if field in status},
            **({"spec": {"volumes": kept}} if kept else {}),
        }
    if resource is CONFIG_MAPS and (metadata.get("labels") or {}).get(LABEL_COMPONENT) == COMPONENT_MONITOR:
        return {"metadata": metadata}  # read once by an operator that starts anew, from the API server
    if resource is NAMESPACES:
        return {
            "metadata": {field: metadata[field] for field in _METADATA if field in metadata and field != "annotations"}
        }
    if resource is JOBS:
        spec = body.get("spec") or {}
        kept_spec = {field: spec[field] for field in _JOB_SPEC if field in spec}
        return {"metadata": metadata, "spec": kept_spec, "status": body.get("status") or {}}
    if resource is DISRUPTION_BUDGETS:
        return {field: body[field] for field in ("apiVersion", "kind", "spec") if field in body} | {
            "metadata": metadata
        }
    rest = {field: value for field, value in body.items() if field != "metadata"}
    if resource is AUTOSCALERS:
        said = (body.get("status") or {}).get("conditions") or ()
        kept_conditions = [
            {field: each.get(field) for field in ("type", "status", "reason", "message")} for each in said
        ]
        return {**rest, "metadata": metadata, "status": {"conditions": kept_conditions}}
    return {**rest, "metadata": metadata}


def _says_the_same(body: Object, known: Object) -> bool:
    """But for the version."""
    bare = [{**each, "metadata": {**each["metadata"], "resourceVersion": ""}} for each in (body, known)]
    return bare[0] == bare[1]
