"""The operator as a process of its own: it ends when it is asked to, and leaves its lease to the next."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from localcluster.loopback import answers, free_port
from modelward.kube.resources import LEASES
from nodeless.cluster import Cluster
from nodeless.operator_process import collect_what_kopf_leaves, operator, until

ENDS_WITHIN = 30
"""Seconds; a pod of the operator has as many until it is killed (manifests/base/operator.yaml)."""


@contextmanager
def process(cluster: Cluster, namespace: str, folder: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """It, and its port for HTTP."""
    port = free_port()
    environment = {
        **os.environ, "KUBECONFIG": str(cluster.server.kubeconfig), "POD_NAMESPACE": namespace, "POD_NAME": "operator",
        "MODELWARD_SERVER_IMAGE": "inference:1", "MODELWARD_ROUTER_IMAGE": "envoy:1",
        "MODELWARD_HTTP_PORT": str(port), "HOME": str(folder),
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "modelward"], env=environment, stderr=subprocess.PIPE, text=True
    ) as it:
        try:
            yield it, port
        finally:
            it.kill()


def holder(cluster: Cluster, namespace: str) -> Any:
    listed = cluster.request("GET", LEASES.path(namespace))["items"]
    return next((each["spec"].get("holderIdentity") for each in listed if "operator" in each["metadata"]["name"]), None)


@pytest.mark.parametrize("leads", [True, False])
async def test_it_ends_when_it_is_asked_to(cluster: Cluster, namespace: str, tmp_path: Path, *, leads: bool) -> None:
    """Watches, workers and all, also who only stands by."""
    with process(cluster, namespace, tmp_path) as (first, _):
        await until(lambda: holder(cluster, namespace), "the lease")
        if leads:
            first.send_signal(signal.SIGTERM)
            _, words = first.communicate(timeout=ENDS_WITHIN)
            assert (first.returncode, holder(cluster, namespace)) == (0, ""), words
            return
        with process(cluster, namespace, tmp_path) as (second, port):
            await until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the one that stands by")
            second.send_signal(signal.SIGTERM)
            _, words = second.communicate(timeout=ENDS_WITHIN)
            assert second.returncode == 0, words
            assert holder(cluster, namespace)


async def test_a_test_fails_at_once_whose_operator_ends_by_itself(cluster: Cluster) -> None:
    """As one of a thousand models waited for a quarter of an hour, for what nobody did any more."""

    async def waits_for_one_that_dies() -> None:
        async with operator(cluster) as one:
            await until(one.lease.is_held, "the lease")
            one.api.dead = True
            await until(lambda: False, "what nobody does any more", 60)

    with pytest.raises(AssertionError, match="the operator ended by itself"):
        await waits_for_one_that_dies()
    collect_what_kopf_leaves()
