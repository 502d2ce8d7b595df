"""A model that answers labels alone is compiled where its scores are the library's own, too."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from skl2onnx.common import _registration
from skl2onnx.operator_converters import tfidf_transformer
from sklearn.cluster import Birch, KMeans, MiniBatchKMeans
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import (
    LogisticRegression,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
    SGDOneClassSVM,
)  # fmt: skip
from sklearn.multiclass import OneVsOneClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from modelward_inference.artifact.bundle import Manifest
from modelward_inference.compile import converters, scores, timing
from modelward_inference.parity.golden import GENERATED, SCORES, SHOWN, SQUARES, GoldenRows
from modelward_inference.runtimes.estimators.estimator import EstimatorModel

from .test_compile import Volume, pickled

WORDS = ["good", "bad", "film", "plot", "a", "great", "café", "not"]


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    monkeypatch.setattr(timing, "BUDGET", 0.0)  # which form is faster is no matter here
    return Volume(tmp_path, monkeypatch)


def reason(manifest: Manifest) -> str:
    assert manifest.compilation is not None
    return manifest.compilation.reason


def numbers(classes: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(200, 4))
    place = table @ [1.0, -2.0, 0.5, 0.0] + 0.3 * rng.normal(size=200)
    return table, np.searchsorted(np.quantile(place, np.linspace(0, 1, classes + 1)[1:-1]), place)


def texts(count: int = 120, longest: int = 7) -> Any:
    rng = np.random.default_rng(5)
    return np.array([" ".join(rng.choice(WORDS, size=rng.integers(1, longest))) for _ in range(count)], object)


LINEAR = {
    "LinearSVC": LinearSVC(), "RidgeClassifier": RidgeClassifier(), "RidgeClassifierCV": RidgeClassifierCV(),
    "SGDClassifier": SGDClassifier(random_state=0), "Perceptron": Perceptron(random_state=0), "SVC": SVC(),
    "OneVsOneClassifier": OneVsOneClassifier(LinearSVC()), "SGDOneClassSVM": SGDOneClassSVM(random_state=0),
    "KMeans": KMeans(3, n_init=1, random_state=0), "MiniBatchKMeans": MiniBatchKMeans(3, n_init=1, random_state=0),
}  # fmt: skip


@pytest.mark.parametrize("scaled", [False, True], ids=["alone", "scaled"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", LINEAR)
def test_its_compiled_form_serves_the_labels_and_nothing_else(
    name: str, classes: int, scaled: bool, volume: Volume
) -> None:
    table, labels = numbers(classes)
    model = make_pipeline(StandardScaler(), LINEAR[name]) if scaled else LINEAR[name]
    model.fit(table, labels)

    manifest, found = volume.fetch("m.joblib", pickled(model))

    assert manifest.format == "onnx", reason(manifest)
    assert [tensor.name for tensor in found.signature.outputs] == ["predict"]
    assert SHOWN.encode() not in (volume.bundle / manifest.file).read_bytes()
    asked = np.vstack([table, 10 * table, np.zeros((1, 4))])
    np.testing.assert_array_equal(found.predict({"input": asked}, ["predict"])["predict"], model.predict(asked))


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 2], ["no", "yes"], [1.0, 2.0], [False, True]], ids=str)
@pytest.mark.parametrize("vectorizer", [
    TfidfVectorizer(sublinear_tf=True), TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
    TfidfVectorizer(sublinear_tf=True, norm=None, use_idf=False), TfidfVectorizer(sublinear_tf=True, norm="l1"),
], ids=["plain", "pairs", "bare", "l1"])  # fmt: skip
def test_words_that_are_repeated_weigh_what_they_did_at_training(
    vectorizer: Any, labels: list[Any], volume: Volume
) -> None:
    rows = texts()
    wanted = np.array(labels)[np.random.default_rng(6).integers(len(labels), size=len(rows))]
    model = make_pipeline(vectorizer, RidgeClassifier()).fit(rows, wanted)

    manifest, found = volume.fetch("m.joblib", pickled(model))

    assert manifest.format == "onnx", reason(manifest)
    asked = np.concatenate([texts(400, 14), np.array(["", "good " * 50, "good good bad bad bad"], object)])
    got = found.predict({manifest.signature.inputs[0].name: asked}, ["predict"])["predict"]
    assert got.tolist() == model.predict(asked).tolist()


@pytest.mark.parametrize("step", [
    TfidfVectorizer(sublinear_tf=True), make_pipeline(CountVectorizer(), TfidfTransformer(sublinear_tf=True)),
], ids=["vectorizer", "transformer"])  # fmt: skip
def test_sublinear_term_frequencies_are_scikit_learns(step: Any, volume: Volume) -> None:
    step.fit(texts())
    manifest, found = volume.fetch("m.joblib", pickled(step))
    assert manifest.format == "onnx", reason(manifest)
    asked = np.array(["good good good bad", "film", "", "unknown words"], object)
    got = found.predict({manifest.signature.inputs[0].name: asked}, ["transform"])["transform"]
    np.testing.assert_allclose(got, step.transform(asked).toarray(), rtol=1e-6)


def test_a_formula_that_is_wrong_shows_in_the_scores_where_no_label_shows_it(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    converters.register()
    known = _registration.get_converter("SklearnTfidfTransformer")
    monkeypatch.setattr(known, "_fct", tfidf_transformer.convert_sklearn_tfidf_transformer)
    rows = texts()
    labels = np.random.default_rng(1).integers(2, size=len(rows))
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), RidgeClassifier()).fit(rows, labels)
    manifest, _ = volume.fetch("m.joblib", pickled(model))
    assert manifest.format == "sklearn"
    assert SCORES in reason(manifest)


OTHERS = {
    "clusters of a tree": Birch(n_clusters=3),
    "votes": VotingClassifier([("a", LinearSVC()), ("b", RidgeClassifier())]),
    "several targets": MultiOutputClassifier(DecisionTreeClassifier(max_depth=3)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_original_is_served_where_nothing_proves_the_labels(name: str, volume: Volume) -> None:
    table, labels = numbers(3)
    model = OTHERS[name]
    model.fit(table, np.column_stack([labels, labels > 0]) if "targets" in name else labels)
    manifest, found = volume.fetch("m.joblib", pickled(model))
    assert manifest.format == "sklearn", reason(manifest)
    np.testing.assert_array_equal(found.predict({"input": table}, ["predict"])["predict"], model.predict(table))


@pytest.mark.parametrize("objective", ["multi:softmax", "binary:hinge"])
def test_a_booster_of_labels_is_served_as_it_is(objective: str, volume: Volume) -> None:
    classes = 3 if "multi" in objective else 2
    table, labels = numbers(classes)
    several = {"num_class": classes} if "multi" in objective else {}
    booster = xgboost.train({"objective": objective, **several}, xgboost.DMatrix(table, labels), 5)
    manifest, found = volume.fetch("m.ubj", bytes(booster.save_raw("ubj")))
    assert manifest.format == "xgboost"
    assert "labels alone" in reason(manifest)
    got = found.predict({"input": table.astype(np.float32)}, ["predict"])["predict"]
    np.testing.assert_array_equal(got, booster.predict(xgboost.DMatrix(table)))


def test_a_model_with_probabilities_or_numbers_shows_no_scores() -> None:
    table, labels = numbers(2)
    rows = GoldenRows({"input": table}, {}, GENERATED)
    for model in (LogisticRegression(), KMeans(2, n_init=1)):
        fitted = EstimatorModel(model.fit(table, labels))
        names = [tensor.name for tensor in scores.shown(fitted, rows).signature.outputs]
        assert (SQUARES in names) == isinstance(model, KMeans)
