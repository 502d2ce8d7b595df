"""The Secret of the operator's keys: made once, shared by all operators, repaired, and renewed in time."""

import asyncio
import base64
import copy
import json
import logging
from typing import Any

import pytest

from modelward.kube.client import ApiError, ApiUnreachableError
from modelward.kube.keyring import NAME, READ_EVERY, RETRY_EVERY, Keyring
from modelward.kube.resources import SECRETS, Resource
from modelward.net.key_rotation import KNOWN_BEFORE, ROTATE_AFTER


class Server:
    """The API server's Secrets. A fake: the api tier writes the real one. `fails`: with this; `first`: what another
    operator writes just before us."""

    def __init__(self) -> None:
        self.there: dict[str, Any] | None = None
        self.fails: Exception | None = None
        self.first: dict[str, Any] | None = None
        self.writes = 0
        self.version = 0

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        assert (resource, namespace, name) == (SECRETS, "system", NAME)
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails
        return copy.deepcopy(self.there)

    async def create(self, _: Resource, namespace: str, manifest: dict[str, Any]) -> None:
        assert manifest["metadata"]["namespace"] == namespace
        if self.first is not None:
            self.there, self.first = self.first, None
        if self.there is not None:
            raise ApiError(409, "AlreadyExists", "it exists")
        self.store(manifest)

    async def replace(self, _: Resource, body: dict[str, Any]) -> None:
        assert self.there is not None
        if body["metadata"]["resourceVersion"] != self.there["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it has changed")
        self.store(body)

    def store(self, body: dict[str, Any]) -> None:
        self.writes, self.version = self.writes + 1, self.version + 1
        metadata = {**body["metadata"], "resourceVersion": str(self.version)}
        self.there = {**copy.deepcopy(body), "metadata": metadata}


class World:
    def __init__(self) -> None:
        self.server, self.now = Server(), 1e9

    def operator(self) -> Keyring:
        return Keyring(self.server, "system", lambda: self.now, lambda: self.now)  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    return World()


async def test_the_first_operator_makes_a_key_and_every_other_one_has_it(world: World) -> None:
    first = world.operator()
    assert first.signing() is None
    known = await first.public()
    assert len(known) == 1
    for other in (world.operator(), world.operator()):
        assert await other.public() == known
        assert other.signing() == first.signing()
    assert world.server.writes == 1


async def test_who_asks_while_it_is_read_waits_for_it(world: World) -> None:
    one = world.operator()
    assert len({*await asyncio.gather(*(one.public() for _ in range(20)))}) == 1
    assert one.signing() is not None


async def test_of_two_that_begin_at_once_one_key_stays(world: World) -> None:
    other = world.operator()
    known = await other.public()
    world.server.first, world.server.there = world.server.there, None
    one = world.operator()
    assert await one.public() == known
    assert world.server.writes == 1


async def test_a_key_gets_a_successor_which_pods_know_before_it_signs(world: World) -> None:
    one = world.operator()
    (first,) = await one.public()
    signing = one.signing()
    world.now += ROTATE_AFTER + 1
    both = await one.public()
    assert (len(both), both[0], one.signing()) == (2, first, signing)
    assert await world.operator().public() == both
    world.now += KNOWN_BEFORE
    assert await one.public() == both[1:]
    assert one.signing() != signing


async def test_a_secret_that_was_deleted_takes_every_key_with_it(world: World) -> None:
    one = world.operator()
    known = await one.public()
    world.server.there = None
    assert await one.public() == known
    world.now += READ_EVERY
    after = await one.public()
    assert len(after) == 1
    assert after != known


@pytest.mark.parametrize(
    "data", [{}, None, {"keys.json": ""}, {"keys.json": base64.b64encode(b"[").decode()}, {"keys.json": "*"}]
)
async def test_a_damaged_secret_gets_new_keys_and_that_is_told(
    world: World, data: dict[str, str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    await world.operator().public()
    assert world.server.there is not None
    world.server.there["data"] = data
    with caplog.at_level(logging.ERROR):
        assert len(await world.operator().public()) == 1
    assert "has no keys that can be read" in caplog.text
    assert json.loads(base64.b64decode(world.server.there["data"]["keys.json"]))


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", "no"), ApiUnreachableError("gone")])
async def test_without_the_api_server_the_keys_that_are_known_go_on(
    world: World, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    one = world.operator()
    known = await one.public()
    world.server.fails = error
    world.now += READ_EVERY
    with caplog.at_level(logging.ERROR):
        assert await one.public() == known
        assert await one.public() == known
        assert await world.operator().public() == ()
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 2, (
        "asked once, and told once, in a while"
    )
    world.server.fails = None
    world.now += RETRY_EVERY
    assert await one.public() == known


async def test_no_secret_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    one = world.operator()
    with caplog.at_level(logging.DEBUG):
        await one.public()
    signing = one.signing()
    assert signing is not None
    assert f"{signing.secret:x}" not in caplog.text + repr(one._ring) + repr(signing)
