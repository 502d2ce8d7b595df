"""The status of a BatchInference: the run that goes on, those that have ended, and what a person has to do. Pure.

The same facts give the same status but for the times of transition: what is told of a run that goes on changes with
what its pods say, and with no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from modelward.api import conditions
from modelward.api.batchinference import BatchInference
from modelward.api.conditions import Condition
from modelward.batches.run import FAILED, SUCCEEDED, Entry, Handled, Memory, RunFacts
from modelward.reconcilers.batchinference import drift_status
from modelward.reconcilers.batchinference.plan import used_by
from modelward.revisions.health.diagnosis import Problem
from modelward.values.times import show_time

PENDING, SCHEDULED, SUSPENDED, RUNNING, COMPLETE, BAD = (
    "Pending", "Scheduled", "Suspended", "Running", "Complete", "Failed",
)  # fmt: skip

_NOTHING: Final = Condition(conditions.STALLED, False, "NoProblem", "Nothing needs a person")
_DONE: Final = Condition(conditions.RECONCILING, False, "UpToDate", "Everything is as spec asks")


@dataclass(frozen=True)
class State:
    """`memory`: what is dealt with; `active`: the run that goes on; `problem`: what keeps the next one from beginning,
    or everything; `next_at`: of the schedule, seconds since the epoch; `now`: seconds since the epoch; `worse`: what
    outcomes say."""

    memory: Memory
    active: RunFacts | None
    problem: Problem | None
    next_at: float | None
    now: float
    worse: Condition | None = None

    @property
    def last(self) -> Entry | None:
        """The run that ended last."""
        return self.memory.runs[0] if self.memory.runs else None


def build_status(batch: BatchInference, state: State) -> dict[str, Any]:
    """The whole status."""
    built = build_conditions(batch, state)
    shown = show_time(int(state.now))
    status: dict[str, Any] = {
        "observedGeneration": batch.generation,
        "phase": _phase(batch, state, built),
        "conditions": conditions.render(built, batch.status.get("conditions") or (), batch.generation, shown),
        **_summary(batch, state),
    }
    optional = {
        "nextRunTime": None if state.next_at is None or _is_suspended(batch) else show_time(state.next_at),
        "lastRunTime": state.last.ended if state.last is not None else None,
        "active": None if state.active is None else _active(state.active),
        "runs": [_plain(each) for each in drift_status.shown(state.memory.runs)],
        "handled": _known(state.memory.handled),
    }
    return status | {name: value for name, value in optional.items() if value}


def build_conditions(batch: BatchInference, state: State) -> tuple[Condition, ...]:
    """The four conditions, always all of them; and those of drift and of outcomes, where these are judged."""
    judged = (drift_status.condition(batch, state.memory.runs), state.worse)
    return (*_readiness(batch, state), _complete(state), *(each for each in judged if each is not None))


def _readiness(batch: BatchInference, state: State) -> tuple[Condition, Condition, Condition]:
    run, last = state.active, state.last
    problem = state.problem or (run.delay if run is not None else None)
    if problem is not None and not problem.may_pass(state.now):
        return _stalled(problem.reason, problem.message)
    if run is not None:
        told = f"{run.name} goes on" + (f". {problem.message}" if problem is not None else "")
        if batch.spec.schedule is not None:
            return Condition(conditions.READY, True, RUNNING, told), _DONE, _NOTHING
        return _waiting(RUNNING, told)
    if problem is not None:
        return _waiting(problem.reason, problem.message)
    if last is not None and last.result == FAILED:
        again = (
            "" if state.next_at is None or _is_suspended(batch) else f" The next run is at {show_time(state.next_at)}"
        )
        return _stalled(last.reason, f"{last.message.rstrip('.')}.{again}")
    if batch.spec.schedule is not None:
        told = "spec.schedule.suspend is true: no run begins"
        if not _is_suspended(batch):
            told = f"The next run is at {show_time(state.next_at)}" if state.next_at is not None else "It is scheduled"
        return (
            Condition(conditions.READY, True, SUSPENDED if _is_suspended(batch) else SCHEDULED, told),
            _DONE,
            _NOTHING,
        )
    if last is not None:
        return Condition(conditions.READY, True, COMPLETE, last.message), _DONE, _NOTHING
    return _waiting("NotBegun", "Its run begins in a moment")


def _stalled(reason: str, message: str) -> tuple[Condition, Condition, Condition]:
    return (
        Condition(conditions.READY, False, reason, message),
        Condition(conditions.RECONCILING, False, reason, "Waiting for the cause of Stalled to go"),
        Condition(conditions.STALLED, True, reason, message),
    )


def _waiting(reason: str, message: str) -> tuple[Condition, Condition, Condition]:
    return (
        Condition(conditions.READY, False, reason, message),
        Condition(conditions.RECONCILING, True, reason, message),
        _NOTHING,
    )


def _complete(state: State) -> Condition:
    if state.active is not None:
        return Condition(conditions.COMPLETE, None, RUNNING, f"{state.active.name} goes on")
    if state.last is None:
        return Condition(conditions.COMPLETE, None, "NoRunYet", "No run has ended yet")
    return Condition(conditions.COMPLETE, state.last.result == SUCCEEDED, state.last.reason, state.last.message)


def _phase(batch: BatchInference, state: State, built: tuple[Condition, ...]) -> str:
    """One word for the printer column."""
    by_type = {condition.type: condition for condition in built}
    if state.active is not None:
        return RUNNING
    if by_type[conditions.STALLED].status:
        return BAD
    if by_type[conditions.RECONCILING].status:
        return PENDING
    if batch.spec.schedule is None:
        return COMPLETE
    return SUSPENDED if _is_suspended(batch) else SCHEDULED


def _is_suspended(batch: BatchInference) -> bool:
    return batch.spec.schedule is not None and batch.spec.schedule.suspend


def _summary(batch: BatchInference, state: State) -> dict[str, Any]:
    """For the printer columns: of the run that goes on, or the one that ended last."""
    run, last = state.active, state.last
    if run is not None:
        used, rows, rejected = used_by(run), run.counts.rows, run.counts.rejected
    elif last is not None:
        used, rows, rejected = last.model, last.rows, last.rejected
    else:
        return {"model": batch.spec.model.model_deployment or batch.spec.model.uri}
    named = {"model": used.name if used.name == batch.spec.model.model_deployment else used.uri or used.name}
    return named | ({"version": used.version} if used.version else {}) | {"rows": rows, "rejected": rejected}


def _active(run: RunFacts) -> dict[str, Any]:
    counts = run.counts
    return {
        "name": run.name,
        "trigger": run.about.trigger,
        "started": show_time(run.started),
        "output": run.about.output,
        "model": _plain(used_by(run)),
        "pods": run.about.pods,
        "podsDone": counts.pods_done,
        "rows": counts.rows,
        "rejected": counts.rejected,
        "seconds": round(counts.seconds, 3),
        "ratePerSecond": round(counts.rate, 1),
    }


def _known(handled: Handled) -> dict[str, str]:
    """With what is empty: an annotation without a value was taken up, too, and is not to be so again and again."""
    return {name: each for name, each in msgspec.to_builtins(handled).items() if each is not None}


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    """Without what is not known."""
    return _bare(msgspec.to_builtins(value))


def _bare(found: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: _within(each) for name, each in found.items()}
    return {name: each for name, each in kept.items() if each not in (None, "", {}, [])}


def _within(value: Any) -> Any:
    if isinstance(value, list):
        return [_within(each) for each in value]
    return _bare(value) if isinstance(value, dict) else value
