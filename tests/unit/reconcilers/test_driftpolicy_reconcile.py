"""The policy's reconcile around a trigger that is no Job: what is told to the other side, and when."""

import copy
import json
from typing import Any

from modelward.kube.resources import CONFIG_MAPS, DRIFT_POLICIES, MODEL_DEPLOYMENTS, RETRAINING_RUNS
from modelward.retraining.run import WORKING, Outcome
from modelward.retraining.triggers.trigger import Order
from property.retraining_world import World


class OtherSystem:
    """A webhook's other side; in memory, since tests/unit/retraining/test_triggers_webhook.py has the real one."""

    def __init__(self) -> None:
        self.cancelled: list[tuple[str, str | None]] = []

    async def start(self, _order: Order) -> Outcome:
        return Outcome(WORKING, handle="https://ci/runs/7")

    async def poll(self, _order: Order) -> Outcome:
        return Outcome(WORKING)

    async def cancel(self, order: Order) -> None:
        self.cancelled.append((order.run.name, order.run.handle))


def by_webhook() -> tuple[World, OtherSystem]:
    world, other = World(), OtherSystem()
    webhook = {"url": "https://ci/retrain", "secretRef": {"name": "key"}}
    world.edit("drift", retrain={"cooldown": "1h", "webhook": webhook})
    world.edit("nightly", suspend=True)
    world.operator._triggers["Webhook"] = other
    return world, other


def started(world: World) -> str:
    world.request("drift", "please")
    world.settle()
    (run,) = world.active()
    assert run["status"]["phase"] == "Running"
    return str(run["metadata"]["name"])


def test_deleting_a_run_cancels_it_elsewhere_once() -> None:
    world, other = by_webhook()
    name = started(world)
    world.remove(RETRAINING_RUNS, name)
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]
    assert (world.active(), world.memories()["drift"]["runs"][0]["result"]) == ([], "Deleted")


def test_an_operator_that_never_saw_the_run_cancels_it_elsewhere_too() -> None:
    world, _ = by_webhook()
    name = started(world)
    world.remove(RETRAINING_RUNS, name)
    world._boot()
    other = OtherSystem()
    world.operator._triggers["Webhook"] = other
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]


def test_a_lost_memory_asks_for_nothing_again() -> None:
    world, _ = by_webhook()
    world.request("drift", "please")
    world.settle()
    (run,) = world.active()
    failed: dict[str, Any] = {
        **run,
        "status": {**run["status"], "phase": "Failed", "finishedAt": "2025-10-09T09:00:00Z"},
    }
    world._put(RETRAINING_RUNS, run["metadata"]["name"], failed)
    world.settle()
    for name in list(world.store[CONFIG_MAPS]):
        world.remove(CONFIG_MAPS, name)
    world.settle()
    assert [each["metadata"]["name"] for each in world.runs("drift")] == [run["metadata"]["name"]]


def test_a_model_that_is_made_anew_under_its_name_ends_the_formers_run_and_is_watched_at_once() -> None:
    world, other = by_webhook()
    name, former = started(world), world.target
    world.remove(MODEL_DEPLOYMENTS, "fraud")
    world._put(MODEL_DEPLOYMENTS, "fraud", {**former, "metadata": {**former["metadata"], "uid": "a-new-one"}})
    world.settle()
    assert other.cancelled == [(name, "https://ci/runs/7")]
    assert world.memories()["drift"]["uid"] == "a-new-one"
    # It is for the new one, which has not been asked for by this value yet.
    assert [each["spec"]["target"]["uid"] for each in world.active()] == ["a-new-one"]
    assert [each["metadata"]["name"] for each in world.ended()] == [], "runs of a model that is gone go, too"


def test_five_hundred_models_that_drift_at_once_are_all_retrained_by_one_policy() -> None:
    world = World()
    world.edit("nightly", suspend=True)
    for number in range(500):
        body = copy.deepcopy(world.target)
        body["metadata"] |= {"name": f"m{number}", "uid": f"uid-{number}", "labels": {"team": "risk"}}
        world._put(MODEL_DEPLOYMENTS, f"m{number}", body)
    world.edit("drift", target={"selector": {"matchLabels": {"team": "risk"}}})
    world.end_window(drifts=True)
    for _ in range(3):
        world.reconcile("drift")
    assert (len(world.active()), len(world.running())) == (500, 500)
    assert set(world.made.values()) == {1}
    status = world.store[DRIFT_POLICIES]["drift"]["status"]
    assert (status["counts"]["running"], len(status["targets"])) == (500, 10)
    assert len(json.dumps(status)) < 64 * 1024


def test_what_somebody_has_made_of_a_memory_is_told_once_and_starts_nothing_anew() -> None:
    world, _ = by_webhook()
    name = started(world)
    (memory,) = (each for each in world.store[CONFIG_MAPS] if each.startswith("drift-"))
    body = world.store[CONFIG_MAPS][memory]
    world._put(CONFIG_MAPS, memory, {**body, "data": {"memory": '{"name": "fraud", "failures": "many"}'}})
    world.settle()
    (told,) = (each["message"] for each in world.told if each["reason"] == "MemoryUnreadable")
    assert f"somebody else has edited ConfigMap {memory}" in told
    assert [each["metadata"]["name"] for each in world.active()] == [name]
    assert world.memories()["drift"]["run"]["name"] == name
