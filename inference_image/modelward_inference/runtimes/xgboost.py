"""XGBoost's own files (.ubj, .json), by the Booster: labels and probabilities for classifiers, numbers for the rest."""

import json
import re
import threading
from pathlib import Path

import numpy as np
import xgboost

from modelward_inference.artifact.arrays import Array
from modelward_inference.errors import ArtifactCorrupt, ModelUnsupported
from modelward_inference.runtimes.booster import BoosterModel

_BINARY = "binary:logistic"

PROBABILITY_OBJECTIVES = frozenset({_BINARY, "multi:softprob"})
"""Objectives with which the booster gives probabilities."""

LABEL_OBJECTIVES = frozenset({"multi:softmax", "binary:hinge"})
"""Objectives with which it gives the number of a class, and nothing that tells how near the next one is."""


class XgboostModel(BoosterModel):
    """`source`: the file, or what is in it; `threads`: of one prediction."""

    def __init__(self, source: Path | bytes, threads: int = 1) -> None:
        # From memory it tells JSON from UBJSON by content, from a file by the name's end.
        self.content = bytearray(source if isinstance(source, bytes) else source.read_bytes())
        self.libraries = {"xgboost": xgboost.__version__}
        # Its reader of UBJSON may never come back from half a file.
        if self.content.startswith(b"{") and not self.content.rstrip(b" \r\n\t\0").endswith(b"}"):
            raise ArtifactCorrupt("is cut off: its last bracket is missing. Upload the artifact again")
        try:
            self.booster = xgboost.Booster({"nthread": threads}, model_file=self.content)
            config = json.loads(self.booster.save_config())["learner"]
        except MemoryError:
            raise
        except Exception as error:
            what = f"can't be loaded with XGBoost {xgboost.__version__}: {_first_line(error)}"
            if _is_damaged(error):
                raise ArtifactCorrupt(f"{what}. Upload the artifact again") from error
            raise ModelUnsupported(
                f"The model {what}. Save it with this version, without objectives of your own, or export it as ONNX"
            ) from error
        objective = config["objective"]["name"]
        self.is_classifier = objective in PROBABILITY_OBJECTIVES
        self.gives_labels = objective in LABEL_OBJECTIVES
        self.has_targets = objective == _BINARY and int(config["learner_model_param"]["num_target"]) > 1
        # One of weights alone predicts from XGBoost's own matrices only, and not in several threads.
        self._linear = threading.Lock() if config["gradient_booster"]["name"] == "gblinear" else None
        best = self.booster.attr("best_iteration")
        self._range = (0, int(best) + 1) if best is not None else (0, 0)
        try:
            self._describe(self.booster.num_features(), "FP32", self.booster.feature_names or ())
        except xgboost.core.XGBoostError as error:
            raise ModelUnsupported(
                f"The booster does not predict from plain numbers ({_first_line(error)}); export it as ONNX"
            ) from error

    def _raw(self, rows: Array) -> Array:
        if self._linear is not None:
            with self._linear:
                return np.asarray(self.booster.predict(xgboost.DMatrix(rows), validate_features=False))
        return np.asarray(self.booster.inplace_predict(rows, iteration_range=self._range, validate_features=False))


def _is_damaged(error: Exception) -> bool:
    """Whether the file could not be read, not that what it says is unknown here: readers fail in many places."""
    return not re.search(r"Unknown (?:objective|gradient booster|metric|updater|linear updater)", str(error))


def _first_line(error: Exception) -> str:
    """XGBoost puts the time and a place in its source before the cause, and a stack trace behind it."""
    text = str(error).partition("Stack trace:")[0].strip()
    return re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", text).splitlines()[0].strip()[:300] or str(error)[:300]
