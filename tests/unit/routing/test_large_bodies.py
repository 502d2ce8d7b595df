"""What a router does with large bodies, by a real Envoy: the stable answers where a candidate can't be reached, and
slow uploads take little memory."""

import asyncio
import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import aiohttp
import grpc
import pytest

import uploads
from builders import pod
from live_envoy import LiveEnvoy
from modelward.api.names import GRPC_PORT
from modelward.api.traffic import StickyBy, Traffic
from modelward.facts import Arm, Match, RouteTable
from modelward.rollouts.evidence.scrape import Scraper
from modelward.rollouts.evidence.tally import Counts
from modelward.routing.envoy import reachable
from modelward.routing.envoy import routes as envoy_routes
from modelward.runtimes.runtime import MODELWARD
from threaded import answering
from uploads import Reader

STABLE, CANDIDATE = "fraud-a", "fraud-b"
CANARY = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 50),))
DEADLINE = 60.0


@pytest.fixture
def stable() -> Iterator[Reader]:
    with answering(Reader()) as server:
        yield server


def refusing(stack: ExitStack) -> int:
    """A port where nobody listens, and nobody else comes to."""
    taken = stack.enter_context(socket.socket())
    taken.bind(("127.0.0.1", 0))
    return int(taken.getsockname()[1])


def silent(stack: ExitStack) -> int:
    """A port that answers no SYN any more: its queue is full."""
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(4):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
    return int(listener.getsockname()[1])


def evidence(live: LiveEnvoy) -> Mapping[str, Counts]:
    """What the operator takes of the router's counters."""

    async def look() -> Mapping[str, Counts]:
        async with aiohttp.ClientSession() as session:
            scraper = Scraper(session, router_port=live.admin_port)
            router = pod("router", ip="127.0.0.1")
            counted = (await scraper.routers([router], STABLE, CANDIDATE, None))[router.uid]
            return {revision: counts.own() for revision, counts in counted.items()}

    return asyncio.run(look())


def ask(port: int, size: int, *, chunked: bool = False, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    body = iter([b" " * size]) if chunked else b" " * size
    try:
        connection.request("POST", uploads.PATH, body, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionError:
        return 0, "reset while the body was on its way"
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("size", "chunked"),
    [(100, False), (envoy_routes.RETRIED_BODY, False), (8 << 20, False), (8 << 20, True)],
    ids=["small", "just kept", "large", "chunked"],
)
@pytest.mark.parametrize("dead", [refusing, silent])
def test_the_stable_answers_for_a_candidate_that_cannot_be_reached(
    tmp_path: Path, program: Path, stable: Reader, dead: Callable[[ExitStack], int], size: int, chunked: bool
) -> None:
    with ExitStack() as stack:
        ports = {STABLE: stable.server_port, CANDIDATE: dead(stack)}
        live = LiveEnvoy(tmp_path, program, CANARY, Traffic(), ports, timeout=DEADLINE)
        stack.callback(live.close)
        with ThreadPoolExecutor(4) as threads:
            answers = Counter(threads.map(lambda _: ask(live.ports["traffic"], size, chunked=chunked), range(32)))
        counts = evidence(live)
    assert answers == {(200, str(size)): 32}
    lost = counts.get(CANDIDATE, Counts())
    assert lost.requests == lost.errors, "what was tried is the candidate's failure, and nothing is its success"
    assert lost.errors > 0 or size > envoy_routes.RETRIED_BODY, "large ones are not tried before it was reached"
    assert counts.get(STABLE, Counts()).requests < 32, "what was the candidate's is no success of the stable's"


ALL_TO_IT = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 100),))
MATCHED = RouteTable(STABLE, matches=(Match("x-beta", "1", CANDIDATE),), attached=(CANDIDATE,))


@pytest.mark.parametrize("routes", [ALL_TO_IT, MATCHED], ids=["all", "matched"])
def test_a_candidate_that_lives_is_asked_before_large_bodies_alone(
    tmp_path: Path, program: Path, stable: Reader, routes: RouteTable
) -> None:
    """Nothing of that is counted as a request of clients, and nobody can have himself led to the stable."""
    sizes = (100, envoy_routes.RETRIED_BODY, envoy_routes.RETRIED_BODY + 1, 8 << 20)
    with ExitStack() as stack:
        candidate = stack.enter_context(answering(Reader()))
        ports = {STABLE: stable.server_port, CANDIDATE: candidate.server_port}
        live = LiveEnvoy(tmp_path, program, routes, Traffic(), ports, timeout=DEADLINE)
        stack.callback(live.close)
        headers = {"x-beta": "1", reachable.HEADER: "1"}
        assert [ask(live.ports["traffic"], size, **headers) for size in sizes] == [(200, str(size)) for size in sizes]
        assert live.counter(f"cluster.{CANDIDATE}{envoy_routes.ARM}.upstream_rq_2xx") == len(sizes)
    assert [path for path, _ in candidate.asked] == [
        uploads.PATH, uploads.PATH, MODELWARD.live, uploads.PATH, MODELWARD.live, uploads.PATH,
    ]  # fmt: skip
    assert not stable.asked
    assert all(reachable.HEADER not in headers for _, headers in candidate.asked)


def test_a_candidate_that_connects_and_does_not_answer_is_judged_by_that(
    tmp_path: Path, program: Path, stable: Reader
) -> None:
    """The stable does not stand in for it: nobody would see what it does to clients."""
    with ExitStack() as stack:
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        ports = {STABLE: stable.server_port, CANDIDATE: int(mute.getsockname()[1])}
        live = LiveEnvoy(tmp_path, program, ALL_TO_IT, Traffic(timeout="1s"), ports, timeout=DEADLINE)
        stack.callback(live.close)
        assert ask(live.ports["traffic"], envoy_routes.RETRIED_BODY + 1)[0] == 504
        assert live.counter(f"cluster.{CANDIDATE}{envoy_routes.ARM}.upstream_rq_5xx") == 1
    assert not stable.asked


def test_a_model_is_not_told_that_it_stands_in(tmp_path: Path, program: Path, stable: Reader) -> None:
    with ExitStack() as stack:
        ports = {STABLE: stable.server_port, CANDIDATE: silent(stack)}
        traffic = Traffic(StickyBy(header="x-user"))
        live = LiveEnvoy(tmp_path, program, ALL_TO_IT, traffic, ports, timeout=DEADLINE)
        stack.callback(live.close)
        forged = {envoy_routes.USERS_HEADER: "matched"}
        assert ask(live.ports["traffic"], 8 << 20, **forged) == (200, str(8 << 20))
    ((_, headers),) = stable.asked
    assert not {reachable.HEADER, envoy_routes.USERS_HEADER} & {name.lower() for name in headers}


def call(port: int, calls: int, size: int) -> int:
    """How many of so many calls of gRPC were answered."""
    own = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=own) as channel:
        method = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
        return sum(method(iter([b" " * size]), timeout=DEADLINE) == b"" for _ in range(calls))


@pytest.mark.parametrize("dead", [refusing, silent])
def test_the_stable_answers_large_calls_of_grpc_too(
    tmp_path: Path, program: Path, dead: Callable[[ExitStack], int]
) -> None:
    with ExitStack() as stack:
        port, received = stack.enter_context(uploads.reading(by_grpc=True, at_once=4))
        ports = {STABLE: port, CANDIDATE: dead(stack)}
        live = LiveEnvoy(tmp_path, program, CANARY, Traffic(), ports, timeout=DEADLINE)
        stack.callback(live.close)
        with ThreadPoolExecutor(4) as threads:
            assert sum(threads.map(lambda _: call(live.ports["traffic"], 8, 2_000_000), range(4))) == 32
        counts = evidence(live)
        assert counts.get(STABLE, Counts()).requests < 32
        assert received.total == 64_000_000


def test_a_candidate_that_lives_is_not_asked_before_each_call_of_grpc(tmp_path: Path, program: Path) -> None:
    with ExitStack() as stack:
        port, received = stack.enter_context(uploads.reading(by_grpc=True, at_once=4))
        candidate = stack.enter_context(answering(Reader()))
        ports = {STABLE: refusing(stack), CANDIDATE: candidate.server_port, f"{CANDIDATE}:{GRPC_PORT}": port}
        live = LiveEnvoy(tmp_path, program, ALL_TO_IT, Traffic(), ports, timeout=DEADLINE)
        stack.callback(live.close)
        assert call(live.ports["traffic"], 100, 1000) == 100
        assert 1 <= len(candidate.asked) < 100
        assert received.total == 100_000


CLIENTS, SENT = 100, 1_000_000


@pytest.mark.parametrize("routes", [RouteTable(STABLE), CANARY], ids=["stable", "canary"])
@pytest.mark.parametrize(
    ("begin", "sent", "size"),
    [
        (uploads.declared, SENT, 3 * SENT),
        (uploads.declared, envoy_routes.RETRIED_BODY - 1, envoy_routes.RETRIED_BODY),
        (uploads.chunked, SENT, 3 * SENT),
        (uploads.http2, SENT, 3 * SENT),
        (uploads.by_grpc, SENT, 3 * SENT),
    ],
    ids=["declared", "just kept", "chunked", "HTTP/2", "gRPC"],
)
def test_slow_uploads_take_little_memory(
    tmp_path: Path, program: Path, routes: RouteTable, begin: uploads.Begin, sent: int, size: int
) -> None:
    """Each client has sent a part that has come through, and waits."""
    with ExitStack() as stack:
        by_grpc = begin is uploads.by_grpc
        port, received = stack.enter_context(uploads.reading(by_grpc=by_grpc, at_once=CLIENTS))
        live = LiveEnvoy(tmp_path, program, routes, Traffic(), dict.fromkeys((STABLE, CANDIDATE), port))
        stack.callback(live.close)
        before = live.resident()
        for _ in range(CLIENTS):
            begin(stack, live.ports["traffic"], sent, size)
        received.wait(CLIENTS * sent)
        assert live.active() == CLIENTS
        assert live.resident() - before < CLIENTS * 500_000


@pytest.mark.parametrize(
    "begin", [uploads.declared, uploads.chunked, uploads.http2], ids=["declared", "chunked", "HTTP/2"]
)
def test_however_many_there_are_a_router_stays_below_its_limit_and_answers(
    tmp_path: Path, program: Path, stable: Reader, begin: uploads.Begin
) -> None:
    """They would take more than its memory: some are ended, and when they have gone all is as before."""
    memory, sent = 160 << 20, envoy_routes.RETRIED_BODY - 1
    with ExitStack() as stack:
        live = LiveEnvoy(
            tmp_path,
            program,
            RouteTable(STABLE),
            Traffic(),
            {STABLE: stable.server_port},
            timeout=DEADLINE,
            memory=memory,
        )
        stack.callback(live.close)
        with ExitStack() as clients:
            for _ in range(memory // sent):
                before = stable.received.total
                with suppress(ConnectionError):
                    ended = begin(clients, live.ports["traffic"], sent, sent + 1)
                    stable.received.wait(before + sent, otherwise=ended)
                assert live.resident() < memory
        end = time.monotonic() + DEADLINE
        while ask(live.ports["traffic"], 100) != (200, "100"):
            assert time.monotonic() < end, "nobody is served any more"
            threading.Event().wait(0.05)
