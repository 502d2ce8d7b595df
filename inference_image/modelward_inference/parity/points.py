"""Numbers at which the steps of a model decide: numeric categories, edges of bins, thresholds that turn into 0 and 1,
numbers that stand for a missing value, quantiles, the ends of a range that is cut off.

Trees have theirs elsewhere (`runtimes.estimators.thresholds`), and what stands behind other steps, too (`stages`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from modelward_inference.runtimes.estimators import columns

MOST = 12
"""Of one column; of more, as many evenly spaced."""

_SINGLE = ("missing_values", "binarize", "threshold")
"""One number for all columns: an imputer's, a Bernoulli Bayes', a Binarizer's."""


def of(estimator: Any) -> Iterator[tuple[int, Sequence[float]]]:
    """Of a column's place at training: finite numbers, of each step that decides at some."""
    width = columns.width_of(estimator)
    for step, places in columns.takers(estimator, range(width or 0)):
        for at, values in of_step(step, len(places)):
            yield places[at], values


def of_step(step: Any, width: int) -> Iterator[tuple[int, Sequence[float]]]:
    """The same of a single step that takes `width` columns."""
    for place, values in zip(range(width), _of_step(step, width), strict=False):
        numbers = [each for each in values if isinstance(each, int | float | np.number) and np.isfinite(each)]
        if numbers:
            yield place, [numbers[at] for at in np.unique(np.linspace(0, len(numbers) - 1, MOST).astype(int))]


def _of_step(step: Any, width: int) -> Sequence[Sequence[Any]]:
    categories = getattr(step, "categories_", None)
    if isinstance(categories, list) and len(categories) == width:
        return [each.tolist() for each in categories]
    edges = getattr(step, "bin_edges_", None)
    if edges is not None and len(edges) == width:
        return [np.asarray(each).tolist() for each in edges]
    quantiles = getattr(step, "quantiles_", None)
    if isinstance(quantiles, np.ndarray) and quantiles.ndim == 2 and quantiles.shape[1] == width:
        return [each.tolist() for each in quantiles.T]
    if getattr(step, "clip", False) and len(getattr(step, "data_min_", ())) == width:
        return [list(each) for each in zip(step.data_min_, step.data_max_, strict=True)]
    for name in _SINGLE:
        found = getattr(step, name, None)
        if isinstance(found, int | float | np.number) and not isinstance(found, bool):
            return [[found]] * width
    return []


def beside(values: Sequence[float], dtype: Any) -> list[float]:
    """The values, and what lies a step, a rounding to single precision and a half beside them, in a type of numbers."""
    if dtype.kind != "f":
        return []
    found: list[float] = []
    with np.errstate(over="ignore"):  # what is infinite then is a number like any other here
        for value in np.asarray(values, dtype):
            rounded: Any = np.asarray(value, np.float32).astype(dtype)
            steps = (np.nextafter(value, dtype.type(end)) for end in (-np.inf, np.inf))
            found += [value, rounded, *steps, value + dtype.type(0.5), value * dtype.type(1 + 4e-8)]
    return found
