"""When a run starts and when not: a table of wishes and obstacles."""

from dataclasses import replace
from typing import Any

import pytest

from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.drift.verdicts import DRIFTED, Judged, Verdict
from modelward.retraining.lifecycle.run import Artifact
from modelward.retraining.lifecycle.start import Step, begin, busy_with, knows
from modelward.retraining.persistence.memory import read_memory, show_memory
from modelward.retraining.target import Answered, Ended, Memory, TargetFacts

NOW = 1_767_225_600.0
"""2026-01-01, midnight in UTC."""
HOUR = 3600.0

MODEL = Artifact("s3://models/fraud/1/fraud.tar")
FACTS = TargetFacts("fraud", "t", 1, 1, MODEL, "fraud-a", MODEL)
WINDOW = Judged(NOW - HOUR, NOW, 900, "sha256:0")
DRIFT = Verdict(DRIFTED, "amount drifts", "fraud-a", WINDOW, 3, ("amount",))
QUIET = replace(DRIFT, verdict="NoDrift", drifted=())
DRIFTING = Memory("fraud", "t", DRIFT)
CALM = Memory("fraud", "t", QUIET)
JOB = {"template": {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}}}
HOSTED = {"template": {"spec": {"template": {"spec": {"hostNetwork": True, "containers": []}}}}}


def policy(request: str | None = None, retrain: Any = None, **spec: Any) -> DriftPolicy:
    metadata: dict[str, Any] = {"namespace": "ml", "name": "fraud", "uid": "p", "generation": 1}
    if request is not None:
        metadata["annotations"] = {"modelward.io/retrain": request}
    settings = {"cooldown": "12h", "backoff": "10m", "maxFailures": 3, "job": JOB, **(retrain or {})}
    return parse({"metadata": metadata, "spec": {"target": {"name": "fraud"}, "retrain": settings, **spec}})


def run(result: str, ago: float, started: float = HOUR, trigger: str = "Drift", occasion: str = "then") -> Ended:
    return Ended("fraud-1", trigger, occasion, 1, result, NOW - ago - started, NOW - ago, "as it was")


def started(given: DriftPolicy, memory: Memory = DRIFTING, busy: str | None = None, **facts: Any) -> Step:
    return begin(given, replace(FACTS, **facts), memory, busy, NOW)


NIGHTLY = {"schedule": {"cron": "0 0 * * *"}}
ANSWERED = Answered("fraud-a", ("amount", "age"), "fraud-1", "RolledBack")

STARTS: dict[str, tuple[DriftPolicy, Memory, str]] = {
    "drift": (policy(), DRIFTING, "Drift"),
    "the schedule's time": (policy(**NIGHTLY), replace(CALM, scheduled_at=NOW - HOUR), "Schedule"),
    "several missed times": (policy(**NIGHTLY), replace(CALM, scheduled_at=NOW - 99 * HOUR), "Schedule"),
    "somebody asks": (policy("now"), CALM, "Request"),
    "somebody asks once more": (policy("2"), replace(CALM, handled_request="1"), "Request"),
    "somebody asks in the cooldown": (policy("now"), replace(CALM, runs=(run("Promoted", HOUR),)), "Request"),
    "somebody asks after too many failures": (policy("now"), replace(DRIFTING, failures=3), "Request"),
    "after the cooldown": (policy(), replace(DRIFTING, runs=(run("Promoted", 12 * HOUR),)), "Drift"),
    "after the backoff": (policy(), replace(DRIFTING, failures=2, runs=(run("Failed", 1200),)), "Drift"),
    "after a target that was gone": (policy(), replace(DRIFTING, runs=(run("Cancelled", 0),)), "Drift"),
    "another feature than the one answered": (
        policy(), replace(DRIFTING, answered=Answered("fraud-a", ("age",), "fraud-1", "RolledBack")), "Drift",
    ),
    "another revision than the one answered": (
        policy(), replace(DRIFTING, answered=replace(ANSWERED, revision="fraud-b")), "Drift",
    ),
    "the schedule, though the drift is answered": (
        policy(**NIGHTLY), replace(DRIFTING, answered=ANSWERED, scheduled_at=NOW - HOUR), "Schedule",
    ),
    "a failed time of the schedule, once more": (
        policy(**NIGHTLY), replace(CALM, scheduled_at=NOW - 1, failures=1, runs=(run("Failed", 600),)), "Schedule",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STARTS)
def test_a_run_starts(case: str) -> None:
    given, memory, trigger = STARTS[case]
    step = started(given, memory)
    assert step.run is not None, step
    assert (step.run.trigger, step.run.phase) == (trigger, "Starting")
    assert (step.obstacle, step.stalled) == (None, None)
    again = begin(given, FACTS, memory, None, NOW + 5)
    assert again.run is not None
    assert again.run.name == step.run.name, "the same trigger has the same name, whenever it is decided"


WAITS: dict[str, tuple[DriftPolicy, Memory, dict[str, Any], str | None, float | None]] = {
    "nothing to do": (policy(), CALM, {}, None, None),
    "warn only": (policy(actions={"inputs": "Warn"}), DRIFTING, {}, None, None),
    "suspended": (policy(suspend=True), DRIFTING, {}, "spec.suspend", None),
    "suspended, and asked": (policy("now", suspend=True), CALM, {}, "spec.suspend", None),
    "a rollout": (policy(), DRIFTING, {"moving": True}, "has a rollout going on", None),
    "nothing serves yet": (policy(), DRIFTING, {"stable": None}, "no revision that serves", None),
    "another policy": (policy(), DRIFTING, {"busy": "one at a time"}, "one at a time", None),
    "the cooldown": (
        policy(), replace(DRIFTING, runs=(run("Promoted", HOUR),)), {}, "at 2026-01-01T11:00:00Z at the", 11 * HOUR,
    ),
    "the cooldown of a run before a failed one": (
        policy(), replace(DRIFTING, failures=1, runs=(run("Failed", 600), run("Promoted", HOUR))), {}, "11:00",
        11 * HOUR,
    ),
    "the first backoff": (policy(), replace(DRIFTING, failures=1, runs=(run("Failed", 0),)), {}, "00:10:00Z", 600),
    "the second backoff": (policy(), replace(DRIFTING, failures=2, runs=(run("Failed", 0),)), {}, "00:20:00Z", 1200),
    "bad data": (
        policy(), Memory("fraud", "t", replace(DRIFT, drifted=("amount", "quality:missing:amount"))), {},
        "No run starts while quality:missing:amount drifts", None,
    ),
    "what a person has to take up": (
        policy(), replace(DRIFTING, answered=replace(ANSWERED, result="Reported"), runs=(run("Reported", HOUR),)), {},
        "as it was", None,
    ),
    "a schedule that is new": (policy(**NIGHTLY), CALM, {}, None, 24 * HOUR),
    "a time of the schedule in the cooldown": (
        policy(**NIGHTLY), replace(CALM, scheduled_at=NOW - HOUR, runs=(run("Promoted", 60),)), {}, None, 24 * HOUR,
    ),
    "a long request that an earlier operator took up": (
        policy("x" * 999), replace(CALM, handled_request="x" * 999), {}, None, None,
    ),
    "a request that was taken up": (policy("1"), replace(CALM, handled_request="1"), {}, None, None),
}  # fmt: skip


@pytest.mark.parametrize("case", WAITS)
def test_no_run_starts_and_it_is_said_why(case: str) -> None:
    given, memory, facts, sentence, again_in = WAITS[case]
    step = started(given, memory, facts.pop("busy", None), **facts)
    assert step.run is None
    assert step.stalled is None
    assert (sentence is None) is (step.obstacle is None)
    assert sentence is None or sentence in str(step.obstacle)
    assert step.again_in == pytest.approx(again_in)


STALLS: dict[str, tuple[DriftPolicy, Memory, str]] = {
    "too many failures": (
        policy(), replace(DRIFTING, failures=3, runs=(run("Failed", HOUR),)), "3 runs failed one after the other",
    ),
    "the same drift in vain": (
        policy(), replace(DRIFTING, answered=ANSWERED, runs=(run("RolledBack", HOUR),)),
        "fraud-a still drifts, and the run fraud-1 for it ended as RolledBack. as it was. The same drift starts no",
    ),
    "a schedule without times": (policy(schedule={"cron": "0 2 31 2 *"}), CALM, "write five fields"),
    "a job that reaches beyond its pods": (
        policy("now", retrain={"job": HOSTED}), DRIFTING, "spec.hostNetwork: it lets the pod into the node",
    ),
    "such a job, though nothing drifts": (policy(retrain={"job": HOSTED}), CALM, "Modelward makes no such pods"),
    "a time zone that there is not": (policy(schedule={"cron": "0 2 * * *", "timeZone": "X/Y"}), CALM, "X/Y is no"),
}  # fmt: skip


@pytest.mark.parametrize("case", STALLS)
def test_a_person_is_asked_for(case: str) -> None:
    given, memory, sentence = STALLS[case]
    step = started(given, memory)
    assert step.run is None
    assert sentence in str(step.stalled)


def test_a_retry_for_the_same_window_is_another_run() -> None:
    first = started(policy()).run
    assert first is not None
    failed = run("Failed", HOUR, occasion=first.occasion)
    second = started(policy(), replace(DRIFTING, failures=1, runs=(failed,))).run
    assert second is not None
    assert (second.attempt, second.name == first.name) == (2, False)


def test_a_name_that_is_taken_is_never_given_again() -> None:
    first = started(policy()).run
    assert first is not None
    second = begin(policy(), FACTS, DRIFTING, None, NOW, lambda name: name == first.name).run
    assert second is not None
    assert (second.attempt, second.name == first.name) == (2, False)


def test_a_drift_that_no_longer_is_one_starts_nothing() -> None:
    assert started(policy(), CALM).run is None


def test_what_a_run_deals_with_is_known_from_its_object_alone() -> None:
    """So that a crash between the object and the memory asks for nothing twice."""
    asked = started(policy("now"), replace(CALM, failures=3, answered=ANSWERED)).run
    assert asked is not None
    memory = knows(replace(CALM, failures=3, answered=ANSWERED, scheduled_at=NOW - HOUR), asked)
    assert (memory.handled_request, memory.failures, memory.answered) == ("now", 0, None)
    assert memory.scheduled_at == NOW, "and whatever was due when it began"
    assert started(policy("now"), replace(memory, run=None)).run is None
    assert knows(memory, asked) == memory


def test_an_annotation_without_a_value_asks_once_as_well() -> None:
    asked = started(policy(""), CALM).run
    assert asked is not None
    memory = read_memory(show_memory(replace(knows(CALM, asked), run=None)), forgiven=False)
    assert started(policy(""), memory).run is None
    assert started(policy("now"), memory).run is not None


def test_a_request_of_any_length_is_stored_in_short() -> None:
    found = started(policy("x" * 10_000), CALM).run
    assert found is not None
    assert (len(found.occasion) < 120, len(found.key) < 300) == (True, True)
    assert found.occasion != getattr(started(policy("x" * 10_001), CALM).run, "occasion", None)


def test_the_kind_of_a_run_is_what_spec_names() -> None:
    secret = {"secretRef": {"name": "s"}}
    named: dict[str, dict[str, Any]] = {
        "Job": {"job": JOB},
        "Webhook": {"webhook": {"url": "https://ci/x", **secret}},
        "Airflow": {"airflow": {"url": "https://ci", "dag": "d", **secret}},
        "Prefect": {"prefect": {"url": "https://ci/api", "deployment": "f/d"}},
        "Github": {"github": {"repository": "o/r", "workflow": "w.yml", **secret}},
        "Jenkins": {"jenkins": {"url": "https://ci", "job": "j", **secret}},
        "ArgoWorkflow": {"argoWorkflow": {"template": "t"}},
        "Kubeflow": {"kubeflow": {"url": "https://ci", "pipeline": "p"}},
    }
    for kind, retrain in named.items():
        found = started(policy(retrain={"job": None, **retrain}))
        assert found.run is not None
        assert found.run.kind == kind


def test_who_is_busy() -> None:
    assert busy_with({}) is None
    assert "run r of the DriftPolicy p" in str(busy_with({"p": "r"}))
