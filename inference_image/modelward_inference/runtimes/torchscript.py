"""TorchScript modules, where torch is in the image. The file names no shapes, so they come from the bundle."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Signature
from modelward_inference.errors import ArtifactCorrupt, ModelUnsupported


class TorchScriptModel:
    """A scripted or traced module: inputs by position in the signature's order, one tensor or several out."""

    warnings: Sequence[str] = ()

    def __init__(self, path: Path, threads: int = 1, signature: Signature | None = None) -> None:
        try:
            import torch
        except ImportError as error:
            raise ModelUnsupported(
                "The model is a TorchScript module, and this inference image has no torch; build it with the extra "
                "`torch`, or export the model with torch.onnx.export"
            ) from error
        if signature is None:
            raise ModelUnsupported(
                "A TorchScript file does not tell the shapes of its tensors; publish it as a bundle written by "
                "modelward.save_bundle, or export the model with torch.onnx.export"
            )
        self._torch: Any = torch
        torch.set_num_threads(threads)
        self.signature = signature
        self.libraries = {"torch": str(torch.__version__)}
        try:
            self._module: Any = torch.jit.load(str(path), map_location="cpu").eval()
        except MemoryError:
            raise
        except Exception as error:
            told = str(error).strip().splitlines()[0][:500]
            damaged = "PytorchStreamReader" in str(error) or isinstance(error, EOFError)
            cure = "Upload the artifact again" if damaged else f"Save it with torch {torch.__version__}, or as ONNX"
            raise ArtifactCorrupt(f"can't be loaded as TorchScript: {told}. {cure}") from error

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        given = [self._torch.from_numpy(inputs[tensor.name]) for tensor in self.signature.inputs]
        with self._torch.inference_mode():
            raw = self._module(*given)
        answers = raw if isinstance(raw, tuple | list) else (raw,)
        named = dict(zip((tensor.name for tensor in self.signature.outputs), answers, strict=True))
        return {name: named[name].numpy() for name in outputs}
