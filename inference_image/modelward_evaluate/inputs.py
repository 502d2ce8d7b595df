"""What an evaluation reads, and the engine that has it as tables: DuckDB, in this process.

Which files count is said here for every engine; another one than DuckDB is a function like `in_process` (spark.py).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Final

import ibis
import pyarrow
from ibis.backends.duckdb import Backend
from ibis.expr.types import Table

from modelward_evaluate import batches, tables
from modelward_evaluate.cohorts import Keep
from modelward_evaluate.columns import listed
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.sources import Listing, close_to_files, engine, listing, logged, table
from modelward_evaluate.spec import Run, Spec
from modelward_monitor.predictionlog.names import File, counted

FOLDERS: Final = pyarrow.schema(
    [(name, pyarrow.string()) for name in ("namespace", "model", "revision", "day", "hour")]
)
"""Of the prediction log."""

WHAT: Final = "evaluation"
"""What fails, for messages."""

_MODEL: Final = re.compile(r"namespace=[^/]+/model=[^/]+(?=/)")

_DAY: Final = re.compile(r"/day=([0-9]{4}-[0-9]{2}-[0-9]{2})(?=/)")


@dataclass(frozen=True)
class Inputs:
    """`folders`: the schema of the log's folders, None where predictions are other files, empty where they are a
    batch's; `told`: files of outcomes, None where they are a table."""

    log: Listing
    folders: pyarrow.Schema | None
    told: Listing | None


@dataclass(frozen=True)
class Opened:
    """What an engine has, and how it remembers what is made of it."""

    predictions: Table
    outcomes: Table
    keep: Keep


Engine = Callable[[Spec], AbstractContextManager[Opened]]
"""Raises EvaluationError when it is entered, and for what fails within."""


def inputs(spec: Spec) -> Inputs:
    """Raises EvaluationError."""
    log, of_log = _predictions(spec)
    told = _told(listing(files)) if (files := spec.outcomes.files) is not None else None
    if of_log:
        log = replace(log, paths=of_days(of_log, spec) or of_log)
        _is_of_one_model(log, spec.predictions.path)
    others = None if spec.predictions.batch is None else batches.FOLDERS
    return Inputs(log, FOLDERS if of_log else others, told)


def has_predictions(spec: Spec) -> bool:
    """Whether there is any file that can have some of those that are asked for. Raises EvaluationError."""
    if spec.predictions.batch is not None:
        return bool(batches.complete(spec.predictions, spec.begin).paths)
    return bool(of_days(listing(spec.predictions).paths, spec))


@contextmanager
def in_process(spec: Spec) -> Iterator[Opened]:
    """DuckDB. Raises EvaluationError."""
    given = inputs(spec)
    with engine(spec, WHAT) as con:
        names = ("request_id", "key", getattr(spec.task, "label", None))
        predictions = table(con, "predictions", given.log, "predictions", names.__contains__, given.folders)
        outcomes = outcomes_of(con, given.told, spec)
        close_to_files(con)
        yield Opened(predictions, outcomes, _keeping(con))


def outcomes_of(con: Backend, told: Listing | None, spec: Spec) -> Table:
    """Raises EvaluationError."""
    return tables.read(con, spec) if told is None else table(con, "outcomes", told, "outcomes", lambda _: True)


def _keeping(con: Backend) -> Keep:
    def keep(name: str, table: Table, number: str | None = None) -> Table:
        if number is not None:
            table = table.mutate(**{number: ibis.row_number()})
        return con.create_table(name, table, temp=True)

    return keep


def of_days(paths: Iterable[str], spec: Run) -> tuple[str, ...]:
    """Files of the log whose folder's day has rows from `begin` to `end`: `time` and `day` are the same clock's."""
    first = spec.begin.astimezone(UTC).date().isoformat() if spec.begin is not None else ""
    last = spec.end.astimezone(UTC).date().isoformat() if spec.end is not None else "9999"
    return tuple(each for each in paths if (day := _DAY.search(each)) is None or first <= day[1] <= last)


def _predictions(spec: Spec) -> tuple[Listing, tuple[str, ...]]:
    """Their files, and those of a prediction log that count. Raises EvaluationError."""
    if spec.predictions.batch is None:
        return logged(spec.predictions)
    found = batches.complete(spec.predictions, spec.begin)
    if not found.paths:
        raise EvaluationError(
            f"predictions: {spec.predictions.path} has no rows of a run that is complete: each run is a folder of its "
            f"own, with {batches.MANIFEST} once it is"
        )
    return found, ()


def _told(found: Listing) -> Listing:
    """Of files that a model's server was told some may be left out, too; a team's own all count."""
    told = [each for each in found.paths if File.of(each.rpartition("/")[2]) is not None]
    return replace(found, paths=tuple(sorted({*counted(told), *(set(found.paths) - set(told))})))


def _is_of_one_model(log: Listing, path: str) -> None:
    """Raises EvaluationError: rows of several would be one sum."""
    models = sorted({found.group() for each in log.paths if (found := _MODEL.search(each))})
    if len(models) > 1:
        raise EvaluationError(f"predictions: {path} has the log of {listed(models)}: name the folder of one model")
