"""A table of columns of several types where there are no data frames: an array can hold it as objects alone.

Steps go by the type that they are given: an imputer of objects answers objects, and lets an infinity through that it
refuses among numbers. So a selection of numbers gives numbers, as a data frame's does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.runtimes.estimators import columns


class Mixed(np.ndarray):
    """Objects of shape [rows, columns]. A selection of columns is an array of the type that all of them have room in;
    of objects where they have texts, or truths beside numbers, among them."""

    types: tuple[Any, ...] = ()

    def __array_finalize__(self, made_of: Any) -> None:
        self.types = getattr(made_of, "types", ())

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if not isinstance(key, tuple) or len(key) != 2 or not isinstance(found, np.ndarray):
            return found
        chosen = np.empty(len(self.types), object)
        chosen[:] = self.types
        types = np.atleast_1d(chosen[key[1]]).tolist()
        plain = found.view(np.ndarray)
        if types and (all(each.kind in "iuf" for each in types) or all(each.kind == "b" for each in types)):
            return plain.astype(np.result_type(*types))
        return plain


def table(arrays: Sequence[Array]) -> Any:
    """The columns, of shape [rows, 1] each, beside each other."""
    found = np.column_stack([array.astype(object) for array in arrays]).view(Mixed)
    found.types = tuple(array.dtype for array in arrays)
    return found


def beside_objects(estimator: Any, kinds: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the columns of floats that an encoder takes together with columns of another kind. It looks at a data
    frame's columns one by one, and refuses an infinity there that it does not see among objects. `kinds`: numpy's
    letters of the columns, by name."""
    names = columns.all_names(estimator)
    found: dict[str, None] = {}
    for step, places in columns.first_takers(estimator, range(len(names))):
        given = [names[place] for place in places]
        if hasattr(step, "categories_") and len({kinds.get(name, "O") for name in given}) > 1:
            found |= dict.fromkeys(name for name in given if kinds.get(name) == "f")
    return tuple(found)


def check(given: Mapping[str, Array], finite: Sequence[str]) -> None:
    """Raises ValueError, in scikit-learn's words, where one of the columns `finite` holds an infinity."""
    if any(given[name].dtype.kind == "f" and np.isinf(given[name]).any() for name in finite):
        raise ValueError("Input contains infinity or a value too large for dtype('float64').")
