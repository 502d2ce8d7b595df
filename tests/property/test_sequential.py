"""The bets are fair whatever the shares, margins, numbers of answers and earlier blocks: all outcomes are counted."""

import itertools
import math
from collections.abc import Iterator

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from modelward.rollouts.statistics import evalue
from modelward.rollouts.statistics.outcomes import Outcomes
from modelward.rollouts.statistics.sequential import MAX_MARGIN, Comparison, Evidence, restore, start

ROUNDING = 1e-9

patient = settings(deadline=None)
"""A machine with other work must not fail a test."""

RARE = st.floats(-8, 0).map(lambda exponent: 10**exponent)
SHARES = st.one_of(st.sampled_from([0.0, 1.0, 0.5, 1e-9]), RARE, st.floats(0, 1))
MARGINS = st.one_of(st.sampled_from([0.0, 0.005, 0.05, MAX_MARGIN]), RARE.map(lambda share: min(share, MAX_MARGIN)))
INSIDE = st.floats(evalue.LOWEST, evalue.HIGHEST)
"""Shares of an alternative."""


def counts(most: int) -> st.SearchStrategy[Outcomes]:
    """Outcomes of up to `most` answers; all good or all bad more often than by chance."""
    return st.integers(0, most).flatmap(
        lambda trials: st.builds(Outcomes, st.just(trials), st.sampled_from([0, trials]) | st.integers(0, trials))
    )


COUNTS, BLOCKS = counts(2**53), counts(10**7)
SMALL = st.integers(0, 3)


@st.composite
def null_points(draw: st.DrawFn, margin: float, worse: bool) -> tuple[float, float]:
    """True shares (stable, candidate) under which the bets on `worse` must not gain; often on the edge."""
    stable = draw(SHARES)
    edge = stable + margin
    if not worse and edge > 1:
        stable, edge = 1 - margin, 1.0
    part = draw(st.one_of(st.just(1.0), st.floats(0, 1)))
    return stable, min(1.0, part * edge) if worse else edge + (1 - part) * (1 - edge)


def outcomes(trials: int, share: float) -> Iterator[tuple[float, Outcomes]]:
    """Every possible outcome of one arm, after its probability."""
    for bad in range(trials + 1):
        yield math.comb(trials, bad) * share**bad * (1 - share) ** (trials - bad), Outcomes(trials, bad)


@patient
@given(st.data(), INSIDE, INSIDE, MARGINS, st.integers(1, 6), st.integers(1, 6))
def test_a_paired_bet_gains_nothing_where_its_null_is_true(
    data: st.DataObject, base: float, target: float, margin: float, n_stable: int, n_candidate: int
) -> None:
    shares = data.draw(null_points(margin, worse=target > base + margin))
    expected = sum(
        chance_s * chance_c * math.exp(evalue.paired(base, target, margin, stable, candidate))
        for chance_s, stable in outcomes(n_stable, shares[0])
        for chance_c, candidate in outcomes(n_candidate, shares[1])
    )
    assert expected <= 1 + ROUNDING


@patient
@given(INSIDE, INSIDE, MARGINS, st.integers(1, 10**7), st.integers(1, 10**7))
def test_a_paired_bet_grows_as_fast_as_the_nearest_point_of_the_null_allows(
    base: float, target: float, margin: float, n_stable: int, n_candidate: int
) -> None:
    """Per answer, as the alternative has it, the bet gains the least divergence to the null."""
    edge = base + margin

    def divergence(share: float) -> float:
        return n_stable * kl(base, share) + n_candidate * kl(target, share + margin)

    low, high = (base, target - margin) if target > edge else (max(0.0, target - margin), min(base, 1 - margin))
    for _ in range(200):  # the divergence is convex
        one, other = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, other) if divergence(one) < divergence(other) else (one, high)
    assume(high + margin < evalue.HIGHEST)  # a point beyond is not tried
    # By linearity: the expectation is the value at the expected numbers of bad answers.
    gains = [
        evalue.paired(base, target, margin, Outcomes(n_stable, bad_s), Outcomes(n_candidate, bad_c))
        for bad_s, bad_c in ((0, 0), (n_stable, 0), (0, n_candidate))
    ]
    growth = gains[0] + base * (gains[1] - gains[0]) + target * (gains[2] - gains[0])
    least = min(divergence(low), divergence(high), divergence((low + high) / 2))
    assert math.isclose(growth, least, rel_tol=1e-6, abs_tol=1e-5)


def kl(share: float, other: float) -> float:
    """The divergence of two Bernoulli distributions, in nats."""
    if not 0 < other < 1:
        return math.inf
    return share * math.log(share / other) + (1 - share) * math.log1p((other - share) / (1 - other))


@patient
@given(st.data(), MARGINS, st.booleans(), st.booleans(), COUNTS, COUNTS)
def test_a_wealth_never_grows_on_average_under_its_null(
    data: st.DataObject, margin: float, paired: bool, worse: bool, stable: Outcomes, candidate: Outcomes
) -> None:
    """Over two looks after any others, with shares that change between them, with or without a restart in between."""
    begin = restore(margin, Evidence(stable, candidate), paired=paired)
    restart = data.draw(st.booleans())
    numbers = data.draw(st.tuples(SMALL, SMALL, SMALL, SMALL))
    first = shares(data, margin, paired, worse)
    second = shares(data, margin, paired, worse)
    expected = 0.0
    for chance, after in looks(begin, numbers[:2], first):
        between = restore(margin, after.evidence, paired=paired) if restart else after
        for later, end in looks(between, numbers[2:], second):
            expected += chance * later * math.exp(end.evidence.against if worse else end.evidence.supports)
    assert expected <= 1 + ROUNDING


def shares(data: st.DataObject, margin: float, paired: bool, worse: bool) -> tuple[float, float]:
    if paired:
        return data.draw(null_points(margin, worse))
    part = data.draw(st.one_of(st.just(1.0), st.floats(0, 1)))
    return data.draw(SHARES), part * margin if worse else 1 - part * (1 - margin)


def looks(begin: Comparison, numbers: tuple[int, ...], true: tuple[float, float]) -> Iterator[tuple[float, Comparison]]:
    arms = [list(outcomes(number, share)) for number, share in zip(numbers, true, strict=True)]
    for (chance_s, stable), (chance_c, candidate) in itertools.product(*arms):
        yield chance_s * chance_c, begin.look(stable, candidate)


@patient
@given(MARGINS, st.booleans(), st.lists(st.tuples(BLOCKS, BLOCKS), max_size=4))
@example(0.0, True, [(Outcomes(2**53), Outcomes()), (Outcomes(2, 1), Outcomes(1, 1))])
@example(0.0, True, [(Outcomes(2**53, 2**53), Outcomes()), (Outcomes(2, 1), Outcomes(1))])
def test_any_blocks_leave_numbers_and_a_restored_test_has_the_same_wealth(
    margin: float, paired: bool, blocks: list[tuple[Outcomes, Outcomes]]
) -> None:
    test = start(margin, paired=paired)
    for stable, candidate in blocks:
        test = test.look(stable, candidate)
    seen = test.evidence
    assert math.isfinite(seen.against)
    assert math.isfinite(seen.supports)
    assert seen.stable.trials == sum(stable.trials for stable, _ in blocks)
    assert seen.candidate.bad == sum(candidate.bad for _, candidate in blocks)
    for parts in (test.worse, test.fine):
        assert min(parts) >= 0
        assert math.isclose(sum(parts), 1)
    assert restore(margin, seen, paired=paired).evidence == seen


@patient
@given(MARGINS, st.booleans(), COUNTS, COUNTS, BLOCKS, st.integers(1, 10**4), st.data())
def test_more_bad_answers_of_the_candidate_count_against_it(
    margin: float,
    paired: bool,
    earlier_s: Outcomes,
    earlier_c: Outcomes,
    stable: Outcomes,
    trials: int,
    data: st.DataObject,
) -> None:
    test = restore(margin, Evidence(earlier_s, earlier_c), paired=paired)
    bad = sorted(data.draw(st.tuples(st.integers(0, trials), st.integers(0, trials))))
    fewer, more = (test.look(stable, Outcomes(trials, each)).evidence for each in bad)
    assert more.against >= fewer.against - ROUNDING
    assert more.supports <= fewer.supports + ROUNDING


@patient
@given(MARGINS, COUNTS, COUNTS, BLOCKS)
def test_an_arm_without_answers_is_no_evidence_but_counts(
    margin: float, earlier_s: Outcomes, earlier_c: Outcomes, block: Outcomes
) -> None:
    test = restore(margin, Evidence(earlier_s, earlier_c, 1.0, 2.0))
    assert test.look(Outcomes(), Outcomes()) == test
    one = test.look(block, Outcomes()).evidence
    other = test.look(Outcomes(), block).evidence
    assert one == Evidence(earlier_s + block, earlier_c, 1.0, 2.0)
    assert other == Evidence(earlier_s, earlier_c + block, 1.0, 2.0)
