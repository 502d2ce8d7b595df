"""The NetworkPolicies enforced: real connections through kube-router's engine, held against our own evaluation of them.

No kubelet: the pods are network namespaces, with the labels that ours really get.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import PLATFORM, owner
from localcluster import binaries
from modelward.api import names
from modelward.api.modeldeployment import Gateway, ModelDeployment, Monitor, ParentReference, Router
from modelward.revisions import deployment as revision
from modelward.routing import network_policies as network
from modelward.routing.envoy import objects as router
from nodeless.cluster import REPOSITORY, Cluster
from nodeless.network import NODE_IP, Network, Space, why_not_here
from nodeless.operator_process import until
from policies import Pod, lets

BASE = REPOSITORY / "manifests" / "base"
PORTS = (8080, 8081, 9000, 9901, 9902, 9903)
MARK = secrets.token_hex(3)
ML, SYSTEM, MONITORING, OTHER = (f"{name}-{MARK}" for name in ("ml", "system", "monitoring", "other"))
LABELS = {MONITORING: {network.METRICS_LABEL: "true"}, OTHER: {network.METRICS_LABEL: "false"}}

OWN = replace(owner(monitor=Monitor()), namespace=ML)
SHARED = replace(owner("shared", router=Router(gateway=Gateway((ParentReference("public", "infra"),)))), namespace=ML)
ENFORCED = replace(PLATFORM, operator_namespace=SYSTEM)
Outcome = Mapping[tuple[str, str, int], bool]
"""By source, target and port."""


def server_of(who: ModelDeployment) -> dict[str, str]:
    made = revision.deployment(who, PLATFORM, revision.name_of(who), 1)
    labels: dict[str, str] = made["spec"]["template"]["metadata"]["labels"]
    return labels


def operators() -> dict[str, str]:
    (made,) = (
        each for each in yaml.safe_load_all((BASE / "operator.yaml").read_text()) if each["kind"] == "Deployment"
    )
    labels: dict[str, str] = made["spec"]["template"]["metadata"]["labels"]
    return labels


ROUTER = router.deployment(OWN, PLATFORM)["spec"]["template"]["metadata"]["labels"]
TARGETS = {
    "server": Pod(ML, server_of(OWN)), "router": Pod(ML, ROUTER), "operator": Pod(SYSTEM, operators()),
    "server behind a gateway": Pod(ML, server_of(SHARED)), "pod that nobody protects": Pod(ML, {"app": "web"}),
}  # fmt: skip
PODS = TARGETS | {
    "prometheus": Pod(MONITORING, {"app": "prometheus"}, LABELS[MONITORING]),
    "stranger": Pod(OTHER, {"app": "web"}, LABELS[OTHER]),
    "another model's router": Pod(ML, {**ROUTER, names.LABEL_INSTANCE: "another"}),
    "router of another namespace": Pod(OTHER, ROUTER, LABELS[OTHER]),
    "operator of another namespace": Pod(OTHER, operators(), LABELS[OTHER]),
    "operator's labels beside the model": Pod(ML, operators()),
}


def policies() -> list[dict[str, Any]]:
    made = [
        *network.policies(OWN, ENFORCED, by_gateway=False), *network.policies(SHARED, ENFORCED, by_gateway=True),
        yaml.safe_load((BASE / "networkpolicy.yaml").read_text()),
    ]  # fmt: skip
    made[-1]["metadata"]["namespace"] = SYSTEM
    return made


def evaluated(made: list[dict[str, Any]]) -> Outcome:
    return {
        (source, target, port): lets(made, PODS[source], PODS[target], port)
        for source in PODS for target in TARGETS for port in PORTS if source != target
    }  # fmt: skip


class Connections:
    """Every pod of PODS on one network; `tried` says who gets through to whom."""

    def __init__(self, cluster: Cluster, network: Network) -> None:
        self.network = network
        self._spaces: dict[str, Space] = {}
        self._addresses: dict[str, str] = {}
        network.listen(network.node, PORTS[:1])
        for number, (name, pod) in enumerate(PODS.items()):
            self._spaces[name], self._addresses[name] = network.join()
            if name in TARGETS:
                network.listen(self._spaces[name], PORTS)
            path = f"/api/v1/namespaces/{pod.namespace}/pods"
            metadata = {"name": f"pod-{number}", "labels": dict(pod.labels)}
            spec = {"nodeName": "elsewhere", "containers": [{"name": "c", "image": "i"}]}
            cluster.request("POST", path, {"metadata": metadata, "spec": spec})
            address = self._addresses[name]
            status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": NODE_IP}
            patch = "application/merge-patch+json"
            cluster.request("PATCH", f"{path}/pod-{number}/status", {"status": status}, patch)

    def tried(self) -> Outcome:
        self.network.check()
        found = {}
        for source, space in self._spaces.items():
            asked = [(target, port) for target in TARGETS for port in PORTS if target != source]
            answers = space.reaches([(self._addresses[target], port) for target, port in asked])
            found |= {(source, target, port): answer for (target, port), answer in zip(asked, answers, strict=True)}
        return found

    def to_the_node(self) -> list[bool]:
        return [space.reaches([(NODE_IP, PORTS[0])])[0] for space in self._spaces.values()]

    def by_the_node(self) -> list[bool]:
        return self.network.node.reaches([(self._addresses[target], port) for target in TARGETS for port in PORTS])


@pytest.fixture(scope="module")
def connections(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, in_sight: Callable[[], AbstractContextManager[None]]
) -> Iterator[Connections]:
    with in_sight():
        why = why_not_here()
        if why is None:
            binaries.network_policies()
    if why is not None:
        pytest.skip(why)
    for name in (ML, SYSTEM, MONITORING, OTHER):
        body = {"metadata": {"name": name, "labels": LABELS.get(name, {})}}
        cluster.request("POST", "/api/v1/namespaces", body)
    folder: Path = tmp_path_factory.mktemp("policies")
    with Network(cluster, folder) as network:
        yield Connections(cluster, network)


async def test_who_gets_through_is_what_the_policies_say_and_nothing_else(
    cluster: Cluster, connections: Connections
) -> None:
    assert all(connections.tried().values()), "without policies everybody gets through"
    made = policies()
    assert len(made) == 4
    for each in made:
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(each))
    expected = evaluated(made)
    assert {expected[source, "server", port] for source in ("stranger", "router") for port in (8080,)} == {True, False}

    def differing() -> list[tuple[str, str, int]]:
        found = connections.tried()
        return sorted(each for each, answer in found.items() if answer != expected[each])

    await until(lambda: not differing(), "the engine and our own evaluation agree", deadline=60)
    assert all(connections.by_the_node()), "the kubelet's probes"
    assert all(connections.to_the_node()), "the API server, for pods that policies select"


@pytest.mark.parametrize("target", ["server", "router"])
async def test_a_stranger_gets_through_to_nothing_that_is_private(connections: Connections, target: str) -> None:
    """In plain words, what the evaluation above says by formula. After it: the policies are in force."""
    found = connections.tried()
    private = {"server": (8080, 8081, 9000), "router": (9901, 9902, 9903)}[target]
    strangers = [name for name in PODS if name not in ("operator", "prometheus", "router", target)]
    assert not any(found[source, target, port] for source in strangers for port in private if source != target)
    assert all(found["stranger", "router", port] for port in (8080,)), "requests are for everybody"
    assert [found["router", "server", port] for port in (8080, 9000, 8081)] == [True, True, False]
    assert [found["operator", "server", port] for port in (8080, 8081)] == [True, True]
    assert [found["operator", "router", port] for port in (9901, 9903)] == [True, True]
    assert [found["prometheus", "router", port] for port in (9901, 9903)] == [True, False]


async def test_an_engine_that_ends_leaves_nothing_behind(connections: Connections) -> None:
    """The last one: the cluster's own is started and ended in the machine's own network."""
    assert "KUBE-NWPLCY" in connections.network.rules()
    connections.network.end_enforcing()
    assert "KUBE-" not in connections.network.rules()
    assert connections.network.node.reaches([("127.0.0.1", 1)]) == [False]
