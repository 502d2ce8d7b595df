"""LightGBM's own text files, by the Booster: labels and probabilities for classifiers, numbers for the rest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from modelward_inference.bundle import Signature, Tensor
from modelward_inference.errors import ArtifactCorrupt
from modelward_inference.runtimes.base import Array, tensor_of
from modelward_inference.runtimes.columns import INPUT
from modelward_inference.runtimes.estimator import PREDICT, PREDICT_PROBA

_CLASSIFIERS = ("binary", "multiclass", "multiclassova")
"""Objectives with which the booster gives probabilities."""


class LightgbmModel:
    """A booster: input `input` of shape [rows, features]. `threads`: of one prediction."""

    warnings: Sequence[str] = ()

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.libraries = {"lightgbm": lightgbm.__version__}
        self._threads = threads
        try:
            text = path.read_text()
            _check_complete(text)
            self.booster = lightgbm.Booster(model_str=text)
        except MemoryError:
            raise
        except Exception as error:
            raise ArtifactCorrupt(
                f"can't be loaded with LightGBM {lightgbm.__version__}: {str(error)[:300]}. Upload the artifact again"
            ) from error
        objective = next((line for line in text.splitlines() if line.startswith("objective=")), "")
        words = objective.removeprefix("objective=").split()
        self.is_classifier = bool(words) and words[0] in _CLASSIFIERS
        features = self.booster.num_feature()
        example = self._answers(np.zeros((1, features)))
        names = (PREDICT, PREDICT_PROBA) if self.is_classifier else (PREDICT,)
        self.signature = Signature(
            (Tensor(INPUT, "FP64", (-1, features)),), tuple(tensor_of(name, example[name]) for name in names)
        )

    @property
    def classes(self) -> tuple[Any, ...]:
        """The numbers of the classes: the file does not know their names."""
        return tuple(range(self.signature.outputs[1].shape[1])) if self.is_classifier else ()

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        answers = self._answers(inputs[INPUT])
        return {name: answers[name] for name in outputs}

    def _answers(self, rows: Array) -> dict[str, Array]:
        raw = np.asarray(self.booster.predict(rows, num_threads=self._threads))
        if not self.is_classifier:
            return {PREDICT: raw}
        if raw.ndim == 1:
            return {PREDICT: (raw > 0.5).astype(np.int64), PREDICT_PROBA: np.stack((1 - raw, raw), axis=1)}
        return {PREDICT: raw.argmax(axis=1), PREDICT_PROBA: raw}


def _check_complete(text: str) -> None:
    """LightGBM ends the process, or reads past the end, where a file was cut off: look for what it writes last."""
    if "\nend of trees" not in text:
        raise ValueError("the file is cut off: the line 'end of trees' is missing")
