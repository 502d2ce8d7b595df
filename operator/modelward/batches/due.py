"""Whether a run is due, and when the next one is. Pure.

One at a time. Of a schedule's times only the last counts: what was missed while a run went on, or while the operator
was away, is made up for by one run, within `startingDeadlineSeconds` where that is set.
"""

from dataclasses import dataclass, replace

import msgspec

from modelward.api.batchinference import BatchInference, BatchSchedule
from modelward.api.driftpolicy import Schedule
from modelward.batches.run import ONCE, REQUEST, SCHEDULE, Handled, Memory, Run, asked_of, run_of
from modelward.retraining.schedule import last_due, next_due
from modelward.values.times import read_time, show_time


@dataclass(frozen=True)
class Due:
    """`run`: the one that is to begin; `handled`: what is dealt with from now on, whether it begins or not; `missed`:
    the time of the schedule that is left out; `next_at`: of the schedule. Times: seconds since the epoch."""

    handled: Handled
    run: Run | None = None
    missed: float | None = None
    next_at: float | None = None


def due(batch: BatchInference, memory: Memory, now: float, *, busy: bool) -> Due:
    """`busy`: a run goes on, or its end is not told yet. Raises ScheduleError."""
    found = _once(batch, memory, busy) if batch.spec.schedule is None else _scheduled(batch, memory, now, busy)
    asks = batch.request is not None and batch.request != memory.handled.request
    if asks and not busy:
        # Also of a schedule that is suspended: somebody wants it now.
        return replace(found, run=run_of(batch, REQUEST, memory))
    return found


def begun(found: Due, run: Run) -> Handled:
    """What is dealt with once `run` is there."""
    handled = msgspec.structs.replace(found.handled, asked=run.asked)
    if run.slot is not None:
        handled = msgspec.structs.replace(handled, until=show_time(run.slot))
    return msgspec.structs.replace(handled, request=run.request) if run.request is not None else handled


def _once(batch: BatchInference, memory: Memory, busy: bool) -> Due:
    handled = msgspec.structs.replace(memory.handled, schedule=None, until=None)
    if busy or memory.handled.asked == asked_of(batch):
        return Due(handled)
    return Due(handled, run_of(batch, ONCE, memory))


def _scheduled(batch: BatchInference, memory: Memory, now: float, busy: bool) -> Due:
    asked = batch.spec.schedule
    assert asked is not None
    schedule, written = Schedule(asked.cron, asked.time_zone), f"{asked.cron} {asked.time_zone}"
    known = memory.handled
    dealt_with = dealt_with_until(known)
    if known.schedule not in (None, written):
        after = now  # times of another schedule that have passed are none of this one's
    elif dealt_with is not None:
        after = dealt_with
    else:
        # One that has a status was there before the schedule, or with one that could not be read.
        after = now if batch.status or known.asked is not None else batch.created
    slot, following = last_due(schedule, after, now), next_due(schedule, now)
    if slot is None:
        return Due(_until(known, written, after), next_at=following)
    if asked.suspend:
        return Due(_until(known, written, slot), next_at=following)
    if _is_late(asked, slot, now):
        return Due(_until(known, written, slot), missed=slot, next_at=following)
    # Only once it is there is it dealt with.
    handled = _until(known, written, after)
    return Due(handled, None if busy else run_of(batch, SCHEDULE, memory, slot), next_at=following)


def _until(known: Handled, schedule: str, time: float) -> Handled:
    return msgspec.structs.replace(known, schedule=schedule, until=show_time(time))


def dealt_with_until(known: Handled) -> float | None:
    """Seconds since the epoch; None: nobody knows."""
    try:
        return None if known.until is None else read_time(known.until)
    except ValueError:
        return None


def _is_late(asked: BatchSchedule, slot: float, now: float) -> bool:
    within = asked.starting_deadline_seconds
    return within is not None and now - slot > within
