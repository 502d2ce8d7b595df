"""metrics-server beside a cluster without Docker: what pods use of CPU and memory, for autoscalers and `kubectl top`.

Only for as long as somebody needs it: while it is registered and does not answer, namespaces can't be deleted.
"""

import json
from typing import Any

from localcluster import binaries, settings
from localcluster.clients import kubectl
from localcluster.onenode import METRICS, process
from localcluster.progress import step, wait_for

NAMESPACE = "kube-system"
API_SERVICE = "v1beta1.metrics.k8s.io"
PORT = 14443
SECONDS = 10
"""Between two looks at the kubelet, which is the least that it takes."""


def up() -> None:
    """Start it and wait until it has measured something."""
    with step("starting metrics-server"):
        process(METRICS).start(command())
        kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects()}))

        def measures() -> bool:
            process(METRICS).check()
            # It answers an empty list until it has looked twice.
            found = kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes", check=False)
            return bool(found) and bool(json.loads(found).get("items"))

        wait_for("metrics-server's first figures", measures, deadline=120)


def down() -> None:
    """End it; what it answered for is unknown to the API server again."""
    kubectl("delete", "apiservice", API_SERVICE, "--ignore-not-found")
    kubectl("delete", "service", METRICS, "-n", NAMESPACE, "--ignore-not-found")
    process(METRICS).stop()


def command() -> list[str]:
    kubeconfig = settings.kubeconfig_path()
    return [
        str(binaries.kubernetes() / METRICS), f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={settings.NODE_IP}", f"--secure-port={PORT}", f"--cert-dir={settings.state_dir() / METRICS}",
        f"--metric-resolution={SECONDS}s",
    ]  # fmt: skip


def objects() -> list[dict[str, Any]]:
    """A Service with the address of this machine, and the part of the API that it answers for."""
    metadata = {"name": METRICS, "namespace": NAMESPACE}
    port = {"name": "https", "port": PORT, "protocol": "TCP"}
    return [
        {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"ports": [{**port, "port": 443, "targetPort": PORT}]},
        },
        {
            "apiVersion": "v1", "kind": "Endpoints", "metadata": metadata,
            "subsets": [{"addresses": [{"ip": settings.NODE_IP}], "ports": [port]}],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API_SERVICE},
            "spec": {
                "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": True, "service": {"name": METRICS, "namespace": NAMESPACE},
            },
        },
    ]  # fmt: skip
