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
from ibis.expr.types import IntegerValue, StringValue, Table, Value

from modelward_evaluate.cohorts import OTHERS, column_of, positive_of
from modelward_evaluate.columns import hashed
from modelward_evaluate.spec import Classes, Numbers, Ranking, Segment, Spec
from modelward_quality.calibration import BINS, Bin, calibration_of
from modelward_quality.clustered import BUCKETS
from modelward_quality.confusion import Pair, confusion_of
from modelward_quality.moments import Moments, moments
from modelward_quality.ranking import ndcg, reciprocal_rank
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

OTHER: Final = 0
"""The code of what has none of its own."""

Columns = dict[str, Any]
Key = tuple[str, int, int]
Record = dict[str, Any]
Keys = tuple[str, ...]
Found = Iterator[tuple[Key, Statistics]]
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
    sides = _texts(rows, "side", "revision", "arm")
    pairs = _texts(rows, "pair", "outcome", "foretold") if "pair" in rows.columns else {}
    for segment in (None, *spec.all_segments):
        names = {} if segment is None else _names(rows, segment)
        for (day, side, of), statistics in _of_segment(rows, spec, segment, names, pairs):
            name, said = ("", "") if segment is None else (segment.name, names.get(of, OTHERS))
            revision, arm = sides[side]
            yield Group(day, revision, arm, name, said, statistics)


def _of_segment(rows: Table, spec: Spec, segment: Segment | None, names: Mapping[int, str], pairs: Pairs) -> Found:
    """`names`: of the values that have a group of their own."""
    valued = _valued(rows, segment, names)
    keys = (*(("day",) if segment is None else ()), "side", "value")
    if isinstance(spec.task, Ranking):
        return _of_rankings(valued, spec.task, keys)
    return _of_rows(valued, spec, keys, pairs)


def _valued(rows: Table, segment: Segment | None, names: Mapping[int, str]) -> Table:
    value: Value = ibis.literal(OTHER, "int64")
    if segment is not None and names:
        code = rows[code_of(segment)]
        value = code.isin(list(names)).ifelse(code, value)
    return rows.mutate(value=value)


Factors = Mapping[tuple[str, str], Mapping[str, float]]
"""Of a revision and arm, by the hour: what the weight of each row is multiplied by. Other rows count nothing."""


def by_bucket(rows: Table, spec: Spec, factors: Factors) -> dict[tuple[str, str], list[Statistics]]:
    """The sums of each bucket of units, in their order, by revision and arm. `rows`: of `prepared`, by the hour, with a
    column `bucket`."""
    sides = {code: (of[0], of[1]) for code, of in _texts(rows, "side", "revision", "arm").items()}
    pairs = _texts(rows, "pair", "outcome", "foretold") if "pair" in rows.columns else {}
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
    # A code of a value is never OTHER.
    valued = joined.mutate(weight=joined.weight * joined.factor, value=joined.bucket.cast("int64") + 1)
    valued = valued.drop("of_day", "of_side", "factor")
    keys = ("side", "value")
    made = (
        _of_rankings(valued, spec.task, keys) if isinstance(spec.task, Ranking) else _of_rows(valued, spec, keys, pairs)
    )
    for (_, side, bucket), statistics in made:
        found[sides[side]][bucket - 1] = statistics
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
    sides = _texts(rows, "side", "revision", "arm")
    for segment in (None, *spec.all_segments):
        names = {} if segment is None else _names(rows, segment)
        for (day, side, of), found in _daily(_valued(rows, segment, names), spec):
            name, said = ("", "") if segment is None else (segment.name, names.get(of, OTHERS))
            revision, arm = sides[side]
            yield Losses(day, revision, arm, name, said, found)


def _daily(rows: Table, spec: Spec) -> Iterator[tuple[Key, Moments]]:
    keys = ("day", "side", "value")
    if isinstance(spec.task, Ranking):
        for key, statistics in _of_rankings(rows, spec.task, keys):
            yield key, losses_of(statistics) or Moments()
        return
    name = next((each for each in ("brier", "absolute") if each in rows.columns), "mistake")
    if name == "mistake":
        rows = rows.mutate(mistake=(rows.outcome != rows.foretold).ifelse(1.0, 0.0))
    rows = with_centres(rows, [name], keys)
    said = rows.group_by(list(keys)).agg(**counts(rows), **measures(rows, [name]))
    found = {each: column.to_numpy(zero_copy_only=False) for each, column in answered(said.to_pyarrow())}
    for key, at in _places(found, keys):
        yield key, moments_of({each: column[at] for each, column in found.items()}, name)


def _names(rows: Table, segment: Segment) -> dict[int, str]:
    """The most frequent values of a segment by their codes."""
    counted = rows.group_by(code=rows[code_of(segment)]).agg(n=rows.count(), said=rows[column_of(segment)].min())
    kept = counted.order_by(ibis.desc("n"), "said").limit(segment.values).to_pyarrow().to_pylist()
    return {each["code"]: each["said"] for each in kept}


def _texts(rows: Table, code: str, *columns: str) -> dict[int, tuple[str, ...]]:
    """What codes stand for."""
    said = rows.group_by(code=rows[code]).agg(**{name: rows[name].min() for name in columns}).to_pyarrow().to_pylist()
    return {each["code"]: tuple(each[name] for name in columns) for each in said}


def code_of(segment: Segment) -> str:
    return f"code.{segment.name}"


def _of_rows(rows: Table, spec: Spec, keys: Keys, pairs: Pairs) -> Found:
    """All sums of a segment are one aggregate, of numbers alone; what is made of them is a matter of some thousand
    rows."""
    cells = tuple(each for each in ("pair", "cell", "bin") if each in rows.columns)
    names = [name for name in MEASURED if name in rows.columns and (name != "outcome" or "error" in rows.columns)]
    rows = with_centres(rows, names, keys)
    said = rows.group_by([*keys, *cells]).agg(**counts(rows), **measures(rows, names))
    found = {name: column.to_numpy(zero_copy_only=False) for name, column in answered(said.to_pyarrow())}
    positive = positive_of(spec)
    for key, at in _places(found, keys):
        part = {name: column[at] for name, column in found.items()}
        yield key, _statistics(part, pairs, names, positive)


def answered(answer: Any) -> Iterator[tuple[str, Any]]:
    for name in answer.column_names:
        yield name, answer.column(name).combine_chunks()


def _places(found: Columns, keys: Keys) -> Iterator[tuple[Key, Any]]:
    """Where in the columns each group is."""
    codes = [np.unique(found[each], return_inverse=True) for each in keys]
    whole = np.zeros(len(found[keys[0]]), np.int64)
    for values, code in codes:
        whole = whole * len(values) + code
    for each in np.unique(whole):
        at = np.flatnonzero(whole == each)
        record = {name: found[name][at[0]] for name in keys}
        yield (str(record.get("day", "")), int(record["side"]), int(record["value"])), at


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
    joined = rows.inner_join(renamed, [rows[key] == renamed[f"of_{key}"] for key in keys])
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
    codes = {code_of(each): _code(rows[column_of(each)]) for each in spec.all_segments}
    made = rows.mutate(side=_code(rows.revision, rows.arm), **codes)
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
    """62 bits of a hash: as good as certain to be others for other texts. Never OTHER."""
    whole = reduce(add, (each.length().cast("string").concat(":", each) for each in texts))
    return ibis.greatest(hashed(whole) & (2**62 - 1), 1)


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
    centre = 0.0 if name in SMALL else float(of[f"centre_{name}"][0])
    away = float(of[f"sum_{name}"].sum()) / weight
    spread = max(0.0, float(of[f"spread_{name}"].sum()) - away * away * weight)
    return Moments(rows, weight, squares, centre + away, spread)


def _of_rankings(rows: Table, task: Ranking, keys: Keys) -> Found:
    """A ranking as a whole is of the day and the segment of its first row."""
    day = {"day": rows.day.min()} if "day" in keys else {}
    place = ibis.struct({"time": rows.time, "row": rows.row, "id": rows.id})
    whole = rows.group_by(["side", "group"]).agg(
        **day,
        value=rows.value.argmin(place),
        weight=rows.weight.mean(),
        gain=rows.outcome.collect(),
        score=rows.foretold.collect(),
        **({"worth": rows.worth.sum()} if "worth" in rows.columns else {}),
    )
    found: dict[Key, list[Record]] = {}
    for batch in whole.to_pyarrow_batches(chunk_size=10_000):
        for each in batch.to_pylist():
            made = {
                "weight": each["weight"],
                "ndcg": ndcg(each["gain"], each["score"], task.k),
                "mrr": reciprocal_rank(each["gain"], each["score"]),
                "worth": each.get("worth"),
            }
            found.setdefault((str(each.get("day", "")), each["side"], each["value"]), []).append(made)
    for key in sorted(found):
        sides = {name: _mean_of(found[key], name) for name in ("ndcg", "mrr", "worth")}
        yield (
            key,
            Statistics(ndcg=sides["ndcg"], mrr=sides["mrr"], worth=sides["worth"] if "worth" in rows.columns else None),
        )


def _mean_of(found: list[Record], name: str) -> Moments:
    known = [each for each in found if each[name] is not None]
    return moments([each[name] for each in known], [each["weight"] for each in known])
