"""What is to be done of a BatchInference now. Pure.

Invariant: at most one run goes on, and none begins before the end of the one before is in status: what status tells of
is dealt with, and what a Job tells of is not yet. A Job is taken away only once its end is in status.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from modelward.api.batchinference import BatchInference
from modelward.batches.due import Due, begun, dealt_with_until, due
from modelward.batches.progress import missing
from modelward.batches.run import REMEMBERED, Active, Counts, Ended, Entry, Handled, Memory, Run, RunFacts, Used
from modelward.retraining.schedule import ScheduleError
from modelward.revisions.health.diagnosis import Problem
from modelward.values.durations import period
from modelward.values.times import read_time, show_time

INVALID_SCHEDULE: Final = "InvalidSchedule"

LOOK_AGAIN: Final = 15.0
"""Seconds until a run that goes on is looked at again, where no watch tells of it."""


@dataclass(frozen=True)
class Plan:
    """`memory`: what is dealt with then; `ended`: the runs whose end was just seen; `active`: the one that goes on;
    `begin`: one that is to begin; `delete`: Jobs that are not kept, of runs whose end is in status; `missed`: a time of
    the schedule that is left out; `next_at`: the next one, seconds since the epoch; `again_in`: seconds until the next
    look."""

    memory: Memory
    due: Due | None = None
    ended: tuple[Entry, ...] = ()
    active: RunFacts | None = None
    begin: Run | None = None
    delete: tuple[RunFacts, ...] = ()
    missed: float | None = None
    next_at: float | None = None
    problem: Problem | None = None
    again_in: float | None = None


def plan(batch: BatchInference, memory: Memory, runs: Sequence[RunFacts], now: float) -> Plan:
    """`runs`: that have a Job, the oldest first; `now`: seconds since the epoch."""
    told = {each.name: place for place, each in enumerate(memory.runs)}
    untold = [each for each in runs if each.name not in told]
    ended = [entry_of(each) for each in untold if each.ended is not None]
    gone = memory.active
    if gone is not None and gone.name not in told and gone.name not in {each.name for each in runs}:
        ended.insert(0, _lost(gone, now))
    active = next((each for each in untold if each.ended is None), None)
    handled = memory.handled
    for each in untold:
        handled = _taken_up(handled, each)
    known = Memory(handled, memory.active, (*reversed(ended), *memory.runs)[:REMEMBERED])
    found, problem = _due(batch, known, now, busy=bool(untold) or bool(ended))
    if found is not None:
        known = Memory(found.handled, known.active, known.runs)
    # By status and not by time: two runs may have begun within a second, which is all that a Job's times tell.
    over = sorted((each for each in runs if each.name in told and each.over), key=lambda each: -told[each.name])
    superfluous, expires = _superfluous(batch, over, now)
    next_at = found.next_at if found is not None else None
    times = [
        0.0 if ended else None,
        LOOK_AGAIN if active is not None else None,
        expires,
        None if next_at is None else max(0.0, next_at - now),
    ]
    return Plan(
        memory=known,
        due=found,
        ended=tuple(ended),
        active=active,
        begin=None if found is None else found.run,
        delete=(*(each for each in runs if each.name in told and not each.over), *superfluous),
        missed=None if found is None else found.missed,
        next_at=next_at,
        problem=problem,
        again_in=min((time for time in times if time is not None), default=None),
    )


def with_run(planned: Plan) -> Memory:
    """What is dealt with once the run that was to begin is there."""
    assert planned.due is not None
    assert planned.begin is not None
    return Memory(begun(planned.due, planned.begin), planned.memory.active, planned.memory.runs)


def entry_of(run: RunFacts) -> Entry:
    """A run that has ended, as status has it."""
    ended = run.ended
    assert ended is not None
    entry = _entry(run.name, run.about.trigger, run.about.output, run.started, ended, run.counts, used_by(run))
    return msgspec.structs.replace(entry, drift=run.drift)


def used_by(run: RunFacts) -> Used:
    """Its model, with the digest of what its pods fetched where nobody knew it before."""
    model = run.about.model
    return model if model.digest else msgspec.structs.replace(model, digest=run.digest)


def _entry(name: str, trigger: str, output: str, started: float, ended: Ended, counts: Counts, model: Used) -> Entry:
    return Entry(
        name=name, trigger=trigger, result=ended.result, reason=ended.reason, message=ended.message,
        started=show_time(started), ended=show_time(ended.at), model=model, rows=counts.rows, rejected=counts.rejected,
        seconds=round(counts.seconds, 3), output=output,
    )  # fmt: skip


def _lost(active: Active, now: float) -> Entry:
    try:
        started = read_time(active.started)
    except ValueError:
        started = now
    ended = missing(active.name, now)
    return _entry(active.name, active.trigger, active.output, started, ended, Counts(), active.model)


def _taken_up(handled: Handled, run: RunFacts) -> Handled:
    """With what a run was for that is there, whoever began it."""
    handled = msgspec.structs.replace(handled, asked=run.about.asked)
    if run.about.request is not None:
        handled = msgspec.structs.replace(handled, request=run.about.request)
    slot = run.about.slot
    if slot is not None and slot > (dealt_with_until(handled) or 0.0):
        handled = msgspec.structs.replace(handled, until=show_time(slot))
    return handled


def _due(batch: BatchInference, memory: Memory, now: float, *, busy: bool) -> tuple[Due | None, Problem | None]:
    try:
        return due(batch, memory, now, busy=busy), None
    except ScheduleError as error:
        return None, Problem(INVALID_SCHEDULE, str(error))


def _superfluous(batch: BatchInference, over: Sequence[RunFacts], now: float) -> tuple[list[RunFacts], float | None]:
    """Jobs beyond those that are kept, and seconds until the next of these is too old. `over`: the oldest first."""
    keep = batch.spec.history_limit
    beyond = list(over[: max(0, len(over) - keep)])
    if batch.spec.ttl is None:
        return beyond, None
    ttl, kept = period(batch.spec.ttl), over[max(0, len(over) - keep) :]
    left = {each.name: (each.ended.at if each.ended is not None else now) + ttl - now for each in kept}
    beyond += [each for each in kept if left[each.name] <= 0]
    return beyond, min((each for each in left.values() if each > 0), default=None)
