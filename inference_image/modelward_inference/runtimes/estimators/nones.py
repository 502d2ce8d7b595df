"""Which columns of an estimator have None for a value that is missing.

To encoders None and NaN are two values: one that learned None refuses NaN, or takes it for a category that it never
saw. So a null of a request becomes the one that training had; NaN where nothing tells, as pandas reads files.
"""

import math
from typing import Any

from modelward_inference.runtimes.estimators import columns


def of(estimator: Any) -> frozenset[str]:
    """Names of the columns, as `columns.all_names` has them."""
    names = columns.all_names(estimator)
    learned: dict[int, bool] = {}
    for place, values in columns.learned_categories(estimator):
        if any(isinstance(each, float) and math.isnan(each) for each in values):
            learned.setdefault(place, False)
        elif any(each is None for each in values):
            learned.setdefault(place, True)
    return frozenset(names[place] for place, is_none in learned.items() if is_none)
