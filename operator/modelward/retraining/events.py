"""Kubernetes Events of a DriftPolicy: one for each change that a person would want to have been told of."""

from collections.abc import Iterator, Mapping
from typing import Any

from modelward.api import conditions
from modelward.drift.verdicts import DRIFTED, Verdict
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Run
from modelward.values.times import show_time
from modelward.values.transition import Transition

_GOOD = frozenset({runs.PROMOTED, runs.REPORTED, runs.UNCHANGED})


def verdict_transitions(name: str, old: Verdict, new: Verdict) -> Iterator[Transition]:
    """Drift of one target began, or ended."""
    was, now = old.word == DRIFTED, new.word == DRIFTED
    began = new.since if new.since is not None else new.window.end if new.window else None
    since = "None" if began is None else show_time(began)
    if now and not was:
        yield Transition("Warning", "DriftDetected", f"{name}: {new.sentence}", since)
    elif was and not now:
        why = new.sentence if old.revision == new.revision else f"{new.revision} has taken over"
        yield Transition("Normal", "DriftEnded", f"{name}: {why}", since)


def memory_lost(config_map: str, target: str, since: str) -> Transition:
    """Somebody has edited what the policy remembers."""
    told = (
        f"What the policy remembers of {target} could not be read, and is written anew: somebody else has edited "
        f"ConfigMap {config_map}. Drift is judged as if the model were seen for the first time; its runs are known by "
        "their own objects"
    )
    return Transition("Warning", "MemoryUnreadable", told, since)


def run_transitions(old: Run | None, new: Run) -> Iterator[Transition]:
    """How a run of one target went on. `old`: None where it is new."""
    if old is None:
        told = f"{new.name} for {new.target}. {new.reason}"
        yield Transition("Normal", "RetrainingStarted", told, new.key)
    elif new.phase == runs.ROLLING_OUT and old.phase != runs.ROLLING_OUT and new.model is not None:
        held = f" ({new.holdout})" if new.holdout else ""
        told = f"{new.target} rolls out {new.model.uri}{held}, which {new.name} made"
        yield Transition("Normal", "RetrainedModelRollsOut", told, new.key)
    elif new.held_up and new.delay != old.delay:
        # The same words at another time are the same Event: what comes and goes is told once.
        yield Transition("Warning", "RetrainingDelayed", f"{new.name} for {new.target}: {new.held_up}", new.key)
    elif new.phase == runs.ENDED and old.phase != runs.ENDED:
        kind = "Normal" if new.result in _GOOD else "Warning"
        told = f"{new.name} for {new.target}: {new.message}"
        yield Transition(kind, f"Retraining{new.result}", told, new.key, new.result)


def stopped_elsewhere(run: Run, untold: str) -> Transition:
    """The end of a run in another system that its policy does not know any more, or goes before.

    `untold`: why it could not be told to stop.
    """
    if untold:
        told = f"{run.name} for {run.target}: {could_not_be_told(untold)}{f' ({run.handle})' if run.handle else ''}"
        return Transition("Warning", "RetrainingNotStopped", told, run.key)
    told = f"{run.name} for {run.target}: it was deleted, and the system that runs it was told to stop it"
    return Transition("Normal", "RetrainingStopped", told, run.key)


def could_not_be_told(why: str) -> str:
    """Of a run in another system, at the end of a sentence or as one."""
    return f"the system that runs it could not be told to stop it, so it may go on there: {why.rstrip('.')}"


def health_transitions(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    """The changes between two statuses that are worth an Event."""
    before = conditions.by_type(old.get("conditions") or ())
    after = conditions.by_type(new.get("conditions") or ())
    since = f"{old.get('observedGeneration', 0)}@{before.get(conditions.READY, {}).get('lastTransitionTime')}"
    for kind, status, event, reason in (
        (conditions.READY, "True", "Normal", "Watching"),
        (conditions.READY, "False", "Warning", "NotWatched"),
        (conditions.STALLED, "True", "Warning", "Stalled"),
        (conditions.MEASURED, "True", "Normal", "Measured"),
        (conditions.MEASURED, "False", "Warning", "NotMeasured"),
        (conditions.FEATURE_PARITY, "True", "Normal", "FeaturesEqual"),
        (conditions.FEATURE_PARITY, "False", "Warning", "FeaturesUnequal"),
    ):
        if after.get(kind, {}).get("status") != status or before.get(kind, {}).get("status") == status:
            continue
        if reason == "NotWatched" and after[conditions.STALLED]["status"] == "True":
            continue
        yield Transition(event, reason, after[kind]["message"], since)
