"""A stand-in for the REST API of GitHub Actions, and for the store that it redirects to (protocol alone):
https://docs.github.com/en/rest/actions."""

import io
import zipfile
from typing import Any

from aiohttp import web

from modelward.retraining.lifecycle.run import GITHUB
from modelward.retraining.triggers.github import GithubTrigger
from modelward.retraining.triggers.logins import Logins
from modelward.retraining.triggers.outgoing import Outgoing

from .world import NAME, SIGNATURE, TOKEN, Registry, Secrets, Server, System, World
from .world import report as shown

REPOSITORY = "/api/v3/repos/acme/models/actions"


class Github(System):
    """`late`: looks at the list of runs before a new one is in it; `tells`: whether a dispatch answers with the run."""

    kind = GITHUB

    def __init__(self) -> None:
        self.server = Server()
        self.api = Secrets(token=TOKEN)
        self.runs: dict[int, dict[str, Any]] = {}
        self.artifacts: dict[int, bytes] = {}
        self.logs = ""
        self.late = 1
        self.tells = True
        self.store_hosts = ("127.0.0.1",)

    @property
    def retrain(self) -> dict[str, Any]:  # type: ignore[override]
        url = f"{self.server.url}/api/v3"
        spec = {"url": url, "repository": "acme/models", "workflow": "retrain.yml", "secretRef": {"name": "pipeline"}}
        return {"github": spec}

    def trigger(self, world: World) -> GithubTrigger:
        out = Outgoing(world.session, self.store_hosts, self.store_hosts)
        return GithubTrigger(out, Logins(self.api), Registry(), lambda: world.now)

    def begun(self) -> int:
        return len(self.runs)

    def go_on(self, state: str, report: Any = None, log: str = "") -> None:
        self.logs = log
        for run, each in self.runs.items():
            each["status"] = "in_progress" if state == "running" else "completed"
            each["conclusion"] = {"running": None, "good": "success", "bad": "failure"}[state]
            if report is not None:
                packed = io.BytesIO()
                with zipfile.ZipFile(packed, "w") as archive:
                    archive.writestr("report.json", shown(report))
                self.artifacts[run] = packed.getvalue()

    def stopped(self) -> bool:
        return all(each["conclusion"] == "cancelled" for each in self.runs.values())

    def remove(self) -> None:
        self.runs.clear()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.server.guard])
        for method, path, handler in (
            ("POST", "/workflows/retrain.yml/dispatches", self.dispatch),
            ("GET", "/workflows/retrain.yml/runs", self.find),
            ("GET", "/runs/{run}", self.get),
            ("POST", "/runs/{run}/cancel", self.cancel),
            ("GET", "/runs/{run}/jobs", self.jobs),
            ("GET", "/runs/{run}/artifacts", self.find_artifacts),
            ("GET", "/artifacts/{artifact}/zip", self.redirect),
            ("GET", "/jobs/{job}/logs", self.redirect),
        ):
            app.router.add_route(method, f"{REPOSITORY}{path}", self._allowed(handler))
        app.router.add_get("/store/{what}/{id}", self.store)
        return app

    def _allowed(self, handler: Any) -> Any:
        async def checked(request: web.Request) -> web.StreamResponse:
            assert request.headers["X-GitHub-Api-Version"]
            answer: web.StreamResponse = self.server.refusal(request) or await handler(request)
            return answer

        return checked

    async def dispatch(self, request: web.Request) -> web.Response:
        told = await request.json()
        assert told["ref"] == "main"
        assert set(told["inputs"]) == {"run", "briefing"}, "422 Unexpected inputs provided"
        made = 1000 + len(self.runs)
        self.runs[made] = {
            "id": made, "display_title": f"Retrain {told['inputs']['run']}", "status": "queued", "conclusion": None,
            "event": "workflow_dispatch", "seen": -self.late,
        }  # fmt: skip
        if not told.get("return_run_details") or not self.tells:
            return web.Response(status=204)
        return web.json_response({"workflow_run_id": made, "run_url": "http://elsewhere/", "html_url": "http://else/"})

    async def find(self, request: web.Request) -> web.Response:
        assert request.query["event"] == "workflow_dispatch"
        found = [each for each in self.runs.values() if each["seen"] >= 0]
        for each in self.runs.values():
            each["seen"] += 1
        # Of others, whose titles only begin alike, too.
        others = [{"id": 7, "display_title": f"Retrain {NAME}-2"}, {"id": 8, "display_title": f"x{NAME}"}]
        return web.json_response({"total_count": len(found), "workflow_runs": [*others, *found]})

    async def get(self, request: web.Request) -> web.Response:
        found = self.runs.get(int(request.match_info["run"]))
        return web.json_response(found or {"message": "Not Found"}, status=200 if found else 404)

    async def cancel(self, request: web.Request) -> web.Response:
        found = self.runs[int(request.match_info["run"])]
        if found["status"] == "completed":
            return web.json_response({"message": "Cannot cancel a workflow run that is completed."}, status=409)
        found |= {"status": "completed", "conclusion": "cancelled"}
        return web.json_response({}, status=202)

    async def jobs(self, _request: web.Request) -> web.Response:
        steps = [{"name": "set up", "conclusion": "success"}, {"name": "train", "conclusion": "failure"}]
        return web.json_response({"jobs": [{"id": 5, "name": "retrain", "conclusion": "failure", "steps": steps}]})

    async def find_artifacts(self, request: web.Request) -> web.Response:
        run, name = int(request.match_info["run"]), request.query["name"]
        known = run in self.artifacts and name == f"modelward-{NAME}"
        found = [{"id": run, "name": name, "expired": False}] if known else []
        return web.json_response({"total_count": len(found), "artifacts": found})

    async def redirect(self, request: web.Request) -> web.Response:
        what, number = ("zip", request.match_info["artifact"]) if "artifact" in request.match_info else ("log", "5")
        return web.Response(
            status=302, headers={"Location": f"{self.server.url}/store/{what}/{number}?sig={SIGNATURE}"}
        )

    async def store(self, request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers, "the token is not the store's"
        assert request.query["sig"] == SIGNATURE
        if request.match_info["what"] == "zip":
            return web.Response(body=self.artifacts[int(request.match_info["id"])])
        lines = self.logs.splitlines()
        text = "\n".join([*lines[:-1], f"##[error]{lines[-1]}", "Post job cleanup."])
        return web.Response(text=text)
