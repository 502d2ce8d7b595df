"""A model that is retrained, on an API server without nodes: how far its runs are, waited for."""

import json
from typing import Any

from .model import S3, Model
from .operator_process import until
from .training import Policy

NEW = {"modelUri": S3.format(2)}
ROLLOUT = {"strategy": "Canary", "steps": [{"weight": 10, "hold": "0s"}], "gates": {"errorRate": {"margin": "1%"}}}


async def ready(model: Model) -> None:
    model.apply(version=1, rollout=ROLLOUT)
    await until(model.is_ready, "the first version")


async def started(policy: Policy, count: int = 1) -> str:
    """The name of the one Job that goes on, the `count`-th of all."""
    await until(lambda: len(policy.running()) == 1 and len(policy.jobs()) == count, f"Job {count}")
    return policy.running()[0]


async def ended(policy: Policy, *expected: tuple[str, str]) -> Any:
    """The latest run, when the runs have ended as `expected`, the latest first. Lets the kubelet work."""
    try:
        await until(lambda: policy.settled_runs() == list(expected), f"the runs {expected}", 60)
    except AssertionError as error:
        raise AssertionError(f"{error}; there is {json.dumps(policy.objects())}") from error
    return policy.ended()[0]["status"]
