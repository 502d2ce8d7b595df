"""`python -m modelward_evaluate.job`: what a Job of the operator runs.

MODELWARD_EVALUATION says what; the message of the container that ends has what was found, or in one line why nothing
was. A Job has no rights in the cluster and writes nothing into the store.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from modelward_evaluate import pairs, parity_job, report
from modelward_evaluate.cohorts import positive_of
from modelward_evaluate.concept import concept
from modelward_evaluate.engines import engine_of
from modelward_evaluate.errors import EvaluationError, first_wrong
from modelward_evaluate.evaluate import by_hour, evaluate, losses_by_day
from modelward_evaluate.inputs import Engine, has_predictions, in_process
from modelward_evaluate.pairs import Pair
from modelward_evaluate.parity_job import ParityJob
from modelward_evaluate.report import Asked
from modelward_evaluate.sources import listing
from modelward_evaluate.spec import Concept, Spec
from modelward_telemetry import logs

log = logging.getLogger(__name__)

VARIABLE: Final = "MODELWARD_EVALUATION"

MESSAGE: Final = Path("/dev/termination-log")
"""Where the kubelet reads what a container has to say."""


class Days(BaseModel):
    """From `begin` until before `end`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    begin: AwareDatetime
    end: AwareDatetime


class Watched(Days):
    """The days that are searched for concept drift."""

    asked: Concept


class Job(BaseModel):
    """`evaluation`: of the cohort; `before`: the days that it is compared with; `pairs`: arms that are held against one
    another, in place of all that is said of a cohort; the rest as report.Asked has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    evaluation: Spec
    revision: Annotated[str, Field(min_length=1)]
    pairs: Annotated[tuple[Pair, ...], Field(max_length=20)] = ()
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    metrics: tuple[str, ...] = ()
    smallest: Annotated[int, Field(ge=1)] = 100
    before: Days | None = None
    concept: Watched | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.evaluation.predictions.batch is not None and (self.concept is not None or self.pairs):
            raise ValueError("concept, pairs: of a batch there are neither; leave them out")
        return self


def run(job: Job, engine: Engine = in_process) -> dict[str, Any]:
    """Raises EvaluationError."""
    spec = job.evaluation
    asked = Asked(job.revision, job.level, job.metrics, job.smallest)
    files = spec.outcomes.files
    if files is not None and not listing(files).paths:
        return report.nothing(asked, "outcomes")
    if not has_predictions(spec):
        return report.nothing(asked, "predictions")
    if job.pairs:
        hours = by_hour(spec, lambda known: [pairs.factors(known, each) for each in job.pairs], engine)
        rows = pairs.told(hours.groups, job.pairs, positive_of(spec), job.metrics, hours.buckets)
        return report.compared(hours, asked, rows)
    found, before = evaluate(spec, engine), None
    if job.before is not None:
        earlier = spec.model_copy(
            update={"begin": job.before.begin, "end": job.before.end, "segments": (), "fairness": None}
        )
        if has_predictions(earlier):
            before = evaluate(earlier, engine)
    watched = None
    if job.concept is not None:
        days = {"begin": job.concept.begin, "end": job.concept.end}
        whole = spec.model_copy(update={**days, "fairness": None, "business": None})
        watched = concept(losses_by_day(whole, engine), job.concept.asked, whole.task)
    return report.report(found, before, spec, asked, watched or ())


def read(text: str) -> Job | ParityJob:
    """What is asked for. Raises ValidationError."""
    try:
        known = json.loads(text)
    except ValueError:
        known = None
    kind = ParityJob if isinstance(known, dict) and parity_job.FIELD in known else Job
    return kind.model_validate_json(text)


def main(environment: Mapping[str, str] = os.environ, message: Path = MESSAGE) -> int:
    """0: it was evaluated; 1: the message says why not."""
    whose: dict[str, str] = {}
    try:
        job = read(environment.get(VARIABLE, ""))
        whose = {"revision": job.revision}
        days = job.parity if isinstance(job, ParityJob) else job.evaluation
        log.info("evaluating predictions from %s to %s", days.begin, days.end, extra=whose)
        # What Spark has no word for is a row of another table as it was at a time.
        found = parity_job.run(job) if isinstance(job, ParityJob) else run(job, engine_of(environment))
        told, code = report.pack(found), 0
        log.info("evaluated", extra=whose)
    except ValidationError as error:
        told, code = first_wrong(error, VARIABLE), 1
    except (EvaluationError, OSError) as error:
        told, code = str(error).strip().split("\n")[0], 1
    if code:
        log.error("%s", told, extra=whose)
    message.write_text(told.encode(errors="replace")[: report.LIMIT].decode(errors="ignore"))
    return code


if __name__ == "__main__":
    logs.configure("INFO", "evaluator")
    sys.exit(main())
