"""Values of the statistics, held against scikit-learn's on the same rows."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from modelward_quality import calibration as calibrated
from modelward_quality import confusion as table
from modelward_quality import ranking, regression, scores
from modelward_quality.errors import QualityError
from modelward_quality.estimate import Estimate, wilson
from modelward_quality.moments import Moments, moments

EXACT = 1e-9


def value(found: Estimate | None) -> float:
    assert found is not None
    if found.low is not None and found.high is not None:
        assert found.low <= found.value + 1e-12
        assert found.value <= found.high + 1e-12
    return found.value


LABELS = st.sampled_from(["a", "b", "c"])
WEIGHTS = st.floats(0.1, 8.0)


@settings(deadline=None)
@given(st.lists(st.tuples(LABELS, LABELS, WEIGHTS), min_size=1, max_size=60), st.integers(0, 60))
def test_classes(rows: list[tuple[str, str, float]], cut: int) -> None:
    true, said, weights = (list(each) for each in zip(*rows, strict=True))
    parts = [table.confusion(true[at], said[at], weights[at]) for at in (slice(cut), slice(cut, None)) if true[at]]
    whole = sum(parts, table.Confusion())
    assert value(table.accuracy(whole)) == pytest.approx(
        peer.accuracy_score(true, said, sample_weight=weights), abs=EXACT
    )
    assert value(table.macro_f1(whole)) == pytest.approx(
        peer.f1_score(true, said, average="macro", sample_weight=weights, zero_division=0.0), abs=EXACT
    )
    assert value(table.macro_recall(whole)) == pytest.approx(
        peer.recall_score(true, said, labels=sorted(set(true)), average="macro", sample_weight=weights), abs=EXACT
    )
    for label in set(true) | set(said):
        options: dict[str, Any] = {"labels": [label], "average": "macro", "sample_weight": weights}
        for own, theirs in (
            (table.precision, peer.precision_score),
            (table.recall, peer.recall_score),
            (table.f1, peer.f1_score),
        ):
            expected = theirs(true, said, zero_division=np.nan, **options)
            found = own(whole, label)
            if found is None:
                assert np.isnan(expected)
            else:
                assert value(found) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize(
    ("true", "said"),
    [([1, 0], [1.0, 0.0]), ([1, 0], [True, False]), ([1.0, 0.5], [1.0, 0.5]), ([True, False], [True, False])],
)
def test_labels_of_several_types_are_the_same(true: list[Any], said: list[Any]) -> None:
    assert value(table.accuracy(table.confusion(true, said))) == 1.0
    assert value(table.accuracy(table.confusion(said, true))) == 1.0


def test_what_is_not_defined_is_no_number() -> None:
    only = table.confusion(["a", "a"], ["a", "a"])
    assert table.precision(only, "b") is None
    assert table.recall(only, "b") is None
    assert table.f1(only, "b") is None
    assert table.false_positive_rate(only, "a") is None
    assert table.accuracy(table.Confusion()) is None
    assert table.macro_f1(table.Confusion()) is None
    assert scores.roc_auc(scores.scores([0.2, 0.3], [True, True])) is None
    assert scores.average_precision(scores.scores([0.2, 0.3], [False, False])) is None
    assert scores.roc_auc(scores.nothing()) is None
    assert regression.r2(regression.errors([1.0, 1.0], [1.0, 2.0])) is None
    assert regression.rmse(regression.Errors()) is None
    assert ranking.ndcg([0, 0], [1, 2]) is None
    assert ranking.reciprocal_rank([0, 0], [1, 2]) is None
    assert calibrated.calibration_error(calibrated.Calibration()) is None


SCORE = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 1e-6, 1 - 1e-6, 1e-12, 0.250001]))


@settings(deadline=None)
@given(st.lists(st.tuples(SCORE, st.booleans(), WEIGHTS), min_size=2, max_size=60), st.integers(0, 60))
def test_scores(rows: list[tuple[float, bool, float]], cut: int) -> None:
    found, truth, weights = (list(each) for each in zip(*rows, strict=True))
    parts = [scores.scores(found[at], truth[at], weights[at]) for at in (slice(cut), slice(cut, None)) if found[at]]
    whole = sum(parts, scores.nothing())
    assert whole.rows.sum() == len(rows)
    pairs = []
    if 0 < sum(truth) < len(truth):
        pairs.append((scores.roc_auc(whole), peer.roc_auc_score(truth, found, sample_weight=weights)))
    if any(truth):
        pairs.append(
            (scores.average_precision(whole), peer.average_precision_score(truth, found, sample_weight=weights))
        )
    for own, expected in pairs:
        assert own is not None
        assert abs(value(own) - expected) <= own.within + EXACT
        if whole.cell.size == len(set(found)):
            assert own.within == 0.0


def test_cells_keep_the_order_of_rare_scores_and_are_narrow() -> None:
    rng = np.random.default_rng(1)
    found = np.sort(np.concatenate([10 ** -rng.uniform(0, 9, 4000), 1 - 10 ** -rng.uniform(0, 9, 4000)]))
    cells = scores.cells_of(found)
    assert (np.diff(cells) >= 0).all()
    assert np.unique(cells).size > 1500
    truth = rng.uniform(size=found.size) < found
    auc = scores.roc_auc(scores.scores(found, truth))
    assert auc is not None
    assert auc.within < 2e-4
    assert abs(auc.value - peer.roc_auc_score(truth, found)) <= auc.within


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), WEIGHTS), min_size=1, max_size=60), st.integers(0, 60))
def test_calibration_is_that_of_equal_bins(rows: list[tuple[float, bool, float]], cut: int) -> None:
    found, truth, weights = (np.array(each) for each in zip(*rows, strict=True))
    parts = [calibrated.calibration(found[at], truth[at], weights[at]) for at in (slice(cut), slice(cut, None))]
    whole = sum(parts, calibrated.Calibration())
    bins = np.minimum((found * 10).astype(int), 9)
    expected = sum(abs((weights * (found - truth))[bins == each].sum()) for each in range(10)) / weights.sum()
    assert value(calibrated.calibration_error(whole)) == pytest.approx(expected, abs=EXACT)
    for each in whole.bins:
        inside = bins == each.number
        assert each.score == pytest.approx(np.average(found[inside], weights=weights[inside]))
        assert value(each.share()) == pytest.approx(np.average(truth[inside], weights=weights[inside]))


NUMBER = st.floats(-1e6, 1e6).map(lambda each: round(each, 3))


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBER, NUMBER, WEIGHTS), min_size=1, max_size=60), st.integers(0, 60))
def test_numbers(rows: list[tuple[float, float, float]], cut: int) -> None:
    true, said, weights = (list(each) for each in zip(*rows, strict=True))
    parts = [regression.errors(true[at], said[at], weights[at]) for at in (slice(cut), slice(cut, None))]
    whole = sum(parts, regression.Errors())
    for own, theirs in (
        (regression.rmse, peer.root_mean_squared_error),
        (regression.mae, peer.mean_absolute_error),
        (regression.mape, peer.mean_absolute_percentage_error),
    ):
        assert value(own(whole)) == pytest.approx(theirs(true, said, sample_weight=weights), rel=EXACT, abs=EXACT)
    r2 = regression.r2(whole)
    if r2 is not None and whole.outcome.spread > 1e-6:
        assert value(r2) == pytest.approx(peer.r2_score(true, said, sample_weight=weights), rel=1e-6, abs=1e-6)


def test_nothing_is_lost_where_numbers_are_large_and_close() -> None:
    rng = np.random.default_rng(2)
    true = 1e9 + rng.normal(size=3000)
    said = true + rng.normal(0, 0.5, 3000)
    whole = sum((regression.errors(true[at::7], said[at::7]) for at in range(7)), regression.Errors())
    assert value(regression.r2(whole)) == pytest.approx(peer.r2_score(true, said), abs=1e-6)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.1, 0.2, 0.3, 0.4])), min_size=2, max_size=20), st.data()
)
def test_rankings(rows: list[tuple[int, float]], data: st.DataObject) -> None:
    gain, score = (list(each) for each in zip(*rows, strict=True))
    k = data.draw(st.one_of(st.none(), st.integers(1, len(rows))))
    found = ranking.ndcg(gain, score, k)
    if found is None:
        assert not any(gain)
    else:
        assert found == pytest.approx(peer.ndcg_score([gain], [score], k=k), abs=EXACT)


def test_a_reciprocal_rank() -> None:
    assert ranking.reciprocal_rank([0, 1, 0], [0.9, 0.8, 0.7]) == 1 / 2
    assert ranking.reciprocal_rank([1, 0, 0], [0.5, 0.5, 0.5]) == 1 / 3, "a constant score gains nothing"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: scores.scores([0.5, 1.5], [True, False]), "no probabilities"),
        (lambda: scores.scores([0.5, np.nan], [True, False]), "1 of 2 are NaN"),
        (lambda: scores.scores([0.5], [True, False]), "do not belong together"),
        (lambda: table.confusion(["a"], ["a"], [-1.0]), "below 0"),
        (lambda: table.confusion(["a"], ["a"], [1.0, 1.0]), "2 for 1 rows"),
        (lambda: table.confusion(np.arange(1200), np.arange(1200)), "is it a number"),
        (lambda: table.confusion(["a", "b"], ["a", "b"], [1e-300, 1.0]), "neither 0 nor from 1e-100"),
        (lambda: table.confusion(["a"], ["a"], [1e300]), "neither 0 nor from 1e-100"),
        (lambda: calibrated.calibration([-0.5], [True]), "no probabilities"),
        (lambda: scores.scores([0.5, 0.2], ["0", "1"]), "truths are needed"),
        (lambda: scores.scores([0.5, 0.2], [np.nan, 1]), "truths are needed"),
        (lambda: calibrated.calibration([0.5, 0.2], [2, 1]), "truths are needed"),
        (lambda: moments([1e200, -1e200]), "too large"),
        (lambda: regression.errors([1e200, 0], [0, 0]), "infinite|too large"),
        (lambda: regression.errors([np.inf], [1.0]), "infinite"),
        (lambda: moments([[1.0]]), "2 axes"),
        (lambda: ranking.ndcg([-1, 2], [1, 2]), "below 0"),
    ],
)
def test_what_makes_no_statistic_is_told(make: Any, said: str) -> None:
    with pytest.raises(QualityError, match=said):
        make()


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBER, WEIGHTS), min_size=1, max_size=40), st.integers(0, 40))
def test_moments_merge_exactly(rows: list[tuple[float, float]], cut: int) -> None:
    values, weights = (np.array(each) for each in zip(*rows, strict=True))
    whole = moments(values, weights)
    merged = moments(values[:cut], weights[:cut]) + moments(values[cut:], weights[cut:])
    for name in ("rows", "weight", "squares"):
        assert getattr(merged, name) == pytest.approx(getattr(whole, name))
    assert merged.mean == pytest.approx(whole.mean, rel=EXACT, abs=1e-9 * (1 + np.abs(values).max()))
    assert merged.spread == pytest.approx(whole.spread, rel=1e-7, abs=1e-9 * (1 + float((values**2).max())))
    assert (Moments() + whole) == whole


def test_equal_weights_are_as_sure_as_none_and_unequal_ones_less() -> None:
    plain, tripled = moments([1.0, 2.0, 4.0]), moments([1.0, 2.0, 4.0], [3.0, 3.0, 3.0])
    assert plain.size == tripled.size == 3
    assert plain.variance_of_mean == pytest.approx(tripled.variance_of_mean)
    assert moments([1.0, 2.0, 4.0], [1.0, 1.0, 10.0]).size < 2


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Each about a truth that is known, over 400 samples: 95 % is 380, and below 360 is no chance (p < 1e-5)."""
    rng = np.random.default_rng(3)
    held = {"accuracy": 0, "f1": 0, "auc": 0, "rmse": 0, "macro": 0, "ap": 0}
    big = rng.uniform(size=400_000) < 0.3
    shown = 1 / (1 + np.exp(-(rng.normal(size=big.size) + 1.2 * big - 1)))
    truth = {
        "auc": peer.roc_auc_score(big, shown),
        "ap": peer.average_precision_score(big, shown),
        "accuracy": 0.8,
        "f1": 2 * 0.24 / (0.3 + 0.24 + 0.14),
        "macro": (0.24 / 0.3 + 0.56 / 0.7) / 2,
        "rmse": 2.0,
    }
    for _ in range(400):
        label = rng.uniform(size=300) < 0.3
        said = np.where(rng.uniform(size=300) < 0.8, label, ~label)
        counts = table.confusion(label, said)
        score = 1 / (1 + np.exp(-(rng.normal(size=300) + 1.2 * label - 1)))
        cells = scores.scores(score, label)
        outcome = rng.normal(size=300)
        found = {
            "accuracy": table.accuracy(counts),
            "f1": table.f1(counts, "True"),
            "macro": table.macro_recall(counts),
            "auc": scores.roc_auc(cells),
            "ap": scores.average_precision(cells),
            "rmse": regression.rmse(regression.errors(outcome, outcome + rng.normal(0, 2, 300))),
        }
        for name, each in found.items():
            assert each is not None
            assert each.low is not None
            assert each.high is not None
            held[name] += each.low <= truth[name] <= each.high
    assert min(held.values()) >= 360, held


def test_wilson_at_the_ends() -> None:
    assert wilson(0.0, 10)[0] == 0.0
    assert wilson(1.0, 10)[1] == 1.0
    assert wilson(0.0, 10)[1] == pytest.approx(0.2775, abs=1e-4)
    assert wilson(0.5, 0) == (0.0, 1.0)


def test_cells_are_stored_and_read_and_damage_is_told() -> None:
    table = scores.scores([0.1, 0.1, 0.9], [True, False, True])
    again = scores.load(json.loads(json.dumps(scores.dump(table))))
    assert scores.dump(again) == scores.dump(table)
    for damage in ({}, {**scores.dump(table), "low": [1.0]}, {**scores.dump(table), "low": ["x", 1, 2]}):
        with pytest.raises(QualityError, match="can't be read"):
            scores.load(damage)
