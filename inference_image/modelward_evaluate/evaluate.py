"""From files to what they say: the evaluator as a function."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC
from functools import partial, reduce
from operator import add
from typing import Any, Final

import pyarrow
from ibis.expr.types import Table

from modelward_evaluate import batches, tables
from modelward_evaluate.cohorts import Cohorts, cohorts, positive_of
from modelward_evaluate.columns import listed
from modelward_evaluate.concept import concept
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.pictures import WHOLE, pictures
from modelward_evaluate.sources import Listing, close_to_files, engine, listing, logged, table
from modelward_evaluate.spec import Run, Spec
from modelward_evaluate.sums import Factors, Group, Losses, by_bucket, groups, losses, prepared
from modelward_evaluate.to_come import ToCome, estimated
from modelward_monitor.predictionlog.names import File, counted
from modelward_quality import fairness
from modelward_quality.difference import difference
from modelward_quality.errors import QualityError
from modelward_quality.statistics import Statistics, dump, values

SCHEMA: Final = 1
"""Of the result."""

FOLDERS: Final = pyarrow.schema(
    [(name, pyarrow.string()) for name in ("namespace", "model", "revision", "day", "hour")]
)
"""Of the prediction log."""

_MODEL: Final = re.compile(r"namespace=[^/]+/model=[^/]+(?=/)")

STABLE: Final = "stable"
"""The arm that others are held against."""

_DAY: Final = re.compile(r"/day=([0-9]{4}-[0-9]{2}-[0-9]{2})(?=/)")

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


def evaluate(spec: Spec) -> Evaluation:
    """Raises EvaluationError."""
    with _measured(spec) as (found, rows):
        known = tuple(groups(rows, spec))
        watched = losses(rows, spec) if spec.concept is not None else ()
        to_come = estimated(found.waiting, rows, known, spec)
        return Evaluation(found.counts, known, tuple(watched), tuple(to_come))


def by_hour(spec: Spec, weighted: Callable[[tuple[Group, ...]], Iterable[Factors]] = lambda _: ()) -> Evaluation:
    """The sums of all rows by hour, revision and arm, and nothing else of an evaluation; where `spec.unit` says whose
    rows are also by buckets of units, once for each of the weights that `weighted` makes of the hours. Raises
    EvaluationError."""
    hours = spec.model_copy(update={"hourly": True, "segments": (), "fairness": None, "concept": None})
    with _measured(hours) as (found, rows):
        known = tuple(groups(rows, hours))
        buckets = (by_bucket(rows, hours, each) for each in (weighted(known) if hours.unit is not None else ()))
        return Evaluation(found.counts, known, buckets=tuple(buckets))


def losses_by_day(spec: Spec) -> tuple[Losses, ...]:
    """What concept drift is searched for in, and nothing else of an evaluation. Raises EvaluationError."""
    with _measured(spec) as (_, rows):
        return tuple(losses(rows, spec))


def has_predictions(spec: Spec) -> bool:
    """Whether there is any file that can have some of those that are asked for. Raises EvaluationError."""
    if spec.predictions.batch is not None:
        return bool(batches.complete(spec.predictions, spec.begin).paths)
    return bool(of_days(listing(spec.predictions).paths, spec))


@contextmanager
def _measured(spec: Spec) -> Iterator[tuple[Cohorts, Table]]:
    """The cohorts, and of their rows what is summed. Raises EvaluationError."""
    log, of_log = _predictions(spec)
    told = _told(listing(files)) if (files := spec.outcomes.files) is not None else None
    if of_log:
        log = replace(log, paths=of_days(of_log, spec) or of_log)
        _is_of_one_model(log, spec.predictions.path)
    with engine(spec, "evaluation") as con:
        try:
            names = ("request_id", "key", getattr(spec.task, "label", None))
            folders = FOLDERS if of_log else None if spec.predictions.batch is None else batches.FOLDERS
            predictions = table(con, "predictions", log, "predictions", lambda name: name in names, folders)
            if told is not None:
                outcomes = table(con, "outcomes", told, "outcomes", lambda _: True)
            else:
                outcomes = tables.read(con, spec)
            close_to_files(con)
            if spec.predictions.batch is not None:
                predictions = batches.as_log(predictions, spec.predictions.batch)
                outcomes = batches.by_key(outcomes, spec.outcomes)
            keep = partial(con.create_table, temp=True)
            found = cohorts(predictions, outcomes, spec, keep)
            yield found, keep("measured", prepared(found.rows, spec))
        except QualityError as error:
            raise EvaluationError(str(error)) from error
        except RecursionError as error:
            raise EvaluationError("the evaluation failed: an expression is nested too deeply") from error


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


def of_days(paths: Iterable[str], spec: Run) -> tuple[str, ...]:
    """Files of the log whose folder's day has rows from `begin` to `end`: `time` and `day` are the same clock's."""
    first = spec.begin.astimezone(UTC).date().isoformat() if spec.begin is not None else ""
    last = spec.end.astimezone(UTC).date().isoformat() if spec.end is not None else "9999"
    return tuple(each for each in paths if (day := _DAY.search(each)) is None or first <= day[1] <= last)


def _told(found: Listing) -> Listing:
    """Of files that a model's server was told some may be left out, too; a team's own all count."""
    told = [each for each in found.paths if File.of(each.rpartition("/")[2]) is not None]
    return replace(found, paths=tuple(sorted({*counted(told), *(set(found.paths) - set(told))})))


def _is_of_one_model(log: Listing, path: str) -> None:
    """Raises EvaluationError: rows of several would be one sum."""
    models = sorted({found.group() for each in log.paths if (found := _MODEL.search(each))})
    if len(models) > 1:
        raise EvaluationError(f"predictions: {path} has the log of {listed(models)}: name the folder of one model")


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
