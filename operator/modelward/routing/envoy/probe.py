"""Asks router pods which configuration they follow and which revisions answer through them.

They are asked beside the reconcile (see poller.py), which is repeated when they have answered. Asks no more than it
must: an answer that already shows what is wanted is kept while what it depends on stays as it is, and not for ever. A
pod that does not answer is a fact (None), not an error.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp

from modelward.facts import CertificateFacts, PodFacts, RouterPodFacts
from modelward.kube.cache import Key
from modelward.kube.poller import PendingError, Poller, Question
from modelward.net.budget import Budget, LeftOutError
from modelward.net.pods import BadAnswerError, NoAnswerError, Pods
from modelward.routing.envoy.bootstrap import INSIDE_PORT, INTERNAL_PORT
from modelward.routing.envoy.routes import CONFIG_HOST, REVISION_HEADER, revision_host
from modelward.runtimes.runtime import MODELWARD

TIMEOUT = aiohttp.ClientTimeout(total=1.0)
"""A router pod answers within milliseconds."""

_MAX_VERSION = 64
"""Bytes of the answer that are read: anything longer is not ours."""


ASK_FIRST, ASK_GROWTH, ASK_MAX = 0.15, 1.3, 5.0
"""Seconds: how soon pods that do not follow yet are asked again, the factor by which that grows, and its end."""

KEPT_SECONDS = 60.0
"""How long an answer is believed: no event tells of a way that is blocked."""

_EXPIRES = "envoy_listener_ssl_certificate_expiration_unix_time_seconds{"
_FAILED = "envoy_sds_key_rotation_failed{"
_CERTIFICATE_PATH = "/stats/prometheus?" + urlencode(
    {"filter": r"(\.ssl\.certificate\..*expiration_unix_time_seconds|^sds\..*key_rotation_failed)$"}
)
"""Of Envoy's metrics: when the certificate ends that it presents, which is not always what the Secret holds by now; and
how often it could not load what the Secret held, since it began."""

_LAST = 253402300799.0
"""The end of the year 9999, behind which no time can be written."""


_DIGITS = 18


@dataclass(frozen=True)
class _Presented:
    """By one pod. `failures`: changes of the Secret that it could not load."""

    expires: float | None = None
    failures: int = 0


_UNKNOWN = _Presented()


@dataclass(frozen=True)
class _Answer:
    """`ways`: of the revisions that were reached, as they were when they were asked for."""

    facts: RouterPodFacts
    ways: Mapping[str, str]
    at: float


class RouterProbe:
    """What router pods said last, by ModelDeployment and pod uid. `port`: where their inside listener is; `internal`:
    where their metrics are."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        poller: Poller,
        port: int = INSIDE_PORT,
        clock: Callable[[], float] = time.monotonic,
        budget: Budget | None = None,
        internal: int = INTERNAL_PORT,
    ) -> None:
        self._session = session
        self._poller = poller
        self._port = port
        self._clock = clock
        self._budget = budget or Budget(clock)
        self._known: dict[Key, dict[str, _Answer]] = {}
        self._asked: dict[Key, tuple[Hashable, int]] = {}
        """What pods were asked for last, and how often."""
        self._pods = Pods(session, clock, budget=self._budget)
        self._internal = internal
        self._presented_by: dict[Key, Mapping[str, _Presented]] = {}
        self._certificates: dict[Key, CertificateFacts] = {}

    def look(
        self, owner: Key, pods: Collection[PodFacts], version: str | None, revisions: Mapping[str, str]
    ) -> tuple[RouterPodFacts, ...]:
        """What each pod said last; only a pod is asked that isn't known to follow `version` and reach `revisions`.

        `revisions`: by name, what the way to each depends on; where that changes, it is asked for again. Raises
        PendingError where that has just been asked for the first time.
        """
        known = self._known.setdefault(owner, {})
        for gone in known.keys() - {pod.uid for pod in pods}:
            del known[gone]
        unknown = [
            pod
            for pod in pods
            if pod.ip is not None
            and not pod.terminating
            and not self._suffices(known.get(pod.uid), pod, version, revisions)
        ]
        if unknown:
            about: Hashable = (
                version,
                tuple(sorted(revisions.items())),
                frozenset((pod.uid, pod.ip) for pod in unknown),
            )
            last, times = self._asked.get(owner, (None, 0))
            times = times if last == about else 0
            every = ask_again_after(times) if times else 0.0

            async def ask() -> None:
                self._asked[owner] = (about, times + 1)
                answers = await asyncio.gather(*(self._one(pod, revisions) for pod in unknown))
                known.update({answer.facts.pod.uid: answer for answer in answers})

            question = Question("router", owner)
            self._poller.ask(question, ask, every, about)
            if self._poller.is_pending(question):
                raise PendingError
        else:
            self._asked.pop(owner, None)
        return tuple(self._facts(pod, known.get(pod.uid), revisions) for pod in pods)

    def certificate(self, owner: Key, pods: Collection[PodFacts]) -> CertificateFacts:
        """What pods said last of the certificate that they present to clients. What is news is told once."""
        asked = [pod for pod in pods if pod.ready and pod.ip is not None]

        async def ask() -> None:
            before = self._presented_by.get(owner, {})
            answers = await asyncio.gather(*(self._presented(pod) for pod in asked))
            told = dict(zip((pod.uid for pod in asked), answers, strict=True))
            news = {
                pod.name: told[pod.uid].failures
                for pod in asked
                if told[pod.uid].failures not in (0, before.get(pod.uid, _UNKNOWN).failures)
            }
            self._presented_by[owner] = told
            self._certificates[owner] = CertificateFacts(_first(answers), news)

        about = frozenset((pod.uid, pod.ip) for pod in asked)
        self._poller.ask(Question("certificate", owner), ask, KEPT_SECONDS, about)
        found = self._certificates.get(owner, CertificateFacts())
        if found.refused:
            self._certificates[owner] = CertificateFacts(found.expires)
        return found

    async def _presented(self, pod: PodFacts) -> "_Presented":
        try:
            return await self._pods.ask(pod, self._internal, _CERTIFICATE_PATH, _presented)
        except (NoAnswerError, BadAnswerError):
            return _UNKNOWN

    def forget(self, owner: Key) -> None:
        self._known.pop(owner, None)
        self._asked.pop(owner, None)
        self._presented_by.pop(owner, None)
        self._certificates.pop(owner, None)
        self._poller.drop(Question("router", owner))
        self._poller.drop(Question("certificate", owner))

    def _suffices(
        self, known: _Answer | None, pod: PodFacts, version: str | None, revisions: Mapping[str, str]
    ) -> bool:
        if known is None or known.facts.pod.ip != pod.ip or known.facts.config_version != version:
            return False
        if self._clock() - known.at >= KEPT_SECONDS:
            return False
        return all(known.ways.get(name) == way for name, way in revisions.items())

    def _facts(self, pod: PodFacts, known: _Answer | None, revisions: Mapping[str, str]) -> RouterPodFacts:
        """What is believed of a pod now. A revision whose way has changed since, or has none any more, counts as not
        reached."""
        if known is None or pod.ip is None or pod.ip != known.facts.pod.ip or pod.terminating:
            return RouterPodFacts(pod)
        reachable = frozenset(
            name for name in known.facts.reachable if name in revisions and known.ways.get(name) == revisions[name]
        )
        return RouterPodFacts(pod, known.facts.config_version, reachable)

    async def _one(self, pod: PodFacts, revisions: Mapping[str, str]) -> _Answer:
        now = self._clock()
        assert pod.ip is not None
        try:
            async with self._budget.asking(pod) as question:
                live = await self._version(pod.ip)
                answers = await asyncio.gather(*(self._answers(pod.ip, revision) for revision in revisions))
                question.in_vain = live is None
        except LeftOutError:
            return _Answer(RouterPodFacts(pod), {}, now)
        reachable = frozenset(revision for revision, answered in zip(revisions, answers, strict=True) if answered)
        return _Answer(RouterPodFacts(pod, live, reachable), {name: revisions[name] for name in reachable}, now)

    async def _version(self, ip: str) -> str | None:
        try:
            async with self._get(ip, "/", CONFIG_HOST) as response:
                text = (await response.content.read(_MAX_VERSION)).decode(errors="replace")
                return text if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def _answers(self, ip: str, revision: str) -> bool:
        try:
            async with self._get(ip, MODELWARD.ready, revision_host(revision)) as response:
                # Where clients are led to the stable in its place, that is who answers.
                return response.status == 200 and response.headers.get(REVISION_HEADER) == revision
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def _get(self, ip: str, path: str, host: str) -> "aiohttp.client._RequestContextManager":
        address = f"[{ip}]" if ":" in ip else ip
        return self._session.get(
            f"http://{address}:{self._port}{path}", headers={"Host": host}, timeout=TIMEOUT, allow_redirects=False
        )


def ask_again_after(times: int) -> float:
    """Seconds after which pods are asked again that were asked so many times and do not follow yet."""
    return min(ASK_MAX, ASK_FIRST * ASK_GROWTH ** min(times, 50))


def _first(presented: Iterable[_Presented]) -> float | None:
    return min((each.expires for each in presented if each.expires is not None), default=None)


def _presented(status: int, raw: bytes) -> _Presented:
    """Raises ValueError for what is no time or no number."""
    lines = raw.decode().splitlines() if status == 200 else []
    times = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(_EXPIRES)]
    if not all(math.isfinite(time) and 0 <= time <= _LAST for time in times):
        raise ValueError("no time")
    counts = [line.rpartition(" ")[2] for line in lines if line.startswith(_FAILED)]
    if not all(count.isdecimal() and len(count) <= _DIGITS for count in counts):
        raise ValueError("no number")
    return _Presented(min(times, default=None), sum(map(int, counts)))
