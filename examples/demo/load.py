"""Steady load from inside the cluster, through the Service, by ordinary clients of both protocols, without retries."""

import contextlib
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from examples.demo import objects
from localcluster import images
from localcluster.clients import kubectl
from localcluster.progress import wait_for

START_SECONDS = 120.0

LONGEST = 180
"""Seconds after which the load ends by itself, whatever became of the test."""

THREADS = 4

LEAST = 10
"""Requests that each of them sends, however soon the load is to end."""

SCRIPT = """
import collections, json, pathlib, random, sys, threading, time
plan = json.loads(pathlib.Path("/plan/plan.json").read_text())
bodies, weights = [each[0] for each in plan["bodies"]], [each[1] for each in plan["bodies"]]
users = [f"user-{number}" for number in range(plan["users"])]
if plan["kind"] == "rest":
    import urllib3
    pool = urllib3.PoolManager(maxsize=plan["threads"], retries=False, timeout=30.0)
    def ask(body, user):
        headers = {"x-user": user, **plan["headers"]} if user else plan["headers"]
        answer = pool.request("POST", plan["address"], body=body, headers=headers)
        return str(answer.status), answer.headers.get("x-modelward-revision", "")
else:
    import grpc
    channel = grpc.insecure_channel(plan["address"])
    infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    def ask(body, user):
        try:
            _, call = infer.with_call(bytes.fromhex(body), timeout=30.0)
            return "200", dict(call.initial_metadata()).get("x-modelward-revision", "")
        except grpc.RpcError as error:
            answered = dict(error.initial_metadata() or ()).get("x-modelward-revision", "")
            return error.code().name, answered
counts, lock, end = collections.Counter(), threading.Lock(), time.monotonic() + plan["longest"]
seen = collections.defaultdict(collections.Counter)
stop = pathlib.Path("/tmp/stop")
pause = plan["threads"] / plan["rate"] if plan["rate"] else 0.0
def send():
    due, sent = time.monotonic(), 0
    while time.monotonic() < end and (sent < plan["least"] or not stop.exists()):
        sent += 1
        due += pause
        time.sleep(max(0.0, due - time.monotonic()) if pause else 0.0)
        user = random.choice(users) if users else None
        try:
            result, revision = ask(random.choices(bodies, weights)[0], user)
        except Exception as error:
            result, revision = f"{type(error).__name__}: {error}", ""
        with lock:
            counts[int(time.time()), result, revision] += 1
            if user:
                seen[user][revision] += 1
workers = [threading.Thread(target=send) for _ in range(plan["threads"])]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(json.dumps({"counts": [[*key, count] for key, count in counts.items()], "seen": seen}))
"""
"""By REST, a body is JSON; by gRPC, the hex digits of a ModelInferRequest."""


@dataclass
class Load:
    """What came of it: `counts` by second (Unix time), by HTTP status (200 for gRPC's OK, too) or error, and by the
    revision that answered; `seen`: the revisions that answered each user."""

    namespace: str
    pod: str
    counts: list[tuple[int, str, str, int]] = field(default_factory=list)
    seen: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def results(self) -> dict[str, int]:
        return self._by(1)

    @property
    def revisions(self) -> dict[str, int]:
        return self._by(2)

    @property
    def failed(self) -> dict[str, int]:
        return {result: count for result, count in self.results.items() if result != "200"}

    def between(self, begin: float, end: float) -> dict[str, int]:
        """Requests by the revision that answered them, in the whole seconds between two times."""
        counted: Counter[str] = Counter()
        for second, _, revision, count in self.counts:
            if begin < second and second + 1 < end:
                counted[revision] += count
        return dict(counted)

    def _by(self, column: int) -> dict[str, int]:
        counted: Counter[str] = Counter()
        for entry in self.counts:
            counted[str(entry[column])] += entry[3]
        return dict(counted)

    def stop(self) -> None:
        """End it and take in what it counted."""
        kubectl("exec", self.pod, "-n", self.namespace, "--", "touch", "/tmp/stop")
        wait_for("the load's end", lambda: self._phase() == "Succeeded", START_SECONDS)
        told = json.loads(kubectl("logs", self.pod, "-n", self.namespace))
        self.counts = [tuple(entry) for entry in told["counts"]]
        self.seen = told["seen"]

    def _phase(self) -> str:
        return str(objects.get("pods", self.namespace, self.pod)["status"].get("phase"))


@contextlib.contextmanager
def load(
    namespace: str,
    kind: str,
    address: str,
    *bodies: str | tuple[str, float],
    rate: float | None = None,
    users: int = 0,
    headers: dict[str, str] | None = None,
    longest: int = LONGEST,
) -> Iterator[Load]:
    """Send `bodies` (each alone or with its share) to `address` by THREADS at once until the block ends.

    `kind`: rest or grpc, see SCRIPT. `rate`: requests a second, None for as many as go; `users`: how many different
    ones there are in the header x-user.
    """
    name = f"load-{secrets.token_hex(3)}"
    made = Load(namespace, name)
    plan = {
        "kind": kind, "address": address, "threads": THREADS, "least": LEAST, "longest": longest, "rate": rate,
        "users": users,
        "bodies": [(body, 1.0) if isinstance(body, str) else body for body in bodies], "headers": headers or {},
    }  # fmt: skip
    plans = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
        "data": {"plan.json": json.dumps(plan)},
    }  # fmt: skip
    kubectl("create", "-f", "-", stdin=json.dumps(plans))
    kubectl("create", "-f", "-", stdin=json.dumps(_pod(namespace, name)))
    try:
        wait_for("the load's start", lambda: made._phase() == "Running", START_SECONDS)
        yield made
        made.stop()
    finally:
        kubectl("delete", "pod", name, "-n", namespace, "--wait=false", "--grace-period=0", "--force", check=False)
        kubectl("delete", "configmap", name, "-n", namespace, "--wait=false", check=False)


def _pod(namespace: str, name: str) -> dict[str, Any]:
    container = {
        "name": "load",
        "image": images.ensure(["inference"])["inference"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["/opt/venv/bin/python3", "-c", SCRIPT],
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "plan", "mountPath": "/plan"}],
    }  # fmt: skip
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "plan", "configMap": {"name": name}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
