"""Which columns of an estimator have None for a value that is missing.

To encoders None and NaN are two values: one that learned None refuses NaN, or takes it for a category that it never
saw. So a null of a request becomes the one that training had; NaN where nothing tells, as pandas reads files.
"""

import math
from collections.abc import Iterator
from typing import Any

from modelward_inference.runtimes import columns


def of(estimator: Any) -> frozenset[str]:
    """Names of the columns, as `columns.all_names` has them."""
    names = columns.all_names(estimator)
    learned: dict[int, bool] = {}
    for place, is_none in _learned(columns.unwrapped(estimator), len(names)):
        learned.setdefault(place, is_none)
    return frozenset(names[place] for place, is_none in learned.items() if is_none)


def _learned(step: Any, width: int) -> Iterator[tuple[int, bool]]:
    """Of a column's place: whether its missing value is None, told by each step that has learned one; the first wins.

    A later step of a pipeline counts while there are as many columns as came in.
    """
    if isinstance(step, str):
        return
    inner = columns.steps_of(step)
    if inner != [step]:
        for each in inner:
            yield from _learned(columns.unwrapped(each), width)
    elif columns.is_column_transformer(step):
        for each, positions, _ in columns.selections(step):
            yield from ((positions[place], found) for place, found in _learned(each, len(positions)))
    elif isinstance(getattr(step, "transformer_list", None), list):
        for _, each in step.transformer_list:
            yield from _learned(each, width)
    elif hasattr(step, "statistics_") and getattr(step, "missing_values", 0) is None:
        yield from ((place, True) for place in range(width))
    else:
        known = getattr(step, "categories_", None)
        if isinstance(known, list) and len(known) == width:
            for place, values in enumerate(known):
                if any(isinstance(each, float) and math.isnan(each) for each in values):
                    yield place, False
                elif any(each is None for each in values):
                    yield place, True
