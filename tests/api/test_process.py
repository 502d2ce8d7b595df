"""The operator as a process of its own: it ends when it is asked to, and leaves its lease to the next."""

import os
import signal
import socket
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
def process(cluster: Cluster, namespace: str, folder: Path) -> Iterator[tuple["subprocess.Popen[str]", int, int]]:
    """It, and its ports for HTTP and for webhooks."""
    port, webhooks = free_port(), free_port()
    environment = {
        **os.environ, "KUBECONFIG": str(cluster.server.kubeconfig), "POD_NAMESPACE": namespace, "POD_NAME": "operator",
        "MODELWARD_SERVER_IMAGE": "inference:1", "MODELWARD_ROUTER_IMAGE": "envoy:1",
        "MODELWARD_HTTP_PORT": str(port), "MODELWARD_REGISTRY_WEBHOOK_PORT": str(webhooks), "HOME": str(folder),
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "modelward"], env=environment, stderr=subprocess.PIPE, text=True
    ) as it:
        try:
            yield it, port, webhooks
        finally:
            it.kill()


def sent_a_webhook(port: int) -> int:
    """The answer's status."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /v1/registries/ml/mlflow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        return int(connection.recv(1000).split()[1])


def holder(cluster: Cluster, namespace: str) -> Any:
    listed = cluster.request("GET", LEASES.path(namespace))["items"]
    return next((each["spec"].get("holderIdentity") for each in listed if "operator" in each["metadata"]["name"]), None)


@pytest.mark.parametrize("leads", [True, False])
async def test_it_ends_when_it_is_asked_to(cluster: Cluster, namespace: str, tmp_path: Path, *, leads: bool) -> None:
    """Watches, workers and all, also who only stands by."""
    with process(cluster, namespace, tmp_path) as (first, _, webhooks):
        await until(lambda: holder(cluster, namespace), "the lease")
        if leads:
            assert sent_a_webhook(webhooks) == 404, "no such registry"
            first.send_signal(signal.SIGTERM)
            _, words = first.communicate(timeout=ENDS_WITHIN)
            assert (first.returncode, holder(cluster, namespace)) == (0, ""), words
            return
        with process(cluster, namespace, tmp_path) as (second, port, _):
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
