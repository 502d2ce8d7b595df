"""A run as the reconciler brings it on, by the pure rules that decide of it, and a system that it runs in.

The systems are stand-ins at the level of their protocols: they answer as the documentation of their APIs says, on
loopback. None of them is the real program: none of Airflow, GitHub and Jenkins is to be had where unit tests run, and
what a real one does besides is not seen here.
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.kube.client import ApiError, ApiUnreachableError
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.progress import ASK, START, advance, effect_of, is_to_be_stopped
from modelward.retraining.lifecycle.run import Artifact, Outcome, Report, Run
from modelward.retraining.target import Memory, TargetFacts
from modelward.retraining.triggers.trigger import Order, Trigger

BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
SERVED = Artifact("s3://models/fraud/1/fraud.tar")
MADE = "s3://models/fraud/2/fraud.tar"
REPORT = {"modelUri": MADE, "version": "2"}
FACTS = TargetFacts("fraud", "t", 1, 1, SERVED, "fraud-a", SERVED)
TOKEN, RENEWED = "tok-3c1f9a77e2", "tok-88ab0d41c6"
LOG = f"epoch 1\nusing token {TOKEN} of https://me:hidden@host/?sig=hidden\nValueError: the training data is empty\n"
LOG_END = "ValueError: the training data is empty"
NAME = "fraud-0123456789"

JWT, SIGNATURE = "eyJhbGciOi", "sig-5b1c"
"""Of the token that Airflow gives, and of addresses in GitHub's store."""

Serve = Callable[..., Any]

SECONDS: Final = 5.0
"""Between two steps, as ASK_EVERY of the reconciler."""


def order(policy: DriftPolicy, run: Run) -> Order:
    return Order(policy, run, FACTS)


class Secrets:
    """The API server, as far as Secrets are read. `given`: by name, entries in plain text."""

    def __init__(self, **entries: str) -> None:
        self.given: dict[str, dict[str, str]] = {"pipeline": entries}
        self.forbidden = False

    async def get(self, _resource: Any, _namespace: str, name: str) -> Any:
        if self.forbidden:
            raise ApiError(403, "Forbidden", "no right")
        entries = self.given.get(name)
        if entries is None:
            return None
        return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in entries.items()}}


@dataclass
class Server:
    """What all stand-ins have in common. `away`: nobody answers, or with 503; `lost`: the number of the request that is
    carried out, and whose answer is lost; `tokens`: that it takes; `moved`: it redirects to a page for people."""

    away: str = ""
    lost: int | None = None
    moved: bool = False
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    cut: bool = False
    url: str = ""

    @web.middleware
    async def guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.away:
            if self.away == "silent":
                return self._gone(request)
            return web.json_response({"message": "try again"}, status=503)
        self.seen.append((request.method, request.path, dict(request.headers)))
        if self.moved:
            return web.Response(status=302, headers={"Location": f"{self.url}/login?next={request.path}"})
        answer: web.StreamResponse = await handler(request)
        if len(self.seen) == self.lost:
            self.cut = True
            return self._gone(request)
        return answer

    def _gone(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def refusal(self, request: web.Request) -> web.Response | None:
        """Of what has no login that is good."""
        given = request.headers.get("Authorization", "")
        kind, _, value = given.partition(" ")
        if kind == "Basic":
            value = base64.b64decode(value).decode().partition(":")[2]
        if value in self.tokens:
            return None
        return web.json_response({"message": f"Bad credentials: {value}"}, status=401)


class System:
    """A system that runs can be started in. `retrain`: how spec names it; `api`: what the trigger reads Secrets of."""

    kind: str
    server: Server
    api: Any
    retrain: dict[str, Any]
    registry: bool = True
    """Whether the registry can tell which model a run made."""
    missing: str = "modelUri"
    """What a run that made no model is told to write."""

    def application(self) -> web.Application:
        return web.Application()

    def trigger(self, world: "World") -> Trigger:
        raise NotImplementedError

    def begun(self) -> int:
        """How many runs have begun there."""
        raise NotImplementedError

    def go_on(self, state: str, report: Any = None, log: str = "") -> None:
        """All runs get `state`: running, good or bad."""
        raise NotImplementedError

    def stopped(self) -> bool:
        """Whether no run of any goes on there."""
        raise NotImplementedError

    def remove(self) -> None:
        """Somebody deletes the runs there."""
        raise NotImplementedError

    def expire(self) -> None:
        self.server.tokens = {RENEWED}

    def renew(self) -> None:
        self.api.given["pipeline"] = {
            key: value.replace(TOKEN, RENEWED) for key, value in self.api.given["pipeline"].items()
        }


class Registry:
    """That tells which model a run made."""

    async def report(self, order: Order) -> Report:
        return Report(Artifact(f"s3://registry/{order.run.name}"), "7")


class World:
    """A run and its clock. `died`: the operator ended in the middle of a step, so nothing of that was stored."""

    def __init__(self, system: System, session: Any, **fields: Any) -> None:
        self.system, self.session = system, session
        self.now = BEGAN
        metadata = {"namespace": "ml", "name": "fraud", "uid": "p", "generation": 1}
        (kind, spec), *_ = system.retrain.items()
        retrain = {"deadline": "6h", kind: {**spec, **fields}}
        self.policy = parse({"metadata": metadata, "spec": {"target": {"name": "fraud"}, "retrain": retrain}})
        self.run = Run(
            NAME, "p/t/Drift/x", system.kind, "Drift", "amount drifts", BEGAN, "fraud-a", SERVED, target="fraud",
            target_uid="t", uid="r",
        )  # fmt: skip
        self.told: list[str] = []
        self.outcomes: list[Outcome] = []
        self.trigger = system.trigger(self)

    @property
    def order(self) -> Order:
        return Order(self.policy, self.run, FACTS)

    def die(self) -> None:
        """Another operator comes."""
        self.trigger = self.system.trigger(self)

    async def ask(self) -> Outcome | None:
        """What is due of the run, and nothing stored."""
        match effect_of(self.policy, FACTS, self.run, self.now):
            case effect if effect == START:
                outcome = await self._asked(self.trigger.start(self.order))
            case effect if effect == ASK:
                outcome = await self._asked(self.trigger.poll(self.order))
            case _:
                outcome = None
        return outcome

    async def _asked(self, question: Any) -> Outcome | None:
        try:
            outcome: Outcome | None = await question
        except (ApiError, ApiUnreachableError):
            return Outcome(runs.ASKED)  # the reconcile is repeated
        if outcome is not None:
            self.outcomes.append(outcome)
            self.told += [outcome.message, outcome.handle or ""]
        return outcome

    async def step(self, *, dies: bool = False) -> None:
        outcome = await self.ask()
        if dies and self.system.server.cut:
            self.system.server.cut = False
            self.die()
        elif outcome is None or outcome.state != runs.ASKED:
            stop = is_to_be_stopped(self.policy, FACTS, self.run, outcome, self.now)
            if not stop or await self.stop():
                self.run = advance(self.policy, FACTS, Memory("fraud", "t"), self.run, outcome, self.now)
        self.now += SECONDS

    async def stop(self) -> bool:
        """Whether it was told to."""
        outcome = await self._asked(self.trigger.cancel(self.order))
        return outcome is None or outcome.state == runs.SUCCEEDED

    async def until(self, *phases: str, steps: int = 40, dies: bool = False) -> None:
        for _ in range(steps):
            if self.run.phase in phases:
                return
            await self.step(dies=dies)
        raise AssertionError(f"{self.run.phase}, and not {phases}: {self.told[-4:]}")

    def secrets(self) -> Iterator[str]:
        """What of it may be told nowhere."""
        yield from (TOKEN, RENEWED, "hidden")
        yield from (base64.b64encode(f"operator:{each}".encode()).decode() for each in (TOKEN, RENEWED))

    def replaced(self, **fields: Any) -> None:
        self.run = replace(self.run, **fields)


def report(text: Any) -> str:
    return json.dumps(text)


def tells_no_secret(world: World) -> None:
    told = "\n".join([*world.told, world.run.message, world.run.handle or "", repr(world.outcomes)])
    for secret in (*world.secrets(), JWT, SIGNATURE):
        assert secret not in told, told
