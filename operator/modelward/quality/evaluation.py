"""What a Job is to evaluate, as modelward_evaluate.job reads it."""

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from modelward.api.driftpolicy import DriftPolicy, Spec
from modelward.api.modeldeployment import ModelDeployment, PredictionLog
from modelward.api.quality import CLASSES, DAYS, NUMBERS, Concept, Outcomes, Quality, Task
from modelward.quality.batch_log import BatchLog
from modelward.quality.measured import DAY, Cohort, window_of
from modelward.quality.rules import budget_of, metrics_of
from modelward.values.quantities import amount

LOG_MOUNT: Final = "/mnt/prediction-log"
OUTCOMES_MOUNT: Final = "/mnt/outcomes"
LOG_CREDENTIALS: Final = "/etc/modelward/log-credentials"
OUTCOMES_CREDENTIALS: Final = "/etc/modelward/outcomes-credentials"

EVERY: Final = "24h"
"""How often it is evaluated, where spec says nothing."""

POSTED: Final = "outcomes/v1/namespace={namespace}/model={model}"
"""In the prediction log's own folder: what clients post."""


def claim_of(uri: str) -> str | None:
    """The claim of a pvc:// address."""
    address = urlsplit(uri)
    return address.netloc if address.scheme == "pvc" else None


def evaluation(
    policy: DriftPolicy, model: ModelDeployment, log: PredictionLog, revision: str, cohort: Cohort
) -> dict[str, Any]:
    """As JSON."""
    quality = policy.spec.quality
    assert quality is not None
    folder = f"v1/namespace={model.namespace}/model={model.name}/revision={revision}"
    asked: dict[str, Any] = {
        "predictions": predictions_of(log, folder),
        "outcomes": outcomes_of(quality.outcomes, model, log),
        "task": task_of(quality.task),
        "label_window_seconds": window_of(quality) if quality.label_window else None,
        "begin": moment(cohort.begin),
        "end": moment(cohort.end),
        "now": moment(cohort.slot),
        "segments": [given(vars(each)) for each in quality.segments],
        "business": quality.business.expression if quality.business else None,
        "memory_mb": engine_memory(quality.memory),
    }
    fairness = quality.fairness
    if fairness is not None:
        asked["fairness"] = given({"name": fairness.name, "column": fairness.column, "sql": fairness.sql})
    before = {"begin": moment(cohort.begin - quality.compare.days * DAY), "end": moment(cohort.begin)}
    return given({
        "evaluation": given(asked),
        "revision": revision,
        "level": cohort.level,
        "metrics": list(metrics_of(quality)),
        "smallest": fairness.min_group_size if fairness else None,
        "before": before if quality.compare.against == DAYS else None,
        "concept": None if quality.concept is None else _concept(policy.spec, quality.concept, quality, cohort),
    })  # fmt: skip


def _concept(spec: Spec, concept: Concept, quality: Quality, cohort: Cohort) -> dict[str, Any]:
    return {
        "begin": moment(cohort.end - concept.days * DAY),
        "end": moment(cohort.end),
        "asked": {
            "reference_days": concept.reference_days,
            "budget": budget_of(spec, quality),
            "margin": float(concept.margin),
        },
    }


def predictions_of(log: PredictionLog, folder: str) -> dict[str, Any]:
    """`folder`: below the log's own, of one that has folders."""
    credentials = LOG_CREDENTIALS if log.credentials_secret else None
    if isinstance(log, BatchLog):
        batch = {"key": log.key, "of": log.batch}
        return {**files_of(place_of(log.uri, LOG_MOUNT, ""), credentials), "batch": batch}
    return files_of(place_of(log.uri, LOG_MOUNT, folder), credentials)


def engine_memory(limit: str | int) -> int:
    """MiB of the engine, of the container's `limit`."""
    return int(amount(limit) / 2 / (1 << 20))


def outcomes_of(wanted: Outcomes, model: ModelDeployment, log: PredictionLog) -> dict[str, Any]:
    """Where outcomes are, and what their columns mean."""
    columns = dict(vars(wanted.columns))
    if wanted.table is not None:
        return {"table": given(vars(wanted.table)), **columns, **given({"absent": wanted.absent})}
    if wanted.uri is None:
        folder = POSTED.format(namespace=model.namespace, model=model.name)
        place = place_of(log.uri, LOG_MOUNT, folder)
        credentials = LOG_CREDENTIALS if log.credentials_secret else None
    else:
        place = place_of(wanted.uri, OUTCOMES_MOUNT, "")
        credentials = OUTCOMES_CREDENTIALS if wanted.credentials_secret else None
        if credentials is None and log.credentials_secret and wanted.uri.startswith("s3://"):
            credentials = LOG_CREDENTIALS
    return {**files_of(place, credentials), **columns, **given({"absent": wanted.absent})}


def files_of(path: str, credentials: str | None) -> dict[str, Any]:
    return given({"path": path, "credentials": credentials if path.startswith("s3://") else None})


def place_of(uri: str, mount: str, folder: str) -> str:
    root = uri if claim_of(uri) is None else f"{mount}/{urlsplit(uri).path.strip('/')}"
    return "/".join(part for part in (root.rstrip("/"), folder) if part)


def task_of(task: Task) -> dict[str, Any]:
    """What was foretold."""
    if task.kind == CLASSES:
        known = {"label": task.label, "score": task.score, "positive": task.positive}
        return {"task": "classes", "threshold": float(task.threshold), **given(known)}
    if task.kind == NUMBERS:
        return {"task": "numbers", "value": task.value}
    return {"task": "ranking", **given({"score": task.score, "group": task.group, "k": task.k})}


def given(values: Any) -> dict[str, Any]:
    """What there is of values, by name."""
    return {name: value for name, value in values.items() if value is not None}


def moment(seconds: float) -> str:
    """As a specification has times. `seconds`: since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
