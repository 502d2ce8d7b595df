"""What the boosters of XGBoost and LightGBM share: one table in; labels and probabilities, or numbers, out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelward_inference.bundle import Signature, Tensor
from modelward_inference.runtimes.base import DTYPES, PREDICT, PREDICT_PROBA, Array, tensor_of
from modelward_inference.runtimes.columns import INPUT


class BoosterModel(ABC):
    """A booster: input `input` of shape [rows, features]. A subclass loads it, and calls `_describe` when it has."""

    warnings: Sequence[str] = ()
    is_classifier: bool

    @abstractmethod
    def _raw(self, rows: Array) -> Array:
        """What the booster predicts: probabilities of classes (of the second, where there are two), or numbers."""

    def _describe(self, features: int, datatype: str) -> None:
        """Find the signature by a prediction for a row of zeros."""
        example = self._answers(np.zeros((1, features), DTYPES[datatype]))
        outputs = tuple(tensor_of(name, array) for name, array in example.items())
        self.signature = Signature((Tensor(INPUT, datatype, (-1, features)),), outputs)

    @property
    def classes(self) -> tuple[Any, ...]:
        """The numbers of the classes: the file does not know their names."""
        return tuple(range(self.signature.outputs[1].shape[1])) if self.is_classifier else ()

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        answers = self._answers(inputs[INPUT])
        return {name: answers[name] for name in outputs}

    def _answers(self, rows: Array) -> dict[str, Array]:
        raw = self._raw(rows)
        if not self.is_classifier:
            return {PREDICT: raw}
        if raw.ndim == 1:
            # As the libraries' own classifiers do: one half is the second class only when it is exceeded.
            return {PREDICT: (raw > 0.5).astype(np.int64), PREDICT_PROBA: np.stack((1 - raw, raw), axis=1)}
        return {PREDICT: raw.argmax(axis=1), PREDICT_PROBA: raw}
