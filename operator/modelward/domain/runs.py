"""A retraining run: what it was started for, how far it has come, what came of it; and what triggers say of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from modelward.domain.revision import content_hash
from modelward.domain.stored import known
from modelward.domain.times import read_time, show_time
from modelward.domain.verdicts import Judged, read_window, show_window

JOB, WEBHOOK = "Job", "Webhook"
DRIFT, SCHEDULE, REQUEST = "Drift", "Schedule", "Request"

STARTING, RUNNING, APPLYING, ROLLING_OUT, ENDED = "Starting", "Running", "Applying", "RollingOut", "Ended"
"""Phases. Each is written before what it tells of is done, so that whoever comes after a crash goes on there."""

PROMOTED, ROLLED_BACK, REFUSED, REPORTED = "Promoted", "RolledBack", "Refused", "Reported"
UNCHANGED, SUPERSEDED, FAILED, CANCELLED = "Unchanged", "Superseded", "Failed", "Cancelled"
RESULTS: Final = (PROMOTED, ROLLED_BACK, REFUSED, REPORTED, UNCHANGED, SUPERSEDED, FAILED, CANCELLED)

IN_VAIN: Final = frozenset({ROLLED_BACK, REFUSED, REPORTED, UNCHANGED})
"""Results after which the same drift of the same revision would only lead to the same again."""


@dataclass(frozen=True)
class Artifact:
    """A model by its address, and its digest where that is known."""

    uri: str
    digest: str | None = None


@dataclass(frozen=True)
class Holdout:
    """One metric on rows that were held out, of the model that is served and of the new one."""

    metric: str
    current: float
    candidate: float
    higher_is_better: bool = True

    @property
    def worse(self) -> bool:
        """Not a number is worse than any."""
        better = self.candidate >= self.current if self.higher_is_better else self.candidate <= self.current
        return not better and self.current == self.current

    def __str__(self) -> str:
        return f"{self.metric} {self.candidate:.4g}, the current model {self.current:.4g}"


@dataclass(frozen=True)
class Report:
    """What a run says that it made."""

    model: Artifact
    version: str | None = None
    holdout: Holdout | None = None


WORKING, SUCCEEDED, BROKE, WAITS, UNTOLD, DONE = "Working", "Succeeded", "Broke", "Waits", "Untold", "Done"
ASKED = "Asked"
"""States of an Outcome. Waits: it could not be done or asked now, to be tried again; Asked: there is no answer yet, and
nothing is to be decided before; Untold: it goes on elsewhere, and nobody tells of it; Done: what the operator itself
did is done."""


@dataclass(frozen=True)
class Outcome:
    """What starting, asking or applying led to. `message`: why, where it went wrong; `generation`: of the target's spec
    that was applied; `handle`: what the trigger wants to be given again."""

    state: str
    message: str = ""
    report: Report | None = None
    handle: str | None = None
    generation: int | None = None


@dataclass(frozen=True)
class Run:
    """Times: seconds since the epoch. `key`: what it was started for, once and for all; `from_model`: what the target's
    spec asked for then; `revision`: its stable revision then; `attempt`: counts runs for the same reason; `drifted`,
    `features`, `window`: the evidence."""

    name: str
    key: str
    kind: str
    trigger: str
    reason: str
    started_at: float
    revision: str
    from_model: Artifact
    attempt: int = 1
    phase: str = STARTING
    result: str | None = None
    message: str = ""
    model: Artifact | None = None
    holdout: str | None = None
    version: str | None = None
    handle: str | None = None
    target_generation: int | None = None
    ended_at: float | None = None
    drifted: tuple[str, ...] = ()
    features: tuple[Mapping[str, Any], ...] = ()
    window: Judged | None = None


def run_name(policy: str, key: str) -> str:
    """`<policy>-<10 hex digits>`: the same key has the same name for ever, so that no crash can start it twice."""
    return f"{policy}-{content_hash({'key': key})}"


def show_run(run: Run) -> dict[str, Any]:
    """As status has it."""
    shown = {
        "name": run.name,
        "key": run.key,
        "kind": run.kind,
        "trigger": run.trigger,
        "attempt": run.attempt,
        "reason": run.reason,
        "phase": run.phase,
        "result": run.result,
        "message": run.message,
        "revision": run.revision,
        "from": _show_artifact(run.from_model),
        "model": _show_artifact(run.model),
        "holdout": run.holdout,
        "version": run.version,
        "handle": run.handle,
        "targetGeneration": run.target_generation,
        "startedAt": show_time(run.started_at),
        "endedAt": None if run.ended_at is None else show_time(run.ended_at),
        "drifted": list(run.drifted),
        "features": [dict(each) for each in run.features],
        "window": show_window(run.window),
    }
    return {name: value for name, value in shown.items() if value not in (None, "", [])}


def read_run(raw: Mapping[str, Any]) -> Run:
    """The inverse of show_run."""
    ended, model = raw.get("endedAt"), raw.get("model")
    return Run(
        name=raw["name"],
        key=raw["key"],
        kind=raw["kind"],
        trigger=raw["trigger"],
        reason=raw.get("reason", ""),
        started_at=read_time(raw["startedAt"]),
        revision=raw["revision"],
        from_model=known(Artifact, raw["from"]),
        attempt=int(raw.get("attempt", 1)),
        phase=raw["phase"],
        result=raw.get("result"),
        message=raw.get("message", ""),
        model=None if model is None else known(Artifact, model),
        holdout=raw.get("holdout"),
        version=raw.get("version"),
        handle=raw.get("handle"),
        target_generation=raw.get("targetGeneration"),
        ended_at=None if ended is None else read_time(ended),
        drifted=tuple(raw.get("drifted") or ()),
        features=tuple(raw.get("features") or ()),
        window=read_window(raw.get("window")),
    )


def _show_artifact(artifact: Artifact | None) -> dict[str, Any] | None:
    return None if artifact is None else {key: value for key, value in asdict(artifact).items() if value is not None}
