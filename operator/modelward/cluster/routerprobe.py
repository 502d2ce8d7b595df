"""Asks router pods which configuration they follow and which revisions answer through them.

Asks no more than it must: an answer that already shows what is wanted is kept while what it depends on stays as it is,
and not for ever. A pod that does not answer is a fact (None), not an error.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import aiohttp

from modelward.cluster.cache import Key
from modelward.domain.facts import PodFacts, RouterPodFacts
from modelward.render.envoy import INSIDE_PORT
from modelward.render.envoy_routes import CONFIG_HOST, READY_PATH, revision_host

TIMEOUT = aiohttp.ClientTimeout(total=1.0)
"""A router pod answers within milliseconds; a reconcile must not hang on one that can't."""

_MAX_VERSION = 64
"""Bytes of the answer that are read: anything longer is not ours."""


KEPT_SECONDS = 60.0
"""How long an answer is believed: no event tells of a way that is blocked."""


@dataclass(frozen=True)
class _Answer:
    """`ways`: of the revisions that were reached, as they were when they were asked for."""

    facts: RouterPodFacts
    ways: Mapping[str, str]
    at: float


class RouterProbe:
    """What router pods said last, by ModelDeployment and pod uid. `port`: where their inside listener is."""

    def __init__(
        self, session: aiohttp.ClientSession, port: int = INSIDE_PORT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session = session
        self._port = port
        self._clock = clock
        self._known: dict[Key, dict[str, _Answer]] = {}

    async def look(
        self, owner: Key, pods: Collection[PodFacts], version: str | None, revisions: Mapping[str, str]
    ) -> tuple[RouterPodFacts, ...]:
        """The facts of each pod; only a pod is asked that isn't known to follow `version` and reach `revisions`.

        `revisions`: by name, what the way to each depends on; where that changes, it is asked for again.
        """
        known = self._known.get(owner, {})
        answers = await asyncio.gather(*(self._one(pod, known.get(pod.uid), version, revisions) for pod in pods))
        self._known[owner] = {answer.facts.pod.uid: answer for answer in answers}
        return tuple(answer.facts for answer in answers)

    def forget(self, owner: Key) -> None:
        self._known.pop(owner, None)

    async def _one(
        self, pod: PodFacts, known: _Answer | None, version: str | None, revisions: Mapping[str, str]
    ) -> _Answer:
        now = self._clock()
        fresh = known is not None and known.facts.config_version == version and now - known.at < KEPT_SECONDS
        if known and fresh and all(known.ways.get(name) == way for name, way in revisions.items()):
            return _Answer(RouterPodFacts(pod, version, known.facts.reachable), known.ways, known.at)
        if pod.ip is None or pod.terminating:
            return _Answer(RouterPodFacts(pod), {}, now)
        live = await self._version(pod.ip)
        answers = await asyncio.gather(*(self._answers(pod.ip, revision) for revision in revisions))
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
            async with self._get(ip, READY_PATH, revision_host(revision)) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def _get(self, ip: str, path: str, host: str) -> "aiohttp.client._RequestContextManager":
        address = f"[{ip}]" if ":" in ip else ip
        return self._session.get(
            f"http://{address}:{self._port}{path}", headers={"Host": host}, timeout=TIMEOUT, allow_redirects=False
        )
