"""What the boosters of XGBoost and LightGBM share: one table in; labels and probabilities, or numbers, out.

A booster that was trained on columns of category dtype takes a tensor for each column (`categories`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import DTYPES, Array, tensor_of, texts
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.runtimes.base import PREDICT, PREDICT_PROBA
from modelward_inference.runtimes.estimators import categories
from modelward_inference.runtimes.estimators.columns import INPUT


class BoosterModel(ABC):
    """A booster: input `input` of shape [rows, features]. A subclass loads it, and calls `_describe` when it has."""

    warnings: Sequence[str] = ()
    is_classifier: bool
    gives_labels = False
    """Whether its numbers are those of classes."""
    has_targets = False
    """Whether it is asked several yes-or-no questions at once: then it gives the probability of yes to each."""
    booster: Any
    columns: tuple[str, ...] = ()
    """Names of the features at training, empty where they had none."""

    @abstractmethod
    def _raw(self, rows: Array) -> Array:
        """What the booster predicts: probabilities of classes (of the second, where there are two), or numbers."""

    def _describe(self, features: int, datatype: str, columns: Sequence[str] = ()) -> None:
        """Find the signature by a prediction for a row of zeros."""
        self.columns = tuple(columns)
        known = categories.of(self.booster)
        self._coder = categories.coder_of(self.booster)
        if known:
            names = columns or [f"x{index}" for index in range(features)]
            # In single precision the categories 16777216 and 16777217 would be one.
            kinds = [datatype if index not in known else "BYTES" if categories.are_texts(known[index]) else "FP64"
                     for index in range(features)]  # fmt: skip
            inputs = tuple(Tensor(name, kind, (-1, 1)) for name, kind in zip(names, kinds, strict=True))
        else:
            inputs = (Tensor(INPUT, datatype, (-1, features)),)
        example = self._answers(np.zeros((1, features), DTYPES[datatype]))
        outputs = tuple(tensor_of(name, array) for name, array in example.items())
        self.signature = Signature(inputs, outputs)

    @property
    def classes(self) -> tuple[Any, ...]:
        """The numbers of the classes: the file does not know their names. Empty where each target has its own."""
        one = self.is_classifier and not self.has_targets
        return tuple(range(self.signature.outputs[1].shape[1])) if one else ()

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        if self._coder is None:
            rows = inputs[INPUT]
        else:
            given = [(tensor.name, inputs[tensor.name]) for tensor in self.signature.inputs]
            rows = self._coder.table(
                [(name, texts(array) if array.dtype.kind == "O" else array) for name, array in given]
            )
        answers = self._answers(rows)
        return {name: answers[name] for name in outputs}

    def _answers(self, rows: Array) -> dict[str, Array]:
        raw = self._raw(rows)
        if not self.is_classifier:
            return {PREDICT: raw}
        if raw.ndim == 1:
            # As the libraries' own classifiers do: one half is the second class only when it is exceeded.
            return {PREDICT: (raw > 0.5).astype(np.int64), PREDICT_PROBA: np.stack((1 - raw, raw), axis=1)}
        if self.has_targets:
            return {PREDICT: (raw > 0.5).astype(np.int64), PREDICT_PROBA: raw}
        return {PREDICT: raw.argmax(axis=1), PREDICT_PROBA: raw}
