"""Feature parity in a policy's status: the condition, numbers that fit the CRD, Events of both ways, and metrics."""

from dataclasses import replace
from typing import Any

import pytest

from api_schema import fits
from modelward.quality.measured import Problem
from modelward.quality.parity_found import ColumnParity, Example, ParityFound, ParityKept
from modelward.quality.parity_job import parity_basis
from modelward.retraining.conditions.parity_status import of_this_spec
from modelward.retraining.conditions.status import TargetState, Told, build_status
from modelward.retraining.events import health_transitions
from modelward.retraining.persistence.memory import read_memory, show_memory
from modelward.retraining.target import Memory
from modelward.statusmetrics import StatusMetrics
from modelward.values.times import read_time, show_time
from unit.drift.test_verdicts import policy

from .test_status import CALM, NOW, STATUS

DAY = 86400.0
TODAY = read_time(NOW)
GIVEN = policy(parity={"features": {"uri": "s3://lake/f", "time": "since"}, "examples": 1})
FAILED = Problem("EvaluationFailed", "The Job j failed: there is no bucket 'lake'")


def kept(wrong: int = 0, **fields: Any) -> ParityKept:
    columns = tuple(
        ColumnParity(f"input.{at}", f"f{at}", at < wrong, 0.25, 0.2, 0.3, 800, 200, 3, 0, "2026-03-02")
        for at in range(12)
    )
    examples = (Example("input.0", "q1", "0", "1.0", "2.0"),) * 9
    counts = {"predictions": 1000, "withoutFeatures": 150, "withoutKey": 50}
    found = ParityFound("r1", 800, counts, 12, wrong, columns, examples)
    since = {f"input.{at}": "2026-02-11" for at in range(wrong)}
    known = ParityKept("j", 9 * DAY, parity_basis(GIVEN.spec), 8 * DAY, 9 * DAY, "m", TODAY - DAY, since, found=found)
    return replace(known, **fields)


def status_of(*parities: ParityKept | None, given: Any = GIVEN) -> dict[str, Any]:
    states = [TargetState(Memory(f"m{at}", f"m{at}", CALM, parity=each)) for at, each in enumerate(parities)]
    made = build_status(given, states, NOW)
    fits(made, STATUS, "status")
    return made


def condition(status: dict[str, Any]) -> tuple[str, str, str]:
    (found,) = [each for each in status["conditions"] if each["type"] == "FeatureParity"]
    return found["status"], found["reason"], found["message"]


@pytest.mark.parametrize(
    ("parities", "status", "reason", "words"),
    [
        ([kept()], "True", "Equal", "No column of 12 is surely unequal"),
        ([kept(1)], "False", "Unequal", "input.0 is unequal to f0 in 25.0% (20.0% to 30.0%) of 800 rows since 2026-02"),
        ([kept(5)], "False", "Unequal", "and 2 more columns"),
        ([kept(1, problem=FAILED)], "False", "Unequal", "input.0"),
        ([kept(), kept(1)], "False", "Unequal", "m1: input.0"),
        ([kept(problem=FAILED)], "Unknown", "EvaluationFailed", "no bucket 'lake'"),
        ([None], "Unknown", "Waiting", "compared soon"),
        ([kept(), ParityKept(job="x")], "Unknown", "Waiting", "m1: The Job x compares"),
        ([kept(1, basis="of another wish")], "Unknown", "Waiting", "compared soon"),
        ([], "Unknown", "Waiting", "There is nothing to compare"),
    ],
)
def test_the_condition_says_what_is_known(
    parities: list[ParityKept | None], status: str, reason: str, words: str
) -> None:
    found = condition(status_of(*parities))
    assert found[:2] == (status, reason)
    assert words in found[2]


NIGHTLY: dict[str, Any] = {"schedule": {"cron": "0 2 * * *"}}
HOURLY: dict[str, Any] = {"every": "1h"}


@pytest.mark.parametrize(
    ("asked", "hours", "known"),
    [
        ({}, 47, True), ({}, 48, False), (HOURLY, 1.9, True), (HOURLY, 2, False),
        # Of midnight: at 2 o'clock of each of the two days before it a check was due.
        (NIGHTLY, 45, True), (NIGHTLY, 47, False), ({"schedule": {"cron": "never"}}, 1, False),
    ],
)  # fmt: skip
def test_what_was_found_is_not_told_for_ever_while_checks_fail(asked: Any, hours: float, known: bool) -> None:
    given = policy(parity={"features": {"uri": "s3://lake/f", "time": "since"}, **asked})
    then = TODAY - hours * 3600
    failing = kept(1, basis=parity_basis(given.spec), at=then, problem=FAILED)
    status, reason, message = condition(status_of(failing, given=given))
    if known:
        assert (status, reason) == ("False", "Unequal")
    else:
        assert (status, reason) == ("Unknown", "EvaluationFailed")
        assert message.startswith(f"The last check that went well was at {show_time(then)}. The Job j failed")
    going_well = kept(1, basis=parity_basis(given.spec), at=then)
    assert condition(status_of(going_well, given=given))[:2] == ("False", "Unequal"), "no check has failed"


def test_metrics_have_nothing_of_what_was_asked_before() -> None:
    assert of_this_spec(GIVEN, kept(1)) == kept(1)
    assert of_this_spec(GIVEN, kept(1, basis="of another wish")) is None
    assert of_this_spec(policy(), kept(1)) is None
    assert of_this_spec(GIVEN, None) is None


def test_numbers_of_the_worst_columns_are_shown_and_values_only_where_they_are_asked_for() -> None:
    (target,) = status_of(kept(2))["targets"]
    shown = target["parity"]
    assert (shown["rows"], shown["withoutFeatures"], shown["unequal"], len(shown["columns"])) == (800, 150, 2, 10)
    assert shown["columns"][0] == {
        "name": "input.0", "feature": "f0", "unequal": 200, "rows": 800, "share": "0.25", "low": "0.2", "high": "0.3",
        "loggedMissing": 3, "breached": True, "since": "2026-02-11",
    }  # fmt: skip
    assert len(shown["examples"]) == 3
    silent = policy(parity={"features": {"uri": "s3://lake/f", "time": "since"}})
    (target,) = status_of(kept(2), given=silent)["targets"]
    assert "examples" not in target["parity"]


def test_who_does_not_ask_for_it_has_neither_condition_nor_numbers() -> None:
    status = status_of(kept(1), given=policy())
    assert "FeatureParity" not in {each["type"] for each in status["conditions"]}
    assert "parity" not in status["targets"][0]


def test_memory_keeps_it() -> None:
    memory = Memory("m", "m", CALM, parity=kept(message="", found=None))
    assert read_memory(show_memory(memory), forgiven=False).parity == memory.parity


def test_events_tell_of_both_ways() -> None:
    well, wrong, unknown = status_of(kept()), status_of(kept(1)), status_of(kept(problem=FAILED))
    assert [each.reason for each in health_transitions(well, wrong)] == ["FeaturesUnequal"]
    assert [each.reason for each in health_transitions(wrong, well)] == ["FeaturesEqual"]
    assert not list(health_transitions(well, unknown))


@pytest.mark.parametrize(
    ("parity", "shown"),
    [
        (kept(), {"feature_parity": 1.0, "features_compared": 1.0}),
        (kept(1), {"feature_parity": 0.0, "features_compared": 1.0}),
        (kept(problem=FAILED), {"features_compared": 0.0}),
    ],
)
def test_metrics_tell_what_is_wrong_apart_from_what_is_not_known(parity: ParityKept, shown: dict[str, float]) -> None:
    body = {"metadata": {"namespace": "ml", "name": "p"}, "status": status_of(parity)}
    told = {("ml", "p"): [Told("m0", "NoDrift", False, parity=parity)]}
    samples = [each for family in StatusMetrics(policies=[body], targets=told).collect() for each in family.samples]
    prefix = "modelward_driftpolicy_"
    found = {each.name.removeprefix(prefix): each.value for each in samples if "feature" in each.name and
             each.name.startswith(prefix)}  # fmt: skip
    assert found == shown
    shares = [each.value for each in samples if each.name == "modelward_feature_unequal_ratio"]
    assert shares == [0.25] * 12
