"""Columns of any name, and XGBoost's models of data frames, are compiled like others; what serves them is compared."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .artifacts import pickled
from .test_compile import Volume

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(8)
NUMBERS = RNG.normal(size=(200, 3))
LABELS = (NUMBERS[:, 0] - NUMBERS[:, 1] > 0).astype(int)
TEXTS = RNG.choice(["Rome", "Oslo"], 200).astype(object)


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(tmp_path, monkeypatch)


NAMES = [
    ["a.b", "a_b", "c d", "c_d"], ["x:0", "x:1", "label", "probabilities"], ["größe", "名前", "naïve", "é"],
    ["variable", "output_label", "predict_probability", "input"], ["column1", "column0", "inner/column0", "0"],
    ["a/b", "a'b", 'a"b', "a\\b"], ["?", " ", "a\nb", "-"],
]  # fmt: skip


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_columns_of_any_name_are_compiled_and_keep_it(volume: Volume, names: list[str], dropped: bool) -> None:
    text, *numbers = names
    frame = pd.DataFrame({text: TEXTS, **dict(zip(numbers, NUMBERS.T, strict=True))})
    used = numbers[1:] if dropped else numbers
    steps = ColumnTransformer([("n", StandardScaler(), used), ("t", OneHotEncoder(), [text])])
    model = make_pipeline(steps, LogisticRegression()).fit(frame, LABELS)
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert manifest.compilation is not None
    assert manifest.compilation.fallback is None, manifest.compilation.fallback
    inputs = [tensor.name for tensor in manifest.signature.inputs]
    assert sorted(inputs) == sorted([text, *used])
    asked = {name: frame[name].to_numpy().reshape(-1, 1) for name in inputs}
    got = served.predict(asked, ["predict", "predict_proba"])
    assert np.array_equal(got["predict"], model.predict(frame))
    np.testing.assert_allclose(got["predict_proba"], model.predict_proba(frame), atol=1e-6)


FRAME = pd.DataFrame(NUMBERS.astype("f4"), columns=["price", "f0", "a b.c"])
SMALL = {"n_estimators": 6, "n_jobs": 1, "max_depth": 3}
FRAMED: dict[str, Any] = {
    "a classifier": xgboost.XGBClassifier(**SMALL),
    "a regressor": xgboost.XGBRegressor(**SMALL),
    "a forest": xgboost.XGBRFClassifier(**SMALL),
    "after a step": make_pipeline(StandardScaler().set_output(transform="pandas"), xgboost.XGBClassifier(**SMALL)),
    "in a stack": StackingClassifier([("x", xgboost.XGBClassifier(**SMALL))], LogisticRegression(), cv=2),
}


@pytest.mark.parametrize("name", FRAMED)
def test_xgboosts_models_of_data_frames_are_compiled(volume: Volume, name: str) -> None:
    model = FRAMED[name].fit(FRAME, LABELS)
    manifest, served = volume.fetch("m.joblib", pickled(model))
    assert manifest.compilation is not None
    assert manifest.compilation.fallback is None, manifest.compilation.fallback
    assert manifest.columns == tuple(FRAME)
    got = served.predict({"input": FRAME.to_numpy().astype(float)}, ["predict"])["predict"]
    np.testing.assert_allclose(got, model.predict(FRAME), rtol=1e-5)


@pytest.mark.parametrize("kind", ["ubj", "json"])
@pytest.mark.parametrize("name", ["a classifier", "a regressor"])
def test_xgboosts_files_of_data_frames_are_compiled(volume: Volume, name: str, kind: str) -> None:
    model = FRAMED[name].fit(FRAME, LABELS)
    manifest, served = volume.fetch(f"m.{kind}", bytes(model.get_booster().save_raw(kind)))
    assert manifest.compilation is not None
    assert manifest.compilation.fallback is None, manifest.compilation.fallback
    assert manifest.columns == tuple(FRAME)
    output = manifest.signature.outputs[-1].name
    got = served.predict({"input": FRAME.to_numpy()}, [output])[output]
    np.testing.assert_allclose(got, getattr(model, output)(FRAME), rtol=1e-5)


@pytest.mark.parametrize("kind", ["ubj", "json"])
@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("model", [xgboost.XGBRegressor, xgboost.XGBClassifier])
def test_xgboosts_files_of_weights_alone_are_served(volume: Volume, model: Any, framed: bool, kind: str) -> None:
    rows = FRAME if framed else FRAME.to_numpy()
    fitted = model(booster="gblinear", n_estimators=5, n_jobs=1).fit(rows, LABELS)
    manifest, served = volume.fetch(f"m.{kind}", bytes(fitted.get_booster().save_raw(kind)))
    output = manifest.signature.outputs[-1].name
    got = served.predict({"input": FRAME.to_numpy()}, [output])[output]
    np.testing.assert_allclose(got, getattr(fitted, output)(rows), rtol=1e-5)
    assert manifest.golden_rows
