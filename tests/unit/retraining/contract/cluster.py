"""A stand-in for the API server, for runs that are objects of the cluster: a Job, and a Workflow of Argo.

Neither the Job's controller nor Argo's runs here: a test says what they would have written into a status.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from modelward.kube.cache import Cache
from modelward.kube.client import ApiError, ApiUnreachableError
from modelward.kube.resources import EVENTS, JOBS, PODS, Resource
from modelward.retraining.lifecycle.run import ARGO, JOB
from modelward.retraining.triggers.argo import ArgoTrigger
from modelward.retraining.triggers.job import JobTrigger

from .world import BEGAN, LOG_END, Registry, Server, System, World
from .world import report as shown

TEMPLATE = {"spec": {"template": {"spec": {"containers": [{"name": "train", "image": "t:1"}]}}}}


class Api:
    """Objects by name. What is asked of it counts as the requests of a Server do. `refuses`: the status with which."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.there: dict[str, Any] = {}
        self.made = 0
        self.stopped: list[str] = []
        self.has_workflows = True
        self.refuses: int | None = None

    def _ask(self, what: str, path: str) -> bool:
        """Whether the answer is lost."""
        if self._server.away:
            raise ApiUnreachableError("no answer")
        if self.refuses is not None:
            raise ApiError(self.refuses, "Refused", "this is not for the operator")
        self._server.seen.append((what, path, {}))
        lost = len(self._server.seen) == self._server.lost
        self._server.cut |= lost
        return lost

    async def get(self, resource: Resource, _namespace: str, name: str) -> Any:
        if self._ask("GET", name):
            raise ApiUnreachableError("the answer was lost")
        return self.there.get(name) if resource is not EVENTS else None

    async def serves(self, _resource: Resource) -> bool:
        return self.has_workflows

    async def create(self, _resource: Resource, _namespace: str, manifest: Any, *, strict: bool) -> Any:
        assert strict
        lost, name = self._ask("POST", manifest["metadata"]["name"]), manifest["metadata"]["name"]
        if not self.has_workflows:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        if name in self.there:
            raise ApiError(409, "AlreadyExists", "it exists")
        self.made += 1
        self.there[name] = {**manifest, "metadata": {**manifest["metadata"], "uid": "w", "resourceVersion": "1"}}
        if lost:
            raise ApiUnreachableError("the answer was lost")
        return self.there[name]

    async def merge(self, _resource: Resource, _namespace: str, name: str, patch: Any) -> Any:
        lost = self._ask("PATCH", name)
        assert patch == {"metadata": {"uid": "w"}, "spec": {"shutdown": "Terminate"}}
        self.stopped.append(name)
        if lost:
            raise ApiUnreachableError("the answer was lost")
        return self.there[name]

    async def delete(self, _resource: Resource, _namespace: str, name: str, uid: str) -> None:
        assert uid == "w"
        self._ask("DELETE", name)
        self.stopped.append(name)

    async def request(self, *_: Any, **__: Any) -> Any:
        return {"items": []}

    async def pages(self, *_: Any) -> AsyncIterator[list[dict[str, Any]]]:
        yield []


class Cluster(System):
    registry = False
    api: Api

    def __init__(self, retrain: dict[str, Any]) -> None:
        self.server = Server()
        self.api = Api(self.server)
        self.retrain = retrain

    def begun(self) -> int:
        return self.api.made

    def stopped(self) -> bool:
        return set(self.api.stopped) == set(self.api.there)

    def remove(self) -> None:
        self.api.there.clear()

    def expire(self) -> None:
        """The operator's own token: it has no other for what is in its cluster."""
        self.api.refuses = 401

    def renew(self) -> None:
        self.api.refuses = None


class ArgoWorkflow(Cluster):
    kind = ARGO
    registry = True

    def __init__(self) -> None:
        super().__init__({"argoWorkflow": {"template": "retrain"}})

    def trigger(self, _world: World) -> ArgoTrigger:
        return ArgoTrigger(self.api, Registry())  # type: ignore[arg-type]

    def go_on(self, state: str, report: Any = None, log: str = "") -> None:
        for each in self.api.there.values():
            each["status"] = {"phase": {"running": "Running", "good": "Succeeded", "bad": "Failed"}[state]}
            if report is not None:
                parameters = [{"name": "accuracy", "value": "1"}, {"name": "modelward-report", "value": shown(report)}]
                each["status"]["outputs"] = {"parameters": parameters}
            if log:
                each["status"]["message"] = "child 'fraud-1' failed"
                node = {"type": "Pod", "phase": "Failed", "displayName": "train", "message": f"exit code 1: {LOG_END}"}
                each["status"]["nodes"] = {"a": {"type": "DAG", "phase": "Failed"}, "b": node}


class Job(Cluster):
    kind = JOB

    def __init__(self) -> None:
        super().__init__({"job": {"template": TEMPLATE}})
        self.state: tuple[str, Any, str] = ("running", None, "")
        self.version = 10

    def trigger(self, world: World) -> JobTrigger:
        self.cache, self.world = Cache(), world
        self._write()
        return JobTrigger(self.api, self.cache, lambda: datetime.fromtimestamp(world.now, UTC))  # type: ignore[arg-type]

    def remove(self) -> None:
        for each in list(self.cache.of_namespace(JOBS, "ml")):
            self.cache.remove(JOBS, each, final=True)
        super().remove()

    def go_on(self, state: str, report: Any = None, log: str = "") -> None:
        self.state = (state, report, log)
        self._write()

    def _write(self) -> None:
        """What watches would tell of the Job and of its pod."""
        state, report, log = self.state
        self.version += 1
        for name, job in self.api.there.items():
            at = datetime.fromtimestamp(BEGAN, UTC).isoformat()
            kind = {"good": "Complete", "bad": "Failed"}.get(state)
            told = [{"type": kind, "status": "True", "lastTransitionTime": at, "message": ""}] if kind else []
            metadata = {**job["metadata"], "resourceVersion": str(self.version)}
            self.cache.upsert(JOBS, {**job, "metadata": metadata, "status": {"conditions": told}})
            message = log or (json.dumps(report) if report is not None else "")
            ended = {"terminated": {"exitCode": int(state == "bad"), "message": message, "reason": "Error"}}
            owner = [{"kind": "Job", "name": name, "uid": "w", "controller": True}]
            metadata = {
                "name": f"{name}-0", "namespace": "ml", "uid": "pod", "resourceVersion": str(self.version),
                "ownerReferences": owner, "labels": job["spec"]["template"]["metadata"]["labels"],
            }  # fmt: skip
            states = [{"name": "train", "state": ended if kind else {"running": {}}}]
            self.cache.upsert(PODS, {"metadata": metadata, "status": {"containerStatuses": states}})
