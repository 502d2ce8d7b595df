"""What a Job is to evaluate, as modelward_evaluate.job reads it."""

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from modelward.api.driftpolicy import DriftPolicy, Spec
from modelward.api.modeldeployment import ModelDeployment, PredictionLog
from modelward.api.quality import CLASSES, DAYS, NUMBERS, Concept, Quality, Task
from modelward.quality.measured import DAY, Cohort, window_of
from modelward.quality.rules import budget_of, metrics_of
from modelward.values.quantities import amount

LOG_MOUNT: Final = "/mnt/prediction-log"
OUTCOMES_MOUNT: Final = "/mnt/outcomes"
LOG_CREDENTIALS: Final = "/etc/modelward/log-credentials"
OUTCOMES_CREDENTIALS: Final = "/etc/modelward/outcomes-credentials"

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
        "predictions": _files(_place(log.uri, LOG_MOUNT, folder), LOG_CREDENTIALS if log.credentials_secret else None),
        "outcomes": _outcomes(quality, model, log),
        "task": _task(quality.task),
        "label_window_seconds": window_of(quality) if quality.label_window else None,
        "begin": _time(cohort.begin),
        "end": _time(cohort.end),
        "now": _time(cohort.slot),
        "segments": [_known(vars(each)) for each in quality.segments],
        "business": quality.business.expression if quality.business else None,
        "memory_mb": int(amount(quality.memory) / 2 / (1 << 20)),
    }
    fairness = quality.fairness
    if fairness is not None:
        asked["fairness"] = _known({"name": fairness.name, "column": fairness.column, "sql": fairness.sql})
    before = {"begin": _time(cohort.begin - quality.compare.days * DAY), "end": _time(cohort.begin)}
    return _known({
        "evaluation": _known(asked),
        "revision": revision,
        "level": cohort.level,
        "metrics": list(metrics_of(quality)),
        "smallest": fairness.min_group_size if fairness else None,
        "before": before if quality.compare.against == DAYS else None,
        "concept": None if quality.concept is None else _concept(policy.spec, quality.concept, quality, cohort),
    })  # fmt: skip


def _concept(spec: Spec, concept: Concept, quality: Quality, cohort: Cohort) -> dict[str, Any]:
    return {
        "begin": _time(cohort.end - concept.days * DAY),
        "end": _time(cohort.end),
        "asked": {
            "reference_days": concept.reference_days,
            "budget": budget_of(spec, quality),
            "margin": float(concept.margin),
        },
    }


def _outcomes(quality: Quality, model: ModelDeployment, log: PredictionLog) -> dict[str, Any]:
    wanted = quality.outcomes
    columns = dict(vars(wanted.columns))
    if wanted.table is not None:
        return {"table": _known(vars(wanted.table)), **columns, **_known({"absent": wanted.absent})}
    if wanted.uri is None:
        folder = POSTED.format(namespace=model.namespace, model=model.name)
        place = _place(log.uri, LOG_MOUNT, folder)
        credentials = LOG_CREDENTIALS if log.credentials_secret else None
    else:
        place = _place(wanted.uri, OUTCOMES_MOUNT, "")
        credentials = OUTCOMES_CREDENTIALS if wanted.credentials_secret else None
        if credentials is None and log.credentials_secret and wanted.uri.startswith("s3://"):
            credentials = LOG_CREDENTIALS
    return {**_files(place, credentials), **columns, **_known({"absent": wanted.absent})}


def _files(path: str, credentials: str | None) -> dict[str, Any]:
    return _known({"path": path, "credentials": credentials if path.startswith("s3://") else None})


def _place(uri: str, mount: str, folder: str) -> str:
    root = uri if claim_of(uri) is None else f"{mount}/{urlsplit(uri).path.strip('/')}"
    return "/".join(part for part in (root.rstrip("/"), folder) if part)


def _task(task: Task) -> dict[str, Any]:
    if task.kind == CLASSES:
        known = {"label": task.label, "score": task.score, "positive": task.positive}
        return {"task": "classes", "threshold": float(task.threshold), **_known(known)}
    if task.kind == NUMBERS:
        return {"task": "numbers", "value": task.value}
    return {"task": "ranking", **_known({"score": task.score, "group": task.group, "k": task.k})}


def _known(values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
