"""Verdicts on windows: features, outputs, data quality, persistence, and what is said where nothing can be."""

from typing import Any

import numpy as np
import pytest

from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.drift.verdicts import (
    DRIFTED,
    NO_DRIFT,
    PENDING,
    UNKNOWN,
    Verdict,
    action_on,
    holding,
    to_retrain_for,
    verdict_on,
)
from modelward.monitoring.windows import Look, Window
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import Counts, zero
from modelward_drift.judging.badvalues import Limits, bad_values, worsened
from modelward_drift.judging.judge import Rules
from modelward_drift.judging.policy import Policy
from modelward_drift.judging.policy import judge as judged
from modelward_drift.profiles.bins import Grid
from modelward_drift.profiles.profile import Profile
from modelward_drift.profiles.reference import Feature, Reference

GRID = Grid(edges=(0.0,), centres=(-1.0, 1.0), low=-3.0, high=3.0, scale=1.0)
AMOUNT = Profile("amount", "numeric", (5000, 5000, 0, 0, 0), 10_000, GRID)
COLOUR = Profile("colour", "categorical", (5000, 4900, 100, 0, 0), 10_000, levels=("blue", "red"))
SCORE = Profile("output:score", "numeric", (5000, 5000, 0, 0, 0), 10_000, GRID)
REFERENCE = Reference(
    (
        Feature("input", "amount", None, AMOUNT),
        Feature("input", "colour", None, COLOUR),
        Feature("output", "score", None, SCORE),
    )
)


def policy(**spec: Any) -> DriftPolicy:
    metadata = {"namespace": "ml", "name": "fraud", "uid": "u", "generation": 1}
    return parse({"metadata": metadata, "spec": {"target": {"name": "fraud"}, **spec}})


def seen(profile: Profile, *cells: int, quality: tuple[int, ...] = (0, 0, 0, 0)) -> Counts:
    made = zero(profile)
    return Counts(made.digest, np.array(cells, np.int64), np.array(quality, np.int64))


USUAL = (seen(AMOUNT, 500, 500, 0, 0, 0), seen(COLOUR, 500, 490, 10, 0, 0), seen(SCORE, 500, 500, 0, 0, 0))


def look(*counts: Counts, end: float = 7200.0, revision: str = "r1") -> Look:
    return Look(REFERENCE, None, Window(revision, REFERENCE.digest, end - 3600, end, counts or USUAL))


def judge(given: DriftPolicy, found: Look, last: Verdict | None = None, fresh: bool = False) -> Verdict:
    return verdict_on(given, "r1", found, last or Verdict(), fresh=fresh)


SHIFTED = (seen(AMOUNT, 900, 100, 0, 0, 0), *USUAL[1:])
ANSWERS_SHIFTED = (*USUAL[:2], seen(SCORE, 900, 100, 0, 0, 0))
NULLS = (seen(AMOUNT, 400, 400, 0, 0, 200), *USUAL[1:])


@pytest.mark.parametrize(
    ("spec", "counts", "drifted"),
    [
        ({}, USUAL, ()),
        ({}, SHIFTED, ("amount",)),
        ({"features": {"ignore": ["amount"]}}, SHIFTED, ()),
        ({"features": {"overrides": [{"name": "amount", "threshold": "9"}]}}, SHIFTED, ()),
        ({"features": {"default": {"metric": "ks", "threshold": "0.1"}}}, SHIFTED, ("amount",)),
        ({}, ANSWERS_SHIFTED, ("output:score",)),
        ({"features": {"outputs": "Ignore"}}, ANSWERS_SHIFTED, ()),
        ({"features": {"ignore": ["amount"], "dataQuality": {"missing": "5%"}}}, NULLS, ("quality:missing:amount",)),
        ({"features": {"ignore": ["amount"], "dataQuality": {"missing": "30%"}}}, NULLS, ()),
    ],
)
def test_what_drifts(spec: dict[str, Any], counts: tuple[Counts, ...], drifted: tuple[str, ...]) -> None:
    found = judge(policy(**spec), look(*counts))
    assert (found.drifted, found.verdict) == (drifted, DRIFTED if drifted else NO_DRIFT)
    assert found.features
    assert all(name in found.message for name in drifted[:1])


def test_a_small_window_proves_nothing() -> None:
    few = (seen(AMOUNT, 9, 1, 0, 0, 0), seen(COLOUR, 5, 5, 0, 0, 0), seen(SCORE, 5, 5, 0, 0, 0))
    assert judge(policy(), look(*few)).verdict == NO_DRIFT


@pytest.mark.parametrize(
    ("what", "amount", "colour", "found"),
    [
        ("missing", (400, 400, 0, 0, 200), None, "quality:missing:amount"),
        ("out_of_range", None, None, None),
        ("new_categories", None, (0, 0, 0, 0), None),
    ],
)
def test_shares_of_bad_values(what: str, amount: Any, colour: Any, found: str | None) -> None:
    counts = (seen(AMOUNT, *amount) if amount else USUAL[0], *USUAL[1:])
    made = bad_values(REFERENCE, counts, Limits(**{what: 0.05}))
    assert [each.feature.name for each in made if worsened(each.feature, each.counts)] == ([found] if found else [])


def test_each_kind_of_bad_value_is_counted_where_it_can_be() -> None:
    counts = (
        seen(AMOUNT, 500, 400, 100, 0, 0, quality=(30, 20, 0, 100)),
        seen(COLOUR, 400, 400, 200, 0, 0, quality=(0, 0, 200, 0)),
        seen(SCORE, 500, 300, 0, 150, 50, quality=(0, 0, 0, 0)),
    )
    made = bad_values(REFERENCE, counts, Limits(0.01, 0.01, 0.01, 0.01, 0.01))
    bad = {each.feature.name: int(each.counts.cells[1]) for each in made}
    assert bad == {
        "quality:missing:amount": 0, "quality:outOfRange:amount": 50, "quality:typeErrors:amount": 100,
        "quality:nonFinite:amount": 0,
        "quality:missing:colour": 0, "quality:newCategories:colour": 200, "quality:typeErrors:colour": 0,
        "quality:missing:output:score": 50, "quality:outOfRange:output:score": 0, "quality:typeErrors:output:score": 0,
        "quality:nonFinite:output:score": 150,
    }  # fmt: skip


def test_outputs_that_are_ignored_have_no_quality_either() -> None:
    counts = (*USUAL[:2], seen(SCORE, 0, 0, 0, 1000, 0))
    judging = policy(features={"dataQuality": {"nonFinite": "1%"}})
    assert "quality:nonFinite:output:score" in judge(judging, look(*counts)).drifted
    ignoring = policy(features={"outputs": "Ignore", "dataQuality": {"nonFinite": "1%"}})
    assert judge(ignoring, look(*counts)).verdict == NO_DRIFT


def test_fewer_bad_values_are_no_drift() -> None:
    dirty = Profile("amount", "numeric", (4000, 4000, 0, 0, 2000), 10_000, GRID)
    reference = Reference((Feature("input", "amount", None, dirty),))
    window = Window("r1", reference.digest, 0.0, 3600.0, (seen(dirty, 500, 500, 0, 0, 0),))
    spec = policy(features={"ignore": ["amount"], "dataQuality": {"missing": "5%"}})
    assert judge(spec, Look(reference, None, window)).verdict == NO_DRIFT


def test_persistence_looks_at_the_last_windows_feature_by_feature() -> None:
    spec = policy(persistence={"needed": 2, "windows": 3})
    verdict, told = Verdict(), []
    for number, counts in enumerate([SHIFTED, USUAL, ANSWERS_SHIFTED, SHIFTED, SHIFTED]):
        verdict = judge(spec, look(*counts, end=7200.0 + 3600 * number), verdict)
        told.append(verdict.drifted)
    assert told == [(), (), (), (), ("amount",)]
    assert len(verdict.recent) == 3


def test_a_window_is_judged_once_but_again_under_other_rules() -> None:
    first = judge(policy(), look(*SHIFTED))
    assert judge(policy(features={"ignore": ["amount"]}), look(*SHIFTED), first).drifted == ("amount",)
    again = judge(policy(features={"ignore": ["amount"]}), look(*SHIFTED), first, fresh=True)
    assert again.verdict == NO_DRIFT


def test_a_new_revision_begins_anew() -> None:
    first = judge(policy(), look(*SHIFTED))
    second = verdict_on(policy(), "r2", look(*SHIFTED), first, fresh=False)
    assert (second.verdict, second.revision, second.drifted) == (PENDING, "r2", ())


def test_silent_monitors_leave_the_last_verdict_and_are_told() -> None:
    first = judge(policy(), look(*SHIFTED))
    found = judge(policy(), Look(problem="No monitor answers"), first)
    assert (found.verdict, found.missing) == (DRIFTED, "No monitor answers")
    assert judge(policy(), Look(problem="No monitor answers")).message == "No monitor answers"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ({"name": "weight"}, "names weight, which the reference does not have; it has amount, colour"),
        ({"name": "colour", "metric": "ks"}, "ks needs an order, but 'colour' is categorical"),
    ],
)
def test_rules_that_a_feature_can_not_have_are_told(override: dict[str, str], sentence: str) -> None:
    found = judge(policy(features={"overrides": [override]}), look())
    assert found.verdict == UNKNOWN
    assert found.problem is not None
    assert sentence in found.problem


def test_actions_by_kind_of_feature() -> None:
    spec = policy(actions={"outputs": "Warn"}).spec
    assert [action_on(spec, name) for name in ("amount", "output:score", "quality:missing:amount")] == [
        "Retrain", "Warn", "Hold",
    ]  # fmt: skip
    verdict = Verdict(drifted=("amount", "output:score", "quality:missing:amount"))
    assert to_retrain_for(spec, verdict) == ("amount",)
    assert holding(spec, verdict) == ("quality:missing:amount",)


def test_the_message_says_why_and_what_to_do_about_a_number_that_only_grows() -> None:
    beyond = (seen(AMOUNT, 0, 1000, 0, 0, 0, quality=(0, 1000, 0, 0)), *USUAL[1:])
    message = judge(policy(), look(*beyond)).message
    assert ": 100 % are out of range, which was -3 to 3. 100 % of the values of amount lie above" in message
    assert "spec.features.ignore" in message
    nulls = judge(policy(features={"ignore": ["amount"], "dataQuality": {"missing": "5%"}}), look(*NULLS)).message
    assert nulls.endswith("and not by chance: 20 % are missing, before 0 %")


@pytest.mark.parametrize(("limit", "suffix", "drifted"), [("1%", "", False), ("5%", "", False), ("5%", "x", True)])
def test_new_categories_are_those_that_the_reference_never_had(limit: str, suffix: str, drifted: bool) -> None:
    """Of 8,000 merchants most are too rare to have a cell, and are no new ones for that."""
    names = np.array([f"m{number}" for number in range(8000)], object)
    random = np.random.default_rng(4)
    profile = profile_of("merchant", "categorical", random.choice(names, 50_000))
    reference = Reference((Feature("input", "merchant", None, profile),))
    counts = count(profile, random.choice(names, 3600) + suffix)
    wanted = Policy(Rules(ignored=frozenset({"merchant"})), limits=Limits(new_categories=float(limit[:-1]) / 100))
    decisions = judged(reference, (counts,), wanted).decisions
    assert [(each.statistic.feature, each.drifted) for each in decisions] == [
        ("quality:newCategories:merchant", drifted)
    ]
