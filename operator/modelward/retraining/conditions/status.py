"""The status of a DriftPolicy: numbers, runs, and the conditions that people and tools read. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.api.driftpolicy import DriftPolicy
from modelward.drift.signal import Signal, show_signal
from modelward.drift.verdicts import DRIFTED, NO_DRIFT, show_window
from modelward.quality.measured import Kept
from modelward.quality.parity_found import ParityKept
from modelward.retraining.conditions.parity_status import parity_condition, shown_parity
from modelward.retraining.conditions.quality_status import measured_condition, quality_summary, shown_quality
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Run
from modelward.retraining.target import Memory
from modelward.values.times import read_time, show_time

DRIFTED_CONDITION: Final = "Drifted"

SHOWN_TARGETS: Final = 10
"""Of more, those that matter most are in status: it has to fit into one object, however many there are."""

NAMED: Final = 20
"""Drifted features of a target that status names."""

SHOWN_SIGNALS: Final = 10
"""Of kinds other than the window's, of a target."""

LONGEST: Final = 400
"""Characters of a sentence."""

LONGEST_NAME: Final = 64
"""Characters of a feature's name."""


@dataclass(frozen=True)
class TargetState:
    """One target as this reconcile leaves it. `run`: the one that goes on; `obstacle`: why a wanted run does not start;
    `stalled`: what needs a person; `missing`: why it can't be watched yet."""

    memory: Memory
    run: Run | None = None
    obstacle: str | None = None
    stalled: str | None = None
    missing: str | None = None


@dataclass(frozen=True)
class Told:
    """What metrics tell of a target. `quality`: what outcomes say of it; `breached`: by kind of signal, whether one is
    beyond its bound; `parity`: whether requests have the features of training."""

    model: str
    verdict: str
    retraining: bool
    quality: Kept | None = None
    breached: Mapping[str, bool] = field(default_factory=dict)
    parity: ParityKept | None = None


def build_status(policy: DriftPolicy, targets: Sequence[TargetState], now: str) -> dict[str, Any]:
    """The whole status. `targets`: ordered by name; `now`: RFC 3339, UTC."""
    memories = [each.memory for each in targets]
    asked = (measured_condition(policy, memories), parity_condition(policy, memories, read_time(now)))
    built = {
        "observedGeneration": policy.generation,
        "summary": _summary(policy, targets),
        "counts": _counts(targets),
        "targets": [_shown(policy, each) for each in _telling(targets)],
        "conditions": conditions.render(
            (*_health(policy, targets), _drifted(targets), *(each for each in asked if each is not None)),
            policy.status.get("conditions") or (),
            policy.generation,
            now,
        ),
    }
    return {name: value for name, value in built.items() if value}


def _counts(targets: Sequence[TargetState]) -> dict[str, int]:
    """Of all targets, whether they are shown or not."""
    phases = [each.run.phase for each in targets if each.run is not None]
    return {
        "targets": len(targets),
        "drifted": sum(each.memory.verdict.word == DRIFTED for each in targets),
        "stalled": sum(each.stalled is not None for each in targets),
        "starting": phases.count(runs.STARTING),
        "running": phases.count(runs.RUNNING),
        "rollingOut": phases.count(runs.ROLLING_OUT),
    }


def _telling(targets: Sequence[TargetState]) -> list[TargetState]:
    """Those that matter most, by name."""

    def weight(each: TargetState) -> tuple[bool, bool, bool, int]:
        verdict = each.memory.verdict
        drifted = verdict.word == DRIFTED
        return (
            bool(each.stalled or each.missing),
            each.run is not None,
            drifted,
            len(verdict.breached) if drifted else 0,
        )

    kept = sorted(targets, key=weight, reverse=True)[:SHOWN_TARGETS]
    return sorted(kept, key=lambda each: each.memory.name)


def _shown(policy: DriftPolicy, target: TargetState) -> dict[str, Any]:
    memory, verdict = target.memory, target.memory.verdict
    run, last = target.run, next(iter(memory.runs), None)
    shown = {
        "name": memory.name,
        "uid": memory.uid,
        "revision": verdict.revision,
        "verdict": verdict.word,
        "message": verdict.sentence[:LONGEST],
        "obstacle": None if target.obstacle is None else target.obstacle[:LONGEST],
        "window": show_window(verdict.window),
        "judged": verdict.judged or None,
        "drifted": [each.key[:LONGEST_NAME] for each in verdict.breached[:NAMED]],
        "features": [{**each, "name": str(each["name"])[:LONGEST_NAME]} for each in verdict.features],
        "signals": [show_signal(each) for each in _worst(verdict.others)[:SHOWN_SIGNALS]],
        "quality": shown_quality(policy, memory.quality),
        "parity": shown_parity(policy, memory.parity),
        "failures": memory.failures or None,
        "lastRun": {"name": run.name, "phase": run.shown_phase}
        if run
        else {"name": last.name, "phase": last.result}
        if last
        else None,
    }
    return {name: value for name, value in shown.items() if value not in (None, "", [])}


def _worst(signals: Sequence[Signal]) -> list[Signal]:
    """What is beyond its bound, then what has no value, then the rest."""
    return sorted(signals, key=lambda each: (not each.breached, each.missing is None))


def _health(policy: DriftPolicy, targets: Sequence[TargetState]) -> tuple[Condition, ...]:
    """Ready, Reconciling and Stalled. A run is the policy's everyday work: what goes on with it is in `targets`."""
    stalled = [(each.memory.name, each.stalled) for each in targets if each.stalled]
    missing = [(each.memory.name, each.missing) for each in targets if each.missing]
    if stalled:
        message = _told(stalled, len(targets))
        return (
            Condition(conditions.READY, False, "NeedsAPerson", message),
            Condition(conditions.RECONCILING, False, "NeedsAPerson", "Waiting for the cause of Stalled to go"),
            Condition(conditions.STALLED, True, "NeedsAPerson", message),
        )
    well = Condition(conditions.STALLED, False, "NoProblem", "Nothing needs a person")
    if not targets:
        message = _nobody(policy)
        return (
            Condition(conditions.READY, False, "NoTarget", message),
            Condition(conditions.RECONCILING, True, "NoTarget", message),
            well,
        )
    if missing:
        message = _told(missing, len(targets))
        return (
            Condition(conditions.READY, False, "NotWatched", message),
            Condition(conditions.RECONCILING, True, "NotWatched", message),
            well,
        )
    names = ", ".join(each.memory.name for each in targets[:5])
    more = f" and {len(targets) - 5} more" if len(targets) > 5 else ""
    delayed = [(each.memory.name, delayed_run(each.run)) for each in targets if each.run and each.run.delay]
    waits = f". {_told(delayed, len(targets))}" if delayed else ""
    return (
        Condition(conditions.READY, True, "Watching", f"Watching {names}{more}{waits}"),
        Condition(conditions.RECONCILING, False, "UpToDate", "Everything is as spec asks"),
        well,
    )


def delayed_run(run: Run) -> str:
    """A run that something keeps from going on, in a sentence."""
    return f"The run {run.name} does not go on: {run.held_up}"


def _nobody(policy: DriftPolicy) -> str:
    target = policy.spec.target
    if target.selector is None:
        return f"There is no ModelDeployment {target.name} in {policy.namespace}; create it, or correct spec.target"
    labels = ", ".join(f"{name}={value}" for name, value in sorted(target.selector.match_labels.items()))
    return (
        f"No ModelDeployment of {policy.namespace} has the labels {labels}; label one, or correct spec.target.selector"
    )


def _drifted(targets: Sequence[TargetState]) -> Condition:
    drifted = [each for each in targets if each.memory.verdict.word == DRIFTED]
    if drifted:
        message = _told([(each.memory.name, _what_comes(each)) for each in drifted], len(targets))
        return Condition(DRIFTED_CONDITION, True, "DriftFound", message)
    if targets and all(each.memory.verdict.word == NO_DRIFT for each in targets):
        message = _told([(each.memory.name, each.memory.verdict.sentence) for each in targets], len(targets))
        return Condition(DRIFTED_CONDITION, False, "NoDrift", message)
    waiting = [
        (each.memory.name, each.memory.verdict.sentence or each.missing or "nothing is known yet")
        for each in targets
        if each.memory.verdict.word != NO_DRIFT
    ]
    return Condition(DRIFTED_CONDITION, None, "NotKnown", _told(waiting, len(targets)) or "There is nothing to watch")


def _what_comes(target: TargetState) -> str:
    memory, run = target.memory, target.run
    if run is not None:
        told = run.held_up or run.message
        said = f": {told}" if told else ""
        return f"{memory.verdict.sentence}. The run {run.name} is {run.phase}{said}"
    return ". ".join(part for part in (memory.verdict.sentence, target.obstacle) if part)


def _told(sentences: Sequence[tuple[str, str | None]], targets: int) -> str:
    """Of one target alone, its name need not be said; of many, the first three are."""
    if targets == 1:
        return "; ".join(str(sentence) for _, sentence in sentences)
    more = f"; and {len(sentences) - 3} more" if len(sentences) > 3 else ""
    return "; ".join(f"{name}: {str(sentence)[:LONGEST]}" for name, sentence in sentences[:3]) + more


def _summary(policy: DriftPolicy, targets: Sequence[TargetState]) -> dict[str, Any]:
    """Of the target that matters most: one that drifts, most features first."""
    if not targets:
        return {}
    shown = max(targets, key=lambda each: (each.memory.verdict.word == DRIFTED, len(each.memory.verdict.breached)))
    memory = shown.memory
    worst: Mapping[str, Any] = next(iter(memory.verdict.features), {})
    run, last = shown.run, next(iter(memory.runs), None)
    name, began, word = (
        (run.name, run.started_at, run.shown_phase)
        if run
        else (last.name, last.started_at, last.result)
        if last
        else (None, None, None)
    )
    more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
    built = {
        "target": f"{memory.name}{more}",
        "verdict": memory.verdict.word,
        "feature": worst.get("name"),
        "value": f"{worst['metric']} {worst['value']}" if worst else None,
        "quality": quality_summary(policy, memory),
        "run": name,
        "runStartedAt": None if began is None else show_time(began),
        "runResult": word,
    }
    return {name: value for name, value in built.items() if value is not None}
