"""Columns whose encoder learned numbers or truths as objects, as a data frame has them where some are missing.

Such an encoder compares objects: it fails on a column of floats, the only one of the protocol that has numbers and
missing values (null). So these columns reach it as objects, with the missing value that it learned.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.runtimes.estimators import columns

Missing = float | None


def of(estimator: Any) -> dict[str, Missing]:
    """By name, as `columns.all_names` has them: what is missing there, None or NaN."""
    names = columns.all_names(estimator)
    found: dict[str, Missing] = {}
    for place, values in columns.learned_categories(estimator):
        kinds = {type(each) for each in values}
        if np.asarray(values).dtype == object and not kinds & {str, bytes}:
            found.setdefault(names[place], None if type(None) in kinds else np.nan)
    return found


def as_learned(given: Mapping[str, Array], objects: Mapping[str, Missing]) -> dict[str, Array]:
    """The columns, those of `objects` as such. 1 and 0 are the truths that they equal."""
    return {name: _objects(array, objects[name]) if name in objects else array for name, array in given.items()}


def _objects(array: Array, missing: Missing) -> Array:
    found = np.empty(array.size, object)
    found[:] = [missing if each != each else each for each in array.ravel().tolist()]
    return found.reshape(array.shape)
