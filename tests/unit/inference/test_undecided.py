"""A formula is proven where a classifier is in doubt, and a class where it is seen."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skl2onnx.common import _registration
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from modelward_inference.compile import converters, scores
from modelward_inference.parity import undecided
from modelward_inference.parity.golden import GENERATED, GoldenRows
from modelward_inference.runtimes.estimators import rows as generated
from modelward_inference.runtimes.estimators.estimator import EstimatorModel

from .test_compile import Volume, pickled
from .test_labels_alone import reason

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(4)
TABLE = np.vstack([RNG.normal(size=(60, 3)) * 50 + 400, RNG.normal(size=(60, 3)) * 50 - 400])
LABELS = np.repeat([0, 1], 60)


def decided() -> Any:
    """Of two heaps that lie far apart."""
    model = LogisticRegression().fit(TABLE, LABELS)
    model.coef_, model.intercept_ = np.array([[-2.0, -3.0, 1.0]]), np.array([5.0])
    return model


def golden(model: Any, inputs: dict[str, Any] | None = None) -> tuple[EstimatorModel, GoldenRows]:
    loaded = EstimatorModel(model)
    given = inputs or generated.generate(model, loaded.signature.inputs)
    return loaded, GoldenRows(given, loaded.predict(given, ["predict", "predict_proba"]), GENERATED)


def long_texts() -> dict[str, Any]:
    """As they are saved with a bundle: of the words of one class, a hundred of them."""
    return {"input": np.array([" ".join(["good", "great"][: 1 + row % 2] * 100) if row % 3 else
                               " ".join(["bad", "dull"] * 100) for row in range(12)], object)}  # fmt: skip


CASES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "linear": (decided, {"input": TABLE[::10]}),
    "Bayes": (lambda: GaussianNB().fit(TABLE, LABELS), {"input": TABLE[::10]}),
    "three classes": (lambda: GaussianNB().fit(TABLE, LABELS + (TABLE[:, 1] > 430)), {"input": TABLE[::10]}),
    "texts": (
        lambda: make_pipeline(CountVectorizer(), MultinomialNB()).fit(["good great", "bad dull"] * 9, [1, 0] * 9),
        long_texts(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rows_in_doubt_are_found_between_rows_of_two_classes(name: str) -> None:
    made, inputs = CASES[name]
    model, rows = golden(made(), inputs)
    found = undecided.make(model, rows, name == "texts")
    assert 0 < len(found) <= undecided.ENOUGH
    asked = {each: np.stack([row[each] for row in found]) for each in inputs}
    probable = np.sort(model.predict(asked, ["predict_proba"])["predict_proba"], axis=1)
    assert (probable[:, -2] > undecided.DOUBT).all()


def test_none_are_looked_for_where_there_are_some_or_can_be_none() -> None:
    model, rows = golden(LogisticRegression().fit(TABLE / 400, LABELS), {"input": TABLE / 4000})
    assert undecided.make(model, rows, has_words=False) == []
    model, rows = golden(DecisionTreeClassifier().fit(TABLE, LABELS), {"input": TABLE[::10]})
    assert undecided.make(model, rows, has_words=False) == []
    model, rows = golden(decided(), {"input": TABLE[:5]})
    assert undecided.make(model, rows, has_words=False) == [], "all are of one class"


def test_a_converter_of_twice_the_scores_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every golden row's probability is 0 or 1."""
    model = decided()
    model.coef_, model.intercept_ = model.coef_ * 1e5, model.intercept_ * 1e5
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.mkdir()
    wrong.mkdir()
    manifest, _ = Volume(right, monkeypatch).fetch("m.joblib", pickled(model))
    assert manifest.format == "onnx", reason(manifest)

    converters.register()
    known = _registration.get_converter("SklearnLinearClassifier")
    convert = known._fct

    def twice(scope: Any, operator: Any, container: Any) -> None:
        own = operator.raw_operator
        operator.raw_operator = copy.copy(own)
        operator.raw_operator.coef_, operator.raw_operator.intercept_ = 2 * own.coef_, 2 * own.intercept_
        try:
            convert(scope, operator, container)
        finally:
            operator.raw_operator = own

    monkeypatch.setattr(known, "_fct", twice)
    manifest, _ = Volume(wrong, monkeypatch).fetch("m.joblib", pickled(model))
    assert manifest.format == "sklearn"
    assert "is unusual" in reason(manifest)


@pytest.mark.parametrize(("classes", "unlike"), [
    ([0.0, 1.0, 2.5], 2.5), ([1, 2, 2**24 + 1], 2**24 + 1), ([1, 2, 2**24], None), ([0.0, 1.0, 3.0], None),
    (["a", "b", "c"], None), ([1, 2**24 + 1, 3], None),
], ids=str)  # fmt: skip
def test_a_class_that_no_row_shows_has_to_be_one_that_converters_keep(classes: list[Any], unlike: Any) -> None:
    places = np.repeat([0, 1, 2], 40)
    fitted = GaussianNB().fit(TABLE, places)
    fitted.classes_ = np.array(classes)
    labels = fitted.classes_[places]
    model = EstimatorModel(fitted)
    seen = {"predict": labels[:80], "predict_proba": np.full((80, 3), 1 / 3)}
    rows = GoldenRows({"input": TABLE[:80]}, seen, GENERATED)
    if unlike is None:
        assert scores.proof(model, rows) is rows
    else:
        with pytest.raises(ValueError, match=f"no golden row is of the class {unlike}"):
            scores.proof(model, rows)
