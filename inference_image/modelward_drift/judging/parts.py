"""What is left of a distribution besides its heavy cells: the few rows whose drift the many would hide.

Where 99 % of the values are 0, all others may become anything, and no metric over all rows reaches a threshold: PSI
stays below 0.1, the distance of Kolmogorov and Smirnov below 0.01. So the rest is compared by itself, too, as in a
hurdle model (Cragg, Econometrica 39, 1971): first whether a value is one of the heavy ones, then which of the others.
Of a distribution without heavy cells there is no such part, and a metric is what its formula says of all rows.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

from modelward_drift.arrays import Integers

GAP: Final = 4
"""Heavy cells have so many times the rows of any other: where shares fall gradually, as Poisson's, there is no rest."""

SMALL: Final = 4
"""A rest is looked at by itself with a quarter of all rows or less: of a larger one the whole tells enough."""

CERTAIN: Final = 1e-5
"""The rest's own probability by chance, from where its effect counts: of few rows each metric is large by chance. About
what the default budget leaves a single test. A verdict needs the test of all cells besides, so budgets stay kept."""


def rests(reference: Integers, heaviest: Iterable[int]) -> list[Integers]:
    """Cells without the heavy ones, each within the one before: without the heaviest, without the two heaviest, …

    `reference`: counts (cells,) of the cells that hold ordinary values; `heaviest`: those of them that may be heavy,
    the heaviest first.
    """
    total = rest = int(reference.sum())
    left = np.ones(len(reference), np.bool_)
    found = []
    for cell in heaviest:
        left[cell] = False
        rest -= int(reference[cell])
        if 0 < rest * SMALL <= total and int(reference[left].max()) * GAP <= reference[cell]:
            found.append(np.flatnonzero(left))
    return found
