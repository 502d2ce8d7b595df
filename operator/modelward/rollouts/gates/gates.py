"""The gates of a rollout: what each has seen, what it says, and whether the step may end.

A gate that fails does so as soon as its evidence is enough, however few requests that took; to pass a step, minSamples
are needed as well; to be promoted, each gate has to have been decided, or its time to be over.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelward.api.rollout import FAIL, HOLD, PASS, Gates, Metric
from modelward.facts import Judgement
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates import query as promql
from modelward.rollouts.gates.query import Reading
from modelward.rollouts.statistics import sequential
from modelward.rollouts.statistics.outcomes import Outcomes
from modelward.rollouts.statistics.sequential import Evidence
from modelward.routing.latency import bound_of, text_of
from modelward.values.durations import seconds, share

ERROR_RATE, REFUSALS, LATENCY, DISAGREEMENT = "errorRate", "refusals", "latency", "disagreement"

_BAD = {ERROR_RATE: "errors", REFUSALS: "requests that the model refused", LATENCY: "slower answers"}
"""What is counted, in words."""

FALSE_ROLLBACKS = 0.01
"""Of rollouts whose candidate is no worse than the margins allow: divided among the gates of a rollout."""

NOT_SHOWN = 0.05
"""Chance that a candidate passes a gate although it is worse than the margin."""


@dataclass(frozen=True)
class Statistic:
    """A gate that compares shares. `limit`: as spec gives it, so that evidence of another one is not taken for it."""

    name: str
    limit: str
    test: sequential.Comparison

    @property
    def evidence(self) -> Evidence:
        return self.test.evidence


@dataclass(frozen=True)
class Query:
    """A gate on the value of a PromQL query. `failures`: bad values in a row; `answered`: whether the last answer had
    a value."""

    name: str
    metric: Metric
    verdict: str = "Inconclusive"
    failures: int = 0
    answered: bool = False
    message: str = "not asked yet"

    @property
    def bounds(self) -> str:
        """The values that are good."""
        given = (("at least", self.metric.min), ("at most", self.metric.max))
        return " and ".join(f"{word} {bound}" for word, bound in given if bound is not None)

    @property
    def limit(self) -> str:
        """As that of a Statistic."""
        return f"{self.bounds}: {self.metric.query}"


@dataclass(frozen=True)
class Case:
    """The evidence for and against one candidate, beside one stable revision, in one attempt."""

    stable: str
    candidate: str
    attempt: int
    statistics: tuple[Statistic, ...] = ()
    queries: tuple[Query, ...] = ()

    @property
    def alpha(self) -> float:
        """The chance of a false rollback that each gate may have."""
        return FALSE_ROLLBACKS / max(1, len(self.statistics))

    @property
    def compared(self) -> int:
        """Requests of the candidate: pairs, where answers are compared."""
        trials = {each.name: each.evidence.candidate.trials for each in self.statistics}
        return trials.get(DISAGREEMENT, max(trials.values(), default=0))


def opened(gates: Gates, stable: str, candidate: str, attempt: int, stored: Sequence[Mapping[str, Any]] = ()) -> Case:
    """The case as `rendered` stored it; a gate that is new or has another limit begins anew."""
    known = {each["name"]: each for each in stored}
    statistics = [
        Statistic(name, limit, _test(known.get(name), name, limit, margin)) for name, limit, margin in _limits(gates)
    ]
    queries = [_query(known.get(each.name, {}), Query(each.name, each)) for each in gates.metrics]
    return Case(stable, candidate, attempt, tuple(statistics), tuple(queries))


def _query(stored: Mapping[str, Any], begun: Query) -> Query:
    return replace(begun, failures=int(stored["failures"])) if stored.get("limit") == begun.limit else begun


def _limits(gates: Gates) -> Iterable[tuple[str, str, float]]:
    if gates.error_rate:
        yield ERROR_RATE, gates.error_rate.margin, share(gates.error_rate.margin)
    if gates.refusals:
        yield REFUSALS, gates.refusals.margin, share(gates.refusals.margin)
    if gates.latency:
        bound = text_of(bound_of(seconds(gates.latency.slo)))
        yield LATENCY, f"{gates.latency.margin} over {bound}", share(gates.latency.margin)
    if gates.disagreement:
        yield DISAGREEMENT, gates.disagreement.max, share(gates.disagreement.max)


def limits(case: Case) -> tuple[object, ...]:
    """What the gates are, apart from what they have seen."""
    return (*((each.name, each.limit) for each in case.statistics), *(each.metric for each in case.queries))


def _test(stored: Mapping[str, Any] | None, name: str, limit: str, margin: float) -> sequential.Comparison:
    paired = name != DISAGREEMENT
    margin = min(margin, sequential.MAX_MARGIN)
    if stored is None or stored.get("limit") != limit:
        return sequential.start(margin, paired=paired)
    evidence = Evidence(
        _outcomes(stored.get("stable")),
        _outcomes(stored.get("candidate")),
        float(stored["against"]),
        float(stored["supports"]),
    )
    return sequential.restore(margin, evidence, paired=paired)


def _outcomes(stored: Mapping[str, Any] | None) -> Outcomes:
    return Outcomes(int(stored["requests"]), int(stored["bad"])) if stored else Outcomes()


def heard(case: Case, counts: Mapping[str, Counts], pairs: Outcomes, readings: Mapping[str, Reading]) -> Case:
    """The case after one more look. `counts`: by revision; `pairs`: disagreements; `readings`: by metric."""
    stable, candidate = counts.get(case.stable, Counts()), counts.get(case.candidate, Counts())
    looks = {
        ERROR_RATE: (_of(stable.requests, stable.errors), _of(candidate.requests, candidate.errors)),
        REFUSALS: (_of(stable.answered, stable.refused), _of(candidate.answered, candidate.refused)),
        LATENCY: (_of(stable.timed, stable.slow), _of(candidate.timed, candidate.slow)),
        DISAGREEMENT: (Outcomes(), pairs),
    }
    statistics = tuple(replace(each, test=each.test.look(*looks[each.name])) for each in case.statistics)
    queries = tuple(_asked(each, readings[each.name]) if each.name in readings else each for each in case.queries)
    return replace(case, statistics=statistics, queries=queries)


def _of(trials: int, bad: int) -> Outcomes:
    # An answer by gRPC is counted when it begins and its failure when it ends, which may be after the next look.
    return Outcomes(trials, min(bad, trials))


def _asked(query: Query, reading: Reading) -> Query:
    metric = query.metric
    threshold = promql.Threshold(max=_number(metric.max), min=_number(metric.min))
    verdict, failures = promql.judge(threshold, query.failures, reading, metric.failure_limit)
    answered = False
    if reading.error is not None:
        message = reading.error
    elif reading.value is None or math.isnan(reading.value):
        message = "the query gives no data"
    else:
        message, answered = f"{reading.value:.6g}, wanted: {query.bounds}", True
    return replace(query, verdict=verdict, failures=failures, answered=answered, message=message)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def verdict_of(case: Case, gate: Statistic) -> str:
    """Pass, Fail or Inconclusive."""
    return sequential.verdict(gate.evidence, case.alpha, NOT_SHOWN)


def judge(case: Case, gates: Gates, elapsed: float, *, final: bool, asked: bool = True) -> Judgement:
    """What the gates say after `elapsed` seconds of a step.

    `final`: promotion comes next; `asked`: whether the candidate gets requests or copies at all: without, what is
    counted of them can't hold it up.
    """
    late = elapsed > seconds(gates.max_duration)
    opinions = [
        *(_of_statistic(case, each, gates, final, late and asked) for each in case.statistics),
        *(_of_query(each, gates, late) for each in case.queries),
    ]
    failed = next((each.failed for each in opinions if each.failed), None)
    counted = opinions if asked else opinions[len(case.statistics) :]
    waits = "; ".join(each.waits_for for each in counted if each.waits_for)
    return Judgement(failed, None if failed else waits or None, not (failed or waits), case.compared)


def _of_statistic(case: Case, gate: Statistic, gates: Gates, final: bool, late: bool) -> Judgement:
    verdict, sentence = verdict_of(case, gate), f"{gate.name}: {sentence_of(gate)}"
    if verdict == FAIL:
        return Judgement(f"{sentence}; that is worse than {gate.limit} allows")
    evidence = gate.evidence
    seen = evidence.candidate.trials
    if gate.name != DISAGREEMENT:
        seen = min(seen, evidence.stable.trials)
    if seen < gates.min_samples:
        return _without_data(f"{gate.name}: {seen} of {gates.min_samples} requests", gates, late)
    if final and verdict != PASS and not late:
        return Judgement(waits_for=f"{sentence}; not decided yet")
    return Judgement()


def _of_query(query: Query, gates: Gates, late: bool) -> Judgement:
    said = f"{query.name}: {query.message}"
    if query.verdict == FAIL:
        return Judgement(f"{said}, {query.failures} times in a row")
    if query.verdict == PASS:
        return Judgement()
    return Judgement(waits_for=said) if query.answered else _without_data(said, gates, late)


def _without_data(said: str, gates: Gates, late: bool) -> Judgement:
    """Of a gate that has nothing to judge by."""
    if not late or gates.on_no_data == HOLD:
        return Judgement(waits_for=said)
    return Judgement(f"{said} after {gates.max_duration}" if gates.on_no_data == FAIL else None)


def sentence_of(gate: Statistic) -> str:
    """The numbers in words."""
    evidence = gate.evidence
    candidate = f"{evidence.candidate.bad:,} of {evidence.candidate.trials:,}{_percent(evidence.candidate)}"
    if gate.name == DISAGREEMENT:
        return f"{candidate} answers differ from the stable's"
    stable = f"{evidence.stable.bad:,} of {evidence.stable.trials:,}{_percent(evidence.stable)}"
    return f"{candidate} {_BAD[gate.name]}, against {stable} of the stable"


def _percent(outcomes: Outcomes) -> str:
    return "" if outcomes.share is None else f" ({outcomes.share:.2%})"


def rendered(case: Case) -> list[dict[str, Any]]:
    """As the status holds it."""
    queries = (
        {
            "name": query.name,
            "limit": query.limit,
            "verdict": query.verdict,
            "message": query.message,
            "failures": query.failures,
        }
        for query in case.queries
    )
    return [*(_rendered(case, gate) for gate in case.statistics), *queries]


def _rendered(case: Case, gate: Statistic) -> dict[str, Any]:
    evidence = gate.evidence
    return {
        "name": gate.name,
        "limit": gate.limit,
        "verdict": str(verdict_of(case, gate)),
        "message": sentence_of(gate),
        **({} if gate.name == DISAGREEMENT else {"stable": _shown(evidence.stable)}),
        "candidate": _shown(evidence.candidate),
        "against": f"{evidence.against:.4f}",
        "supports": f"{evidence.supports:.4f}",
    }


def _shown(outcomes: Outcomes) -> dict[str, int]:
    return {"requests": outcomes.trials, "bad": outcomes.bad}
