"""The operator reads a pod's answer only where this pod proves that it gave it, to this very request."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from builders import container
from modelward import telemetry
from modelward.kube.cache import Cache
from modelward.kube.resources import PODS
from modelward.monitoring.client import Answer, Monitors
from modelward.net.body import open_session
from modelward.net.credentials import Credentials, NoCredentialError
from modelward.net.pods import AT_ONCE_BYTES
from modelward.revisions.observed.workloads import pod_facts
from modelward.rollouts.evidence.scrape import Scraper
from modelward_auth import keys, messages
from modelward_auth.keys import Agreement, KeyPair
from modelward_auth.messages import MONITOR, PROOF
from operatoraccess import OPERATOR, STRANGER, Access, credentials

Answering = Callable[[web.Request, str], web.Response]
BODY = b'{"digest": "sha256:x"}'
UNPROVEN = Answer(problem="what answers at its address does not prove that it is this pod")


class Pod:
    """Something at the pod's address, which has the pod's key. `answer`: from a request and its signature."""

    def __init__(self, folder: Path) -> None:
        self.access = Access(folder)
        self.asked: list[str | None] = []
        self.port = 0
        self.answer: Answering = lambda _, mac: self.proven(BODY, mac)

    async def handle(self, request: web.Request) -> web.Response:
        header = request.headers.get(messages.HEADER)
        self.asked.append(header)
        claim = messages.claim(header or "")
        return self.answer(request, claim.mac if claim else "")

    def proven(self, body: bytes, mac: str, status: int = 200, said: bytes | None = None) -> web.Response:
        """`said`: another body than the one that is proven."""
        proof = messages.proof(self.access.session(), mac, status, body)
        return web.Response(body=said if said is not None else body, status=status, headers={PROOF: proof})


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    made = Pod(tmp_path)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        made.port = server.port or 0
        yield made


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as made:
        yield made


async def test_a_proven_answer_is_read(pod: Pod, session: aiohttp.ClientSession) -> None:
    client = Monitors(session, pod.port, credentials())
    for size in (0, AT_ONCE_BYTES):
        body = BODY + b" " * size
        pod.answer = lambda _, mac, body=body: pod.proven(body, mac)  # type: ignore[misc]
        assert (await client.counts(pod.access.facts())).content == {"digest": "sha256:x"}


UNPROVEN_ANSWERS: dict[str, Callable[[Pod, str], web.Response]] = {
    "no proof": lambda _, __: web.Response(body=BODY),
    "another body": lambda pod, mac: pod.proven(b"{}", mac, said=BODY),
    "another status": lambda pod, mac: web.Response(
        body=BODY, headers={PROOF: messages.proof(pod.access.session(), mac, 503, BODY)}
    ),
    "the answer to another request": lambda pod, _: pod.proven(BODY, "0" * 64),
    "the request's own signature": lambda _, mac: web.Response(body=BODY, headers={PROOF: f"v1 {mac}"}),
    "an empty proof": lambda _, __: web.Response(body=BODY, headers={PROOF: ""}),
    "proven by whom it does not know": lambda pod, mac: web.Response(
        body=BODY, headers={PROOF: messages.proof(pod.access.session(STRANGER), mac, 200, BODY)}
    ),
    "a large one": lambda _, __: web.Response(body=BODY + b" " * AT_ONCE_BYTES),
}


@pytest.mark.parametrize("case", UNPROVEN_ANSWERS)
async def test_what_does_not_prove_that_it_is_the_pod_is_not_read(
    pod: Pod, session: aiohttp.ClientSession, case: str
) -> None:
    pod.answer = lambda _, mac: UNPROVEN_ANSWERS[case](pod, mac)
    assert await Monitors(session, pod.port, credentials()).counts(pod.access.facts()) == UNPROVEN
    scraper = Scraper(session, pod.port, pod.port, credentials())
    assert await scraper.servers({"a": [pod.access.facts()]}, None) == {}
    assert await scraper.samples(pod.access.facts(), 0) is None


async def test_an_answer_that_was_seen_before_is_not_read_again(pod: Pod, session: aiohttp.ClientSession) -> None:
    client = Monitors(session, pod.port, credentials())
    first: list[str] = []

    def kept(_: web.Request, mac: str) -> web.Response:
        first.append(mac)
        return pod.proven(BODY, first[0])

    pod.answer = kept
    assert (await client.counts(pod.access.facts())).content is not None
    assert await client.counts(pod.access.facts()) == UNPROVEN


async def test_another_pod_at_the_same_address_is_not_taken_for_this_one(
    pod: Pod, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    gone = Access(tmp_path / "gone", "pod-1")
    assert await Monitors(session, pod.port, credentials()).counts(gone.facts()) == UNPROVEN


async def test_a_refusal_is_told_in_its_words_and_the_pod_is_asked_again(
    pod: Pod, session: aiohttp.ClientSession
) -> None:
    client = Monitors(session, pod.port, credentials())
    pod.answer = lambda _, __: web.Response(status=401, body=b'{"error": "not yet"}')
    assert await client.counts(pod.access.facts()) == Answer(problem="it refuses the operator: not yet")
    pod.answer = lambda _, __: web.Response(status=401, body=b"[")
    assert await client.counts(pod.access.facts()) == Answer(problem="it refuses the operator: it does not say why")
    for early in (True, False, "yes"):
        said = json.dumps({"error": "it begins", "early": early})
        pod.answer = lambda _, __, said=said: web.Response(status=401, text=said)  # type: ignore[misc]
        told = Answer() if early is True else Answer(problem="it refuses the operator: it begins")
        assert await client.counts(pod.access.facts()) == told
    pod.answer = lambda _, mac: pod.proven(BODY, mac)
    assert (await client.counts(pod.access.facts())).content is not None


async def test_a_pod_of_an_earlier_version_is_read_unsigned_and_that_is_told(
    pod: Pod, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    pod.answer = lambda _, __: web.Response(body=BODY)
    client = Monitors(session, pod.port, credentials())
    before = telemetry.POD_REQUESTS.labels("none")._value.get()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert (await client.counts(pod.access.facts(key=None))).content is not None
    assert pod.asked == [None] * 3
    assert [each.getMessage() for each in caplog.records] == [
        "ml/one was made by an earlier version: it is asked without a signature until its model rolls out anew"
    ]
    assert telemetry.POD_REQUESTS.labels("none")._value.get() == before + 3


async def test_a_pod_that_should_have_a_key_is_never_asked_unsigned(pod: Pod, session: aiohttp.ClientSession) -> None:
    client = Monitors(session, pod.port, credentials())
    told = {
        "no key": (await client.counts(pod.access.facts(key=""))).problem,
        "none that can be read": (await client.counts(pod.access.facts(key="AAAA"))).problem,
        "an operator without a key": (
            await Monitors(session, pod.port, credentials(None)).counts(pod.access.facts())
        ).problem,
    }
    assert told == {
        "no key": "its download announced no key; run operator and pods of the same version",
        "none that can be read": "the key that it announced is none",
        "an operator without a key": "the operator has no key to ask it with; see the operator's log",
    }
    begins = pod.access.facts(key="", containers=(container("download", exit_code=None),))
    assert await client.counts(begins) == Answer(), "it only begins"
    assert pod.asked == []


async def test_routers_are_asked_as_before(pod: Pod, session: aiohttp.ClientSession) -> None:
    pod.answer = lambda _, __: web.Response(text="")
    assert await Scraper(session, pod.port, pod.port).routers([pod.access.facts(key=None)], "a", "b", None)
    assert pod.asked == [None]


def test_a_key_that_follows_is_signed_with_at_once(tmp_path: Path) -> None:
    access, signing = Access(tmp_path), [OPERATOR]
    made = Credentials(lambda: signing[0], time.time)
    for operator in (OPERATOR, STRANGER, OPERATOR):
        signing[0] = operator
        signed = made.sign(access.facts(), MONITOR, "GET", "/x", b"")
        assert signed is not None
        assert f"key={operator.identifier}" in signed.header
        claim = messages.claim(signed.header)
        assert claim is not None
        assert signed.proves(200, b"", messages.proof(access.session(operator), claim.mac, 200, b""))


def test_an_agreement_is_computed_once_for_each_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access, made = Access(tmp_path), credentials()
    made.sign(access.facts(), MONITOR, "GET", "/x", b"")
    monkeypatch.setattr(keys, "parsed", None)
    assert made.sign(access.facts(), MONITOR, "GET", "/x", b"") is not None
    with pytest.raises(TypeError):
        made.sign(access.facts(uid="pod-2"), MONITOR, "GET", "/x", b"")


async def test_agreements_are_computed_beside_the_loop_and_once_for_all_who_ask(
    pod: Pod, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the loop, those of many new pods would use up the time of the pods that are asked already."""
    threads: list[int] = []
    compute = Agreement.with_

    def watched(self: Agreement, public: bytes) -> bytes:
        threads.append(threading.get_ident())
        return compute(self, public)

    monkeypatch.setattr(Agreement, "with_", watched)
    client = Monitors(session, pod.port, credentials())
    answers = await asyncio.gather(*(client.counts(pod.access.facts()) for _ in range(5)))
    assert all(each.content is not None for each in answers)
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_no_key_of_a_pod_is_used_without_a_look(tmp_path: Path) -> None:
    weak = keys.shown((keys.P - 1).to_bytes(keys.BYTES, "big"))
    with pytest.raises(NoCredentialError, match="the key that it announced is none"):
        credentials().sign(Access(tmp_path).facts(key=weak), MONITOR, "GET", "/x", b"")


REPORT = '{"reason": "Downloaded", "digest": "sha256:a", "key": "PUBLIC"}'


@pytest.mark.parametrize(
    ("volumes", "message", "code", "key"),
    [
        (["bundle"], REPORT, 0, None),
        (["bundle", "identity"], REPORT, 0, "PUBLIC"),
        (["identity"], REPORT, 1, ""),
        (["identity"], '{"digest": "sha256:a"}', 0, ""),
        (["identity"], '{"key": 7}', 0, ""),
        (["identity"], "[", 0, ""),
        (["identity"], REPORT, None, ""),
    ],
)
def test_a_pod_s_key_is_what_its_download_left_and_its_spec_says_whether_it_has_one(
    volumes: list[str], message: str, code: int | None, key: str | None
) -> None:
    ended = {"terminated": {"exitCode": code, "message": message}} if code is not None else {"running": {}}
    body = {
        "metadata": {"name": "a", "namespace": "ml", "uid": "u", "resourceVersion": "1", "labels": {}},
        "spec": {"volumes": [{"name": each} for each in volumes]},
        "status": {"initContainerStatuses": [{"name": "download", "state": ended}]},
    }
    cache = Cache()
    cache.upsert(PODS, body)
    kept = cache.get(PODS, "ml", "a")
    assert kept is not None
    for seen in (body, kept):
        assert (pod_facts(seen).key, pod_facts(seen).namespace) == (key, "ml")


def test_what_loads_the_model_announces_nothing() -> None:
    said = {"terminated": {"exitCode": 0, "message": REPORT}}
    body = {
        "metadata": {"name": "a", "namespace": "ml", "uid": "u"},
        "spec": {"volumes": [{"name": "identity"}]},
        "status": {
            "initContainerStatuses": [{"name": "compile", "state": said}, {"name": "monitor", "state": said}],
            "containerStatuses": [{"name": "server", "state": said}],
        },
    }
    assert pod_facts(body).key == ""


def test_no_session_is_another_pods(tmp_path: Path) -> None:
    sessions = set()
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        access = Access(folder)
        sessions |= {access.session(), access.session(STRANGER), access.session(KeyPair.of((1 << 287) + number))}
    assert len(sessions) == 9
    assert len({part for each in sessions for part in (each.request, each.answer)}) == 18
