"""Collects the evidence of rollouts and variants, and keeps it between two looks.

What is kept in memory may be forgotten: totals and verdicts are restored from the status, and a look after a restart
only begins to count.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelward.api.durations import seconds, share
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.rollout import Disagreement
from modelward.cluster.cache import Key
from modelward.cluster.prometheus import Prometheus, PrometheusError
from modelward.cluster.scrape import Scraper
from modelward.controller.looks import Looks
from modelward.domain import comparison, gates, promql
from modelward.domain.comparison import Totals
from modelward.domain.facts import Arm, Judgement, Observed
from modelward.domain.gates import Case
from modelward.domain.monitored import Monitored
from modelward.domain.outcomes import Outcomes
from modelward.domain.pairs import Pairs
from modelward.domain.promql import Reading
from modelward.domain.promqlscope import scoped
from modelward.domain.stages import stages_of
from modelward.domain.tally import Counts
from modelward.domain.trial import begin

LOOK_EVERY = 2.0
"""Seconds between two looks at a candidate that gets requests."""

ASK_EVERY = 15.0
"""Seconds between two PromQL queries of a gate: Prometheus itself scrapes no more often."""

COMPARE_EVERY = 30.0
"""Seconds between two looks at a variant: nothing is decided by them, and each is a write of the status."""


@dataclass(frozen=True)
class Seen:
    """What a look brought. `judgement`, `gates`: of the candidate, None where there is nothing to judge; `comparisons`:
    by variant; `again_in`: seconds until the next look; `monitored`: what the sidecars counted."""

    judgement: Judgement | None = None
    gates: list[dict[str, Any]] | None = None
    comparisons: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    again_in: float | None = None
    monitored: Monitored | None = None


@dataclass
class _Book:
    """One candidate's evidence as it is being collected."""

    case: Case
    looks: Looks
    looked_at: float = float("-inf")
    asked_at: float = float("-inf")


@dataclass
class _Record:
    """One variant's."""

    totals: Totals
    looks: Looks
    looked_at: float = float("-inf")


class EvidenceCollector:
    """`clock`: monotonic seconds. `prometheus`: None where the installation names none. `ask_every`: seconds.
    `namespace_label`: by which queries are narrowed to the ModelDeployment's namespace; None: they are asked as they
    are.
    """

    def __init__(
        self,
        scraper: Scraper,
        prometheus: Prometheus | None,
        clock: Callable[[], float],
        ask_every: float = ASK_EVERY,
        namespace_label: str | None = None,
    ) -> None:
        self._namespace_label = namespace_label
        self._scraper = scraper
        self._prometheus = prometheus
        self._clock = clock
        self._ask_every = ask_every
        self._books: dict[Key, _Book] = {}
        self._records: dict[Key, dict[str, _Record]] = {}

    def forget(self, owner: Key) -> None:
        self._books.pop(owner, None)
        self._records.pop(owner, None)

    async def look(self, owner: ModelDeployment, observed: Observed) -> Seen:
        """What is to be said of the candidate and of the variants.

        Asks pods at most every LOOK_EVERY (of variants COMPARE_EVERY) seconds, and nobody where no arm gets requests.
        """
        key = Key(owner.namespace, owner.name)
        judgement, shown, again = await self._judged(key, owner, observed)
        comparisons, later = await self._compared(key, owner, observed)
        again_in = min((time for time in (again, later) if time is not None), default=None)
        return Seen(judgement, shown, comparisons, again_in)

    async def _judged(
        self, key: Key, owner: ModelDeployment, observed: Observed
    ) -> tuple[Judgement | None, list[dict[str, Any]] | None, float | None]:
        arm, routes = observed.candidate_arm, observed.router.routes
        progress = begin(observed)
        if arm is None or routes is None or progress.rejected or observed.target == routes.stable:
            self._books.pop(key, None)
            return None, None, None
        book = self._book(key, owner, observed, routes.stable, progress.attempt)
        if self._clock() - book.looked_at >= LOOK_EVERY:
            book.looked_at = self._clock()
            await self._look(book, owner, observed, arm)
        final = progress.step >= len(stages_of(observed.rollout, observed.replicas)) - 1
        elapsed, asked = observed.clock.since(observed.clock.step), arm.weight + arm.mirror > 0
        judgement = gates.judge(book.case, observed.rollout.gates, elapsed, final=final, asked=asked)
        return judgement, gates.rendered(book.case), max(0.05, book.looked_at + LOOK_EVERY - self._clock())

    def _book(self, key: Key, owner: ModelDeployment, observed: Observed, stable: str, attempt: int) -> _Book:
        wanted = observed.rollout.gates
        book = self._books.get(key)
        about = (stable, observed.target, attempt)
        if book is None or (book.case.stable, book.case.candidate, book.case.attempt) != about:
            stored = owner.status.get("rollout") or {}
            same = (stored.get("from"), stored.get("revision"), stored.get("attempt")) == about
            case = gates.opened(wanted, *about, stored.get("gates") or () if same else ())
            book = self._books[key] = _Book(
                case, Looks(stable, observed.target, Pairs(_tolerance(wanted.disagreement)))
            )
        elif gates.limits(book.case) != gates.limits(gates.opened(wanted, *about)):
            # Somebody changed the gates: what still has the same limit goes on.
            book.case = gates.opened(wanted, *about, gates.rendered(book.case))
        book.looks.pairs.tolerance = _tolerance(wanted.disagreement)
        return book

    async def _look(self, book: _Book, owner: ModelDeployment, observed: Observed, arm: Arm) -> None:
        wanted = observed.rollout.gates
        counts = await book.looks.counts(
            self._scraper, observed, _slo(observed), by_clients=arm.weight > 0, refusals=wanted.refusals is not None
        )
        pairs = await book.looks.disagreements(self._scraper, observed) if wanted.disagreement else Outcomes()
        book.case = gates.heard(book.case, counts, pairs, await self._asked(book, owner))

    async def _asked(self, book: _Book, owner: ModelDeployment) -> dict[str, Reading]:
        if not book.case.queries or self._clock() - book.asked_at < self._ask_every:
            return {}
        book.asked_at = self._clock()
        names = {
            "candidate": book.case.candidate, "stable": book.case.stable,
            "namespace": owner.namespace, "name": owner.name,
        }  # fmt: skip
        queries = [query.metric for query in book.case.queries]
        readings = await asyncio.gather(*(self._query(metric.query, names) for metric in queries))
        return {metric.name: reading for metric, reading in zip(queries, readings, strict=True)}

    async def _query(self, template: str, names: Mapping[str, str]) -> Reading:
        if self._prometheus is None:
            return Reading(None, "the operator knows no Prometheus; set MODELWARD_PROMETHEUS_URL in its settings")
        try:
            query = promql.render(template, names)
            if self._namespace_label is not None:
                query = scoped(query, self._namespace_label, names["namespace"])
            return Reading(await self._prometheus.query(query), None)
        except (PrometheusError, ValueError) as error:
            return Reading(None, str(error))

    async def _compared(
        self, key: Key, owner: ModelDeployment, observed: Observed
    ) -> tuple[dict[str, list[dict[str, Any]]], float | None]:
        routes = observed.router.routes
        names = {variant.name for variant in observed.variants}
        arms = [arm for arm in routes.arms if arm.name in names and arm.weight + arm.mirror > 0] if routes else []
        if routes is None or not arms:
            self._records.pop(key, None)
            return {}, None
        records = self._records.setdefault(key, {})
        for gone in records.keys() - {arm.name for arm in arms}:
            del records[gone]
        return {
            arm.name: comparison.rendered(await self._totals(records, arm, routes.stable, owner, observed))
            for arm in arms
        }, COMPARE_EVERY

    async def _totals(
        self, records: dict[str, _Record], arm: Arm, stable: str, owner: ModelDeployment, observed: Observed
    ) -> Totals:
        record = records.get(arm.name)
        about = (stable, arm.revision)
        if record is None or (record.looks.stable, record.looks.revision) != about:
            stored: Mapping[str, Any] = next(
                (each for each in owner.status.get("variants") or () if each["name"] == arm.name), {}
            )
            same = (stored.get("against"), stored.get("revision")) == about
            totals = comparison.restored(stored.get("comparisons") or () if same else ())
            tolerance = _tolerance(observed.rollout.gates.disagreement)
            record = records[arm.name] = _Record(totals, Looks(*about, Pairs(tolerance)))
        if self._clock() - record.looked_at >= COMPARE_EVERY:
            record.looked_at = self._clock()
            by_clients = arm.weight > 0
            counts = await record.looks.counts(self._scraper, observed, _slo(observed), by_clients=by_clients)
            pairs = await record.looks.disagreements(self._scraper, observed) if arm.mirror else Outcomes()
            zero = Counts()
            record.totals = record.totals.plus(counts.get(stable, zero), counts.get(arm.revision, zero), pairs)
        return record.totals


def _slo(observed: Observed) -> float | None:
    latency = observed.rollout.gates.latency
    return seconds(latency.slo) if latency else None


def _tolerance(disagreement: Disagreement | None) -> float:
    return share((disagreement or Disagreement("100%")).tolerance)
