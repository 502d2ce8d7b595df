"""Numbers at which the steps of a model decide: numeric categories, edges of bins, thresholds that turn into 0 and 1.

Trees have theirs elsewhere (`runtimes.thresholds`): they compare what other steps have made of the columns.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from modelward_inference.runtimes.estimators import columns

MOST = 12
"""Of one column; of more, as many evenly spaced."""


def of(estimator: Any) -> Iterator[tuple[int, Sequence[float]]]:
    """Of a column's place at training: finite numbers, of each step that decides at some."""
    width = columns.width_of(estimator)
    for step, places in columns.takers(estimator, range(width or 0)):
        for place, values in zip(places, _of_step(step, len(places)), strict=False):
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
    if type(step).__name__ == "Binarizer":
        return [[step.threshold]] * width
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
