"""A run's Job on a stage: the API server, the cache, and what pods say."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.kube.cache import Cache
from modelward.kube.client import ApiError
from modelward.kube.resources import EVENTS, JOBS, PODS, Resource
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Run
from modelward.retraining.target import TargetFacts
from modelward.retraining.triggers.job import JobTrigger
from modelward.retraining.triggers.job_manifest import job as rendered
from modelward.retraining.triggers.trigger import Order

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = Artifact("s3://models/fraud/1/fraud.tar")
FACTS = TargetFacts("fraud", "t", 1, 1, MODEL, "fraud-a", MODEL)
RUN = Run("fraud-1", "k", "Job", "Drift", "", NOW.timestamp(), "fraud-a", MODEL, phase=runs.RUNNING, uid="r")
TEMPLATE = {"spec": {"template": {"spec": {"containers": [{"name": "train", "image": "t:1"}]}}}}
REPORT = json.dumps({"modelUri": "s3://models/fraud/2/fraud.tar"})


def policy(uid: str = "p") -> DriftPolicy:
    metadata = {"namespace": "ml", "name": "fraud", "uid": uid, "generation": 1}
    spec = {"target": {"name": "fraud"}, "retrain": {"job": {"template": TEMPLATE}}}
    return parse({"metadata": metadata, "spec": spec})


class Server:
    """The API server: what is there, and what it refuses."""

    def __init__(self) -> None:
        self.there: dict[str, Any] = {}
        self.refuses: ApiError | None = None
        self.created = 0
        self.warnings: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.deleted: list[str] = []
        self.pods: list[dict[str, Any]] = []

    async def pages(self, resource: Resource, namespace: str) -> AsyncIterator[list[dict[str, Any]]]:
        assert (resource.plural, resource.selector, namespace) == ("pods", "modelward.io/run=fraud-1", "ml")
        yield self.pods

    async def get(self, _resource: Resource, _namespace: str, name: str) -> Any:
        return self.there.get(name)

    async def create(self, _resource: Resource, _namespace: str, manifest: Any, *, strict: bool) -> Any:
        assert strict
        if self.refuses is not None:
            raise self.refuses
        if manifest["metadata"]["name"] in self.there:
            raise ApiError(409, "AlreadyExists", "it exists")
        self.created += 1
        metadata = {**manifest["metadata"], "uid": "j", "resourceVersion": "5"}
        self.there[metadata["name"]] = {**manifest, "metadata": metadata}
        return self.there[metadata["name"]]

    async def delete(self, _resource: Resource, _namespace: str, name: str, uid: str) -> None:
        self.deleted.append(f"{name}/{uid}")

    async def request(self, _method: str, resource: Resource, _path: str, query: Any, **_: Any) -> Any:
        assert resource is EVENTS
        self.asked.append(query["fieldSelector"])
        about = query["fieldSelector"].split(",")[0].removeprefix("involvedObject.uid=")
        if self.refuses is not None:
            raise self.refuses
        return {"items": self.warnings.get(about, [])}


def at(seconds: float) -> str:
    """So long before now."""
    return (NOW - timedelta(seconds=seconds)).isoformat()


class Stage:
    """A trigger, and what its cache holds."""

    def __init__(self) -> None:
        self.server, self.cache = Server(), Cache()
        self.now = NOW
        self.trigger = JobTrigger(self.server, self.cache, lambda: self.now)  # type: ignore[arg-type]

    def job(
        self,
        kind: str | None = None,
        ago: float = 0.0,
        message: str = "",
        owner: str = "r",
        spec: Any = None,
        **meta: Any,
    ) -> None:
        made = rendered(policy(), TEMPLATE, FACTS, replace(RUN, uid=owner))
        at = (NOW - timedelta(seconds=ago)).isoformat()
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": at, "message": message}] if kind else []
        metadata = {**made["metadata"], "uid": "j", "resourceVersion": "7", **meta}
        self.cache.upsert(JOBS, {"metadata": metadata, "spec": spec or {}, "status": {"conditions": conditions}})

    def pod(self, code: int, log: str, name: str = "fraud-1-0", job: str = "j", **status: Any) -> None:
        self.cache.upsert(PODS, self.made(code, log, name, job, **status))

    def made(self, code: int, log: str, name: str = "fraud-1-0", job: str = "j", **status: Any) -> dict[str, Any]:
        labels = rendered(policy(), TEMPLATE, FACTS, RUN)["spec"]["template"]["metadata"]["labels"]
        state = {"terminated": {"exitCode": code, "message": log, "reason": "Error", "finishedAt": name}}
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": "ml",
            "uid": name,
            "resourceVersion": "1",
            "labels": labels,
        }
        metadata["ownerReferences"] = [{"kind": "Job", "name": "fraud-1", "uid": job, "controller": True}]
        statuses = [{"name": "istio", "state": {}}, {"name": "train", "state": state}]
        return {"metadata": metadata, "status": {"containerStatuses": statuses, **status}}

    async def poll(self) -> tuple[str, str]:
        found = await self.trigger.poll(Order(policy(), RUN, FACTS))
        return found.state, found.message


def over(code: int, ago: float, message: str = "") -> dict[str, Any]:
    return {"state": {"terminated": {"exitCode": code, "message": message, "finishedAt": at(ago), "reason": "Done"}}}


def two(trains: dict[str, Any], other: str = "istio-proxy") -> list[dict[str, Any]]:
    """Statuses of a pod whose second container runs on."""
    return [{"name": "train", **trains}, {"name": other, "ready": True, "state": {"running": {}}}]


def waiting(reason: str, message: str) -> dict[str, Any]:
    return {"name": "train", "state": {"waiting": {"reason": reason, "message": message}}}
