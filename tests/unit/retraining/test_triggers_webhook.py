"""Webhooks against a real HTTP server: signatures, repetition, what the other side may answer, and what it may not."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.kube.client import ApiError
from modelward.net.guarded import open_guarded_session
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Run
from modelward.retraining.target import TargetFacts
from modelward.retraining.triggers.trigger import Order
from modelward.retraining.triggers.webhook import WebhookTrigger

SECRET = b"a secret"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = Artifact("s3://models/fraud/1/fraud.tar", "sha256:" + "1" * 64)
FACTS = TargetFacts("fraud", "t", 1, 1, MODEL, "fraud-a", MODEL)
RUN = Run("fraud-1", "p/t/Drift/x", "Webhook", "Drift", "amount drifts", NOW.timestamp(), "fraud-a", MODEL)


class OtherSide:
    """What answers. `status`, `body`: of the next answers; `pieces`: letter by letter; `seen`: requests."""

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = {}
        self.pieces = False
        self.seen: list[tuple[str, str, dict[str, str], str]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.seen.append((request.method, request.path, dict(request.headers), body))
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        if self.pieces:
            streamed = web.StreamResponse(status=self.status)
            await streamed.prepare(request)
            for letter in text:
                await streamed.write(letter.encode())
                await asyncio.sleep(0.001)  # each goes out by itself
            return streamed
        return web.Response(status=self.status, text=text, headers={"Location": "http://elsewhere/"})


class Secrets:
    """The API server, as far as it is asked. `missing`, `forbidden`: the Secret."""

    def __init__(self) -> None:
        self.missing = False
        self.forbidden = False

    async def get(self, _resource: Any, _namespace: str, _name: str) -> Any:
        if self.forbidden:
            raise ApiError(403, "Forbidden", "no right")
        return None if self.missing else {"data": {"key": base64.b64encode(SECRET).decode()}}


@pytest.fixture
async def other() -> AsyncIterator[OtherSide]:
    made = OtherSide()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


def policy(url: str) -> DriftPolicy:
    webhook = {"url": f"{url}/hook", "secretRef": {"name": "s"}}
    metadata = {"namespace": "ml", "name": "fraud", "uid": "p", "generation": 1}
    return parse({"metadata": metadata, "spec": {"target": {"name": "fraud"}, "retrain": {"webhook": webhook}}})


def trigger(
    session: aiohttp.ClientSession, secrets: Secrets | None = None, hosts: tuple[str, ...] = ("127.0.0.1",)
) -> WebhookTrigger:
    return WebhookTrigger(secrets or Secrets(), session, hosts, lambda: NOW)  # type: ignore[arg-type]


def order(other: OtherSide, handle: str | None = None) -> Order:
    return Order(policy(other.url), replace(RUN, handle=handle), FACTS)


async def test_the_start_is_signed_and_repeated_under_one_key(other: OtherSide, session: aiohttp.ClientSession) -> None:
    other.body = {"statusUrl": "/runs/7"}
    found = [await trigger(session).start(order(other)) for _ in range(2)]
    assert [(each.state, each.handle) for each in found] == [(runs.WORKING, f"{other.url}/runs/7")] * 2
    (method, path, headers, body), again = other.seen
    assert (method, path) == ("POST", "/hook")
    assert headers["Idempotency-Key"] == again[2]["Idempotency-Key"] == RUN.key
    expected = hmac.new(SECRET, f"{headers['Modelward-Timestamp']}.{body}".encode(), hashlib.sha256).hexdigest()
    assert headers["Modelward-Signature"] == f"v1={expected}"
    told = json.loads(body)
    assert (told["model"], told["modelUri"], told["trigger"], told["run"]) == ("fraud", MODEL.uri, "Drift", "fraud-1")


async def test_no_request_can_be_passed_off_as_another(other: OtherSide, session: aiohttp.ClientSession) -> None:
    handle = f"{other.url}/runs/7?a=b%20c"
    await trigger(session).poll(order(other, handle))
    await trigger(session).cancel(order(other, handle))
    signatures = []
    for method, _, headers, body in other.seen:
        text = f"{headers['Modelward-Timestamp']}.{method} /runs/7?a=b%20c.{body}"
        expected = hmac.new(SECRET, text.encode(), hashlib.sha256).hexdigest()
        assert headers["Modelward-Request-Signature"] == f"v1={expected}"
        signatures.append(headers["Modelward-Request-Signature"])
    assert [each[0] for each in other.seen] == ["GET", "DELETE"]
    assert len(set(signatures)) == 2


async def test_an_answer_in_pieces_is_read_whole(other: OtherSide, session: aiohttp.ClientSession) -> None:
    other.body, other.pieces = {"statusUrl": "/runs/7"}, True
    assert (await trigger(session).start(order(other))).handle == f"{other.url}/runs/7"


@pytest.mark.parametrize(
    ("status", "body", "state", "sentence"),
    [
        (500, "down", runs.WAITS, "answered 500, trying again: down"),
        (429, "", runs.WAITS, "answered 429, trying again"),
        (400, "what is this", runs.BROKE, "answered 400: what is this"),
        (401, "who are you", runs.WAITS, "answered 401: it does not take the signature (who are you). See"),
        (403, "", runs.WAITS, "it does not take the signature. See that the entry key of the Secret s is"),
        (302, "", runs.BROKE, "answered 302"),
        (200, {"statusUrl": "http://169.254.169.254/x"}, runs.BROKE, "which is of another origin"),
        (200, {"statusUrl": "http://["}, runs.BROKE, "which is no address"),
        (200, {"statusUrl": "//127.0.0.1:99999/"}, runs.BROKE, "which is no address"),
        (200, {"statusUrl": "/" + "x" * 2048}, runs.BROKE, "more than 2048 characters"),
        (200, "no json", runs.WORKING, ""),
        (202, [], runs.WORKING, ""),
    ],
)
async def test_what_the_start_may_be_answered(
    other: OtherSide, session: aiohttp.ClientSession, status: int, body: Any, state: str, sentence: str
) -> None:
    other.status, other.body = status, body
    found = await trigger(session).start(order(other))
    assert found.state == state
    assert sentence in found.message
    assert len(found.message) < 600


@pytest.mark.parametrize(
    ("status", "body", "state", "sentence"),
    [
        (200, {"state": "Running", "message": "epoch 3"}, runs.WORKING, "epoch 3"),
        (200, {}, runs.WORKING, ""),
        (200, {"state": "Failed", "message": "no labels"}, runs.BROKE, "no labels"),
        (200, {"state": "Succeeded", "report": {"modelUri": "s3://b/k"}}, runs.SUCCEEDED, ""),
        (200, {"state": "Succeeded"}, runs.BROKE, "does not name its model"),
        (503, "", runs.WORKING, "trying again"),
        (404, "gone", runs.BROKE, "answered 404: gone"),
        (401, "bad signature", runs.WORKING, "does not take the signature (bad signature)"),
    ],
)
async def test_what_a_question_may_be_answered(
    other: OtherSide, session: aiohttp.ClientSession, status: int, body: Any, state: str, sentence: str
) -> None:
    other.status, other.body = status, body
    found = await trigger(session).poll(order(other, f"{other.url}/runs/7"))
    assert found.state == state
    assert sentence in found.message
    assert other.seen[0][:2] == ("GET", "/runs/7")


async def test_without_a_status_url_nobody_tells(other: OtherSide, session: aiohttp.ClientSession) -> None:
    assert (await trigger(session).poll(order(other))).state == runs.UNTOLD
    await trigger(session).cancel(order(other))
    assert other.seen == []


STOPS: dict[str, tuple[int, str, str]] = {
    "told": (204, runs.SUCCEEDED, ""),
    "it is gone there": (404, runs.SUCCEEDED, ""),
    "not now": (503, runs.WAITS, "answered 503"),
    "its key is an older one": (401, runs.WAITS, "answered 401"),
    "never": (405, runs.BROKE, "answered 405"),
}


@pytest.mark.parametrize("case", STOPS)
async def test_what_comes_of_stopping_is_told(other: OtherSide, session: aiohttp.ClientSession, case: str) -> None:
    other.status, state, words = STOPS[case]
    found = await trigger(session).cancel(order(other, f"{other.url}/runs/7"))
    assert (found.state, words in found.message) == (state, True)


async def test_a_run_of_which_nobody_tells_can_not_be_stopped_and_one_that_never_began_need_not(
    other: OtherSide, session: aiohttp.ClientSession
) -> None:
    given = order(other)
    assert (await trigger(session).cancel(given)).state == runs.SUCCEEDED
    going = replace(given, run=replace(given.run, phase=runs.RUNNING))
    found = await trigger(session).cancel(going)
    assert (found.state, found.message) == (runs.BROKE, "the webhook named no statusUrl, or its answer was lost")
    assert other.seen == []


async def test_a_run_whose_start_was_not_answered_may_have_begun(
    other: OtherSide, session: aiohttp.ClientSession
) -> None:
    made, given = trigger(session), order(other)
    other.status = 502
    assert (await made.start(given)).state == runs.WAITS
    assert [(await made.cancel(given)).state for _ in range(2)] == [runs.BROKE] * 2


async def test_a_run_that_began_while_it_was_to_be_stopped_and_has_no_address_is_told_of(
    other: OtherSide, session: aiohttp.ClientSession
) -> None:
    made, given = trigger(session), order(other)
    assert (await made.start(given)).state == runs.WORKING
    assert (await made.cancel(given)).state == runs.BROKE, "that it has begun is not stored yet"


@pytest.mark.parametrize("why", ["nobody listens", "no Secret", "too many"])
async def test_a_run_that_nobody_has_heard_of_need_not_be_stopped(
    other: OtherSide, session: aiohttp.ClientSession, unused_tcp_port: int, why: str
) -> None:
    secrets, given = Secrets(), order(other)
    secrets.missing = why == "no Secret"
    other.status = 429 if why == "too many" else 200
    if why == "nobody listens":
        given = replace(given, policy=policy(f"http://127.0.0.1:{unused_tcp_port}"))
    made = trigger(session, secrets)
    assert (await made.start(given)).state == runs.WAITS
    assert (await made.cancel(given)).state == runs.SUCCEEDED


@pytest.mark.parametrize("gone", ["missing", "forbidden"])
async def test_a_policy_that_goes_with_its_namespace_stops_its_run_without_its_secret(
    other: OtherSide, session: aiohttp.ClientSession, gone: str
) -> None:
    secrets, given = Secrets(), order(other, f"{other.url}/runs/7")
    made = trigger(session, secrets)
    await made.poll(given)
    setattr(secrets, gone, True)
    assert (await made.poll(given)).delay == "CredentialsMissing", "as long as the policy stays, its Secret decides"
    going = replace(given, policy=replace(given.policy, deleting=True))
    assert (await made.cancel(going)).state == runs.SUCCEEDED
    assert [method for method, *_ in other.seen] == ["GET", "DELETE"]
    assert (await trigger(session, secrets).cancel(going)).state == runs.WAITS


async def test_who_tells_nothing_and_who_does_not_answer_is_told_of(
    other: OtherSide, session: aiohttp.ClientSession
) -> None:
    assert "nobody tells how the run goes" in (await trigger(session).start(order(other))).message
    assert "nobody tells how the run goes" in (await trigger(session).poll(order(other))).message
    other.status = 503
    for found in (await trigger(session).start(order(other)), await trigger(session).poll(order(other, other.url))):
        assert (found.delay, "answered 503" in found.message) == ("WebhookSilent", True)


async def test_it_is_cancelled_by_a_delete(other: OtherSide, session: aiohttp.ClientSession) -> None:
    other.status = 500
    await trigger(session).cancel(order(other, f"{other.url}/runs/7"))
    assert other.seen[0][:2] == ("DELETE", "/runs/7")


async def test_only_hosts_that_the_administrator_names_are_called(
    other: OtherSide, session: aiohttp.ClientSession
) -> None:
    for hosts in ((), ("ci.example.com",), ("*.example.com",)):
        found = await trigger(session, hosts=hosts).start(order(other))
        assert (found.state, "MODELWARD_WEBHOOK_HOSTS" in found.message) == (runs.BROKE, True)
    assert other.seen == []


async def test_a_pattern_of_hosts_lets_nobody_reach_the_node_or_this_process(
    other: OtherSide, session: aiohttp.ClientSession
) -> None:
    found = await trigger(session, hosts=("127.0.*",)).start(order(other))
    assert (found.state, "is an address of the node" in found.message) == (runs.BROKE, True)
    async with open_guarded_session(("local*",)) as guarded:
        given = replace(order(other), policy=policy(other.url.replace("127.0.0.1", "localhost")))
        found = await trigger(guarded, hosts=("local*",)).start(given)
    assert (found.state, "leads to an address of the node" in found.message) == (runs.BROKE, True)
    assert other.seen == []


@pytest.mark.parametrize("status", [200, 401, 503])
async def test_what_may_be_secret_of_an_address_is_not_told(
    other: OtherSide, session: aiohttp.ClientSession, status: int
) -> None:
    other.status, other.body = status, {"state": "Failed"} if status == 200 else f"see {other.url}/x?token=hidden"
    found = await trigger(session).poll(order(other, f"{other.url}/runs/7?token=hidden"))
    assert f"{other.url}/runs/7 " in found.message
    assert "hidden" not in found.message


async def test_a_secret_that_can_not_be_read_is_waited_for(other: OtherSide, session: aiohttp.ClientSession) -> None:
    secrets = Secrets()
    secrets.forbidden = True
    found = await trigger(session, secrets).start(order(other))
    assert (found.state, "may not read the Secret s" in found.message) == (runs.WAITS, True)
    secrets.forbidden, secrets.missing = False, True
    found = await trigger(session, secrets).start(order(other))
    assert (found.state, "There is no entry key" in found.message) == (runs.WAITS, True)
    assert other.seen == []


async def test_nobody_at_home_is_waited_for(other: OtherSide, session: aiohttp.ClientSession) -> None:
    given = order(other)
    other.url = "http://127.0.0.1:1"
    found = await trigger(session).start(order(other))
    assert (found.state, "did not answer, trying again" in found.message) == (runs.WAITS, True)
    assert given.run.key == RUN.key
