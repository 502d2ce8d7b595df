"""A run as the RetrainingRun that stores it: spec says once and for all what it is for, status how far it is.

Reading is tolerant: what a later version adds is ignored, and an object that is none of ours reads as None.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

import msgspec

from modelward.api import conditions, names
from modelward.api.conditions import Condition
from modelward.api.driftpolicy import DriftPolicy
from modelward.drift.verdicts import StoredWindow, show_window
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Registration, Run
from modelward.values.stored import Stored, Text, known
from modelward.values.times import read_time, show_time

KIND: Final = "RetrainingRun"

LONGEST: Final = 4000
"""Characters of a reason: what the CRD takes is bounded, so that no model's feature names can hold up a policy."""

LONGEST_NAME: Final = 1024
"""Characters of a feature's name."""

_BAD: Final = frozenset({runs.FAILED, runs.ROLLED_BACK, runs.REFUSED})
"""Results that a person should look at."""


def run_manifest(policy: DriftPolicy, run: Run) -> dict[str, Any]:
    """The object as it is created; its status comes with the first step."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": run.name,
            "namespace": policy.namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_PART_OF: "modelward",
                names.LABEL_POLICY: policy.name,
                names.LABEL_TARGET: run.target,
            },
            "ownerReferences": [policy.owner_reference],
        },
        "spec": _some(
            {
                "target": {
                    "name": run.target,
                    "uid": run.target_uid,
                    "revision": run.revision,
                    "model": show_artifact(run.from_model),
                },
                "trigger": run.trigger,
                "occasion": run.occasion,
                "reason": run.reason[:LONGEST],
                "kind": run.kind,
                "key": run.key,
                "attempt": run.attempt,
                "requestedAt": show_time(run.started_at),
                "evidence": _some(
                    {
                        "window": show_window(run.window),
                        "drifted": [name[:LONGEST_NAME] for name in run.drifted],
                        "features": [
                            {
                                key: value[:LONGEST_NAME] if isinstance(value, str) else value
                                for key, value in each.items()
                            }
                            for each in run.features
                        ],
                    }
                ),
            }
        ),
    }


def run_status(run: Run, stored: Iterable[Mapping[str, Any]], now: str) -> dict[str, Any]:
    """The whole status. `stored`: the conditions that it holds; `now`: RFC 3339, UTC."""
    return _some(
        {
            "observedGeneration": 1,  # spec never changes
            "phase": run.shown_phase,
            "message": run.message,
            "job": run.name if run.kind == runs.JOB and run.begun_at is not None else None,
            "handle": run.handle,
            "deadline": None if run.deadline is None else show_time(run.deadline),
            "startedAt": None if run.begun_at is None else show_time(run.begun_at),
            "acceptedAt": None if run.accepted_at is None else show_time(run.accepted_at),
            "finishedAt": None if run.ended_at is None else show_time(run.ended_at),
            "model": show_artifact(run.model),
            "version": run.version,
            "registration": show_registration(run.registration),
            "holdout": run.holdout,
            "conditions": conditions.render(_conditions(run), stored, 1, now),
        }
    )


def _conditions(run: Run) -> tuple[Condition, ...]:
    """As kstatus reads them: at work, held up, ended as it should, or ended so that a person should look."""
    word, ended = run.shown_phase, run.phase == runs.ENDED
    stalled = run.result in _BAD or run.stuck
    reason = run.delay or word
    message = run.held_up or run.message or (f"It ended as {word}" if ended else f"It is {word}")
    return (
        Condition(conditions.READY, ended and not stalled, reason, message),
        # Of one that can't go on, too, the reason here says why: it is read from there again.
        Condition(
            conditions.RECONCILING, not ended and not run.stuck, reason, message if not ended else "It has ended"
        ),
        Condition(
            conditions.STALLED, stalled, reason if stalled else "NoProblem",
            message if stalled else "Nothing needs a person",
        ),
    )  # fmt: skip


def is_deleted(body: Mapping[str, Any]) -> bool:
    """Somebody has deleted it, though it may be there for a moment yet: it counts no longer."""
    return bool(body["metadata"].get("deletionTimestamp"))


def is_over(body: Mapping[str, Any]) -> bool:
    """Whether it has ended, without reading the whole."""
    return (body.get("status") or {}).get("phase") in runs.RESULTS


def target_uid(body: Mapping[str, Any]) -> str:
    """The uid of the ModelDeployment that it is for; empty where the object does not say."""
    return str(((body.get("spec") or {}).get("target") or {}).get("uid", ""))


def read_run(body: Mapping[str, Any]) -> Run | None:
    """None where it is not what `run_manifest` makes."""
    try:
        return _read(known(_StoredObject, body))
    except ValueError:
        return None


class _Metadata(Stored):
    name: str
    uid: str


class _Target(Stored):
    name: str
    uid: str
    model: Artifact
    revision: str = ""


class _Evidence(Stored):
    drifted: tuple[str, ...] = ()
    features: tuple[dict[str, Any], ...] = ()
    window: StoredWindow | None = None


class _Spec(Stored):
    target: _Target
    key: Text
    kind: Text
    trigger: Text
    requested_at: str
    occasion: str = ""
    reason: str = ""
    attempt: int = 1
    evidence: _Evidence = msgspec.field(default_factory=_Evidence)


class _Condition(Stored):
    type: str
    status: str = ""
    reason: str = ""


class _Status(Stored):
    phase: str = runs.STARTING
    message: str = ""
    model: Artifact | None = None
    holdout: str | None = None
    version: str | None = None
    registration: Registration | None = None
    handle: str | None = None
    started_at: str | None = None
    accepted_at: str | None = None
    finished_at: str | None = None
    deadline: str | None = None
    conditions: tuple[_Condition, ...] = ()


class _StoredObject(Stored):
    metadata: _Metadata
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)


def _read(stored: _StoredObject) -> Run:
    spec, status, target, evidence = stored.spec, stored.status, stored.spec.target, stored.spec.evidence
    over = status.phase in runs.RESULTS
    told = {each.type: each for each in status.conditions}
    reason = told[conditions.RECONCILING].reason if conditions.RECONCILING in told else status.phase
    return Run(
        name=stored.metadata.name,
        uid=stored.metadata.uid,
        key=spec.key,
        kind=spec.kind,
        trigger=spec.trigger,
        occasion=spec.occasion,
        reason=spec.reason,
        started_at=read_time(spec.requested_at),
        target=target.name,
        target_uid=target.uid,
        revision=target.revision,
        from_model=target.model,
        attempt=spec.attempt,
        phase=runs.ENDED if over else status.phase,
        result=status.phase if over else None,
        message=status.message,
        model=status.model,
        holdout=status.holdout,
        version=status.version,
        registration=status.registration,
        handle=status.handle,
        begun_at=_time(status.started_at),
        accepted_at=_time(status.accepted_at),
        ended_at=_time(status.finished_at),
        delay="" if over or reason == status.phase else reason,
        stuck=not over and conditions.STALLED in told and told[conditions.STALLED].status == "True",
        deadline=_time(status.deadline),
        drifted=evidence.drifted,
        features=evidence.features,
        window=None if evidence.window is None else evidence.window.value(),
    )


def show_artifact(artifact: Artifact | None) -> dict[str, str] | None:
    """As objects hold it: `uri`, and `digest` where it is known."""
    if artifact is None:
        return None
    return {"uri": artifact.uri} | ({"digest": artifact.digest} if artifact.digest else {})


def show_registration(registration: Registration | None) -> dict[str, Any] | None:
    """As objects hold it."""
    return None if registration is None else _some(asdict(registration))


def read_artifact(raw: Mapping[str, Any]) -> Artifact:
    """The inverse of show_artifact, also of `spec.model`. Raises ValueError."""
    return known(Artifact, raw)


def _time(text: str | None) -> float | None:
    return None if text is None else read_time(text)


def _some(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}
