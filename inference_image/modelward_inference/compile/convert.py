"""Estimators and boosters to ONNX bytes, in double precision where the converters can.

A model is tried in several ways, the most exact first; whoever asks stops at the first that gives the right answers:
1. all in double precision: linear models, scalers, neural networks;
2. in double precision up to the trees, which compare in single precision, as scikit-learn's and XGBoost's own do;
3. all in single precision.

LightGBM and histogram boosting compare in double precision, and there is one way for them: with their own thresholds.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from modelward_inference.artifact.bundle import Signature
from modelward_inference.compile import converters, exact, graph, refusals
from modelward_inference.parity.golden import SHOWN
from modelward_inference.runtimes.base import Model
from modelward_inference.runtimes.estimators import categories, columns, thresholds

OPSET = {"": 21, "ai.onnx.ml": 3}
"""Operator sets: the newest that the converters write and onnxruntime runs."""

_WORDS = r"(?u)\b\w\w+\b"
"""scikit-learn's words: two letters, digits or underscores at least, of any alphabet."""

_WORDS_IN_RE2 = r"[\pL\pN_][\pL\pN_]+"
"""The same for onnxruntime; the converter's own choice knows ASCII only, and words of one letter."""

Attempt = tuple[str, Callable[[], bytes]]
"""The name of a way to convert, and the conversion itself, which may raise anything."""


def attempts(model: Model) -> Iterator[Attempt]:
    """The ways to convert a model, best first; none where there is nothing to convert from."""
    estimator, booster = getattr(model, "estimator", None), getattr(model, "booster", None)
    if categories.of(booster) if estimator is None else columns.categories_of(estimator):
        return  # no converter codes them
    if estimator is not None:
        try:
            refusals.check(estimator)
            prepared = _with_gaps(model, estimator)
        except Exception as error:  # noqa: BLE001  a step of any make; who asks for the attempt is told
            yield "no conversion", partial(_refused, error)
            return
        yield from _of_estimator(prepared, model.signature)
    elif booster is not None and hasattr(booster, "inplace_predict"):
        yield "single precision", lambda: _xgboost(model)
    elif booster is not None:
        yield "double precision", lambda: _lightgbm(model)


def _refused(error: Exception) -> bytes:
    raise error


def _with_gaps(model: Any, estimator: Any) -> Any:
    """A pipeline whose XGBoost is given what it is at training: to it the zeros of a sparse matrix are missing values,
    and the converted steps before it give zeros."""
    from modelward_inference.runtimes.estimators import rows

    inner = columns.unwrapped(estimator)
    steps = columns.steps_of(inner)
    if len(steps) < 2 or not hasattr(steps[-1], "get_booster") or not hasattr(model, "before_last"):
        return estimator
    given = model.before_last(rows.generate(estimator, model.signature.inputs, count=1))
    if not hasattr(given, "tocsr"):
        return estimator
    if inner.steps[-1][1] is not steps[-1]:
        raise ValueError("XGBoost in a pipeline of a pipeline is given sparse rows, whose zeros it takes as missing")
    from skl2onnx.sklapi import ReplaceTransformer

    copied = copy.copy(inner)
    copied.steps = [*inner.steps[:-1], ("modelward_gaps", ReplaceTransformer()), inner.steps[-1]]
    return copied


def _of_estimator(estimator: Any, signature: Signature) -> Iterator[Attempt]:
    inner = columns.unwrapped(estimator)
    last = columns.steps_of(inner)[-1]
    if thresholds.compares_in_double(last):
        several = len(getattr(inner, "steps", ())) > 1
        prepared = _with_cast(_in_double(inner)) if several else _prepared(inner)
        yield "double precision", lambda: _sklearn(prepared, signature, double=several, trees=last)
        return
    if not _has_trees(last):
        yield "double precision", lambda: _sklearn(_in_double(inner), signature, double=True)
    elif len(getattr(inner, "steps", ())) > 1:
        yield (
            "double precision before the trees",
            lambda: _sklearn(_with_cast(_in_double(inner)), signature, double=True),
        )
    yield "single precision", lambda: _sklearn(_prepared(inner), signature, double=False)


def _has_trees(step: Any) -> bool:
    """Whether onnxruntime will compare a step's input in single precision."""
    if any(hasattr(step, name) for name in ("tree_", "_predictors", "get_booster", "booster_")):
        return True
    members = np.ravel(np.array(getattr(step, "estimators_", ()), dtype=object))
    return len(members) > 0 and all(hasattr(each, "tree_") for each in members)


def _prepared(step: Any) -> Any:
    """A copy without what the converters refuse although predictions don't depend on it."""
    if not getattr(step, "flatten_transform", False):
        return step
    copied = copy.copy(step)
    copied.flatten_transform = False
    return copied


def _in_double(step: Any) -> Any:
    """A copy whose column transformers give double precision throughout: encoders' ones and zeros are single here."""
    from skl2onnx.sklapi import CastTransformer
    from sklearn.pipeline import Pipeline

    to_double = ("modelward_double", CastTransformer(dtype=np.float64))
    if columns.is_column_transformer(step):
        copied = copy.copy(step)
        copied.transformers_ = [
            (name, inner if isinstance(inner, str) else Pipeline([("inner", _in_double(inner)), to_double]), positions)
            for name, inner, positions in step.transformers_
        ]
        return copied
    if isinstance(getattr(step, "steps", None), list):
        copied = copy.copy(step)
        copied.steps = [(name, _in_double(inner)) for name, inner in step.steps]
        return copied
    return _prepared(step)


def _with_cast(pipeline: Any) -> Any:
    """The pipeline with a cast to single precision before its last step."""
    from skl2onnx.sklapi import CastTransformer

    copied = copy.copy(pipeline)
    copied.steps = [*pipeline.steps[:-1], ("modelward_cast", CastTransformer(dtype=np.float32)), pipeline.steps[-1]]
    return copied


def _sklearn(estimator: Any, signature: Signature, double: bool, trees: Any = None) -> bytes:
    """`trees`: the last step, where its thresholds are to be its own."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

    converters.register()
    number = DoubleTensorType if double else FloatTensorType
    types = {"BYTES": StringTensorType, "INT64": Int64TensorType}
    given = [
        (tensor.name, types.get(tensor.datatype, number)([None, *(tensor.shape[1:] or (1,))]))
        for tensor in signature.inputs
    ]
    names: dict[str, str] = {}
    lowered = _lowered(estimator, signature)
    if signature.inputs[0].shape[1:] == (1,):
        # Dropped columns hold their places while it is converted; nothing in the graph uses them. The converters make
        # other names of those with dots, blanks or accents, so none of the columns' own is theirs to see.
        kinds = dict(given)
        every = columns.all_names(estimator)
        every = every if set(kinds) <= set(every) else tuple(kinds)
        estimator = columns.selecting_by_position(estimator)
        names = {f"column{index}": name for index, name in enumerate(every)}
        given = [(inner, kinds.get(name, number([None, 1]))) for inner, name in names.items()]
    options = _options(estimator, scores=any(tensor.name.startswith(SHOWN) for tensor in signature.outputs))
    for step in columns.all_steps(estimator):
        if getattr(step, "token_pattern", None) == _WORDS and columns.is_vectorizer(step):
            options[id(step)] = {"tokenexp": _WORDS_IN_RE2, "separators": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = convert_sklearn(estimator, initial_types=given, options=options or None, target_opset=OPSET)
    if trees is not None:
        exact.restore(converted, trees)
    return graph.adapt(converted, signature, names, lowered)


def _options(estimator: Any, scores: bool) -> dict[int, dict[str, Any]]:
    """The converter's options of the last step, which has to know each: probabilities as a tensor instead of a list of
    maps, and for labels alone the scores as they are."""
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common._registration import get_converter

    last = columns.steps_of(estimator)[-1]
    wanted = {"zipmap": False} | ({"raw_scores": True} if scores else {})
    alias = sklearn_operator_name_map.get(type(last))
    known = get_converter(alias).get_allowed_options() if alias else None
    return {id(last): {name: value for name, value in wanted.items() if name in (known or ())}}


def _lowered(estimator: Any, signature: Signature) -> frozenset[str]:
    """Inputs whose texts all that takes them makes lower case of. Raises ValueError where a step does so whose input
    another one takes as it is."""
    names = columns.all_names(estimator)
    if len(names) < 2:  # a single one may be called anything
        names = (signature.inputs[0].name,)
    takers: dict[str, list[Any]] = {}
    for step, places in columns.first_takers(estimator, range(len(names))):
        for place in places:
            takers.setdefault(names[place], []).append(step)
    found = frozenset(name for name, steps in takers.items() if all(map(_lowers, steps)))
    known = [step for name in found for step in takers[name]]
    if any(_lowers(step) and all(step is not each for each in known) for step in columns.all_steps(estimator)):
        raise ValueError("a step makes lower case of texts that come to another one as they are")
    return found


def _lowers(step: Any) -> bool:
    return columns.is_vectorizer(step) and bool(getattr(step, "lowercase", False))


def _xgboost(model: Any) -> bytes:
    """XGBoost's file by way of its scikit-learn class, which is what the converter takes."""
    import xgboost

    wrapper = (xgboost.XGBClassifier if model.is_classifier else xgboost.XGBRegressor)()
    wrapper.load_model(model.content)
    return _sklearn(wrapper, model.signature, double=False)


def _lightgbm(model: Any) -> bytes:
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    signature = model.signature
    given = [(tensor.name, FloatTensorType([None, tensor.shape[-1]])) for tensor in signature.inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = convert_lightgbm(model.booster, initial_types=given, zipmap=False, target_opset=15)
    exact.restore(converted, model.booster)
    return graph.adapt(converted, signature)
