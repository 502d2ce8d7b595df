"""A stand-in for whoever takes a webhook (docs/drift-policies.md has the protocol)."""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from modelward.retraining.lifecycle.run import WEBHOOK
from modelward.retraining.triggers.webhook import WebhookTrigger

from .world import LOG_END, TOKEN, Secrets, Server, System, World


class Webhook(System):
    kind = WEBHOOK
    registry = False

    def __init__(self) -> None:
        self.server = Server()
        self.api = Secrets(key=TOKEN)
        self.runs: dict[str, dict[str, Any]] = {}

    @property
    def retrain(self) -> dict[str, Any]:  # type: ignore[override]
        return {"webhook": {"url": f"{self.server.url}/hook", "secretRef": {"name": "pipeline"}}}

    def trigger(self, world: World) -> WebhookTrigger:
        now = lambda: datetime.fromtimestamp(world.now, UTC)  # noqa: E731
        return WebhookTrigger(self.api, world.session, ("127.0.0.1",), now)

    def begun(self) -> int:
        return len(self.runs)

    def go_on(self, state: str, report: Any = None, log: str = "") -> None:
        for each in self.runs.values():
            each["state"] = {"running": "Running", "good": "Succeeded", "bad": "Failed"}[state]
            each |= {"report": report} if report is not None else {}
            each |= {"message": LOG_END} if log else {}

    def stopped(self) -> bool:
        return all(each["state"] == "Stopped" for each in self.runs.values())

    def remove(self) -> None:
        self.runs.clear()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.server.guard, self._allowed])
        app.router.add_post("/hook", self.start)
        app.router.add_get("/runs/{run}", self.get)
        app.router.add_delete("/runs/{run}", self.stop)
        return app

    @web.middleware
    async def _allowed(self, request: web.Request, handler: Any) -> web.StreamResponse:
        line = f"{request.headers['Modelward-Timestamp']}.{request.method} {request.path_qs}.{await request.text()}"
        keys = [each.encode() for each in self.server.tokens]
        good = {f"v1={hmac.new(key, line.encode(), hashlib.sha256).hexdigest()}" for key in keys}
        if request.headers["Modelward-Request-Signature"] not in good:
            return web.json_response({"message": "not signed by the key that is known here"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def start(self, request: web.Request) -> web.Response:
        key = request.headers["Idempotency-Key"]
        self.runs.setdefault(key, {"state": "Running", "number": str(len(self.runs))})
        return web.json_response({"statusUrl": f"/runs/{self.runs[key]['number']}"})

    def _found(self, request: web.Request) -> dict[str, Any] | None:
        return next((each for each in self.runs.values() if each["number"] == request.match_info["run"]), None)

    async def get(self, request: web.Request) -> web.Response:
        found = self._found(request)
        return web.json_response(found or {}, status=200 if found else 404)

    async def stop(self, request: web.Request) -> web.Response:
        found = self._found(request)
        if found is not None:
            found["state"] = "Stopped"
        return web.json_response({}, status=200 if found else 404)
