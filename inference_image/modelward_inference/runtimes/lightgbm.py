"""LightGBM's own text files, by the Booster: labels and probabilities for classifiers, numbers for the rest."""

from pathlib import Path

import lightgbm
import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.errors import ArtifactCorrupt
from modelward_inference.runtimes.booster import BoosterModel

_CLASSIFIERS = ("binary", "multiclass", "multiclassova")
"""Objectives with which the booster gives probabilities."""


class LightgbmModel(BoosterModel):
    """`source`: the file, or the text in it; `threads`: of one prediction."""

    def __init__(self, source: Path | str, threads: int = 1) -> None:
        self.libraries = {"lightgbm": lightgbm.__version__}
        self._threads = threads
        try:
            text = source if isinstance(source, str) else source.read_text()
            _check_complete(text)
            self.booster = lightgbm.Booster(model_str=text)
        except MemoryError:
            raise
        except Exception as error:
            cure = "Upload the artifact again" if isinstance(error, ValueError) else "Save it with this version"
            raise ArtifactCorrupt(
                f"can't be loaded with LightGBM {lightgbm.__version__}: {str(error)[:300]}. {cure}"
            ) from error
        objective = next((line for line in text.splitlines() if line.startswith("objective=")), "")
        words = objective.removeprefix("objective=").split()
        self.is_classifier = bool(words) and words[0] in _CLASSIFIERS
        names = self.booster.feature_name()
        generated = [f"Column_{index}" for index in range(len(names))]
        self._describe(self.booster.num_feature(), "FP64", [] if names == generated else names)

    def _raw(self, rows: Array) -> Array:
        return np.asarray(self.booster.predict(rows, num_threads=self._threads))


def _check_complete(text: str) -> None:
    """LightGBM ends the process, or reads past the end, where a file was cut off: look for what it writes last."""
    if "\nend of trees" not in text:
        raise ValueError("the file is cut off: the line 'end of trees' is missing")
