"""From files to what they say: the evaluator as a function."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any, Final

from ibis.expr.types import Table

from modelward_evaluate import batches
from modelward_evaluate.cohorts import Cohorts, asked_for, cohorts, positive_of
from modelward_evaluate.concept import concept
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.inputs import Engine, in_process
from modelward_evaluate.pictures import WHOLE, pictures
from modelward_evaluate.spec import Spec
from modelward_evaluate.sums import Factors, Group, Losses, by_bucket, groups, losses, prepared
from modelward_evaluate.to_come import ToCome, estimated
from modelward_quality import fairness
from modelward_quality.difference import difference
from modelward_quality.errors import QualityError
from modelward_quality.statistics import Statistics, dump, values

SCHEMA: Final = 1
"""Of the result."""

STABLE: Final = "stable"
"""The arm that others are held against."""

PARITIES: Final = {
    "statisticalParity": fairness.statistical_parity,
    "equalOpportunity": fairness.equal_opportunity,
    "predictiveEquality": fairness.predictive_equality,
    "equalizedOdds": fairness.equalized_odds,
}


Buckets = Mapping[tuple[str, str], Sequence[Statistics]]
"""Sums of buckets of units, by revision and arm."""


@dataclass(frozen=True)
class Evaluation:
    """`counts`: what became of predictions and outcomes (cohorts.py); `groups`: sums of each day, revision and arm, of
    all rows and by segment; `losses`: by day, where concept drift is asked for; `to_come`: what rows
    are most likely worth whose outcomes are still to come; `buckets`: of units, where that was asked for."""

    counts: dict[str, int]
    groups: tuple[Group, ...]
    losses: tuple[Losses, ...] = ()
    to_come: tuple[ToCome, ...] = ()
    buckets: tuple[Buckets, ...] = ()


def evaluate(spec: Spec, engine: Engine = in_process) -> Evaluation:
    """Raises EvaluationError."""
    with _measured(spec, engine) as (found, rows):
        known = tuple(groups(rows, spec))
        watched = losses(rows, spec) if spec.concept is not None else ()
        to_come = estimated(found.waiting, rows, known, spec)
        return Evaluation(found.counts, known, tuple(watched), tuple(to_come))


def by_hour(
    spec: Spec, weighted: Callable[[tuple[Group, ...]], Iterable[Factors]] = lambda _: (), engine: Engine = in_process
) -> Evaluation:
    """The sums of all rows by hour, revision and arm, and nothing else of an evaluation; where `spec.unit` says whose
    rows are also by buckets of units, once for each of the weights that `weighted` makes of the hours. Raises
    EvaluationError."""
    hours = spec.model_copy(update={"hourly": True, "segments": (), "fairness": None, "concept": None})
    with _measured(hours, engine) as (found, rows):
        known = tuple(groups(rows, hours))
        buckets = (by_bucket(rows, hours, each) for each in (weighted(known) if hours.unit is not None else ()))
        return Evaluation(found.counts, known, buckets=tuple(buckets))


def losses_by_day(spec: Spec, engine: Engine = in_process) -> tuple[Losses, ...]:
    """What concept drift is searched for in, and nothing else of an evaluation. Raises EvaluationError."""
    with _measured(spec, engine) as (_, rows):
        return tuple(losses(rows, spec))


@contextmanager
def _measured(spec: Spec, engine: Engine) -> Iterator[tuple[Cohorts, Table]]:
    """The cohorts, and of their rows what is summed. Raises EvaluationError."""
    with engine(spec) as given:
        try:
            predictions, outcomes = given.predictions, given.outcomes
            if spec.predictions.batch is not None:
                predictions = batches.as_log(predictions, spec.predictions.batch, asked_for(spec))
                outcomes = batches.by_key(outcomes, spec.outcomes)
            found = cohorts(predictions, outcomes, spec, given.keep, prepared)
            yield found, found.rows
        except QualityError as error:
            raise EvaluationError(str(error)) from error
        except RecursionError as error:
            raise EvaluationError("the evaluation failed: an expression is nested too deeply") from error


def document(found: Evaluation, spec: Spec) -> dict[str, Any]:
    """As JSON: the sums of each group for who merges them, and the values of all days together for who reads them."""
    positive = positive_of(spec)
    wholes = whole(found.groups)
    return {
        "schema": SCHEMA,
        "now": spec.now.isoformat(),
        "matured": spec.matured.isoformat(),
        "counts": found.counts,
        "values": [
            {
                "revision": revision, "arm": arm, "segment": segment, "value": value,
                "metrics": {name: asdict(each) for name, each in values(statistics, positive).items()},
            }
            for (revision, arm, segment, value), statistics in wholes.items()
        ],
        "fairness": _fairness(wholes, spec),
        "differences": _differences(found.groups, positive),
        "estimates": [_of_estimate(each) for each in found.to_come],
        "concept": concept(found.losses, spec.concept, spec.task) if spec.concept is not None else [],
        "pictures": _pictures(found.groups, positive),
        "groups": [_of_group(each) for each in found.groups],
    }  # fmt: skip


def _of_group(group: Group) -> dict[str, Any]:
    made = {name: getattr(group, name) for name in ("day", "revision", "arm", "segment", "value")}
    return made | {"statistics": dump(group.statistics)}


def _of_estimate(each: ToCome) -> dict[str, Any]:
    metrics = {name: asdict(value) for name, value in each.metrics.items()}
    return {"revision": each.revision, "arm": each.arm, "rows": each.rows, "metrics": metrics}


Key = tuple[str, str, str, str]


def whole(found: Iterable[Group]) -> dict[Key, Statistics]:
    """Of all days together, by revision, arm, segment and value."""
    by_key: dict[Key, list[Statistics]] = {}
    for each in found:
        by_key.setdefault((each.revision, each.arm, each.segment, each.value), []).append(each.statistics)
    return {key: reduce(add, by_key[key]) for key in sorted(by_key)}


def _pictures(found: Iterable[Group], positive: str | None) -> list[dict[str, Any]]:
    """Of each revision and arm."""
    sides: dict[tuple[str, str], dict[str, Statistics]] = {}
    for each in found:
        if not each.segment:
            sides.setdefault((each.revision, each.arm), {})[each.day] = each.statistics
    made = []
    for (revision, arm), days in sorted(sides.items()):
        together = reduce(add, days.values())
        drawn = pictures(days, together, list(values(together, positive)), positive, WHOLE)
        made.append({"revision": revision, "arm": arm, **drawn})
    return made


def _differences(found: Iterable[Group], positive: str | None) -> list[dict[str, Any]]:
    """Of each arm from the stable one, on the days that both have rows of: another day is another world."""
    days: dict[tuple[str, str], dict[str, Statistics]] = {}
    for each in found:
        if not each.segment:
            days.setdefault((each.revision, each.arm), {})[each.day] = each.statistics
    made = []
    for (revision, arm), own in sorted(days.items()):
        for (against, _), other in sorted((side, each) for side, each in days.items() if side[1] == STABLE != arm):
            both = sorted(own.keys() & other.keys())
            if not both:
                continue
            one, stable = (values(reduce(add, (side[day] for day in both)), positive) for side in (own, other))
            gaps = {name: asdict(difference(one[name], stable[name])) for name in one.keys() & stable.keys()}
            made.append({
                "revision": revision, "arm": arm, "against": against, "begin": both[0], "end": both[-1],
                "metrics": dict(sorted(gaps.items())),
            })  # fmt: skip
    return made


def _fairness(found: dict[Key, Statistics], spec: Spec) -> list[dict[str, Any]]:
    positive = positive_of(spec)
    if spec.fairness is None or positive is None:
        return []
    tables: dict[tuple[str, str], dict[str, Any]] = {}
    for (revision, arm, segment, value), statistics in found.items():
        if segment == spec.fairness.name and statistics.confusion is not None:
            tables.setdefault((revision, arm), {})[value] = statistics.confusion
    made = []
    for (revision, arm), by_group in tables.items():
        gaps = {name: parity(by_group, positive) for name, parity in PARITIES.items()}
        known = {name: asdict(gap) for name, gap in gaps.items() if gap is not None}
        made.append({"revision": revision, "arm": arm, "segment": spec.fairness.name, "gaps": known})
    return made
