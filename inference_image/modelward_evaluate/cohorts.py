"""Predictions whose outcomes are known for good, each with its outcome: what all sums are made of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any, Final, Protocol

import ibis
from ibis.expr.types import BooleanValue, StringValue, Table, Value

from modelward_evaluate import outcomes
from modelward_evaluate.columns import TIME, as_id, as_kept, as_label, as_number, as_text, hashed, label, listed
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.expressions import columns_of, parse, with_value
from modelward_evaluate.spec import Classes, Numbers, Ranking, Segment, Spec
from modelward_quality.clustered import BUCKETS
from modelward_quality.unlabelled import NOT

NEEDED: Final = ("request_id", "row", "time")

OTHERS: Final = "(others)"
"""Of a segment: values that are too rare to have statistics of their own."""

SPARSEST: Final = 1e-9
"""A smaller fraction of what is logged is none."""

MISSING: Final = "(missing)"


class Keep(Protocol):
    """Has an engine remember a table, as each is read several times. `number`: a further column, with a number of each
    row's own."""

    def __call__(self, name: str, table: Table, number: str | None = None) -> Table: ...


@dataclass(frozen=True)
class Cohorts:
    """`rows`: matured predictions with an outcome, each once: day, revision, arm, weight, outcome, what was foretold,
    worth, a column `segment.NAME` for each segment (named by `text_of`), and what was prepared of them; `counts`: what
    became of predictions and outcomes; `waiting`: the predictions that have not matured, with what was foretold."""

    rows: Table
    counts: dict[str, int]
    waiting: Table


def cohorts(
    log: Table, given: Table, spec: Spec, keep: Keep, prepared: Callable[[Table, Spec], Table] = lambda rows, _: rows
) -> Cohorts:
    """`log`: of the predictions; `given`: the outcomes as their files have them; `prepared`: adds to the rows what is
    summed of them, so that they are written once. Raises EvaluationError."""
    kind = "text" if isinstance(spec.task, Classes) else "number"
    predictions = keep("narrowed", narrowed(log, spec), number="id")
    given = keep("given", outcomes.normal_form(given, spec.outcomes, kind), number="number")
    readable = outcomes.is_readable(given)
    future = outcomes.is_future(given, spec.now)
    usable = given.filter(readable & ~future)
    found = keep("found", outcomes.pairs(predictions, usable, since=spec.predictions.batch is not None))
    timely = outcomes.in_time(found, spec)
    best = keep("best", outcomes.chosen(found.filter(timely)))
    is_matured = predictions.time <= ibis.literal(spec.matured)
    matured = predictions.filter(is_matured)
    rows = keep("measured", prepared(_with_outcomes(matured, best, spec), spec))
    said = _numbers(
        predictions, predictions=None, matured=is_matured, unforetold=is_matured & ~_is_foretold(predictions)
    )
    told = _numbers(given, outcomes=None, unreadable=~readable, future=readable & future, usable=readable & ~future)
    of = _numbers(found, late=~timely)
    decided = _numbers(best, best=None, contradicting=best.contradicting, undecided=best.undecided)
    ready = _numbers(rows, withOutcome=~rows.assumed, assumed=rows.assumed)
    counts = {
        "predictions": said["predictions"],
        "matured": said["matured"],
        "withOutcome": ready["withOutcome"],
        "assumed": ready["assumed"],
        "notForetold": said["unforetold"],
        "outcomes": told["outcomes"],
        "unreadable": told["unreadable"],
        "future": told["future"],
        "unmatched": told["usable"] - _number(found.number.nunique()),
        "late": of["late"],
        "duplicate": _number(best.told.sum()) - decided["best"] - decided["contradicting"],
        "contradicting": decided["contradicting"],
        "undecided": decided["undecided"],
    }
    waiting = predictions.filter(~is_matured & _is_foretold(predictions))
    return Cohorts(rows, counts, waiting.mutate(weight=1 / waiting.sampled))


def _numbers(table: Table, **conditions: BooleanValue | None) -> dict[str, int]:
    """Of the rows of a table for which a condition holds; None: of all."""
    sums = {name: table.count() if each is None else each.fill_null(False).sum() for name, each in conditions.items()}
    found: dict[str, Any] = table.agg(**sums).to_pyarrow().to_pylist()[0]
    return {name: int(each or 0) for name, each in found.items()}


def _number(each: Value) -> int:
    return int(each.to_pyarrow().as_py() or 0)


def narrowed(log: Table, spec: Spec) -> Table:
    """The predictions that are asked for with the columns that are needed. Raises EvaluationError where a column is not
    there."""
    _need(log, NEEDED, "the log")
    log = _with_segments(log, spec)
    there = log.columns
    fraction = log.fraction.cast("float64") if "fraction" in there else ibis.literal(1.0)
    time = log.time.cast(TIME)
    rows = log.select(
        request_id=as_id(log.request_id),
        row=log.row.cast("int64"),
        key=as_id(log.key) if "key" in there else ibis.null("string"),
        time=time,
        day=time.cast("timestamp").truncate("h") if spec.hourly else time.date(),
        revision=_said(log, "revision"),
        arm=_said(log, "arm"),
        sampled=ibis.ifelse(fraction.between(SPARSEST, 1), fraction, 1.0),
        **_bucket(log, spec),
        **_foretold(log, spec),
        **{column_of(each): log[column_of(each)] for each in spec.all_segments},
        **{of_log: log[name] for name, of_log in _worth_columns(spec, log).items()},
    )
    if spec.begin is not None:
        rows = rows.filter(rows.time >= ibis.literal(spec.begin))
    if spec.end is not None:
        rows = rows.filter(rows.time < ibis.literal(spec.end))
    return rows if spec.predictions.batch is None else _newest(rows, spec)


def _newest(rows: Table, spec: Spec) -> Table:
    """Of each key the last prediction that has matured, and of those that have not: a batch foretells the same outcome
    night after night, and rows that have it in common would make an interval that is too narrow. What has no key can't
    be told an outcome."""
    rows = rows.filter(rows.key.notnull() & (rows.key != ""))  # keys of CSV are texts, also where there is none
    # Two of one moment differ in what they foretell, or it does not matter which one it is. Always the lowest would be
    # a bias: of half of the keys, the same ones for each engine, it is the highest.
    low = rows.key.hexdigest("md5") < "8"
    said = [rows[name] for name in ("foretold", "score") if name in rows.columns]
    order = [way for each in said for way in (low.ifelse(each, None), ibis.desc(low.ifelse(None, each)))]
    whose = [rows.key, rows.revision, rows.time <= ibis.literal(spec.matured)]
    window = ibis.window(group_by=whose, order_by=[ibis.desc(rows.time), *order])
    rows = rows.mutate(place=ibis.row_number().over(window))
    return rows.filter(rows.place == 0).drop("place")


def _bucket(log: Table, spec: Spec) -> dict[str, Value]:
    """Of the unit that a row is of. A row of nobody is a unit of its own, with what else its request has."""
    if spec.unit is None:
        return {}
    _need(log, [spec.unit], "unit: the log")
    unit = ibis.coalesce(as_id(log[spec.unit]), as_id(log.request_id), ibis.literal(""))
    # Not by the hash that Envoy divides users with: an arm would have the users of some buckets alone.
    return {"bucket": (hashed(unit.concat("/unit")) & (2**62 - 1)) % BUCKETS}


def _foretold(log: Table, spec: Spec) -> dict[str, Value]:
    task = spec.task
    match task:
        case Classes():
            _need(log, [each for each in (task.label, task.score) if each is not None], "the log")
            made: dict[str, Value] = {}
            if task.score is not None:
                score = as_number(log[task.score])
                made["score"] = ibis.ifelse(score.between(0, 1), score, ibis.null("float64"))
            if task.label is not None:
                made["foretold"] = as_label(log[task.label])
            else:
                positive = str(positive_of(spec))
                is_positive = as_number(log[str(task.score)]) >= task.threshold
                made["foretold"] = is_positive.ifelse(ibis.literal(positive), ibis.literal(NOT + positive))
            return made
        case Numbers():
            _need(log, [task.value], "the log")
            return {"foretold": as_number(log[task.value])}
        case Ranking():
            _need(log, [task.score, task.group], "the log")
            return {"foretold": as_number(log[task.score]), "group": log[task.group].cast("string")}


def positive_of(spec: Spec) -> str | None:
    """The label that is foretold, as labels are written."""
    if not isinstance(spec.task, Classes) or spec.task.positive is None:
        return None
    return label(spec.task.positive)


def _is_foretold(rows: Table) -> BooleanValue:
    """Whether the model said something that can be held against an outcome."""
    needed = [rows[name].notnull() for name in ("foretold", "score", "group") if name in rows.columns]
    return reduce(and_, needed)


def _with_segments(log: Table, spec: Spec) -> Table:
    """With a column for each segment. Raises EvaluationError."""
    for each in spec.all_segments:
        name = column_of(each)
        if each.sql is not None:
            log = with_value(log, name, each.sql, f"segment {each.name}")
        else:
            _need(log, [str(each.column)], f"segment {each.name}: the log")
            log = log.mutate(**{name: log[each.column]})
        log = log.mutate(**{name: as_kept(log[name])})
    return log


def column_of(segment: Segment) -> str:
    return f"segment.{segment.name}"


def text_of(value: Value) -> StringValue:
    """What a value of a segment's column is called."""
    return as_text(value).fill_null(MISSING)


def _with_outcomes(matured: Table, best: Table, spec: Spec) -> Table:
    chosen = best.select(of="id", said="value", worth_of="weight", undecided="undecided")
    joined = matured.left_join(chosen, matured.id == chosen.of)
    told = joined.of.notnull() & ~joined.undecided.fill_null(False)
    outcome: Value = told.ifelse(joined.said, ibis.null(joined.said.type()))
    absent = spec.outcomes.absent
    if absent is not None:
        # Of what nobody could decide nothing is assumed.
        assumed = label(absent) if isinstance(spec.task, Classes) else float(absent)
        outcome = joined.of.isnull().ifelse(ibis.literal(assumed), outcome)
    weight = ibis.coalesce(joined.worth_of, ibis.literal(1.0)) / joined.sampled
    # Of a ranking it says which row is its first.
    needless = {"request_id", "row", "key", "sampled"} - ({"row"} if isinstance(spec.task, Ranking) else set())
    rows = joined.select(
        *(each for each in matured.columns if each not in needless),
        outcome=outcome,
        weight=weight,
        assumed=~told,
    )
    rows = rows.filter(rows.outcome.notnull() & _is_foretold(rows))
    if spec.business is None:
        return rows
    of_log = _worth_columns(spec)
    rows = with_value(rows, "worth", spec.business, "business", of_log | _own(spec))
    return rows.mutate(worth=as_number(rows.worth).fill_null(0.0)).drop(*of_log.values())


def asked_for(spec: Spec) -> set[str]:
    """Columns of the log that people name, but for those that the task does. Raises EvaluationError."""
    said = {each.column for each in spec.all_segments if each.column is not None}
    for each in spec.all_segments:
        if each.sql is not None:
            said |= columns_of(parse(each.sql, f"segment {each.name}"))
    group = {spec.task.group} if isinstance(spec.task, Ranking) else set()
    return said | group | ({spec.unit} if spec.unit is not None else set()) | set(_worth_columns(spec))


def _own(spec: Spec) -> dict[str, str]:
    """What an expression of a row's worth may name beside the log's columns, and the columns of cohorts with it."""
    own = {"outcome": "outcome", "foretold": "foretold"}
    if isinstance(spec.task, Ranking):
        own["score"] = "foretold"
    if isinstance(spec.task, Classes) and spec.task.score is not None:
        own["score"] = "score"
    return own


def _worth_columns(spec: Spec, log: Table | None = None) -> dict[str, str]:
    """Columns of the log that the worth of a row is made of, and what they are called among those of cohorts, so that
    none is taken for one of these. Raises EvaluationError where `log` has them not."""
    if spec.business is None:
        return {}
    named = sorted(columns_of(parse(spec.business, "business")) - {*_own(spec)})
    if log is not None:
        _need(log, named, "business: the log")
    return {name: f"log.{name}" for name in named}


def _said(log: Table, name: str) -> Value:
    return log[name].cast("string").fill_null("") if name in log.columns else ibis.literal("")


def _need(table: Table, names: Iterable[str], what: str) -> None:
    for name in names:
        if name not in table.columns:
            raise EvaluationError(f"{what} has no column {name!r}, but {listed(table.columns)}")
