"""Who may connect to a model's pods: NetworkPolicies for its servers and its router.

They add up with those of the namespace: whoever needs more writes another one. Egress is left alone, since artifacts
lie anywhere. What the kubelet asks, and `kubectl port-forward`, come from the node and are always let through.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment
from modelward.kube import manifests as common
from modelward.platform import Platform
from modelward.routing.envoy import bootstrap as envoy
from modelward.runtimes.runtime import MODELWARD

API_VERSION: Final = "networking.k8s.io/v1"
KIND: Final = "NetworkPolicy"

METRICS_LABEL: Final = f"{names.GROUP}/metrics"
"""On namespaces whose pods may read metrics, with the value "true"."""

OPERATOR_LABELS: Final = {names.LABEL_NAME: "modelward-operator"}
"""Of the operator's pods in manifests/base."""

Json = dict[str, Any]


def names_of(owner: ModelDeployment) -> tuple[str, str]:
    """Of the servers' policy and of the router's."""
    return (f"modelward-{owner.name}-{names.COMPONENT_SERVER}", f"modelward-{owner.name}-{names.COMPONENT_ROUTER}")


def policies(owner: ModelDeployment, platform: Platform, *, by_gateway: bool) -> Iterator[Json]:
    """Nothing where the installation makes none. `by_gateway`: whether requests come, now or still, by Gateways, whose
    pods may be anywhere."""
    operator_namespace = platform.operator_namespace
    if operator_namespace is None:
        return
    operator = _pods_of(operator_namespace, OPERATOR_LABELS)
    metrics = {"namespaceSelector": {"matchLabels": {METRICS_LABEL: "true"}}}
    router = {"podSelector": {"matchLabels": common.selector(owner, names.COMPONENT_ROUTER)}}
    ports = MODELWARD.ports
    requests = (ports.http, ports.grpc)
    server_name, router_name = names_of(owner)
    yield _policy(
        owner, server_name, names.COMPONENT_SERVER,
        _let(requests) if by_gateway else _let(requests, router),
        _let((ports.http, ports.monitor, ports.tap, ports.metrics), operator, metrics),
    )  # fmt: skip
    if owner.spec.router.gateway is None:
        yield _policy(
            owner, router_name, names.COMPONENT_ROUTER,
            _let((envoy.HTTP_PORT,)),
            _let((envoy.INTERNAL_PORT,), operator, metrics),
            _let((envoy.INSIDE_PORT,), operator),
        )  # fmt: skip


def _policy(owner: ModelDeployment, name: str, component: str, *rules: Json) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": common.metadata(owner, name, component),
        "spec": {
            "podSelector": {"matchLabels": common.selector(owner, component)},
            "policyTypes": ["Ingress"],
            "ingress": list(rules),
        },
    }


def _let(ports: Iterable[int], *sources: Json) -> Json:
    """A rule. Without sources: from everywhere."""
    rule: Json = {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}
    return rule | ({"from": list(sources)} if sources else {})


def _pods_of(namespace: str, labels: dict[str, str]) -> Json:
    """Both in one source: pods of that namespace with these labels."""
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": labels},
    }
