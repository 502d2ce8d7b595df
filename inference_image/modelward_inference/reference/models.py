"""The model that answers the training data, so that its outputs have profiles too."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelward_inference import runtimes
from modelward_inference.artifact import archive, formats, modelfile
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Signature
from modelward_inference.errors import FormatUnknown, InvalidConfiguration
from modelward_inference.runtimes.base import Model

AT_ONCE: Final = 4096
"""Rows that the model answers in one call: some models need memory for each."""


@dataclass(frozen=True)
class Answering:
    """`classes`: a classifier's labels in the order of its probabilities."""

    model: Model
    classes: Sequence[Any]

    def predict(self, inputs: Mapping[str, Array], rows: int, before: int) -> dict[str, Array]:
        """All outputs. `before`: rows that were answered earlier. Raises InvalidConfiguration."""
        names = [tensor.name for tensor in self.model.signature.outputs]
        parts = []
        for begin in range(0, rows, AT_ONCE):
            part = {name: array[begin : begin + AT_ONCE] for name, array in inputs.items()}
            try:
                parts.append(self.model.predict(part, names))
            except MemoryError:
                raise
            except Exception as error:
                first = before + begin
                raise InvalidConfiguration(
                    f"the model fails on rows {first} to {min(first + AT_ONCE, before + rows) - 1} of the data: "
                    f"{type(error).__name__}: {str(error)[:500]}; pass rows as the model was trained on"
                ) from error
        return {name: np.concatenate([part[name] for part in parts]) for name in names}


@contextmanager
def opened(model: Any) -> Iterator[Answering]:
    """`model`: a loaded one, the path of a bundle or a saved model, or what `save_bundle` takes. Raises ModelError."""
    if hasattr(model, "signature") and hasattr(model, "predict"):
        yield Answering(model, getattr(model, "classes", ()))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        signature: Signature | None = None
        classes: Sequence[Any] = ()
        if isinstance(model, str | Path) and _is_bundle(Path(model)):
            manifest = archive.unpack(Path(model), folder)
            kind, signature, classes = manifest.format, manifest.signature, manifest.classes
        else:
            kind = modelfile.write(model, folder)
        loaded = runtimes.load(kind, folder / formats.FILES[kind], signature=signature)
        yield Answering(loaded, classes or getattr(loaded, "classes", ()))


def _is_bundle(path: Path) -> bool:
    if not path.is_file():
        raise FormatUnknown(f"{path} is no file; name a bundle or a saved model")
    return formats.looks_like(path)[0] == formats.BUNDLE
