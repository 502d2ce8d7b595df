"""The HTTPRoute that routes become."""

from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api import names
from modelward.api.modeldeployment import Gateway, ParentReference, Router
from modelward.api.traffic import Traffic
from modelward.facts import Arm, Match, Progress, RouteTable
from modelward.routing.gateway import route as gateway
from modelward.routing.stored import load_routes

A, B, C = "fraud-a", "fraud-b", "fraud-c"
PUBLIC = Gateway((ParentReference("public", "infra"),), ("fraud.example",))


def spec_of(routes: RouteTable, where: Gateway = PUBLIC, timeout: str = "300s") -> dict[str, Any]:
    made_for = owner(router=Router(gateway=where), traffic=Traffic(timeout=timeout))
    spec: dict[str, Any] = gateway.http_route(made_for, PLATFORM, routes)["spec"]
    return spec


def in_short(rule: dict[str, Any]) -> tuple[set[str], dict[str, int], dict[str, int], set[int]]:
    """Headers that are asked for, weights and mirrored percent by revision, and the port."""
    headers = {f"{h['name']}={h['value']}" for match in rule["matches"] for h in match.get("headers", ())}
    mirrors = [each["requestMirror"] for each in rule["filters"]]
    backends = [*rule["backendRefs"], *(mirror["backendRef"] for mirror in mirrors)]
    return (
        headers,
        {each["name"]: each["weight"] for each in rule["backendRefs"]},
        {mirror["backendRef"]["name"]: mirror["percent"] for mirror in mirrors},
        {each["port"] for each in backends},
    )


CASES: dict[str, tuple[RouteTable, list[tuple[set[str], dict[str, int], dict[str, int]]]]] = {
    "the stable alone": (RouteTable(A), [(set(), {A: 100}, {})]),
    "attached gets nothing": (RouteTable(A, attached=(B,)), [(set(), {A: 100}, {})]),
    "an arm without weight is no backend": (RouteTable(A, (Arm("candidate", B),)), [(set(), {A: 100}, {})]),
    "a split": (RouteTable(A, (Arm("candidate", B, 10), Arm("c", C, 20))), [(set(), {A: 70, B: 10, C: 20}, {})]),
    "copies": (
        RouteTable(A, (Arm("candidate", B, 10, 25), Arm("c", C, 0, 50))), [(set(), {A: 90, B: 10}, {B: 25, C: 50})],
    ),
    "no weight is left for the stable": (RouteTable(A, (Arm("candidate", B, 100),)), [(set(), {B: 100}, {})]),
    "headers follow in their order, and move nothing": (
        RouteTable(A, (Arm("candidate", B, 10),), matches=(Match("x", "1", B), Match("y", "1", C), Match("z", "1", B))),
        [(set(), {A: 90, B: 10}, {}), ({"x=1"}, {B: 1}, {}), ({"y=1"}, {C: 1}, {}), ({"z=1"}, {B: 1}, {})],
    ),
    "neighbours that lead to the same share a rule": (
        RouteTable(A, matches=(Match("x", "1", B), Match("x", "2", B), Match("y", "1", C))),
        [(set(), {A: 100}, {}), ({"x=1", "x=2"}, {B: 1}, {}), ({"y=1"}, {C: 1}, {})],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("routes", "expected"), CASES.values(), ids=CASES)
def test_rules(routes: RouteTable, expected: list[tuple[set[str], dict[str, int], dict[str, int]]]) -> None:
    """Each rule stands twice: for gRPC with its port, and for REST with its own."""
    rules = [in_short(rule) for rule in spec_of(routes)["rules"]]
    assert rules == [(*each, {port}) for each in expected for port in (names.GRPC_PORT, 8080)]


def test_the_stable_is_the_first_backend() -> None:
    """An implementation that hashes then takes users only from the stable when a candidate grows."""
    rule = spec_of(RouteTable(A, (Arm("candidate", B, 10),)))["rules"][0]
    assert [each["name"] for each in rule["backendRefs"]] == [A, B]


def test_only_what_clients_may_ask_is_routed() -> None:
    routes = RouteTable(A, matches=(Match("x", "1", B),))
    paths = {(m["path"]["type"], m["path"]["value"]) for rule in spec_of(routes)["rules"] for m in rule["matches"]}
    assert paths == {
        ("PathPrefix", "/inference.GRPCInferenceService"), ("PathPrefix", "/grpc.health.v1.Health"),
        ("PathPrefix", "/v2"), ("PathPrefix", "/v1"), ("Exact", "/docs"), ("Exact", "/openapi.json"), ("Exact", "/"),
    }  # fmt: skip


def test_a_header_match_asks_for_path_and_header_together() -> None:
    """Two matches of a rule are alternatives: one without a header would take every request."""
    for rule in spec_of(RouteTable(A, matches=(Match("x", "1", B),)))["rules"][2:]:
        assert all(match["headers"] == [{"type": "Exact", "name": "x", "value": "1"}] for match in rule["matches"])


def test_backends_have_no_filters() -> None:
    """With one, Envoy Gateway makes a cluster of each backend and fails requests that come before it is ready."""
    for rule in spec_of(RouteTable(A, (Arm("candidate", B, 10, 50),), matches=(Match("x", "1", C),)))["rules"]:
        assert all(set(backend) == {"name", "port", "weight"} for backend in rule["backendRefs"])


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Gateway((ParentReference("public"),)), {"parentRefs": [{"name": "public"}]}),
        (
            Gateway((ParentReference("a", "infra", "https"), ParentReference("b")), ("x.example", "y.example")),
            {
                "parentRefs": [{"name": "a", "namespace": "infra", "sectionName": "https"}, {"name": "b"}],
                "hostnames": ["x.example", "y.example"],
            },
        ),
    ],
)
def test_parents_and_hosts_are_those_of_spec(where: Gateway, expected: dict[str, Any]) -> None:
    spec = spec_of(RouteTable(A), where)
    assert {key: value for key, value in spec.items() if key != "rules"} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1ms", "1ms"), ("500ms", "500ms"), ("30s", "30s"), ("90s", "1m30s"), ("300s", "5m"), ("3600000ms", "1h"),
        ("3599999ms", "59m59s999ms"), ("1h", "1h"), ("61m", "1h1m"),
    ],
)  # fmt: skip
def test_a_duration_has_at_most_five_digits_a_unit(text: str, expected: str) -> None:
    assert gateway.duration(text) == expected
    assert {rule["timeouts"]["request"] for rule in spec_of(RouteTable(A), timeout=text)["rules"]} == {expected}


def test_the_version_names_what_gateways_do() -> None:
    """Not what is stored beside it: a revision that is attached, or a decision, changes nothing that clients see."""
    made_for = owner(router=Router(gateway=PUBLIC))
    elsewhere = owner(router=Router(gateway=Gateway((ParentReference("other"),))))
    split = RouteTable(A, (Arm("candidate", B, 10),))
    version = gateway.version_of(made_for, PLATFORM, RouteTable(A))
    assert gateway.version_of(made_for, PLATFORM, RouteTable(A, attached=(B,))) == version
    assert gateway.version_of(elsewhere, PLATFORM, RouteTable(A)) != version
    assert gateway.version_of(made_for, PLATFORM, split) != version


def test_routes_and_progress_are_stored_with_the_route() -> None:
    routes, progress = RouteTable(A, (Arm("candidate", B, 10),), (C,)), Progress(B, 1)
    (route,) = gateway.manifests(owner(router=Router(gateway=PUBLIC)), PLATFORM, routes, progress)
    version = gateway.version_of(owner(router=Router(gateway=PUBLIC)), PLATFORM, routes)
    assert load_routes(route["metadata"]["annotations"][names.ANNOTATION_ROUTES]) == (routes, version, progress)
    assert route["metadata"]["name"] == "fraud"
