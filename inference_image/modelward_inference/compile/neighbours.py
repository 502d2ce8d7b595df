"""Nearest neighbours, which are served as they are: their answers jump where two rows of training are at the same
distance from the one that is asked, or one at the very radius. There the last digit of a distance decides, and which
of several comes first in the library's own tree or sorting. Such rows are between any two rows of training: no
comparison of some answers proves that a converted graph, which adds in another order, takes the same ones.
"""

from typing import Any


def refusal(step: Any) -> str:
    """Why a step whose answers hang on which rows of training are the nearest of a row, or near it, is not converted;
    "" of any other one."""
    if not (hasattr(step, "kneighbors") or hasattr(step, "radius_neighbors") or _is_imputer(step)):
        return ""
    return (
        f"the answers of the {type(step).__name__} hang on which rows of training are nearest, and which of those "
        "at the same distance, or at the very radius, count is its library's own"
    )


def _is_imputer(step: Any) -> bool:
    """Whether it fills gaps with what its neighbours hold."""
    return hasattr(step, "_fit_X") and hasattr(step, "_mask_fit_X")
