"""A fitted model of any library as the file that is served."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelward_inference.artifact import formats, onnxfile
from modelward_inference.artifact.arrays import tensor_of
from modelward_inference.artifact.bundle import Signature
from modelward_inference.errors import FormatUnknown


def write(model: Any, folder: Path) -> str:
    """Write the model's file; returns its format. Raises FormatUnknown."""
    if isinstance(model, str | Path):
        source = Path(model)
        kind, words = formats.looks_like(source)
        if kind is None or kind in (formats.BUNDLE, formats.ARCHIVE):
            raise FormatUnknown(f"{source} is {words}; name a saved model")
        shutil.copyfile(source, folder / formats.FILES[kind])
        if kind == formats.ONNX:
            onnxfile.gather(folder / formats.FILES[kind], str(source), source.parent)
        return kind
    if isinstance(model, bytes) or hasattr(model, "SerializeToString"):
        content = model if isinstance(model, bytes) else model.SerializeToString()
        (folder / formats.FILES[formats.ONNX]).write_bytes(content)
        return formats.ONNX
    package = type(model).__module__.partition(".")[0]
    if package == "torch" and hasattr(model, "code"):
        model.save(str(folder / formats.FILES[formats.TORCHSCRIPT]))
        return formats.TORCHSCRIPT
    if package in (formats.XGBOOST, formats.LIGHTGBM) and type(model).__name__ == "Booster":
        model.save_model(str(folder / formats.FILES[package]))
        return package
    if not hasattr(model, "predict") and not hasattr(model, "transform"):
        raise FormatUnknown(
            f"A {type(model).__module__}.{type(model).__name__} is no model that is known here; pass a fitted "
            "estimator, a booster, a TorchScript module or ONNX"
        )
    import joblib

    joblib.dump(model, folder / formats.FILES[formats.SKLEARN])
    return formats.SKLEARN


def signature_of_module(model: Any, data: Any) -> Signature:
    """A TorchScript module does not know its tensors' names and shapes: the sample rows and its answers tell."""
    import torch

    given = data if isinstance(data, Mapping) else {"input": data}
    arrays = {name: np.asarray(value) for name, value in given.items()}
    module = torch.jit.load(str(model)) if isinstance(model, str | Path) else model
    with torch.inference_mode():
        raw = module(*(torch.from_numpy(array) for array in arrays.values()))
    answers = raw if isinstance(raw, tuple | list) else (raw,)
    names = ["output"] if len(answers) == 1 else [f"output{index}" for index in range(len(answers))]
    return Signature(
        tuple(tensor_of(name, array) for name, array in arrays.items()),
        tuple(tensor_of(name, answer.numpy()) for name, answer in zip(names, answers, strict=True)),
    )
