"""Which run is due, what is told of those that ended, and which Jobs go: from status, Jobs and the time alone."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from modelward.api.batchinference import BatchInference
from modelward.batches.run import REMEMBERED, Ended, Memory, RunFacts, remembered
from modelward.reconcilers.batchinference.plan import Plan, plan, with_run
from modelward.reconcilers.batchinference.status import State, build_status
from modelward.values.times import show_time
from unit.batches.batches import CREATED, DAY, NIGHTLY, about, batch

TWO = CREATED + 2 * 3600
"""The first night."""


def run(name: str, started: float = CREATED, ended: str = "", over: bool | None = None, **given: Any) -> RunFacts:
    """`ended`: its result."""
    end = Ended(ended, "Because", f"{name} {ended}", started + 60) if ended else None
    return RunFacts(name, f"uid-{name}", about(**given), started, ended=end, over=bool(ended) if over is None else over)


def stored(given: BatchInference, planned: Plan, now: float, active: RunFacts | None = None) -> BatchInference:
    """As it is once the status is written; `active`: the run that was begun."""
    memory = planned.memory if active is None else with_run(planned)
    return replace(
        given, status=build_status(given, State(memory, active or planned.active, None, planned.next_at, now))
    )


def planned(given: BatchInference, *runs: RunFacts, now: float = CREATED + 60) -> Plan:
    return plan(given, remembered(given.status), runs, now)


def begin(given: BatchInference, now: float, *runs: RunFacts) -> tuple[BatchInference, RunFacts]:
    """The run that is due, begun."""
    made = planned(given, *runs, now=now)
    assert made.begin is not None
    asked = made.begin
    active = run(asked.name, now, trigger=asked.trigger, asked=asked.asked, slot=asked.slot, request=asked.request)
    return stored(given, made, now, active), active


def finish(given: BatchInference, active: RunFacts, result: str = "Succeeded") -> tuple[BatchInference, RunFacts]:
    done = replace(active, ended=Ended(result, "Because", "it did", active.started + 60), over=True)
    made = planned(given, done, now=active.started + 60)
    assert [each.name for each in made.ended] == [active.name]
    assert made.begin is None, "not before its end is in status"
    assert made.again_in == 0.0
    return stored(given, made, active.started + 60), done


def test_one_without_a_schedule_runs_once() -> None:
    given, active = begin(batch(), CREATED + 1)
    assert active.name.startswith("nightly-")
    assert planned(given, active).begin is None
    given, done = finish(given, active)
    assert planned(given, done, now=CREATED + DAY).begin is None
    assert planned(given, now=CREATED + DAY).begin is None, "also when its Job is gone"


def test_an_edit_of_what_it_is_about_has_it_run_again_and_another_does_not() -> None:
    given, done = finish(*begin(batch(), CREATED + 1))
    for change in ({"parallelism": 5}, {"ttl": "1h"}, {"deadline": "1h"}, {"retries": 0}):
        same = batch(given.status, generation=2, **change)
        assert planned(same, done, now=CREATED + DAY).begin is None, change
    other = batch(given.status, generation=2, input={"uri": "s3://lake/other/"})
    again = planned(other, done, now=CREATED + DAY).begin
    assert again is not None
    assert again.name != done.name
    given, done = finish(*begin(other, CREATED + DAY, done))
    back = planned(batch(given.status, generation=3), done, now=CREATED + 2 * DAY).begin
    assert back is not None, "also an edit back to what there was before"
    assert back.name not in {each["name"] for each in given.status["runs"]}


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")])
def test_of_runs_that_began_within_a_second_the_last_ones_job_is_kept(names: tuple[str, ...]) -> None:
    """A Job's times are whole seconds; names say nothing of an order."""
    given, done = batch(historyLimit=1), list[RunFacts]()
    for name in names:
        given, ended = finish(given, run(name))
        done.append(ended)
    shuffled = sorted(done, key=lambda each: (each.started, each.name))
    assert {each.name for each in planned(given, *shuffled).delete} == set(names[:2])


def test_an_edit_of_a_run_that_goes_on_waits_for_its_end() -> None:
    given, active = begin(batch(), CREATED + 1)
    other = batch(given.status, generation=2, keys=["id"])
    assert planned(other, active).begin is None
    assert planned(other, active).active == active
    other, done = finish(other, active)
    assert planned(other, done, now=CREATED + DAY).begin is not None


def test_the_same_decision_has_the_same_name() -> None:
    """So a crash between the Job and the status starts no second one."""
    names = {planned(batch(schedule=NIGHTLY), now=TWO + late).begin for late in (0.0, 1.5, 3600.0)}
    assert len(names) == 1
    given = batch()
    assert planned(given).begin == planned(given, now=CREATED + DAY).begin
    assert planned(replace(given, uid="uid-2")).begin != planned(given).begin, "a namesake's is another"


def test_a_job_that_status_does_not_know_yet_is_the_run_that_goes_on() -> None:
    made = planned(batch()).begin
    assert made is not None
    there = run(made.name, asked=made.asked)
    found = planned(batch(), there)
    assert (found.begin, found.active) == (None, there)
    assert found.memory.handled.asked == made.asked
    night = run("nightly-1", TWO, trigger="Schedule", slot=TWO)
    found = planned(batch(schedule=NIGHTLY), night, now=TWO + 60)
    assert (found.begin, found.memory.handled.until) == (None, show_time(TWO))


def test_a_schedule_begins_a_run_at_its_time_and_not_before() -> None:
    given = batch(schedule=NIGHTLY)
    early = planned(given, now=CREATED + 60)
    assert (early.begin, early.next_at, early.again_in) == (None, TWO, TWO - CREATED - 60)
    given, active = begin(stored(given, early, CREATED + 60), TWO + 0.5)
    assert active.about.slot == TWO
    assert planned(given, active, now=TWO + 60).next_at == TWO + DAY
    given, done = finish(given, active)
    assert planned(given, done, now=TWO + DAY - 1).begin is None
    following = planned(given, done, now=TWO + DAY).begin
    assert following is not None
    assert following.slot == TWO + DAY


def test_a_schedule_has_a_time_zone() -> None:
    given = batch(schedule={**NIGHTLY, "timeZone": "Europe/Berlin"})
    assert planned(given, now=CREATED + 60).next_at == TWO - 3600


def test_runs_never_overlap_and_of_what_was_missed_one_is_made_up_for() -> None:
    given, active = begin(batch(schedule=NIGHTLY), TWO)
    assert planned(given, active, now=TWO + 2.5 * DAY).begin is None
    done = replace(active, ended=Ended("Succeeded", "Because", "it did", TWO + 2.5 * DAY), over=True)
    found = planned(given, done, now=TWO + 2.5 * DAY)
    after = planned(stored(given, found, TWO + 2.5 * DAY), done, now=TWO + 2.5 * DAY)
    assert after.begin is not None
    assert after.begin.slot == TWO + 2 * DAY


def test_what_could_not_begin_in_time_is_left_out_and_told_of_once() -> None:
    given = batch(schedule={**NIGHTLY, "startingDeadlineSeconds": 3600})
    assert planned(given, now=TWO + 3600).begin is not None
    late = planned(given, now=TWO + 3601)
    assert (late.begin, late.missed) == (None, TWO)
    assert planned(stored(given, late, TWO + 3601), now=TWO + 3700).missed is None
    asked = planned(batch(request="now", schedule={**NIGHTLY, "startingDeadlineSeconds": 3600}), now=TWO + 3601)
    assert asked.begin is not None
    assert asked.missed == TWO, "also where another run begins at that moment"


def test_a_run_that_takes_too_long_has_the_next_one_left_out() -> None:
    given, active = begin(batch(schedule={**NIGHTLY, "startingDeadlineSeconds": 3600}), TWO)
    found = planned(given, active, now=TWO + DAY + 3601)
    assert (found.begin, found.missed, found.active) == (None, TWO + DAY, active)


def test_while_it_is_suspended_times_pass() -> None:
    given = batch(schedule={**NIGHTLY, "suspend": True})
    found = planned(given, now=TWO + 60)
    assert (found.begin, found.missed) == (None, None)
    resumed = batch(stored(given, found, TWO + 60).status, schedule=NIGHTLY)
    assert planned(resumed, now=TWO + 120).begin is None
    assert planned(resumed, now=TWO + DAY).begin is not None


def test_times_of_a_schedule_that_was_not_there_yet_are_none_of_its() -> None:
    given, done = finish(*begin(batch(schedule=NIGHTLY), TWO))
    noon = batch(given.status, schedule={"cron": "0 1 * * *"})
    assert planned(noon, done, now=TWO + 3600).begin is None
    found = planned(noon, done, now=TWO + 3600)
    assert planned(stored(noon, found, TWO + 3600), done, now=CREATED + DAY + 3600).begin is not None
    scheduled = batch(finish(*begin(batch(), CREATED + 1))[0].status, schedule=NIGHTLY)
    assert planned(scheduled, now=TWO + 60).begin is None
    for waited in (batch(), batch(schedule={"cron": "0 0 31 2 *"})):
        known = stored(waited, planned(waited), CREATED + 60)
        assert planned(batch(known.status, schedule=NIGHTLY), now=TWO + 60).begin is None


def test_an_annotation_asks_for_one_run_now() -> None:
    for spec in ({}, {"schedule": NIGHTLY}, {"schedule": {**NIGHTLY, "suspend": True}}):
        given, active = begin(batch(request="a", **spec), CREATED + 1)
        assert active.about.trigger == "Request"
        given, done = finish(given, active)
        same = batch(given.status, request="a", **spec)
        assert planned(same, done).begin is None
        again = planned(batch(given.status, request="b", **spec), done).begin
        assert again is not None
        assert again.name != done.name


def test_an_annotation_without_a_value_asks_once_as_well() -> None:
    given, done = finish(*begin(batch(request=""), CREATED + 1))
    assert planned(batch(given.status, request=""), done).begin is None
    assert planned(batch(given.status, request="b"), done).begin is not None


def test_a_request_waits_for_the_run_that_goes_on() -> None:
    given, active = begin(batch(), CREATED + 1)
    asked = batch(given.status, request="again")
    assert planned(asked, active).begin is None
    asked, done = finish(asked, active)
    found = planned(asked, done).begin
    assert found is not None
    assert found.request == "again"


def test_a_schedule_that_has_no_times_is_told() -> None:
    found = planned(batch(schedule={"cron": "0 0 31 2 *"}))
    assert found.problem is not None
    assert found.problem.reason == "InvalidSchedule"
    assert planned(batch(schedule={"cron": "0 0 31 2 *"}), run("r")).active is not None


def test_a_job_that_somebody_took_away_is_the_end_of_its_run() -> None:
    given, active = begin(batch(), CREATED + 1)
    found = planned(given, now=CREATED + 90)
    assert [(each.name, each.result, each.reason) for each in found.ended] == [(active.name, "Failed", "JobDeleted")]
    assert "_manifest.json" in found.ended[0].message, "it may have ended well before"
    assert planned(stored(given, found, CREATED + 90), now=CREATED + 95).begin is None, "not by itself"


def test_a_job_goes_only_once_its_end_is_told() -> None:
    given = batch(historyLimit=0)
    given, active = begin(given, CREATED + 1)
    done = replace(active, ended=Ended("Succeeded", "Because", "it did", CREATED + 60), over=True)
    first = planned(given, done)
    assert first.delete == ()
    assert planned(stored(given, first, CREATED + 60), done).delete == (done,)


def test_a_run_that_failed_while_its_job_goes_on_is_stopped_once_it_is_told() -> None:
    given, active = begin(batch(), CREATED + 1)
    failed = replace(active, ended=Ended("Failed", "ArtifactChanged", "other bytes", CREATED + 60), over=False)
    first = planned(given, failed)
    assert (first.delete, len(first.ended)) == ((), 1)
    assert planned(stored(given, first, CREATED + 60), failed).delete == (failed,)


def history(count: int) -> tuple[Memory, list[RunFacts]]:
    given, jobs = batch(), [run(f"r{number}", CREATED + number * 100, "Succeeded") for number in range(count)]
    found = plan(given, Memory(remembered({}).handled), jobs, CREATED + 10_000)
    return found.memory, jobs


@pytest.mark.parametrize(("limit", "gone"), [(3, ["r0", "r1"]), (5, []), (0, ["r0", "r1", "r2", "r3", "r4"])])
def test_the_latest_jobs_are_kept(limit: int, gone: list[str]) -> None:
    memory, jobs = history(5)
    assert [each.name for each in plan(batch(historyLimit=limit), memory, jobs, CREATED + 10_000).delete] == gone


def test_a_job_is_kept_for_its_time_to_live() -> None:
    memory, jobs = history(3)
    found = plan(batch(historyLimit=3, ttl="10m"), memory, jobs, CREATED + 800)
    assert [each.name for each in found.delete] == ["r0", "r1"][:2]
    assert found.again_in == pytest.approx(CREATED + 200 + 60 + 600 - (CREATED + 800))


def test_status_remembers_more_runs_than_jobs_are_kept() -> None:
    memory, jobs = history(REMEMBERED + 5)
    assert len(memory.runs) == REMEMBERED
    assert memory.runs[0].name == f"r{REMEMBERED + 4}"
    assert len(jobs) > REMEMBERED


def test_a_status_that_nobody_can_read_is_made_anew_from_the_jobs() -> None:
    given, done = finish(*begin(batch(), CREATED + 1))
    for broken in ({}, {"runs": "many"}, {"handled": 5}):
        found = planned(batch(broken), done)
        assert [each.name for each in found.ended] == [done.name]
        assert found.begin is None
    assert msgspec.to_builtins(remembered(given.status).handled)["asked"] is not None
