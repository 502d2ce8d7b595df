"""A whole reconcile with the real RouterProbe: what is not known yet is waited for, never written down as unknown."""

from datetime import UTC, datetime
from typing import Any

import pytest

from builders import PLATFORM
from modelward.api import names
from modelward.kube.cache import Key
from modelward.kube.poller import Poller
from modelward.kube.resources import CONFIG_MAPS
from modelward.reconcilers.modeldeployment.reconcile import Reconciler
from modelward.routing.envoy.probe import RouterProbe
from modelward.routing.stored import load_routes
from property.cluster_world import CANARY, KEY, ClusterWorld, _Evidence, _Unmonitored


class _NoKeys:
    """Of the operator: none that pods are to know."""

    async def public(self) -> tuple[str, ...]:
        return ()


class Routers(RouterProbe):
    """Pods that have taken up the newest ConfigMap, unless they are mute."""

    world: "World"

    async def _version(self, _ip: str) -> str | None:
        config = self.world.objects.get((CONFIG_MAPS, "fraud-router"))
        if self.world.mute or config is None:
            return None
        loaded = load_routes(config["metadata"]["annotations"][names.ANNOTATION_ROUTES])
        return loaded[1] if loaded else None

    async def _answers(self, _ip: str, revision: str) -> bool:
        return not self.world.mute and self.answers_of(revision)

    def answers_of(self, revision: str) -> bool:
        return self.world.answers(revision)


class World(ClusterWorld):
    mute = False

    def start(self, image: str) -> None:
        super().start(image)
        self.due: list[Key] = []
        self.poller = Poller(self.due.append, lambda: self.now)
        anything: Any = None
        self.routers = Routers(anything, self.poller, clock=lambda: self.now)
        self.routers.world = self
        self.reconciler = Reconciler(
            self, self.cache, PLATFORM, self.routers, _Evidence(self), _Unmonitored(), "me",  # type: ignore[arg-type]
            lambda: self.now, lambda: datetime.fromtimestamp(self.now, UTC), _NoKeys(),  # type: ignore[arg-type]
        )  # fmt: skip

    async def step(self) -> Any:
        """A reconcile, and those that answers make due."""
        self.now += 2.0
        outcome = await self.reconciler.reconcile(KEY)
        await self.poller.idle()
        while self.due:
            self.due.clear()
            outcome = await self.reconciler.reconcile(KEY)
            await self.poller.idle()
        return outcome


@pytest.fixture
async def ready() -> World:
    world = World()
    world.ask_for(1)
    await world.run()
    assert world.condition("Ready")["status"] == "True"
    return world


async def test_a_canary_gets_its_share_once_every_router_pod_has_said_that_it_follows(ready: World) -> None:
    ready.ask_for(2, rollout=CANARY)
    await ready.run()
    assert sorted(ready.shares().values()) == [10, 90]
    assert ready.status["router"]["liveReplicas"] == 1


async def test_a_restart_writes_nothing_before_or_after_the_first_answers(ready: World) -> None:
    ready.start("inference:1")
    writes, told = ready.writes, list(ready.events)
    for _ in range(5):
        await ready.step()
    assert (ready.writes, ready.events) == (writes, told)
    assert ready.condition("Ready")["status"] == "True"


async def test_routers_that_are_mute_after_a_restart_are_told_of_and_found_again(ready: World) -> None:
    ready.start("inference:1")
    ready.mute = True
    await ready.run(8)
    assert ready.condition("Ready")["status"] == "False"
    ready.mute = False
    await ready.run(8)
    assert ready.condition("Ready")["status"] == "True"
