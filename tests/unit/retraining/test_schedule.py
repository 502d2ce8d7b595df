"""Times of schedules, across missed ones and clock changes."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from modelward.api.driftpolicy import Schedule
from modelward.retraining.schedule import ScheduleError, last_due, next_due

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = Schedule("0 2 * * *", "Europe/Berlin")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("after", "now", "due"),
    [
        ("2026-01-10T03:00", "2026-01-11T01:59", None),
        ("2026-01-10T03:00", "2026-01-11T02:00", "2026-01-11T02:00"),
        ("2026-01-10T03:00", "2026-01-11T02:01", "2026-01-11T02:00"),
        ("2026-01-11T02:00", "2026-01-11T02:30", None),
        ("2026-01-10T03:00", "2026-01-19T05:00", "2026-01-19T02:00"),
        # In that night there is no two o'clock.
        ("2026-03-28T03:00", "2026-03-29T03:00", "2026-03-29T03:00"),
    ],
)
def test_of_missed_times_the_last_alone_is_due(after: str, now: str, due: str | None) -> None:
    assert last_due(NIGHTLY, at(after), at(now)) == (None if due is None else at(due))


def test_in_the_night_that_has_two_oclock_twice_it_is_due_once() -> None:
    first = next_due(NIGHTLY, at("2026-10-25T00:00"))
    assert next_due(NIGHTLY, first) == at("2026-10-26T02:00")


def test_clocks_set_back_by_half_an_hour_leave_no_time_out() -> None:
    """On Lord Howe, two o'clock comes half an hour late once a year: what is next is what will have been due."""
    zone = ZoneInfo("Australia/Lord_Howe")
    schedule = Schedule("0 */2 * * *", zone.key)
    midnight = datetime(2026, 4, 5, tzinfo=zone).timestamp()
    at_two = datetime.fromisoformat("2026-04-05T02:00+10:30").timestamp()
    assert next_due(schedule, midnight) == at_two
    assert last_due(schedule, midnight, at_two) == at_two
    assert next_due(schedule, at_two) == datetime(2026, 4, 5, 4, tzinfo=zone).timestamp()


@pytest.mark.parametrize("cron", ["0 2 31 2 *", "61 2 * * *", "0 2 * * FUN", "x y z a b"])
def test_a_schedule_that_has_no_times_is_told(cron: str) -> None:
    with pytest.raises(ScheduleError, match=r"spec\.schedule\.cron: .* write five fields"):
        next_due(Schedule(cron), 0.0)


def test_a_time_zone_that_there_is_not_is_told() -> None:
    with pytest.raises(ScheduleError, match="Mars/Olympus is no time zone"):
        next_due(Schedule("0 2 * * *", "Mars/Olympus"), 0.0)


@pytest.mark.parametrize("name", ["America", "leapseconds", "../etc", "tzdata.zi", "A" * 5000, "Europe/Berlin/x"])
def test_a_folder_or_a_file_that_is_no_zone_is_told(name: str) -> None:
    with pytest.raises(ScheduleError, match="is no time zone; write a name such as Europe/Berlin"):
        next_due(Schedule("0 2 * * *", name), 0.0)
