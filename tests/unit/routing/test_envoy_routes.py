"""The router's configuration: what Envoy is told, and how a version is named."""

import json
import re
from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api.traffic import AS_IT_COMES, StickyBy, Traffic
from modelward.facts import Arm, Match, Progress, RouteTable, RuntimeFacts
from modelward.routing.envoy import bootstrap as envoy
from modelward.routing.envoy import objects as router
from modelward.routing.envoy import routes as envoy_routes
from modelward.routing.stored import dump_routes, load_routes

A, B, C = "fraud-a", "fraud-b", "fraud-c"
ONLY_A = RouteTable(A)
CANARY = RouteTable(A, (Arm("candidate", B, 25),))
EVERYTHING = RouteTable(
    A,
    (Arm("candidate", B, 25, 10), Arm("b", C, 5), Arm("dark", "fraud-d", 0, 50)),
    ("fraud-e",),
    (Match("x-beta", "1", B),),
)

RUNTIME = RuntimeFacts("own", "path", "/healthz", "/livez", ("/v2/repository", "/v2/models/*/trace"))
OTHERS = RouteTable(A, (Arm("candidate", B, 25),), runtimes=((B, RUNTIME),))
"""The candidate is another server than ours."""


def files(routes: RouteTable, traffic: Traffic = AS_IT_COMES) -> dict[str, Any]:
    rendered = envoy_routes.configuration(routes, traffic, "ml", "cluster.local")
    return {name: json.loads(text) for name, text in rendered.items()}


def hosts(routes: RouteTable, traffic: Traffic = AS_IT_COMES) -> dict[str, Any]:
    (configuration,) = files(routes, traffic)[envoy_routes.ROUTES_FILE]["resources"]
    return {each["name"]: each for each in configuration["virtual_hosts"]}


def split(routes: RouteTable, traffic: Traffic = AS_IT_COMES) -> tuple[dict[str, Any], dict[str, Any]]:
    """What happens to the clients' requests by gRPC, and to all others: the last two routes."""
    found = hosts(routes, traffic)["traffic"]["routes"]
    (grpc,) = (each for each in found if each["match"] == {"prefix": "/", "grpc": {}})
    assert found[-1]["match"] == {"prefix": "/"}
    return grpc["route"], found[-1]["route"]


def clusters_of(routes: RouteTable) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = files(routes)[envoy_routes.CLUSTERS_FILE]["resources"]
    return found


def weights(route: dict[str, Any]) -> dict[str, int]:
    return {each["name"]: each["weight"] for each in route["weighted_clusters"]["clusters"]}


def test_attached_revisions_get_only_what_is_sent_to_their_own_host() -> None:
    routes = RouteTable(A, (), (B,))
    assert [route["cluster"] for route in split(routes)] == ["fraud-a-grpc", "fraud-a"]
    own = hosts(routes)[B]
    assert own["domains"] == ["fraud-b.modelward.internal"]
    assert [each["route"]["cluster"] for each in own["routes"] if "route" in each] == [
        "fraud-b-check",
        "fraud-b-aside-grpc",
        "fraud-b-aside",
    ]


def test_weights_are_percent_and_the_stable_is_first() -> None:
    grpc, http = split(CANARY)
    assert list(weights(http).items()) == [(A, 75), ("fraud-b-arm", 25)]
    assert list(weights(grpc).items()) == [("fraud-a-grpc", 75), ("fraud-b-arm-grpc", 25)]
    assert list(weights(split(EVERYTHING)[1]).items()) == [(A, 70), ("fraud-b-arm", 25), ("fraud-c-arm", 5)]


def test_every_endpoint_says_which_revision_it_is() -> None:
    named = {}
    for cluster in clusters_of(CANARY):
        for locality in cluster.get("load_assignment", {}).get("endpoints", ()):
            (endpoint,) = locality["lb_endpoints"]
            named[cluster["name"]] = endpoint["metadata"]["filter_metadata"]["modelward"]["revision"]
    assert named == {
        f"{name}{kind}{grpc}": A if kind == "-instead" else name
        for name in (A, B)
        for kind in ("", "-aside", "-instead")
        for grpc in ("", "-grpc")
    }


def test_copies_go_aside_so_that_they_are_not_counted_as_requests() -> None:
    grpc, http = split(EVERYTHING)
    copies = {
        each["cluster"]: each["runtime_fraction"]["default_value"]["numerator"]
        for each in http["request_mirror_policies"]
    }
    assert copies == {"fraud-b-aside": 10, "fraud-d-aside": 50}
    assert [each["cluster"] for each in grpc["request_mirror_policies"]] == ["fraud-b-aside-grpc", "fraud-d-aside-grpc"]


def test_a_shadow_gets_copies_and_nothing_else() -> None:
    shadow = split(RouteTable(A, (Arm("candidate", B, 0, 100),)))[1]
    assert shadow["cluster"] == A
    assert [each["cluster"] for each in shadow["request_mirror_policies"]] == ["fraud-b-aside"]


def test_a_header_match_comes_before_the_weights() -> None:
    routes = hosts(EVERYTHING)["traffic"]["routes"]
    refused, *matched = [each for each in routes if "headers" in each["match"]]
    assert refused["direct_response"]["status"] == 415
    unreachable = ["fraud-a-instead-grpc", "fraud-a-instead"]
    assert [each["route"]["cluster"] for each in matched] == [*unreachable, "fraud-b-arm-grpc", "fraud-b-arm"]
    assert matched[-1]["match"]["headers"] == [{"name": "x-beta", "string_match": {"exact": "1"}}]
    assert routes.index(matched[-1]) < len(routes) - 2


def test_what_could_not_be_reached_is_the_stables_whatever_a_router_calls_it() -> None:
    """The Lua of an earlier router sets the header to 1, and during a rollout its pods are not made anew."""
    present = [{"name": "x-modelward-unreachable", "present_match": True}]
    found = [each for each in hosts(CANARY)["traffic"]["routes"] if each["match"].get("headers") == present]
    assert [each["route"]["cluster"] for each in found] == ["fraud-a-instead-grpc", "fraud-a-instead"]
    assert all("x-modelward-unreachable" in each["request_headers_to_remove"] for each in found)


@pytest.mark.parametrize(
    ("sticky", "policy"),
    [
        (StickyBy(header="x-user"), {"header": {"header_name": "x-user"}}),
        (StickyBy(cookie="user"), {"cookie": {"name": "user"}, "terminal": True}),
    ],
)
def test_users_are_kept_on_their_arm_by_a_hash(sticky: StickyBy, policy: dict[str, Any]) -> None:
    route = split(CANARY, Traffic(sticky_by=sticky))[1]
    assert route["hash_policy"][0] == policy
    assert route["weighted_clusters"]["use_hash_policy"] is True
    assert "use_hash_policy" not in split(CANARY)[1]["weighted_clusters"]


def test_timeout_and_retries_are_those_of_spec() -> None:
    route = split(CANARY, Traffic(timeout="1500ms", retries=1))[1]
    assert (route["timeout"], route["retry_policy"]["num_retries"]) == ("1.5s", 1)


def test_what_pods_tell_the_operator_alone_is_reachable_by_no_host() -> None:
    for name, host in hosts(EVERYTHING).items():
        if name != "config":
            first = host["routes"][0]
            assert "/modelward/.*" in first["match"]["safe_regex"]["regex"]
            assert first["direct_response"]["status"] == 404


def test_every_route_leads_to_a_cluster_of_the_same_configuration() -> None:
    clusters = {each["name"] for each in files(EVERYTHING)[envoy_routes.CLUSTERS_FILE]["resources"]}
    named = set()
    for host in hosts(EVERYTHING).values():
        for route in (each["route"] for each in host["routes"] if "route" in each):
            named |= {route["cluster"]} if "cluster" in route else set(weights(route))
            named |= {each["cluster"] for each in route.get("request_mirror_policies", ())}
    assert named <= clusters
    assert len(clusters) == 9 * len(EVERYTHING.revisions)


def test_only_grpc_goes_to_the_grpc_port() -> None:
    clusters = {each["name"]: each for each in clusters_of(ONLY_A) if "load_assignment" in each}

    def port(name: str) -> int:
        (endpoints,) = clusters[name]["load_assignment"]["endpoints"]
        return int(endpoints["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"])

    assert {name: port(name) for name in clusters} == {
        "fraud-a": 8080, "fraud-a-grpc": 9000, "fraud-a-aside": 8080, "fraud-a-aside-grpc": 9000,
        "fraud-a-instead": 8080, "fraud-a-instead-grpc": 9000,
    }  # fmt: skip


def test_an_arm_that_can_not_be_reached_is_answered_for_by_the_stable() -> None:
    ways = {
        each["name"]: each["cluster_type"]["typed_config"]["clusters"]
        for each in clusters_of(CANARY)
        if "cluster_type" in each
    }
    assert ways == {
        "fraud-a-arm": [A], "fraud-a-arm-grpc": ["fraud-a-grpc"], "fraud-a-check": [A],
        "fraud-b-arm": [B, "fraud-b-instead"], "fraud-b-arm-grpc": ["fraud-b-grpc", "fraud-b-instead-grpc"],
        "fraud-b-check": [B, "fraud-a-aside"],
    }  # fmt: skip


def test_a_promotion_neither_adds_nor_removes_a_cluster() -> None:
    before, after = clusters_of(CANARY), clusters_of(RouteTable(B, (), (A,)))
    assert {each["name"] for each in before} == {each["name"] for each in after}


def version(routes: RouteTable, traffic: Traffic = AS_IT_COMES) -> str:
    return envoy_routes.version_of(routes, traffic, "ml", "cluster.local")


def test_the_configuration_answers_with_its_own_version() -> None:
    answer = hosts(ONLY_A)["config"]["routes"][0]["direct_response"]["body"]["inline_string"]
    assert answer == version(ONLY_A)


def test_another_traffic_is_another_version() -> None:
    different = [
        version(ONLY_A), version(RouteTable(B)), version(RouteTable(A, (), (B,))), version(RouteTable(B, (), (A,))),
        version(CANARY), version(RouteTable(A, (Arm("candidate", B, 26),))), version(EVERYTHING),
        version(CANARY, Traffic(retries=1)), version(CANARY, Traffic(sticky_by=StickyBy(header="x"))),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def test_the_admin_interface_is_on_loopback_only() -> None:
    bootstrap = envoy.bootstrap()
    assert bootstrap["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    (internal,) = [each for each in bootstrap["static_resources"]["listeners"] if each["name"] == "internal"]
    manager = internal["filter_chains"][0]["filters"][0]["typed_config"]
    paths = [route["match"] for route in manager["route_config"]["virtual_hosts"][0]["routes"]]
    assert paths == [{"path": "/stats/prometheus"}, {"path": "/ready"}]


def test_the_pods_never_change_with_the_traffic() -> None:
    assert router.deployment(owner(), PLATFORM) == router.deployment(owner(), PLATFORM)
    assert A not in json.dumps(router.deployment(owner(), PLATFORM))


@pytest.mark.parametrize("routes", [ONLY_A, CANARY, EVERYTHING, OTHERS])
@pytest.mark.parametrize("progress", [None, Progress(B, 2, "Paused", "GateFailed", "too slow", 3)])
def test_routes_and_progress_survive_the_annotation(routes: RouteTable, progress: Progress | None) -> None:
    assert load_routes(dump_routes(routes, "v", progress)) == (routes, "v", progress)


def test_no_spelling_of_a_path_reaches_what_is_private() -> None:
    for listener in envoy.bootstrap()["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        assert manager["normalize_path"]
        assert manager["merge_slashes"]
        assert manager["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
    for host in files(CANARY)[envoy_routes.ROUTES_FILE]["resources"][0]["virtual_hosts"]:
        if host["name"] != "config":
            first = host["routes"][0]
            pattern = re.compile(first["match"]["safe_regex"]["regex"])
            assert first["direct_response"]["status"] == 404
            assert all(map(pattern.fullmatch, ("/metrics", "/metrics/", "/modelward/samples")))
            assert not any(map(pattern.fullmatch, ("/v2/models/m/infer", "/metricsx", "/v2/modelward/x")))


def test_another_server_is_asked_whether_it_is_ready_by_its_own_path() -> None:
    def rewrites(revision: str) -> list[str | None]:
        found = hosts(OTHERS)[revision]["routes"]
        ready = [each for each in found if each["match"].get("path") == "/v2/health/ready"]
        return [each["route"].get("prefix_rewrite") for each in ready]

    assert (rewrites(A), rewrites(B)) == ([None], ["/healthz"])


def test_what_another_server_hides_nobody_reaches_whichever_revision_answers() -> None:
    for host in (hosts(OTHERS)["traffic"], hosts(OTHERS)[A], hosts(OTHERS)[B]):
        refused = [each for each in host["routes"] if each.get("direct_response", {}).get("status") == 404]
        plain, parts = (each["match"] for each in refused[1:3])
        assert plain == {"path_separated_prefix": "/v2/repository"}
        pattern = re.compile(parts["safe_regex"]["regex"])
        assert all(map(pattern.fullmatch, ("/v2/models/fraud/trace", "/v2/models/fraud/trace/setting")))
        assert not any(map(pattern.fullmatch, ("/v2/models/fraud/infer", "/v2/models/a/b/trace")))


def test_another_server_is_asked_whether_it_lives_by_its_own_path_and_ours_as_before() -> None:
    def contexts(routes: RouteTable) -> list[dict[str, Any]]:
        clusters = split(routes)[1]["weighted_clusters"]["clusters"]
        asked = [each["typed_per_filter_config"]["ask"] for each in clusters if "typed_per_filter_config" in each]
        return [each["filter_context"] for each in asked]

    assert [each.get("live") for each in contexts(OTHERS)] == ["/livez"]
    assert [each.get("live") for each in contexts(CANARY)] == [None]


def test_outcomes_are_our_own_servers_alone() -> None:
    def has_them(routes: RouteTable) -> bool:
        return any("outcomes" in str(each["match"]) for each in hosts(routes)["traffic"]["routes"])

    assert has_them(OTHERS)
    assert not has_them(RouteTable(B, runtimes=((B, RUNTIME),)))
