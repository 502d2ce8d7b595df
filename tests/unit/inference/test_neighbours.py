"""Nearest neighbours: no compiled form where it is the library's own affair which of several at one distance count."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.impute import KNNImputer
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelward_inference.compile import convert
from modelward_inference.runtimes.estimator import EstimatorModel

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(77_123)
COUNT = 120
LABELS = RNG.integers(0, 3, COUNT)
WHOLE = RNG.integers(0, 20, (COUNT, 1)).astype(float)
SMOOTH = RNG.normal(size=(COUNT, 2))

TIED: dict[str, Callable[[], Any]] = {
    "classes": lambda: KNeighborsClassifier().fit(WHOLE, LABELS),
    "numbers": lambda: KNeighborsRegressor(1, algorithm="brute").fit(WHOLE, LABELS),
    "two outputs": lambda: KNeighborsRegressor().fit(WHOLE, np.column_stack([LABELS, LABELS])),
    "all different": lambda: KNeighborsClassifier().fit(np.arange(COUNT)[:, None] * 0.1, LABELS),
    "scaled": lambda: make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(WHOLE, LABELS),
    "inside of another": lambda: CalibratedClassifierCV(KNeighborsClassifier(), cv=2).fit(WHOLE, LABELS),
    "gaps": lambda: make_pipeline(KNNImputer(), LinearRegression()).fit(
        np.column_stack([WHOLE, np.where(LABELS == 0, np.nan, LABELS)]), LABELS
    ),
    "by distance": lambda: KNeighborsClassifier(weights="distance").fit(SMOOTH, LABELS),
}


def refused(model: Any) -> str:
    """Why it has no compiled form."""
    ways = list(convert.attempts(EstimatorModel(model)))
    if [name for name, _ in ways] != ["no conversion"]:
        return ""
    with pytest.raises(ValueError, match=r"library's own|divides by") as caught:
        ways[0][1]()
    return str(caught.value)


@pytest.mark.parametrize("name", TIED)
def test_ties_are_the_librarys(name: str) -> None:
    assert refused(TIED[name]())


@pytest.mark.parametrize("copies", [1, 4])
def test_neighbours_without_ties_are_compiled(copies: int) -> None:
    """Rows that are there several times with the same outcome leave nothing to choose."""
    rows, labels = np.tile(SMOOTH, (copies, 1)), np.tile(LABELS, copies)
    assert not refused(KNeighborsClassifier(3).fit(rows, labels))
    assert not refused(KNeighborsRegressor(3).fit(rows, labels))
    assert not refused(make_pipeline(KNNImputer(), LinearRegression()).fit(rows, labels))
