"""Who gets through to a model's pods: the policies, evaluated for the connections that there are.

tests/api/test_enforced.py has a real engine judge the same connections.
"""

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import PLATFORM, owner
from modelward.api import names
from modelward.api.modeldeployment import Gateway, ModelDeployment, Monitor, ParentReference, Router
from modelward.facts import RouteTable
from modelward.monitoring.client import Monitors
from modelward.revisions import deployment as revision
from modelward.rollouts.evidence.scrape import Scraper
from modelward.routing import network_policies as network
from modelward.routing.envoy import objects as router
from modelward.routing.envoy import routes as envoy_routes
from modelward.routing.envoy.probe import RouterProbe
from policies import Pod, lets

ENFORCED = replace(PLATFORM, operator_namespace="modelward-system")
OWN = owner(monitor=Monitor())
SHARED = owner(router=Router(gateway=Gateway((ParentReference("public", "infra"),))))
A = revision.name_of(OWN)
BASE = Path(__file__).parents[3] / "manifests" / "base"


def pods(who: ModelDeployment) -> tuple[Pod, Pod]:
    """A server's and a router's, with the labels that they really get."""
    server = revision.deployment(who, PLATFORM, A, 1)["spec"]["template"]["metadata"]["labels"]
    envoy = router.deployment(who, PLATFORM)["spec"]["template"]["metadata"]["labels"]
    return Pod("ml", server), Pod("ml", envoy)


def operators() -> Pod:
    """As manifests/base makes it."""
    for body in yaml.safe_load_all((BASE / "operator.yaml").read_text()):
        if body["kind"] == "Deployment":
            return Pod("modelward-system", body["spec"]["template"]["metadata"]["labels"])
    raise AssertionError


def port_of(kind: type, name: str) -> int:
    """The default of an argument: where the operator really connects."""
    return int(inspect.signature(kind).parameters[name].default)


SERVER, ENVOY = pods(OWN)
OPERATOR = operators()
PROMETHEUS = Pod("monitoring", {"app": "prometheus"}, {network.METRICS_LABEL: "true"})
NEIGHBOUR, STRANGER = Pod("ml", {"app": "web"}), Pod("other", {"app": "web"})
ANOTHERS_ROUTER = Pod("ml", {**ENVOY.labels, names.LABEL_INSTANCE: "another"})
LOOKS_LIKE_IT = Pod("other", ENVOY.labels), Pod("other", OPERATOR.labels), Pod("ml", OPERATOR.labels)


def policies_of(who: ModelDeployment, *, by_gateway: bool = False) -> list[dict[str, Any]]:
    return list(network.policies(who, ENFORCED, by_gateway=by_gateway))


def test_every_connection_that_the_product_makes_comes_about() -> None:
    there = policies_of(OWN)
    for port in (port_of(Scraper, "server_port"), port_of(Monitors, "port")):
        assert lets(there, OPERATOR, SERVER, port)
    for port in (port_of(Scraper, "router_port"), port_of(RouterProbe, "port")):
        assert lets(there, OPERATOR, ENVOY, port)
    clusters = json.loads(envoy_routes.configuration(RouteTable(A), OWN.spec.traffic, "ml", "c.local")["clusters.json"])
    ports = {
        endpoint["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"]
        for cluster in clusters["resources"] if "load_assignment" in cluster
        for endpoint in cluster["load_assignment"]["endpoints"]
    }  # fmt: skip
    assert ports == {8080, 9000}
    assert all(lets(there, ENVOY, SERVER, port) for port in ports)
    (container,) = router.deployment(OWN, PLATFORM)["spec"]["template"]["spec"]["containers"]
    named = {each["name"]: each["containerPort"] for each in container["ports"]}
    for each in router.service(OWN)["spec"]["ports"]:
        assert lets(there, NEIGHBOUR, ENVOY, named[each["targetPort"]])
        assert lets(there, STRANGER, ENVOY, named[each["targetPort"]])


def test_metrics_can_be_scraped_from_namespaces_that_are_labelled_so() -> None:
    there = policies_of(OWN)
    assert all(lets(there, PROMETHEUS, SERVER, port) for port in (8080, 8081, 8082, 8083))
    assert lets(there, PROMETHEUS, ENVOY, 9901)
    assert not lets(there, PROMETHEUS, ENVOY, 9903)
    assert not lets(there, replace(PROMETHEUS, of_namespace={network.METRICS_LABEL: "false"}), SERVER, 8081)


@pytest.mark.parametrize("source", [NEIGHBOUR, STRANGER, ANOTHERS_ROUTER, *LOOKS_LIKE_IT], ids=range(6))
def test_nobody_else_gets_through(source: Pod) -> None:
    there = policies_of(OWN)
    assert not any(lets(there, source, SERVER, port) for port in (8080, 8081, 9000))
    assert not any(lets(there, source, ENVOY, port) for port in (9901, 9902, 9903))


@pytest.mark.parametrize("source", [ENVOY, OPERATOR, PROMETHEUS, NEIGHBOUR], ids=range(4))
def test_what_is_behind_a_tap_is_reached_by_the_tap_alone(source: Pod) -> None:
    assert not any(lets(policies_of(OWN), source, SERVER, port) for port in (8090, 8091))


def test_gateways_may_be_anywhere_and_reach_requests_alone() -> None:
    there = policies_of(SHARED, by_gateway=True)
    assert [each["metadata"]["name"] for each in there] == ["modelward-fraud-server"]
    server, _ = pods(SHARED)
    assert all(lets(there, STRANGER, server, port) for port in (8080, 9000))
    assert not lets(there, STRANGER, server, 8081)
    assert lets(there, OPERATOR, server, 8081)


def test_the_policies_are_ours_and_named_by_nobody_else() -> None:
    for who, other in ((OWN, owner("fraud-server")), (OWN, owner("modelward-fraud"))):
        made = {each["metadata"]["name"] for each in policies_of(who)}
        assert made.isdisjoint(each["metadata"]["name"] for each in policies_of(other))
    for each in policies_of(OWN):
        assert each["metadata"]["ownerReferences"] == [OWN.owner_reference]
    assert not list(network.policies(OWN, PLATFORM, by_gateway=False))


def test_the_operators_metrics_are_for_labelled_namespaces() -> None:
    (there,) = yaml.safe_load_all((BASE / "networkpolicy.yaml").read_text())
    there["metadata"]["namespace"] = "modelward-system"
    assert lets([there], PROMETHEUS, OPERATOR, 8080)
    assert not lets([there], STRANGER, OPERATOR, 8080)
    assert not lets([there], SERVER, OPERATOR, 8080)
