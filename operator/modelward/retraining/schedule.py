"""Times of a schedule: cron expressions in a time zone. Daylight saving as Debian's cron has it."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from modelward.api.driftpolicy import Schedule


class ScheduleError(ValueError):
    """A schedule that has no times."""


def last_due(schedule: Schedule, after: float, now: float) -> float | None:
    """The last time of the schedule in (after, now], None where there is none. Times: seconds since the epoch.

    Raises ScheduleError.
    """
    # It looks for times before a moment, and `now` may be one of them.
    found = _times(schedule, now + 1, backwards=True)
    return found if found > after else None


def next_due(schedule: Schedule, after: float) -> float:
    """The first time after `after`. Raises ScheduleError."""
    found = _times(schedule, after, backwards=False)
    # Forwards it leaves times out where clocks go back by half an hour (Australia/Lord_Howe), backwards it does not.
    while (earlier := _times(schedule, found, backwards=True)) > after:
        found = earlier
    return found


def _times(schedule: Schedule, at: float, *, backwards: bool) -> float:
    try:
        moment = datetime.fromtimestamp(at, _zone(schedule.time_zone))
        return next(CronSim(schedule.cron, moment, reverse=backwards)).timestamp()
    except (CronSimError, StopIteration) as error:
        why = f": {error}" if str(error) else ", it has no time at all"
        raise ScheduleError(
            f"spec.schedule.cron: {schedule.cron!r} can't be read{why}; write five fields such as 0 2 * * *"
        ) from None


def _zone(name: str) -> ZoneInfo:
    """Raises ScheduleError. A name is a path among the zones' files: it may be a folder's, another file's, or none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise ScheduleError(
            f"spec.schedule.timeZone: {name[:100]} is no time zone; write a name such as Europe/Berlin"
        ) from None
