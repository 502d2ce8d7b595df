"""Whoever reaches a model's pods and is not the operator, and whoever answers in a pod's place.

The victims are a real monitor and a real server that know their operator, and the operator's own clients. Those on the
way see everything: requests are kept, changed and sent again.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from attack.attack import attack, folder
from attack.pods import _serving
from modelward.monitoring.client import Monitors
from modelward.net.body import open_session
from modelward.rollouts.evidence.scrape import Scraper
from modelward_auth import messages
from modelward_auth.messages import MONITOR, SERVER
from modelward_auth.verifier import AHEAD
from operatoraccess import STRANGER, Access, credentials, raw
from unit.inference.processes import ServerProcess
from unit.monitor.worlds import DEADLINE, POLL, MonitorProcess, batch, reference, send, write_bundle

SOON = AHEAD / 1000 - 0.5


@dataclass
class Pod:
    """`monitor` learns still, and has counted 30 rows; `other`: a pod of another model that was taken over."""

    access: Access
    other: Access
    monitor: MonitorProcess
    server: int

    def header(self, process: str, method: str, target: str, body: bytes, **more: Any) -> str:
        return self.access.header(process, method, target, body, **{"seconds": SOON, **more})


@contextmanager
def victim(path: Path) -> Iterator[Pod]:
    for name in ("pod", "other", "server"):
        (path / name).mkdir()
    access, other = Access(path / "pod"), Access(path / "other", "pod-2")
    with ExitStack() as stack:
        write_bundle(path / "pod", None)
        monitor = stack.enter_context(
            MonitorProcess(path / "pod", **access.environment, MONITOR_FAREWELL_SECONDS="3600")
        )
        server = stack.enter_context(ServerProcess(path / "server", **access.environment))
        send(monitor.socket, batch(1, 30))
        pod = Pod(access, other, monitor, server.port)
        _until_asked(pod)
        yield pod


def _until_asked(pod: Pod) -> None:
    for process, port, target in ((MONITOR, pod.monitor.port, COUNTS), (SERVER, pod.server, SAMPLES)):
        end = time.monotonic() + DEADLINE
        while b"older than" in asyncio.run(raw(port, "GET", target, pod.header(process, "GET", target, b"")))[1]:
            assert time.monotonic() < end
            time.sleep(POLL)


COUNTS, REFERENCE, SAMPLES, FAREWELL = "/v1/counts", "/v1/reference", "/modelward/samples?after=0", "/v1/counts?final=1"
PLANTED = json.dumps(reference(seed=9).to_dict()).encode()
AIMS: dict[str, tuple[str, str, str, bytes]] = {
    "counts": (MONITOR, "GET", COUNTS, b""),
    "the farewell": (MONITOR, "GET", FAREWELL, b""),
    "the reference": (MONITOR, "GET", REFERENCE, b""),
    "a reference of his own": (MONITOR, "PUT", REFERENCE, PLANTED),
    "samples": (SERVER, "GET", SAMPLES, b""),
}

Forge = Callable[[Pod, str, str, str, bytes], str | None]


def _used(pod: Pod, process: str, method: str, target: str, body: bytes) -> str:
    """The operator's own request, after it was answered; it was to do no harm by itself."""
    port = pod.server if process == SERVER else pod.monitor.port
    target = COUNTS if target == FAREWELL else target
    body = b"{}" if body else body
    header = pod.header(process, method, target, body)
    asyncio.run(raw(port, method, target, header, body))
    return header


FORGERIES: dict[str, Forge] = {
    "no header": lambda *_: None,
    "an empty header": lambda *_: "",
    "a header of another form": lambda *_: "Bearer abc",
    "zeros": lambda *_: (
        f"v1 key={'0' * 16} time={int(time.time() * 1000)} nonce={'0' * 32} body={'0' * 64} mac={'0' * 64}"
    ),
    "a key of his own": lambda pod, *asked: pod.header(*asked, operator=STRANGER),
    "the operator's word to another pod": lambda pod, *asked: pod.other.header(*asked, seconds=SOON),
    "another pod's key": lambda pod, *asked: pod.other.header(*asked, seconds=SOON, uid="pod-1"),
    "what was meant for another pod": lambda pod, *asked: pod.header(*asked, uid="pod-2"),
    "what was meant for the other process": lambda pod, process, *asked: pod.header(
        SERVER if process == MONITOR else MONITOR, *asked
    ),
    "a request that was answered": _used,
    "a request for metrics": lambda pod, process, *_: pod.header(process, "GET", "/metrics", b""),
    "another method": lambda pod, process, method, target, body: pod.header(
        process, "GET" if method == "PUT" else "HEAD", target, body
    ),
    "another path": lambda pod, process, method, target, body: pod.header(process, method, f"{target}x", body),
    "another body": lambda pod, process, method, target, _: pod.header(process, method, target, b"{}"),
    "an hour ago": lambda pod, *asked: pod.header(*asked, seconds=-3600),
    "in a day": lambda pod, *asked: pod.header(*asked, seconds=86_400),
    "twice": lambda pod, *asked: f"{pod.header(*asked)}, {pod.header(*asked)}",
}


@attack(
    "nobody but the operator reads counts and samples, gives a reference or ends a farewell",
    {f"{aim}, {forgery}": (aim, forgery) for forgery in FORGERIES for aim in AIMS},
    victim,
)
def strangers_at_a_pod(pod: Pod, sibling: tuple[str, str]) -> str:
    aim, forgery = sibling
    process, method, target, body = AIMS[aim]
    port = pod.server if process == SERVER else pod.monitor.port
    header = FORGERIES[forgery](pod, process, method, target, body)
    if forgery == "another body" and not body:
        body = b"x"
    status, told, proven = asyncio.run(raw(port, method, target, header, body))
    if status != 401 or proven:
        return f"he was answered {status}: {told[:100]!r}"
    ask = pod.header(MONITOR, "GET", REFERENCE, b"")
    planted = asyncio.run(raw(pod.monitor.port, "GET", REFERENCE, ask))[0] == 200
    if planted:
        return "there is a reference that the operator did not give"
    return "" if pod.monitor.process.poll() is None else "the monitor has ended"


def _said(pod: Access, mac: str, body: bytes, status: int = 200) -> str:
    return messages.proof(pod.session(), mac, status, body)


LIE = json.dumps({"digest": "sha256:lie", "samples": [{"id": "a", "outputs": {}}], "epoch": "e", "next": 1}).encode()
METRICS = b'modelward_inference_request_duration_seconds_count{code="500"} 1000000\n'
PRETENCES: dict[str, Callable[[Access, Access, str, bytes], str | None]] = {
    "no proof": lambda *_: None,
    "an empty proof": lambda *_: "",
    "zeros": lambda *_: f"v1 {'0' * 64}",
    "the request's own signature": lambda _, __, mac, ___: f"v1 {mac}",
    "another pod's proof": lambda _, other, mac, body: _said(other, mac, body),
    "the pod's proof of another body": lambda pod, _, mac, __: _said(pod, mac, b"{}"),
    "the pod's proof of another status": lambda pod, _, mac, body: _said(pod, mac, body, 404),
    "the pod's proof of an earlier answer": lambda pod, _, __, body: _said(pod, "0" * 64, body),
}


@attack(
    "whoever answers in a pod's place is not believed",
    {
        f"{what}, {pretence}": (what, pretence)
        for pretence in PRETENCES
        for what in ("counts", "samples", "servers' metrics")
    },
    folder,
)
def answers_in_a_pods_place(path: Path, sibling: tuple[str, str]) -> str:
    what, pretence = sibling
    (path / "other").mkdir(exist_ok=True)
    pod, other = Access(path), Access(path / "other", "pod-2")
    body = METRICS if what == "servers' metrics" else LIE

    async def answer(request: web.Request) -> web.Response:
        claim = messages.claim(request.headers[messages.HEADER])
        assert claim is not None
        proof = PRETENCES[pretence](pod, other, claim.mac, body)
        return web.Response(body=body, headers={} if proof is None else {messages.PROOF: proof})

    async def run() -> object:
        async with _serving(answer) as port, open_session() as session:
            if what == "counts":
                return (await Monitors(session, port, credentials()).counts(pod.facts())).content
            scraper = Scraper(session, port, port, credentials())
            if what == "samples":
                return await scraper.samples(pod.facts(), 0)
            return await scraper.servers({"a": [pod.facts()]}, None)

    believed = asyncio.run(run())
    return f"the operator believed {believed!r}" if believed else ""
