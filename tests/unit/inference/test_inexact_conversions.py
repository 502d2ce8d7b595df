"""Where converters are inexact in a way that few rows show: the converted form is made right, or is not served."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from xgboost import XGBClassifier

from .test_compile import Volume, pickled

pytestmark = pytest.mark.unit


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(tmp_path, monkeypatch)


SOME = ["good", "bad", "film", "plot", "great", "dull"]


@pytest.mark.parametrize("words", [CountVectorizer(), TfidfVectorizer()], ids=["counts", "TF-IDF"])
def test_what_a_sparse_row_leaves_out_is_missing_to_xgboost_and_no_zero(volume: Volume, words: Any) -> None:
    rng = np.random.default_rng(7)
    texts = [" ".join(rng.choice(SOME, size=3)) for _ in range(240)]
    table = pd.DataFrame({"note": texts, "age": rng.normal(40, 9, 240), "paid": np.exp(rng.normal(8, 1, 240))})
    steps = ColumnTransformer([("t", words, "note"), ("n", "passthrough", ["age", "paid"])], sparse_threshold=1.0)
    table.loc[::3, "paid"] = 0.0  # to it the same as very much
    labels = (table.paid == 0) | (table.age + table.paid / 1000 + rng.normal(0, 3, 240) > 44)
    model = make_pipeline(steps, XGBClassifier(n_estimators=10)).fit(table, labels)
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert manifest.compilation is not None
    if isinstance(words, TfidfVectorizer):
        assert "rounds TF-IDF to single precision" in (manifest.compilation.fallback or "")
    else:
        assert manifest.compilation.form == "compiled", manifest.compilation
    zeros = table.assign(age=0.0)
    for asked in (table, zeros):
        tensors = {name: asked[[name]].to_numpy() for name in table}
        tensors = {each.name: tensors[each.name] for each in manifest.signature.inputs}
        got = served.predict(tensors, ["predict_proba"])["predict_proba"]
        np.testing.assert_allclose(got, model.predict_proba(asked), atol=1e-5)


def test_an_isotonic_calibration_is_served_by_the_original(volume: Volume) -> None:
    rng = np.random.default_rng(7)
    table = np.column_stack([rng.normal(40, 9, 240), np.exp(rng.normal(8, 1, 240))])
    labels = table[:, 0] + table[:, 1] / 1000 + rng.normal(0, 3, 240) > 44
    model = CalibratedClassifierCV(LinearSVC(), method="isotonic", cv=3).fit(table[:120], labels[:120])
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert manifest.compilation is not None
    assert manifest.compilation.fallback is not None
    assert "an isotonic calibration interpolates" in manifest.compilation.fallback
    got = served.predict({"input": table}, ["predict_proba"])["predict_proba"]
    np.testing.assert_allclose(got, model.predict_proba(table), atol=1e-6)


STOPPED = ["the", "not"]
STOPPING: dict[str, tuple[Any, bool]] = {
    "words": (CountVectorizer(stop_words=STOPPED), True),
    "pairs": (TfidfVectorizer(stop_words=STOPPED, ngram_range=(1, 2)), False),
    "pairs alone": (CountVectorizer(stop_words=STOPPED, ngram_range=(2, 2)), False),
    "of a language": (TfidfVectorizer(stop_words="english", ngram_range=(1, 2)), False),
    "a vocabulary that holds one": (CountVectorizer(stop_words=STOPPED, vocabulary=["good", "not"]), False),
    "letters": (TfidfVectorizer(stop_words=STOPPED, analyzer="char", ngram_range=(1, 2)), False),
}


@pytest.mark.filterwarnings("ignore:The parameter 'stop_words' will not be used")
@pytest.mark.parametrize("name", STOPPING)
def test_the_words_beside_a_stop_word_are_a_pair(volume: Volume, name: str) -> None:
    """No text that is made of the words of a vocabulary holds a stop word."""
    words, compiles = STOPPING[name]
    rng = np.random.default_rng(7)
    texts = np.array([" ".join(rng.choice([*SOME, *STOPPED], size=rng.integers(2, 8))) for _ in range(120)], object)
    model = make_pipeline(words, Ridge()).fit(texts, [len(each) for each in texts])
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert manifest.compilation is not None
    assert (manifest.compilation.fallback is None) == compiles, manifest.compilation
    got = served.predict({"input": texts}, ["predict"])["predict"]
    np.testing.assert_allclose(got.ravel(), model.predict(texts), rtol=1e-5)


@pytest.mark.parametrize("words", [CountVectorizer(), TfidfVectorizer()], ids=["counts", "TF-IDF"])
def test_a_text_that_is_a_rare_word_is_no_row_less(volume: Volume, words: Any) -> None:
    """scikit-learn noted the words that it had cut off until 1.6."""
    texts = np.array([f"{first} {second}" for first in SOME for second in SOME], object)
    model = make_pipeline(words, Ridge()).fit(texts, [len(each) for each in texts])
    words.stop_words_ = {"seldom", "rare"}
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert manifest.compilation is not None
    assert manifest.compilation.fallback is None
    asked = np.array(["good film", "seldom", "rare", "bad plot", "Seldom"], object)
    got = served.predict({"input": asked}, ["predict"])["predict"]
    np.testing.assert_allclose(got.ravel(), model.predict(asked), rtol=1e-5)


def huber() -> Any:
    return SGDClassifier(loss="modified_huber", random_state=0)


def logistic() -> Any:
    return SGDClassifier(loss="log_loss", random_state=0)


SATURATED: dict[str, tuple[Any, str]] = {
    "logistic": (OneVsRestClassifier(LogisticRegression()), ""),
    "descent": (logistic(), ""),
    "shares of tiny ones": (OneVsRestClassifier(logistic()), "shares of probabilities"),
    "vectors": (OneVsRestClassifier(SVC()), ""),
    "other scores": (OneVsRestClassifier(SVC(probability=True, random_state=0)), "class of the largest score"),
    "no other scores": (OneVsRestClassifier(GaussianNB()), ""),
    "a stack": (StackingClassifier([("a", GaussianNB())], huber(), cv=2), "largest score of its SGDClassifier"),
}


@pytest.mark.filterwarnings("ignore:The `probability` parameter")
@pytest.mark.parametrize("labels", [[3, 5, 9], ["a", "b", "c"]], ids=["numbers", "texts"])
@pytest.mark.parametrize("name", SATURATED)
def test_the_class_of_the_largest_score_is_taken_where_probabilities_are_all_1(
    volume: Volume, name: str, labels: list[Any]
) -> None:
    step, reason = SATURATED[name]
    rng = np.random.default_rng(7)
    table = rng.normal(size=(150, 3))
    place = np.searchsorted([-0.8, 0.8], table @ [1.0, 1.0, -0.5])
    model = make_pipeline(StandardScaler(), step).fit(table, np.array(labels)[place])
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert manifest.compilation is not None
    assert reason in (manifest.compilation.fallback or ""), manifest.compilation
    assert bool(reason) == bool(manifest.compilation.fallback), manifest.compilation
    outputs = [tensor.name for tensor in manifest.signature.outputs]
    for asked in (table, rng.normal(size=(300, 3)) * 40):
        got = served.predict({"input": asked}, outputs)
        np.testing.assert_array_equal(got["predict"], model.predict(asked))
        if "predict_proba" in outputs:
            np.testing.assert_allclose(got["predict_proba"], model.predict_proba(asked), atol=1e-5)


@pytest.mark.parametrize("alpha", [1.0, 1e-8])
def test_a_feature_that_a_class_never_lacks_is_lacked_as_improbably_as_at_training(
    volume: Volume, alpha: float
) -> None:
    rng = np.random.default_rng(7)
    labels = np.repeat([0, 1], 75)
    table = rng.integers(0, 2, (150, 4)).astype(float)
    table[:75, 0] = table[75:, 1] = 1
    model = BernoulliNB(alpha=alpha).fit(table, labels)
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert manifest.compilation is not None
    assert (manifest.compilation.fallback is None) == (alpha == 1), manifest.compilation
    assert alpha == 1 or "in nearly all rows of a class" in (manifest.compilation.fallback or "")
    asked = np.array(np.meshgrid(*[[0.0, 1.0]] * 4)).reshape(4, -1).T
    got = served.predict({"input": asked}, ["predict_proba"])["predict_proba"]
    np.testing.assert_allclose(got, model.predict_proba(asked), atol=1e-6)
