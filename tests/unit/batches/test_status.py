"""What people, Argo CD and Flux read of a batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api_schema import fits
from libyaml import document
from modelward.batches.run import Counts, Ended, Handled, Memory, RunFacts
from modelward.reconcilers.batchinference.events import transitions
from modelward.reconcilers.batchinference.plan import Plan, entry_of
from modelward.reconcilers.batchinference.status import State, build_status
from modelward.revisions.health.diagnosis import Problem
from unit.batches.batches import CREATED, DAY, NIGHTLY, USED, about, batch

CRD = document((Path(__file__).parents[3] / "crds/batchinferences.modelward.io.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
NOW = CREATED + 3600
RUN = RunFacts("nightly-1", "u", about(), CREATED, Counts(100, 2, 1, 20.0))
DONE = replace(RUN, ended=Ended("Succeeded", "Succeeded", "nightly-1: 100 rows", CREATED + 40), over=True)
BAD = replace(RUN, ended=Ended("Failed", "InputRefused", "it lacks the column age", CREATED + 40), over=True)
EMPTY = Memory(Handled())
STUCK = Problem("ContainerConfigInvalid", "no Secret lake. Create it")


def after(*runs: RunFacts) -> Memory:
    return Memory(Handled(asked="a"), None, tuple(map(entry_of, runs)))


def state(
    memory: Memory = EMPTY, active: RunFacts | None = None, problem: Problem | None = None, **given: Any
) -> State:
    return State(memory, active, problem, given.get("next_at"), NOW)


def words(status: dict[str, Any]) -> tuple[str, ...]:
    """The phase, and Ready, Reconciling, Stalled and Complete by one letter each."""
    found = {each["type"]: each["status"][0] for each in status["conditions"]}
    return status["phase"], "".join(found[each] for each in ("Ready", "Reconciling", "Stalled", "Complete"))


ONCE: dict[str, Any] = {}
EACH: dict[str, Any] = {"schedule": NIGHTLY}
PASSING = Problem("ModelNotServing", "Waiting for churn", float("inf"))
NEXT = CREATED + DAY


@pytest.mark.parametrize(
    ("spec", "seen", "expected"),
    [
        (ONCE, state(), ("Pending", "FTFU")),
        (ONCE, state(problem=PASSING), ("Pending", "FTFU")),
        (ONCE, state(problem=STUCK), ("Failed", "FFTU")),
        (ONCE, state(active=RUN), ("Running", "FTFU")),
        (ONCE, state(active=replace(RUN, delay=STUCK)), ("Running", "FFTU")),
        (ONCE, state(active=replace(RUN, delay=PASSING)), ("Running", "FTFU")),
        (ONCE, state(after(DONE)), ("Complete", "TFFT")),
        (ONCE, state(after(BAD)), ("Failed", "FFTF")),
        (ONCE, state(after(BAD), active=replace(RUN, name="nightly-2")), ("Running", "FTFU")),
        (EACH, state(next_at=NEXT), ("Scheduled", "TFFU")),
        (EACH, state(active=RUN, next_at=NEXT), ("Running", "TFFU")),
        (EACH, state(after(DONE), next_at=NEXT), ("Scheduled", "TFFT")),
        (EACH, state(after(BAD), next_at=NEXT), ("Failed", "FFTF")),
        (EACH, state(after(DONE), problem=PASSING, next_at=NEXT), ("Pending", "FTFT")),
        ({"schedule": {**NIGHTLY, "suspend": True}}, state(after(DONE), next_at=NEXT), ("Suspended", "TFFT")),
    ],
)
def test_what_is_said(spec: dict[str, Any], seen: State, expected: tuple[str, str]) -> None:
    status = build_status(batch(**spec), seen)
    assert words(status) == expected
    fits(status, SCHEMA, "status")


def test_a_failure_of_a_schedule_tells_when_it_is_tried_again() -> None:
    status = build_status(batch(**EACH), state(after(BAD), next_at=NEXT))
    stalled = next(each for each in status["conditions"] if each["type"] == "Stalled")
    assert stalled["message"] == "it lacks the column age. The next run is at 2026-01-02T00:00:00Z"
    assert status["nextRunTime"] == "2026-01-02T00:00:00Z"


def test_a_run_that_goes_on_is_told_with_its_rate() -> None:
    status = build_status(batch(), state(active=RUN))
    active = status["active"]
    assert (active["rows"], active["rejected"], active["seconds"], active["ratePerSecond"]) == (100, 2, 20.0, 5.0)
    assert (active["pods"], active["podsDone"], active["started"]) == (2, 1, "2026-01-01T00:00:00Z")
    assert active["model"] == {
        "name": "churn", "uri": USED.uri, "version": "3", "revision": USED.revision, "digest": USED.digest,
    }  # fmt: skip
    assert (status["model"], status["version"], status["rows"], status["rejected"]) == ("churn", "3", 100, 2)
    later = build_status(batch(status), replace(state(active=RUN), now=NOW + 100))
    assert later == status, "no clock changes it"


def test_the_columns_are_of_the_run_that_ended_last() -> None:
    status = build_status(batch(), state(after(DONE)))
    assert (status["rows"], status["rejected"], status["lastRunTime"]) == (100, 2, "2026-01-01T00:00:40Z")
    other = build_status(batch(model={"uri": "s3://models/other.onnx"}), state())
    assert other["model"] == "s3://models/other.onnx"


def test_the_digest_that_its_pods_fetched_is_told() -> None:
    fresh = replace(RUN, about=about(model=type(USED)(name="nightly", uri="s3://m/a.onnx")), digest="sha256:beef")
    status = build_status(batch(model={"uri": "s3://m/a.onnx"}), state(active=fresh))
    assert status["active"]["model"]["digest"] == "sha256:beef"
    assert status["model"] == "s3://m/a.onnx"


def test_what_is_worth_an_event() -> None:
    def told(planned: Plan, old: dict[str, Any], seen: State) -> list[tuple[str, str]]:
        found = transitions(planned, old, build_status(batch(old, **EACH), seen))
        return [(each.kind, each.reason) for each in found]

    running = build_status(batch(), state(active=RUN))
    assert told(Plan(EMPTY), {}, state(active=RUN)) == [("Normal", "RunStarted")]
    assert told(Plan(EMPTY), running, state(active=RUN)) == []
    assert told(Plan(EMPTY, ended=(entry_of(DONE),)), running, state(after(DONE))) == [("Normal", "RunSucceeded")]
    assert told(Plan(EMPTY, ended=(entry_of(BAD),)), running, state(after(BAD))) == [("Warning", "RunFailed")]
    assert told(Plan(EMPTY, missed=CREATED), {}, state()) == [("Warning", "RunMissed")]
    assert told(Plan(EMPTY), {}, state(problem=STUCK)) == [("Warning", "Stalled")]
    stuck = build_status(batch(), state(problem=STUCK))
    assert told(Plan(EMPTY), stuck, state(problem=STUCK)) == []
