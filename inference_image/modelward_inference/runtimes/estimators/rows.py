"""Plausible input rows for a fitted estimator, made from its own structure: no training data is needed.

Scalers tell means and scales, encoders their categories, vectorizers their words, trees their thresholds. The same
estimator and seed give the same rows. Between two thresholds of a tree the middle is taken: rounding to single
precision then moves a row across a threshold only where the thresholds lie too close for single precision at all.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import DTYPES, Array
from modelward_inference.artifact.bundle import Tensor
from modelward_inference.runtimes.estimators import columns, thresholds

SEED = 20_240_229
"""Any fixed number: every run of fetch has to make the same rows."""

COUNT = 64
"""Golden rows: enough to visit most branches near a tree's root, few enough to run in milliseconds at each start."""

MAX_WORDS = 12
"""Words of a generated text."""


def generate(estimator: Any, inputs: tuple[Tensor, ...], count: int = COUNT, seed: int = SEED) -> dict[str, Array]:
    """Values for each input tensor. `count`: rows; dimensions of open size other than rows are 1."""
    rng = np.random.default_rng(seed)
    own = columns.categories_of(estimator)
    if (
        len(inputs) == 1
        and inputs[0].name == columns.INPUT
        and not own
        and not (inputs[0].datatype == "BYTES" and inputs[0].shape == (-1, 1))
    ):
        if inputs[0].datatype == "BYTES":
            return {columns.INPUT: _texts(estimator, count, rng)}
        width = inputs[0].shape[-1]
        return {columns.INPUT: _finite(_table(estimator, width, count, rng)).astype(DTYPES[inputs[0].datatype])}
    table = _table(estimator, columns.width_of(estimator) or len(inputs), count, rng).astype(object)
    for place, values in own.items():
        table[:, place] = _chosen(np.array(values, object), count, rng)
    names = columns.all_names(estimator)
    if len(names) == table.shape[1] > len(inputs):
        table = table[:, [names.index(tensor.name) for tensor in inputs]]
    return {tensor.name: _column(table[:, index], tensor) for index, tensor in enumerate(inputs)}


def with_gaps(rows: Mapping[str, Array], every: int = 8) -> dict[str, Array]:
    """The rows with a missing value (NaN) in one column of each `every`th row; texts and whole numbers stay."""
    found = {name: array.copy() for name, array in rows.items()}
    for offset, array in enumerate(each for each in found.values() if each.dtype.kind == "f"):
        for row in range(offset % every, len(array), every):
            array[row].reshape(-1)[(row // every) % max(1, array[row].size)] = np.nan
    return found


def _finite(table: Array) -> Array:
    return np.nan_to_num(table.astype(np.float64))


def _column(values: Array, tensor: Tensor) -> Array:
    if tensor.datatype == "BYTES":
        return np.array([str(value) for value in values], dtype=object).reshape(-1, 1)
    numbers = _finite(values)
    rounded = np.rint(numbers) if DTYPES[tensor.datatype].kind in "iu" else numbers
    return rounded.astype(DTYPES[tensor.datatype]).reshape(-1, 1)


def _texts(estimator: Any, count: int, rng: np.random.Generator) -> Array:
    words = ["text"]
    for step in columns.steps_of(estimator):
        words = sorted(getattr(step, "vocabulary_", ())) or words
    lengths = rng.integers(1, MAX_WORDS, size=count)
    return np.array([" ".join(rng.choice(words, size=length)) for length in lengths], dtype=object)


def _table(estimator: Any, width: int, count: int, rng: np.random.Generator) -> Array:
    """Rows for a step or a pipeline: half from the first step that says something, half from the last one's trees."""
    steps = columns.steps_of(estimator) or [estimator]
    own = (_of_step(step, width, count, rng) for step in steps if getattr(step, "n_features_in_", None) == width)
    table = next((found for found in own if found is not None), None)
    if table is None:
        table = rng.normal(size=(count, width))
    if len(steps) > 1 and count > 1:
        half = _backwards(steps, count // 2, rng)
        if half is not None and half.shape[1] == width:
            table[: len(half)] = half  # a table of texts and numbers holds objects and takes both
    return table


def _backwards(steps: list[Any], count: int, rng: np.random.Generator) -> Array | None:
    """Rows that fall on and between the thresholds of the last step's trees, taken back through the steps before it."""
    table = _between(steps[-1], int(getattr(steps[-1], "n_features_in_", 0)), count, rng)
    return None if table is None else taken_back(steps[:-1], table, rng)


def taken_back(steps: list[Any], table: Array, rng: np.random.Generator) -> Array | None:
    """What the steps would turn into the table; None where there is no way back."""
    try:
        for step in reversed(steps):
            if columns.is_column_transformer(step):
                table = _inverse_of_columns(step, table, rng)
            elif not hasattr(step, "statistics_"):  # an imputer changes no number
                table = step.inverse_transform(table)
    except Exception:  # noqa: BLE001  a step of any make; without a way back there are the other rows
        return None
    return table


def _inverse_of_columns(step: Any, table: Array, rng: np.random.Generator) -> Array:
    """The columns of numbers go back one by one; the others stay as their encoders' categories tell."""
    found = _of_column_transformer(step, int(step.n_features_in_), len(table), rng)
    for name, inner, _ in step.transformers_:
        positions = [int(each) for each in step._transformer_to_input_indices.get(name, ())]
        part = table[:, step.output_indices_[name]]
        if isinstance(inner, str) or part.shape[1] != len(positions):
            continue
        back = taken_back(columns.steps_of(inner), part, rng)
        if back is not None:
            found[:, positions] = back
    return found


def _of_step(step: Any, width: int, count: int, rng: np.random.Generator) -> Array | None:
    """Rows as one step's fitted attributes tell; None where it tells nothing."""
    if columns.is_column_transformer(step):
        return _of_column_transformer(step, width, count, rng)
    categories = getattr(step, "categories_", None)
    if isinstance(categories, list) and len(categories) == width:
        return np.column_stack([_chosen(each, count, rng) for each in categories])
    examples = next(
        (found for name in ("support_vectors_", "_fit_X") if _is_table(found := getattr(step, name, None), width)), None
    )
    if examples is not None:
        return np.asarray(examples)[rng.integers(len(examples), size=count)] * rng.normal(1, 0.05, (count, width))
    centre_and_spread = _spread(step, width)
    if centre_and_spread is not None:
        centre, spread = centre_and_spread
        return centre + spread * rng.normal(size=(count, width))
    statistics = getattr(step, "statistics_", None)
    if isinstance(statistics, np.ndarray) and len(statistics) == width:
        return _around(statistics, count, rng)
    table = _between(step, width, count, rng)
    return _of_members(step, width, count, rng) if table is None else table


def _of_members(step: Any, width: int, count: int, rng: np.random.Generator) -> Array | None:
    """Rows as the first member of a group of estimators tells them."""
    # A pipeline has a length: numpy would take a list of them for a table of their steps.
    for member in columns.members_of(step) or np.ravel(np.array(getattr(step, "estimators_", ()), dtype=object)):
        for inner in columns.steps_of(member):
            table = _of_step(inner, width, count, rng) if getattr(inner, "n_features_in_", None) == width else None
            if table is not None:
                return table
    return None


def _of_column_transformer(step: Any, width: int, count: int, rng: np.random.Generator) -> Array:
    table = rng.normal(size=(count, width)).astype(object)
    for inner, positions, as_vector in columns.selections(step):
        if isinstance(inner, str):
            continue
        if as_vector and columns.is_vectorizer(columns.steps_of(inner)[0]):
            table[:, positions[0]] = _texts(inner, count, rng)
        else:
            table[:, positions] = _table(inner, len(positions), count, rng)
    return table


def _chosen(categories: Array, count: int, rng: np.random.Generator) -> Array:
    values = [each for each in categories if isinstance(each, str) or (each is not None and each == each)] or [""]
    return np.array([values[index] for index in rng.integers(len(values), size=count)], dtype=object)


def _around(statistics: Array, count: int, rng: np.random.Generator) -> Array:
    """Near what an imputer fills in; a text is taken as it is."""
    made = [
        np.full(count, each, dtype=object)
        if isinstance(each, str)
        else each + (abs(each) / 2 + 1) * rng.normal(size=count)
        for each in statistics
    ]
    return np.column_stack(made)


def _is_table(found: Any, width: int) -> bool:
    return isinstance(found, np.ndarray) and found.ndim == 2 and found.shape[1] == width and len(found) > 0


def _spread(step: Any, width: int) -> tuple[Array, Array] | None:
    """The middle and the typical deviation of each column, from a scaler's, a projection's or a Bayes' attributes."""

    def vector(name: str) -> Array | None:
        found = getattr(step, name, None)
        return found if isinstance(found, np.ndarray) and found.shape == (width,) else None

    for centre_name, spread_name in (("mean_", "scale_"), ("center_", "scale_")):
        centre, spread = vector(centre_name), vector(spread_name)
        if centre is not None or (spread is not None and hasattr(step, centre_name)):
            return (
                centre if centre is not None else np.zeros(width),
                spread if spread is not None else np.ones(width),
            )
    low, high = vector("data_min_"), vector("data_max_")
    if low is not None and high is not None:
        return (low + high) / 2, (high - low) / 4
    largest = vector("max_abs_")
    if largest is not None:
        return np.zeros(width), largest / 2
    coefficients = np.atleast_2d(getattr(step, "coef_", np.zeros((1, 0))))
    if hasattr(step, "classes_") and coefficients.shape[1] == width:
        # Around the point where no class has the better of the others, so that all of them occur.
        return np.linalg.lstsq(coefficients, -np.ravel(step.intercept_), rcond=None)[0], np.ones(width)
    means, variances = getattr(step, "theta_", None), getattr(step, "var_", None)
    if means is not None and variances is not None and _is_table(means, width):
        return means.mean(axis=0), np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    return None


def _between(step: Any, width: int, count: int, rng: np.random.Generator) -> Array | None:
    """Rows between the thresholds of a step's trees, and on those that are exact in single precision.

    Trees that compare in double precision have others: on these single precision can't be right. None without trees.
    """
    found = thresholds.of(step)
    if not found or width <= 0:
        return None
    table = rng.normal(size=(count, width))
    for feature, cuts in found.items():
        if feature < width:
            gap = max(1.0, abs(float(cuts[0])), abs(float(cuts[-1]))) / 4
            exact = cuts[cuts == cuts.astype(np.float32)]
            edges = np.concatenate(([cuts[0] - gap], (cuts[:-1] + cuts[1:]) / 2, [cuts[-1] + gap], exact))
            table[:, feature] = rng.choice(edges, size=count)
    return table
