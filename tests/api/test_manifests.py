"""manifests/cluster and manifests/namespaced are manifests/base in two parts; the Role has the ClusterRole's rules."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import binaries
from localcluster.commands import run

MANIFESTS = Path(__file__).parents[2] / "manifests"
CLUSTER_WIDE = {
    "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}  # fmt: skip
Rights = set[tuple[str, str, str, str]]


def built(path: str) -> dict[tuple[str, str], dict[str, Any]]:
    bodies = yaml.safe_load_all(run([binaries.kubectl(), "kustomize", MANIFESTS / path]))
    return {(body["kind"], body["metadata"]["name"]): body for body in bodies}


def rights(role: dict[str, Any]) -> Rights:
    return {
        each
        for rule in role["rules"]
        for each in product(rule["apiGroups"], rule["resources"], rule["verbs"], rule.get("resourceNames", [""]))
    }


@pytest.fixture(scope="module")
def base() -> dict[tuple[str, str], dict[str, Any]]:
    return built("base")


def test_the_two_parts_are_the_base_without_the_operators_cluster_role(
    base: dict[tuple[str, str], dict[str, Any]],
) -> None:
    cluster, namespaced = built("cluster"), built("namespaced")
    assert not cluster.keys() & namespaced.keys()
    left = {("ClusterRole", "modelward-operator"), ("ClusterRoleBinding", "modelward-operator")}
    assert base.keys() - cluster.keys() - namespaced.keys() == left
    assert {kind for kind, _ in cluster} <= CLUSTER_WIDE
    assert not {kind for kind, _ in namespaced} & CLUSTER_WIDE


def test_the_role_has_the_rules_of_the_cluster_role(base: dict[tuple[str, str], dict[str, Any]]) -> None:
    wide = rights(base["ClusterRole", "modelward-operator"])
    narrow = rights(built("namespaced/watched")["Role", "modelward-operator"])
    assert wide - narrow == {
        # A Role can give neither; the claims of all namespaces matter to who is for all of them alone.
        ("", "namespaces", "list", ""), ("", "namespaces", "watch", ""), ("coordination.k8s.io", "leases", "list", ""),
    }  # fmt: skip
    assert narrow - wide == {
        ("", "namespaces", "get", ""),
        ("coordination.k8s.io", "leases", "create", ""),
        ("coordination.k8s.io", "leases", "get", "modelward-claim"),
        ("coordination.k8s.io", "leases", "patch", "modelward-claim"),
    }
