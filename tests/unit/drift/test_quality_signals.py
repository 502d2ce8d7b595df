"""Rules of spec.quality: a value breaches only where its interval does, of enough rows, within the alarm budget."""

from dataclasses import replace
from typing import Any

import pytest

from modelward.api.driftpolicy import HOLD, RETRAIN, WARN
from modelward.drift.quality_signals import SOURCE, at_level
from modelward.drift.registry import action_of, signals_of
from modelward.drift.signal import Sight, Signal
from modelward.drift.verdicts import DRIFTED, Verdict, to_retrain_for, verdict_on
from modelward.monitoring.windows import Look
from modelward.quality.measured import Gap, Kept, Measured, Problem, Reference, Shift, Value, cohort_of
from modelward.quality.rules import budget_of, level_of

from .test_verdicts import policy

TASK = {"kind": "Classes", "label": "output.label", "positive": "1", "score": "output.score"}
DAY = 86400.0
SLOT = 100 * DAY
PARITY = {"column": "input.sex", "rules": [{"name": "statisticalParity", "maxDifference": "0.1", "minRatio": "0.8"}]}


def asked(**quality: Any) -> Any:
    return policy(quality={"task": TASK, "labelWindow": "60d", **quality})


def kept(given: Any, rows: int = 1000, **fields: Any) -> Kept:
    """`fields`: metrics as value, low and high; or what Kept and Measured have."""
    values = {name: Value(*each, rows) for name, each in fields.items() if isinstance(each, tuple) and len(each) == 3}
    own = {name: each for name, each in fields.items() if name not in values}
    measured = Measured("r1", rows, {"matured": 2 * rows, "withOutcome": rows}, values, {}, (), ())
    measured = replace(
        measured, **{name: own.pop(name) for name in ("before", "gaps", "revision", "shifts") if name in own}
    )
    return Kept("j", SLOT, cohort_of(given.spec, SLOT, 0.999), "m", SLOT, measured=measured, **own)


def judged(given: Any, found: Kept | None, *last: Signal) -> dict[str, Signal]:
    sources = {} if found is None else {SOURCE: found}
    return {each.name: each for each in signals_of(given.spec, Sight("r1", last, SLOT + 5, sources))}


@pytest.mark.parametrize(
    ("rule", "value", "breached"),
    [
        ({"name": "f1", "min": "0.8"}, (0.7, 0.65, 0.75), True),
        ({"name": "f1", "min": "0.8"}, (0.7, 0.55, 0.85), False),
        ({"name": "f1", "min": "0.8"}, (0.7, None, None), False),
        ({"name": "f1", "max": "0.8"}, (0.9, 0.81, 0.95), True),
        ({"name": "f1", "max": "0.8"}, (0.9, 0.79, 0.95), False),
        ({"name": "logLoss", "max": "0.3"}, (0.5, 0.4, 0.6), True),
    ],
)
def test_a_value_breaches_only_where_the_bound_of_its_interval_does(
    rule: dict[str, str], value: tuple[Any, ...], breached: bool
) -> None:
    given = asked(metrics=[rule])
    (found,) = judged(given, kept(given, **{rule["name"]: value})).values()
    assert (found.kind, found.breached, found.missing) == ("quality", breached, None)
    assert (found.since is not None) is breached
    assert found.value == f"{value[0]:.4g}"


def test_nothing_is_said_of_a_few_rows() -> None:
    given = asked(metrics=[{"name": "f1", "min": "0.8"}], minSamples=500)
    (few,) = judged(given, kept(given, rows=499, f1=(0.1, 0.05, 0.2))).values()
    assert not few.breached
    assert "499 rows with an outcome are too few, 500 are needed" in few.message
    assert judged(given, kept(given, rows=500, f1=(0.1, 0.05, 0.2)))["f1:min"].breached


@pytest.mark.parametrize(
    ("metric", "now", "then", "breached"),
    [
        ("rocAuc", (0.80, 0.78, 0.82), (0.90, 0.89, 0.91), True),
        ("rocAuc", (0.86, 0.84, 0.88), (0.90, 0.89, 0.91), False),
        ("rocAuc", (0.84, 0.80, 0.88), (0.90, 0.86, 0.94), False),
        ("rocAuc", (0.99, 0.98, 1.00), (0.90, 0.89, 0.91), False),
        ("logLoss", (0.50, 0.48, 0.52), (0.30, 0.29, 0.31), True),
        ("logLoss", (0.10, 0.08, 0.12), (0.30, 0.29, 0.31), False),
    ],
)
@pytest.mark.parametrize("against", ["Reference", "Days"])
def test_a_fall_is_one_where_both_intervals_leave_no_doubt(
    metric: str, now: Any, then: Any, breached: bool, against: str
) -> None:
    given = asked(metrics=[{"name": metric, "maxDegradation": "0.05"}], compare={"against": against})
    earlier = {metric: Value(*then, 1000)}
    found = kept(given, **{metric: now})
    assert found.cohort is not None
    assert found.measured is not None
    if against == "Days":
        found = replace(found, measured=replace(found.measured, before=earlier))
    else:
        found = replace(found, first=Reference("r1", found.cohort.basis, 0.0, found.cohort.level, earlier))
    (signal,) = judged(given, found).values()
    assert signal.breached is breached, signal.message
    assert f"was {then[0]:.4g}" in signal.message


def test_a_first_cohort_of_another_revision_or_made_otherwise_is_no_reference() -> None:
    given = asked(metrics=[{"name": "rocAuc", "maxDegradation": "0.05"}])
    found = kept(given, rocAuc=(0.5, 0.49, 0.51))
    assert found.cohort is not None
    same = Reference("r1", found.cohort.basis, 0.0, 0.999, {"rocAuc": Value(0.9, 0.89, 0.91, 1000)})
    assert judged(given, replace(found, first=same))["rocAuc:degradation"].breached
    for other in (None, replace(same, revision="r0"), replace(same, basis="x")):
        signal = judged(given, replace(found, first=other))["rocAuc:degradation"]
        assert not signal.breached
        assert "nothing to compare it with yet" in signal.message


def test_a_reference_of_another_level_is_widened() -> None:
    first = Reference("r1", "b", 0.0, 0.95, {"f1": Value(0.9, 0.88, 0.91, 1000)})
    wider = at_level(first, "f1", 0.99)
    assert wider is not None
    assert (wider.low, wider.high) == pytest.approx((0.9 - 0.02 * 2.5758 / 1.96, 0.9 + 0.01 * 2.5758 / 1.96), abs=1e-5)
    assert at_level(first, "f1", 0.95) == first.values["f1"]


def test_values_of_another_revision_or_task_are_not_held_against_the_rules() -> None:
    given = asked(metrics=[{"name": "f1", "min": "0.8"}])
    bad = (0.1, 0.05, 0.2)
    assert judged(given, kept(given, f1=bad))["f1:min"].breached
    for other in (None, kept(given, f1=bad, revision="r0"), kept(asked(labelWindow="30d"), f1=bad)):
        signal = judged(given, other)["f1:min"]
        assert (signal.breached, signal.missing) == (False, None)
        assert "no outcomes of r1 are known yet" in signal.message


def test_groups_are_judged_by_difference_and_ratio_whatever_the_least_rows_are() -> None:
    given = asked(fairness=PARITY, minSamples=5000)
    gaps = (
        Gap("statisticalParity", "difference", Value(0.3, 0.2, 0.4, 400), "m", "f", 1),
        Gap("statisticalParity", "ratio", Value(0.6, 0.5, 0.85, 400), "m", "f", 1),
    )
    found = judged(given, kept(given, gaps=gaps))
    assert {name: each.breached for name, each in found.items()} == {
        "statisticalParity:difference": True, "statisticalParity:ratio": False,
    }  # fmt: skip
    assert "(difference of m and f), above 0.1; 1 groups are too small" in found["statisticalParity:difference"].message
    assert {each.kind for each in found.values()} == {"fairness"}


def test_what_can_no_longer_be_found_out_is_missing_and_what_was_found_stays() -> None:
    given = asked(metrics=[{"name": "f1", "min": "0.8"}])
    bad = judged(given, kept(given, f1=(0.1, 0.05, 0.2)))["f1:min"]
    failed = kept(given, f1=(0.1, 0.05, 0.2), problem=Problem("EvaluationFailed", "no bucket"))
    later = judged(given, failed, bad)["f1:min"]
    assert (later.breached, later.missing, later.since) == (True, "no bucket", bad.since)
    assert judged(given, failed)["f1:min"].breached is False


def test_a_breach_goes_on_since_it_began() -> None:
    given = asked(metrics=[{"name": "f1", "min": "0.8"}])
    first = judged(given, kept(given, f1=(0.1, 0.05, 0.2)))["f1:min"]
    assert first.since == SLOT
    again = judged(given, replace(kept(given, f1=(0.2, 0.1, 0.3)), at=SLOT + DAY), first)["f1:min"]
    assert again.since == SLOT


@pytest.mark.parametrize(("action", "starts"), [(RETRAIN, True), (WARN, False), (HOLD, False)])
def test_a_champion_that_degrades_is_a_verdict_and_starts_a_run_where_it_is_to(action: str, starts: bool) -> None:
    given = policy(
        quality={"task": TASK, "metrics": [{"name": "f1", "min": "0.8"}]}, actions={"quality": action},
        retrain={"webhook": {"url": "https://ci", "secretRef": {"name": "s"}}},
    )  # fmt: skip
    found = kept(given, f1=(0.1, 0.05, 0.2))
    verdict = verdict_on(given, "r1", Look(problem="none"), Verdict(), fresh=False, now=1.0, sources={SOURCE: found})
    assert verdict.word == DRIFTED
    assert verdict.sentence.startswith("f1 is 0.1 (0.05 to 0.2) of 1000 rows until 1970-04-11")
    assert to_retrain_for(given.spec, verdict) == (("quality/f1:min",) if starts else ())
    assert {action_of(given.spec, each) for each in verdict.others} == {action}


def test_the_budget_is_spent_over_all_rules_and_evaluations() -> None:
    one = asked(metrics=[{"name": "f1", "min": "0.8"}])
    both = asked(metrics=[{"name": "f1", "min": "0.8", "maxDegradation": "0.1"}], fairness=PARITY)
    monthly, daily = 30 * DAY, DAY

    def share(given: Any, period: float) -> float:
        return (1 - level_of(given.spec, period)) / 2

    assert share(one, monthly) == pytest.approx(0.025), "no rule is judged at less than 95 %"
    assert share(one, daily) == pytest.approx(0.05 / 1.25 / 30)
    assert share(both, daily) == pytest.approx(share(one, daily) / 4)
    assert level_of(asked().spec, 300.0) < 1


def risen(evidence: float, segment: str = "", part: str = "") -> Shift:
    return Shift(segment, part, 90 * DAY, Value(0.05, 0.03, 0.07, 4000), 0.1, evidence)


def test_concept_drift_is_a_signal_of_all_rows_and_of_parts() -> None:
    given = asked(concept={"margin": "0.01"})
    found = judged(given, kept(given, shifts=(risen(0.02), risen(3.0, "country", "nl"))))
    assert {name: (each.kind, each.breached, each.bound) for name, each in found.items()} == {
        "loss": ("concept", False, "0.01"), "loss:country=nl": ("concept", True, "0.01"),
    }  # fmt: skip
    dutch = found["loss:country=nl"]
    assert (dutch.value, dutch.since) == ("0.05", 90 * DAY)
    assert dutch.message == (
        "the loss where country is nl has risen by 0.05 (0.03 to 0.07) since 1970-04-01, from 0.1; 4000 rows"
    )
    assert found["loss"].message == "no rise of the loss is sure: 0.02 of the evidence that an alarm needs"
    assert action_of(given.spec, dutch) == RETRAIN


def test_concept_drift_waits_for_days_and_is_not_asked_for_unasked() -> None:
    given = asked(concept={})
    for found in (None, kept(given), kept(given, revision="r2", shifts=(risen(3.0),))):
        (told,) = judged(given, found).values()
        assert (told.name, told.breached, told.value) == ("loss", False, None)
        assert "more than 14 days" in told.message
    plain = asked()
    assert judged(plain, kept(plain, shifts=(risen(3.0),))) == {}


def test_concept_drift_that_can_not_be_looked_for_any_more_stays_as_it_was_found() -> None:
    given = asked(concept={})
    (before,) = judged(given, kept(given, shifts=(risen(3.0),))).values()
    (after,) = judged(given, kept(given, problem=Problem("Failed", "the store is away")), before).values()
    assert after == replace(before, missing="the store is away")


def test_concept_drift_shares_the_budget_with_the_rules() -> None:
    def budget(**quality: Any) -> float:
        given = asked(**quality)
        return budget_of(given.spec, given.spec.quality)

    rules = [{"name": "f1", "min": "0.8"}, {"name": "recall", "min": "0.8"}]
    assert budget(concept={}) == budget()
    assert budget(concept={}, metrics=rules) == pytest.approx(budget() / 3)
