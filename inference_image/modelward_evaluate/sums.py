"""The sums that statistics are made of, by day, revision, arm and segment: everything is counted where the data are.

Values are summed as distances from the mean of their group, so that their spread keeps its digits where they are large
and close to one another, and a group of small ones its mean beside one of large ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import add
from typing import Any, Final

import ibis
import numpy as np
import pyarrow
from ibis.expr.types import IntegerValue, StringValue, Table, Value

from modelward_evaluate import rankings
from modelward_evaluate.cohorts import positive_of
from modelward_evaluate.columns import hashed
from modelward_evaluate.segments import Part, name_of, split, together
from modelward_evaluate.spec import Classes, Numbers, Ranking, Spec
from modelward_quality.calibration import BINS, Bin, calibration_of
from modelward_quality.clustered import BUCKETS
from modelward_quality.confusion import Pair, confusion_of
from modelward_quality.moments import Moments
from modelward_quality.regression import Errors
from modelward_quality.scores import LOWEST, PER_OCTAVE, scores_of
from modelward_quality.statistics import Statistics, losses_of

ERRORS: Final = ("outcome", "error", "square", "absolute", "relative")
MEASURED: Final = (*ERRORS, "loss", "brier", "worth")
"""Columns that have a mean, where they are there."""

SMALL: Final = ("loss", "brier", "mistake")
"""Measures below 37: they need no distance from a mean."""

SMALLEST: Final = 2.0**-52
"""Of a score in a logarithm and of an outcome that is divided by, as in scikit-learn."""

ROUNDING: Final = 2.0**-32
"""Of a logarithm: engines differ in its last digits, and 1/8 is to be in the same cell for all of them."""

CELLS: Final = ("pair", "cell", "bin")
"""Columns of codes that the sums of a group are divided by, where they are there."""

Columns = dict[str, Any]
Place = dict[str, Any]
"""Of a group: its keys."""
Keys = tuple[str, ...]
Found = Iterator[tuple[Place, Statistics]]
Pairs = Mapping[int, tuple[str, ...]]
"""Outcome and what was foretold, by the code of both."""


@dataclass(frozen=True)
class Group:
    """What was counted of one revision and arm. `day`: of all rows as a whole, empty for a segment; `segment`, `value`:
    both empty, of all rows."""

    day: str
    revision: str
    arm: str
    segment: str
    value: str
    statistics: Statistics


def groups(rows: Table, spec: Spec) -> Iterator[Group]:
    """`rows`: of `prepared`. By day, revision and arm; and for each segment by its values, of all days together."""
    if isinstance(spec.task, Ranking):
        yield from _groups_of_rankings(rows, spec, spec.task)
        return
    sides, pairs = _sides(rows), _pairs(rows)
    whole = _answer(rows, ("day", "side"))
    for place, statistics in _of_rows(whole, ("day", "side"), spec, pairs):
        yield Group(str(place["day"]), *sides[place["side"]], "", "", statistics)
    for parts in together(split(rows, spec.all_segments), _cells(whole)):
        found = _answer(rows, ("side",), parts)
        for part in parts:
            for place, statistics in _of_rows(found, ("side", part.column), spec, pairs):
                yield Group("", *sides[place["side"]], part.segment.name, name_of(place[part.column]), statistics)


def _groups_of_rankings(rows: Table, spec: Spec, task: Ranking) -> Iterator[Group]:
    sides = _sides(rows)
    for place, statistics in rankings.summed(rows, task, ("day", "side")):
        yield Group(str(place["day"]), *sides[place["side"]], "", "", statistics)
    for part in split(rows, spec.all_segments):
        valued = part.valued(rows)
        for place, statistics in rankings.summed(valued, task, ("side", "value")):
            yield Group("", *sides[place["side"]], part.segment.name, place["value"], statistics)


Factors = Mapping[tuple[str, str], Mapping[str, float]]
"""Of a revision and arm, by the hour: what the weight of each row is multiplied by. Other rows count nothing."""


def by_bucket(rows: Table, spec: Spec, factors: Factors) -> dict[tuple[str, str], list[Statistics]]:
    """The sums of each bucket of units, in their order, by revision and arm. `rows`: of `prepared`, by the hour, with a
    column `bucket`."""
    sides = _sides(rows)
    table = [
        {"of_day": datetime.fromisoformat(hour), "of_side": code, "factor": factor}
        for code, side in sides.items()
        for hour, factor in factors.get(side, {}).items()
    ]
    found: dict[tuple[str, str], list[Statistics]] = {side: [Statistics()] * BUCKETS for side in factors}
    if not table:
        return found
    given = ibis.memtable(table, schema={"of_day": rows.day.type(), "of_side": "int64", "factor": "float64"})
    joined = rows.inner_join(given, [rows.day == given.of_day, rows.side == given.of_side])
    valued = joined.mutate(weight=joined.weight * joined.factor, value=joined.bucket.cast("int64"))
    valued = valued.drop("of_day", "of_side", "factor")
    keys = ("side", "value")
    made = (
        rankings.summed(valued, spec.task, keys)
        if isinstance(spec.task, Ranking)
        else _of_rows(_answer(valued, keys), keys, spec, _pairs(rows))
    )
    for place, statistics in made:
        found[sides[place["side"]]][place["value"]] = statistics
    return found


@dataclass(frozen=True)
class Losses:
    """Of one day, revision, arm and value of a segment, by the loss that is watched for concept drift (`losses_of`)."""

    day: str
    revision: str
    arm: str
    segment: str
    value: str
    losses: Moments


def losses(rows: Table, spec: Spec) -> Iterator[Losses]:
    """`rows`: of `prepared`. By day, of all rows and of each segment."""
    sides = _sides(rows)
    for place, found in _daily(rows, spec, None):
        yield Losses(str(place["day"]), *sides[place["side"]], "", "", found)
    for part in split(rows, spec.all_segments):
        for place, found in _daily(rows, spec, part):
            named = part.segment.name, name_of(place["value"])
            yield Losses(str(place["day"]), *sides[place["side"]], *named, found)


def _daily(rows: Table, spec: Spec, part: Part | None) -> Iterator[tuple[Place, Moments]]:
    keys = ("day", "side", *(() if part is None else ("value",)))
    if isinstance(spec.task, Ranking):
        valued = rows if part is None else part.valued(rows)
        for place, statistics in rankings.summed(valued, spec.task, keys):
            yield place, losses_of(statistics) or Moments()
        return
    name = next((each for each in ("brier", "absolute") if each in rows.columns), "mistake")
    if name == "mistake":
        rows = rows.mutate(mistake=(rows.outcome != rows.foretold).ifelse(1.0, 0.0))
    found = _answer(rows, ("day", "side"), () if part is None else (part,), [name], ())
    for place, at in _places(found, ("day", "side", *(() if part is None else (part.column,)))):
        value = {} if part is None else {"value": place[part.column]}
        yield place | value, moments_of({each: column[at] for each, column in found.columns.items()}, name)


def _sides(rows: Table) -> dict[int, tuple[str, str]]:
    return {code: (of[0], of[1]) for code, of in _texts(rows, "side", "revision", "arm").items()}


def _pairs(rows: Table) -> Pairs:
    return _texts(rows, "pair", "outcome", "foretold") if "pair" in rows.columns else {}


def _texts(rows: Table, code: str, *columns: str) -> dict[int, tuple[str, ...]]:
    """What codes stand for."""
    said = rows.group_by(code=rows[code]).agg(**{name: rows[name].min() for name in columns}).to_pyarrow().to_pylist()
    return {each["code"]: tuple(each[name] for name in columns) for each in said}


@dataclass(frozen=True)
class Answer:
    """What an engine has summed, by columns of equal length. `texts`: what the codes stand for in those of texts."""

    columns: Columns
    texts: Mapping[str, Sequence[str | None]]


def _answer(
    rows: Table, keys: Keys, parts: Sequence[Part] = (), names: Sequence[str] | None = None, cells: Keys = CELLS
) -> Answer:
    """The sums by keys, by segments and by cells (those that are there), of what has a mean (`names`, None: of all that
    has one). All of them are one aggregate, of numbers for the most part; what is made of them is a matter of some
    thousand rows."""
    if names is None:
        names = measured_in(rows)
    for part in parts:
        rows = part.grouped(rows)
    by = (*keys, *(part.column for part in parts))
    rows = with_centres(rows, names, by)
    said = rows.group_by([*by, *(each for each in cells if each in rows.columns)]).agg(
        **counts(rows), **measures(rows, names)
    )
    said = said.mutate(**{part.column: part.named(said[part.column]) for part in parts})
    columns, texts = {}, {}
    for name, column in answered(said.to_pyarrow()):
        if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
            encoded = column.dictionary_encode("encode")
            texts[name], column = encoded.dictionary.to_pylist(), encoded.indices
        columns[name] = column.to_numpy(zero_copy_only=False)
    return Answer(columns, texts)


def measured_in(rows: Table) -> list[str]:
    return [name for name in MEASURED if name in rows.columns and (name != "outcome" or "error" in rows.columns)]


def _cells(found: Answer) -> int:
    """What a group is divided into."""
    return len(np.unique(_codes(found, tuple(each for each in ("side", *CELLS) if each in found.columns))))


def _of_rows(found: Answer, keys: Keys, spec: Spec, pairs: Pairs) -> Found:
    names = [name for name in MEASURED if f"sum_{name}" in found.columns]
    positive = positive_of(spec)
    for place, at in _places(found, keys):
        part = {name: column[at] for name, column in found.columns.items()}
        yield place, _statistics(part, pairs, names, positive)


def answered(answer: Any) -> Iterator[tuple[str, Any]]:
    for name in answer.column_names:
        yield name, answer.column(name).combine_chunks()


def _codes(found: Answer, keys: Keys) -> Any:
    """Of each row one number for all of the keys."""
    whole = np.zeros(len(found.columns[keys[0]]), np.int64)
    for key in keys:
        values, code = np.unique(found.columns[key], return_inverse=True)
        whole = whole * len(values) + code
    return whole


def _places(found: Answer, keys: Keys) -> Iterator[tuple[Place, Any]]:
    """Where in the columns each group is."""
    whole = _codes(found, keys)
    order = np.argsort(whole, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(whole[order])) + 1):
        if at.size:
            first = {key: found.columns[key][at[0]] for key in keys}
            yield {key: found.texts[key][one] if key in found.texts else one for key, one in first.items()}, at


def counts(rows: Table) -> dict[str, Value]:
    return {"rows": rows.count(), "weight": rows.weight.sum(), "squares": (rows.weight * rows.weight).sum()}


def with_centres(rows: Table, names: Sequence[str], keys: Keys) -> Table:
    """With the mean of each measure in its group, but of losses, which are small: these are summed as they are."""
    wide = [name for name in names if name not in SMALL]
    if not wide:
        return rows
    weight = rows.weight.sum().nullif(0)
    means = {f"centre_{name}": ((rows[name] * rows.weight).sum() / weight).fill_null(0.0) for name in wide}
    of = rows.group_by(list(keys)).agg(**means)
    renamed = of.rename({f"of_{key}": key for key in keys})
    # A value may be null.
    joined = rows.inner_join(renamed, [rows[key].identical_to(renamed[f"of_{key}"]) for key in keys])
    return joined.drop(*(f"of_{key}" for key in keys))


def measures(rows: Table, names: Sequence[str]) -> dict[str, Value]:
    """The sums of what has a mean, and of scores."""
    measures: dict[str, Value] = {}
    if "score" in rows.columns:
        measures |= {"sum_score": (rows.weight * rows.score).sum(), "low": rows.score.min(), "high": rows.score.max()}
    for name in names:
        away = rows[name]
        if name not in SMALL:
            away = away - rows[f"centre_{name}"]
            measures[f"centre_{name}"] = rows[f"centre_{name}"].max()
        measures |= {f"sum_{name}": (rows.weight * away).sum(), f"spread_{name}": (rows.weight * away * away).sum()}
    return measures


def prepared(rows: Table, spec: Spec) -> Table:
    """What is summed of each row; labels and names as numbers, which are quicker to group by. `side`: of revision and
    arm; `pair`: of outcome and what was foretold."""
    made = rows.mutate(side=_code(rows.revision, rows.arm))
    if isinstance(spec.task, Numbers):
        error = made.foretold - made.outcome
        relative = error.abs() / ibis.greatest(made.outcome.abs(), SMALLEST)
        return made.mutate(error=error, square=error * error, absolute=error.abs(), relative=relative)
    if not isinstance(spec.task, Classes):
        return made
    made = made.mutate(pair=_code(made.outcome, made.foretold))
    positive = positive_of(spec)
    return _with_losses(made, positive) if positive is not None and "score" in made.columns else made


def _code(*texts: StringValue) -> IntegerValue:
    """62 bits of a hash: as good as certain to be others for other texts."""
    whole = reduce(add, (*(each.length().cast("string").concat(":", each) for each in texts[:-1]), texts[-1]))
    return hashed(whole) & (2**62 - 1)


def _with_losses(rows: Table, positive: str) -> Table:
    score = rows.score
    is_positive = rows.outcome == positive
    truth = is_positive.ifelse(1.0, 0.0)
    said = ibis.greatest(ibis.least(is_positive.ifelse(score, 1 - score), 1 - SMALLEST), SMALLEST)
    return rows.mutate(
        positive=is_positive,
        cell=cell_of(score),
        bin=ibis.least((score * BINS).floor(), BINS - 1).cast("int8"),
        loss=-said.ln(),
        brier=(score - truth) * (score - truth),
    )


def cell_of(score: Value) -> Value:
    # Of 0 there is no logarithm.
    smaller = ibis.greatest(ibis.least(score, 1 - score), 2.0**-1000)
    depth = ibis.greatest(((2 * smaller).log2() * PER_OCTAVE + ROUNDING).floor(), LOWEST).cast("int32")
    return (score < 0.5).ifelse(depth, -depth)


def _statistics(of: Columns, pairs: Pairs, names: Sequence[str], positive: str | None) -> Statistics:
    means = {name: moments_of(of, name) for name in names}
    confusion = scored = bins = None
    if pairs:
        confusion = confusion_of(
            Pair(pairs[int(code)][0], pairs[int(code)][1], int(rows), *sums)
            for code, rows, *sums in _by(of["pair"], of["rows"], of["weight"], of["squares"])
        )
    if "cell" in of:
        is_positive = np.array([pairs[int(code)][0] == positive for code in of["pair"]], bool)
        weight, squares = of["weight"], of["squares"]
        sides = (column * side for side in (is_positive, ~is_positive) for column in (weight, squares))
        scored = scores_of(of["cell"], of["rows"], of["low"], of["high"], *sides)
        sums_of_bins = _by(of["bin"], of["rows"], weight, squares, of["sum_score"], weight * is_positive)
        bins = calibration_of(Bin(int(number), int(rows), *sums) for number, rows, *sums in sums_of_bins)
    return Statistics(
        confusion=confusion,
        scores=scored,
        calibration=bins,
        loss=means.get("loss"),
        brier=means.get("brier"),
        errors=Errors(**{name: means[name] for name in ERRORS}) if "error" in means else None,
        worth=means.get("worth"),
    )


def _by(code: Any, *columns: Any) -> Iterator[tuple[float, ...]]:
    """The sums of columns by a code."""
    values, place = np.unique(code, return_inverse=True)
    sums = [np.bincount(place, column, len(values)) for column in columns]
    yield from zip(values.tolist(), *(each.tolist() for each in sums), strict=True)


def moments_of(of: Columns, name: str) -> Moments:
    rows, weight, squares = int(of["rows"].sum()), float(of["weight"].sum()), float(of["squares"].sum())
    if not weight:
        return Moments(rows)
    if name in SMALL:
        away = float(of[f"sum_{name}"].sum()) / weight
        spread = float(of[f"spread_{name}"].sum()) - away * away * weight
        return Moments(rows, weight, squares, away, max(0.0, spread))
    # The groups that were summed together had centres of their own: that of the heaviest is close to their mean.
    first = float(of[f"centre_{name}"][np.argmax(of["weight"])])
    away = of[f"centre_{name}"] - first
    mean = float((of[f"sum_{name}"] + of["weight"] * away).sum()) / weight
    away = away - mean
    spread = float((of[f"spread_{name}"] + 2 * away * of[f"sum_{name}"] + of["weight"] * away * away).sum())
    return Moments(rows, weight, squares, first + mean, max(0.0, spread))
