"""Columns of several types in one array, as servers without data frames have them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from modelward_inference.runtimes.estimators import estimator, mixed


def columns(rows: int = 3) -> list[Any]:
    texts = np.array([["Rome"], ["Oslo"], [None]][:rows], object)
    return [texts, np.array([[1.5], [np.nan], [2.0]][:rows]), np.array([[1], [2], [3]][:rows]),
            np.array([[True], [False], [True]][:rows])]  # fmt: skip


@pytest.mark.parametrize(("chosen", "kind"), [
    ([1], "f"), ([1, 2], "f"), ([2], "i"), (2, "i"), ([3], "b"), ([1, 3], "O"), ([0, 1], "O"), (slice(1, 3), "f"),
    ([], "O"), (np.array([False, True, True, False]), "f"),
])  # fmt: skip
def test_a_selection_has_the_type_that_its_columns_share(chosen: Any, kind: str) -> None:
    found = mixed.table(columns())[:, chosen]
    assert type(found) is np.ndarray
    assert found.dtype.kind == kind
    if kind != "O":
        frame = pd.DataFrame({index: column.ravel() for index, column in enumerate(columns())})
        np.testing.assert_array_equal(found, frame.iloc[:, chosen])


@pytest.mark.parametrize("encoder", [TargetEncoder(), OrdinalEncoder(), OneHotEncoder()])
def test_encoders_refuse_what_they_refuse_in_a_data_frame(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"city": ["Rome", "Oslo", "Rome", "Bonn"] * 5, "grade": [1.0, 2.0, 0.5, 1.0] * 5})
    frame["city"] = frame["city"].astype(object)
    model = ColumnTransformer([("c", encoder, ["grade", "city"])]).fit(frame, [0, 1, 1, 0] * 5)
    wanted = model.transform(frame)
    monkeypatch.setattr(estimator, "_pandas", lambda: None)
    served = estimator.EstimatorModel(model)
    city, grade = frame[["city"]].to_numpy(), frame[["grade"]].to_numpy()
    got = served.predict({"city": city, "grade": grade}, ["transform"])["transform"]
    np.testing.assert_array_equal(got, wanted.toarray() if hasattr(wanted, "toarray") else wanted)
    with pytest.raises(ValueError, match="infinity"):
        served.predict({"city": city, "grade": np.full_like(grade, np.inf)}, ["transform"])


def test_rows_keep_what_is_known_of_columns() -> None:
    assert mixed.table(columns())[1:][:, [1]].dtype.kind == "f"


@pytest.mark.parametrize("strategy", ["most_frequent", "median", "constant"])
def test_without_data_frames_the_same_rows_are_refused_and_numbers_stay_numbers(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"city": ["Rome", "Oslo", "Rome", "Bonn"], "age": [30.5, np.nan, 41.0, 30.5]}).astype(
        {"city": object}
    )
    fill = SimpleImputer(strategy=strategy, **({"fill_value": -1.0} if strategy == "constant" else {}))
    model = ColumnTransformer([("n", fill, ["age"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["city"])])
    wanted = model.fit_transform(frame)
    monkeypatch.setattr(estimator, "_pandas", lambda: None)
    served = estimator.EstimatorModel(model)
    city, age = frame[["city"]].to_numpy(), frame[["age"]].to_numpy()

    got = served.predict({"city": city, "age": age}, ["transform"])["transform"]
    assert (got.dtype.kind, served.signature.outputs[0].datatype) == ("f", "FP64")
    np.testing.assert_array_equal(got, wanted)
    with pytest.raises(ValueError, match="infinity"):
        served.predict({"city": city, "age": np.full_like(age, np.inf)}, ["transform"])
