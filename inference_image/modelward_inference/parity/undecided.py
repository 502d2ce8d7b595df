"""Rows at which a classifier is in doubt, of one whose golden rows are all decided.

A probability of 0 or 1 says nothing of the formula behind it: a form whose scores are twice the original's gives the
same ones, until a row lies between two classes. So rows are looked for on the way from a row of one class to a row of
another. Where a model knows no doubt, as trees of pure leaves, there are none.
"""

from collections.abc import Mapping

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.runtimes.base import PREDICT_PROBA, Model

DOUBT = 0.01
"""Of the second class's probability, at least."""

ENOUGH = 8
"""Rows in doubt that prove the formula; and the pairs of rows between which others are looked for."""

STEPS = 30
"""Halvings of the way: doubt may be a hundred-millionth of it."""

_SEED = 20_240_317


def make(model: Model, rows: GoldenRows, has_words: bool) -> list[dict[str, Array]]:
    """Rows by tensor name, without the first dimension; none where the golden rows hold enough of them, or the model
    gives no probabilities. `has_words`: whether its texts are read word by word. Raises only MemoryError."""
    probable = rows.expected.get(PREDICT_PROBA)
    if probable is None or probable.ndim != 2 or probable.shape[1] < 2 or (_doubt(probable) > DOUBT).sum() >= ENOUGH:
        return []
    whole = np.isfinite(probable).all(axis=1) & rows.are_finite()
    pairs = _pairs(probable.argmax(axis=1), np.flatnonzero(whole))
    return [row for first, second in pairs for row in _between(model, rows.inputs, first, second, has_words)]


def _pairs(classes: Array, places: Array) -> list[tuple[int, int]]:
    """Places of two rows of different classes each."""
    rng = np.random.default_rng(_SEED)
    found = []
    for first in rng.permutation(places).tolist():
        others = places[classes[places] != classes[first]]
        if len(others):
            found.append((first, int(rng.choice(others))))
    return found[:ENOUGH]


def _between(
    model: Model, inputs: Mapping[str, Array], first: int, second: int, has_words: bool
) -> list[dict[str, Array]]:
    near, far = 0.0, 1.0
    own = None
    for _ in range(STEPS):
        middle = (near + far) / 2 if own is not None else 0.0
        asked = {
            name: _on_the_way(array[[first]], array[[second]], middle, has_words) for name, array in inputs.items()
        }
        try:
            (probable,) = model.predict(asked, [PREDICT_PROBA])[PREDICT_PROBA]
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  a model may raise anything
            return []
        if own is None:
            own = probable.argmax()
        elif _doubt(probable[None])[0] > DOUBT:
            return [{name: value[0] for name, value in asked.items()}]
        elif probable.argmax() == own:
            near = middle
        else:
            far = middle
    return []


def _on_the_way(first: Array, second: Array, share: float, has_words: bool) -> Array:
    """The first row's value at 0, the second's at 1; what is no number with a fraction jumps halfway, or word by
    word."""
    if first.dtype.kind == "f":
        return np.asarray(first + share * (second - first), first.dtype)
    if has_words and all(isinstance(each, str) for each in (*first.flat, *second.flat)):
        mixed = [_words(*each, share) for each in zip(first.flat, second.flat, strict=True)]
        return np.array(mixed, object).reshape(first.shape)
    return first if share < 0.5 else second


def _words(first: str, second: str, share: float) -> str:
    old, new = first.split(), second.split()
    return " ".join([*old[round(share * len(old)) :], *new[: round(share * len(new))]])


def _doubt(probable: Array) -> Array:
    """The second largest probability of each row."""
    return np.asarray(np.sort(probable, axis=1)[:, -2])
