"""Columns of texts whose missing values were None at training, as a database's rows have them, and not NaN."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

import modelward_inference
from modelward_inference.runtimes.estimators import nones
from modelward_inference.runtimes.estimators.estimator import EstimatorModel

pytestmark = pytest.mark.unit

ENCODERS: dict[str, Any] = {
    "one-hot": OneHotEncoder(),
    "one-hot, unknown ignored": OneHotEncoder(handle_unknown="ignore"),
    "ordinal": OrdinalEncoder(),
    "ordinal, unknown -1": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "target": TargetEncoder(),
    "imputer": make_pipeline(SimpleImputer(missing_values=None, strategy="constant", fill_value="?"), OneHotEncoder()),
}


def frame() -> pd.DataFrame:
    """`city` lacks values as None, `kind` as NaN."""
    rng = np.random.default_rng(0)
    found = pd.DataFrame({"city": rng.choice(["Bonn", "Oslo", "Rome"], 300), "kind": rng.choice(["a", "b"], 300)})
    found.loc[::5, "city"] = None
    found.loc[::7, "kind"] = np.nan
    return found.astype(object)


def asked(model: EstimatorModel, rows: pd.DataFrame) -> Any:
    texts = rows.astype(object).where(rows.notna(), None)
    return model.predict({name: texts[[name]].to_numpy(object) for name in texts}, ["predict_proba"])["predict_proba"]


@pytest.mark.parametrize("named", [True, False], ids=["a data frame", "an array"])
@pytest.mark.parametrize("name", ENCODERS)
def test_a_null_is_the_missing_value_of_training(name: str, named: bool, tmp_path: Path) -> None:
    rows = frame() if name != "imputer" else frame()[["city"]]
    y = (rows["city"].isna() | (rows["city"] == "Oslo")).astype(int)
    data: Any = rows if named else rows.to_numpy(object)
    columns = list(rows) if named else list(range(rows.shape[1]))
    fitted = make_pipeline(ColumnTransformer([("c", ENCODERS[name], columns)]), RandomForestClassifier(5))
    fitted.fit(data, y)
    model = EstimatorModel(fitted)
    own = fitted.predict_proba(data)
    asked_rows = rows if named else rows.set_axis([tensor.name for tensor in model.signature.inputs], axis=1)
    assert asked(model, asked_rows) == pytest.approx(own)
    modelward_inference.save_bundle(tmp_path / "m.tar", fitted, data)  # its golden rows are asked in the same way


def test_each_column_has_its_own() -> None:
    rows = frame()
    encoder = OrdinalEncoder().fit(rows)
    assert nones.of(encoder) == {"city"}
    assert nones.of(ColumnTransformer([("c", OrdinalEncoder(), ["kind", "city"])]).fit(rows)) == {"city"}
    assert nones.of(OrdinalEncoder().fit(rows.dropna())) == frozenset()
