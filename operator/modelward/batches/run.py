"""A run of a batch as values: why it began, the model that it keeps, and what came of it. Pure.

The Job is the record of a run that goes on (its annotation has what is here), status of one that has ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from modelward.api import names
from modelward.api.asked import said
from modelward.api.batchinference import BatchInference
from modelward.batches.drift import DriftEntry, Judging
from modelward.revisions.health.diagnosis import Problem
from modelward.values.hashing import content_hash
from modelward.values.stored import Stored, Text, known, known_text

ONCE, SCHEDULE, REQUEST = "Once", "Schedule", "Request"
"""Why a run began."""

SUCCEEDED, FAILED = "Succeeded", "Failed"
RESULTS: Final = (SUCCEEDED, FAILED)

REMEMBERED: Final = 10
"""Ended runs in status: more than Jobs are kept, so that none of these is dealt with twice."""


class Used(Stored):
    """The model of a run. `name`: the ModelDeployment's, or the BatchInference's own; `version`: as people call it,
    `digest`: sha256:…; empty: not known."""

    name: Text
    uri: str
    version: str = ""
    revision: str = ""
    digest: str = ""


class About(Stored):
    """The annotation of a Job. `asked`: a hash of what spec asked for; `slot`: the time of the schedule that it is for,
    seconds since the epoch; `request`: the annotation that asked for it; `output`: the folder of its answers;
    `drift`: by whose rules it is judged, None: it is not."""

    trigger: str
    asked: str
    model: Used
    pods: int
    output: str
    slot: float | None = None
    request: str | None = None
    drift: Judging | None = None


@dataclass(frozen=True)
class Run:
    """One that is to begin. `name`: also of its Job, and of its folder in the output."""

    name: str
    trigger: str
    asked: str
    slot: float | None = None
    request: str | None = None


@dataclass(frozen=True)
class Counts:
    """Of the pods that have ended well. `seconds`: from the run's start to the end of the last of them, or of the
    run."""

    rows: int = 0
    rejected: int = 0
    pods_done: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Ended:
    """`reason`: one CamelCase word; `message`: cause and cure, or what was done; `at`: seconds since the epoch."""

    result: str
    reason: str
    message: str
    at: float


@dataclass(frozen=True)
class RunFacts:
    """A run as its Job and its pods show it. `started`: seconds since the epoch; `ended`: None: it goes on; `over`: its
    Job has ended or is going, so that nothing of it runs; `delay`: what keeps it from coming on; `digest`: of the
    artifact that its pods have fetched; `drift`: what its pods say of it, of one that ended well."""

    name: str
    uid: str
    about: About
    started: float
    counts: Counts = Counts()
    ended: Ended | None = None
    over: bool = False
    delay: Problem | None = None
    digest: str = ""
    drift: DriftEntry | None = None


class Entry(Stored):
    """An ended run, as status has it. `name`: its Job's; times: RFC 3339."""

    name: Text
    trigger: str
    result: str
    reason: str
    started: str
    ended: str
    model: Used
    message: str = ""
    rows: int = 0
    rejected: int = 0
    seconds: float = 0.0
    output: str = ""
    drift: DriftEntry | None = None


class Handled(Stored):
    """What was dealt with, so that nothing begins twice. `asked`: of the last run that began; `until`: the time of the
    schedule up to which nothing is due any more, RFC 3339; `schedule`: the one that this is of; `request`: the
    annotation that was taken up last."""

    asked: str | None = None
    until: str | None = None
    schedule: str | None = None
    request: str | None = None


class Active(Stored):
    """The run that goes on, as status has it."""

    name: Text
    started: str
    model: Used
    trigger: str = ONCE
    output: str = ""


class _Status(Stored):
    handled: Handled = msgspec.field(default_factory=Handled)
    active: Active | None = None
    runs: list[Entry] = msgspec.field(default_factory=list)


@dataclass(frozen=True)
class Memory:
    """What status remembers. `active`: the run that went on, and `runs`: those that have ended, the latest first."""

    handled: Handled
    active: Active | None = None
    runs: tuple[Entry, ...] = ()


def remembered(status: Mapping[str, Any]) -> Memory:
    """Nothing, where a status can't be read: what Jobs there are says the rest."""
    try:
        found = known(_Status, status)
    except ValueError:
        return Memory(Handled())
    return Memory(found.handled, found.active, tuple(found.runs))


def about_of(job: Mapping[str, Any]) -> About | None:
    """None: somebody else has written it."""
    try:
        return known_text(About, (job["metadata"].get("annotations") or {})[names.ANNOTATION_BATCH])
    except (KeyError, ValueError):
        return None


def asked_of(batch: BatchInference) -> str:
    """A hash of what a run is about: whatever else is edited (when, how many pods, how long), a batch that was to run
    once is not run again."""
    spec = batch.spec
    wrote = {
        "model": said(spec.model),
        "input": said(spec.input),
        "output": said(spec.output),
        "keys": list(spec.keys),
        "columns": dict(spec.columns),
        "maxRejectedShare": spec.max_rejected_share,
    }
    return content_hash(wrote)


def run_of(batch: BatchInference, trigger: str, memory: Memory, slot: float | None = None) -> Run:
    """The run that is to begin: the same name for whoever decides it from the same status, so that a crash can't start
    it twice."""
    last = memory.runs[0].name if memory.runs else ""
    request = batch.request if trigger == REQUEST else None
    asked = asked_of(batch)
    about: dict[str, object] = {"batch": batch.uid, "trigger": trigger, "asked": asked if trigger == ONCE else ""}
    about |= {"slot": slot} if trigger == SCHEDULE else {"after": last, "request": request}
    return Run(f"{batch.name}-{content_hash(about)}", trigger, asked, slot, request)
