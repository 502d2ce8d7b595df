"""`spec.parity` of a DriftPolicy as frozen values: what the training pipeline says, and what is held against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelward.api.modeldeployment import SecretReference
from modelward.api.quality import DatabaseTable, EvaluationSchedule


@dataclass(frozen=True)
class FeatureSource:
    """Exactly one of `uri` (files) and `table` is set. `key`: the column with the entity; `time`: from when on a row
    holds, None: always; `max_age`: a duration, an older row is none, None: however old."""

    uri: str | None = None
    table: DatabaseTable | None = None
    credentials_secret: SecretReference | None = None
    key: str = "key"
    time: str | None = None
    max_age: str | None = None


@dataclass(frozen=True)
class ComparedColumn:
    """`logged`: a column of the prediction log; `feature`: what the pipeline calls it."""

    logged: str
    feature: str


@dataclass(frozen=True)
class Parity:
    """`key`: the log's column with the entity; `columns`: none: each input with the feature of its name; `threshold`,
    `tolerance`: texts of numbers; `every`, `schedule`: one of them, None both: every 24h; `days`: of the log that are
    compared; `delay`: a duration, how long after a request the pipeline's rows of its time may still come; `examples`:
    with their values, of each of the worst columns, that status shows."""

    features: FeatureSource
    key: str = "key"
    columns: tuple[ComparedColumn, ...] = ()
    tolerance: str = "0.000001"
    threshold: str = "0.01"
    days: int = 1
    every: str | None = None
    schedule: EvaluationSchedule | None = None
    delay: str = "1h"
    examples: int = 0
    memory: str | int = "2Gi"
    deadline: str = "1h"
    history: int = 3


def parse_parity(raw: Mapping[str, Any]) -> Parity:
    """Raises KeyError, TypeError, ValueError for what the CRD would have refused."""
    schedule = raw.get("schedule")
    return Parity(
        features=_source(raw["features"]),
        key=str(raw.get("key", Parity.key)),
        columns=tuple(
            ComparedColumn(str(each["logged"]), str(each["feature"])) for each in raw.get("columns") or ()
        ),
        tolerance=str(raw.get("tolerance", Parity.tolerance)),
        threshold=str(raw.get("threshold", Parity.threshold)),
        days=int(raw.get("days", Parity.days)),
        every=raw.get("every"),
        schedule=None
        if schedule is None
        else EvaluationSchedule(str(schedule["cron"]), str(schedule.get("timeZone", EvaluationSchedule.time_zone))),
        delay=str(raw.get("delay", Parity.delay)),
        examples=int(raw.get("examples", Parity.examples)),
        memory=raw.get("memory", Parity.memory),
        deadline=str(raw.get("deadline", Parity.deadline)),
        history=int(raw.get("history", Parity.history)),
    )  # fmt: skip


def _source(raw: Mapping[str, Any]) -> FeatureSource:
    table, secret = raw.get("table"), raw.get("credentialsSecret")
    return FeatureSource(
        uri=raw.get("uri"),
        table=None if table is None else DatabaseTable(str(table["url"]), str(table["name"]), table.get("schema")),
        credentials_secret=SecretReference(str(secret["name"])) if secret else None,
        key=str(raw.get("key", FeatureSource.key)),
        time=raw.get("time"),
        max_age=raw.get("maxAge"),
    )
