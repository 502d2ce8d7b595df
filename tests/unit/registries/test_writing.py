"""Writes into registries: done once, tried again, bounded, and no trouble to anybody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from modelward.api.modeldeployment import SecretReference
from modelward.api.modelregistry import Mlflow, ModelRegistry, Spec, WriteBack
from modelward.kube.cache import Key
from modelward.kube.client import ApiError
from modelward.kube.poller import Poller
from modelward.models.write_back import Registered, SetAlias, SetTag, Step
from modelward.net import purse
from modelward.net.guarded import open_guarded_session
from modelward.registries.access import BACKOFF_MAX, LEFT_OUT, RETRY, Access
from modelward.registries.writing import Progress, Writing
from recorded_mlflow import Recorded, raw

HERE = ("127.0.0.1",)
KEY, OTHER = Key("ml", "fraud"), Key("ml", "other")
ONE, TWO, NINE = (Registered("fraud", version) for version in "129")
STEPS: tuple[Step, ...] = (SetTag(TWO, "k", "stable"), SetAlias(TWO, "best"), SetTag(ONE, "k", "replaced", True))


@dataclass
class Objects:
    """Instead of the API server."""

    held: dict[str, dict[str, str]] = field(default_factory=dict)
    error: Exception | None = None

    async def get(self, _: Any, __: str, name: str) -> Any:
        if self.error is not None:
            raise self.error
        return {"data": self.held[name]} if name in self.held else None


class World:
    """Writing, its poller, and a clock that the test moves."""

    def __init__(self, session: Any, hosts: tuple[str, ...]) -> None:
        self.now, self.due, self.objects = 0.0, list[Key](), Objects()
        clock = lambda: self.now  # noqa: E731
        self.poller = Poller(self.due.append, clock)
        access = Access(self.objects, session, hosts, clock, lambda: 1e9)  # type: ignore[arg-type]
        self.budgets = access.budgets
        self.writing = Writing(self.poller, access)

    async def look(
        self, registry: ModelRegistry, steps: tuple[Step, ...] = STEPS, key: Key = KEY, refresh: str | None = None
    ) -> Progress:
        """What is known when every attempt that was due has ended."""
        self.writing.look(key, registry, steps, refresh)
        await self.poller.idle()
        return self.writing.look(key, registry, steps, refresh)


@asynccontextmanager
async def world(hosts: tuple[str, ...] = HERE) -> AsyncIterator[World]:
    async with open_guarded_session(hosts) as session:
        made = World(session, hosts)
        yield made
        await made.poller.close()


def registry(mlflow: Recorded, **spec: Any) -> ModelRegistry:
    return ModelRegistry("ml", "mlflow", "uid", 1, Spec(mlflow=Mlflow(mlflow.url), write_back=WriteBack(), **spec))


async def test_the_steps_are_done_once_in_their_order_and_the_model_becomes_due() -> None:
    async with Recorded() as mlflow, world() as one:
        assert one.writing.look(KEY, registry(mlflow), STEPS) == Progress(False)
        await one.poller.idle()
        assert one.due == [KEY]
        assert await one.look(registry(mlflow)) == Progress(True)
        assert mlflow.writes == [("2", "k", "stable"), ("2", "@best"), ("1", "k", "replaced")]
        one.now += 10 * BACKOFF_MAX
        assert await one.look(registry(mlflow)) == Progress(True)
        assert len(mlflow.writes) == 3
        assert await one.look(registry(mlflow), ()) == Progress(True)
        assert not one.writing._states


async def test_what_fails_is_tried_again_less_and_less_often_and_then_done() -> None:
    async with Recorded(instead=raw(503, "down")) as mlflow, world() as one:
        found = await one.look(registry(mlflow))
        assert found.trouble is not None
        assert (found.done, found.trouble.reason, found.again_in) == (False, "ServerFailed", RETRY)
        for _ in range(10):
            one.now += found.again_in or 0.0
            found = await one.look(registry(mlflow))
        assert found.again_in == BACKOFF_MAX
        asked = len(mlflow.asked)
        one.now += BACKOFF_MAX - 1
        await one.look(registry(mlflow))
        assert len(mlflow.asked) == asked, "not before its time"
        mlflow.instead = None
        assert (await one.look(registry(mlflow), refresh="now")).done, "somebody asked for it"


async def test_a_step_that_failed_is_repeated_with_those_before_it_which_changes_nothing() -> None:
    async with Recorded() as mlflow, world() as one:
        steps: tuple[Step, ...] = (SetTag(TWO, "k", "stable"), SetTag(NINE, "k", "x"))
        found = await one.look(registry(mlflow), steps)
        assert found.trouble is not None
        assert (found.trouble.reason, mlflow.tags) == ("VersionMissing", {("2", "k"): "stable"})
        mlflow.versions.add("9")
        one.now += RETRY
        assert (await one.look(registry(mlflow), steps)).done
        assert mlflow.tags == {("2", "k"): "stable", ("9", "k"): "x"}


async def test_a_version_that_is_gone_need_not_be_told_that_it_was_replaced() -> None:
    async with Recorded(versions={"2"}) as mlflow, world() as one:
        assert (await one.look(registry(mlflow))).done
        assert mlflow.writes == [("2", "k", "stable"), ("2", "@best")]


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (401, "Unauthorized", "Correct"),
        (403, "Forbidden", "the permission EDIT on the registered model, or remove spec.writeBack"),
        (429, "TooManyRequests", "Raise spec.pollInterval"),
        (302, "Redirected", "Write where it leads to"),
        (418, "BadAnswer", "Write the address of the registry itself"),
        (200, "BadAnswer", "not as such a registry does"),
    ],
)
async def test_every_failure_has_its_cause_and_cure(status: int, reason: str, words: str) -> None:
    async with Recorded(instead=raw(status, "<html>login</html>")) as mlflow, world() as one:
        found = (await one.look(registry(mlflow))).trouble
        assert found is not None
        assert found.reason == reason
        assert words in found.message


async def test_a_retry_after_is_kept_to() -> None:
    async with Recorded(instead=raw(429, "", Retry_After="120")) as mlflow, world() as one:
        assert (await one.look(registry(mlflow))).again_in == 120


async def test_hosts_and_addresses_that_may_not_be_asked_are_not_written_to_either() -> None:
    async with Recorded() as mlflow:
        for hosts in (("elsewhere",), ("*",)):
            async with world(hosts) as one:
                found = (await one.look(registry(mlflow))).trouble
                assert found is not None
                assert found.reason == "AddressRefused"
        assert mlflow.asked == []


async def test_a_login_that_is_missing_or_can_not_be_read_is_told() -> None:
    async with Recorded() as mlflow, world() as one:
        with_login = registry(mlflow, credentials_secret=SecretReference("login"))
        found = (await one.look(with_login)).trouble
        assert found is not None
        assert found.reason == "CredentialsMissing"
        one.objects.error = ApiError(500, "InternalError", "no")
        one.now += RETRY
        found = (await one.look(with_login)).trouble
        assert found is not None
        assert (found.reason, mlflow.asked) == ("CredentialsUnread", [])


async def test_other_steps_or_another_spec_are_begun_anew() -> None:
    async with Recorded() as mlflow, world() as one:
        assert (await one.look(registry(mlflow))).done
        other: tuple[Step, ...] = (SetTag(ONE, "k", "stable"),)
        assert (await one.look(registry(mlflow), other)).done
        assert (await one.look(registry(mlflow), other, OTHER)).done
        assert len(mlflow.writes) == 5
        one.writing.forget(KEY)
        assert set(one.writing._states) == {OTHER}


async def test_a_namespace_without_a_budget_waits() -> None:
    async with Recorded() as mlflow, world() as one:
        one.budgets._purses["ml"] = purse.Purse(size=-1e9, at=one.now)
        assert await one.look(registry(mlflow)) == Progress(False, None, LEFT_OUT)
        assert mlflow.asked == []


async def test_a_write_that_is_stopped_has_cost_what_it_has() -> None:
    hanging = asyncio.Event()

    async def hang(_: Any) -> web.StreamResponse:
        hanging.set()
        await asyncio.sleep(3600)
        raise AssertionError

    async with Recorded(instead=hang) as mlflow, world() as one:
        one.writing.look(KEY, registry(mlflow), STEPS)
        async with asyncio.timeout(30):
            await hanging.wait()
        one.now += 15.0
        one.writing.forget(KEY)
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while one.budgets._purse("ml").seconds > purse.SECONDS / 2:
                await asyncio.sleep(0.01)


async def test_one_write_at_a_time_of_one_registry() -> None:
    under_way, most = 0, 0

    async def count(request: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return web.json_response({})

    async with Recorded(instead=count) as mlflow, world() as one:
        for number in range(8):
            one.writing.look(Key("ml", f"m{number}"), registry(mlflow), STEPS)
        await one.poller.idle()
        assert (most, len(mlflow.asked)) == (1, 24)
        assert not one.writing._turns
