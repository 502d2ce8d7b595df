"""Steps inside of a model: rows are made at the numbers where they decide, or the original is served, and says why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, MinMaxScaler, QuantileTransformer, StandardScaler
from sklearn.svm import OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from modelward_inference import runtimes
from modelward_inference.compile import convert, timing
from modelward_inference.compile.build import Built, Known, build
from modelward_inference.parity import adversarial, points, stages
from modelward_inference.runtimes.base import Model
from modelward_inference.runtimes.estimators import thresholds
from modelward_inference.runtimes.estimators.estimator import EstimatorModel

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(12)
COUNT = 120
TABLE = np.round(RNG.normal(size=(COUNT, 3)), 1)
LABELS = (TABLE[:, 0] + TABLE[:, 1] ** 2 > 0.5).astype(int)
VALUES = TABLE[:, 0] * 2 + np.sin(3 * TABLE[:, 1])


def forest() -> Any:
    return RandomForestClassifier(3, max_depth=4, random_state=0)


def isotonic() -> Any:
    return CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2)


UNLIKE: dict[str, tuple[Callable[[], Any], str]] = {
    "a threshold of its own": (
        lambda: TunedThresholdClassifierCV(GaussianNB(), cv=2, thresholds=5), "decides at a threshold of its own",
    ),
    "steps in a vote": (
        lambda: VotingClassifier([("a", isotonic()), ("b", GaussianNB())], voting="soft"), "isotonic calibration",
    ),
    "steps in a stack": (
        lambda: StackingClassifier([("a", isotonic()), ("b", GaussianNB())], GaussianNB(), cv=2), "isotonic",
    ),
    "an outlier's score": (
        lambda: IsolationForest(n_estimators=3, contamination=0.1, random_state=0), "is the very score of rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNLIKE)
def test_what_the_converter_leaves_out_is_not_converted(name: str) -> None:
    made, reason = UNLIKE[name]
    ((way, attempt),) = convert.attempts(EstimatorModel(made().fit(TABLE, LABELS)))
    assert way == "no conversion"
    with pytest.raises(ValueError, match=reason):
        attempt()


def test_each_step_is_found_with_what_stands_before_it() -> None:
    inner = make_pipeline(MinMaxScaler(), forest())
    vote = VotingClassifier([("a", inner), ("b", CalibratedClassifierCV(GaussianNB(), cv=2))])
    model = make_pipeline(StandardScaler(), vote).fit(TABLE, LABELS)
    found = [
        (type(stage.step).__name__, [type(each).__name__ for each in stage.before]) for stage in stages.of(model)
    ]  # fmt: skip
    assert found == [
        ("StandardScaler", []),
        ("VotingClassifier", ["StandardScaler"]),
        ("MinMaxScaler", ["StandardScaler"]),
        ("RandomForestClassifier", ["StandardScaler", "MinMaxScaler"]),
        ("CalibratedClassifierCV", ["StandardScaler"]),
        ("GaussianNB", ["StandardScaler"]),
        ("GaussianNB", ["StandardScaler"]),
    ]
    behind_columns = make_pipeline(ColumnTransformer([("n", StandardScaler(), [0, 1])]), GaussianNB())
    assert list(stages.of(behind_columns.fit(TABLE, LABELS))) == []


FORESTS: dict[str, Callable[[], Any]] = {
    "behind a scaler": lambda: make_pipeline(StandardScaler(), forest()),
    "in a vote": lambda: VotingClassifier([("a", GaussianNB()), ("b", make_pipeline(StandardScaler(), forest()))]),
    "in a calibration": lambda: CalibratedClassifierCV(forest(), cv=2),
    "in a stack": lambda: StackingClassifier([("a", forest()), ("b", GaussianNB())], GaussianNB(), cv=2),
}


@pytest.mark.parametrize("name", FORESTS)
def test_rows_lie_on_both_sides_of_the_thresholds_of_inner_trees(name: str) -> None:
    model = FORESTS[name]().fit(TABLE, LABELS)
    made = stages.make(model, TABLE)
    assert 0 < len(made) <= stages.MOST
    (found, *_) = [each for each in stages.of(model) if isinstance(each.step, RandomForestClassifier)]
    given = made
    for step in found.before:
        given = step.transform(given)
    for place, cuts in thresholds.of(found.step).items():
        single = cuts.astype(np.float32)
        column = given[:, place].astype(np.float32)
        for beside in (np.nextafter(single, np.float32(9)), np.nextafter(single, np.float32(-9))):
            assert np.isin(column, beside).any()


ALONE: dict[str, Callable[[], Any]] = {
    "a search": lambda: GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [3]}, cv=2),
    "a pipeline of one step": lambda: make_pipeline(DecisionTreeClassifier(max_depth=3)),
    "trees of some columns": lambda: BaggingClassifier(
        DecisionTreeClassifier(max_depth=3), 4, max_features=2, random_state=0
    ),
}


@pytest.mark.parametrize("name", ALONE)
def test_so_they_do_where_the_trees_are_the_model(name: str) -> None:
    model = ALONE[name]().fit(TABLE, LABELS)
    made = np.stack([row["input"] for _, row in adversarial._beside(model, {"input": TABLE})])
    inner = getattr(model, "best_estimator_", model)
    trees = inner.estimators_ if hasattr(inner, "estimators_") else [getattr(inner, "steps", [("", inner)])[0][1]]
    drawn = getattr(inner, "estimators_features_", [np.arange(3)])
    tried = 0
    for tree, places in zip(trees, drawn, strict=True):
        for feature, cut in zip(tree.tree_.feature, tree.tree_.threshold, strict=True):
            if feature >= 0:
                column = made[:, places[feature]].astype(np.float32)
                tried += bool(np.isin(column, np.float32(cut)).any())
    assert tried > 2


DECIDING: dict[str, tuple[Callable[[], Any], float]] = {
    "truths of numbers": (lambda: BernoulliNB(binarize=0.3), 0.3),
    "a number for missing": (lambda: SimpleImputer(missing_values=-999), -999),
    "the end of a range": (lambda: MinMaxScaler(clip=True), float(TABLE[:, 0].max())),
    "quantiles": (lambda: QuantileTransformer(n_quantiles=5), float(np.median(TABLE[:, 0]))),
}


@pytest.mark.parametrize("name", DECIDING)
def test_numbers_at_which_a_step_decides_are_asked(name: str) -> None:
    made, number = DECIDING[name]
    model = make_pipeline(made().fit(TABLE, LABELS))
    assert number in [value for place, values in points.of(model) if place == 0 for value in values]
    asked = [row["input"][0] for change, row in adversarial._decisive(model, {"input": TABLE}, 0) if not change.column]
    assert {number, np.nextafter(number, 9e9), np.nextafter(number, -9e9)} <= set(asked)


@pytest.mark.parametrize("step", [Binarizer(threshold=0.4), KBinsDiscretizer(3, encode="ordinal"), BernoulliNB()])
def test_so_they_are_behind_another_step(step: Any) -> None:
    model = make_pipeline(StandardScaler(), step).fit(TABLE, LABELS)
    given = model[0].transform(stages.make(model, TABLE))
    for place, numbers in points.of_step(model[1], 3):
        for number in numbers[1:-1] or numbers:  # the outermost edges of bins decide nothing
            beside = np.abs(given[:, place] - number) < 1e-9
            assert (given[beside, place] < number).any()
            assert (given[beside, place] > number).any()


def test_rows_that_a_step_holds_are_asked_as_they_are() -> None:
    model = make_pipeline(StandardScaler(), OneClassSVM(nu=0.3)).fit(TABLE)
    given = model[0].transform(stages.make(model, TABLE))
    gaps = np.abs(given[:, None] - model[1].support_vectors_[None]).max(axis=2).min(axis=0)
    assert (gaps < 1e-9).sum() >= stages.KEPT // 2


class Odd:
    """A first step that can't be asked."""

    n_features_in_ = 3

    def transform(self, _: Any) -> Any:
        raise RuntimeError("no")


def test_a_step_that_fails_costs_the_others_nothing() -> None:
    model = make_pipeline(StandardScaler(), forest()).fit(TABLE, LABELS)
    model.steps.append(("odd", Odd()))
    model.steps.append(("last", GaussianNB().fit(TABLE, LABELS)))
    assert len(stages.make(model, TABLE))
    wider = make_pipeline(QuantileTransformer(n_quantiles=5), KBinsDiscretizer(3), LinearRegression())
    assert stages.make(wider.fit(TABLE, VALUES), TABLE).shape[1] == 3, "what is behind them takes more columns"


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], tuple[Built, Model]]:
    """What is served of a model, whatever is faster."""
    monkeypatch.setattr(timing, "measure", lambda *_: {"1": 1.0, "1000": 1.0})

    def start(model: Any) -> tuple[Built, Model]:
        source, folder = tmp_path / "source", tmp_path / "bundle"
        source.mkdir()
        folder.mkdir()
        joblib.dump(model, source / "model.joblib")
        built = build(source, folder, "sklearn", Known(), "Auto")
        return built, runtimes.load(built.format, (folder if built.format == "onnx" else source) / built.file)

    return start


def test_a_forest_in_a_stack_decides_beside_its_thresholds_as_the_original(serve: Any) -> None:
    """In double precision its converted trees compare what the library rounds to single precision before."""
    model = StackingClassifier([("forest", forest()), ("bayes", GaussianNB())], cv=2).fit(TABLE, LABELS)
    _, served = serve(model)
    rows: list[Any] = []
    for place, cuts in thresholds.of(model.estimators_[0]).items():
        single = cuts.astype(np.float32).astype(float)
        for value in (*single * (1 + 2e-8), *single * (1 - 2e-8), *np.round(cuts, 2)):
            rows.append(TABLE[len(rows) % COUNT].copy())
            rows[-1][place] = value
    asked = np.array(rows)
    got = served.predict({"input": asked}, ["predict_proba"])["predict_proba"]
    np.testing.assert_allclose(got, model.predict_proba(asked), atol=1e-4)


def test_a_number_that_stands_for_missing_is_compiled_as_it_is(serve: Any) -> None:
    gaps = np.where(RNG.random(TABLE.shape) < 0.2, -999, TABLE)
    model = make_pipeline(SimpleImputer(missing_values=-999), LinearRegression()).fit(gaps, VALUES)
    built, served = serve(model)
    assert built.format == "onnx", built.compilation
    beside = np.array([[-999, 1, 1], [np.nextafter(-999, 0), 1, 1], [-998.9999999, 0, -999]])
    for rows in (gaps, beside):
        got = served.predict({"input": rows}, ["predict"])["predict"]
        np.testing.assert_allclose(got.ravel(), model.predict(rows), rtol=1e-6)


@pytest.mark.parametrize("centres", [[[0, 0], [2, 2]], [[0, 1], [4, 1], [0, 5]]])
def test_rows_as_far_from_two_centres_go_to_the_librarys(serve: Any, centres: Any) -> None:
    model = KMeans(len(centres), init=np.array(centres, float), n_init=1).fit(np.array(centres * 5, float))
    built, served = serve(model)
    assert built.format == "onnx", built.compilation
    grid = np.stack(np.meshgrid(np.arange(-1, 6, 0.5), np.arange(-1, 6, 0.5)), -1).reshape(-1, 2)
    np.testing.assert_array_equal(served.predict({"input": grid}, ["predict"])["predict"].ravel(), model.predict(grid))
