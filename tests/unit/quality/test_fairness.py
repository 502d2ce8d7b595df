"""Fairness held against fairlearn's numbers, and what is said of small groups."""

import math

import fairlearn.metrics as peer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward_quality import fairness
from modelward_quality.confusion import Confusion, confusion
from modelward_quality.fairness import Gap

ROWS = st.lists(
    st.tuples(st.sampled_from(["x", "y", "z"]), st.booleans(), st.booleans(), st.floats(0.5, 4.0)),
    min_size=6,
    max_size=60,
)


def by_group(
    groups: "np.ndarray", true: "np.ndarray", said: "np.ndarray", weights: "np.ndarray"
) -> dict[str, Confusion]:
    return {
        str(each): confusion(true[groups == each], said[groups == each], weights[groups == each])
        for each in np.unique(groups)
    }


@settings(deadline=None)
@given(ROWS)
def test_differences_and_ratios_are_those_of_fairlearn(rows: list[tuple[str, bool, bool, float]]) -> None:
    groups, true, said, weights = (np.array(each) for each in zip(*rows, strict=True))
    tables = by_group(groups, true, said, weights)
    options = {"sensitive_features": groups, "sample_weight": weights}
    both_labels = all({True, False} <= set(true[groups == each].tolist()) for each in tables)
    pairs = [
        (fairness.statistical_parity, peer.demographic_parity_difference, peer.demographic_parity_ratio, True),
        (fairness.equal_opportunity, peer.equal_opportunity_difference, peer.equal_opportunity_ratio, both_labels),
        (fairness.equalized_odds, peer.equalized_odds_difference, peer.equalized_odds_ratio, both_labels),
    ]
    for own, difference, ratio, comparable in pairs:
        gap = own(tables, "True", 1)
        if gap is None or not comparable:
            continue
        assert gap.difference.value == pytest.approx(difference(true, said, **options), abs=1e-9)
        assert inside(gap)
        if gap.ratio is not None:
            assert gap.ratio.value == pytest.approx(ratio(true, said, **options), abs=1e-9)


def inside(gap: Gap) -> bool:
    known = [each for each in (gap.difference, gap.ratio) if each is not None]
    return all(
        each.low is not None and each.high is not None and each.low - 1e-12 <= each.value <= each.high + 1e-12
        for each in known
    )


def table(selected: int, of: int) -> Confusion:
    return confusion([True] * of, [True] * selected + [False] * (of - selected))


def test_nothing_is_said_of_twelve_people() -> None:
    groups = {"many": table(300, 600), "others": table(280, 600), "few": table(0, 12)}
    gap = fairness.statistical_parity(groups, "True")
    assert gap is not None
    assert gap.left_out == ("few",)
    assert {gap.highest, gap.lowest} == {"many", "others"}
    assert fairness.statistical_parity({"many": table(300, 600), "few": table(0, 12)}, "True") is None


def test_a_rate_counts_the_rows_that_it_is_about() -> None:
    """600 people of a group, of whom 8 had the outcome: enough for selection, not for the true positive rate."""
    rare = confusion([True] * 8 + [False] * 592, [True] * 4 + [False] * 596)
    usual = confusion([True] * 300 + [False] * 300, [True] * 200 + [False] * 400)
    groups = {"rare": rare, "usual": usual}
    assert fairness.statistical_parity(groups, "True") is not None
    assert fairness.equal_opportunity(groups, "True") is None
    assert fairness.equalized_odds(groups, "True") is None


def test_equal_treatment_is_no_gap() -> None:
    gap = fairness.statistical_parity({"a": table(50, 200), "b": table(50, 200)}, "True")
    assert gap is not None
    assert gap.highest != gap.lowest
    assert gap.difference.value == 0.0
    assert gap.difference.low is not None
    assert gap.difference.low < 0
    assert gap.ratio is not None
    assert gap.ratio.value == 1.0


def test_nobody_selected_has_a_difference_and_no_ratio() -> None:
    gap = fairness.statistical_parity({"a": table(0, 200), "b": table(0, 200)}, "True")
    assert gap is not None
    assert gap.difference.value == 0.0
    assert gap.ratio is None
    gap = fairness.statistical_parity({"a": table(0, 200), "b": table(100, 200)}, "True")
    assert gap is not None
    assert gap.ratio is not None
    assert gap.ratio.value == gap.ratio.low == 0.0
    assert gap.ratio.high is not None
    assert 0 < gap.ratio.high < 0.2


@pytest.mark.parametrize("groups", [2, 5])
def test_intervals_hold_the_truth_though_the_furthest_groups_were_chosen(groups: int) -> None:
    """All groups are treated alike, so that no difference is the truth. Of 400 samples at least 360 have it."""
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        tables = {str(each): table(int(rng.binomial(300, 0.3)), 300) for each in range(groups)}
        gap = fairness.statistical_parity(tables, "True")
        assert gap is not None
        assert gap.difference.low is not None
        assert gap.ratio is not None
        assert gap.ratio.high is not None
        held += gap.difference.low <= 0 and gap.ratio.high >= 1 and not math.isnan(gap.difference.low)
    assert held >= 360
