"""Reads counters and answers from pods: routers say what clients saw, model pods what they did and answered.

A pod that does not answer, or not in full, is left out of the result: the next look takes in what it counted meanwhile.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Line

from modelward.facts import PodFacts
from modelward.net.budget import Budget
from modelward.net.credentials import Credentials
from modelward.net.pods import BadAnswerError, NoAnswerError, Pods
from modelward.net.untrusted import decoded
from modelward.rollouts.evidence import by_users
from modelward.rollouts.evidence.pairs import Sample
from modelward.rollouts.evidence.tally import Counts, Readings
from modelward.routing.envoy.bootstrap import INTERNAL_PORT
from modelward.routing.envoy.routes import ARM, ASIDE, INSTEAD, OWN, cluster_of
from modelward.routing.latency import bound_of
from modelward.runtimes.runtime import MODELWARD
from modelward_auth.messages import SERVER

T = TypeVar("T")

MAX_LINES, MAX_LINE = 5000, 2000
"""Lines of metrics that are read, and bytes of one: a pod has some hundred of them, and each takes its microseconds."""

NEWEST = 10**18 - 1
"""A sample's number that no pod reaches: behind it comes nothing yet. What a pod still holds when it is first looked at
may have been compared before, by an operator that was started anew since."""

_STATS = r"^cluster\.({names})\.(upstream_rq_([1-5]xx|time|total|retry)|grpc\.[0-9]+)$"
"""Envoy's own names of what is read; the answer then has a few kilobytes instead of hundreds."""

_ROUTER_PREFIX = "envoy_cluster_"
_GRPC_STATUS = "grpc_"
_POD = MODELWARD.metrics
_NOT_JUDGED = frozenset({"CANCELLED", "499"})
"""Codes that say nothing of the model: the client left."""

_CLIENTS_MISTAKES = {"1": "CANCELLED", "3": "INVALID_ARGUMENT", "5": "NOT_FOUND", "11": "OUT_OF_RANGE"}
"""gRPC's statuses, by number, that stand where HTTP has 4xx: what clients do wrong is no error of an arm. What a model
refuses is evidence of its own."""


class Scraper:
    """Looks at pods. The ports are arguments for tests."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        router_port: int = INTERNAL_PORT,
        server_port: int = MODELWARD.ports.http,
        credentials: Credentials | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._pods = Pods(session, credentials=credentials, budget=budget)
        self._router_port = router_port
        self._server_port = server_port

    async def routers(self, pods: Collection[PodFacts], stable: str, arm: str, slo: float | None) -> Readings:
        """What clients saw of the stable and of an arm, by router pod and revision. `slo`: seconds."""
        return await self._routers(pods, clusters_of(stable, arm), slo)

    async def copies(self, pods: Collection[PodFacts], stable: str, arm: str, slo: float | None) -> Readings:
        """The same of an arm that gets copies alone, whose answers no client sees and the router does."""
        return await self._routers(pods, clusters_of(stable, arm, copies=True), slo)

    async def _routers(
        self, pods: Collection[PodFacts], clusters: Mapping[str, "Cluster"], slo: float | None
    ) -> Readings:
        names = "|".join(clusters)
        path = "/stats/prometheus?" + urlencode({"filter": _STATS.format(names=names)}) + "&usedonly"

        def parse(text: str) -> Mapping[str, Counts]:
            return router_counts(text, clusters, slo)

        return await self._each(pods, self._router_port, path, parse)

    async def servers(self, pods: Mapping[str, Collection[PodFacts]], slo: float | None) -> Readings:
        """What model pods did, by pod. `pods`: by revision; `slo`: seconds."""
        readings: dict[str, Mapping[str, Counts]] = {}
        for revision, own in pods.items():

            def parse(text: str, revision: str = revision) -> Mapping[str, Counts]:
                return {revision: server_counts(text, slo)}

            readings |= await self._each(own, self._server_port, MODELWARD.metrics.path, parse, SERVER)
        return readings

    async def users(self, pods: Mapping[str, Collection[PodFacts]], slo: float | None) -> Readings:
        """What model pods did, by pod, and by revision and bucket of users (evidence/by_users.py). `pods`: by revision;
        `slo`: seconds. Pods of an earlier version know no users and are absent."""
        path = MODELWARD.users if slo is None else f"{MODELWARD.users}?slo={bound_of(slo) / 1000:g}"
        readings: dict[str, Mapping[str, Counts]] = {}
        for revision, own in pods.items():

            def parse(text: str, revision: str = revision) -> Mapping[str, Counts]:
                return by_users.counted(revision, decoded(text))

            readings |= await self._each(own, self._server_port, path, parse, SERVER)
        return readings

    async def _each(
        self,
        pods: Collection[PodFacts],
        port: int,
        path: str,
        parse: Callable[[str], Mapping[str, Counts]],
        process: str | None = None,
    ) -> dict[str, Mapping[str, Counts]]:
        asked = [pod for pod in pods if pod.ip is not None and pod.ready]
        counts = await asyncio.gather(*(self._get(pod, port, path, parse, process) for pod in asked))
        return {pod.uid: counted for pod, counted in zip(asked, counts, strict=True) if counted is not None}

    async def samples(self, pod: PodFacts, after: int) -> tuple[str, int, list[Sample]] | None:
        """Samples of one model pod behind the number `after`: its epoch, the number to go on with, and the samples.

        None: it does not answer. Numbers are those of an epoch, which is another one in each process.
        """
        return await self._get(pod, self._server_port, f"{MODELWARD.samples}?after={after}", _page, SERVER)

    async def _get(
        self, pod: PodFacts, port: int, path: str, parse: Callable[[str], T], process: str | None
    ) -> T | None:
        """What a pod's answer says, None where there is none. `process`: None for a router, which has no key."""

        def whole(status: int, raw: bytes) -> T | None:
            return parse(raw.decode()) if status == 200 else None

        try:
            return await self._pods.ask(pod, port, path, whole, process=process)
        except (NoAnswerError, BadAnswerError):
            return None


def _page(text: str) -> tuple[str, int, list[Sample]]:
    """A pod's samples. Raises one of UNREADABLE for another text."""
    answer = decoded(text)
    found = [Sample(str(each["id"]), _outputs(each["outputs"])) for each in answer["samples"]]
    return str(answer["epoch"]), int(answer["next"]), found


def _outputs(outputs: Any) -> Mapping[str, Any] | None:
    if outputs is not None and not isinstance(outputs, dict):
        raise TypeError("outputs are an object, or null")
    return outputs


@dataclass(frozen=True)
class Cluster:
    """One of Envoy's clusters. `revision`: whose evidence it counts; `kind`: OWN of the stable; ARM, by which clients
    reach a revision that is not the stable one; INSTEAD, by which the stable gets what was that one's; ASIDE, by which
    it gets copies."""

    revision: str
    kind: str
    grpc: bool


def clusters_of(stable: str, arm: str, *, copies: bool = False) -> dict[str, Cluster]:
    """The clusters whose counters are what clients saw, by name; of `copies`, what the router saw of these."""
    counted = ((stable, OWN), (arm, ASIDE)) if copies else ((stable, OWN), (arm, ARM), (arm, INSTEAD))
    return {
        cluster_of(revision, kind, grpc=grpc): Cluster(revision, kind, grpc)
        for revision, kind in counted
        for grpc in (False, True)
    }


def router_counts(text: str, clusters: Mapping[str, Cluster], slo: float | None) -> Mapping[str, Counts]:
    """Envoy's counters, by revision. `clusters`: by name. Raises one of UNREADABLE for another text."""
    counts: dict[str, Counts] = {}
    for line in _lines(text, _ROUTER_PREFIX):
        cluster = clusters.get(line.labels.get("envoy_cluster_name", ""))
        if cluster is not None:
            counts[cluster.revision] = counts.get(cluster.revision, Counts()) + _router_line(line, cluster, slo)
    return {revision: _complete(counted) for revision, counted in counts.items()}


def _router_line(line: Line, cluster: Cluster, slo: float | None) -> Counts:
    name, value = line.name.removeprefix(_ROUTER_PREFIX), int(line.value)
    if cluster.kind == INSTEAD:
        return Counts(instead=value if name == "upstream_rq_total" else 0)
    match name:
        case "upstream_rq_xx":
            # A failure of gRPC is counted by itself; where the router made it, there is an HTTP status as well.
            failed = not cluster.grpc and line.labels["envoy_response_code_class"] == "5"
            return Counts(requests=value, errors=value if failed else 0)
        case "upstream_rq_retry" if cluster.kind == ARM:
            # It could not be reached, and the stable answered instead: no client saw it, but it is a failure.
            return Counts(errors=value, tried=value)
        case "upstream_rq_time_count" if slo is not None:
            return Counts(timed=value, slow=value)
        case "upstream_rq_time_bucket" if slo is not None and _is_bound(line, bound_of(slo)):
            return Counts(slow=-value)
        case name if name.startswith(_GRPC_STATUS):
            status = name.removeprefix(_GRPC_STATUS)
            return Counts(errors=0 if status == "0" or status in _CLIENTS_MISTAKES else value)
    return Counts()


def server_counts(text: str, slo: float | None) -> Counts:
    """The inference server's own counters. Raises one of UNREADABLE for another text."""
    counts = Counts()
    for line in _lines(text, (_POD.requests, _POD.refused)):
        if line.name == f"{_POD.refused}_total":
            counts += Counts(refused=int(line.value))
            continue
        if line.labels.get("code") in _NOT_JUDGED:
            continue
        value = int(line.value)
        if line.name == f"{_POD.requests}_count":
            timed = value if slo is not None else 0
            counts += Counts(value, value if _failed(line.labels["code"]) else 0, timed, timed, value)
        elif line.name == f"{_POD.requests}_bucket" and slo is not None and _is_bound(line, bound_of(slo) / 1000):
            counts += Counts(slow=-value)
    return _complete(counts)


def _failed(code: str) -> bool:
    """Of an answer's code: an HTTP status, or the name of gRPC's."""
    if code.isdecimal():
        return int(code) >= 500
    return code != "OK" and code not in _CLIENTS_MISTAKES.values()


def _complete(counts: Counts) -> Counts:
    """Raises ValueError where lines are missing: a histogram's total stands behind what is subtracted from it."""
    if min(astuple(counts)) < 0:
        raise ValueError(f"{counts} can't be; a part of the answer is missing")
    return counts


def _is_bound(line: Line, bound: float) -> bool:
    le = line.labels["le"]
    return le != "+Inf" and abs(float(le) - bound) <= 1e-9 * bound


def _lines(text: str, prefix: str | tuple[str, ...]) -> Iterator[Line]:
    """The lines of some metrics; without their types, the parser leaves the names of counters as they are."""
    wanted = [line for line in text.splitlines() if line.startswith(prefix)]
    if len(wanted) > MAX_LINES or any(len(line) > MAX_LINE for line in wanted):
        raise ValueError(f"more than {MAX_LINES} lines, or one of more than {MAX_LINE} bytes")
    for family in text_string_to_metric_families("\n".join(wanted) + "\n"):
        yield from family.samples
