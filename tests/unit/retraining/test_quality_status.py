"""What outcomes say in a policy's status: the condition Measured, numbers that fit the CRD, and Events of both ways."""

import json
from dataclasses import replace
from typing import Any

import pytest

from api_schema import fits
from modelward.drift.quality_signals import SOURCE
from modelward.drift.verdicts import verdict_on
from modelward.monitoring.windows import Look
from modelward.quality.measured import Kept, Measured, Problem, Reference, Value, cohort_of
from modelward.retraining.conditions.status import TargetState, build_status
from modelward.retraining.events import health_transitions
from modelward.retraining.persistence.memory import read_memory, show_memory
from modelward.retraining.target import Memory
from unit.drift.test_verdicts import policy

from .test_status import CALM, NOW, STATUS

DAY = 86400.0
SLOT = 100 * DAY
NAMES = [
    "accuracy", "balancedAccuracy", "macroF1", "precision", "recall", "f1", "falsePositiveRate", "selectionRate",
    "rocAuc", "averagePrecision", "logLoss", "brier",
]  # fmt: skip
TASK = {"kind": "Classes", "label": "output.label", "positive": "1", "score": "output.score"}
GIVEN = policy(
    quality={
        "task": TASK, "labelWindow": "60d",
        "metrics": [{"name": "rocAuc", "min": "0.8"}, *({"name": name} for name in NAMES if name != "rocAuc")],
    },
)  # fmt: skip
BAD = Problem("EvaluationFailed", "The Job j failed: there is no bucket 'lake'")


def kept(value: float = 0.9, **fields: Any) -> Kept:
    cohort = cohort_of(GIVEN.spec, SLOT, 0.999)
    values = {name: Value(value, value - 0.05, value + 0.05, 5000) for name in NAMES}
    counts = {"matured": 8000, "withOutcome": 6000, "late": 12}
    first = Reference("r1", cohort.basis, SLOT - 90 * DAY, 0.99, {"rocAuc": Value(0.95, 0.94, 0.96, 900)})
    return replace(
        Kept("j", SLOT, cohort, "m", SLOT + 60, first, measured=Measured("r1", 5000, counts, values, {}, (), ())),
        **fields,
    )


def state(found: Kept | None, name: str = "fraud") -> TargetState:
    sources = {SOURCE: found}
    verdict = verdict_on(GIVEN, "r1", Look(problem="none"), CALM, fresh=False, now=SLOT, sources=sources)
    return TargetState(Memory(name, name, verdict, quality=found), missing=verdict.lacks)


def status_of(*states: TargetState) -> dict[str, Any]:
    made = build_status(GIVEN, states, NOW)
    fits(made, STATUS, "status")
    return made


def measured(*states: TargetState) -> tuple[str, str, str]:
    (found,) = [each for each in status_of(*states)["conditions"] if each["type"] == "Measured"]
    return found["status"], found["reason"], found["message"]


def test_numbers_are_shown_with_whose_and_when() -> None:
    (shown,) = status_of(state(kept()))["targets"]
    said = shown["quality"]
    metrics = said.pop("metrics")
    assert said == {
        "metric": "rocAuc", "value": "0.9", "low": "0.85", "high": "0.95", "rows": 5000, "coverage": "75.0%",
        "late": 12, "begin": "1970-02-03T00:00:00Z", "end": "1970-02-10T00:00:00Z", "revision": "r1",
        "since": "1970-01-11T00:00:00Z", "evaluatedAt": "1970-04-11T00:01:00Z",
    }  # fmt: skip
    assert len(metrics) == 12
    assert metrics[0] == {
        "name": "rocAuc", "value": "0.9", "low": "0.85", "high": "0.95", "rows": 5000, "reference": "0.95",
    }  # fmt: skip
    assert status_of(state(kept()))["summary"]["quality"] == "rocAuc 0.9"


@pytest.mark.parametrize(
    ("found", "status", "reason", "words"),
    [
        (None, "Unknown", "Waiting", "It is evaluated soon"),
        (Kept(job="j"), "Unknown", "Waiting", "The Job j evaluates"),
        (kept(), "True", "Measured", "rocAuc is 0.9 (0.85 to 0.95) of 5000 rows until 1970-02-10"),
        (kept(problem=BAD), "False", "EvaluationFailed", "there is no bucket 'lake'"),
        (
            kept(measured=Measured("r1", 0, {"matured": 0}, {}, {}, (), ())), "Unknown", "Waiting",
            "No prediction of r1 from 1970-02-03T00:00:00Z to 1970-02-10T00:00:00Z has a known outcome",
        ),
    ],
)  # fmt: skip
def test_the_condition_says_whether_it_is_measured(found: Kept | None, status: str, reason: str, words: str) -> None:
    said = measured(state(found))
    assert said[:2] == (status, reason)
    assert words in said[2]


def test_the_worst_of_several_targets_counts_and_is_named() -> None:
    assert measured(state(kept(), "a"), state(kept(problem=BAD), "b"), state(None, "c")) == (
        "False", "EvaluationFailed", f"b: {BAD.message}",
    )  # fmt: skip
    assert measured(state(kept(), "a"), state(None, "c"))[2] == "c: It is evaluated soon"
    many = [state(kept(), f"m{number}") for number in range(5)]
    assert measured(*many)[2].endswith("; and 2 more")


def test_without_a_wish_nothing_is_said() -> None:
    without = build_status(policy(), [TargetState(Memory("fraud", "t", CALM, quality=kept()))], NOW)
    assert "Measured" not in {each["type"] for each in without["conditions"]}
    assert "quality" not in without["targets"][0]


def test_both_ways_are_told_as_events() -> None:
    def told(old: Any, new: Any) -> list[str]:
        return [each.reason for each in health_transitions(old, new)]

    waits, well, bad = (status_of(state(each)) for each in (None, kept(), kept(problem=BAD)))
    assert "Measured" in told(waits, well)
    assert "NotMeasured" in told(well, bad)
    assert "Measured" in told(bad, well)
    assert told(well, well) == told(bad, bad) == []


def test_breaches_are_shown_before_what_is_well() -> None:
    rules = [{"name": name, "min": "0.1", "max": "0.99"} for name in NAMES]
    rules[-1] = {"name": "brier", "max": "0.2"}
    given = policy(quality={"task": TASK, "labelWindow": "60d", "metrics": rules})
    sources = {SOURCE: kept()}
    verdict = verdict_on(given, "r1", Look(problem="none"), CALM, fresh=False, now=SLOT, sources=sources)
    (shown,) = build_status(given, [TargetState(Memory("fraud", "t", verdict))], NOW)["targets"]
    assert [each["name"] for each in shown["signals"] if each.get("breached")] == ["brier:max"]
    assert shown["signals"][0]["name"] == "brier:max"
    assert len(shown["signals"]) == 10


def test_what_five_hundred_models_remember_and_show_is_bounded() -> None:
    whole = kept(message="", problem=Problem("EvaluationFailed", "x" * 1000))
    states = [state(whole, f"model-{number}") for number in range(500)]
    assert len(json.dumps(status_of(*states))) < 64 * 1024
    remembered = show_memory(states[0].memory)
    assert len(json.dumps(remembered)) < 32 * 1024
    assert read_memory(remembered, forgiven=False).quality is not None
