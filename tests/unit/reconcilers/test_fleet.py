"""What a reconcile does hangs on its own model, and not on how many there are besides."""

import copy
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
from prometheus_client import REGISTRY

from modelward import telemetry
from modelward.kube.resources import MODEL_DEPLOYMENTS
from property.cluster_world import KEY, ClusterWorld

SOURCE = "/operator/modelward/"


def with_neighbours(world: ClusterWorld, number: int) -> None:
    """Copies of all that the world has, in another namespace each, and what is counted of them."""
    for count in range(number):
        for (resource, _), body in world.objects.items():
            other = copy.deepcopy(body)
            other["metadata"]["namespace"] = f"other-{count}"
            world.cache.upsert(resource, other)
        telemetry.ROLLOUTS.labels(f"other-{count}", "fraud", "Promoted").inc()


def lines_of(frame: FrameType, counted: "Counter[str]") -> Any:
    def count(frame: FrameType, event: str, _: Any) -> Any:
        counted[frame.f_code.co_filename] += event == "line"
        return count

    return count(frame, "call", None)


async def lines_run(world: ClusterWorld) -> "Counter[str]":
    """Of the operator, by file, in a reconcile that finds nothing to do; others run while Python collects garbage."""
    counted: Counter[str] = Counter()
    before = world.writes
    sys.settrace(lambda frame, *_: lines_of(frame, counted))
    try:
        await world.step()
    finally:
        sys.settrace(None)
    assert world.writes == before
    return Counter({file: lines for file, lines in counted.items() if SOURCE in file})


async def test_a_reconcile_takes_as_many_steps_among_many_models_as_alone() -> None:
    world = ClusterWorld()
    world.ask_for()
    await world.run()
    for _ in range(3):
        await world.step()
    alone = await lines_run(world)
    with_neighbours(world, 50)
    try:
        assert await lines_run(world) == alone
    finally:
        for count in range(50):
            telemetry.forget_model(f"other-{count}", "fraud")


async def test_what_is_counted_of_a_model_is_there_from_the_first_look_and_goes_with_it() -> None:
    counted = {"modelward_rollouts_total", "modelward_pod_requests_left_out_total"}

    def shown() -> set[str]:
        """Other tests have counted policies."""
        samples = [sample for family in REGISTRY.collect() for sample in family.samples if sample.name in counted]
        return {each.name for each in samples if each.labels["namespace"] == KEY.namespace}

    world = ClusterWorld()
    world.ask_for()
    telemetry.forget_model(KEY.namespace, KEY.name)
    await world.step()
    telemetry.PODS_LEFT_OUT.labels(KEY.namespace).inc()
    assert shown() == counted
    world.cache.remove(MODEL_DEPLOYMENTS, world.objects[MODEL_DEPLOYMENTS, KEY.name])
    await world.reconciler.reconcile(KEY)
    assert shown() == set()


@pytest.mark.parametrize("writes_status", [False, True])
async def test_what_is_as_it_should_be_is_not_rendered_again(writes_status: bool) -> None:
    """Nor where the operator wrote what its counters say, as it does every few seconds."""
    world = ClusterWorld()
    world.ask_for()
    await world.run()
    for _ in range(3):
        await world.step()
    if writes_status:
        body = copy.deepcopy(world.objects[MODEL_DEPLOYMENTS, "fraud"])
        body["status"]["router"]["readyReplicas"] += 1
        world.put(MODEL_DEPLOYMENTS, body)
        world.reconciler._memories[KEY].status_written_at = world.now
    counted = await lines_run(world)
    rendering = (
        "routing/envoy/bootstrap.py",
        "routing/envoy/routes.py",
        "revisions/pods/init_containers.py",
        "kube/diff.py",
    )
    assert [file for file in counted if file.endswith(rendering)] == []
