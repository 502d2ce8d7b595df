"""Many ModelDeployments at once. MODELWARD_SCALE sets how many (the short form: 60)."""

import json
import os
import resource
import time
from collections.abc import Callable

import pytest

from modelward.kube.resources import MODEL_DEPLOYMENTS
from nodeless.cluster import Cluster
from nodeless.kubelet import FakeKubelet
from nodeless.model import is_settled, manifest
from nodeless.operator_process import Operator, operator, until

MODELS = int(os.environ.get("MODELWARD_SCALE", "60"))
MAX_WRITES_OF_A_NEW_MODEL = 12
"""Nine objects and three times the status."""

PATIENCE = 60.0 + MODELS
"""Seconds; two cores run the API server, the operator and the pretended kubelet."""


@pytest.mark.timeout(300 + 4 * MODELS)
async def test_many_models_get_ready_and_a_restart_over_them_writes_nothing(
    cluster: Cluster, namespace: str, measured: Callable[[str], None]
) -> None:
    kubelet = FakeKubelet(cluster, namespace)
    bodies = [manifest(namespace, f"model-{number}", router={"replicas": 1}) for number in range(MODELS)]
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}))

    def are_ready() -> bool:
        kubelet.settle()
        listed = cluster.request("GET", MODEL_DEPLOYMENTS.path(namespace))["items"]
        return len(listed) == MODELS and all(map(is_settled, listed))

    try:
        async with operator(cluster) as first:
            began, memory = Spent(), _memory()
            await until(are_ready, "every model ready", PATIENCE)
            await until(first.is_idle, "nothing left to do")
            events = 2 * MODELS
            assert first.api.writes - events <= MAX_WRITES_OF_A_NEW_MODEL * MODELS
            measured(
                f"{MODELS} new models: all ready and nothing left to do {began.told()}, "
                f"{first.api.writes / MODELS:.1f} writes each, {(_memory() - memory) / MODELS:.0f} KiB each"
            )
        async with operator(cluster, identity="next") as second:
            began = Spent()
            await until(lambda: _knows_all(second) and second.is_idle(), "every model looked at", PATIENCE)
            assert second.api.writes == 0
            measured(f"a restart over {MODELS} models: every one looked at {began.told()}, 0 writes")
    finally:
        cluster.kubectl("delete", "md", "--all", "-n", namespace)


class Spent:
    """Time since it was made: by the clock, and of the operator's own thread, which the pretended kubelet is not in."""

    def __init__(self) -> None:
        self._wall, self._thread = time.monotonic(), time.thread_time()

    def told(self) -> str:
        wall, thread = time.monotonic() - self._wall, time.thread_time() - self._thread
        return f"after {wall:.1f} s, {1000 * thread / MODELS:.1f} ms of CPU each"


def _memory() -> int:
    """The most that this process has had so far, KiB; the pretended kubelet's lists are in it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _knows_all(one: Operator) -> bool:
    return len(list(one.cache.keys())) >= MODELS
