"""Which requests are looked up, and by what; what can't be is refused at the start."""

from typing import Any

import numpy as np
import pytest

from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.features.settings import Entity, FeatureSettings
from modelward_inference.features.wanted import Wanted, keys_of, wanted_of
from modelward_inference.protocol.messages import InferRequest, Input, RequestError

from .drivers import SIGNATURE, asking, settings

ALL = wanted_of(SIGNATURE, (), settings())


def keys(request: InferRequest, found: FeatureSettings | None = None) -> Any:
    return keys_of(request, (found or settings()).entities, ALL)


def test_a_model_of_named_inputs_wants_each() -> None:
    assert (Wanted("trips", "INT64"), Wanted("rating", "FP32"), Wanted("city", "BYTES")) == ALL


def test_a_wide_model_wants_the_columns_that_it_was_trained_on() -> None:
    wide = Signature((Tensor("X", "FP32", (-1, 2)),), SIGNATURE.outputs)
    assert wanted_of(wide, ("age", "income"), settings()) == (Wanted("age", "FP32"), Wanted("income", "FP32"))


@pytest.mark.parametrize("shape", [(-1, 2), (2,), (-1, -1), ()])
def test_values_without_names_are_refused_at_the_start(shape: tuple[int, ...]) -> None:
    wide = Signature((Tensor("X", "FP32", shape),), SIGNATURE.outputs)
    with pytest.raises(InvalidConfiguration, match="train it on a data frame"):
        wanted_of(wide, (), settings())


def test_null_is_refused_for_whole_numbers_at_the_start() -> None:
    with pytest.raises(InvalidConfiguration, match="have no null: trips"):
        wanted_of(SIGNATURE, (), settings(on_missing="Null"))


@pytest.mark.parametrize(
    ("defaults", "words"),
    [
        ({"tripz": "0"}, "tripz, and the model takes no such input"), ({"trips": "0.5"}, "trips is '0.5'.*INT64"),
        ({"rating": "much"}, "rating is 'much'.*FP32"), ({"trips": str(2**63)}, "trips is"),
    ],
)  # fmt: skip
def test_defaults_that_fit_nothing_are_refused_at_the_start(defaults: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidConfiguration, match=words):
        wanted_of(SIGNATURE, (), settings(on_missing="Default", defaults=defaults))


def test_defaults_are_read_as_the_model_takes_them() -> None:
    texts = {"trips": "3", "rating": "nan", "city": "3"}
    found = {each.name: each.default for each in wanted_of(SIGNATURE, (), settings(defaults=texts))}
    assert (found["trips"], found["city"]) == (3, "3")
    assert np.isnan(found["rating"])


@pytest.mark.parametrize("request_", [asking(trips=[1]), asking(1, trips=[1], rating=[1], city=["a"]), asking(x=[1])])
def test_a_request_that_brings_no_key_or_everything_is_left_alone(request_: InferRequest) -> None:
    assert keys(request_) is None


def test_what_a_request_brings_itself_is_not_looked_up() -> None:
    found = keys(asking(1, 2, trips=[8, 9]))
    assert found.columns == {"driver_id": [1, 2]}
    assert [each.name for each in found.lacking] == ["rating", "city"]
    assert [each.name for each in found.own] == ["trips"], "the key is none of the model's inputs"


def test_a_key_that_the_model_takes_itself_stays() -> None:
    wanted = (*ALL, Wanted("driver_id", "INT64"))
    found = keys_of(asking(1), settings().entities, wanted)
    assert found is not None
    assert [each.name for each in found.own] == ["driver_id"]


def test_what_a_request_brings_under_the_name_of_its_frame_is_not_looked_up_either() -> None:
    """LightGBM keeps blanks as underscores, and clients send what their frame has."""
    found = keys_of(asking(1, **{"order amount": [8]}), settings().entities, (*ALL, Wanted("order_amount", "FP32")))
    assert found is not None
    assert "order_amount" not in [each.name for each in found.lacking]
    assert [each.name for each in found.own] == ["order amount"]


def test_one_key_of_several_is_not_enough() -> None:
    two = settings(entities=(Entity("driver_id", "INT64"), Entity("day", "BYTES")))
    with pytest.raises(RequestError, match="has driver_id and lacks day"):
        keys(asking(1), two)


@pytest.mark.parametrize(
    ("given", "datatype", "words"),
    [
        (np.array([1.5]), "INT64", "holds 1.5: keys have to be whole"), (np.array([np.nan]), "INT64", "holds nan"),
        (np.array([np.inf]), "INT64", "holds inf"), (np.array([2.0**53]), "INT64", "64 bits .* below 9007199254740992"),
        (np.array([2.0**24], np.float32), "INT64", "32 bits .* below 16777216"),
        (np.array([True]), "INT64", "whole numbers"),
        (np.array([2**63], np.uint64), "INT64", "64 bits"), (np.array(["a"], object), "INT64", "whole numbers"),
        (np.array([[1, 2]]), "INT64", "one key a row"), (np.array([1]), "BYTES", "text"),
        (np.array([None], object), "BYTES", "text"), (np.array([""], object), "BYTES", "text"),
        (np.array(["x" * 1025], object), "BYTES", "1 to 1024"), (np.array([b"\xff"], object), "BYTES", "text"),
    ],
)  # fmt: skip
def test_keys_that_are_none_are_refused(given: Any, datatype: str, words: str) -> None:
    request = InferRequest((Input("driver_id", "FP64", given),))
    with pytest.raises(RequestError, match=words):
        keys(request, settings(entities=(Entity("driver_id", datatype),)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_whole_numbers_may_come_as_floats(dtype: Any) -> None:
    request = InferRequest((Input("driver_id", "FP64", np.array([[1.0], [-2.0], [0.0]], dtype)),))
    columns = keys(request).columns
    assert columns == {"driver_id": [1, -2, 0]}
    assert {type(each) for each in columns["driver_id"]} == {int}, "the store is asked by JSON's whole numbers"


def test_keys_of_different_length_are_refused() -> None:
    two = settings(entities=(Entity("driver_id", "INT64"), Entity("x", "INT64")))
    request = InferRequest((Input("driver_id", "INT64", np.array([1])), Input("x", "INT64", np.array([1, 2]))))
    with pytest.raises(RequestError, match=r"number of rows: \[1, 2\]"):
        keys(request, two)
