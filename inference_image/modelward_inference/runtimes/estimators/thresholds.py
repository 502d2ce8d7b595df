"""Where the trees of an estimator split: sorted thresholds by feature, whatever library grew the trees."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array

MAX_TREES = 200
"""Trees that are read: more tell nothing new."""


def compares_in_double(step: Any) -> bool:
    """Whether the library of a step with trees does, as LightGBM and histogram boosting do; others in single."""
    return hasattr(step, "_predictors") or lightgbm_of(step) is not None


def lightgbm_of(step: Any) -> Any:
    """LightGBM's booster, of its estimators or by itself; None of others."""
    booster = getattr(step, "booster_", step)
    return booster if hasattr(booster, "dump_model") and hasattr(booster, "model_to_string") else None


def of(step: Any) -> dict[int, Array]:
    """Thresholds by the feature's position; empty for an estimator without trees."""
    found: dict[int, list[float]] = {}
    for feature, threshold in _splits(step):
        if np.isfinite(threshold):
            found.setdefault(feature, []).append(threshold)
    return {feature: np.unique(values) for feature, values in sorted(found.items())}


def _splits(step: Any) -> Iterator[tuple[int, float]]:
    booster = getattr(step, "get_booster", None)
    if booster is not None:
        yield from _of_xgboost(booster())
    elif hasattr(step, "trees_to_dataframe") and hasattr(step, "inplace_predict"):
        yield from _of_xgboost(step)
    elif (lightgbm := lightgbm_of(step)) is not None:
        yield from _of_lightgbm(lightgbm)
    elif hasattr(step, "_predictors"):
        for predictor in [each for stage in step._predictors for each in stage][:MAX_TREES]:
            inner = predictor.nodes[~predictor.nodes["is_leaf"].astype(bool)]
            yield from zip(inner["feature_idx"].tolist(), inner["num_threshold"].tolist(), strict=True)
    else:
        for tree, places in _trees(step):
            inner = tree.feature >= 0
            features = tree.feature[inner] if places is None else np.asarray(places)[tree.feature[inner]]
            yield from zip(features.tolist(), tree.threshold[inner].tolist(), strict=True)


def _trees(step: Any) -> list[tuple[Any, Any]]:
    """Each with the places of the columns that it is given; None for all of them."""
    if hasattr(step, "tree_"):
        return [(step.tree_, None)]
    members = getattr(step, "estimators_", None)
    if members is None:
        return []
    trees = np.ravel(np.array(members, dtype=object))[:MAX_TREES]
    drawn = getattr(step, "estimators_features_", None)  # of a bagging, each tree may be given some columns only
    places = [None] * len(trees) if drawn is None else list(drawn)[: len(trees)]
    return [(each.tree_, at) for each, at in zip(trees, places, strict=False) if hasattr(each, "tree_")]


def _of_xgboost(booster: Any) -> Iterator[tuple[int, float]]:
    positions = {name: index for index, name in enumerate(booster.feature_names or ())}

    def walk(node: dict[str, Any]) -> Iterator[tuple[int, float]]:
        if "split" not in node:
            return
        name = node["split"]
        position = positions.get(name, int(name[1:]) if name[1:].isdecimal() else -1)
        if position >= 0 and isinstance(node.get("split_condition"), int | float):
            yield position, float(node["split_condition"])
        for child in node["children"]:
            yield from walk(child)

    for dumped in booster.get_dump(dump_format="json")[:MAX_TREES]:
        yield from walk(json.loads(dumped))


def _of_lightgbm(booster: Any) -> Iterator[tuple[int, float]]:
    features: list[int] = []
    for line in booster.model_to_string(num_iteration=MAX_TREES).splitlines():
        if line.startswith("split_feature="):
            features = [int(each) for each in line.partition("=")[2].split()]
        elif line.startswith("threshold="):
            # A categorical split's threshold is the number of a set of categories: harmless as a value.
            values = [float(each) for each in line.partition("=")[2].split()]
            yield from zip(features, values, strict=True)
