"""What pods are told of a request's arm: by a real Envoy, and as the Gateway API has it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api.modeldeployment import Gateway, Monitor, ParentReference, PredictionLog, Router
from modelward.api.traffic import Traffic
from modelward.facts import Arm, Match, RouteTable
from modelward.routing import arms
from modelward.routing.envoy import objects, routes
from modelward.routing.gateway import route as gateway
from modelward_inference.protocol import origin

from .test_live_envoy import CANDIDATE, STABLE, Live

LOG: Any = {"prediction_log": PredictionLog("s3://lake/log"), "monitor": Monitor()}


@contextlib.contextmanager
def living(folder: Path, program: Path, table: RouteTable) -> Iterator[Live]:
    live = Live(folder, program, Traffic(), table, tell_arms=True)
    try:
        yield live
    finally:
        live.close()


def arm(headers: dict[str, str], revision: str) -> str:
    """As the server reads it."""
    return origin.arm_of(headers.get(arms.HEADER, ""), revision)


def test_the_header_is_the_servers() -> None:
    assert arms.HEADER == origin.ARMS_HEADER


def test_a_request_is_of_the_stable_and_its_copy_is_a_shadow(tmp_path: Path, program: Path) -> None:
    table = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 0, 100),))
    with living(tmp_path, program, table) as live:
        live.ask("traffic", **{arms.HEADER: f"{STABLE}=candidate"})
        (asked,), (copied,) = live.seen(STABLE, 1), live.seen(CANDIDATE, 1)
        assert (arm(asked, STABLE), arm(copied, CANDIDATE)) == ("stable", "shadow")
        assert asked["x-request-id"] == copied["x-request-id"]


def test_who_gets_requests_and_copies_can_tell_them_apart(tmp_path: Path, program: Path) -> None:
    table = RouteTable(STABLE, (Arm("b", CANDIDATE, 50, 100),), matches=(Match("x-arm", "b", CANDIDATE),))
    with living(tmp_path, program, table) as live:
        live.ask("traffic", **{"x-arm": "b"})
        assert [arm(each, CANDIDATE) for each in live.seen(CANDIDATE, 1)] == ["variant"]
        for _ in range(20):
            live.ask("traffic")
        stable = live.seen(STABLE, 1)
        own = 20 - len(stable)
        copies = [each for each in live.seen(CANDIDATE, 1 + own + 20) if arm(each, CANDIDATE) == "shadow"]
        assert {arm(each, STABLE) for each in stable} == {"stable"}
        assert {each["x-request-id"] for each in stable} <= {each["x-request-id"] for each in copies}


def test_the_stable_that_stands_in_is_the_stable(tmp_path: Path, program: Path) -> None:
    table = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 100),))
    with living(tmp_path, program, table) as live:
        live.upstreams[CANDIDATE].shutdown()
        live.upstreams[CANDIDATE].server_close()
        live.ask("traffic")
        assert [arm(each, STABLE) for each in live.seen(STABLE, 1)] == ["stable"]


def test_who_is_asked_by_its_name_is_of_no_arm(tmp_path: Path, program: Path) -> None:
    with living(tmp_path, program, RouteTable(STABLE, (Arm("candidate", CANDIDATE, 10),))) as live:
        live.ask("inside", host=routes.revision_host(CANDIDATE), **{arms.HEADER: f"{CANDIDATE}=candidate"})
        assert [arm(each, CANDIDATE) for each in live.seen(CANDIDATE, 1)] == ["direct"]


@pytest.mark.parametrize(
    ("arm", "matches", "own", "gateways"),
    [
        (Arm("candidate", "b", 10), (), "a=stable,b=candidate", "a=stable,b=candidate"),
        (Arm("x", "b", 10), (), "a=stable,b=variant", "a=stable,b=variant"),
        (Arm("candidate", "b", 0, 50), (), "a=stable,b=candidate", "a=stable,b=shadow"),
        (Arm("x", "b", 0, 50), (Match("h", "v", "b"),), "a=stable,b=variant", "a=stable,b=variant"),
    ],
)
def test_the_split_in_words(arm: Arm, matches: tuple[Match, ...], own: str, gateways: str) -> None:
    table = RouteTable("a", (arm,), matches=matches)
    assert (arms.told(table, marks_copies=True), arms.told(table, marks_copies=False)) == (own, gateways)


def test_only_a_model_whose_pods_remember_it_has_another_configuration() -> None:
    table = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 10, 5),))
    plain = owner()
    assert arms.HEADER not in str(list(objects.config_map(plain, PLATFORM, table)["data"].values()))
    for remembering in (owner(monitor=Monitor()), owner(**LOG)):
        assert objects.version_of(plain, PLATFORM, table) != objects.version_of(remembering, PLATFORM, table)
        assert arms.HEADER in str(list(objects.config_map(remembering, PLATFORM, table)["data"].values()))


def test_a_gateway_sets_it_and_nothing_at_a_single_backend() -> None:
    by = Router(gateway=Gateway((ParentReference("public"),)))
    table = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 10, 5),))
    (made,) = gateway.manifests(owner(router=by, **LOG), PLATFORM, table, None)
    for rule in made["spec"]["rules"]:
        header, mirror = rule["filters"]
        value = f"{STABLE}=stable,{CANDIDATE}=candidate"
        assert header["requestHeaderModifier"] == {"set": [{"name": arms.HEADER, "value": value}]}
        assert mirror["type"] == "RequestMirror"
        assert all("filters" not in backend for backend in rule["backendRefs"])
    (plain,) = gateway.manifests(owner(router=by), PLATFORM, table, None)
    assert arms.HEADER not in str(plain)
