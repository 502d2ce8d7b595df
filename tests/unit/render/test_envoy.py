"""The router's configuration: what Envoy is told, and how a version is named."""

import json
from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.domain.facts import RouteTable
from modelward.render import envoy, router


def files(routes: RouteTable) -> dict[str, Any]:
    rendered = envoy.configuration(routes, "ml", "cluster.local")
    return {name: json.loads(text) for name, text in rendered.items()}


def hosts(routes: RouteTable) -> dict[str, Any]:
    (configuration,) = files(routes)[envoy.ROUTES_FILE]["resources"]
    return {each["name"]: each for each in configuration["virtual_hosts"]}


def test_the_stable_gets_the_traffic_and_attached_revisions_only_their_own_host() -> None:
    found = hosts(RouteTable("fraud-a", ("fraud-b",)))
    assert found["traffic"]["domains"] == ["*"]
    assert [each["route"]["cluster"] for each in found["traffic"]["routes"]] == ["fraud-a-grpc", "fraud-a"]
    assert found["fraud-b"]["domains"] == ["fraud-b.modelward.internal"]
    assert [each["route"]["cluster"] for each in found["fraud-b"]["routes"]] == ["fraud-b-grpc", "fraud-b"]


def test_every_route_leads_to_a_cluster_of_the_same_configuration() -> None:
    routes = RouteTable("fraud-a", ("fraud-b",))
    clusters = {each["name"] for each in files(routes)[envoy.CLUSTERS_FILE]["resources"]}
    all_routes = [each for host in hosts(routes).values() for each in host["routes"]]
    targets = {each["route"]["cluster"] for each in all_routes if "route" in each}
    assert targets == clusters == {"fraud-a", "fraud-a-grpc", "fraud-b", "fraud-b-grpc"}


def test_only_grpc_goes_to_the_grpc_port() -> None:
    clusters = {each["name"]: each for each in files(RouteTable("fraud-a"))[envoy.CLUSTERS_FILE]["resources"]}

    def port(name: str) -> int:
        (endpoints,) = clusters[name]["load_assignment"]["endpoints"]
        return int(endpoints["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"])

    assert (port("fraud-a"), port("fraud-a-grpc")) == (8080, 9000)
    grpc, http = hosts(RouteTable("fraud-a"))["traffic"]["routes"]
    assert (grpc["match"], http["match"]) == ({"prefix": "/", "grpc": {}}, {"prefix": "/"})


def test_the_configuration_answers_with_its_own_version() -> None:
    routes = RouteTable("fraud-a")
    answer = hosts(routes)["config"]["routes"][0]["direct_response"]["body"]["inline_string"]
    assert answer == envoy.version_of(routes, "ml", "cluster.local")


@pytest.mark.parametrize(
    "other", [RouteTable("fraud-b"), RouteTable("fraud-a", ("fraud-b",)), RouteTable("fraud-b", ("fraud-a",))]
)
def test_another_traffic_is_another_version(other: RouteTable) -> None:
    assert envoy.version_of(other, "ml", "cluster.local") != envoy.version_of(
        RouteTable("fraud-a"), "ml", "cluster.local"
    )


def test_the_admin_interface_is_on_loopback_only() -> None:
    bootstrap = envoy.bootstrap()
    assert bootstrap["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    (internal,) = [each for each in bootstrap["static_resources"]["listeners"] if each["name"] == "internal"]
    manager = internal["filter_chains"][0]["filters"][0]["typed_config"]
    paths = [route["match"] for route in manager["route_config"]["virtual_hosts"][0]["routes"]]
    assert paths == [{"path": "/stats/prometheus"}, {"path": "/ready"}]


def test_the_pods_never_change_with_the_traffic() -> None:
    assert router.deployment(owner(), PLATFORM) == router.deployment(owner(), PLATFORM)
    assert "fraud-a" not in json.dumps(router.deployment(owner(), PLATFORM))


def test_routes_survive_the_annotation() -> None:
    routes = RouteTable("fraud-a", ("fraud-b",))
    assert router.load_routes(router.dump_routes(routes, "v")) == (routes, "v")
