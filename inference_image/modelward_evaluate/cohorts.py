"""Predictions whose outcomes are known for good, each with its outcome: what all sums are made of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import ibis
from ibis.expr.types import BooleanValue, Table, Value

from modelward_evaluate import outcomes
from modelward_evaluate.columns import TIME, as_number, as_text, listed
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.expressions import columns_of, parse, with_value
from modelward_evaluate.spec import Classes, Numbers, Ranking, Segment, Spec

NEEDED: Final = ("request_id", "row", "time")

NOT: Final = "not "
"""Before the positive label: what is foretold where only its score is known."""

OTHERS: Final = "(others)"
"""Of a segment: values that are too rare to have statistics of their own."""

_OWN: Final = ("id", "time", "day", "revision", "arm", "foretold", "score", "group", "weight")
"""Columns of cohorts, which expressions may name."""

MISSING: Final = "(missing)"


Keep = Callable[[str, Table], Table]


@dataclass(frozen=True)
class Cohorts:
    """`rows`: matured predictions with an outcome, each once: day, revision, arm, weight, outcome, what was foretold,
    worth, and a column `segment.NAME` for each segment; `counts`: what became of predictions and outcomes."""

    rows: Table
    counts: dict[str, int]


def cohorts(log: Table, given: Table, spec: Spec, keep: Keep) -> Cohorts:
    """`log`: of the predictions; `given`: the outcomes as their files have them; `keep`: has the engine remember a
    table, as each is read several times. Raises EvaluationError."""
    kind = "text" if isinstance(spec.task, Classes) else "number"
    predictions = keep("narrowed", narrowed(log, spec))
    given = outcomes.normal_form(given, spec.outcomes, kind)
    given = keep("given", given.mutate(number=ibis.row_number()))
    readable = outcomes.is_readable(given)
    future = outcomes.is_future(given, spec.now)
    usable = given.filter(readable & ~future)
    found = keep("found", outcomes.pairs(predictions, usable))
    timely = outcomes.in_time(found, spec)
    best = keep("best", outcomes.chosen(found.filter(timely)))
    is_matured = predictions.time <= ibis.literal(spec.matured)
    matured = predictions.filter(is_matured)
    rows = keep("matured", _with_outcomes(matured, best, spec))
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
    return Cohorts(rows, counts)


def _numbers(table: Table, **conditions: BooleanValue | None) -> dict[str, int]:
    """Of the rows of a table for which a condition holds; None: of all."""
    sums = {name: table.count() if each is None else each.fill_null(False).sum() for name, each in conditions.items()}
    found: dict[str, Any] = table.agg(**sums).to_pyarrow().to_pylist()[0]
    return {name: int(each or 0) for name, each in found.items()}


def _number(each: Value) -> int:
    return int(each.to_pyarrow().as_py() or 0)


def narrowed(log: Table, spec: Spec) -> Table:
    """The predictions that are asked for with the columns that are needed; `id` tells them apart. Raises
    EvaluationError where a column is not there."""
    _need(log, NEEDED, "the log")
    log = _with_segments(log, spec)
    there = log.columns
    fraction = log.fraction.cast("float64") if "fraction" in there else ibis.literal(1.0)
    time = log.time.cast(TIME)
    rows = log.select(
        request_id=log.request_id.cast("string"),
        row=log.row.cast("int64"),
        key=log.key.cast("string") if "key" in there else ibis.null("string"),
        time=time,
        day=time.date(),
        revision=log.revision.cast("string") if "revision" in there else ibis.literal(""),
        arm=log.arm.cast("string") if "arm" in there else ibis.literal(""),
        sampled=ibis.ifelse((fraction > 0) & (fraction <= 1), fraction, 1.0),
        **_foretold(log, spec),
        **{column_of(each): log[column_of(each)] for each in spec.all_segments},
        **{name: log[name] for name in _worth_columns(log, spec)},
    )
    if spec.begin is not None:
        rows = rows.filter(rows.time >= ibis.literal(spec.begin))
    if spec.end is not None:
        rows = rows.filter(rows.time < ibis.literal(spec.end))
    return rows.mutate(id=ibis.row_number())


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
                made["foretold"] = as_text(log[task.label])
            else:
                made["foretold"] = (as_number(log[str(task.score)]) >= task.threshold).ifelse(
                    ibis.literal(label(str(task.positive))), ibis.literal(NOT + label(str(task.positive)))
                )
            return made
        case Numbers():
            _need(log, [task.value], "the log")
            return {"foretold": as_number(log[task.value])}
        case Ranking():
            _need(log, [task.score, task.group], "the log")
            return {"foretold": as_number(log[task.score]), "group": log[task.group].cast("string")}


def _is_foretold(rows: Table) -> BooleanValue:
    """Whether the model said something that can be held against an outcome."""
    said = rows.foretold.notnull()
    return said & rows.score.notnull() if "score" in rows.columns else said


def _with_segments(log: Table, spec: Spec) -> Table:
    """With a column for each segment. Raises EvaluationError."""
    for each in spec.all_segments:
        name = column_of(each)
        if each.sql is not None:
            log = with_value(log, name, each.sql, f"segment {each.name}")
        else:
            _need(log, [str(each.column)], f"segment {each.name}: the log")
            log = log.mutate(**{name: log[each.column]})
        log = log.mutate(**{name: as_text(log[name]).fill_null(MISSING)})
    return log


def column_of(segment: Segment) -> str:
    return f"segment.{segment.name}"


def _with_outcomes(matured: Table, best: Table, spec: Spec) -> Table:
    sure = best.filter(~best.undecided)
    chosen = sure.select(of="id", outcome="value", worth_of="weight")
    joined = matured.left_join(chosen, matured.id == chosen.of)
    told = joined.of.notnull()
    absent = spec.outcomes.absent
    outcome: Value = joined.outcome
    if absent is not None:
        # Of what nobody could decide nothing is assumed.
        doubtful = best.filter(best.undecided).select(doubtful="id")
        joined = joined.left_join(doubtful, joined.id == doubtful.doubtful)
        told = joined.of.notnull()
        assumed = label(absent) if isinstance(spec.task, Classes) else float(absent)
        outcome = ibis.ifelse(told | joined.doubtful.notnull(), joined.outcome, ibis.literal(assumed))
    weight = ibis.coalesce(joined.worth_of, ibis.literal(1.0)) / joined.sampled
    rows = joined.select(
        *(each for each in matured.columns if each not in ("request_id", "row", "key", "sampled")),
        outcome=outcome,
        weight=weight,
        assumed=~told,
    )
    rows = rows.filter(rows.outcome.notnull() & _is_foretold(rows))
    if spec.business is None:
        return rows
    rows = with_value(rows, "worth", spec.business, "business")
    return rows.mutate(worth=as_number(rows.worth).fill_null(0.0))


def _worth_columns(log: Table, spec: Spec) -> set[str]:
    """Columns of the log that the worth of a row is made of."""
    if spec.business is None:
        return set()
    named = columns_of(parse(spec.business, "business")) - {"outcome", *_OWN}
    _need(log, sorted(named), "business: the log")
    return named


def label(value: str | float | bool) -> str:
    """As as_text writes labels."""
    if isinstance(value, str):
        return {"true": "1", "True": "1", "false": "0", "False": "0"}.get(value, value)
    return str(int(value)) if float(value).is_integer() else str(float(value))


def _need(table: Table, names: Iterable[str], what: str) -> None:
    for name in names:
        if name not in table.columns:
            raise EvaluationError(f"{what} has no column {name!r}, but {listed(table.columns)}")
