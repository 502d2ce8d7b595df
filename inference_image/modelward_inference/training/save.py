"""Writes a bundle at training time: the model, its signature, golden rows with its own answers, and its reference.

    modelward_inference.save_bundle("fraud.tar", model, X)

Invariant: the answers come from the model as it was written to the file and read back, not from the object in memory.
"""

import logging
import tarfile
import tempfile
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelward_drift.profiles.reference import FILE as REFERENCE
from modelward_inference import runtimes
from modelward_inference.artifact import formats, modelfile
from modelward_inference.artifact.archive import anonymous
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import MANIFEST, Manifest
from modelward_inference.parity import golden
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.reference import sparse
from modelward_inference.reference.fitting import ToModel, texts_of
from modelward_inference.reference.make import NothingToProfile, make_reference
from modelward_inference.reference.source import Table, open_source, spread
from modelward_inference.reference.store import save_reference
from modelward_inference.runtimes.base import Model

_LOG: Final = logging.getLogger("modelward")

GOLDEN_ROWS = 100
"""Rows whose answers are noted: every pod computes them before it gets traffic."""

MOST_VALUES: Final = 1 << 22
"""Values of all golden rows together: 32 MB. Of very wide tables there are fewer rows."""


def save_bundle(
    path: str | Path,
    model: Any,
    data: Any,
    *,
    reference: Any = None,
    golden_rows: int = GOLDEN_ROWS,
    feature_kinds: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
    progress: bool = False,
) -> Path:
    """Write `path` (.tar), to be served by naming it in spec.model.uri. Returns the path.

    `model`: a fitted scikit-learn estimator or pipeline, a Booster of XGBoost or LightGBM, a TorchScript module, ONNX
    (bytes, or onnx's ModelProto), or the path of a saved model. `data`: the training data, as the model takes them: a
    data frame, an array [rows, features], a list of texts, a mapping of names to columns, or the path of a file of any
    size, or a sparse matrix of scipy; `make_reference` tells all. Golden rows are taken from it evenly spaced.

    `reference`: what the reference is made of, inputs and the model's answers: rows that the model was not trained on.
    Of training rows, which are taken where nothing is given, many models are surer than they are of any others, so that
    ordinary answers would look like drift. `feature_kinds` and `ignore` are `kinds` and `ignore` of `make_reference`.

    Raises InvalidConfiguration where data and model don't fit, and what loading the model raises.
    """
    target = Path(path)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kind = modelfile.write(model, folder)
        file = formats.FILES[kind]
        few = spread(open_source(data), 1)
        signature = modelfile.signature_of_module(model, few) if kind == formats.TORCHSCRIPT else None
        loaded = runtimes.load(kind, folder / file, signature=signature, width=_width(few))
        data = sparse.as_taken(data, loaded)
        sample = _sample(data, loaded, ignore, golden_rows)
        expected = loaded.predict(sample, [tensor.name for tensor in loaded.signature.outputs])
        GoldenRows(sample, expected, golden.TRAINING).write(folder)
        names = [MANIFEST, golden.FILE, file]
        try:
            rows = data if reference is None else reference
            made = make_reference(rows, model=loaded, kinds=feature_kinds, ignore=ignore, progress=progress)
            save_reference(folder / REFERENCE, made)
            names.insert(1, REFERENCE)
        except NothingToProfile as reason:
            _LOG.warning("the bundle has no reference: %s", reason)
        _manifest(target, kind, file, loaded, len(next(iter(sample.values()))), folder)
        unfinished = target.with_name(f".{target.name}.partial")
        with tarfile.open(unfinished, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name in names:
                archive.add(folder / name, name, filter=anonymous)
        unfinished.replace(target)
    return target


def _sample(data: Any, model: Model, ignore: Collection[str], count: int) -> dict[str, Array]:
    """At most `count` rows, evenly spaced: sorted data must not show one class only."""
    source = open_source(data, partial(texts_of, model.signature))
    columns = tuple(getattr(model, "columns", ()))
    _, rows = ToModel(model.signature, source, ignore, predicted=True, columns=columns).tensors(spread(source, count))
    total = len(next(iter(rows.values())))
    count = min(count, max(1, MOST_VALUES // max(1, sum(array.size for array in rows.values()) // total)))
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    return {name: array[chosen] for name, array in rows.items()}


def _width(rows: Table) -> int | None:
    if isinstance(rows, Mapping):
        return len(rows)
    return rows.shape[1] if rows.ndim == 2 else None


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
