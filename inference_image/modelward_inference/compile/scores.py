"""What proves the compiled form of a model that answers labels alone: the scores from which its labels are made.

A label hides how far a form is from the original until a row lies between two classes. One converter had the formula of
sublinear term frequencies wrong; every golden row kept its class all the same, and one in a hundred others did not. So
a form of such a model shows its scores, too, while it is compared. They are no part of what is served.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.parity.golden import SCORES, SQUARES, GoldenRows
from modelward_inference.runtimes.base import PREDICT, Model

METHODS = {"decision_function": SCORES, "transform": SQUARES}
"""Where estimators have them: of classifiers and outlier detectors, and the distances to the centres of clusters, as
squares: next to a centre the root makes much of what rounding left of 0, and the nearest is chosen by squares."""

_MOST = 2**24
"""Up to it single precision holds every whole number."""


@dataclass(frozen=True)
class Witness:
    """The original with one output more. Everything else is the original's own."""

    model: Model
    method: str
    signature: Signature

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        shown = METHODS[self.method]
        found = self.model.predict(inputs, [self.method if name == shown else name for name in outputs])
        if shown in outputs:
            scores = _table(found.pop(self.method))
            found[shown] = scores * scores if shown == SQUARES else scores
        return found


def shown(model: Model, rows: GoldenRows) -> Model:
    """The model with its scores beside its labels, where it answers labels alone and has some; else itself. `rows`:
    some that it takes."""
    estimator = getattr(model, "estimator", None)
    method = next((each for each in METHODS if hasattr(estimator, each)), "")
    if not method or not _labels_alone(model):
        return model
    first = {name: array[:1] for name, array in rows.inputs.items()}
    scores = Tensor(METHODS[method], "FP64", (-1, _table(model.predict(first, [method])[method]).shape[1]))
    return Witness(model, method, replace(model.signature, outputs=(*model.signature.outputs, scores)))


def hidden(model: Model) -> Model:
    """The model that is served, of one that `shown` gave."""
    return model.model if isinstance(model, Witness) else model


def proof(model: Model, rows: GoldenRows) -> GoldenRows:
    """Golden rows with the scores of a model that `shown` gave.

    Raises ValueError where it has none, and answers labels alone: nothing then proves that another form answers alike.
    So it does where none of the rows shows a class of which the converters may make another one.
    """
    _check_classes(model, rows)
    if isinstance(model, Witness):
        return replace(rows, expected={**rows.expected, **model.predict(rows.inputs, [METHODS[model.method]])})
    if _labels_alone(model):
        raise ValueError("it answers labels alone, and has no scores by which another form could be compared with it")
    return rows


def _check_classes(model: Model, rows: GoldenRows) -> None:
    seen = np.ravel(rows.expected.get(PREDICT, ())).tolist()
    for each in getattr(model, "classes", ()):
        if each in seen or not isinstance(each, int | float) or (float(each).is_integer() and abs(each) <= _MOST):
            continue
        raise ValueError(
            f"the converters round classes to single precision or to whole numbers, and no golden row is of the class "
            f"{each!r}, which would be another one then"
        )


def _labels_alone(model: Model) -> bool:
    """Whether every answer is one of a few: a class, which may be a number with a fraction, a cluster, in or out."""
    ((name, kind), *others) = [(tensor.name, tensor.datatype) for tensor in model.signature.outputs]
    if others or name != PREDICT:
        return False
    if not kind.startswith("FP") or getattr(model, "gives_labels", False):
        return True
    return hasattr(getattr(model, "estimator", None), "classes_")


def _table(scores: Array) -> Array:
    """One row for each row asked; of two classes there is one column, of the second class."""
    return np.asarray(scores, np.float64).reshape(len(scores), -1)
