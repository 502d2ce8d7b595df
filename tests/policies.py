"""Evaluates NetworkPolicies: whether a connection between two pods comes about.

The few rules of the API that this project uses, from
https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/. tests/api/test_enforced.py
holds it against a real engine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Pod:
    """Where a connection comes from, or goes to."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    of_namespace: Mapping[str, str] = field(default_factory=dict)


def lets(policies: Iterable[Mapping[str, Any]], source: Pod, target: Pod, port: int) -> bool:
    """Whether a connection comes about. A pod that no policy selects takes everything."""
    of_target = [
        each["spec"]
        for each in policies
        if each["metadata"]["namespace"] == target.namespace and _takes(each["spec"]["podSelector"], target.labels)
    ]
    rules = [rule for spec in of_target for rule in spec["ingress"]]
    return not of_target or any(
        port in {each["port"] for each in rule["ports"]}
        and ("from" not in rule or any(_comes_from(peer, source, target.namespace) for peer in rule["from"]))
        for rule in rules
    )


def _takes(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    if selector is None:
        return True
    assert selector.keys() <= {"matchLabels"}, "nothing else is evaluated here"
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def _comes_from(peer: Mapping[str, Any], source: Pod, namespace: str) -> bool:
    assert peer.keys() <= {"podSelector", "namespaceSelector"}
    if "namespaceSelector" in peer:
        of_namespace = {"kubernetes.io/metadata.name": source.namespace, **source.of_namespace}
        if not _takes(peer["namespaceSelector"], of_namespace):
            return False
    elif source.namespace != namespace:
        return False
    return _takes(peer.get("podSelector"), source.labels)
