"""The Job that holds logged features against what the training pipeline says: its name and its manifest. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from modelward.api import names
from modelward.api.driftpolicy import DriftPolicy, Spec
from modelward.api.modeldeployment import ModelDeployment, PredictionLog
from modelward.api.parity import FeatureSource, Parity
from modelward.platform import Platform
from modelward.quality.evaluation import (
    LOG_CREDENTIALS,
    engine_memory,
    files_of,
    given,
    moment,
    place_of,
    predictions_of,
)
from modelward.quality.job_manifest import Source, Work, manifest, metadata_of
from modelward.quality.measured import DAY, Moment
from modelward.quality.rules import THIRTY_DAYS
from modelward.values.durations import period, seconds
from modelward.values.hashing import content_hash
from modelward.values.stored import Stored, known_text
from modelward_drift.judging.budget import CAUTION

MOUNT: Final = "/mnt/features"
CREDENTIALS: Final = "/etc/modelward/features-credentials"

UNLIKELY: Final = 0.05
"""Chance of a false alarm at most, of one check."""


class ParityAbout(Stored):
    """The annotation of a Job. `target`: the ModelDeployment's uid; `begin`, `end`: of the requests that are compared;
    `asked`: what makes its result what it is."""

    target: str
    revision: str
    slot: Moment
    begin: Moment
    end: Moment
    asked: str


def parity_job_name(policy: DriftPolicy, model: ModelDeployment, slot: float, spec: Any) -> str:
    """The same for whoever makes it: of whose it is, when it was due, and what `spec` asks for."""
    about = {"policy": policy.uid, "target": model.uid, "slot": slot, "spec": spec, "kind": "parity"}
    return f"{policy.name}-{content_hash(about)}-parity"


def read_parity_about(job: Mapping[str, Any]) -> ParityAbout | None:
    """None: somebody else has written it, or it is about something else."""
    try:
        return known_text(ParityAbout, (job["metadata"].get("annotations") or {})[names.ANNOTATION_EVALUATION])
    except (KeyError, ValueError):
        return None


def parity_basis(spec: Spec) -> str:
    """A hash of all that makes a column unequal."""
    parity = spec.parity
    assert parity is not None
    return content_hash({
        "features": repr(parity.features), "key": parity.key, "columns": repr(parity.columns),
        "tolerance": parity.tolerance, "threshold": parity.threshold,
    })  # fmt: skip


def parity_chance(spec: Spec, period: float) -> float:
    """That a check calls a column unequal by chance, as spec.falseAlarms allows for all checks of 30 days. `period`:
    seconds until the next check."""
    budget = float(spec.false_alarms.max_per30_days) / CAUTION
    return min(budget * min(period, THIRTY_DAYS) / THIRTY_DAYS, UNLIKELY)


def parity_job(
    policy: DriftPolicy, model: ModelDeployment, log: PredictionLog, platform: Platform, name: str, revision: str,
    slot: float, following: float,
) -> dict[str, Any]:  # fmt: skip
    """The manifest. `slot`: when it was due; `following`: when the next one is, in seconds since the epoch."""
    parity = policy.spec.parity
    assert parity is not None
    end = slot - seconds(parity.delay)
    begin = end - parity.days * DAY
    about = {
        "target": model.uid, "revision": revision, "slot": slot, "begin": begin, "end": end,
        "asked": parity_basis(policy.spec),
    }  # fmt: skip
    source = parity.features
    work = Work(
        {
            "parity": _asked(parity, model, log, revision, begin, end)
            | {"chance": parity_chance(policy.spec, following - slot)},
            "revision": revision,
        },
        log,
        Source("features", source.uri, source.table is not None, source.credentials_secret, MOUNT, CREDENTIALS),
        parity.memory, parity.deadline, model.spec.service_account_name,
    )  # fmt: skip
    return manifest(metadata_of(policy, model, name, about), work, platform)


def _asked(
    parity: Parity, model: ModelDeployment, log: PredictionLog, revision: str, begin: float, end: float
) -> dict[str, Any]:
    """As modelward_evaluate.parity_job reads it."""
    max_age = parity.features.max_age
    return given({
        "predictions": predictions_of(log, f"v1/namespace={model.namespace}/model={model.name}/revision={revision}"),
        "features": _features(parity.features, log),
        "columns": {each.logged: each.feature for each in parity.columns},
        "key": parity.key,
        "tolerance": float(parity.tolerance),
        "threshold": float(parity.threshold),
        "max_age_seconds": None if max_age is None else period(max_age),
        "begin": moment(begin),
        "end": moment(end),
        "examples": parity.examples,
        "memory_mb": engine_memory(parity.memory),
    })  # fmt: skip


def _features(source: FeatureSource, log: PredictionLog) -> dict[str, Any]:
    columns = given({"key": source.key, "time": source.time})
    if source.table is not None:
        return {"table": given(vars(source.table)), **columns}
    credentials = CREDENTIALS if source.credentials_secret else LOG_CREDENTIALS if log.credentials_secret else None
    return {**files_of(place_of(source.uri or "", MOUNT, ""), credentials), **columns}
