"""Asks router pods which configuration they follow and which revisions answer through them.

Asks no more than it must: an answer that already shows what is wanted is kept while the pod lives. A pod that does not
answer is a fact (None), not an error.
"""

import asyncio
from collections.abc import Collection

import aiohttp

from modelward.cluster.cache import Key
from modelward.domain.facts import PodFacts, RouterPodFacts
from modelward.render.envoy import INSIDE_PORT
from modelward.render.envoy_routes import CONFIG_HOST, READY_PATH, revision_host

TIMEOUT = aiohttp.ClientTimeout(total=1.0)
"""A router pod answers within milliseconds; a reconcile must not hang on one that can't."""

_MAX_VERSION = 64
"""Bytes of the answer that are read: anything longer is not ours."""


class RouterProbe:
    """What router pods said last, by ModelDeployment and pod uid. `port`: where their inside listener is."""

    def __init__(self, session: aiohttp.ClientSession, port: int = INSIDE_PORT) -> None:
        self._session = session
        self._port = port
        self._known: dict[Key, dict[str, RouterPodFacts]] = {}

    async def look(
        self, owner: Key, pods: Collection[PodFacts], version: str | None, revisions: Collection[str]
    ) -> tuple[RouterPodFacts, ...]:
        """The facts of each pod; only a pod is asked that isn't known to follow `version` and reach `revisions`."""
        known = self._known.get(owner, {})
        facts = await asyncio.gather(*(self._one(pod, known.get(pod.uid), version, revisions) for pod in pods))
        self._known[owner] = {fact.pod.uid: fact for fact in facts}
        return tuple(facts)

    def forget(self, owner: Key) -> None:
        self._known.pop(owner, None)

    async def _one(
        self, pod: PodFacts, known: RouterPodFacts | None, version: str | None, revisions: Collection[str]
    ) -> RouterPodFacts:
        if known and known.config_version == version and known.reachable >= set(revisions):
            return RouterPodFacts(pod, version, known.reachable)
        if pod.ip is None or pod.terminating:
            return RouterPodFacts(pod)
        live = await self._version(pod.ip)
        answers = await asyncio.gather(*(self._answers(pod.ip, revision) for revision in revisions))
        reachable = frozenset(revision for revision, answered in zip(revisions, answers, strict=True) if answered)
        return RouterPodFacts(pod, live, reachable)

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
