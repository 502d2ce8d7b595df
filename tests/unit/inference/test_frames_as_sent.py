"""Columns as the clients of data frames send them: other types where values are missing, names beside the model's."""

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.errors import ModelUnsupported
from modelward_inference.protocol.messages import InferRequest, Input, RequestError
from modelward_inference.protocol.names import Names
from modelward_inference.runtimes.estimators import estimator as estimators
from modelward_inference.runtimes.estimators.estimator import EstimatorModel

pytestmark = pytest.mark.unit

COLUMNS = ("a_b", "zone", "city")
SIGNATURE = Signature(
    (Tensor("a_b", "FP64", (-1, 1)), Tensor("zone", "INT64", (-1, 1)), Tensor("city", "BYTES", (-1, 1))),
    (Tensor("predict", "FP64", (-1,)),),
)
NAMES = Names(SIGNATURE, COLUMNS)


def sent(**changed: Input) -> InferRequest:
    columns = {
        "a_b": Input("a_b", "FP64", np.array([2.0])),
        "zone": Input("zone", "INT64", np.array([3])),
        "city": Input("city", "BYTES", np.array(["Rome"], object)),
    } | changed
    return InferRequest(tuple(columns.values()))


def test_a_column_beside_it_does_not_take_the_place_of_the_models_own() -> None:
    """LightGBM's names have underscores for blanks; another column may be called so by itself."""
    before = InferRequest((Input("a b", "FP64", np.array([-2.0])), *sent().inputs))
    behind = InferRequest((*sent().inputs, Input("a b", "FP64", np.array([-2.0]))))
    for request in (before, behind):
        assert NAMES.inputs(request)["a_b"].tolist() == [[2.0]]
    alone = InferRequest((Input("a b", "FP64", np.array([-2.0])), *sent().inputs[1:]))
    assert NAMES.inputs(alone)["a_b"].tolist() == [[-2.0]]


def test_one_column_by_two_names_is_refused() -> None:
    names = Names(Signature((Tensor("a_b_c", "FP64", (-1, 1)), *SIGNATURE.inputs[1:]), ()), ("a_b_c", *COLUMNS[1:]))
    request = sent(a_b=Input("a b c", "FP64", np.array([1.0])), other=Input("a_b c", "FP64", np.array([2.0])))
    with pytest.raises(RequestError, match="'a_b c' is 'a_b_c', which came already"):
        names.inputs(request)


def test_whole_numbers_may_come_as_floats() -> None:
    """As pandas has a column of whole numbers in which another row is missing."""
    found = NAMES.inputs(sent(zone=Input("zone", "FP64", np.array([3.0, -0.0]))))["zone"]
    assert found.dtype == np.int64
    assert found.tolist() == [[3], [0]]


@pytest.mark.parametrize("value", [1.5, np.nan, np.inf, -np.inf, 2.0**63, -(2.0**64), 1e300])
def test_other_floats_are_no_whole_numbers(value: float) -> None:
    with pytest.raises(RequestError, match=r"\(zone\).* holds .*, but the model takes INT64: whole numbers"):
        NAMES.inputs(sent(zone=Input("zone", "FP64", np.array([1.0, value]))))


def test_what_is_missing_throughout_has_no_type() -> None:
    """A data frame of one row without its text is a column of floats; a list of nulls is taken for texts."""
    found = NAMES.inputs(sent(
        city=Input("city", "FP64", np.array([np.nan])), a_b=Input("a_b", "BYTES", np.array([None], object)),
    ))  # fmt: skip
    assert found["city"].tolist() == [[None]]
    assert np.isnan(found["a_b"]).all()
    with pytest.raises(RequestError, match="datatype is FP64, but the model takes BYTES"):
        NAMES.inputs(sent(city=Input("city", "FP64", np.array([np.nan, 1.0]))))


VALUES: dict[str, list[Any]] = {
    "truths, None": [True, False, None], "truths, NaN": [True, False, np.nan], "truths": [True, False, True],
    "numbers, None": [1, 2, None],
}  # fmt: skip


@pytest.mark.parametrize("pandas", [True, False], ids=["pandas", "no pandas"])
@pytest.mark.parametrize("name", VALUES)
def test_categories_that_are_objects(name: str, pandas: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not pandas:
        monkeypatch.setattr(estimators, "_pandas", lambda: None)
    values = np.array(VALUES[name] * 30, object)
    table = pd.DataFrame({"vip": values, "size": np.linspace(0, 1, len(values))})
    steps = ColumnTransformer([("c", OneHotEncoder(), ["vip"]), ("n", "passthrough", ["size"])])
    fitted = make_pipeline(steps, LogisticRegression()).fit(table, values == values[0])
    own = fitted.predict_proba(table)
    model = EstimatorModel(fitted)
    floats = np.array([np.nan if each is None else float(each) for each in values]).reshape(-1, 1)
    sizes = table[["size"]].to_numpy()
    got = model.predict({"vip": floats, "size": sizes}, ["predict_proba"])["predict_proba"]
    np.testing.assert_allclose(got, own)


@pytest.mark.parametrize("value", [datetime.date(2024, 1, 1), np.datetime64("2024-01-01", "ns")])
def test_categories_that_no_tensor_carries_are_refused(value: Any) -> None:
    table = pd.DataFrame({"day": [value] * 4, "size": [1.0, 2.0, 3.0, 4.0]})
    steps = ColumnTransformer([("c", OneHotEncoder(), ["day"]), ("n", "passthrough", ["size"])])
    fitted = make_pipeline(steps, LogisticRegression()).fit(table, [0, 1, 0, 1])
    with pytest.raises(ModelUnsupported, match="which no tensor carries; make texts of that column"):
        EstimatorModel(fitted)
