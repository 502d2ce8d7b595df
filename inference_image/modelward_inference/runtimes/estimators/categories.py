"""Categories that a library's own trees learned from a data frame's dtype: values to what the library takes.

A frame with columns of category dtype is coded before LightGBM and XGBoost see it; a plain array is taken for the codes
themselves, so that store 20 would be read as the 20th store. So such a column is a tensor of its own, of the values
that the frame held, and is coded here as the frame was.
Invariant: nothing is coded by guess: a model whose categories can't be told is refused.
"""

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.errors import ModelUnsupported

Categories = Mapping[int, tuple[Any, ...]]
"""By a column's position: its categories, in the order of their codes."""


_EXACT = 2**53


def of(model: Any) -> Categories:
    """Of a fitted estimator or a Booster; empty where it takes plain numbers. Raises ModelUnsupported."""
    found = _of(model)
    for values in found.values():
        check_exact(f"The {type(model).__name__}", values, '.astype("category")')
    if hasattr(model, "_predictors") and (getattr(model, "feature_names_in_", None) is None or not _has_texts(found)):
        return {}  # its own encoder maps the values; only texts need a column of their own
    return found


def check_exact(who: str, values: Iterable[Any], kind: str = "") -> None:
    """Of a column that comes as floats: raises ModelUnsupported where these can't name a category. `kind`: behind the
    texts that the column is to have."""
    large = next((each for each in values if isinstance(each, int | np.integer) and abs(int(each)) > _EXACT), None)
    if large is not None:
        raise ModelUnsupported(
            f"{who} learned the category {large}; a column of numbers with missing values is one of floats, which hold "
            "whole numbers up to 2^53 only. Make texts of that column before it is trained: "
            f"X[column].astype(str){kind}"
        )


def _has_texts(found: Categories) -> bool:
    return any(map(are_texts, found.values()))


def _of(model: Any) -> Categories:
    if hasattr(model, "get_booster"):
        return _of_xgboost(model.get_booster())
    if hasattr(model, "inplace_predict"):
        return _of_xgboost(model)
    booster = getattr(model, "booster_", model)
    if hasattr(booster, "pandas_categorical"):
        return _of_lightgbm(booster)
    if hasattr(model, "_predictors"):
        return _of_histogram_boosting(model)
    return {}


def are_texts(values: Sequence[Any]) -> bool:
    return any(isinstance(each, str) for each in values)


class Coder:
    """Puts values in the place of a frame's. `originals`: whether the library codes itself and wants its own values;
    `strict`: whether it refuses a category that it does not know."""

    def __init__(self, categories: Categories, *, originals: bool = False, strict: bool = False) -> None:
        self._originals, self._strict = originals, strict
        self._places: dict[int, dict[Any, Any]] = {
            position: {each: each if originals else float(code) for code, each in enumerate(values)}
            for position, values in categories.items()
        }

    def table(self, columns: Sequence[tuple[str, Array]]) -> Array:
        """Columns by name, as the library takes them. Raises ValueError for a category that it would refuse."""
        made = [self._coded(place, name, array.reshape(-1)) for place, (name, array) in enumerate(columns)]
        return np.column_stack(made).astype(object if self._originals else np.float64)

    def _coded(self, place: int, name: str, column: Array) -> Array:
        known = self._places.get(place)
        if known is None:
            return column
        found = np.empty(len(column), object)
        for row, value in enumerate(column.tolist()):
            if value is None or value != value:
                found[row] = np.nan
                continue
            code = known.get(value)
            if code is None and self._strict:
                words = ", ".join(map(str, list(known)[:20]))
                raise ValueError(f"{name}: {value!r:.100} is a category that it was not trained on; it knows {words}")
            found[row] = np.nan if code is None else code
        return found


def coder_of(model: Any) -> Coder | None:
    """None where the model takes plain numbers."""
    found = of(model)
    if not found:
        return None
    boosted = hasattr(model, "_predictors")
    strict = hasattr(model, "get_booster") or hasattr(model, "inplace_predict")
    return Coder(found, originals=boosted, strict=strict)


def _of_lightgbm(booster: Any) -> Categories:
    values = booster.pandas_categorical
    if not values:
        return {}
    line = re.search(r"^\[categorical_feature: ([0-9,]*)\]", booster.model_to_string(num_iteration=1), re.MULTILINE)
    positions = [int(each) for each in line.group(1).split(",") if each] if line else []
    if len(positions) != len(values):
        raise ModelUnsupported(
            f"The model has {len(values)} columns of category dtype, and {len(positions)} that are trained as "
            "categories, so that nobody can tell which are which; train with categorical_feature='auto'"
        )
    return {place: tuple(each) for place, each in zip(positions, values, strict=True)}


def _of_xgboost(booster: Any) -> Categories:
    if "c" not in (booster.feature_types or ()):
        return {}
    found = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    found = found.get("gbtree", found).get("model", found)  # dart holds the trees one level deeper
    found = found.get("cats", {})
    made = {place: _values(each) for place, each in enumerate(found.get("enc", ())) if each.get("values")}
    return {place: values for place, values in made.items() if values}


def _values(encoded: Mapping[str, Any]) -> tuple[Any, ...]:
    """XGBoost's own form: texts as one run of bytes with the places where each begins."""
    raw = encoded["values"]
    offsets = encoded.get("offsets")
    if offsets is None:
        return tuple(raw)
    content = bytes(each % 256 for each in raw)
    return tuple(content[begin:end].decode() for begin, end in itertools.pairwise(offsets))


def _of_histogram_boosting(model: Any) -> Categories:
    steps = getattr(getattr(model, "_preprocessor", None), "named_transformers_", {})
    if "encoder" not in steps or model.is_categorical_ is None:
        return {}
    values = steps["encoder"].categories_
    positions = np.flatnonzero(model.is_categorical_).tolist()
    return {place: tuple(each.tolist()) for place, each in zip(positions, values, strict=True)}
