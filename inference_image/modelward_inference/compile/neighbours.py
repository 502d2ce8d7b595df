"""Nearest neighbours whose choice is the library's own: of rows of training at the same distance it takes those that
its tree or its sorting comes by first, and no converted graph does the same."""

import warnings
from typing import Any, Final

import numpy as np

from modelward_inference.artifact.arrays import Array

ROWS: Final = 500
"""Of training that are looked at, evenly spaced."""

FIRST: Final = 8
"""Neighbours of each that are looked at at least: between whole numbers there are ties wherever one looks."""

_NEAR: Final = 1e-7
"""Of the largest distance: what rounding leaves of none."""


def refuse(step: Any) -> None:
    """Raises ValueError where a step's answers can't be told from its neighbours' distances alone."""
    name = type(step).__name__
    if getattr(step, "weights", None) == "distance" and (hasattr(step, "kneighbors") or _is_imputer(step)):
        raise ValueError(
            f"the {name} takes a row of training for the whole answer to the same row, and the converter divides by "
            "its distance"
        )
    if _is_imputer(step) or (hasattr(step, "kneighbors") and getattr(step, "_y", None) is not None):
        known = step._fit_X
        if getattr(step, "n_neighbors", None) and not hasattr(known, "tocsr") and _has_ties(step, np.asarray(known)):
            raise ValueError(
                f"rows that the {name} learned are at the same distance from another, and which of them it takes is "
                "its library's own"
            )


def _is_imputer(step: Any) -> bool:
    return hasattr(step, "_fit_X") and hasattr(step, "_mask_fit_X")


def _has_ties(step: Any, known: Array) -> bool:
    """Whether any two neighbours of a row have the same distance, and another outcome each."""
    if len(known) < 2:
        return False
    rows = known[np.unique(np.linspace(0, len(known) - 1, ROWS).astype(int))]
    count = min(max(step.n_neighbors + 1, FIRST), len(known))
    distances, outcomes = _of_imputer(step, rows, count) if _is_imputer(step) else _of_neighbours(step, rows, count)
    gaps = np.diff(distances, axis=1)
    with np.errstate(invalid="ignore"):
        near = gaps <= _NEAR * np.nanmax(distances, axis=1, keepdims=True, initial=0.0)
    return bool((near & (outcomes[:, 1:] != outcomes[:, :-1]).any(axis=2)).any())


def _of_neighbours(step: Any, rows: Array, count: int) -> tuple[Array, Array]:
    """Distances, and outcomes (rows, neighbours, outputs)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names, which its own rows have not
        distances, places = step.kneighbors(rows, count)
    outcomes = np.asarray(step._y)[places]
    return distances, outcomes.reshape(*places.shape, -1)


def _of_imputer(step: Any, rows: Array, count: int) -> tuple[Array, Array]:
    """The values of a neighbour are what it gives; NaN, which gives none, is like another NaN."""
    from sklearn.metrics import pairwise_distances

    found = pairwise_distances(
        rows, step._fit_X, metric=step.metric, missing_values=step.missing_values, ensure_all_finite="allow-nan"
    )
    places = np.argsort(found, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(found, places, axis=1), np.nan_to_num(step._fit_X.astype(np.float64))[places]
