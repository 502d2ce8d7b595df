"""The sums that statistics are made of, by day, revision, arm and segment: everything is counted where the data are.

Values are summed as distances from a constant in their middle, so that their spread keeps its digits where they are
large and close to one another.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

import ibis
from ibis.expr.types import Table, Value

from modelward_evaluate.cohorts import OTHERS, column_of, label
from modelward_evaluate.spec import Classes, Numbers, Ranking, Segment, Spec
from modelward_quality.calibration import BINS, Bin, calibration_of
from modelward_quality.confusion import Pair, confusion_of
from modelward_quality.moments import Moments, moments
from modelward_quality.ranking import ndcg, reciprocal_rank
from modelward_quality.regression import Errors
from modelward_quality.scores import LOWEST, PER_OCTAVE, Cell, scores_of
from modelward_quality.statistics import Statistics

WHOSE: Final = ("day", "revision", "arm")

SMALLEST: Final = 2.0**-52
"""Of a score in a logarithm and of an outcome that is divided by, as in scikit-learn."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """What was counted of one day, revision and arm; `segment`, `value`: both empty, of all rows."""

    day: str
    revision: str
    arm: str
    segment: str
    value: str
    statistics: Statistics


def groups(rows: Table, spec: Spec, segment: Segment | None = None) -> Iterator[Group]:
    """`rows`: of cohorts. By day, revision and arm, and by the values of `segment`, where one is given."""
    value: Value = ibis.literal("") if segment is None else _frequent(rows, segment)
    prepared = rows.mutate(value=value)
    if isinstance(spec.task, Ranking):
        found = _of_rankings(prepared, spec.task)
    else:
        found = _of_rows(_with_errors(prepared, spec), spec)
    name = "" if segment is None else segment.name
    for key, statistics in found:
        day, revision, arm, of = key
        yield Group(day, revision, arm, name, of, statistics)


def _frequent(rows: Table, segment: Segment) -> Value:
    """The values of a segment, the rare ones as one."""
    column = rows[column_of(segment)]
    counted = rows.group_by(of=column).agg(n=rows.count()).order_by(ibis.desc("n"), "of").limit(segment.values)
    return column.isin(counted.of.execute().tolist()).ifelse(column, OTHERS)


Found = Iterator[tuple[tuple[str, str, str, str], Statistics]]


def _of_rows(rows: Table, spec: Spec) -> Found:
    cells: tuple[str, ...] = () if isinstance(spec.task, Numbers) else ("outcome", "foretold")
    if "score" in rows.columns:
        cells = (*cells, "cell", "bin")
    centres = _centres(rows)
    measures = {"rows": rows.count(), "weight": rows.weight.sum(), "squares": (rows.weight * rows.weight).sum()}
    if "score" in rows.columns:
        measures |= {"sum_score": (rows.weight * rows.score).sum(), "low": rows.score.min(), "high": rows.score.max()}
    for name, centre in centres.items():
        away = rows[name] - centre
        measures |= {f"sum_{name}": (rows.weight * away).sum(), f"spread_{name}": (rows.weight * away * away).sum()}
    answer = rows.group_by([*WHOSE, "value", *cells]).agg(**measures).to_pyarrow().to_pylist()
    found: dict[tuple[str, str, str, str], list[Record]] = {}
    for each in answer:
        found.setdefault((str(each["day"]), each["revision"], each["arm"], each["value"]), []).append(each)
    for key in sorted(found):
        yield key, _statistics(found[key], spec, centres)


MEASURED: Final = ("loss", "brier", "error", "square", "absolute", "relative", "worth")


def _centres(rows: Table) -> dict[str, float]:
    """What has a mean, and a constant near it."""
    names = [each for each in MEASURED if each in rows.columns]
    if "error" in rows.columns:
        names.append("outcome")
    if not names:
        return {}
    means = rows.agg(**{name: rows[name].mean() for name in names}).to_pyarrow().to_pylist()[0]
    return {name: float(mean or 0.0) for name, mean in means.items()}


def _with_errors(rows: Table, spec: Spec) -> Table:
    """What is summed of each row besides."""
    if isinstance(spec.task, Numbers):
        error = rows.foretold - rows.outcome
        relative = error.abs() / ibis.greatest(rows.outcome.abs(), SMALLEST)
        return rows.mutate(error=error, square=error * error, absolute=error.abs(), relative=relative)
    if "score" not in rows.columns or not isinstance(spec.task, Classes):
        return rows
    score = rows.score
    # Of 0 there is no logarithm.
    smaller = ibis.greatest(ibis.least(score, 1 - score), 2.0**-1000)
    depth = ibis.greatest(((2 * smaller).log2() * PER_OCTAVE).floor(), LOWEST).cast("int64")
    positive = rows.outcome == label(str(spec.task.positive))
    truth = positive.ifelse(1.0, 0.0)
    said = ibis.greatest(ibis.least(positive.ifelse(score, 1 - score), 1 - SMALLEST), SMALLEST)
    return rows.mutate(
        cell=(score < 0.5).ifelse(depth, -depth),
        bin=ibis.least((score * BINS).floor().cast("int64"), BINS - 1),
        loss=-said.ln(),
        brier=(score - truth) * (score - truth),
    )


def _statistics(found: list[Record], spec: Spec, centres: dict[str, float]) -> Statistics:
    def mean(name: str) -> Moments:
        return reduce(add, (_moments(each, name, centres[name]) for each in found), Moments())

    worth = mean("worth") if "worth" in centres else None
    if isinstance(spec.task, Numbers):
        return Statistics(
            errors=Errors(*map(mean, ("outcome", "error", "square", "absolute", "relative"))), worth=worth
        )
    confusion = confusion_of(
        Pair(each["outcome"], each["foretold"], each["rows"], each["weight"], each["squares"]) for each in found
    )
    if "loss" not in centres:
        return Statistics(confusion=confusion, worth=worth)
    positive = label(str(getattr(spec.task, "positive", "")))
    return Statistics(
        confusion=confusion,
        scores=scores_of(_cell(each, each["outcome"] == positive) for each in found),
        calibration=calibration_of(_bin(each, each["outcome"] == positive) for each in found),
        loss=mean("loss"),
        brier=mean("brier"),
        worth=worth,
    )


def _moments(found: Record, name: str, centre: float) -> Moments:
    weight = found["weight"]
    if not weight:
        return Moments(found["rows"])
    away = found[f"sum_{name}"] / weight
    spread = max(0.0, found[f"spread_{name}"] - away * away * weight)
    return Moments(found["rows"], weight, found["squares"], centre + away, spread)


def _cell(found: Record, positive: bool) -> Cell:
    sides = (found["weight"], found["squares"])
    return Cell(
        found["cell"],
        found["rows"],
        found["low"],
        found["high"],
        *((*sides, 0.0, 0.0) if positive else (0.0, 0.0, *sides)),
    )


def _bin(found: Record, positive: bool) -> Bin:
    weight = found["weight"]
    return Bin(found["bin"], found["rows"], weight, found["squares"], found["sum_score"], weight if positive else 0.0)


def _of_rankings(rows: Table, task: Ranking) -> Found:
    """A ranking as a whole is of the segment of its first row."""
    whole = rows.group_by([*WHOSE, "group"]).agg(
        value=rows.value.first(order_by=rows.id),
        weight=rows.weight.mean(),
        gain=rows.outcome.collect(),
        score=rows.foretold.collect(),
        **({"worth": rows.worth.sum()} if "worth" in rows.columns else {}),
    )
    found: dict[tuple[str, str, str, str], list[Record]] = {}
    for batch in whole.to_pyarrow_batches(chunk_size=10_000):
        for each in batch.to_pylist():
            key = (str(each["day"]), each["revision"], each["arm"], each["value"])
            made = {
                "weight": each["weight"],
                "ndcg": ndcg(each["gain"], each["score"], task.k),
                "mrr": reciprocal_rank(each["gain"], each["score"]),
                "worth": each.get("worth"),
            }
            found.setdefault(key, []).append(made)
    for key in sorted(found):
        sides = {name: _mean_of(found[key], name) for name in ("ndcg", "mrr", "worth")}
        yield (
            key,
            Statistics(ndcg=sides["ndcg"], mrr=sides["mrr"], worth=sides["worth"] if "worth" in rows.columns else None),
        )


def _mean_of(found: list[Record], name: str) -> Moments:
    known = [each for each in found if each[name] is not None]
    return moments([each[name] for each in known], [each["weight"] for each in known])
