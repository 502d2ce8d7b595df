"""Arms against the stable one, by outcomes: what a Job is to compare, when it is due, and what it said. Pure.

There are two subjects: the candidate of a rollout, by which gates judge and whose looks share a chance of being wrong
(rollouts/statistics/spending.py), and the variants, of which a report is made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment, PredictionLog
from modelward.api.quality_gate import QualityGate
from modelward.api.traffic import CANDIDATE
from modelward.facts import Arm
from modelward.kube import manifests as common
from modelward.platform import Platform
from modelward.quality.evaluation import engine_memory, given, moment, outcomes_of, predictions_of, task_of
from modelward.quality.job_manifest import Work, manifest, source_of
from modelward.quality.measured import DAY, NAME, PARTS, AnyMessage, Moment, Number, Rows, unpacked
from modelward.rollouts.gates.quality import Compared, Interval, OutcomeGate, basis_of, window_of
from modelward.rollouts.gates.tested import NOT_SHOWN
from modelward.rollouts.statistics.spending import level_of, looks
from modelward.values.durations import period
from modelward.values.hashing import content_hash
from modelward.values.stored import Stored, known_text

VARIANTS: Final = "variants"
"""The subject that is none of a rollout."""

REPORTED: Final = 0.95
"""Level of a report's intervals, each by itself."""

SHADOW, VARIANT = "shadow", "variant"
"""Arms as the log names them, beside the candidate."""


@dataclass(frozen=True)
class Side:
    """An arm that is held against the stable. `name`: as routes have it; `arm`: as the log has it."""

    name: str
    revision: str
    arm: str


@dataclass(frozen=True)
class Subject:
    """What a Job is about. `name`: CANDIDATE or VARIANTS; `of`: what makes it another one; `since`: of the predictions
    at the earliest; `slot`: when the latest look was due, None: none was; `following`: when the next one is; `number`:
    of that look, whose intervals have the level(s). Times in seconds since the epoch."""

    name: str
    stable: str
    sides: tuple[Side, ...]
    of: str
    since: float
    slot: float | None
    following: float
    levels: tuple[float, ...]
    number: int = 1


def side_of(arm: Arm) -> Side:
    """By the rows that say what clients made of its answers, or where it has none, by those of copies."""
    kind = CANDIDATE if arm.name == CANDIDATE else VARIANT
    return Side(arm.name, arm.revision, kind if arm.weight else SHADOW)


def candidate_of(
    asked: QualityGate, arm: Arm, stable: str, attempt: int, since: float, now: float,
    gates: Sequence[OutcomeGate], alpha: float,
) -> Subject:  # fmt: skip
    """`gates`: with what they have seen; `alpha`: the chance of a false rollback that each of them has."""
    begun = since + window_of(asked)
    last, following = looks(period(asked.every), now - begun)
    number = 1 + max((gate.looks for gate in gates), default=0)
    return Subject(
        CANDIDATE, stable, (side_of(arm),), f"{arm.revision}/{attempt}/{since:.0f}", since,
        None if last is None else begun + last, begun + following,
        (level_of(alpha, number), level_of(NOT_SHOWN, number)), number,
    )  # fmt: skip


def variants_of(asked: QualityGate, arms: Iterable[Arm], stable: str, uid: str, now: float) -> Subject:
    """Looked at each spec's `every`; not all models at the same moment."""
    every = period(asked.every)
    shift = int(content_hash({"model": uid}), 16) % int(every)
    slot = (now - shift) // every * every + shift
    sides = tuple(side_of(arm) for arm in arms)
    return Subject(VARIANTS, stable, sides, repr(sides), 0.0, slot, slot + every, (REPORTED,))


def assumed(owner: ModelDeployment, asked: QualityGate) -> str:
    """What is taken for granted of rows without being known, behind a sentence; empty: nothing is."""
    if owner.spec.traffic.sticky_by is None or asked.unit is not None:
        return ""
    return (
        ". Rows are taken as independent, though spec.traffic.stickyBy keeps users on their arm: name the log's column "
        "that says whose a row is in spec.rollout.gates.quality.unit"
    )


class About(Stored):
    """The annotation of a Job. `asked`: a hash of what its result depends on."""

    subject: str
    asked: str
    slot: Moment
    until: Moment
    number: int


def identity(asked: QualityGate, subject: Subject, log: PredictionLog) -> str:
    """A hash of what a result depends on, apart from when it is due and how wide intervals are."""
    metrics = [each.name for each in asked.margins]
    secret = log.credentials_secret
    return content_hash({
        "bases": [basis_of(asked, each) for each in metrics], "metrics": metrics, "log": log.uri,
        "secret": secret.name if secret else None, "stable": subject.stable, "of": subject.of,
    })  # fmt: skip


def job_name(owner: ModelDeployment, asked: QualityGate, subject: Subject, log: PredictionLog) -> str:
    """The same for whoever makes it."""
    about = {"uid": owner.uid, "slot": subject.slot, "asked": identity(asked, subject, log), "subject": subject.name}
    return f"{owner.name}-{content_hash(about)}-outcomes"


def read_about(body: Mapping[str, Any]) -> About | None:
    """None: somebody else has written it, or it is about something else."""
    try:
        return known_text(About, (body["metadata"].get("annotations") or {})[names.ANNOTATION_EVALUATION])
    except (KeyError, ValueError):
        return None


def job(
    owner: ModelDeployment, asked: QualityGate, subject: Subject, log: PredictionLog, platform: Platform
) -> dict[str, Any]:
    """The manifest of the Job that is due."""
    assert subject.slot is not None
    until = subject.slot - window_of(asked)
    about = msgspec.json.encode(
        About(
            subject=subject.name, asked=identity(asked, subject, log), slot=subject.slot, until=until,
            number=subject.number,
        )
    ).decode()  # fmt: skip
    metadata = common.metadata(
        owner, job_name(owner, asked, subject, log), names.COMPONENT_EVALUATION,
        annotations={names.ANNOTATION_EVALUATION: about},
    )  # fmt: skip
    work = Work(
        _asked(owner, asked, subject, log, until), log, source_of(asked.outcomes), asked.memory,
        asked.deadline, owner.spec.service_account_name,
    )  # fmt: skip
    return manifest(metadata, work, platform)


def _asked(
    owner: ModelDeployment, asked: QualityGate, subject: Subject, log: PredictionLog, until: float
) -> dict[str, Any]:
    """As modelward_evaluate.job reads it."""
    begin = moment(max(subject.since, until - asked.days * DAY))
    evaluation = {
        "predictions": predictions_of(log, f"v1/namespace={owner.namespace}/model={owner.name}"),
        "outcomes": outcomes_of(asked.outcomes, owner, log),
        "task": task_of(asked.task),
        "label_window_seconds": window_of(asked) if asked.label_window else None,
        "begin": begin,
        "end": moment(until),
        "now": moment(subject.slot or until),
        "business": asked.business.expression if asked.business else None,
        "unit": asked.unit,
        "memory_mb": engine_memory(asked.memory),
    }
    pairs = [
        {
            "name": side.name, "revision": side.revision, "arm": side.arm, "against": subject.stable, "begin": begin,
            "levels": list(subject.levels),
        }
        for side in subject.sides
    ]  # fmt: skip
    return {
        "evaluation": given(evaluation),
        "revision": subject.stable,
        "pairs": pairs,
        "metrics": [each.name for each in asked.margins],
    }


@dataclass(frozen=True)
class Comparisons:
    """What a Job said. `found`: by the name of an arm and by metric; `nothing`: of what there was no file at all, None:
    there were; `matured`, `with_outcome`: predictions of all arms, and those that an outcome came for."""

    found: Mapping[str, Mapping[str, Compared]]
    nothing: str | None
    matured: int
    with_outcome: int

    @property
    def is_silent(self) -> bool:
        """No outcome came for any prediction: what is assumed of who has none would be a value made of nothing."""
        return self.nothing == "outcomes" or (self.matured > 0 and not self.with_outcome)


_Ends = tuple[Number | None, Number | None]
_Row = tuple[str, str, Number, Rows, Number, Rows, Number, Annotated[tuple[_Ends, ...], msgspec.Meta(max_length=2)]]


class _Message(AnyMessage):
    pairs: tuple[_Row, ...] = ()


@lru_cache(maxsize=512)
def read_comparisons(message: str) -> Comparisons:
    """What the pod of a Job said. Raises ValueError."""
    told = unpacked(_Message, message)
    found: dict[str, dict[str, Compared]] = {}
    for arm, metric, value, rows, stable, stable_rows, difference, ends in told.pairs[:PARTS]:
        intervals = [Interval(*each) for each in ends]
        sure, likely = (*intervals, Interval(), Interval())[:2]
        compared = Compared(value, rows, stable, stable_rows, difference, sure, likely)
        found.setdefault(arm[:NAME], {})[metric[:NAME]] = compared
    counts = told.counts
    return Comparisons(found, told.nothing, counts.get("matured", 0), counts.get("withOutcome", 0))
