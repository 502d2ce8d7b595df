"""What comes of typical rollouts; that the bets are fair is a matter of tests/property/test_sequential.py."""

import math
from collections.abc import Iterable

import pytest

from modelward.rollouts.statistics import evalue
from modelward.rollouts.statistics.outcomes import Outcomes
from modelward.rollouts.statistics.sequential import Comparison, Evidence, Verdict, restore, start, verdict

ALPHA = 0.01 / 3
GOOD = (Outcomes(95), Outcomes(5))
"""Two seconds of 50 requests a second at a weight of 5 %."""


def after(test: Comparison, blocks: Iterable[tuple[Outcomes, Outcomes]]) -> Comparison:
    for stable, candidate in blocks:
        test = test.look(stable, candidate)
    return test


@pytest.mark.parametrize(
    ("against", "supports", "expected"),
    [
        (0.0, 0.0, "Inconclusive"),
        (math.log(100) - 1e-9, math.log(20) - 1e-9, "Inconclusive"),
        (math.log(100) - 1e-9, math.log(20), "Pass"),
        (math.log(100), 0.0, "Fail"),
        (math.log(100), math.log(20), "Fail"),
        (-50.0, 900.0, "Pass"),
    ],
)
def test_verdicts(against: float, supports: float, expected: Verdict) -> None:
    assert verdict(Evidence(against=against, supports=supports), alpha=0.01, beta=0.05) == expected


@pytest.mark.parametrize("margin", [-0.001, 0.991, math.nan])
def test_a_margin_that_is_no_share_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="no share from 0 to"):
        start(margin)


@pytest.mark.parametrize(
    ("stable", "candidate"), [(Outcomes(95, 1), Outcomes(5, 3)), (Outcomes(7, 0), Outcomes(10, 0))]
)
def test_without_a_margin_the_nearest_point_is_the_pooled_share(stable: Outcomes, candidate: Outcomes) -> None:
    """Then the bet is that of Turner, Ly, Grünwald for 2 x 2 tables."""
    base, target = 0.01, 0.2
    pooled = (stable.trials * base + candidate.trials * target) / (stable.trials + candidate.trials)
    expected = sum(
        arm.bad * math.log(share / pooled) + (arm.trials - arm.bad) * math.log((1 - share) / (1 - pooled))
        for arm, share in ((stable, base), (candidate, target))
    )
    assert evalue.paired(base, target, 0.0, stable, candidate) == pytest.approx(expected, abs=2 * evalue.CLOSE)


def test_a_dead_candidate_fails_at_the_first_look() -> None:
    assert verdict(start(0.005).look(Outcomes(95), Outcomes(5, 5)).evidence, ALPHA) == "Fail"


def test_a_candidate_with_many_errors_fails_after_a_few() -> None:
    blocks = [(Outcomes(95), Outcomes(5, 1))] * 5
    assert verdict(after(start(0.005), blocks[:3]).evidence, ALPHA) == "Inconclusive"
    assert verdict(after(start(0.005), blocks).evidence, ALPHA) == "Fail"


def test_a_candidate_that_fails_late_fails_as_well() -> None:
    """An hour of good answers must not bury what comes now."""
    good = after(start(0.005), [GOOD] * 1800)
    assert good.evidence.against > -5
    late = after(good, [(Outcomes(95), Outcomes(5, 1))] * 8)
    assert verdict(late.evidence, ALPHA) == "Fail"
    assert verdict(after(restore(0.005, good.evidence), [(Outcomes(95), Outcomes(5, 1))] * 8).evidence, ALPHA) == "Fail"


def test_a_candidate_that_was_bad_at_first_can_pass() -> None:
    cold = after(start(0.005), [(Outcomes(95), Outcomes(5, 1))] * 2)
    assert verdict(after(cold, [GOOD] * 400).evidence, ALPHA) == "Pass"


def test_a_candidate_as_good_as_the_stable_passes_after_some_hundreds_of_answers() -> None:
    assert verdict(after(start(0.005), [GOOD] * 60).evidence, ALPHA) == "Inconclusive"
    assert verdict(after(start(0.005), [GOOD] * 240).evidence, ALPHA) == "Pass"


def test_an_incident_of_both_arms_is_no_evidence() -> None:
    both = after(start(0.005), [GOOD] * 300 + [(Outcomes(100, 40), Outcomes(50, 20))] * 150)
    assert both.evidence.against < 0
    worse = after(both, [(Outcomes(100, 40), Outcomes(50, 35))] * 30)
    assert verdict(worse.evidence, ALPHA) == "Fail"


def test_the_candidate_alone_against_a_limit() -> None:
    def looks(bad: int, number: int) -> Evidence:
        return after(start(0.05, paired=False), [(Outcomes(), Outcomes(50, bad))] * number).evidence

    assert verdict(looks(1, 10), ALPHA) == "Pass"
    assert verdict(looks(5, 10), ALPHA) == "Fail"
    assert verdict(looks(2, 2), ALPHA) == "Inconclusive"


def test_a_limit_of_nothing_fails_at_the_first_bad_answer_and_never_passes() -> None:
    test = start(0.0, paired=False).look(Outcomes(), Outcomes(10**12))
    assert verdict(test.evidence, ALPHA) == "Inconclusive"
    assert verdict(test.look(Outcomes(), Outcomes(50, 1)).evidence, ALPHA) == "Fail"


def test_stable_answers_before_the_rollout_help_to_know_its_share() -> None:
    """A service where a fifth of the answers is bad anyway: a candidate alike is not suspected at its first answers."""
    alike = [(Outcomes(95, 19), Outcomes(5, 1))] * 3
    known = start(0.01).look(Outcomes(10_000, 2_000), Outcomes())
    assert known.evidence.against == 0
    assert after(known, alike).evidence.against >= after(start(0.01), alike).evidence.against
