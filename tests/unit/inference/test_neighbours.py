"""Nearest neighbours: no compiled form, as it is the library's own affair which of several at one distance count."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingRegressor
from sklearn.impute import KNNImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NeighborhoodComponentsAnalysis,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelward_inference import runtimes
from modelward_inference.compile import convert
from modelward_inference.compile.build import Known, build
from modelward_inference.runtimes.estimators.estimator import EstimatorModel

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(77_123)
COUNT = 120
LABELS = RNG.integers(0, 3, COUNT)
WHOLE = RNG.integers(0, 20, (COUNT, 1)).astype(float)
SMOOTH = RNG.normal(size=(COUNT, 2))
GAPS = np.where(RNG.random((COUNT, 2)) < 0.2, np.nan, SMOOTH)

NEAR: dict[str, Callable[[], Any]] = {
    "classes": lambda: KNeighborsClassifier().fit(SMOOTH, LABELS),
    "numbers": lambda: KNeighborsRegressor(1, algorithm="brute").fit(WHOLE, LABELS),
    "two outputs": lambda: KNeighborsRegressor().fit(SMOOTH, SMOOTH),
    "by distance": lambda: KNeighborsClassifier(weights="distance").fit(SMOOTH, LABELS),
    "scaled": lambda: make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(SMOOTH, LABELS),
    "inside of another": lambda: CalibratedClassifierCV(KNeighborsClassifier(), cv=2).fit(SMOOTH, LABELS),
    "in a vote": lambda: VotingRegressor([("a", KNeighborsRegressor()), ("b", LinearRegression())]).fit(SMOOTH, LABELS),
    "gaps": lambda: make_pipeline(KNNImputer(), LinearRegression()).fit(GAPS, LABELS),
    "a radius": lambda: RadiusNeighborsRegressor(0.7).fit(SMOOTH, LABELS),
    "a radius around all": lambda: RadiusNeighborsClassifier(1e9, outlier_label=0).fit(SMOOTH, LABELS),
    "outliers": lambda: LocalOutlierFactor(novelty=True).fit(SMOOTH),
    "a graph": lambda: make_pipeline(KNeighborsTransformer(), LogisticRegression()).fit(SMOOTH, LABELS),
}


@pytest.mark.parametrize("name", NEAR)
def test_what_is_near_is_the_librarys(name: str) -> None:
    ((way, attempt),) = convert.attempts(EstimatorModel(NEAR[name]()))
    assert way == "no conversion"
    with pytest.raises(ValueError, match="which of those at the same distance, or at the very radius, count"):
        attempt()


def test_a_projection_that_was_learned_from_neighbours_is_a_projection() -> None:
    model = make_pipeline(NeighborhoodComponentsAnalysis(max_iter=3), LogisticRegression()).fit(SMOOTH, LABELS)
    assert [name for name, _ in convert.attempts(EstimatorModel(model))] != ["no conversion"]


def test_rows_between_those_of_training_are_answered_as_by_the_library(tmp_path: Path) -> None:
    """Where another order of adding would take the other of two."""
    import joblib

    model = KNeighborsRegressor(1).fit(SMOOTH, np.arange(COUNT))
    source, folder = tmp_path / "source", tmp_path / "bundle"
    source.mkdir()
    folder.mkdir()
    joblib.dump(model, source / "model.joblib")
    built = build(source, folder, "sklearn", Known(), "Auto")
    served = runtimes.load(built.format, (folder if built.format == "onnx" else source) / built.file)
    _, places = model.kneighbors(SMOOTH, 4)
    between = np.concatenate([(SMOOTH + SMOOTH[places[:, number]]) / 2 for number in (1, 2, 3)])
    np.testing.assert_array_equal(
        served.predict({"input": between}, ["predict"])["predict"].ravel(), model.predict(between)
    )
