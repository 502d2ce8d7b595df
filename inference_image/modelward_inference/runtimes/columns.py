"""What a fitted scikit-learn estimator takes: one tensor of numbers, one of texts, or a tensor for each column.

An estimator that selects columns by name, or that has columns of strings or categories, takes a tensor of shape [-1, 1]
for each column. Columns of other estimators come by position in one tensor, whatever they were called at training.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from modelward_inference.bundle import Tensor

INPUT = "input"
"""The one tensor's name where columns have none."""


def unwrapped(step: Any) -> Any:
    """The estimator inside a finished search over parameters."""
    return getattr(step, "best_estimator_", step)


def steps_of(step: Any) -> list[Any]:
    """The steps of a pipeline, nested ones too; an estimator is a pipeline of one."""
    step = unwrapped(step)
    if not _is_pipeline(step):
        return [step]
    return [inner for _, each in step.steps if each not in (None, "passthrough") for inner in steps_of(each)]


def all_steps(step: Any) -> Iterator[Any]:
    """The steps of a pipeline, and those inside its column transformers."""
    for each in steps_of(step):
        yield each
        if is_column_transformer(each):
            for inner, _, _ in selections(each):
                if not isinstance(inner, str):
                    yield from all_steps(inner)


def is_column_transformer(step: Any) -> bool:
    return hasattr(step, "transformers_") and hasattr(step, "_transformer_to_input_indices")


def is_vectorizer(step: Any) -> bool:
    """Whether a step takes a list of texts."""
    return hasattr(step, "build_analyzer")


def selections(transformer: Any) -> Iterator[tuple[Any, list[int], bool]]:
    """Of a ColumnTransformer: each transformer, its columns' positions, and whether it takes one column as a vector."""
    for name, inner, columns in transformer.transformers_:
        positions = [int(position) for position in transformer._transformer_to_input_indices.get(name, ())]
        if positions and not (isinstance(inner, str) and inner == "drop"):
            yield inner, positions, np.isscalar(columns)


def inputs_of(estimator: Any) -> tuple[Tensor, ...]:
    """The input tensors. Raises nothing: what can't be told is one tensor of numbers."""
    first = steps_of(estimator)[0] if steps_of(estimator) else estimator
    width = getattr(first, "n_features_in_", getattr(estimator, "n_features_in_", None))
    if width is None:
        # Without a number of features it takes texts, as a pipeline that begins with a vectorizer does.
        return (Tensor(INPUT, "BYTES", (-1,)),)
    kinds = _datatypes(unwrapped(estimator), int(width)) or ["FP64"] * int(width)
    named = is_column_transformer(first) and _selects_by_name(first)
    if not named and set(kinds) == {"FP64"}:
        return (Tensor(INPUT, "FP64", (-1, int(width))),)
    names = [str(name) for name in getattr(first, "feature_names_in_", [f"x{index}" for index in range(int(width))])]
    return tuple(Tensor(name, kind, (-1, 1)) for name, kind in zip(names, kinds, strict=True))


def select_by_position(estimator: Any) -> None:
    """Let column transformers take arrays: rewrite their selections from names to the positions these had in training.

    Changes the estimator, which is ours alone.
    """
    for step in steps_of(estimator):
        if not is_column_transformer(step):
            continue
        by_name = step._transformer_to_input_indices
        step.transformers_ = [
            (name, inner, int(by_name[name][0]) if np.isscalar(columns) else [int(each) for each in by_name[name]])
            for name, inner, columns in step.transformers_
            if name in by_name
        ]
        if hasattr(step, "feature_names_in_"):
            del step.feature_names_in_


def _is_pipeline(step: Any) -> bool:
    return isinstance(getattr(step, "steps", None), list)


def _selects_by_name(transformer: Any) -> bool:
    return any(
        isinstance(column, str)
        for _, _, columns in transformer.transformers_
        for column in ([columns] if np.isscalar(columns) else list(columns) if not isinstance(columns, slice) else [])
    )


def _datatypes(step: Any, width: int) -> list[str] | None:
    """The datatype of each column, by the first step that knows it."""
    if _is_pipeline(step):
        found = (_datatypes(unwrapped(each), width) for each in steps_of(step))
        return next((kinds for kinds in found if kinds), None)
    if is_column_transformer(step):
        return _of_column_transformer(step, width)
    if isinstance(getattr(step, "transformer_list", None), list):
        found = (_datatypes(each, width) for _, each in step.transformer_list)
        return next((kinds for kinds in found if kinds), None)
    if is_vectorizer(step):
        return ["BYTES"] * width
    categories = getattr(step, "categories_", None)
    if isinstance(categories, list) and len(categories) == width:
        return [_of_values(each) for each in categories]
    statistics = getattr(step, "statistics_", None)
    if isinstance(statistics, np.ndarray) and statistics.dtype.kind == "O" and len(statistics) == width:
        return ["BYTES" if isinstance(each, str) else "FP64" for each in statistics]
    return None


def _of_column_transformer(transformer: Any, width: int) -> list[str]:
    kinds: list[str | None] = [None] * width
    for inner, positions, _ in selections(transformer):
        found = None if isinstance(inner, str) else _datatypes(unwrapped(inner), len(positions))
        for position, kind in zip(positions, found or ["FP64"] * len(positions), strict=True):
            # A column may be used twice: who needs texts decides.
            kinds[position] = "BYTES" if "BYTES" in (kind, kinds[position]) else kind
    return [kind or "FP64" for kind in kinds]


def _of_values(values: Sequence[Any]) -> str:
    array = np.asarray(values)
    if array.dtype.kind in "US" or any(isinstance(each, str) for each in array.flat):
        return "BYTES"
    return "INT64" if array.dtype.kind in "iu" else "FP64"
