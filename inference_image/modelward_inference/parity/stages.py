"""The steps inside of a model that decide at numbers or hold rows, and rows of the model's own input that lead there.

A step behind others is given what these make of a row, so its thresholds say nothing in terms of the row itself: rows
are made as the step is given them, and taken back. Members of a vote, a stack or a calibration are steps, too. Where
there is no way back (a projection, a table of several kinds of columns) nothing is made.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.parity import points
from modelward_inference.runtimes.estimators import columns, rows, thresholds

MOST = 192
"""Rows of all stages together: each costs the original and the compiled form a prediction."""

BESIDE = 48
"""Of one stage on and beside the numbers at which it decides."""

KEPT = 24
"""Of one stage, of the rows that it holds."""

STEP = 1e-12
"""Of the number itself, or of what is usual in its column: more than rounding of the steps before leaves in doubt, and
far finer than single precision."""

WITHIN = 0.3
"""Of the way to the next number of single precision: rounded back."""

_KEPT_AS = ("support_vectors_", "X_train_", "X_fit_", "cluster_centers_", "means_")
"""Where steps hold rows: what is learned from them is decided closest to them, and formulas of distances end at 0."""

_SEED = 20_240_316


@dataclass(frozen=True)
class Stage:
    """A fitted step, and the steps that a row passes before it, in order."""

    step: Any
    before: tuple[Any, ...] = ()


def of(estimator: Any) -> Iterator[Stage]:
    """All of an estimator, itself included; none behind a column transformer: its columns have points of their own."""
    yield from _within(estimator, ())


def make(estimator: Any, table: Array) -> Array:
    """`table`: rows that the model takes, [n, width]. Rows of that width and type on the numbers of its inner steps, at
    most MOST. Raises MemoryError alone: where a step of any make fails there are the others."""
    rng, whole = np.random.default_rng(_SEED), columns.unwrapped(estimator)
    found = [_of_stage(stage, stage.step is whole, table, rng) for stage in of(estimator)]
    made = np.concatenate([table[:0], *found])
    made = made[np.isfinite(made).all(axis=1)].astype(table.dtype)
    if len(made) <= MOST:
        return np.asarray(made)
    return np.asarray(made[np.sort(rng.choice(len(made), MOST, replace=False))])


def _within(step: Any, before: tuple[Any, ...]) -> Iterator[Stage]:
    steps = columns.steps_of(step)
    if len(steps) != 1:
        for place, each in enumerate(steps):
            yield from _within(each, (*before, *steps[:place]))
            if columns.is_column_transformer(each):
                return
        return
    (step,) = steps
    if columns.is_column_transformer(step):
        return
    yield Stage(step, before)
    for member in _members(step):
        yield from _within(member, before)


def _members(step: Any) -> list[Any]:
    """What is given the very rows that the step is given; trees are the step's own (`thresholds`)."""
    whole = list(range(getattr(step, "n_features_in_", 0)))
    if any(list(each) != whole for each in getattr(step, "estimators_features_", ())):
        return []
    found = list(_flat(getattr(step, "estimators_", ())))
    found += [each.estimator for each in getattr(step, "calibrated_classifiers_", None) or ()]
    found += [inner for _, inner in getattr(step, "transformer_list", None) or ()]
    found += [getattr(step, name, None) for name in ("regressor_", "estimator_")]
    width = getattr(step, "n_features_in_", None)  # what is a template only has none
    return [
        each
        for each in found
        if width is not None and getattr(each, "n_features_in_", None) == width and not hasattr(each, "tree_")
    ]


def _flat(held: Any) -> Iterator[Any]:
    # A pipeline has a length: numpy would take a list of them for a table of their steps.
    if isinstance(held, list | tuple | np.ndarray):
        for each in held:
            yield from _flat(each)
    else:
        yield held


def _of_stage(stage: Stage, is_whole: bool, table: Array, rng: np.random.Generator) -> Array:
    try:
        with np.errstate(all="ignore"):  # odd numbers are the point here, and no news to the log
            return _leading_to(stage, is_whole, table, rng)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  a step of any make
        return table[:0]


def _leading_to(stage: Stage, is_whole: bool, table: Array, rng: np.random.Generator) -> Array:
    given = table.astype(np.float64)
    for each in stage.before:
        made = each.transform(given)
        given = np.asarray(made.toarray() if hasattr(made, "toarray") else made, np.float64)
    if getattr(stage.step, "n_features_in_", None) != given.shape[1]:
        return table[:0]
    parts = [_kept(stage.step, given.shape[1])]
    if not is_whole:  # those of the whole model are made as exactly as its own input is (`adversarial`)
        parts.append(_beside(_numbers(stage.step, given), given, rng))
    found = np.concatenate(parts)
    if not len(found) or not stage.before:
        return found if len(found) else table[:0]
    back = rows.taken_back(list(stage.before), found, rng)
    return table[:0] if back is None or np.shape(back)[1] != table.shape[1] else np.asarray(back, np.float64)


def _numbers(step: Any, given: Array) -> Mapping[int, Sequence[float]]:
    """By place of a column of the step: the numbers at which it decides, and beside them."""
    found: dict[int, list[float]] = {}
    usual = np.median(np.abs(given), axis=0)
    double = thresholds.compares_in_double(step)
    for place, cuts in thresholds.of(step).items():
        for cut in cuts if place < len(usual) else ():
            found.setdefault(place, []).extend(_near(cut, usual[place]) if double else in_single(cut))
    for place, values in points.of_step(step, len(usual)):
        for value in values:
            found.setdefault(place, []).extend(_near(value, usual[place]))
    return found


def in_single(cut: float) -> list[float]:
    """Beside the threshold of a tree that rounds what it compares to single precision: that precision's numbers, and
    what is rounded to the middle one. No rounding before moves them to another: they lie well within their steps."""
    single = np.float32(cut)
    ends = [np.nextafter(single, np.float32(end)) for end in (-np.inf, np.inf)]
    return [*map(float, (single, *ends)), *(float(single) + WITHIN * (float(end) - float(single)) for end in ends)]


def _near(value: float, usual: float) -> tuple[float, float, float]:
    size = STEP * max(abs(value), usual)
    return float(value - size), float(value), float(value + size)


def _beside(numbers: Mapping[int, Sequence[float]], given: Array, rng: np.random.Generator) -> Array:
    count = BESIDE if numbers else 0
    made = given[np.arange(count) % len(given)].copy()
    for place, values in numbers.items():
        if place < made.shape[1]:
            made[:, place] = rng.choice(np.asarray(values), count)
    return made


def _kept(step: Any, width: int) -> Array:
    for name in _KEPT_AS:
        held = getattr(step, name, None)
        if isinstance(held, np.ndarray) and held.ndim == 2 and held.shape[1] == width and len(held):
            places = np.unique(np.linspace(0, len(held) - 1, KEPT).astype(int))
            return np.asarray(held[places], np.float64)
    return np.empty((0, width))
