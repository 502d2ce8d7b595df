"""Webhooks of registries: whose are obeyed, and what all others are told."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from modelward.kube.cache import Cache, Key
from modelward.kube.client import ApiUnreachableError
from modelward.kube.resources import MODEL_REGISTRIES
from modelward.registries.registry import RegistryError
from modelward.registries.webhook import refusal
from modelward.registries.webhooks import EVERY, KEPT, MAX_BODY, PATH, Webhooks

SECRET = "whsec-of-the-team"
NOW = 1_769_000_000.0
BODY = b'{"entity": "registered_model_alias", "action": "created"}'
PLACE = "/v1/registries/ml/mlflow"


def signed(body: bytes = BODY, secret: str = SECRET, at: float = NOW, delivery: str = "d-1") -> dict[str, str]:
    """As mlflow/webhooks/delivery.py does it."""
    made = hmac.new(secret.encode(), f"{delivery}.{int(at)}.".encode() + body, hashlib.sha256).digest()
    return {
        "X-MLflow-Signature": f"v1,{base64.b64encode(made).decode()}",
        "X-MLflow-Timestamp": str(int(at)),
        "X-MLflow-Delivery-Id": delivery,
    }


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "not signed"),
        ({**signed(), "X-MLflow-Signature": ""}, "not signed"),
        (signed(secret="another"), "another secret's"),
        (signed(body=b"{}"), "another secret's"),
        ({**signed(), "X-MLflow-Delivery-Id": "d-2"}, "another secret's"),
        ({**signed(), "X-MLflow-Timestamp": str(int(NOW) + 1)}, "another secret's"),
        ({**signed(), "X-MLflow-Signature": "v2,AAAA"}, "another secret's"),
        ({**signed(), "X-MLflow-Signature": "v1,\udcff"}, "another secret's"),
        ({**signed(), "X-MLflow-Timestamp": "soon"}, "not those of MLflow"),
        ({**signed(), "X-MLflow-Timestamp": "1e9"}, "not those of MLflow"),
        ({**signed(), "X-MLflow-Timestamp": "\u0661"}, "not those of MLflow"),
        ({**signed(), "X-MLflow-Delivery-Id": "d" * 300}, "not those of MLflow"),
        (signed(at=NOW - 301), "set the clocks"),
        (signed(at=NOW + 301), "set the clocks"),
    ],
)
def test_what_is_not_believed_says_why(headers: dict[str, str], why: str) -> None:
    assert why in (refusal(SECRET, headers, BODY, NOW) or "")


def test_what_is_signed_is_believed_and_an_empty_secret_signs_nothing() -> None:
    assert refusal(SECRET, signed(), BODY, NOW) is None
    assert refusal(SECRET, signed(at=NOW - 299), BODY, NOW) is None
    assert "empty" in (refusal("", signed(secret=""), BODY, NOW) or "")


class World:
    """Webhooks of one registry; a Secret that can be there, or not."""

    def __init__(self) -> None:
        self.cache, self.poked, self.read = Cache(), list[Key](), list[tuple[str, ...]]()
        self.leads, self.clock, self.secret = True, 100.0, SECRET
        self.error: Exception | None = None
        self.registry()
        self.webhooks = Webhooks(
            self.cache, self, self.poked.append, lambda: self.leads, lambda: self.clock, lambda: NOW
        )

    def registry(self, name: str = "mlflow", secret: bool = True, **metadata: Any) -> None:
        mlflow: dict[str, Any] = {"url": "http://mlflow:5000"}
        if secret:
            mlflow["webhookSecret"] = {"name": "hooks"}
        body = {
            "apiVersion": MODEL_REGISTRIES.api_version, "kind": "ModelRegistry", "spec": {"mlflow": mlflow},
            "metadata": {"namespace": "ml", "name": name, "uid": f"uid-{name}", "resourceVersion": "1", **metadata},
        }  # fmt: skip
        self.cache.upsert(MODEL_REGISTRIES, body)

    async def entry(self, *named: str) -> str:
        self.read.append(named)
        if self.error is not None:
            raise self.error
        return self.secret


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[Any]:
    application = web.Application(client_max_size=MAX_BODY)
    application.router.add_post(PATH, world.webhooks.handle)
    async with TestClient(TestServer(application, host="127.0.0.1")) as client:
        yield client


async def test_a_signed_one_has_its_registry_asked_now() -> None:
    world = World()
    async with serving(world) as client:
        answer = await client.post(PLACE, data=BODY, headers=signed())
        assert (answer.status, (await answer.json())["message"]) == (202, "the registry is asked now")
    assert world.poked == [Key("ml", "mlflow", MODEL_REGISTRIES.kind)]
    assert world.read == [("ml", "hooks", "key", "spec.mlflow.webhookSecret")]


async def test_no_other_has() -> None:
    world = World()
    async with serving(world) as client:
        for headers in ({}, signed(secret="guessed")):
            assert (await client.post(PLACE, data=BODY, headers=headers)).status == 401
        assert (await client.get(PLACE)).status == 405
        assert (await client.post(PLACE, data=b"x" * (MAX_BODY + 1), headers=signed())).status == 413
    assert world.poked == []
    assert len(world.read) == 1, "the API server is not asked each time"


async def test_what_is_not_there_is_as_what_takes_none() -> None:
    world = World()
    world.registry("plain", secret=False)
    world.registry("going", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"])
    async with serving(world) as client:
        answers = [
            (answer.status, await answer.json())
            for name in ("plain", "going", "nobody", "a%2Fb")
            if (answer := await client.post(f"/v1/registries/ml/{name}", data=BODY, headers=signed()))
        ]
    assert {status for status, _ in answers} == {404}
    assert len({str(said) for _, said in answers}) == 1
    assert world.read == []


@pytest.mark.parametrize("error", [RegistryError("CredentialsMissing", "no Secret"), ApiUnreachableError("gone")])
async def test_a_secret_that_can_not_be_read_is_as_none_and_looked_for_again_later(error: Exception) -> None:
    world = World()
    world.error = error
    async with serving(world) as client:
        for _ in range(3):
            assert (await client.post(PLACE, data=BODY, headers=signed())).status == 404
        assert len(world.read) == 1
        world.error, world.clock = None, world.clock + KEPT
        assert (await client.post(PLACE, data=BODY, headers=signed())).status == 202


async def test_a_burst_asks_the_registry_once_and_is_told_when_to_come_again() -> None:
    world = World()
    async with serving(world) as client:
        assert (await client.post(PLACE, data=BODY, headers=signed())).status == 202
        world.clock += 4
        early = await client.post(PLACE, data=BODY, headers=signed(delivery="d-2"))
        assert (early.status, early.headers["Retry-After"]) == (429, "6")
        world.clock += EVERY - 4
        assert (await client.post(PLACE, data=BODY, headers=signed(delivery="d-2"))).status == 202
    assert len(world.poked) == 2


async def test_who_does_not_lead_sends_it_to_another() -> None:
    world = World()
    world.leads = False
    async with serving(world) as client:
        answer = await client.post(PLACE, data=BODY, headers=signed())
        assert (answer.status, answer.headers["Retry-After"], answer.headers["Connection"]) == (503, "1", "close")
    assert world.poked == world.read == []
