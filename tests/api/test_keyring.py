"""The operator's keys on a real API server: who may do what with the Secret, and what becomes of it."""

import base64
import json
import time

import pytest

from modelward.kube.keyring import NAME
from modelward.net.key_rotation import load
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until

SYSTEM = "modelward-system"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:modelward-operator"


@pytest.fixture(scope="module", autouse=True)
def rights(cluster: Cluster) -> None:
    """RBAC as it is installed, by kustomize."""
    built = cluster.kubectl("kustomize", str(cluster.repository / "manifests" / "base"))
    kinds = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    parts = [part for part in built.split("\n---\n") if any(f"\nkind: {kind}\n" in f"\n{part}\n" for kind in kinds)]
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin="\n---\n".join(parts))
    end = time.monotonic() + 60.0
    while not may(cluster, "get", f"secrets/{NAME}", SYSTEM):
        assert time.monotonic() < end, "the rights are not in force"
        time.sleep(0.1)


def may(cluster: Cluster, verb: str, what: str, namespace: str) -> bool:
    return cluster.run("auth", "can-i", verb, what, "-n", namespace, f"--as={ACCOUNT}").stdout.strip() == "yes"


def test_the_operators_account_reads_a_secret_by_its_name_and_changes_its_own_alone(
    cluster: Cluster, namespace: str
) -> None:
    assert all(may(cluster, verb, f"secrets/{NAME}", SYSTEM) for verb in ("get", "update"))
    assert may(cluster, "create", "secrets", SYSTEM)
    assert may(cluster, "get", "secrets/registry", namespace), "what a ModelRegistry is asked with"
    assert may(cluster, "create", "secrets", namespace), "the key of a cache, and by admission no other"
    for verb in ("list", "watch", "update", "patch", "delete"):
        assert not may(cluster, verb, "secrets", namespace), verb
        assert not may(cluster, verb, f"secrets/{NAME}", namespace), verb
        if verb != "create":
            assert not may(cluster, verb, "secrets/another", SYSTEM), verb
    for verb in ("list", "watch", "patch", "delete"):
        assert not may(cluster, verb, f"secrets/{NAME}", SYSTEM), verb


async def test_the_next_operator_goes_on_with_the_keys_of_the_last_one_and_pods_are_told_of_them(
    cluster: Cluster, model: Model
) -> None:
    cluster.run("delete", "secret", NAME, "-n", "default")

    def known() -> str:
        found = cluster.get("configmap", "modelward-fraud-operator", "-n", model.namespace)
        return str(found["data"]["keys"])

    def secret() -> str:
        found = cluster.get("secret", NAME, "-n", "default")
        return base64.b64decode(found["data"]["keys.json"]).decode()

    async with operator(cluster):
        model.apply()
        await until(model.is_ready, "ready")
        first = secret()
        assert known().split() == list(load(first).public())
        # Who takes a key away from pods does not get far.
        cluster.kubectl("delete", "configmap", "modelward-fraud-operator", "-n", model.namespace)
        await until(
            lambda: cluster.run("get", "configmap", "modelward-fraud-operator", "-n", model.namespace).returncode == 0,
            "the keys again",
        )
    async with operator(cluster, identity="next") as second:
        await until(lambda: second.controller._queue._due == {} and second.is_idle(), "work done")
        await until(lambda: known().split() == list(load(first).public()), "the same keys")
        assert secret() == first
    (mounted,) = [
        each["configMap"]
        for body in cluster.get("deployments", "-n", model.namespace, "-l", "app.kubernetes.io/component=server")[
            "items"
        ]
        for each in body["spec"]["template"]["spec"]["volumes"]
        if each["name"] == "operator-keys"
    ]
    assert (mounted["name"], mounted["optional"]) == ("modelward-fraud-operator", True)
    cluster.kubectl("delete", "secret", NAME, "-n", "default")
    async with operator(cluster, identity="third"):
        await until(lambda: known().split() != list(load(first).public()), "keys that nobody had before")
        assert json.loads(secret()) != json.loads(first)
