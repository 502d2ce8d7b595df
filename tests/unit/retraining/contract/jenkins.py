"""A stand-in for Jenkins' remote access API (protocol alone): https://www.jenkins.io/doc/book/using/remote-access-api/."""

import re
from typing import Any

from aiohttp import web

from modelward.retraining.lifecycle.run import JENKINS
from modelward.retraining.triggers.jenkins import JenkinsTrigger
from modelward.retraining.triggers.logins import Logins
from modelward.retraining.triggers.outgoing import Outgoing

from .world import TOKEN, Registry, Secrets, Server, System, World

CRUMB = "crumb-77"
JOB = "/job/models/job/retrain"


class Jenkins(System):
    """`declared`: parameters of the job; `items`: of the queue, by number."""

    kind = JENKINS

    def __init__(self) -> None:
        self.server = Server()
        self.api = Secrets(username="operator", token=TOKEN)
        self.declared = ["MODELWARD_RUN", "MODELWARD_BRIEFING"]
        self.items: dict[int, dict[str, Any]] = {}
        self.builds: dict[int, dict[str, Any]] = {}
        self.artifact: Any = None
        self.logs = ""

    @property
    def retrain(self) -> dict[str, Any]:  # type: ignore[override]
        url = self.server.url
        return {"jenkins": {"url": url, "job": "models/retrain", "secretRef": {"name": "pipeline"}}}

    def trigger(self, world: World) -> JenkinsTrigger:
        out = Outgoing(world.session, ("127.0.0.1",), ("127.0.0.1",))
        return JenkinsTrigger(out, Logins(self.api), Registry(), lambda: world.now)

    def begun(self) -> int:
        return len(self.items)

    def go_on(self, state: str, report: Any = None, log: str = "") -> None:
        self.logs, self.artifact = log, report
        for number, item in self.items.items():
            build = {"number": number + 30, "actions": item["actions"]}
            build["building"] = state == "running"
            build["result"] = {"running": None, "good": "SUCCESS", "bad": "FAILURE"}[state]
            self.builds[number + 30] = build
            item["executable"] = {"number": number + 30, "url": "http://elsewhere/"}

    def stopped(self) -> bool:
        return all(
            each["cancelled"] or self.builds.get(number + 30, {}).get("result") == "ABORTED"
            for number, each in self.items.items()
        )

    def remove(self) -> None:
        self.items.clear()
        self.builds.clear()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.server.guard, self._allowed])
        app.router.add_get("/crumbIssuer/api/json", self.crumb)
        app.router.add_get(f"{JOB}/api/json", self.job)
        app.router.add_post(f"{JOB}/buildWithParameters", self.start)
        app.router.add_get("/queue/api/json", self.queue)
        app.router.add_get("/queue/item/{item}/api/json", self.item)
        app.router.add_post("/queue/cancelItem", self.cancel_item)
        app.router.add_get(f"{JOB}/{{build}}/api/json", self.build)
        app.router.add_post(f"{JOB}/{{build}}/stop", self.stop_build)
        app.router.add_get(f"{JOB}/{{build}}/consoleText", self.console)
        app.router.add_get(f"{JOB}/{{build}}/artifact/modelward-report.json", self.get_artifact)
        return app

    @web.middleware
    async def _allowed(self, request: web.Request, handler: Any) -> web.StreamResponse:
        refused = self.server.refusal(request)
        if refused is None and request.method == "POST":
            given = (request.headers.get("Jenkins-Crumb"), request.cookies.get("JSESSIONID.1"))
            if given != (CRUMB, "session-1"):
                return web.Response(status=403, text="No valid crumb was included in the request")
        answer: web.StreamResponse = refused or await handler(request)
        return answer

    async def crumb(self, _request: web.Request) -> web.Response:
        answer = web.json_response({"crumb": CRUMB, "crumbRequestField": "Jenkins-Crumb"})
        answer.set_cookie("JSESSIONID.1", "session-1", httponly=True)
        return answer

    async def job(self, request: web.Request) -> web.Response:
        if request.query["tree"].startswith("builds"):
            assert re.fullmatch(r"builds\[.*\]\{0,100\}", request.query["tree"])
            return web.json_response({"builds": list(self.builds.values())})
        declared = {"parameterDefinitions": [{"name": each} for each in self.declared]}
        return web.json_response({"buildable": True, "property": [{}, declared]})

    async def start(self, request: web.Request) -> web.Response:
        given = {name: str(value) for name, value in (await request.post()).items() if name in self.declared}
        number = len(self.items) + 1
        parameters = [{"name": name, "value": value} for name, value in given.items()]
        self.items[number] = {
            "id": number, "task": {"url": f"{self.server.url}{JOB}/"}, "cancelled": False,
            "actions": [{"parameters": parameters}, {}], "why": "Waiting for next available executor",
        }  # fmt: skip
        return web.Response(status=201, headers={"Location": f"http://jenkins.inside/queue/item/{number}/"})

    async def queue(self, _request: web.Request) -> web.Response:
        waiting = [each for each in self.items.values() if "executable" not in each and not each["cancelled"]]
        return web.json_response({"items": waiting})

    async def item(self, request: web.Request) -> web.Response:
        found = self.items.get(int(request.match_info["item"]))
        return web.json_response(found or {}, status=200 if found else 404)

    async def cancel_item(self, request: web.Request) -> web.Response:
        self.items[int(str((await request.post())["id"]))]["cancelled"] = True
        return web.Response(status=302, headers={"Location": f"{self.server.url}/queue/"})

    async def build(self, request: web.Request) -> web.Response:
        found = self.builds.get(int(request.match_info["build"]))
        return web.json_response(found or {}, status=200 if found else 404)

    async def stop_build(self, request: web.Request) -> web.Response:
        self.builds[int(request.match_info["build"])] |= {"building": False, "result": "ABORTED"}
        return web.Response(status=302, headers={"Location": f"{self.server.url}{JOB}/"})

    async def console(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.logs)

    async def get_artifact(self, _request: web.Request) -> web.Response:
        if self.artifact is None:
            return web.Response(status=404, text="<html>Not Found</html>", content_type="text/html")
        return web.json_response(self.artifact)
