"""An API server in memory, with a kubelet and routers, around the operator's own Reconciler: for what people do there.

A mock, because what is drawn at random needs thousands of clusters; tests/api does some of it on a real API server. Its
watches select by label, as the operator's do: an object that stops matching is told of as deleted.
"""

import copy
import itertools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from builders import FixedKeys
from modelward.api import names
from modelward.facts import Judgement, PodFacts, RouterPodFacts
from modelward.kube.cache import Cache, Key
from modelward.kube.client import ApiError
from modelward.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    MODEL_DEPLOYMENTS,
    OWNERS,
    PODS,
    SERVICES,
    Resource,
)
from modelward.platform import Platform
from modelward.reconcilers.fleet import Fleet
from modelward.reconcilers.modeldeployment.reconcile import Outcome, Reconciler
from modelward.rollouts.evidence.collector import Seen
from modelward.routing.stored import load_routes
from modelward.values.hashing import content_hash

KEY = Key("ml", "fraud")
CANARY = {"strategy": "Canary", "steps": [{"weight": 10, "hold": "1h"}]}
DIGEST = "sha256:" + "a" * 64
Json = dict[str, Any]
_OWNER_KINDS = tuple(each.kind for each in OWNERS)


class ClusterWorld:
    """`objects`: what is stored; `judgement`: of the gates from now on; `mutate`: an admission webhook."""

    def __init__(self, image: str = "inference:1") -> None:
        self.objects: dict[tuple[Resource, str], Json] = {}
        self.events: list[tuple[str, str, str]] = []
        self.judgement: Judgement | None = None
        self.mutate: Callable[[Resource, Json], None] = lambda *_: None
        self.now = 1.8e9
        self.writes = 0
        self.models = 1
        """ModelDeployments of the name so far."""
        self.fetched = DIGEST
        self.refused: set[str] = set()
        self.stays_unready = False
        """Whether a pod that is not ready stays so: no later try of the kubelet helps."""
        """Images whose pods don't come up, beside those of the image before."""
        self.restarts = 2
        """Of the container in such a pod."""
        self.waiting: Json | None = None
        """Why they don't, where they don't even start."""
        self._applied: dict[tuple[Resource, str, str, str], set[str]] = {}
        """Labels and annotations that were applied last: those that are no more are taken away."""
        self._counter = itertools.count(1)
        self.start(image)

    def start(self, image: str, at_a_time: int = 5, router_image: str = "envoy:1") -> None:
        """A (new) operator: with an empty memory, and a full cache."""
        self.cache = Cache()
        for (resource, _), body in self.objects.items():
            if _is_selected(resource, body):
                self.cache.upsert(resource, copy.deepcopy(body))
        self.fleet = Fleet(lambda: self.cache.names(MODEL_DEPLOYMENTS), lambda _key: None, at_a_time)
        self.reconciler = Reconciler(
            self, self.cache, Platform(image, router_image), self, _Evidence(self), _Unmonitored(), "me",  # type: ignore[arg-type]
            lambda: self.now, lambda: datetime.fromtimestamp(self.now, UTC), FixedKeys(), self.fleet,
        )  # fmt: skip

    async def run(self, rounds: int = 12) -> None:
        """Reconcile, let the kubelet work and time go by."""
        for _ in range(rounds):
            await self.step()
            self.settle()

    async def step(self) -> Outcome:
        self.now += 2.0
        return await self.reconciler.reconcile(KEY)

    # What the Reconciler asks.

    def look(
        self, owner: Key, pods: tuple[PodFacts, ...], _version: str | None, _ways: Mapping[str, str]
    ) -> tuple[RouterPodFacts, ...]:
        """As router pods that have taken up the newest ConfigMap."""
        config = self.objects.get((CONFIG_MAPS, f"{owner.name}-router"))
        loaded = load_routes(_annotations(config).get(names.ANNOTATION_ROUTES)) if config else None
        if loaded is None:
            return tuple(RouterPodFacts(pod) for pod in pods)
        reached = frozenset(name for name in loaded[0].revisions if self.answers(name))
        return tuple(RouterPodFacts(pod, loaded[1], reached) for pod in pods)

    def answers(self, revision: str) -> bool:
        """Whether a request that is sent to it is answered."""
        ready = self.objects.get((DEPLOYMENTS, revision), {}).get("status", {}).get("readyReplicas", 0)
        return ready > 0 and (SERVICES, revision) in self.objects

    def forget(self, _owner: Key) -> None:
        """Nothing is remembered."""

    async def serves(self, _resource: Resource) -> bool:
        return True

    async def get(self, resource: Resource, _namespace: str, name: str) -> Json | None:
        return copy.deepcopy(self.objects.get((resource, name)))

    async def create(self, _resource: Resource, _namespace: str, manifest: Json) -> Json:
        self.events.append((manifest["type"], manifest["reason"], manifest["message"]))
        return manifest

    async def delete(self, resource: Resource, _namespace: str, name: str, uid: str) -> None:
        self.writes += 1
        if self.objects.get((resource, name), {}).get("metadata", {}).get("uid") == uid:
            self.remove(resource, name)

    async def apply(
        self, resource: Resource, manifest: Json, subresource: str | None = None, field_manager: str = ""
    ) -> Json:
        """Server-side apply by one manager; a list is taken as a whole."""
        assert field_manager in ("", names.FIELD_MANAGER)
        self.writes += 1
        old = self.objects.get((resource, manifest["metadata"]["name"]))
        body = copy.deepcopy(old) if old else {"metadata": {"uid": f"u{next(self._counter)}", "generation": 0}}
        if subresource == "status":
            return self.put(resource, {**body, "status": copy.deepcopy(manifest["status"])})
        metadata, wanted = body["metadata"], manifest["metadata"]
        for part in ("labels", "annotations"):
            ours = self._applied.get((resource, wanted["name"], body["metadata"]["uid"], part), set())
            kept = {name: value for name, value in (metadata.get(part) or {}).items() if name not in ours}
            metadata[part] = {**kept, **(wanted.get(part) or {})}
            self._applied[resource, wanted["name"], body["metadata"]["uid"], part] = set(wanted.get(part) or {})
        references = [*(metadata.get("ownerReferences") or ()), *(wanted.get("ownerReferences") or ())]
        metadata["ownerReferences"] = list({each["uid"]: each for each in references}.values())
        metadata |= {"name": wanted["name"], "namespace": wanted["namespace"]}
        if old and "data" in old and resource.kind == "ControllerRevision":
            assert manifest["data"] == old["data"], "the API server refuses to change it"
        metadata["generation"] += body.get("spec") != manifest.get("spec")
        return self.put(resource, body | {key: copy.deepcopy(manifest[key]) for key in manifest if key != "metadata"})

    async def merge(self, resource: Resource, _namespace: str, name: str, patch: Json) -> Json:
        self.writes += 1
        body = copy.deepcopy(self.objects[resource, name])
        if patch["metadata"].get("resourceVersion", version_of(body)) != version_of(body):
            raise ApiError(409, "Conflict", "it has been changed since")
        _merge(body, patch)
        return self.put(resource, body)

    # The API server and its watches.

    def put(self, resource: Resource, body: Json) -> Json:
        self.mutate(resource, body)
        body["metadata"]["resourceVersion"] = str(next(self._counter))
        key = (resource, body["metadata"]["name"])
        old, self.objects[key] = self.objects.get(key), body
        if _is_selected(resource, body):
            self.cache.upsert(resource, copy.deepcopy(body))
        elif old and _is_selected(resource, old):
            gone = {**old["metadata"], "resourceVersion": body["metadata"]["resourceVersion"]}
            self.cache.remove(resource, {**copy.deepcopy(old), "metadata": gone})
        return copy.deepcopy(body)

    def remove(self, resource: Resource, name: str) -> None:
        body = self.objects.pop((resource, name))
        body["metadata"]["resourceVersion"] = str(next(self._counter))
        if _is_selected(resource, body):
            self.cache.remove(resource, body)

    # What people do.

    def ask_for(self, version: int = 1, **spec: Any) -> None:
        body = copy.deepcopy(self.objects.get((MODEL_DEPLOYMENTS, "fraud"))) or {
            "metadata": {
                "name": "fraud",
                "namespace": "ml",
                "uid": f"md{self.models}",
                "generation": 0,
                "annotations": {},
            }
        }
        uri = f"s3://models/fraud/{version}/model.onnx"
        body["spec"] = {"model": {"uri": uri}, "router": {"replicas": 1}, "rollout": CANARY, **spec}
        body["metadata"]["generation"] += 1
        self.put(MODEL_DEPLOYMENTS, body)

    def delete_model(self) -> None:
        """What it owns is there until the garbage collector comes by."""
        self.remove(MODEL_DEPLOYMENTS, "fraud")
        self.models += 1

    def command(self, command: str) -> None:
        self.change(
            MODEL_DEPLOYMENTS, "fraud", lambda body: _set(body, "annotations", names.ANNOTATION_COMMAND, command)
        )

    def change(self, resource: Resource, name: str, edit: Callable[[Json], Any]) -> None:
        body = copy.deepcopy(self.objects[resource, name])
        before = copy.deepcopy(body.get("spec"))
        edit(body)
        if before != body.get("spec") and "generation" in body["metadata"]:
            body["metadata"]["generation"] += 1
        self.put(resource, body)

    def relabel(self, resource: Resource, name: str, label: str, value: str | None) -> None:
        self.change(resource, name, lambda body: _set(body, "labels", label, value))

    def annotate(self, resource: Resource, name: str, annotation: str, value: str | None) -> None:
        self.change(resource, name, lambda body: _set(body, "annotations", annotation, value))

    # The kubelet and the Deployment controller.

    def collect(self) -> None:
        """The garbage collector: what has owners, none of whom lives, goes; a dead one beside a living is forgotten."""
        living = {body["metadata"]["uid"] for (resource, _), body in self.objects.items() if resource in OWNERS}
        for resource, name in list(self.objects):
            references = self.objects[resource, name]["metadata"].get("ownerReferences") or []
            kept = [each for each in references if each["kind"] not in _OWNER_KINDS or each["uid"] in living]
            if references and not kept:
                self.remove(resource, name)
            elif kept != references:
                self.change(resource, name, lambda body, kept=kept: body["metadata"].update(ownerReferences=kept))

    def settle(self) -> None:
        self.collect()
        deployments = {name: body for (resource, name), body in self.objects.items() if resource is DEPLOYMENTS}
        for resource, name in list(self.objects):
            if resource is PODS and name.rpartition("-")[0] not in deployments:
                self.remove(PODS, name)
        for name, body in deployments.items():
            wanted = body["spec"]["replicas"]
            for number in range(wanted):
                pod = f"{name}-{number}"
                if (PODS, pod) not in self.objects:
                    self._create_pod(body, pod)
                elif not (self.stays_unready or self._is_ready(pod)) and self.pinned(body) in (None, self.fetched):
                    # The kubelet tries again.
                    self.remove(PODS, pod)
                    self._create_pod(body, pod)
            stuck = self._settle_surge(name, body)
            for pod in (f"{name}-{number}" for number in range(0 if stuck else wanted)):
                # As if each had been replaced: those that there are, are of the newest template.
                if (reference := _maker(body)) not in self.objects[PODS, pod]["metadata"]["ownerReferences"]:
                    self.change(PODS, pod, lambda pod, own=reference: pod["metadata"].update(ownerReferences=[own]))
            ready = sum(self._is_ready(f"{name}-{number}") for number in range(wanted))
            status = {
                "observedGeneration": body["metadata"]["generation"], "replicas": wanted + stuck,
                "updatedReplicas": 1 if stuck else wanted, "readyReplicas": ready, "availableReplicas": ready,
            }  # fmt: skip
            if body.get("status") != status:
                self.put(DEPLOYMENTS, {**copy.deepcopy(body), "status": status})

    def _settle_surge(self, name: str, deployment: Json) -> bool:
        """The pod beside the others, of an image that does not come up; whether there is one."""
        stuck = deployment["spec"]["template"]["spec"]["containers"][0]["image"] in self.refused
        there = (PODS, f"{name}-surge") in self.objects
        if stuck and not there:
            self._create_pod(deployment, f"{name}-surge")
            ended = {"terminated": {"exitCode": 1, "message": "no libm"}}
            failed = {
                "name": "server",
                "ready": False,
                "restartCount": self.restarts,
                "state": {"waiting": self.waiting} if self.waiting else ended,
            }
            since = datetime.fromtimestamp(self.now, UTC).isoformat()
            unready = [{"type": "Ready", "status": "False", "lastTransitionTime": since}]
            self.change(
                PODS, f"{name}-surge",
                lambda body: body["status"].update(conditions=unready, containerStatuses=[failed]),
            )  # fmt: skip
        elif there and not stuck:
            self.remove(PODS, f"{name}-surge")
        return stuck

    def _create_pod(self, deployment: Json, name: str) -> None:
        wanted = self.pinned(deployment)
        ready = wanted in (None, self.fetched)
        refused = {"reason": "ArtifactChanged", "message": "the artifact was overwritten"}
        said = {"download": {"digest": self.fetched, "format": "onnx"}, "compile": {"form": "original"}}
        steps = [
            {"name": name, "ready": ready, "state": {"terminated": {"exitCode": 0, "message": json.dumps(report)}}}
            for name, report in said.items()
        ]
        if not ready:
            ended = {"exitCode": 1, "message": json.dumps(refused)}
            steps = [{**steps[0], "state": {"terminated": ended}}]
        self.put(PODS, {
            "metadata": {
                "name": name, "namespace": "ml", "uid": f"p{next(self._counter)}",
                "labels": dict(deployment["spec"]["template"]["metadata"]["labels"]),
                "ownerReferences": [_maker(deployment)],
            },
            "status": {
                "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": str(ready)}],
                "initContainerStatuses": steps, "containerStatuses": [],
            },
        })  # fmt: skip

    def _is_ready(self, pod: str) -> bool:
        return bool(self.objects[PODS, pod]["status"]["conditions"][0]["status"] == "True")

    def pinned(self, deployment: Json) -> str | None:
        """What the kubelet gives the download for MODEL_FIRST_DIGEST."""
        for container in deployment["spec"]["template"]["spec"].get("initContainers", ()):
            for variable in container.get("env", ()):
                if variable["name"] == "MODEL_FIRST_DIGEST":
                    reference = variable["valueFrom"]["configMapKeyRef"]
                    config = self.objects.get((CONFIG_MAPS, reference["name"])) or {}
                    return None if not config else str(config["data"][reference["key"]])
        return None

    # What is to be seen.

    @property
    def status(self) -> Json:
        return dict(self.objects[MODEL_DEPLOYMENTS, "fraud"].get("status") or {})

    @property
    def stable(self) -> str:
        return str(self.status["stable"]["revision"])

    def condition(self, kind: str) -> Json:
        return next(dict(each) for each in self.status["conditions"] if each["type"] == kind)

    def shares(self) -> dict[str, int]:
        """Percent of the requests by revision, as the router has it."""
        loaded = load_routes(_annotations(self.objects[CONFIG_MAPS, "fraud-router"])[names.ANNOTATION_ROUTES])
        assert loaded is not None
        routes = loaded[0]
        return {routes.stable: routes.stable_weight} | {arm.revision: arm.weight for arm in routes.arms}


def _maker(deployment: Json) -> Json:
    """The ReplicaSet of the Deployment's template, which is named by it."""
    name = f"{deployment['metadata']['name']}-{content_hash(deployment['spec']['template'])}"
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": "rs", "controller": True}


def version_of(body: Json) -> str:
    return str(body["metadata"]["resourceVersion"])


class _Evidence:
    def __init__(self, world: ClusterWorld) -> None:
        self._world = world

    def look(self, *_: Any) -> Seen:
        return Seen(self._world.judgement, None, {}, None)

    def forget(self, _owner: Key) -> None:
        """Nothing is remembered."""


class _Unmonitored:
    def look(self, *_: Any) -> tuple[None, None]:
        return None, None

    def forget(self, _owner: Key) -> None:
        """Nothing is remembered."""


def _is_selected(resource: Resource, body: Json) -> bool:
    return not resource.selector or (body["metadata"].get("labels") or {}).get(names.LABEL_MANAGED_BY) == "modelward"


def _annotations(body: Json) -> dict[str, str]:
    return dict(body["metadata"].get("annotations") or {})


def _set(body: Json, part: str, name: str, value: str | None) -> None:
    values = body["metadata"].setdefault(part, {})
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value


def _merge(into: Json, patch: Json) -> None:
    for name, value in patch.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, dict):
            _merge(into.setdefault(name, {}), value)
        else:
            into[name] = value
