"""Collects the evidence of rollouts and variants, and keeps it between two looks.

Pods and Prometheus are asked beside the reconcile (see poller.py), which is repeated when they have answered: what it
is told is what is known by then. What is kept in memory may be forgotten: totals and verdicts are restored from the
status, and a look after a restart only begins to count.
"""

import asyncio
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelward.api.modeldeployment import ModelDeployment
from modelward.api.rollout import Disagreement
from modelward.api.traffic import chosen_by_more_than_chance
from modelward.facts import Arm, Judgement, Observed
from modelward.kube.cache import Key
from modelward.kube.poller import Poller, Question
from modelward.monitoring.logged import Logged
from modelward.monitoring.status import Monitored
from modelward.net.prometheus import Prometheus, PrometheusError
from modelward.rollouts.evidence import comparison
from modelward.rollouts.evidence.comparison import Totals
from modelward.rollouts.evidence.looks import Looks
from modelward.rollouts.evidence.pairs import Pairs
from modelward.rollouts.evidence.scrape import Scraper
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates import gates
from modelward.rollouts.gates.gate import PAIRS, REFUSALS, Asking, Observation
from modelward.rollouts.gates.gates import Case
from modelward.rollouts.gates.query import Reading, render
from modelward.rollouts.gates.query_scope import scoped
from modelward.rollouts.statistics.outcomes import Outcomes
from modelward.rollouts.strategies import stages_of
from modelward.rollouts.trial import begin
from modelward.values.durations import seconds, share

LOOK_EVERY = 2.0
"""Seconds between two looks at a candidate that gets requests."""

ASK_EVERY = 15.0
"""Seconds between two PromQL queries of a gate: Prometheus itself scrapes no more often."""

COMPARE_EVERY = 30.0
"""Seconds between two looks at a variant: nothing is decided by them, and each is a write of the status."""


@dataclass(frozen=True)
class Seen:
    """What a look brought. `judgement`, `gates`: of the candidate, None where there is nothing to judge; `comparisons`:
    by variant; `again_in`: seconds until the next look; `monitored`: what the sidecars counted;
    `logged`: what they say of the prediction log."""

    judgement: Judgement | None = None
    gates: list[dict[str, Any]] | None = None
    comparisons: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    again_in: float | None = None
    monitored: Monitored | None = None
    logged: Logged | None = None


@dataclass
class _Book:
    """One candidate's evidence as it is being collected. `owner`: the ModelDeployment's uid: never a namesake's;
    `memories`: of kinds of gates that look for themselves."""

    owner: str
    case: Case
    looks: Looks
    memories: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class _Record:
    """One variant's."""

    owner: str
    totals: Totals
    looks: Looks


class EvidenceCollector:
    """`prometheus`: None where the installation names none. `ask_every`: seconds.
    `namespace_label`: by which queries are narrowed to the ModelDeployment's namespace; None: they are asked as they
    are.
    """

    def __init__(
        self,
        scraper: Scraper,
        prometheus: Prometheus | None,
        poller: Poller,
        ask_every: float = ASK_EVERY,
        namespace_label: str | None = None,
    ) -> None:
        self._namespace_label = namespace_label
        self._scraper = scraper
        self._prometheus = prometheus
        self._poller = poller
        self._ask_every = ask_every
        self._books: dict[Key, _Book] = {}
        self._records: dict[Key, dict[str, _Record]] = {}

    def forget(self, owner: Key) -> None:
        self._books.pop(owner, None)
        self._records.pop(owner, None)
        self._poller.forget(owner)

    def look(self, owner: ModelDeployment, observed: Observed, own: Mapping[str, Any] | None = None) -> Seen:
        """What is to be said of the candidate and of the variants. `own`: what kinds of gates were told of the
        candidate by others than pods, by the kind's name.

        Has pods asked at most every LOOK_EVERY (of variants COMPARE_EVERY) seconds, and nobody where no arm gets
        requests.
        """
        key = Key(owner.namespace, owner.name)
        judgement, shown, again = self._judged(key, owner, observed, own or {})
        comparisons, later = self._compared(key, owner, observed)
        again_in = min((time for time in (again, later) if time is not None), default=None)
        return Seen(judgement, shown, comparisons, again_in)

    def _judged(
        self, key: Key, owner: ModelDeployment, observed: Observed, own: Mapping[str, Any]
    ) -> tuple[Judgement | None, list[dict[str, Any]] | None, float | None]:
        arm, routes = observed.candidate_arm, observed.router.routes
        progress = begin(observed)
        if arm is None or routes is None or progress.rejected or observed.target == routes.stable:
            self._books.pop(key, None)
            return None, None, None
        book = self._book(key, owner, observed, routes.stable, progress.attempt)
        if own:
            book.case = book.case.add(Observation(own=own))
        about = (owner.uid, book.case.stable, book.case.candidate, book.case.attempt)
        again = [
            self._poller.ask(
                Question("evidence", key),
                lambda: self._look(book, observed, arm, by_users=_know_users(owner, observed, arm)),
                LOOK_EVERY,
                about,
            )
        ]
        if book.case.queries:
            # By itself: a Prometheus that hangs must not keep anybody from looking at the pods.
            again.append(
                self._poller.ask(Question("queries", key), lambda: self._ask(book, owner), self._ask_every, about)
            )
        final = progress.step >= len(stages_of(observed.rollout, observed.replicas)) - 1
        elapsed, asked = observed.clock.since(observed.clock.step), arm.weight + arm.mirror > 0
        judgement = gates.judge(book.case, observed.rollout.gates, elapsed, final=final, asked=asked)
        return judgement, gates.rendered(book.case), min((time for time in again if time is not None), default=None)

    def _book(self, key: Key, owner: ModelDeployment, observed: Observed, stable: str, attempt: int) -> _Book:
        wanted = observed.rollout.gates
        book = self._books.get(key)
        about = (stable, observed.target, attempt)
        if book is None or (book.owner, book.case.stable, book.case.candidate, book.case.attempt) != (
            owner.uid, *about,
        ):  # fmt: skip
            stored = owner.status.get("rollout") or {}
            same = (stored.get("from"), stored.get("revision"), stored.get("attempt")) == about
            case = gates.opened(wanted, *about, stored.get("gates") or () if same else ())
            book = self._books[key] = _Book(
                owner.uid, case, Looks(stable, observed.target, Pairs(_tolerance(wanted.disagreement)))
            )
        elif gates.limits(book.case) != gates.limits(gates.opened(wanted, *about)):
            # Somebody changed the gates: what still has the same limit goes on.
            book.case = gates.opened(wanted, *about, gates.rendered(book.case))
        book.looks.pairs.tolerance = _tolerance(wanted.disagreement)
        return book

    async def _look(self, book: _Book, observed: Observed, arm: Arm, *, by_users: bool) -> None:
        needs = book.case.needs
        counts = await book.looks.counts(
            self._scraper, observed, _slo(observed), by_clients=arm.weight > 0, refusals=REFUSALS in needs
        )
        pairs = await book.looks.disagreements(self._scraper, observed) if PAIRS in needs else Outcomes()
        # Of copies both sides get the same users, and all of them.
        users = await book.looks.by_users(self._scraper, observed, _slo(observed)) if by_users and arm.weight else None
        own = {
            kind.name: await kind.observe(Asking(self._scraper, observed, book.memories.setdefault(kind.name, {})))
            for kind in gates.observers(observed.rollout.gates)
            if kind.observe is not None
        }
        stable, candidate = (counts.get(name, Counts()) for name in (book.case.stable, book.case.candidate))
        book.case = book.case.add(Observation(stable, candidate, pairs, users=users, own=own))

    async def _ask(self, book: _Book, owner: ModelDeployment) -> None:
        names = {
            "candidate": book.case.candidate, "stable": book.case.stable,
            "namespace": owner.namespace, "name": owner.name,
        }  # fmt: skip
        queries = [query.metric for query in book.case.queries]
        readings = await asyncio.gather(*(self._query(metric.query, names) for metric in queries))
        told = {metric.name: reading for metric, reading in zip(queries, readings, strict=True)}
        # Asked of what is a gate no more, or of another query by now, says nothing.
        current = {query.metric.name: query.metric for query in book.case.queries}
        told = {metric.name: told[metric.name] for metric in queries if current.get(metric.name) == metric}
        book.case = book.case.add(Observation(readings=told))

    async def _query(self, template: str, names: Mapping[str, str]) -> Reading:
        if self._prometheus is None:
            return Reading(None, "the operator knows no Prometheus; set MODELWARD_PROMETHEUS_URL in its settings")
        try:
            query = render(template, names)
            if self._namespace_label is not None:
                query = scoped(query, self._namespace_label, names["namespace"])
            return Reading(await self._prometheus.query(query), None)
        except (PrometheusError, ValueError) as error:
            return Reading(None, str(error))

    def _compared(
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
        again = []
        for arm in arms:
            record = self._record(records, arm, routes.stable, owner, observed)
            again.append(
                self._poller.ask(
                    Question("comparison", key, arm.name),
                    functools.partial(
                        self._compare, record, arm, routes.stable, observed, by_users=_know_users(owner, observed, arm)
                    ),
                    COMPARE_EVERY,
                    (owner.uid, routes.stable, arm.revision),
                )
            )
        shown = {arm.name: comparison.rendered(records[arm.name].totals) for arm in arms}
        return shown, min((time for time in again if time is not None), default=None)

    def _record(
        self, records: dict[str, _Record], arm: Arm, stable: str, owner: ModelDeployment, observed: Observed
    ) -> _Record:
        record = records.get(arm.name)
        about = (stable, arm.revision)
        if record is None or (record.owner, record.looks.stable, record.looks.revision) != (owner.uid, *about):
            stored: Mapping[str, Any] = next(
                (each for each in owner.status.get("variants") or () if each["name"] == arm.name), {}
            )
            same = (stored.get("against"), stored.get("revision")) == about
            totals = comparison.restored(stored.get("comparisons") or () if same else ())
            tolerance = _tolerance(observed.rollout.gates.disagreement)
            record = records[arm.name] = _Record(owner.uid, totals, Looks(*about, Pairs(tolerance)))
        return record

    async def _compare(self, record: _Record, arm: Arm, stable: str, observed: Observed, *, by_users: bool) -> None:
        counts = await record.looks.counts(self._scraper, observed, _slo(observed), by_clients=arm.weight > 0)
        paired = arm.mirror and all(observed.keeps_answers(name) for name in (stable, arm.revision))
        pairs = await record.looks.disagreements(self._scraper, observed) if paired else Outcomes()
        users = (
            await record.looks.by_users(self._scraper, observed, _slo(observed)) if by_users and arm.weight else None
        )
        zero = Counts()
        record.totals = record.totals.plus(counts.get(stable, zero), counts.get(arm.revision, zero), pairs, users)


def _know_users(owner: ModelDeployment, observed: Observed, arm: Arm) -> bool:
    """Whether pods count users where these choose a side: by a header of the own router. Behind a Gateway it would be
    whatever a client sends, and other servers than ours count none."""
    routes = observed.router.routes
    if owner.spec.router.gateway is not None or (routes is not None and _foreign(observed, routes.stable, arm)):
        return False
    return chosen_by_more_than_chance(owner.spec.traffic)


def _foreign(observed: Observed, stable: str, arm: Arm) -> bool:
    """Whether another server than ours is one of the two: then routers alone say how requests ended, and how fast."""
    return any(observed.runtime_of(name) is not None for name in (stable, arm.revision))


def _slo(observed: Observed) -> float | None:
    latency = observed.rollout.gates.latency
    return seconds(latency.slo) if latency else None


def _tolerance(disagreement: Disagreement | None) -> float:
    return share((disagreement or Disagreement("100%")).tolerance)
