"""Model formats: one module each, behind the interface in `base`."""

from pathlib import Path

from modelward_inference import formats
from modelward_inference.runtimes.base import Model


def load(kind: str, path: Path, threads: int = 1) -> Model:
    """Load a model of a format. `threads`: how many one prediction may use.

    Raises ArtifactCorrupt where it can't be read, ModelUnsupported where it can't be served.
    """
    # Each library is large: only the one that is needed is imported.
    if kind == formats.ONNX:
        from modelward_inference.runtimes.onnx import OnnxModel

        return OnnxModel(path, threads)
    from modelward_inference.runtimes.sklearn import SklearnModel

    return SklearnModel(path)
