"""Who is woken by a change, whoever brings it: a watch, a list, or the answer to a write of our own."""

import asyncio
import time
from typing import Any

import pytest

from everywhere import Everywhere
from modelward.api import modeldeployment
from modelward.kube.cache import Cache, Key
from modelward.kube.client import ApiUnreachableError
from modelward.kube.queue import WorkQueue
from modelward.kube.resources import DRIFT_POLICIES, MODEL_DEPLOYMENTS, PODS
from modelward.kube.resync import resync
from modelward.reconcilers.loop import RESYNC_RETRY, Controller
from modelward.reconcilers.status_writer import write_status
from simulated import simulate

MODEL, POLICY = Key("ml", "fraud"), Key("ml", "watcher", DRIFT_POLICIES.kind)


def model(version: int, **status: Any) -> dict[str, Any]:
    metadata = {"namespace": "ml", "name": "fraud", "uid": "m", "resourceVersion": str(version), "generation": 1}
    return {"metadata": metadata, "spec": {"model": {"uri": "s3://models/fraud.onnx"}}, "status": status}


def policy(name: str, target: str) -> dict[str, Any]:
    metadata = {"namespace": "ml", "name": name, "uid": name, "resourceVersion": "1", "generation": 1}
    return {"metadata": metadata, "spec": {"target": {"name": target}}}


class Api:
    """Answers a write with the object as it is afterwards; lists `pages`, and looks at the cache as it gives them."""

    def __init__(self, cache: Cache, pages: tuple[list[dict[str, Any]], ...] = (), **metadata: Any) -> None:
        self.cache, self._pages, self._metadata = cache, pages, metadata
        self.known: list[int] = []

    async def apply(self, _resource: Any, manifest: Any, _subresource: str) -> dict[str, Any]:
        made = model(5, **manifest["status"])
        made["metadata"] |= self._metadata
        return made

    async def pages(self, resource: Any, _namespace: str | None = None) -> Any:
        for page in self._pages if resource is PODS else ():
            self.known.append(len(self.cache.all(PODS)))
            yield page


class World:
    def __init__(self) -> None:
        self.cache, self.queue = Cache(), WorkQueue(time.monotonic)
        self.controller = Controller(None, self.cache, self.queue, None, Everywhere(), {})  # type: ignore[arg-type]
        self.cache.upsert(DRIFT_POLICIES, policy("watcher", "fraud"))
        self.cache.upsert(DRIFT_POLICIES, policy("of-another", "other"))
        self.cache.upsert(MODEL_DEPLOYMENTS, model(1))
        self.take()

    def take(self) -> set[Key]:
        due = set(self.queue._due)
        self.queue._due.clear()
        return due


@pytest.fixture
def world() -> World:
    return World()


async def test_the_answer_to_a_write_wakes_the_policies_and_its_event_nobody_any_more(world: World) -> None:
    owner = modeldeployment.parse(world.cache.all(MODEL_DEPLOYMENTS)[0])
    status = {"stable": {"revision": "fraud-a"}}
    api: Any = Api(world.cache)
    assert await write_status(api, world.cache, MODEL_DEPLOYMENTS, owner, status)
    assert world.take() == {POLICY}, "not the model itself, whose own write that was"
    world.controller.observe_event(MODEL_DEPLOYMENTS, "MODIFIED", model(5, **status))
    assert world.take() == set()


async def test_what_others_wrote_before_our_write_wakes_the_model_itself(world: World) -> None:
    """A command, say, whose event is no news when it comes: the answer to our write had it, too."""
    owner = modeldeployment.parse(world.cache.all(MODEL_DEPLOYMENTS)[0])
    api: Any = Api(world.cache, annotations={"modelward.io/rollout": "abort"})
    assert await write_status(api, world.cache, MODEL_DEPLOYMENTS, owner, {"phase": "Ready"})
    assert world.take() == {MODEL, POLICY}
    commanded = model(4)
    commanded["metadata"]["annotations"] = {"modelward.io/rollout": "abort"}
    world.controller.observe_event(MODEL_DEPLOYMENTS, "MODIFIED", commanded)
    assert world.take() == set()


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED", None])
async def test_an_event_wakes_the_model_and_its_policies(world: World, kind: str | None) -> None:
    world.controller.observe_event(MODEL_DEPLOYMENTS, kind, model(2))
    assert world.take() == {MODEL, POLICY}


async def test_a_list_is_taken_in_page_by_page() -> None:
    """Whole objects of a page are there at once, never those of all pages."""

    def pod(name: str) -> dict[str, Any]:
        return {"metadata": {"namespace": "ml", "name": name, "uid": name, "resourceVersion": "3"}, "status": {}}

    cache = Cache()
    cache.watched = (PODS,)
    cache.upsert(PODS, {**pod("gone"), "metadata": {**pod("gone")["metadata"], "resourceVersion": "1"}})
    api: Any = Api(cache, ([pod("a"), pod("b")], [pod("c")], []))
    await resync(api, cache, WorkQueue(time.monotonic))
    assert api.known == [1, 3, 4]
    assert sorted(body["metadata"]["name"] for body in cache.all(PODS)) == ["a", "b", "c"]


async def test_a_policy_that_cannot_be_read_keeps_nobody_else_from_being_woken(world: World) -> None:
    for number, target in enumerate([None, 3, {"selector": "all"}]):
        unreadable = policy(f"a-{number}", "fraud")
        unreadable["spec"]["target"] = target
        world.cache.upsert(DRIFT_POLICIES, unreadable)
    world.controller.observe_event(MODEL_DEPLOYMENTS, "MODIFIED", model(2))
    assert world.take() == {MODEL, POLICY}


def test_a_resync_that_failed_is_tried_again_soon() -> None:
    class Down:
        asked: list[float] = []  # noqa: RUF012

        async def pages(self, _resource: Any, _namespace: str | None = None) -> Any:
            self.asked.append(asyncio.get_running_loop().time())
            if len(self.asked) < 4:
                raise ApiUnreachableError("no answer")
            yield []

    async def main() -> None:
        api: Any = Down()
        cache, clock = Cache(), asyncio.get_running_loop().time
        cache.watched = (PODS,)
        controller = Controller(
            api, cache, WorkQueue(clock), None, Everywhere(), {}, clock, resync_seconds=600.0,  # type: ignore[arg-type]
        )  # fmt: skip
        task = asyncio.create_task(controller._resync_for_ever())
        await asyncio.sleep(1800.0)
        task.cancel()
        first, *_, last = api.asked[:4]
        assert last - first <= 3 * 1.2 * RESYNC_RETRY
        assert len(api.asked) <= 7, "and not so soon once it went well"

    simulate(main())
