"""Writes a bundle at training time: the model, its signature, golden rows with its own answers, and reference data.

    modelward_inference.save_bundle("fraud.tar", model, X)

Invariant: the answers come from the model as it was written to the file and read back, not from the object in memory.
"""

import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelward_inference import formats, golden, runtimes, tables
from modelward_inference.bundle import MANIFEST, Manifest, Signature
from modelward_inference.errors import FormatUnknown, InvalidConfiguration
from modelward_inference.fetch.archive import REFERENCE
from modelward_inference.golden import GoldenRows
from modelward_inference.runtimes.base import Array, Model, tensor_of

GOLDEN_ROWS = 100
"""Rows whose answers are noted: every pod computes them before it gets traffic."""

REFERENCE_ROWS = 10_000
"""Rows of training data that are kept: enough for quantiles of a hundredth."""


def save_bundle(
    path: str | Path, model: Any, data: Any, *, golden_rows: int = GOLDEN_ROWS, reference_rows: int = REFERENCE_ROWS
) -> Path:
    """Write `path` (.tar), to be served by naming it in spec.model.uri. Returns the path.

    `model`: a fitted scikit-learn estimator or pipeline, a Booster of XGBoost or LightGBM, a TorchScript module, ONNX
    (bytes, or onnx's ModelProto), or the path of a saved model. `data`: sample rows as the model takes them: a data
    frame, an array [rows, features], a list of texts, or a mapping of names to columns. Rows are taken evenly spaced.
    Raises InvalidConfiguration where data and model don't fit, and what loading the model raises.
    """
    target = Path(path)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kind = _write_model(model, folder)
        file = formats.FILES[kind]
        signature = _of_module(model, data) if kind == formats.TORCHSCRIPT else None
        loaded = runtimes.load(kind, folder / file, signature=signature)
        rows = tables.from_data(data, loaded.signature)
        sample = _spread(rows, golden_rows)
        expected = loaded.predict(sample, [tensor.name for tensor in loaded.signature.outputs])
        GoldenRows(sample, expected, golden.TRAINING).write(folder)
        _write_reference(_spread(rows, reference_rows), folder)
        _manifest(target, kind, file, loaded, len(next(iter(sample.values()))), folder)
        partial = target.with_name(f".{target.name}.partial")
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name in (MANIFEST, golden.FILE, REFERENCE, file):
                archive.add(folder / name, name, filter=_anonymous)
        partial.replace(target)
    return target


def _manifest(target: Path, kind: str, file: str, model: Model, rows: int, folder: Path) -> None:
    Manifest(
        name=target.stem,
        format=kind,
        file=file,
        digest="",
        size=(folder / file).stat().st_size,
        uri="",
        fetched_at="",
        signature=model.signature,
        classes=tuple(getattr(model, "classes", ())),
        trained_with=dict(model.libraries),
        golden_rows=rows,
    ).write(folder)


def _write_model(model: Any, folder: Path) -> str:
    """Write the model's file; returns its format. Raises FormatUnknown."""
    if isinstance(model, str | Path):
        source = Path(model)
        kind, words = formats.looks_like(source)
        if kind is None or kind == formats.BUNDLE:
            raise FormatUnknown(f"{source} is {words}; name a saved model")
        (folder / formats.FILES[kind]).write_bytes(source.read_bytes())
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
    if not hasattr(model, "predict"):
        raise FormatUnknown(
            f"A {type(model).__module__}.{type(model).__name__} is no model that is known here; pass a fitted "
            "estimator, a booster, a TorchScript module or ONNX"
        )
    import joblib

    joblib.dump(model, folder / formats.FILES[formats.SKLEARN])
    return formats.SKLEARN


def _of_module(model: Any, data: Any) -> Signature:
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


def _write_reference(rows: Mapping[str, Array], folder: Path) -> None:
    """Plain arrays only, so that reading them can run no code."""
    plain = {name: array.astype(str) if array.dtype.kind == "O" else array for name, array in rows.items()}
    stored: dict[str, Any] = {f"column{index}": each for index, each in enumerate(plain.values())}
    np.savez_compressed(folder / REFERENCE, names=np.array(list(plain), dtype=str), **stored)


def _spread(rows: Mapping[str, Array], count: int) -> dict[str, Array]:
    """At most `count` rows, evenly spaced: sorted data must not show one class only."""
    total = len(next(iter(rows.values())))
    if total == 0:
        raise InvalidConfiguration("data has no rows; pass some rows of training data")
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    return {name: array[chosen] for name, array in rows.items()}


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Neither users nor times: the same model and rows give the same digest."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o644
    return member
