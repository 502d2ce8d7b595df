"""A small world for the retraining loop: an API server in memory, Jobs, rollouts, a clock, and an operator that dies.

The operator in it is the real PolicyReconciler over the real cache; only what it talks to is pretended.
"""

import asyncio
import copy
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from modelward.api import names
from modelward.kube.cache import Cache, Key
from modelward.kube.client import ApiError
from modelward.kube.resources import (
    CONFIG_MAPS,
    DRIFT_POLICIES,
    EVENTS,
    JOBS,
    MODEL_DEPLOYMENTS,
    PODS,
    RETRAINING_RUNS,
    Resource,
)
from modelward.monitoring.windows import Look, Window
from modelward.reconcilers.driftpolicy.reconcile import PolicyReconciler
from modelward.retraining.effective import Effective, effective_model, model_status
from modelward.retraining.lifecycle.report import read_report
from modelward.retraining.lifecycle.run import BROKE, RUNNING, SUCCEEDED, WAITS, WEBHOOK, WORKING, Outcome
from modelward.retraining.persistence.memory import DATA
from modelward.retraining.persistence.run_object import is_over
from modelward.retraining.triggers.job import JobTrigger
from modelward.retraining.triggers.job_pods import SIDECAR_GRACE
from modelward.retraining.triggers.trigger import Order
from nodeless.training import REFERENCE, counts

COOLDOWN, BACKOFF, DEADLINE, MAX_FAILURES = 3600.0, 600.0, 7200.0, 3
POLICIES = ("drift", "nightly")
RETRAIN: dict[str, Any] = {
    "cooldown": f"{COOLDOWN:.0f}s", "backoff": f"{BACKOFF:.0f}s", "deadline": f"{DEADLINE:.0f}s",
    "maxFailures": MAX_FAILURES,
}  # fmt: skip
BY_JOB: dict[str, Any] = {"job": {"template": {"spec": {"template": {"spec": {"containers": [{"name": "train"}]}}}}}}
BY_WEBHOOK: dict[str, Any] = {"webhook": {"url": "https://ci/retrain", "secretRef": {"name": "key"}}}


class KilledError(BaseException):
    """What SIGKILL is to a process."""


class OtherSystem:
    """Where webhooks are heard. `going`: the policy of each run that was started and neither ended nor stopped, by its
    key; `ended`: what it came to; `dead`: it does not answer to who wants a run stopped; `heard`: called when a run was
    started, before whoever asked for it has the answer."""

    def __init__(self, heard: Callable[[], None] = lambda: None) -> None:
        self.heard = heard
        self.going: dict[str, str] = {}
        self.ended: dict[str, Outcome] = {}
        self.dead = False
        self.untold: set[str] = set()
        """Keys of runs that it could not be told to stop."""

    async def start(self, order: Order) -> Outcome:
        if order.run.key not in self.ended:
            self.going[order.run.key] = order.policy.uid
        self.heard()
        return Outcome(WORKING, handle=order.run.key)

    async def poll(self, order: Order) -> Outcome:
        return self.ended.get(str(order.run.handle), Outcome(WORKING))

    async def cancel(self, order: Order) -> Outcome:
        if self.dead:
            self.untold.add(order.run.key)
            return Outcome(WAITS, "no answer")
        if order.run.handle is None:
            # As of a webhook: of what never began nobody has to be told; of anything else nobody knows where it is.
            if order.run.phase != RUNNING:
                return Outcome(SUCCEEDED)
            self.untold.add(order.run.key)
            return Outcome(BROKE, "its answer was lost")
        if self.going.pop(order.run.handle, None) is not None:
            self.ended[order.run.handle] = Outcome(BROKE, "stopped")
        return Outcome(SUCCEEDED)

    def end(self, key: str, report: str | None) -> None:
        del self.going[key]
        self.ended[key] = Outcome(BROKE, "boom") if report is None else Outcome(SUCCEEDED, report=read_report(report))


class World:
    """`store`: what the API server holds; `made`, `decided`: how often a Job, and a run, of each name was created;
    `spec_writes`: of the ModelDeployment, by the operator; `told`: the Events that were posted."""

    def __init__(self) -> None:
        self.time = 1_760_000_000.0
        self.store: dict[Resource, dict[str, dict[str, Any]]] = {
            each: {} for each in (MODEL_DEPLOYMENTS, DRIFT_POLICIES, RETRAINING_RUNS, CONFIG_MAPS, JOBS, PODS)
        }
        self.version = itertools.count(1)
        self.made: Counter[str] = Counter()
        self.decided: Counter[str] = Counter()
        self.spec_writes = 0
        self.told: list[dict[str, Any]] = []
        self.started: list[tuple[float, str]] = []
        self.writes_left: int | None = None
        self.share = 0.5
        self.window_end = self.time
        self.models = itertools.count(2)
        self.other = OtherSystem(self._written)
        self._create_target()
        for name in POLICIES:
            self.create_policy(name)
        self.take_over()

    # What the operator is given.

    async def get(self, resource: Resource, _namespace: str, name: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.store[resource].get(name))

    async def pages(self, resource: Resource, _namespace: str) -> AsyncIterator[list[dict[str, Any]]]:
        kind = next(each for each in self.store if each.plural == resource.plural)
        key, _, value = resource.selector.partition("=")
        listed = copy.deepcopy(list(self.store[kind].values()))
        yield [each for each in listed if each["metadata"].get("labels", {}).get(key) == value]

    async def create(
        self, resource: Resource, _namespace: str, manifest: Mapping[str, Any], **_: Any
    ) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        if resource is EVENTS:
            self.told.append(dict(manifest))
            return {}
        if name in self.store[resource]:
            raise ApiError(409, "AlreadyExists", "it exists")
        body = self._put(resource, name, {**copy.deepcopy(dict(manifest)), "status": {}})
        if resource is JOBS:
            self.made[name] += 1
            self.started.append((self.time, name))
            owners = {each["metadata"]["uid"] for each in self.store[RETRAINING_RUNS].values()}
            if body["metadata"]["ownerReferences"][0]["uid"] not in owners:
                # Its run was deleted meanwhile: the garbage collector finds it without an owner.
                del self.store[JOBS][name]
        else:
            self.decided[name] += 1
        self._written()
        return body

    async def apply(
        self,
        resource: Resource,
        manifest: Mapping[str, Any],
        subresource: str | None = None,
        *,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        body = self.store[resource].get(name)
        if resource is CONFIG_MAPS:
            stored = self._put(resource, name, copy.deepcopy(dict(manifest)))
            self._written()
            return stored
        if body is None or body["metadata"]["uid"] != manifest["metadata"]["uid"]:
            raise ApiError(409, "Conflict", "uid mismatch")
        if dry_run:
            return copy.deepcopy(body)
        self.spec_writes += subresource != "status"
        told = [each["name"] for each in manifest["status"].get("targets") or ()]
        assert len(told) == len(set(told)), "the API server takes a name once"
        stored = self._put(resource, name, {**body, "status": copy.deepcopy(manifest["status"])})
        self._written()
        return stored

    async def merge(self, resource: Resource, _namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Of metadata alone. What only a finalizer has kept is gone with the last of them."""
        body = self.store[resource].get(name)
        if body is None:
            raise ApiError(404, "NotFound", "it is gone")
        if patch["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it has been changed since")
        merged = {**body["metadata"], **patch["metadata"]}
        annotations = {**(body["metadata"].get("annotations") or {}), **(patch["metadata"].get("annotations") or {})}
        merged["annotations"] = {key: value for key, value in annotations.items() if value is not None}
        stored = self._put(resource, name, {**body, "metadata": merged})
        if stored["metadata"].get("deletionTimestamp") and not stored["metadata"]["finalizers"]:
            self.remove(resource, name)
        self._written()
        return stored

    async def delete(self, resource: Resource, _namespace: str, name: str, _uid: str) -> None:
        self.remove(resource, name)
        self._written()

    def window(self, _owner: Key, revision: str, _reader: str, _settings: Any, _now: float) -> Look:
        window = Window(revision, REFERENCE.digest, self.window_end - 3600, self.window_end, (counts(self.share),))
        return Look(REFERENCE, None, window)

    # What happens to it.

    def reconcile(self, policy: str, dies_after: int | None = None) -> None:
        """One reconcile; where it dies after a number of writes, another operator takes over with another cache."""
        self.writes_left = dies_after
        try:
            asyncio.run(self.operator.reconcile(Key("ml", policy, DRIFT_POLICIES.kind)))
        except KilledError:
            self.take_over()
        finally:
            self.writes_left = None

    def watch(self) -> None:
        """The watch tells of everything."""
        for resource, bodies in self.store.items():
            known = self.cache.of_namespace(resource, "ml")
            bodies = {name: body for name, body in bodies.items() if _is_selected(resource, body)}
            for body in bodies.values():
                self.cache.upsert(resource, copy.deepcopy(body))
            for body in known:
                there = bodies.get(body["metadata"]["name"], {"metadata": {"uid": None}})
                if there["metadata"]["uid"] != body["metadata"]["uid"]:
                    self.cache.remove(resource, body)

    def settle(self) -> None:
        """Reconcile until nothing changes any more."""
        for _ in range(50):
            self.watch()
            before = copy.deepcopy(self.store)
            for policy in sorted(self.store[DRIFT_POLICIES]):
                self.reconcile(policy)
            if self.store == before:
                return
        raise AssertionError("it never comes to rest")

    def end_window(self, *, drifts: bool) -> None:
        self.time += 3600
        self.window_end = self.time
        self.share = 0.9 if drifts else 0.5

    def finish(self, job: str, *, report: str | None, log: str = "boom") -> None:
        """A Job ends: well with a report, badly without one."""
        body = self.store[JOBS][job]
        at = datetime.fromtimestamp(self.time, UTC).isoformat()
        kind = "Complete" if report is not None else "Failed"
        condition = {"type": kind, "status": "True", "lastTransitionTime": at, "message": "over"}
        pod = {
            "metadata": {
                "name": f"{job}-0", "namespace": "ml", "uid": f"pod-{job}",
                "labels": body["spec"]["template"]["metadata"]["labels"],
                "ownerReferences": [
                    {"kind": "Job", "name": job, "uid": body["metadata"]["uid"], "controller": True}
                ],
            },
            "status": {
                "containerStatuses": [
                    {
                        "name": "train",
                        "state": {"terminated": {"exitCode": 0 if report is not None else 1, "message": report or log}},
                    }
                ]
            },
        }  # fmt: skip
        self._put(PODS, f"{job}-0", pod)
        self._put(JOBS, job, {**body, "status": {"conditions": [condition]}})

    def outlive(self, job: str, *, report: str | None) -> None:
        """Its training ends, well with a report; a sidecar runs on, so that neither pod nor Job end."""
        body, at = self.store[JOBS][job], datetime.fromtimestamp(self.time - SIDECAR_GRACE, UTC).isoformat()
        ended = {"exitCode": 0 if report is not None else 1, "message": report or "boom", "finishedAt": at}
        self._put(PODS, f"{job}-0", {
            "metadata": {
                "name": f"{job}-0", "namespace": "ml", "uid": f"pod-{job}",
                "labels": body["spec"]["template"]["metadata"]["labels"],
                "ownerReferences": [
                    {"kind": "Job", "name": job, "uid": body["metadata"]["uid"], "controller": True}
                ],
            },
            "status": {
                "phase": "Running",
                "containerStatuses": [
                    {"name": "train", "state": {"terminated": ended}}, {"name": "proxy", "state": {"running": {}}},
                ],
            },
        })  # fmt: skip

    def running(self) -> list[str]:
        return [name for name, body in self.store[JOBS].items() if not body["status"].get("conditions")]

    def remove(self, resource: Resource, name: str, *, seen: bool = True) -> None:
        """With the garbage collector behind it."""
        body = self.store[resource].pop(name, None)
        if body is None:
            return
        if seen:
            self.cache.remove(resource, body)
        for kind, others in self.store.items():
            for other, owned in list(others.items()):
                owners = {each["uid"] for each in owned["metadata"].get("ownerReferences") or ()}
                if body["metadata"]["uid"] in owners:
                    self.remove(kind, other, seen=seen)

    def ask_to_delete(self, resource: Resource, name: str) -> None:
        """As the API server does: what has a finalizer stays until that is taken away."""
        body = self.store[resource][name]
        if not body["metadata"].get("finalizers"):
            self.remove(resource, name)
            return
        at = datetime.fromtimestamp(self.time, UTC).isoformat()
        self._put(resource, name, {**body, "metadata": {**body["metadata"], "deletionTimestamp": at}})

    def relabel(self, resource: Resource, name: str) -> None:
        """By which the watches lose sight of it."""
        body = copy.deepcopy(self.store[resource][name])
        body["metadata"]["labels"][names.LABEL_MANAGED_BY] = "Helm"
        stored = self._put(resource, name, body, seen=False)
        self.cache.remove(resource, stored)

    def new_model(self) -> str:
        return f"s3://models/fraud/{next(self.models)}/model.onnx"

    def set_model(self, uri: str) -> None:
        """Somebody else changes spec.model.uri."""
        body = self.target
        self._put(MODEL_DEPLOYMENTS, "fraud", self._edited(body, {**body["spec"], "model": {"uri": uri}}))

    def roll_out(self, *, promote: bool) -> None:
        """What the ModelDeployment's own reconcile makes of its spec."""
        body, status = self.target, copy.deepcopy(self.target["status"])
        effective = self.effective()
        generation, uri = body["metadata"]["generation"], effective.model.uri
        if status["observedGeneration"] == generation and status["model"]["uri"] == uri:
            return
        status["observedGeneration"] = generation
        if uri != status["stable"]["uri"]:
            rejected = (status.get("rollout") or {}).get("phase") == "RolledBack" and status["rollout"]["uri"] == uri
            promote = promote and not rejected
            phase = "Promoted" if promote else "RolledBack"
            status["rollout"] = {"uri": uri, "phase": phase, "message": f"it is {phase}"}
            if promote:
                status["stable"] = {"revision": f"fraud-{uri.split('/')[4]}", "uri": uri}
        status["model"] = model_status(effective, stable=status["stable"]["uri"] == uri)
        self._put(MODEL_DEPLOYMENTS, "fraud", {**body, "status": status})

    def effective(self) -> Effective:
        """What the ModelDeployment is to serve."""
        return effective_model(self.target, self.store[RETRAINING_RUNS].values())

    def edit(self, policy: str, **spec: Any) -> None:
        body = self.store[DRIFT_POLICIES][policy]
        self._put(DRIFT_POLICIES, policy, self._edited(body, {**body["spec"], **spec}))

    def lose_status(self, policy: str) -> None:
        self._put(DRIFT_POLICIES, policy, {**self.store[DRIFT_POLICIES][policy], "status": {}})

    def request(self, policy: str, value: str) -> None:
        body = copy.deepcopy(self.store[DRIFT_POLICIES][policy])
        body["metadata"].setdefault("annotations", {})[names.ANNOTATION_RETRAIN] = value
        self._put(DRIFT_POLICIES, policy, body)

    # What is to be seen.

    @property
    def events(self) -> list[tuple[str, str]]:
        """Type and reason of each that was posted."""
        return [(each["type"], each["reason"]) for each in self.told]

    @property
    def target(self) -> dict[str, Any]:
        return self.store[MODEL_DEPLOYMENTS]["fraud"]

    def memories(self) -> dict[str, dict[str, Any]]:
        """What each policy remembers of the target."""
        bodies = self.store[CONFIG_MAPS].values()
        return {body["metadata"]["labels"][names.LABEL_POLICY]: json.loads(body["data"][DATA]) for body in bodies}

    def runs(self, policy: str) -> list[dict[str, Any]]:
        """The latest first."""
        own = [
            body
            for body in self.store[RETRAINING_RUNS].values()
            if body["metadata"]["labels"][names.LABEL_POLICY] == policy
        ]
        # Of one moment, too: what was made later comes first.
        return sorted(own, key=lambda body: str(body["spec"]["requestedAt"]))[::-1]

    def active(self) -> list[dict[str, Any]]:
        return [body for body in self.store[RETRAINING_RUNS].values() if not is_over(body)]

    def ended(self) -> list[dict[str, Any]]:
        return [body for body in self.store[RETRAINING_RUNS].values() if is_over(body)]

    def take_over(self) -> None:
        """Another operator, which knows what is stored alone."""
        self.cache = Cache()
        self.watch()
        jobs = JobTrigger(self, self.cache, self.now)  # type: ignore[arg-type]
        self.operator = PolicyReconciler(self, self.cache, self, jobs, {WEBHOOK: self.other}, "test", self.now)  # type: ignore[arg-type]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def _written(self) -> None:
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left <= 0:
                raise KilledError

    def _edited(self, body: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
        if spec == body["spec"]:
            return dict(body)
        generation = body["metadata"]["generation"] + 1
        return {**body, "metadata": {**body["metadata"], "generation": generation}, "spec": dict(spec)}

    def _put(self, resource: Resource, name: str, body: Mapping[str, Any], *, seen: bool = True) -> dict[str, Any]:
        old = self.store[resource].get(name)
        uid = old["metadata"]["uid"] if old else f"{name}-{next(self.version)}"
        metadata = {"generation": 1, "uid": uid, "namespace": "ml", **body["metadata"]}
        stored = {**body, "metadata": {**metadata, "resourceVersion": str(next(self.version))}}
        self.store[resource][name] = stored
        if seen and hasattr(self, "cache"):
            self.cache.upsert(resource, copy.deepcopy(stored))
        return copy.deepcopy(stored)

    def make_target_anew(self) -> None:
        """Somebody deletes the ModelDeployment, and another one has its name."""
        self.remove(MODEL_DEPLOYMENTS, "fraud")
        self._create_target(f"target-{next(self.version)}")

    def _create_target(self, uid: str = "target") -> None:
        uri = "s3://models/fraud/1/model.onnx"
        status = {
            "observedGeneration": 1,
            "stable": {"revision": "fraud-1", "uri": uri},
            "model": {"uri": uri, "source": "Spec"},
        }
        body = {"metadata": {"name": "fraud", "uid": uid}, "spec": {"model": {"uri": uri}}}
        self._put(MODEL_DEPLOYMENTS, "fraud", {**body, "status": status})

    def create_policy(self, name: str, uid: str | None = None) -> None:
        spec: dict[str, Any] = {"target": {"name": "fraud"}, "retrain": {**RETRAIN, **BY_JOB}}
        if name == "nightly":
            spec["schedule"] = {"cron": "0 2 * * *"}
        self._put(DRIFT_POLICIES, name, {"metadata": {"name": name, "uid": uid or name}, "spec": spec, "status": {}})


def _is_selected(resource: Resource, body: Mapping[str, Any]) -> bool:
    label = (body["metadata"].get("labels") or {}).get(names.LABEL_MANAGED_BY)
    return not resource.selector or label in (None, names.MANAGED_BY)
