"""A stand-in for the REST API v2beta1 of Kubeflow Pipelines (protocol alone: it needs a cluster with images that
can't be had here): https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/."""

import json
import uuid
from typing import Any

from aiohttp import web

from modelward.retraining.lifecycle.report import ReportError
from modelward.retraining.lifecycle.run import KUBEFLOW, Report
from modelward.retraining.triggers.kubeflow import KubeflowTrigger
from modelward.retraining.triggers.logins import Logins
from modelward.retraining.triggers.outgoing import Outgoing
from modelward.retraining.triggers.pipeline import read
from modelward.retraining.triggers.trigger import Order

from .world import TOKEN, Secrets, Server, System, World

PIPELINE, VERSION = (f"9d0e7a52-0000-4000-8000-00000000000{number}" for number in (1, 2))


class Kubeflow(System):
    """`declared`: parameters of the pipeline; `registered`: what the registry says of the run; `experiments`: ids by
    namespace and name, of one that has a namespace for each team; None: it has none."""

    kind = KUBEFLOW
    registry = False  # it always tells, whatever spec says
    missing = "modelward.run"

    def __init__(self) -> None:
        self.server = Server()
        self.api = Secrets(token=TOKEN)
        self.declared = ["modelward_run", "modelward_briefing"]
        self.runs: dict[str, dict[str, Any]] = {}
        self.registered: Any = None
        self.nested = False
        self.experiments: dict[tuple[str, str], str] | None = None

    @property
    def retrain(self) -> dict[str, Any]:  # type: ignore[override]
        url = f"{self.server.url}/pipeline"
        return {"kubeflow": {"url": url, "pipeline": "retrain fraud", "secretRef": {"name": "pipeline"}}}

    def trigger(self, world: World) -> KubeflowTrigger:
        out = Outgoing(world.session, ("127.0.0.1",), ("127.0.0.1",))
        return KubeflowTrigger(out, Logins(self.api), self, lambda: world.now)

    async def report(self, order: Order) -> Report:
        if self.registered is None:
            raise ReportError(f"no version of fraud has the tag modelward.run={order.run.name}")
        return read(self.registered)

    def begun(self) -> int:
        return len(self.runs)

    def go_on(self, state: str, report: Any = None, log: str = "") -> None:
        self.registered = report
        for each in self.runs.values():
            each["state"] = {"running": "RUNNING", "good": "SUCCEEDED", "bad": "FAILED"}[state]
            if log:
                failed = {"display_name": "train", "state": "FAILED", "error": {"code": 2, "message": log}}
                each["error"] = {"code": 2, "message": "The pipeline failed."}
                each["run_details"] = {"task_details": [{"display_name": "root", "state": "FAILED"}, failed]}

    def stopped(self) -> bool:
        return all(each["state"] in ("CANCELING", "CANCELED") for each in self.runs.values())

    def remove(self) -> None:
        self.runs.clear()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.server.guard, self._allowed])
        api = "/pipeline/apis/v2beta1"
        app.router.add_get(f"{api}/pipelines/names/{{name}}", self.pipeline)
        app.router.add_get(f"{api}/pipelines/{PIPELINE}/versions", self.versions)
        app.router.add_get(f"{api}/experiments", self.list_experiments)
        app.router.add_get(f"{api}/runs", self.list)
        app.router.add_post(f"{api}/runs", self.start)
        app.router.add_get(f"{api}/runs/{{run}}", self.get)
        app.router.add_post(f"{api}/runs/{{run}}:terminate", self.terminate)
        return app

    @web.middleware
    async def _allowed(self, request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.StreamResponse = self.server.refusal(request) or await handler(request)
        return answer

    async def pipeline(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != "retrain fraud":
            return missing("Failed to get pipeline by name")
        return web.json_response({"pipeline_id": PIPELINE, "display_name": "retrain fraud"})

    async def versions(self, request: web.Request) -> web.Response:
        assert dict(request.query) == {"page_size": "1", "sort_by": "created_at desc"}
        parameters = {name: {"parameterType": "STRING"} for name in self.declared}
        spec: dict[str, Any] = {"root": {"inputDefinitions": {"parameters": parameters}}}
        spec = {"pipeline_spec": spec, "platform_spec": {}} if self.nested else spec
        version = {"pipeline_id": PIPELINE, "pipeline_version_id": VERSION, "pipeline_spec": spec}
        return web.json_response({"pipeline_versions": [version], "total_size": 1})

    async def list_experiments(self, request: web.Request) -> web.Response:
        where = (request.query["namespace"], named(request))
        found = (self.experiments or {}).get(where)
        shown = {"experiment_id": found, "display_name": where[1], "namespace": where[0]}
        return web.json_response({"experiments": [shown], "total_size": 1} if found else {})

    async def list(self, request: web.Request) -> web.Response:
        name = named(request)
        found = [each for each in self.runs.values() if each["display_name"] == name]
        # Lists that are empty are left out, as protobuf's JSON has it.
        return web.json_response({"runs": found, "total_size": len(found)} if found else {})

    async def start(self, request: web.Request) -> web.Response:
        told = await request.json()
        if self.experiments is not None and told.get("experiment_id") not in self.experiments.values():
            # The body has no namespace: that is the experiment's.
            words = "Invalid input error: Experiment id can not be empty in multi-user mode"
            return web.json_response({"error": words, "code": 3, "message": words}, status=400)
        assert told["pipeline_version_reference"] == {"pipeline_id": PIPELINE, "pipeline_version_id": VERSION}
        if not told["runtime_config"]["parameters"].keys() <= set(self.declared):
            return web.json_response({"error": "unknown parameter", "code": 3, "message": "unknown"}, status=400)
        made = {**told, "run_id": str(uuid.UUID(int=len(self.runs) + 1)), "state": "PENDING"}
        self.runs[made["run_id"]] = made
        return web.json_response(made)

    async def get(self, request: web.Request) -> web.Response:
        found = self.runs.get(request.match_info["run"])
        return missing("Failed to fetch run") if found is None else web.json_response(found)

    async def terminate(self, request: web.Request) -> web.Response:
        self.runs[request.match_info["run"]]["state"] = "CANCELING"
        return web.json_response({})


def named(request: web.Request) -> str:
    """The name that is asked for."""
    (predicate,) = json.loads(request.query["filter"])["predicates"]
    assert (predicate["operation"], predicate["key"]) == ("EQUALS", "display_name")
    return str(predicate["stringValue"])


def missing(what: str) -> web.Response:
    return web.json_response({"error": what, "code": 5, "message": what, "details": []}, status=404)
