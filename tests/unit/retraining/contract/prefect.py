"""A stand-in for the REST API of a Prefect 3 server (protocol alone): https://docs.prefect.io/v3/api-ref/rest-api."""

import uuid
from typing import Any

from aiohttp import web

from modelward.retraining.lifecycle.run import PREFECT
from modelward.retraining.triggers.logins import Logins
from modelward.retraining.triggers.outgoing import Outgoing
from modelward.retraining.triggers.prefect import PrefectTrigger

from .world import TOKEN, Registry, Secrets, Server, System, World
from .world import report as shown

DEPLOYMENT = "5f0e7a52-0000-4000-8000-000000000001"


class Prefect(System):
    kind = PREFECT

    def __init__(self) -> None:
        self.server = Server()
        self.api = Secrets(token=TOKEN)
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.logs: list[str] = []
        self.paused = False

    @property
    def retrain(self) -> dict[str, Any]:  # type: ignore[override]
        url = f"{self.server.url}/api"
        return {"prefect": {"url": url, "deployment": "retrain/production", "secretRef": {"name": "pipeline"}}}

    def trigger(self, world: World) -> PrefectTrigger:
        return PrefectTrigger(Outgoing(world.session, ("127.0.0.1",), ("127.0.0.1",)), Logins(self.api), Registry())

    def begun(self) -> int:
        return len(self.runs)

    def go_on(self, state: str, report: Any = None, log: str = "") -> None:
        self.logs = log.splitlines()
        for run, each in self.runs.items():
            each["state"] = {"type": {"running": "RUNNING", "good": "COMPLETED", "bad": "FAILED"}[state]}
            if report is not None:
                data = shown(report)
                self.artifacts.append({"key": "modelward-report", "flow_run_id": run, "type": "markdown", "data": data})

    def stopped(self) -> bool:
        return all(each["state"]["type"] in ("CANCELLING", "CANCELLED") for each in self.runs.values())

    def remove(self) -> None:
        self.runs.clear()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.server.guard, self._allowed])
        app.router.add_get("/api/deployments/name/{flow}/{name}", self.deployment)
        app.router.add_get(f"/api/deployments/{DEPLOYMENT}", self.deployment)
        app.router.add_post(f"/api/deployments/{DEPLOYMENT}/create_flow_run", self.start)
        app.router.add_post("/api/flow_runs/filter", self.filter)
        app.router.add_get("/api/flow_runs/{run}", self.get)
        app.router.add_post("/api/flow_runs/{run}/set_state", self.set_state)
        app.router.add_post("/api/artifacts/filter", self.find_artifacts)
        app.router.add_post("/api/logs/filter", self.find_logs)
        return app

    @web.middleware
    async def _allowed(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.server.refusal(request) is not None:
            return web.json_response({"exception_message": "Unauthorized"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def deployment(self, request: web.Request) -> web.Response:
        if request.match_info.get("flow", "retrain") != "retrain":
            return web.json_response({"detail": "Deployment not found"}, status=404)
        return web.json_response({"id": DEPLOYMENT, "name": "production", "paused": self.paused})

    async def start(self, request: web.Request) -> web.Response:
        told = await request.json()
        for each in self.runs.values():
            if each["idempotency_key"] == told["idempotency_key"]:
                return web.json_response(each)
        made = {"id": str(uuid.UUID(int=len(self.runs) + 1)), "state": {"type": "SCHEDULED"}, **told}
        self.runs[str(made["id"])] = made
        return web.json_response(made, status=201)

    async def filter(self, request: web.Request) -> web.Response:
        keys = (await request.json())["flow_runs"]["idempotency_key"]["any_"]
        return web.json_response([each for each in self.runs.values() if each["idempotency_key"] in keys])

    async def get(self, request: web.Request) -> web.Response:
        found = self.runs.get(request.match_info["run"])
        if found is None:
            return web.json_response({"detail": "Flow run not found"}, status=404)
        return web.json_response(found)

    async def set_state(self, request: web.Request) -> web.Response:
        run, asked = self.runs[request.match_info["run"]], (await request.json())["state"]["type"]
        assert asked == "CANCELLING"
        # One that has no infrastructure yet is cancelled at once, and the answer says that it was not made cancelling.
        scheduled = run["state"]["type"] == "SCHEDULED"
        run["state"] = {"type": "CANCELLED" if scheduled else "CANCELLING"}
        return web.json_response({"status": "REJECT" if scheduled else "ACCEPT", "state": run["state"]}, status=201)

    async def find_artifacts(self, request: web.Request) -> web.Response:
        asked = (await request.json())["artifacts"]
        return web.json_response(
            [
                each
                for each in self.artifacts
                if each["key"] in asked["key"]["any_"] and each["flow_run_id"] in asked["flow_run_id"]["any_"]
            ]
        )

    async def find_logs(self, request: web.Request) -> web.Response:
        told = await request.json()
        assert told["sort"] == "TIMESTAMP_DESC"
        return web.json_response([{"message": each} for each in reversed(self.logs)][: told["limit"]])
