"""Model formats: one module each, behind the interface in `base`."""

from pathlib import Path

from modelward_inference.artifact import formats
from modelward_inference.artifact.bundle import Signature
from modelward_inference.errors import ModelUnsupported
from modelward_inference.runtimes.base import Model


def load(
    kind: str, path: Path, threads: int = 1, signature: Signature | None = None, width: int | None = None
) -> Model:
    """Load a model of a format. `threads`: how many one prediction may use.

    `signature`: what is known from the bundle already; None lets the model tell it itself, which TorchScript can't.
    `width`: how many columns the training data had, for estimators of one's own that don't know it.
    Raises ArtifactCorrupt where it can't be read, ModelUnsupported where it can't be served.
    """
    # Each library is large: only the one that is needed is imported.
    match kind:
        case formats.ONNX:
            from modelward_inference.runtimes.onnx import OnnxModel

            return OnnxModel(path, threads)
        case formats.SKLEARN:
            from modelward_inference.runtimes import sklearn

            return sklearn.load(path, signature, width)
        case formats.SKOPS:
            from modelward_inference.runtimes import skops

            return skops.load(path, signature, width)
        case formats.XGBOOST:
            from modelward_inference.runtimes.xgboost import XgboostModel

            return XgboostModel(path, threads)
        case formats.LIGHTGBM:
            from modelward_inference.runtimes.lightgbm import LightgbmModel

            return LightgbmModel(path, threads)
        case formats.TORCHSCRIPT:
            from modelward_inference.runtimes.torchscript import TorchScriptModel

            return TorchScriptModel(path, threads, signature)
        case _:
            raise ModelUnsupported(f"No runtime for the format {kind!r}; this image has {', '.join(formats.FORMATS)}")
