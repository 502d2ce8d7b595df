"""What a model costs that is as it should be: nothing is written, and how many others there are does not matter."""

import json
import time
from collections.abc import Callable

from .cluster_world import KEY, ClusterWorld

OTHERS = 999
LOOKS = 300
"""The least of so many is free of what else a machine does."""


async def test_a_look_at_a_converged_model_is_no_dearer_among_a_thousand(measured: Callable[[str], None]) -> None:
    world = ClusterWorld()
    world.ask_for()
    await world.run()
    assert world.status["phase"] == "Ready"
    alone = await _least(world)
    bodies = {key: json.dumps(body) for key, body in world.objects.items()}
    for number in range(OTHERS):
        for (resource, _), text in bodies.items():
            body = json.loads(text.replace('"fraud', f'"model{number}').replace('"md1"', f'"md1-{number}"'))
            body["metadata"]["uid"] += f"-{number}" * (body["metadata"]["uid"] != f"md1-{number}")
            world.cache.upsert(resource, body)
    among = await _least(world)
    assert among < 2 * alone
    measured(f"a reconcile of a converged model: {1e3 * alone:.2f} ms of CPU, {1e3 * among:.2f} ms among a thousand")


async def _least(world: ClusterWorld) -> float:
    """Seconds of CPU."""
    writes, found = world.writes, []
    for _ in range(LOOKS):
        began = time.thread_time()
        await world.reconciler.reconcile(KEY)
        found.append(time.thread_time() - began)
    assert world.writes == writes
    return min(found)
