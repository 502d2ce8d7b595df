"""What skl2onnx is taught here: XGBoost's and LightGBM's estimators, and where missing values go in trees."""

import copy
import functools
import math
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

from modelward_inference.compile import one_vs_rest
from modelward_inference.runtimes.onnx import MISSING_TEXT

Converter = Callable[[Any, Any, Any], None]

_TREES = (
    "SklearnDecisionTreeClassifier", "SklearnDecisionTreeRegressor", "SklearnExtraTreeClassifier",
    "SklearnExtraTreeRegressor", "SklearnExtraTreesClassifier", "SklearnExtraTreesRegressor",
    "SklearnHistGradientBoostingClassifier", "SklearnHistGradientBoostingRegressor",
    "SklearnRandomForestClassifier", "SklearnRandomForestRegressor",
)  # fmt: skip
"""skl2onnx's names of the estimators whose trees take missing values."""

_FLAGS = "nodes_missing_value_tracks_true"

_CLASSIFIER_OPTIONS = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [True, False]}


def register() -> None:
    """Teach skl2onnx about the libraries that the model's file made us import; others would only cost memory."""
    _register_sklearn()
    if "xgboost" in sys.modules:
        _register_xgboost()
    if "lightgbm" in sys.modules:
        _register_lightgbm()


@functools.cache
def _register_xgboost() -> None:
    import xgboost
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as convert

    convert_xgboost = _without_names(convert)
    for kind in (xgboost.XGBClassifier, xgboost.XGBRFClassifier):
        _classifier(kind, convert_xgboost)
    for kind in (xgboost.XGBRegressor, xgboost.XGBRFRegressor):
        update_registered_converter(kind, kind.__name__, calculate_linear_regressor_output_shapes, convert_xgboost)


@functools.cache
def _register_lightgbm() -> None:
    import lightgbm
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    _classifier(lightgbm.LGBMClassifier, convert_lightgbm)
    update_registered_converter(
        lightgbm.LGBMRegressor, "LGBMRegressor", calculate_linear_regressor_output_shapes, convert_lightgbm,
        options={"split": None},
    )  # fmt: skip


@functools.cache
def _register_sklearn() -> None:
    """skl2onnx's own converters, with what they lack or have otherwise than scikit-learn."""
    from skl2onnx.common._registration import get_converter, register_converter

    by_scores = functools.partial(_by_scores, labels=get_converter("SklearnSGDClassifier")._fct)
    wrappers: dict[str, Callable[[Converter], Converter]] = {
        "SklearnSimpleImputer": _imputer, "SklearnOneHotEncoder": _one_hot,
        "SklearnCountVectorizer": _words, "SklearnTfidfTransformer": _tfidf,
        "SklearnSGDClassifier": by_scores, "SklearnOneVsRestClassifier": by_scores,
        **dict.fromkeys(_TREES, _with_missing),
    }  # fmt: skip
    for alias, wrap in wrappers.items():
        known = get_converter(alias)
        register_converter(alias, wrap(known._fct), overwrite=True, options=known.get_allowed_options())


def _classifier(kind: type, converter: Converter) -> None:
    update_registered_converter(
        kind, kind.__name__, calculate_linear_classifier_output_shapes, converter, options=_CLASSIFIER_OPTIONS
    )


def _without_names(convert: Converter) -> Converter:
    """onnxmltools takes features for f0, f1, …, and those of a data frame have names: they are dropped, in a copy."""

    def converted(scope: Any, operator: Any, container: Any) -> None:
        model = operator.raw_operator
        booster = model.get_booster()
        if booster.feature_names:
            booster = booster.copy()
            booster.feature_names = None
            operator.raw_operator = copy.copy(model)
            operator.raw_operator._Booster = booster
        try:
            convert(scope, operator, container)
        finally:
            operator.raw_operator = model

    return converted


def _imputer(convert: Converter) -> Converter:
    """Adds to the converter of imputers what it lacks: double precision, texts, and whole numbers that mean missing."""
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
    from skl2onnx.operator_converters.common import concatenate_variables

    def converted(scope: Any, operator: Any, container: Any) -> None:
        step, kind, output = operator.raw_operator, operator.inputs[0].type, operator.outputs[0].full_name
        gaps = isinstance(step.missing_values, float) and math.isnan(step.missing_values)
        number = isinstance(step.missing_values, int | float) and math.isfinite(step.missing_values)
        if gaps and isinstance(kind, StringTensorType) and not step.add_indicator:
            joined = concatenate_variables(scope, operator.inputs, container)
            mark, fill, missing = (scope.get_unique_variable_name(name) for name in ("mark", "fill", "missing"))
            values = [str(each).encode() for each in step.statistics_]
            container.add_initializer(mark, TensorProto.STRING, [1], [MISSING_TEXT.encode()])
            container.add_initializer(fill, TensorProto.STRING, [1, len(values)], values)
            container.add_node("Equal", [joined, mark], [missing], op_version=19)
            container.add_node("Where", [missing, fill, joined], [output], op_version=16)
        elif (
            (gaps or number)
            and isinstance(kind, DoubleTensorType)
            and not step.add_indicator
            and not np.isnan(step.statistics_.astype(float)).any()
        ):
            joined = concatenate_variables(scope, operator.inputs, container)
            fill, missing = scope.get_unique_variable_name("fill"), scope.get_unique_variable_name("missing")
            values = step.statistics_.astype(float)
            container.add_initializer(fill, TensorProto.DOUBLE, [1, len(values)], values.tolist())
            if gaps:
                container.add_node("IsNaN", [joined], [missing], op_version=20)
            else:
                mark = scope.get_unique_variable_name("mark")
                container.add_initializer(mark, TensorProto.DOUBLE, [1], [float(step.missing_values)])
                container.add_node("Equal", [joined, mark], [missing], op_version=19)
            container.add_node("Where", [missing, fill, joined], [output], op_version=16)
        else:
            convert(scope, operator, container)

    return converted


def _one_hot(convert: Converter) -> Converter:
    """Numeric categories as they are: the converter cuts their fractions off, and takes 1.5 for the category 1."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    from skl2onnx.operator_converters.common import concatenate_variables

    def converted(scope: Any, operator: Any, container: Any) -> None:
        step, kinds = operator.raw_operator, [each.type for each in operator.inputs]
        numeric = all(np.asarray(each).dtype.kind in "fb" for each in step.categories_)
        floats = all(isinstance(each, DoubleTensorType | FloatTensorType) for each in kinds)
        if not numeric or not floats or getattr(step, "_infrequent_enabled", False):
            convert(scope, operator, container)
            return
        double = isinstance(kinds[0], DoubleTensorType)
        joined = concatenate_variables(scope, operator.inputs, container)
        parts = []
        for place, values in enumerate(step.categories_):
            dropped = None if step.drop_idx_ is None else step.drop_idx_[place]
            kept = [float(each) for index, each in enumerate(values) if index != dropped]
            if not kept:
                continue
            at, known, gaps = (scope.get_unique_variable_name(name) for name in ("at", "known", "gaps"))
            column, found, missing, absent, part = (
                scope.get_unique_variable_name(name) for name in ("column", "found", "missing", "absent", "part")
            )
            container.add_initializer(at, TensorProto.INT64, [1], [place])
            kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
            container.add_initializer(known, kind, [1, len(kept)], kept)
            container.add_initializer(gaps, TensorProto.BOOL, [1, len(kept)], [math.isnan(each) for each in kept])
            container.add_node("Gather", [joined, at], [column], axis=1, op_version=13)
            container.add_node("Equal", [column, known], [found], op_version=19)
            container.add_node("IsNaN", [column], [missing], op_version=20)
            container.add_node("And", [missing, gaps], [absent], op_version=7)
            container.add_node("Or", [found, absent], [part], op_version=7)
            parts.append(part)
        whole = scope.get_unique_variable_name("whole")
        container.add_node("Concat", parts, [whole], axis=1, op_version=13)
        container.add_node("Cast", [whole], [operator.outputs[0].full_name], to=TensorProto.FLOAT, op_version=19)

    return converted


def _words(convert: Converter) -> Converter:
    """Without the words that earlier versions of scikit-learn noted as too frequent or too rare: the converter takes
    them for texts to be left out, and a row that is one of them would be missing among the answers."""

    def converted(scope: Any, operator: Any, container: Any) -> None:
        step = operator.raw_operator
        if not hasattr(step, "stop_words_"):
            convert(scope, operator, container)
            return
        rare = step.stop_words_
        del step.stop_words_  # of the step itself: options are known by its id, which a copy has not
        try:
            convert(scope, operator, container)
        finally:
            step.stop_words_ = rare

    return converted


def _tfidf(convert: Converter) -> Converter:
    """Sublinear term frequencies as scikit-learn has them, 1 + ln(tf) of each word that is there: the converter has
    ln(1 + tf), which is another vector where a word is repeated."""
    from skl2onnx.common.data_types import DoubleTensorType

    def converted(scope: Any, operator: Any, container: Any) -> None:
        step = operator.raw_operator
        if not step.sublinear_tf:
            convert(scope, operator, container)
            return
        (given,) = operator.inputs
        kind = TensorProto.DOUBLE if isinstance(given.type, DoubleTensorType) else TensorProto.FLOAT
        zero, one, absent, counts, logs, raised, weighed = (
            scope.get_unique_variable_name(name)
            for name in ("zero", "one", "absent", "counts", "logs", "raised", "weighed")
        )
        container.add_initializer(zero, kind, [1], [0.0])
        container.add_initializer(one, kind, [1], [1.0])
        container.add_node("Equal", [given.full_name, zero], [absent], op_version=19)
        container.add_node("Where", [absent, one, given.full_name], [counts], op_version=16)
        container.add_node("Log", [counts], [logs], op_version=13)
        container.add_node("Add", [logs, one], [raised], op_version=14)
        container.add_node("Where", [absent, zero, raised], [weighed], op_version=16)
        plain = copy.copy(step)
        plain.sublinear_tf = False
        rest = types.SimpleNamespace(
            raw_operator=plain, inputs=[given], input_full_names=[weighed],
            output_full_names=operator.output_full_names,
        )  # fmt: skip
        convert(scope, rest, container)

    return converted


def _by_scores(convert: Converter, labels: Converter) -> Converter:
    """The class of the largest score, as the library has it: the converter takes the largest probability, and far from
    the rows of training several are 1, of which it takes the first. `labels`: the converter of linear scores."""

    def converted(scope: Any, operator: Any, container: Any) -> None:
        linear = one_vs_rest.linear(operator.raw_operator)
        if linear is None:
            convert(scope, operator, container)
            return
        names = (scope.get_unique_variable_name(name) for name in ("label_unused", "scores_unused"))
        label, scores = (types.SimpleNamespace(full_name=name, onnx_name=name) for name in names)
        given = {"inputs": operator.inputs, "input_full_names": operator.input_full_names}
        probable = {"raw_operator": operator.raw_operator, "outputs": [label, operator.outputs[1]]}
        convert(scope, types.SimpleNamespace(**given, **probable), container)
        labelled = {"raw_operator": linear, "outputs": [operator.outputs[0], scores]}
        labels(scope, types.SimpleNamespace(**given, **labelled), container)

    return converted


def _with_missing(convert: Converter) -> Converter:
    def converted(scope: Any, operator: Any, container: Any) -> None:
        convert(scope, operator, _Container(container, missing_goes_left(operator.raw_operator)))

    return converted


def missing_goes_left(estimator: Any) -> dict[tuple[int, int], int]:
    """By number of tree and node: 1 where a missing value takes the left branch. Empty where nothing is to be set."""
    if hasattr(estimator, "tree_"):
        trees = [estimator]
    elif hasattr(estimator, "_predictors"):
        return {}  # its converter writes them, only as truth values
    else:
        trees = [each for each in getattr(estimator, "estimators_", ()) if hasattr(each, "tree_")]
    return {
        (number, node): int(left)
        for number, tree in enumerate(trees)
        for node, left in enumerate(tree.tree_.missing_go_to_left)
    }


class _Container:
    """skl2onnx's container that corrects the nodes of trees: protobuf takes no truth values for numbers, and the
    converter of forests does not say where missing values go."""

    def __init__(self, container: Any, missing: dict[tuple[int, int], int]) -> None:
        self._container = container
        self._missing = missing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *args: Any, **attributes: Any) -> Any:
        if self._missing and "nodes_nodeids" in attributes:
            places = zip(attributes["nodes_treeids"], attributes["nodes_nodeids"], strict=True)
            leaves = [mode == "LEAF" for mode in attributes["nodes_modes"]]
            attributes[_FLAGS] = [
                0 if leaf else self._missing[(int(tree), int(node))]
                for (tree, node), leaf in zip(places, leaves, strict=True)
            ]
        if _FLAGS in attributes:
            attributes[_FLAGS] = [int(flag) for flag in attributes[_FLAGS]]
        return self._container.add_node(*args, **attributes)
