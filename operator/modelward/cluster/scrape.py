"""Reads counters and answers from pods: routers say what clients saw, model pods what they did and answered.

A pod that does not answer is left out of the result: the next look takes in what it counted meanwhile.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Line
from yarl import URL

from modelward.domain.facts import PodFacts
from modelward.domain.pairs import Sample
from modelward.domain.tally import Counts, Readings
from modelward.render.envoy import INTERNAL_PORT, LATENCY_BOUNDS
from modelward.render.envoy_routes import ARM, OWN, cluster_of
from modelward.render.revision import HTTP_PORT, SAMPLES_PATH

TIMEOUT = aiohttp.ClientTimeout(total=2.0)
MAX_BYTES = 8 << 20
"""Of an answer; a pod's metrics have some hundred kilobytes at most."""

_STATS = r"^cluster\.({names})\.(upstream_rq_[1-5]xx|upstream_rq_time|upstream_rq_retry|grpc\.failure)$"
"""Envoy's own names of what is read; the answer then has a few kilobytes instead of hundreds."""

_ROUTER_PREFIX = "envoy_cluster_"
_POD_REQUESTS = "modelward_inference_request_duration_seconds"
_NOT_JUDGED = frozenset({"CANCELLED"})
"""Codes that say nothing of the model: the client left."""


def bound_of(slo: float) -> float:
    """The bound of the histograms that a latency objective (seconds) is judged at: the next one that is not below."""
    milliseconds = slo * 1000
    return next((bound for bound in LATENCY_BOUNDS if bound >= milliseconds * (1 - 1e-9)), LATENCY_BOUNDS[-1]) / 1000


class Scraper:
    """Looks at pods. The ports are arguments for tests."""

    def __init__(
        self, session: aiohttp.ClientSession, router_port: int = INTERNAL_PORT, server_port: int = HTTP_PORT
    ) -> None:
        self._session = session
        self._router_port = router_port
        self._server_port = server_port

    async def routers(self, pods: Collection[PodFacts], stable: str, arm: str, slo: float | None) -> Readings:
        """What clients saw of the stable and of an arm, by router pod and revision. `slo`: seconds."""
        owners = clusters_of(stable, arm)
        names = "|".join(owners)
        path = "/stats/prometheus?" + urlencode({"filter": _STATS.format(names=names)}) + "&usedonly"

        def parse(text: str) -> Mapping[str, Counts]:
            return router_counts(text, owners, slo)

        return await self._each(pods, self._router_port, path, parse)

    async def servers(self, pods: Mapping[str, Collection[PodFacts]], slo: float | None) -> Readings:
        """What model pods did, by pod. `pods`: by revision; `slo`: seconds."""
        readings: dict[str, Mapping[str, Counts]] = {}
        for revision, own in pods.items():

            def parse(text: str, revision: str = revision) -> Mapping[str, Counts]:
                return {revision: server_counts(text, slo)}

            readings |= await self._each(own, self._server_port, "/metrics", parse)
        return readings

    async def _each(
        self, pods: Collection[PodFacts], port: int, path: str, parse: Callable[[str], Mapping[str, Counts]]
    ) -> dict[str, Mapping[str, Counts]]:
        asked = [pod for pod in pods if pod.ip is not None and pod.ready]
        answers = await asyncio.gather(*(self._text(pod, port, path) for pod in asked))
        return {pod.uid: parse(text) for pod, text in zip(asked, answers, strict=True) if text is not None}

    async def _text(self, pod: PodFacts, port: int, path: str) -> str | None:
        try:
            async with self._session.get(URL(_url(pod, port, path), encoded=True), timeout=TIMEOUT) as response:
                return (await response.content.read(MAX_BYTES)).decode() if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, UnicodeDecodeError):
            return None

    async def samples(self, pod: PodFacts, epoch: str | None, after: int) -> tuple[str, int, list[Sample]] | None:
        """Answers of one model pod since `after` of `epoch`: the pod's epoch now, where to go on, and the samples."""
        path = f"{SAMPLES_PATH}?after={after}"
        try:
            async with self._session.get(_url(pod, self._server_port, path), timeout=TIMEOUT) as response:
                if response.status != 200:
                    return None
                answer: dict[str, Any] = await response.json()
                found = [Sample(str(each["id"]), each["outputs"]) for each in answer["samples"]]
                return str(answer["epoch"]), int(answer["next"]), found if epoch == answer["epoch"] or not after else []
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError):
            return None


def _url(pod: PodFacts, port: int, path: str) -> str:
    address = f"[{pod.ip}]" if pod.ip and ":" in pod.ip else pod.ip
    return f"http://{address}:{port}{path}"


def clusters_of(stable: str, arm: str) -> dict[str, str]:
    """The clusters whose counters are what clients saw: the revision by the cluster's name."""
    both = ((stable, OWN), (arm, ARM))
    return {cluster_of(revision, kind, grpc=grpc): revision for revision, kind in both for grpc in (False, True)}


def router_counts(text: str, owners: Mapping[str, str], slo: float | None) -> Mapping[str, Counts]:
    """Envoy's counters, by revision. `owners`: the revision by the cluster's name."""
    counts: dict[str, Counts] = {}
    for line in _lines(text, _ROUTER_PREFIX):
        revision = owners.get(line.labels.get("envoy_cluster_name", ""))
        if revision is not None:
            is_arm = ARM in line.labels["envoy_cluster_name"].removeprefix(revision)
            counts[revision] = counts.get(revision, Counts()) + _router_line(line, slo, is_arm)
    return counts


def _router_line(line: Line, slo: float | None, is_arm: bool) -> Counts:
    value = int(line.value)
    match line.name.removeprefix(_ROUTER_PREFIX):
        case "upstream_rq_xx":
            failed = line.labels["envoy_response_code_class"] in ("4", "5")
            return Counts(requests=value, errors=value if failed else 0)
        case "grpc_failure":
            return Counts(errors=value)
        case "upstream_rq_retry" if is_arm:
            # It could not be reached, and the stable answered instead: no client saw it, but it is a failure.
            return Counts(errors=value)
        case "upstream_rq_time_count" if slo is not None:
            return Counts(timed=value, slow=value)
        case "upstream_rq_time_bucket" if slo is not None and _is_bound(line, bound_of(slo) * 1000):
            return Counts(slow=-value)
    return Counts()


def server_counts(text: str, slo: float | None) -> Counts:
    """The inference server's own counters."""
    counts = Counts()
    for line in _lines(text, _POD_REQUESTS):
        if line.labels.get("code") in _NOT_JUDGED:
            continue
        value = int(line.value)
        if line.name == f"{_POD_REQUESTS}_count":
            failed = line.labels["code"] not in ("OK", "200")
            timed = value if slo is not None else 0
            counts += Counts(value, value if failed else 0, timed, timed)
        elif line.name == f"{_POD_REQUESTS}_bucket" and slo is not None and _is_bound(line, bound_of(slo)):
            counts += Counts(slow=-value)
    return counts


def _is_bound(line: Line, bound: float) -> bool:
    le = line.labels["le"]
    return le != "+Inf" and abs(float(le) - bound) <= 1e-9 * bound


def _lines(text: str, prefix: str) -> Iterator[Line]:
    """The lines of some metrics; without their types, the parser leaves the names of counters as they are."""
    wanted = "\n".join(line for line in text.splitlines() if line.startswith(prefix))
    for family in text_string_to_metric_families(wanted + "\n"):
        yield from family.samples
