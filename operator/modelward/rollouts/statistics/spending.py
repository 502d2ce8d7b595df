"""A test that is looked at again and again, by intervals that hold at one look: when, and how sure each has to be.

The chance of being wrong that the whole test may have is spent by its looks, of which the k-th has 1 / (k (k + 1)) of
it: these add up to 1 however many looks there are, so that by the union bound it holds over all of them, whatever is
common to what they see. Looks come at times that grow by a quarter: of rows that are hardly more than at the look
before little is learnt, and each look makes the later ones dearer. That costs little: the twentieth look needs 4.6
standard errors where a single one would need 2.6 (a chance of 0.5 %).
"""

from typing import Final

GROWTH: Final = 4
"""A look comes after a part of the time until the one before it: a quarter."""

CAUTION: Final = 5.0
"""By which each look's share is divided. Far out, intervals of values that are skewed (a share near 1, of a few hundred
rows) are passed more often than their level says: as measured, up to four times."""

WIDEST: Final = 1 - 1e-12
"""Of levels: beyond it there are no more numbers."""


def level_of(chance: float, look: int) -> float:
    """Of the interval with two ends at the look of that number, from 1, where one end is judged and the whole test may
    be wrong with `chance`."""
    return min(1 - 2 * chance / CAUTION / (look * (look + 1)), WIDEST)


def looks(every: float, elapsed: float) -> tuple[float | None, float]:
    """When the latest look was due after `elapsed` seconds, and when the next one is, both in seconds since the
    beginning: the first after `every`, each `every` seconds later than the one before it, or more. None: none was."""
    last, following = None, every
    while following <= elapsed:
        last, following = following, following + max(every, following // GROWTH)
    return last, following
