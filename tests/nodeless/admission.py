"""The admission policies on an API server without nodes, and the objects that the operator would write there."""

import functools
import time
from collections.abc import Callable
from typing import Any

from .authored import Object, batch, job, model, parity, quality, registry
from .cluster import Cluster
from .somebody import LEASES, WRITES, Operator, Somebody

OURS = {"app.kubernetes.io/managed-by": "modelward"}


def config_map(labels: Any = OURS, owner: str = "modelward.io/v1alpha1", name: str = "fraud-router") -> Object:
    reference = {"apiVersion": owner, "kind": "ModelDeployment", "name": "fraud", "uid": "u"}
    metadata = {"name": name, "labels": labels, "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def claim(name: str = "modelward-claim") -> Object:
    metadata = {"name": name, "labels": {"modelward.io/claim": "x"}}
    spec = {"holderIdentity": "somebody"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def install(cluster: Cluster) -> None:
    """The policies, as kustomize has them. Returns when they are in force."""
    built = cluster.kubectl("kustomize", str(cluster.repository / "manifests" / "base"))
    parts = [part for part in built.split("\n---\n") if "\nkind: ValidatingAdmissionPolicy" in f"\n{part}"]
    assert len(parts) == 16
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(parts))
    somebody = Somebody(cluster, "default").may()
    # Each of them comes into force at a moment of its own.
    asking = (
        model(serviceAccountName="cloud"), job(), quality(), parity(), registry(credentialsSecret={"name": "store"}),
        batch(credentialsSecret={"name": "store"}),
    )  # fmt: skip
    for body in asking:
        _until_refused(functools.partial(somebody.writes, body, dry_run=True))
    tenant = Somebody(cluster, "default").may(*LEASES)
    _until_refused(functools.partial(tenant.writes, claim(), dry_run=True))
    operator = Operator(cluster, "default").may(*WRITES)
    _until_refused(functools.partial(operator.creates, config_map(labels={})))


def _until_refused(attempt: Callable[[], tuple[bool, str]]) -> None:
    end = time.monotonic() + 60.0
    while attempt()[0]:
        assert time.monotonic() < end, "the policies are not in force"
        time.sleep(0.1)
