"""A command is taken up once, and never in the place of another that somebody wrote meanwhile."""

from typing import Any

from modelward.api import names
from modelward.kube.resources import MODEL_DEPLOYMENTS
from property.cluster_world import CANARY, ClusterWorld


async def rolling_out() -> ClusterWorld:
    world = ClusterWorld()
    world.ask_for(1)
    await world.run()
    world.ask_for(2, rollout=CANARY)
    await world.run(6)
    assert 10 in world.shares().values()
    return world


def command_of(world: ClusterWorld) -> str | None:
    annotations = world.objects[MODEL_DEPLOYMENTS, "fraud"]["metadata"]["annotations"]
    return annotations.get(names.ANNOTATION_COMMAND)  # type: ignore[no-any-return]


async def test_an_abort_that_follows_a_pause_at_once_is_not_lost() -> None:
    world = await rolling_out()
    stable = world.stable
    world.command("pause")
    post = world.create

    async def aborts_meanwhile(*arguments: Any) -> Any:
        """While the Event is written that tells of the pause; the watch tells of it later."""
        if command_of(world) == "pause":
            upsert, world.cache.upsert = world.cache.upsert, lambda *_: None  # type: ignore[method-assign,assignment]
            world.command("abort")
            world.cache.upsert = upsert  # type: ignore[method-assign]
        return await post(*arguments)

    world.create = aborts_meanwhile  # type: ignore[method-assign]
    await world.step()
    assert command_of(world) == "abort"
    world.cache.upsert(MODEL_DEPLOYMENTS, world.objects[MODEL_DEPLOYMENTS, "fraud"])
    await world.run(6)
    assert command_of(world) is None
    assert world.status["rollout"]["phase"] == "Aborted"
    assert world.shares() == {stable: 100}
