"""Feature parity: whether what the model was asked is what the training pipeline says of the same entity at that time.

`python -m modelward_evaluate.parity SPEC.json`, or `modelward parity-check SPEC.json`. Each logged row is held against
the newest row of features that has its key and is no later than its request: what training would have been given.
Columns differ where numbers are further apart than `tolerance` and where texts are not the same; nothing and something
differ, and nothing and nothing are equal. Rows of one entity are no evidence of their own for each other: intervals
are as wide as so many entities leave them. Exit code 0: no column's share of unequal values is surely above
`threshold`; 3: some are; 1: it could not be found out.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Final, Self

import ibis
from ibis.backends.duckdb import Backend
from ibis.expr.types import BooleanValue, Table, Value
from pydantic import Field, ValidationError, model_validator

from modelward_evaluate import tables
from modelward_evaluate.columns import TIME, as_id, as_label, as_number, listed
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.inputs import FOLDERS, of_days
from modelward_evaluate.sources import close_to_files, engine, listing, logged, table
from modelward_evaluate.spec import Column, Files, Run, Source, explained
from modelward_quality.beta import clopper_pearson, student
from modelward_quality.estimate import LEVEL, Estimate, estimate, quantile

UNEQUAL: Final = 3
"""Exit code."""

DAYS: Final = 400
"""That are told, the last ones."""

LATEST: Final = 2.5e11
"""Of times, in seconds since the epoch: within the year 9892."""

INPUT: Final = "input."
"""Before the names of the log's columns of inputs."""


class Features(Source):
    """What the pipeline says, in files or in a table of a database. `key`: the column with the entity, as requests
    named it; `time`: from when on a row holds, None: always, and then a key has one row."""

    key: Column = "key"
    time: Column | None = None


class Parity(Run):
    """`columns`: of the log, and what the features call each; none: all inputs that have a feature of their name.
    `key`: of the log; `tolerance`: of numbers, relative to the larger one; `threshold`: the share of a column's
    values that may be unequal; `max_age_seconds`: an older row of features is none, as in an
    online store; `examples`: of unequal values, for each column; `chance`: that any column is said to be surely
    unequal which is not, None: each has an interval of 95 %."""

    predictions: Files
    features: Features
    columns: Annotated[Mapping[Column, Column], Field(max_length=2000)] = Field(default_factory=dict)
    key: Column = "key"
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 1e-6
    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.01
    max_age_seconds: Annotated[float, Field(gt=0)] | None = None
    examples: Annotated[int, Field(ge=0, le=100)] = 5
    chance: Annotated[float, Field(gt=0, lt=1)] | None = None

    def level(self, columns: int) -> float:
        """Of the intervals. One end of each is looked at (Bonferroni)."""
        return LEVEL if self.chance is None else max(0.5, 1 - 2 * self.chance / max(1, columns))

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.max_age_seconds is not None and self.features.time is None:
            raise ValueError("max_age_seconds: features.time is needed to tell how old a row is")
        return self


def load(text: str | bytes) -> Parity:
    """Raises EvaluationError, naming each field that is wrong."""
    try:
        return Parity.model_validate_json(text)
    except ValidationError as error:
        raise EvaluationError(explained(error)) from error


def check(asked: Parity) -> dict[str, Any]:
    """As JSON. Raises EvaluationError."""
    log, of_log = logged(asked.predictions)
    if of_log:
        log = replace(log, paths=of_days(of_log, asked))
    offline = None if asked.features.files is None else listing(asked.features.files)
    with engine(asked, "comparison") as con:
        ids = {asked.key, "request_id"}
        predictions = table(con, "predictions", log, "predictions", ids.__contains__, FOLDERS if of_log else None)
        if offline is not None:
            given = table(con, "features", offline, "features", {asked.features.key}.__contains__)
        else:
            given = _from_table(con, asked, predictions)
        close_to_files(con)
        columns = _columns(asked, predictions, given)
        keep = partial(con.create_table, temp=True)
        rows = keep("logged", _logged(predictions, asked, columns))
        known = keep("known", _known(given, asked, columns))
        pairs = keep("pairs", _pairs(rows, known, asked))
        found = _told(rows, known, pairs, asked, columns)
        found["counts"]["unreadableFeatures"] = _unreadable(given, asked.features.time)
        return found


def _from_table(con: Backend, asked: Parity, predictions: Table) -> Table:
    """The columns that are compared, of rows that may be the newest of a request's time."""
    source, where = asked.features, asked.features.table
    assert where is not None

    def narrowed(remote: Table) -> Table:
        names = dict.fromkeys([
            source.key, *([source.time] if source.time else ()), *_columns(asked, predictions, remote).values()
        ])  # fmt: skip
        oldest = None
        if asked.begin is not None and asked.max_age_seconds is not None:
            oldest = asked.begin - timedelta(seconds=asked.max_age_seconds) - tables.MARGIN
        newest = None if asked.end is None else asked.end + tables.MARGIN
        rows = remote if source.time is None else remote.filter(tables.is_between(remote[source.time], oldest, newest))
        return rows.select(*names)

    return tables.copied(con, where, tables.FEATURES, {source.key}, narrowed)


def _columns(asked: Parity, predictions: Table, given: Table) -> dict[str, str]:
    """Of the log, and of the features. Raises EvaluationError where one is not there."""
    inputs = [each for each in predictions.columns if each.startswith(INPUT)]
    columns = dict(asked.columns) or {
        each: name for each in inputs if (name := each.removeprefix(INPUT)) in given.columns
    }
    if not columns:
        raise EvaluationError(
            f"no input of the log ({listed(inputs)}) has a feature of its name ({listed(given.columns)}): name them in "
            "`columns`"
        )
    times = [] if asked.features.time is None else [asked.features.time]
    for what, there, names in (
        ("the log", predictions.columns, [asked.key, "time", "request_id", *columns]),
        ("features", given.columns, [asked.features.key, *times, *columns.values()]),
    ):
        for name in names:
            if name not in there:
                raise EvaluationError(f"{what}: there is no column {name!r}, but {listed(there)}")
    return columns


def _logged(log: Table, asked: Parity, columns: Mapping[str, str]) -> Table:
    rows = log.select(
        key=as_id(log[asked.key]),
        time=log.time.cast(TIME),
        request_id=as_id(log.request_id),
        row=log.row.cast("int64") if "row" in log.columns else ibis.literal(0, "int64"),
        **{f"l{number}": log[name] for number, name in enumerate(columns)},
    )
    if asked.begin is not None:
        rows = rows.filter(rows.time >= ibis.literal(asked.begin))
    if asked.end is not None:
        rows = rows.filter(rows.time < ibis.literal(asked.end))
    return rows


def _known(given: Table, asked: Parity, columns: Mapping[str, str]) -> Table:
    """One row a key and time: of several that say otherwise, nobody knows which."""
    time = asked.features.time
    rows = given.select(
        key=as_id(given[asked.features.key]),
        since=_moment(given[time]) if time is not None else ibis.literal("0001-01-01").cast(TIME),
        **{f"f{number}": given[name] for number, name in enumerate(columns.values())},
    )
    rows = rows.filter(rows.key.notnull() & rows.since.notnull()).distinct()
    return rows.mutate(several=rows.count().over(ibis.window(group_by=["key", "since"])))


def _moment(value: Value) -> Value:
    """Numbers are seconds since the epoch; what can't be read is null."""
    if not value.type().is_numeric():
        return value.try_cast(TIME)
    number = value.cast("float64")
    return (number.abs() < LATEST).ifelse(number, ibis.null("float64")).cast(TIME)


def _unreadable(given: Table, time: str | None) -> int:
    """Rows of features whose time is none: they are not compared."""
    return 0 if time is None else _number((given[time].notnull() & _moment(given[time]).isnull()).sum())


def _pairs(rows: Table, known: Table, asked: Parity) -> Table:
    """Each row with the newest features of its key that are no later; of those that are not clear or too old: none."""
    newest = known.rename(of="key")
    with_key = rows.filter(rows.key.notnull())
    found = with_key.asof_join(newest, with_key.time >= newest.since, predicates=with_key.key == newest.of)
    # What is not clear hides what came before it.
    found = found.filter(found.of.notnull() & (found.several == 1))
    if asked.max_age_seconds is not None:
        age = found.time.epoch_seconds() - found.since.epoch_seconds()
        found = found.filter(age <= asked.max_age_seconds)
    return found.mutate(day=found.time.date())


def _told(rows: Table, known: Table, pairs: Table, asked: Parity, columns: Mapping[str, str]) -> dict[str, Any]:
    counts = {
        "predictions": _number(rows.count()),
        "withoutKey": _number(rows.key.isnull().sum()),
        "compared": _number(pairs.count()),
        "contradictingFeatures": _number((known.several > 1).sum()),
    }
    counts["withoutFeatures"] = counts["predictions"] - counts["withoutKey"] - counts["compared"]
    level = asked.level(len(columns))
    found = [_of_column(number, *names, pairs, asked, level) for number, names in enumerate(columns.items())]
    found.sort(key=lambda each: (-each["share"]["value"] if each["share"] else 0.0, each["column"]))
    unequal = [each["column"] for each in found if each["share"] and each["share"]["low"] > asked.threshold]
    return {"counts": counts, "threshold": asked.threshold, "unequal": unequal, "columns": found}


def _of_column(number: int, column: str, feature: str, pairs: Table, asked: Parity, level: float) -> dict[str, Any]:
    logged, given = pairs[f"l{number}"], pairs[f"f{number}"]
    differs = ~_same(logged, given, asked.tolerance)
    by_day = (
        pairs.group_by("day")
        .agg(
            rows=pairs.count(),
            unequal=differs.sum(),
            loggedMissing=(logged.isnull() & given.notnull()).sum(),
            featureMissing=(logged.notnull() & given.isnull()).sum(),
        )
        .order_by("day")
        .to_pyarrow()
        .to_pylist()
    )
    rows, unequal = (sum(each[name] for each in by_day) for name in ("rows", "unequal"))
    share: Estimate | None = None
    if rows:
        share = estimate(
            unequal / rows, clopper_pearson(unequal / rows, _independent(pairs, differs, rows, level), level), rows
        )
    return {
        "column": column,
        "feature": feature,
        "share": None if share is None else asdict(share),
        "unequal": unequal,
        "loggedMissing": sum(each["loggedMissing"] for each in by_day),
        "featureMissing": sum(each["featureMissing"] for each in by_day),
        "since": _since(by_day, asked.threshold),
        "days": [
            {"day": str(each["day"]), "rows": each["rows"], "unequal": each["unequal"]} for each in by_day[-DAYS:]
        ],
        "examples": _examples(pairs, differs, number, asked.examples),
    }


def _independent(pairs: Table, differs: BooleanValue, rows: int, level: float) -> float:
    """How many rows that know nothing of each other would leave the share as unsure: the variance of a ratio of sums
    over entities (Cochran 1977, "Sampling Techniques", section 9A.2), and fewer where few entities tell that variance
    (Korn and Graubard 1998)."""
    each = pairs.group_by("key").agg(rows=pairs.count().cast("float64"), unequal=differs.sum().cast("float64"))
    sums = each.agg(
        entities=each.count(), rows=(each.rows * each.rows).sum(), both=(each.rows * each.unequal).sum(),
        unequal=(each.unequal * each.unequal).sum(), share=each.unequal.sum() / each.rows.sum(),
    ).to_pyarrow().to_pylist()[0]  # fmt: skip
    share, entities = float(sums["share"]), int(sums["entities"])
    spread = float(sums["unequal"] - 2 * share * sums["both"] + share * share * sums["rows"])
    if entities < 2:
        return 1.0
    if spread <= 1e-9 * sums["unequal"]:
        # All entities have the same share: nothing is seen of how they differ, and so many there are.
        return float(entities)
    variance = spread / rows**2 * entities / (entities - 1)
    # As many of the same weight as say as much (Kish 1965, "Survey Sampling").
    freedom = max(rows**2 / float(sums["rows"]) - 1, 0.1)
    return min(float(rows), share * (1 - share) / variance) * (quantile(level) / student(level, freedom)) ** 2


def _same(logged: Value, given: Value, tolerance: float) -> BooleanValue:
    one, other = as_number(logged), as_number(given)
    near = (one - other).abs() <= tolerance * ibis.greatest(one.abs(), other.abs())
    nothing = [each.isnull() | _is_nan(each) for each in (logged, given)]
    numbers = one.notnull() & other.notnull()
    alike = numbers.ifelse(near, as_label(logged) == as_label(given))
    either = reduce(or_, nothing)
    same: BooleanValue = either.ifelse(nothing[0] & nothing[1], alike.fill_null(False))
    return same


def _is_nan(each: Value) -> Value:
    return each.isnan().fill_null(False) if each.type().is_floating() else ibis.literal(False)


def _since(by_day: list[dict[str, Any]], threshold: float) -> str | None:
    """The first day of those up to now on which more than the threshold are unequal; None where the last is well."""
    since = None
    for each in reversed(by_day):
        if each["unequal"] <= threshold * each["rows"]:
            break
        since = str(each["day"])
    return since


def _examples(pairs: Table, differs: BooleanValue, number: int, some: int) -> list[dict[str, Any]]:
    wrong = pairs.filter(differs).order_by(ibis.desc("time"), "request_id", "row").limit(some)
    said = {"time": wrong.time, "logged": wrong[f"l{number}"], "feature": wrong[f"f{number}"]}
    shown = wrong.select("request_id", "row", "key", **{name: each.cast("string") for name, each in said.items()})
    found: list[dict[str, Any]] = shown.to_pyarrow().to_pylist()
    return found


def _number(each: Value) -> int:
    return int(each.to_pyarrow().as_py() or 0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="modelward parity-check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("spec", type=Path, help="what to compare, as docs/quality.md describes it")
    parser.add_argument("--out", type=Path, help="a file for the whole result, as JSON; else it goes to stdout")
    given = parser.parse_args(arguments)
    try:
        found = check(load(given.spec.read_bytes()))
        text = json.dumps(found, allow_nan=False)
        if given.out is None:
            print(text)
        else:
            given.out.write_text(text)
    except (EvaluationError, OSError) as error:
        print(f"modelward parity-check: {error}", file=sys.stderr)
        return 1
    for line in words(found):
        print(line, file=sys.stderr)
    return UNEQUAL if found["unequal"] else 0


def words(found: Mapping[str, Any]) -> list[str]:
    """For people, the worst column first."""
    counts = found["counts"]
    lines = [f"{counts['compared']} of {counts['predictions']} logged rows have features"]
    for each in found["columns"]:
        if each["column"] in found["unequal"]:
            since = f" since {each['since']}" if each["since"] else ", and not on the last day"
            lines.append(f"{each['column']}: {each['share']['value']:.1%} unequal to {each['feature']}{since}")
    return lines if found["unequal"] else [*lines, f"no column is surely unequal in more than {found['threshold']:.1%}"]


if __name__ == "__main__":
    sys.exit(main())
