"""Many ModelDeployments at once. MODELWARD_SCALE sets how many (the short form: 60)."""

import json
import os

import pytest

from modelward.kube.resources import MODEL_DEPLOYMENTS
from nodeless.cluster import Cluster
from nodeless.kubelet import FakeKubelet
from nodeless.model import is_settled, manifest
from nodeless.operator_process import Operator, operator, until

MODELS = int(os.environ.get("MODELWARD_SCALE", "60"))
MAX_WRITES_OF_A_NEW_MODEL = 11
"""Eight objects and three times the status."""

PATIENCE = 60.0 + MODELS
"""Seconds; two cores run the API server, the operator and the pretended kubelet."""


@pytest.mark.timeout(300 + 4 * MODELS)
async def test_many_models_get_ready_and_a_restart_over_them_writes_nothing(cluster: Cluster, namespace: str) -> None:
    kubelet = FakeKubelet(cluster, namespace)
    bodies = [manifest(namespace, f"model-{number}", router={"replicas": 1}) for number in range(MODELS)]
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}))

    def are_ready() -> bool:
        kubelet.settle()
        listed = cluster.request("GET", MODEL_DEPLOYMENTS.path(namespace))["items"]
        return len(listed) == MODELS and all(map(is_settled, listed))

    try:
        async with operator(cluster) as first:
            await until(are_ready, "every model ready", PATIENCE)
            await until(first.is_idle, "nothing left to do")
            events = 2 * MODELS
            assert first.api.writes - events <= MAX_WRITES_OF_A_NEW_MODEL * MODELS
        async with operator(cluster, identity="next") as second:
            await until(lambda: _knows_all(second) and second.is_idle(), "every model looked at", PATIENCE)
            assert second.api.writes == 0
    finally:
        cluster.kubectl("delete", "md", "--all", "-n", namespace)


def _knows_all(one: Operator) -> bool:
    return len(list(one.cache.keys())) >= MODELS
