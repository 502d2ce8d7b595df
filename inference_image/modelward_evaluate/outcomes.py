"""Outcomes as they come, and the one that counts for each prediction.

| an outcome that | counts | and is told as |
|---|---|---|
| is there again, the same value | once | duplicate |
| says otherwise than an earlier one | the one that arrived last within the window | contradicting |
| arrived at the same moment as one that says otherwise | neither | undecided |
| arrived after the row's label window | not | late |
| is of a prediction that is not logged | not | unmatched |
| has a time to come | not | future |
| has no value, neither id nor key, or a row, time or weight that is none | not | unreadable |
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Final

import ibis
from ibis.expr.types import BooleanValue, Table, Value

from modelward_evaluate.columns import TIME, as_double, as_id, as_label, as_number, as_place, as_time, listed
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.spec import Outcomes, Spec

SKEW: Final = 300
"""Seconds that clocks may differ."""

FORMS: Final[Mapping[str, Callable[[Value], Value]]] = {
    "string": as_id, "int64": as_place, "float64": as_double, TIME: as_time,
}  # fmt: skip
"""What makes a column's values one of a type."""

LIGHTEST, HEAVIEST = 1e-20, 1e20
"""Of weights above 0: squares of others can't be summed."""


def check_columns(there: Sequence[str], spec: Outcomes) -> None:
    """Raises EvaluationError for what can't be done without."""
    if spec.value not in there:
        raise EvaluationError(f"outcomes: there is no column {spec.value!r} for the value, but {listed(there)}")
    if spec.request_id not in there and spec.key not in there:
        raise EvaluationError(
            f"outcomes: neither {spec.request_id!r} (the answer's x-request-id) nor {spec.key!r} (your own key) is "
            f"there, but {listed(there)}"
        )


def normal_form(given: Table, spec: Outcomes, kind: str) -> Table:
    """request_id, key, row, value, time, arrived, weight, whatever they are called in the data; null where it has none
    (a weight is 1, and what has no time of its arrival arrived at its time); `unsound`: one of them is of another type.
    `kind`: "text" or "number", of the value.
    Raises EvaluationError for what can't be done without."""
    there = given.columns
    check_columns(there, spec)
    unsound = []

    def column(name: str, to: str) -> Value:
        if name not in there:
            return ibis.null(to)
        said = given[name]
        if to == TIME and said.type().is_numeric():
            # Of a column of Parquet that has no value at all DuckDB makes one of whole numbers.
            if said.notnull().any().to_pyarrow().as_py():
                # To some engines they are seconds, to others nothing.
                raise EvaluationError(f"outcomes: {name!r} has numbers; write times, such as 2026-01-31T10:00:00Z")
            return ibis.null(to)
        if said.type().is_string():
            # As text has what is not there.
            said = said.nullif("")
        if said.type().is_floating():
            # As numbers with gaps have it.
            said = said.isnan().ifelse(ibis.null(said.type()), said)
        value = FORMS[to](said)
        unsound.append(said.notnull() & value.isnull())
        return value

    time = column(spec.time, TIME)
    return given.select(
        request_id=column(spec.request_id, "string"),
        key=column(spec.key, "string"),
        row=column(spec.row, "int64"),
        value=as_label(given[spec.value]) if kind == "text" else as_number(given[spec.value]),
        time=time,
        arrived=ibis.coalesce(column(spec.arrived, TIME), time),
        weight=ibis.coalesce(column(spec.weight, "float64"), ibis.literal(1.0)),
        unsound=reduce(or_, unsound),
    )


def is_readable(told: Table) -> BooleanValue:
    """Whether an outcome says what, and of which prediction."""
    named = told.request_id.notnull() | told.key.notnull()
    weighed = (told.weight == 0) | told.weight.between(LIGHTEST, HEAVIEST)
    return named & told.value.notnull() & weighed & ~told.unsound


def is_future(told: Table, now: datetime) -> BooleanValue:
    """Whether it is of a time to come, or arrives then. One without a time is not."""
    soon = ibis.literal(now + timedelta(seconds=SKEW))
    return (told.time > soon).fill_null(False) | (told.arrived > soon).fill_null(False)


def pairs(predictions: Table, told: Table, *, since: bool = False) -> Table:
    """Each prediction with each outcome of it: `id`, `predicted`, and `value`, `arrived`, `weight`, `number` of the
    outcome.

    The request id decides where there is one, else the key, which may be of several requests: each has the outcome. An
    outcome without a row is of a request with one row; where that has more, nobody knows of which it is. `since`: keys
    are predicted again and again, and what came to pass before the day of a prediction is of an earlier one.
    """
    whose = ("request_id", "revision", "arm")
    rows = predictions.select("id", "row", "key", *whose, predicted="time")
    sides = []
    for name, side in (
        ("request_id", told.filter(told.request_id.notnull())),
        ("key", told.filter(told.request_id.isnull())),
    ):
        said = side.select(
            of=name, at="row", value="value", arrived="arrived", weight="weight", number="number",
            came=ibis.coalesce(side.time, side.arrived),
        )  # fmt: skip
        exact = rows.inner_join(said, [rows[name] == said.of, rows.row == said["at"]])
        open_ones = said.filter(said["at"].isnull())
        loose = rows.inner_join(open_ones, [rows[name] == open_ones.of])
        # A request that was repeated under its id is twice there, with the same row.
        window = ibis.window(group_by=[loose.number, *(loose[each] for each in whose)])
        place = loose.row.fill_null(-1)
        loose = loose.mutate(alone=place.min().over(window) == place.max().over(window))
        loose = loose.filter(loose.alone)
        kept = ("id", "predicted", "value", "arrived", "weight", "number")
        # By days: many a system knows no more of when something came to pass.
        first, second = (
            each.filter((each.came.date() >= each.predicted.date()).fill_null(True)) if since else each
            for each in (exact, loose)
        )
        sides.append(first.select(*kept).union(second.select(*kept)))
    found = sides[0].union(sides[1])
    # One that has no time at all is taken as in time.
    return found.mutate(arrived=ibis.coalesce(found.arrived, found.predicted))


def chosen(found: Table) -> Table:
    """The outcome that counts of each prediction: `id`, `value`, `weight`; `told` (how many there were in time), and
    whether it is `contradicting` or `undecided` (then it doesn't count). `found`: of `pairs`, those in time."""
    best = found.group_by("id").agg(
        told=found.count(),
        value=found.value.argmax(found.arrived),
        weight=found.weight.argmax(found.arrived),
        lowest=found.value.min(),
        highest=found.value.max(),
        lightest=found.weight.min(),
        heaviest=found.weight.max(),
    )
    split = best.filter((best.lowest != best.highest) | (best.lightest != best.heaviest)).select("id")
    disputed = found.semi_join(split, "id")
    last = disputed.mutate(last=disputed.arrived.max().over(group_by="id"))
    last = last.filter(last.arrived == last.last)
    # Of several weights of one moment the highest, so that it is the same one each time.
    sides = last.group_by("id").agg(values=last.value.nunique(), last_weight=last.weight.max())
    sides = sides.rename(disputed="id")
    joined = best.left_join(sides, best.id == sides.disputed)
    return joined.select(
        "id",
        "value",
        "told",
        weight=ibis.coalesce(joined.last_weight, joined.weight),
        contradicting=joined.lowest != joined.highest,
        undecided=(joined["values"] > 1).fill_null(False),
    )


def in_time(found: Table, spec: Spec) -> BooleanValue:
    """Whether it arrived within the label window of its prediction; what has no time did."""
    if spec.label_window_seconds is None:
        return found.id.notnull()
    # To the moment, as what is matured: else outcomes would count that came after the row had been counted.
    window = ibis.interval(microseconds=round(spec.label_window_seconds * 1e6))
    late = found.arrived > found.predicted + window
    return ~late.fill_null(False)
