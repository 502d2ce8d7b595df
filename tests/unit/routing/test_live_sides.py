"""A real Envoy: which side answers a visitor, that it stays the same, and that the answer says so."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from modelward.api.traffic import HeaderMatch, StickyBy, Traffic
from modelward.facts import Arm, Match, RouteTable
from modelward.routing.envoy.routes import REVISION_HEADER, USERS_HEADER

from .test_live_envoy import CANDIDATE, INFER, STABLE, Live

HALF = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 50),))


@pytest.fixture
def live(tmp_path: Path, program: Path) -> Iterator[Live]:
    made = Live(tmp_path, program, Traffic(sticky_by=StickyBy(cookie="visitor")), HALF)
    yield made
    made.close()


def test_a_visitor_without_the_cookie_gets_one_and_stays_on_the_side_of_the_first_answer(live: Live) -> None:
    sides = set()
    for _ in range(12):
        first = live.ask("traffic", cookie="theme=dark; visitor=; other=1")
        cookie = SimpleCookie(first.headers["set-cookie"])["visitor"]
        assert (cookie["path"], cookie["httponly"], cookie["max-age"]) == ("/", True, "")
        sides.add(first.headers[REVISION_HEADER])
        for before in ("", "theme=dark; ", "theme=dark;"):
            again = live.ask("traffic", cookie=f"{before}visitor={cookie.value}; other=1")
            assert again.headers[REVISION_HEADER] == first.headers[REVISION_HEADER]
            assert "set-cookie" not in again.headers
    assert sides == {STABLE, CANDIDATE}


def test_a_cookie_of_the_app_is_left_alone(live: Live) -> None:
    answers = [live.ask("traffic", cookie="visitor=anna") for _ in range(8)]
    assert len({answer.headers[REVISION_HEADER] for answer in answers}) == 1
    assert not any("set-cookie" in answer.headers for answer in answers)


def test_an_answer_names_the_side_that_gave_it(live: Live) -> None:
    live.upstreams[CANDIDATE].shutdown()
    live.upstreams[CANDIDATE].server_close()
    answers = [live.ask("traffic") for _ in range(12)]
    assert {(answer.status, answer.headers[REVISION_HEADER]) for answer in answers} == {(200, STABLE)}


def test_an_error_of_the_routers_own_names_no_side(live: Live) -> None:
    for upstream in live.upstreams.values():
        upstream.shutdown()
        upstream.server_close()
    answer = live.ask("traffic")
    assert answer.status == 503
    assert answer.headers.get(REVISION_HEADER) in (None, STABLE, CANDIDATE), "of what was tried last, at most"


@pytest.mark.parametrize("head", ["", "Host: fraud.ml.svc\r\n"])
def test_clients_of_http_1_0_are_served(live: Live, head: str) -> None:
    with socket.create_connection(("127.0.0.1", live.ports["traffic"]), timeout=10) as client:
        client.sendall(f"GET {INFER} HTTP/1.0\r\n{head}\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.0 200")
    assert answer.endswith(b"ok")


@pytest.mark.parametrize(
    ("traffic", "split", "matched"),
    [
        (Traffic(StickyBy(header="X-User"), (HeaderMatch("x-beta", "1"),)), "header:x-user", "matched"),
        (Traffic(StickyBy(cookie="visitor")), "cookie:visitor", "cookie:visitor"),
        (Traffic(match=(HeaderMatch("x-beta", "1"),)), "request", "matched"),
        (Traffic(), "forged", "forged"),
    ],
)  # fmt: skip
def test_pods_are_told_where_a_request_names_its_user_and_clients_cannot_say_so(
    tmp_path: Path, program: Path, traffic: Traffic, split: str, matched: str
) -> None:
    """Without stickiness nobody asks the pods, so nothing is taken away there."""
    matches = tuple(Match(each.header, each.value, CANDIDATE) for each in traffic.match)
    live = Live(tmp_path, program, traffic, replace(HALF, matches=matches))
    try:
        for beta, expected in (("", split), ("1", matched)):
            for upstream in live.upstreams.values():
                upstream.seen.clear()
            for _ in range(6):
                assert live.ask("traffic", x_beta=beta, x_modelward_users="forged").status == 200
            told = [headers[USERS_HEADER] for upstream in live.upstreams.values() for headers in upstream.seen]
            assert told == [expected] * 6
    finally:
        live.close()
