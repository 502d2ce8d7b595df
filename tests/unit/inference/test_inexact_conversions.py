"""Where converters are inexact in a way that few rows show: the converted form is made right, or is not served."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
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
