"""XGBoost's own files (.ubj, .json), by the Booster: labels and probabilities for classifiers, numbers for the rest."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from modelward_inference.bundle import Signature, Tensor
from modelward_inference.errors import ArtifactCorrupt, ModelUnsupported
from modelward_inference.runtimes.base import Array, tensor_of
from modelward_inference.runtimes.columns import INPUT
from modelward_inference.runtimes.estimator import PREDICT, PREDICT_PROBA

PROBABILITY_OBJECTIVES = frozenset({"binary:logistic", "multi:softprob"})
"""Objectives with which the booster gives probabilities."""


class XgboostModel:
    """A booster: input `input` of shape [rows, features]. `threads`: of one prediction."""

    warnings: Sequence[str] = ()

    def __init__(self, path: Path, threads: int = 1) -> None:
        # From memory it tells JSON from UBJSON by content, from a file by the name's end.
        self.content = bytearray(path.read_bytes())
        self.libraries = {"xgboost": xgboost.__version__}
        try:
            self.booster = xgboost.Booster({"nthread": threads}, model_file=self.content)
            config = json.loads(self.booster.save_config())["learner"]
        except MemoryError:
            raise
        except Exception as error:
            raise ArtifactCorrupt(
                f"can't be loaded with XGBoost {xgboost.__version__}: {_first_line(error)}. Upload the artifact again"
            ) from error
        self.is_classifier = config["objective"]["name"] in PROBABILITY_OBJECTIVES
        best = self.booster.attr("best_iteration")
        self._range = (0, int(best) + 1) if best is not None else (0, 0)
        features = self.booster.num_features()
        try:
            example = self._answers(np.zeros((1, features), np.float32))
        except xgboost.core.XGBoostError as error:
            raise ModelUnsupported(
                f"The booster does not predict from plain numbers ({_first_line(error)}); export it as ONNX"
            ) from error
        names = (PREDICT, PREDICT_PROBA) if self.is_classifier else (PREDICT,)
        self.signature = Signature(
            (Tensor(INPUT, "FP32", (-1, features)),), tuple(tensor_of(name, example[name]) for name in names)
        )

    @property
    def classes(self) -> tuple[Any, ...]:
        """The numbers of the classes: the file does not know their names."""
        return tuple(range(self.signature.outputs[1].shape[1])) if self.is_classifier else ()

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        answers = self._answers(inputs[INPUT])
        return {name: answers[name] for name in outputs}

    def _answers(self, rows: Array) -> dict[str, Array]:
        raw = np.asarray(self.booster.inplace_predict(rows, iteration_range=self._range, validate_features=False))
        if not self.is_classifier:
            return {PREDICT: raw}
        if raw.ndim == 1:
            # As XGBClassifier does: one half is the second class only when it is exceeded.
            return {PREDICT: (raw > 0.5).astype(np.int64), PREDICT_PROBA: np.stack((1 - raw, raw), axis=1)}
        return {PREDICT: raw.argmax(axis=1), PREDICT_PROBA: raw}


def _first_line(error: Exception) -> str:
    """XGBoost adds a stack trace of its own; the cause stands before it, after the time."""
    return str(error).partition("Stack trace:")[0].strip().rpartition("]")[2].strip()[:300] or str(error)[:300]
