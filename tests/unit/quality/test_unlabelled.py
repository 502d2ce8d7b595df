"""Values without outcomes: those of NannyML, near the truth where only the inputs change, and absent without a base."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from modelward_quality.confusion import confusion
from modelward_quality.difference import difference
from modelward_quality.estimate import Estimate, estimate
from modelward_quality.scores import cells_of, scores
from modelward_quality.statistics import Statistics, values
from modelward_quality.unlabelled import Waiting, calibrated, estimates

Rows = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

NANNYML = {
    "accuracy": 0.714369, "precision": 0.66581, "recall": 0.897069, "f1": 0.76433, "rocAuc": 0.830264,
    "averagePrecision": 0.846534,
}  # fmt: skip
"""By NannyML 0.13.1 (CBPE, one chunk) for `both()`: fitted to the first rows, of the scores of the second."""


def rows(random: np.random.Generator, number: int, mean: float) -> Rows:
    """Outcomes, and scores that are too sure of themselves."""
    signal = random.normal(mean, 1, number)
    truth = random.uniform(size=number) < 1 / (1 + np.exp(-(1.5 * signal - 1)))
    return truth, 1 / (1 + np.exp(-(2.5 * signal - 0.5)))


def known(truth: Any, score: Any) -> Statistics:
    return Statistics(confusion=confusion(truth.astype(int), (score >= 0.5).astype(int)), scores=scores(score, truth))


def waiting(score: Any, weights: Any = None) -> Waiting:
    weight = np.ones(len(score)) if weights is None else np.asarray(weights, np.float64)
    cell, place = np.unique(cells_of(np.asarray(score)), return_inverse=True)
    low, high = np.full(cell.size, np.inf), np.full(cell.size, -np.inf)
    np.minimum.at(low, place, score)
    np.maximum.at(high, place, score)
    sums = [np.bincount(place, each, cell.size) for each in (weight, weight**2, weight * (np.asarray(score) >= 0.5))]
    return Waiting(cell, np.bincount(place, minlength=cell.size), low, high, *sums)


def both(seed: int = 12) -> tuple[Rows, Rows]:
    random = np.random.default_rng(seed)
    return rows(random, 6000, 0.0), rows(random, 3000, 0.7)


def test_numbers_of_nannyml() -> None:
    reference, (_, score) = both()
    found = estimates(known(*reference), waiting(score), "1")
    assert {name: found[name].value for name in NANNYML} == pytest.approx(NANNYML, abs=0.001)


def test_the_truth_is_within_the_band_as_often_as_it_says() -> None:
    """Where only the inputs change: 300 bands of 95 %."""
    names, within = ("accuracy", "rocAuc", "f1"), 0
    for seed in range(100):
        reference, (truth, score) = both(seed)
        found = estimates(known(*reference), waiting(score), "1")
        real = values(known(truth, score), "1")
        within += sum((found[name].low or 0) <= real[name].value <= (found[name].high or 0) for name in names)
    assert within >= 278


def test_calibration_is_scikit_learns_isotonic_regression_of_cells() -> None:
    (truth, score), (_, other) = both()
    weights = np.random.default_rng(1).uniform(0.5, 2, len(score))
    table, asked = scores(score, truth, weights), waiting(other)
    mass = table.positive + table.negative
    peer = IsotonicRegression(out_of_bounds="clip")
    peer.fit((table.low + table.high) / 2, table.positive / mass, sample_weight=mass)
    share, rarer = calibrated(table, asked)
    assert rarer > 1, "there are more high scores than before"
    assert share == pytest.approx(peer.predict((asked.low + asked.high) / 2), abs=1e-9)


def test_more_rows_of_those_that_are_unsure_are_seen_and_other_outcomes_are_not() -> None:
    (truth, score), _ = both()
    base = values(known(truth, score), "1")["accuracy"].value
    unsure = score[np.abs(score - 0.5) < 0.2]
    assert estimates(known(truth, score), waiting(unsure), "1")["accuracy"].value < base - 0.1
    assert estimates(known(truth, score), waiting(score), "1")["accuracy"].value == pytest.approx(base, abs=0.005)


def test_several_labels_are_the_positive_one_and_any_other() -> None:
    (truth, score), (_, other) = both()
    label = np.where(score >= 0.5, "x", np.where(score < 0.2, "y", "z"))
    table = confusion(np.where(truth, "x", "y"), label)
    found = estimates(Statistics(confusion=table, scores=scores(score, truth)), waiting(other), "x")
    assert found == estimates(replace(known(truth, score)), waiting(other), "1")


def test_heavier_rows_count_more_and_unequal_weights_are_less_sure() -> None:
    reference, (_, score) = both()
    twice = estimates(known(*reference), waiting(np.concatenate([score, score[:500]])), "1")
    weights = np.ones(len(score))
    weights[:500] = 2
    found = estimates(known(*reference), waiting(score, weights), "1")
    assert found["accuracy"].value == pytest.approx(twice["accuracy"].value)
    assert found["accuracy"].high - found["accuracy"].low > twice["accuracy"].high - twice["accuracy"].low  # type: ignore[operator]


@pytest.mark.parametrize("case", ["no scores", "no confusion", "one class", "nothing waits"])
def test_without_a_base_nothing_is_said(case: str) -> None:
    (truth, score), (_, other) = both()
    base = known(truth, score)
    if case == "no scores":
        base = replace(base, scores=None)
    if case == "no confusion":
        base = replace(base, confusion=None)
    if case == "one class":
        base = known(np.ones_like(truth), score)
    assert estimates(base, waiting(other[:0] if case == "nothing waits" else other), "1") == {}


def test_a_difference_has_the_chance_of_both() -> None:
    one, other = estimate(0.9, (0.87, 0.92), 500), estimate(0.8, (0.76, 0.85), 400, 0.01)
    found = difference(one, other)
    assert found == Estimate(
        pytest.approx(0.1), pytest.approx(0.1 - np.hypot(0.03, 0.05)), pytest.approx(0.1 + np.hypot(0.02, 0.04)),
        900, 0.01,
    )  # fmt: skip
    assert difference(one, estimate(0.8, None, 400)).low is None
    assert difference(one, one).value == 0
