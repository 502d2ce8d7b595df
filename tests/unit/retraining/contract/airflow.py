"""A stand-in for Airflow 3's REST API v2 (protocol alone): https://airflow.apache.org/docs/apache-airflow/stable."""

from typing import Any

from aiohttp import web

from modelward.retraining.lifecycle.run import AIRFLOW
from modelward.retraining.triggers.airflow import AirflowTrigger
from modelward.retraining.triggers.logins import Logins
from modelward.retraining.triggers.outgoing import Outgoing

from .world import JWT, RENEWED, TOKEN, Registry, Secrets, Server, System, World


class Airflow(System):
    kind = AIRFLOW

    def __init__(self) -> None:
        self.server = Server()
        self.api = Secrets(username="operator", password=TOKEN)
        self.runs: dict[str, dict[str, Any]] = {}
        self.xcoms: dict[tuple[str, str, str], Any] = {}
        self.logs = ""
        self.paused = False
        self.jwts: dict[str, str] = {}
        """By token, the password that it was got with."""

    @property
    def retrain(self) -> dict[str, Any]:  # type: ignore[override]
        return {"airflow": {"url": self.server.url, "dag": "retrain", "secretRef": {"name": "pipeline"}}}

    def trigger(self, world: World) -> AirflowTrigger:
        return AirflowTrigger(Outgoing(world.session, ("127.0.0.1",), ("127.0.0.1",)), Logins(self.api), Registry())

    def begun(self) -> int:
        return len(self.runs)

    def go_on(self, state: str, report: Any = None, log: str = "") -> None:
        self.logs = log
        for name, each in self.runs.items():
            each["state"] = {"running": "running", "good": "success", "bad": "failed"}[state]
            if report is not None:
                self.xcoms[name, "report", "return_value"] = report

    def stopped(self) -> bool:
        return all(each["state"] == "failed" for each in self.runs.values())

    def remove(self) -> None:
        self.runs.clear()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.server.guard, self._allowed])
        run = "/api/v2/dags/{dag}/dagRuns/{run}"
        app.router.add_post("/auth/token", self.token)
        app.router.add_get("/api/v2/dags/{dag}", self.dag)
        app.router.add_post("/api/v2/dags/{dag}/dagRuns", self.start)
        app.router.add_get(run, self.get)
        app.router.add_patch(run, self.patch)
        app.router.add_get(f"{run}/taskInstances", self.tasks)
        app.router.add_get(f"{run}/taskInstances/{{task}}/logs/{{attempt}}", self.log)
        app.router.add_get(f"{run}/taskInstances/{{task}}/xcomEntries/{{key}}", self.xcom)
        return app

    @web.middleware
    async def _allowed(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path != "/auth/token":
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            password = self.jwts.get(given)
            if password not in self.server.tokens:
                return web.json_response({"detail": f"Invalid JWT token {given}"}, status=403)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def token(self, request: web.Request) -> web.Response:
        told = await request.json()
        if told["username"] != "operator" or told["password"] not in self.server.tokens:
            return web.json_response({"detail": f"Invalid credentials {told['password']}"}, status=401)
        made = f"{JWT}.{len(self.jwts)}.{'b' if told['password'] == RENEWED else 'a'}"
        self.jwts[made] = told["password"]
        return web.json_response({"access_token": made}, status=201)

    async def dag(self, request: web.Request) -> web.Response:
        if request.match_info["dag"] != "retrain":
            return web.json_response({"detail": "The Dag was not found"}, status=404)
        return web.json_response({"dag_id": "retrain", "is_paused": self.paused})

    async def start(self, request: web.Request) -> web.Response:
        told = await request.json()
        assert told.keys() >= {"logical_date"}, "422 Field required"
        if told["dag_run_id"] in self.runs:
            detail = dict.fromkeys(("reason", "statement", "orig_error", "message"), "Unique constraint violation")
            return web.json_response({"detail": detail}, status=409)
        self.runs[told["dag_run_id"]] = {"dag_run_id": told["dag_run_id"], "state": "queued", "conf": told["conf"]}
        return web.json_response(self.runs[told["dag_run_id"]])

    async def get(self, request: web.Request) -> web.Response:
        found = self.runs.get(request.match_info["run"])
        if found is None:
            return web.json_response({"detail": "The DagRun was not found"}, status=404)
        return web.json_response(found)

    async def patch(self, request: web.Request) -> web.Response:
        found = self.runs[request.match_info["run"]]
        found["state"] = (await request.json())["state"]
        return web.json_response(found)

    async def tasks(self, request: web.Request) -> web.Response:
        assert request.query["state"] == "failed"
        task = {"task_id": "train", "try_number": 2, "map_index": -1, "state": "failed"}
        return web.json_response({"task_instances": [task], "total_entries": 1})

    async def log(self, request: web.Request) -> web.Response:
        assert (request.match_info["task"], request.match_info["attempt"]) == ("train", "2")
        *before, error = self.logs.splitlines() or [""]
        kind, _, value = error.partition(": ")
        time = "2026-01-01T00:00:00Z"
        lines: list[dict[str, Any]] = [{"timestamp": time, "event": each} for each in before]
        lines += [
            {"event": "Task failed with exception", "error_detail": [{"exc_type": kind, "exc_value": value}]},
            {"timestamp": time, "event": "::group::Post Execute"},
            {"timestamp": time, "event": "::endgroup::"},
        ]
        return web.json_response({"content": lines, "continuation_token": None})

    async def xcom(self, request: web.Request) -> web.Response:
        run, task, key = (request.match_info[each] for each in ("run", "task", "key"))
        found = self.xcoms.get((run, task, key))
        if found is None and request.query.get("include_prior_dates", "true") != "false":
            found, run = {"modelUri": "s3://models/of/an/earlier/run"}, "modelward__another"
        if found is None:
            return web.json_response({"detail": f"XCom entry with key: `{key}` not found"}, status=404)
        return web.json_response({"key": key, "run_id": run, "task_id": task, "map_index": -1, "value": found})
