"""Steady load from inside the cluster, through the Service, by ordinary clients of both protocols, without retries."""

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from localcluster import images
from localcluster.clients import kubectl

from .model import until

LONGEST = 180
"""Seconds after which the load ends by itself, whatever became of the test."""

THREADS = 4

SCRIPT = """
import collections, json, pathlib, sys, threading, time
kind, address, threads, longest, body = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
if kind == "rest":
    import urllib3
    pool = urllib3.PoolManager(maxsize=threads, retries=False, timeout=30.0)
    def ask():
        answer = pool.request("POST", address, body=body)
        return str(answer.status), answer.headers.get("x-modelward-revision", "")
else:
    import grpc
    channel = grpc.insecure_channel(address)
    infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    def ask():
        _, call = infer.with_call(bytes.fromhex(body), timeout=30.0)
        return "200", dict(call.initial_metadata()).get("x-modelward-revision", "")
counts, lock, end = collections.Counter(), threading.Lock(), time.monotonic() + longest
stop = pathlib.Path("/tmp/stop")
def send():
    while time.monotonic() < end and not stop.exists():
        try:
            result, revision = ask()
        except Exception as error:
            result, revision = f"{type(error).__name__}: {error}", ""
        with lock:
            counts[result, revision] += 1
workers = [threading.Thread(target=send) for _ in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(json.dumps([[*key, count] for key, count in counts.items()]))
"""
"""By REST, `body` is JSON; by gRPC, the hex digits of a ModelInferRequest."""


@dataclass
class Load:
    """What came of it: `results` by HTTP status (200 for gRPC's OK, too) or error, `revisions` by who answered."""

    namespace: str
    pod: str
    results: dict[str, int] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, int]:
        return {result: count for result, count in self.results.items() if result != "200"}

    def stop(self) -> None:
        """End it and take in what it counted."""
        kubectl("exec", self.pod, "-n", self.namespace, "--", "touch", "/tmp/stop")
        until(lambda: self._phase() == "Succeeded", "the load's end")
        for result, revision, count in json.loads(kubectl("logs", self.pod, "-n", self.namespace)):
            self.results[result] = self.results.get(result, 0) + count
            self.revisions[revision] = self.revisions.get(revision, 0) + count

    def _phase(self) -> str:
        return kubectl("get", "pod", self.pod, "-n", self.namespace, "-o", "jsonpath={.status.phase}")


@contextlib.contextmanager
def load(namespace: str, kind: str, address: str, body: str) -> Iterator[Load]:
    """Send `body` to `address` by THREADS at once until the block ends. `kind`: rest or grpc, see SCRIPT."""
    name = f"load-{secrets.token_hex(3)}"
    made = Load(namespace, name)
    kubectl("create", "-f", "-", stdin=json.dumps(_pod(namespace, name, kind, address, body)))
    try:
        until(lambda: made._phase() == "Running", "the load's start")
        yield made
        made.stop()
    finally:
        kubectl("delete", "pod", name, "-n", namespace, "--wait=false", "--grace-period=0", "--force", check=False)


def _pod(namespace: str, name: str, kind: str, address: str, body: str) -> dict[str, Any]:
    container = {
        "name": "load",
        "image": images.ensure(["inference"])["inference"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["/opt/venv/bin/python3", "-c", SCRIPT, kind, address, str(THREADS), str(LONGEST), body],
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }  # fmt: skip
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
