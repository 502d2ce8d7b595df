"""`spec.quality` of a DriftPolicy as frozen values: outcomes, what is measured, and from where a value is too bad."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelward.api.modeldeployment import SecretReference

CLASSES, NUMBERS, RANKING = "Classes", "Numbers", "Ranking"
REFERENCE, DAYS = "Reference", "Days"

WORTH: Final = "worth"
"""The metric that spec.quality.business is."""

LOWER_IS_BETTER: Final = frozenset({"falsePositiveRate", "logLoss", "brier", "rmse", "mae", "mape"})
"""Metrics of which less is better; of all others but bias and selectionRate, which are neither, it is more."""


@dataclass(frozen=True)
class OutcomeColumns:
    """Names of columns by what they mean."""

    value: str = "value"
    request_id: str = "request_id"
    key: str = "key"
    row: str = "row"
    time: str = "time"
    arrived: str = "arrived"
    weight: str = "weight"


@dataclass(frozen=True)
class DatabaseTable:
    """`schema`: None: the one that the connection begins in."""

    url: str
    name: str
    schema: str | None = None


@dataclass(frozen=True)
class Outcomes:
    """Where they lie: files (`uri`) or a `table`; neither: what clients post, beside the prediction log. `absent`: what
    rows count as that have none when their window is over."""

    uri: str | None = None
    table: DatabaseTable | None = None
    credentials_secret: SecretReference | None = None
    absent: str | None = None
    columns: OutcomeColumns = OutcomeColumns()


@dataclass(frozen=True)
class Predictions:
    """Those of a BatchInference's runs. `key`: which of its keys outcomes are told by, None: it has one alone."""

    batch_inference: str
    key: str | None = None


@dataclass(frozen=True)
class Task:
    """What was foretold, by columns of the log. `threshold`: the text of a number."""

    kind: str
    label: str | None = None
    score: str | None = None
    positive: str | None = None
    threshold: str = "0.5"
    value: str | None = None
    group: str | None = None
    k: int | None = None


@dataclass(frozen=True)
class Segment:
    """Exactly one of `column` and `sql` is set."""

    name: str
    column: str | None = None
    sql: str | None = None
    values: int = 20


@dataclass(frozen=True)
class Compare:
    """What a fall is measured against: the first cohort of the revision, or the `days` before the cohort."""

    against: str = REFERENCE
    days: int = 28


@dataclass(frozen=True)
class Concept:
    """Whether the loss has risen since the revision's first `reference_days`, of the last `days`; `margin`: the text of
    a number."""

    reference_days: int = 14
    days: int = 90
    margin: str = "0"


@dataclass(frozen=True)
class MetricRule:
    """Texts of numbers; None: not judged. `max_degradation`: in the direction that is worse."""

    name: str
    min: str | None = None
    max: str | None = None
    max_degradation: str | None = None


@dataclass(frozen=True)
class FairnessRule:
    name: str
    max_difference: str | None = None
    min_ratio: str | None = None


@dataclass(frozen=True)
class Fairness:
    """Groups are the values of `column` or `sql`."""

    name: str = "group"
    column: str | None = None
    sql: str | None = None
    min_group_size: int = 100
    rules: tuple[FairnessRule, ...] = ()


@dataclass(frozen=True)
class Business:
    """`expression`: SQL of one row; the mean of it is judged."""

    expression: str
    min: str | None = None
    max: str | None = None
    max_degradation: str | None = None


@dataclass(frozen=True)
class EvaluationSchedule:
    cron: str
    time_zone: str = "Etc/UTC"


@dataclass(frozen=True)
class Quality:
    """`predictions`: None: those of the prediction log; `label_window`: None: every outcome counts at once; `every`,
    `schedule`: one of them, None both: every 24h; `days`: days of matured predictions that are judged together."""

    task: Task
    predictions: Predictions | None = None
    outcomes: Outcomes = Outcomes()
    label_window: str | None = None
    every: str | None = None
    schedule: EvaluationSchedule | None = None
    days: int = 7
    min_samples: int = 500
    compare: Compare = Compare()
    concept: Concept | None = None
    metrics: tuple[MetricRule, ...] = ()
    segments: tuple[Segment, ...] = ()
    fairness: Fairness | None = None
    business: Business | None = None
    memory: str | int = "2Gi"
    deadline: str = "1h"
    history: int = 3


def parse_quality(raw: Mapping[str, Any]) -> Quality:
    """Raises KeyError, TypeError, ValueError for what the CRD would have refused."""
    compare, schedule, fairness, business, concept = (
        raw.get(name) for name in ("compare", "schedule", "fairness", "business", "concept")
    )
    predictions, outcomes = raw.get("predictions"), parse_outcomes(raw.get("outcomes") or {})
    if predictions is not None and ((outcomes.uri, outcomes.table) == (None, None) or concept is not None):
        raise ValueError("spec.quality.predictions: write a uri or a table of outcomes, and leave concept out")
    return Quality(
        task=parse_task(raw["task"]),
        predictions=None
        if predictions is None
        else Predictions(str(predictions["batchInference"]), predictions.get("key")),
        outcomes=outcomes,
        label_window=raw.get("labelWindow"),
        every=raw.get("every"),
        schedule=None
        if schedule is None
        else EvaluationSchedule(str(schedule["cron"]), str(schedule.get("timeZone", EvaluationSchedule.time_zone))),
        days=int(raw.get("days", Quality.days)),
        min_samples=int(raw.get("minSamples", Quality.min_samples)),
        compare=Compare(
            str((compare or {}).get("against", Compare.against)), int((compare or {}).get("days", Compare.days))
        ),
        concept=None
        if concept is None
        else Concept(
            int(concept.get("referenceDays", Concept.reference_days)),
            int(concept.get("days", Concept.days)),
            str(concept.get("margin", Concept.margin)),
        ),
        metrics=tuple(
            MetricRule(str(each["name"]), each.get("min"), each.get("max"), each.get("maxDegradation"))
            for each in raw.get("metrics") or ()
        ),
        segments=tuple(
            Segment(str(each["name"]), each.get("column"), each.get("sql"), int(each.get("values", Segment.values)))
            for each in raw.get("segments") or ()
        ),
        fairness=None if fairness is None else _fairness(fairness),
        business=None
        if business is None
        else Business(
            str(business["expression"]), business.get("min"), business.get("max"), business.get("maxDegradation")
        ),
        memory=raw.get("memory", Quality.memory),
        deadline=str(raw.get("deadline", Quality.deadline)),
        history=int(raw.get("history", Quality.history)),
    )


def parse_task(raw: Mapping[str, Any]) -> Task:
    return Task(
        kind=str(raw["kind"]),
        label=raw.get("label"),
        score=raw.get("score"),
        positive=raw.get("positive"),
        threshold=str(raw.get("threshold", Task.threshold)),
        value=raw.get("value"),
        group=raw.get("group"),
        k=raw.get("k"),
    )


def parse_outcomes(raw: Mapping[str, Any]) -> Outcomes:
    secret, columns, table = raw.get("credentialsSecret"), raw.get("columns") or {}, raw.get("table")
    return Outcomes(
        uri=raw.get("uri"),
        table=None if table is None else DatabaseTable(str(table["url"]), str(table["name"]), table.get("schema")),
        credentials_secret=SecretReference(str(secret["name"])) if secret else None,
        absent=raw.get("absent"),
        columns=OutcomeColumns(
            str(columns.get("value", OutcomeColumns.value)),
            str(columns.get("requestId", OutcomeColumns.request_id)),
            str(columns.get("key", OutcomeColumns.key)),
            str(columns.get("row", OutcomeColumns.row)),
            str(columns.get("time", OutcomeColumns.time)),
            str(columns.get("arrived", OutcomeColumns.arrived)),
            str(columns.get("weight", OutcomeColumns.weight)),
        ),
    )


def _fairness(raw: Mapping[str, Any]) -> Fairness:
    return Fairness(
        name=str(raw.get("name", Fairness.name)),
        column=raw.get("column"),
        sql=raw.get("sql"),
        min_group_size=int(raw.get("minGroupSize", Fairness.min_group_size)),
        rules=tuple(
            FairnessRule(str(each["name"]), each.get("maxDifference"), each.get("minRatio"))
            for each in raw.get("rules") or ()
        ),
    )
