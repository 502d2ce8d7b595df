"""What Jobs find out about a policy's targets on a schedule: what they are worth (spec.quality), and whether they are
asked what they were trained on (spec.parity). Each is the same few functions for evaluations.py."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from modelward.api import batchinference
from modelward.api.driftpolicy import DriftPolicy, Spec
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import ModelDeployment, PredictionLog
from modelward.api.parity import Parity
from modelward.api.quality import Quality
from modelward.kube.cache import Cache, Object
from modelward.kube.resources import BATCH_INFERENCES
from modelward.platform import Platform
from modelward.quality import kept as quality_kept
from modelward.quality.batch_log import NO_BATCH, batch_log
from modelward.quality.job_manifest import About, job, job_name, read_about
from modelward.quality.measured import Kept, Problem, cohort_of
from modelward.quality.parity_found import ParityKept, parity_failed, parity_succeeded
from modelward.quality.parity_job import ParityAbout, parity_job, parity_job_name, read_parity_about
from modelward.quality.rules import level_of
from modelward.reconcilers.evaluation_jobs import Ended

K = TypeVar("K", Kept, ParityKept)
"""What is remembered of a target."""


class AnyAbout(Protocol):
    """The annotation of a Job. `target`: the ModelDeployment's uid."""

    @property
    def target(self) -> str: ...
    @property
    def slot(self) -> float: ...


@dataclass(frozen=True)
class Aspect(Generic[K]):
    """`field`: of spec; `asked`: what it says; `log`: what is read of a target, or why there is nothing; `blank`: what
    is remembered at first; `about`: of a Job, None where it is of another aspect; `name`: of the Job of a time;
    `manifest`: of that, for a revision and until the next time; `ended`: what is remembered once a Job has ended."""

    field: str
    asked: Callable[[Spec], Quality | Parity | None]
    log: Callable[[DriftPolicy, ModelDeployment, Cache], PredictionLog | Problem]
    blank: K
    about: Callable[[Object], AnyAbout | None]
    name: Callable[[DriftPolicy, ModelDeployment, PredictionLog, float], str]
    manifest: Callable[
        [DriftPolicy, ModelDeployment, PredictionLog, Platform, str, str, float, float], dict[str, Any]
    ]  # fmt: skip
    ended: Callable[[K, DriftPolicy, str, Any, Ended], K]


def _own_log(_: DriftPolicy, model: ModelDeployment, __: Cache) -> PredictionLog | Problem:
    return model.spec.prediction_log or Problem(
        quality_kept.NO_LOG,
        f"{model.name} keeps no prediction log, so nobody knows what it answered: write spec.predictionLog and "
        "spec.monitor into that ModelDeployment",
    )


def _quality_log(policy: DriftPolicy, model: ModelDeployment, cache: Cache) -> PredictionLog | Problem:
    asked = policy.spec.quality.predictions if policy.spec.quality is not None else None
    if asked is None:
        return _own_log(policy, model, cache)
    body = cache.get(BATCH_INFERENCES, policy.namespace, asked.batch_inference)
    try:
        return batch_log(asked, None if body is None else batchinference.parse(body), model)
    except InvalidObjectError as error:
        return Problem(NO_BATCH, f"BatchInference {asked.batch_inference} can't be read: {error}")


def _quality_name(policy: DriftPolicy, model: ModelDeployment, log: PredictionLog, slot: float) -> str:
    return job_name(policy, model, slot, _wanted(policy, policy.spec.quality, log))


def _parity_name(policy: DriftPolicy, model: ModelDeployment, log: PredictionLog, slot: float) -> str:
    return parity_job_name(policy, model, slot, _wanted(policy, policy.spec.parity, log))


def _wanted(policy: DriftPolicy, asked: Quality | Parity | None, log: PredictionLog) -> list[Any]:
    """What has a result of its own: an edit of it is looked at at once."""
    assert asked is not None
    secret, said = log.credentials_secret, asdict(asked)
    if said.get("predictions", said) is None:
        del said["predictions"]  # what was evaluated before there was such a field is not evaluated once more
    return [said, policy.spec.false_alarms.max_per30_days, log.uri, secret.name if secret else None]


def _quality_job(
    policy: DriftPolicy, model: ModelDeployment, log: PredictionLog, platform: Platform, name: str, revision: str,
    slot: float, following: float,
) -> dict[str, Any]:  # fmt: skip
    cohort = cohort_of(policy.spec, slot, level_of(policy.spec, following - slot))
    return job(policy, model, log, platform, name, revision, cohort)


def _quality_ended(known: Kept, policy: DriftPolicy, name: str, about: About, end: Ended) -> Kept:
    if end.message is None:
        return quality_kept.failed(known, name, about, end.failure)
    return quality_kept.succeeded(known, policy.spec, name, about, end.message, end.at)


def _parity_ended(known: ParityKept, _: DriftPolicy, name: str, about: ParityAbout, end: Ended) -> ParityKept:
    if end.message is None:
        return parity_failed(known, name, about, end.failure)
    return parity_succeeded(known, name, about, end.message, end.at)


QUALITY: Final = Aspect(
    "spec.quality", lambda spec: spec.quality, _quality_log, Kept(), read_about, _quality_name, _quality_job,
    _quality_ended,
)  # fmt: skip
PARITY: Final = Aspect(
    "spec.parity", lambda spec: spec.parity, _own_log, ParityKept(), read_parity_about, _parity_name, parity_job,
    _parity_ended,
)  # fmt: skip
