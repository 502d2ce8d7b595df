"""What a bundle holds, made of a model and its data: the model's file, golden rows, the reference, and the manifest.

Invariant: the answers come from the model as it was written to the file and read back, not from the object in memory.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelward_drift.profiles.reference import FILE as REFERENCE
from modelward_inference import runtimes
from modelward_inference.artifact import formats, modelfile
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import MANIFEST, Manifest, Signature
from modelward_inference.errors import InvalidConfiguration
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


@dataclass(frozen=True)
class Wanted:
    """As `save_bundle` takes them. `reference`: None where it is made of the data themselves."""

    reference: Any = None
    golden_rows: int = GOLDEN_ROWS
    feature_kinds: Mapping[str, str] | None = None
    ignore: Collection[str] = ()
    progress: bool = False


@dataclass(frozen=True)
class Contents:
    """`file`: the model's; `beside`: the other files, the manifest first; `rows`: with the answers in them."""

    file: str
    beside: tuple[str, ...]
    rows: GoldenRows


def write(name: str, model: Any, data: Any, folder: Path, wanted: Wanted) -> Contents:
    """Write all files of the bundle `name` to `folder`.

    Raises InvalidConfiguration where data and model don't fit, and what loading the model raises.
    """
    if wanted.golden_rows < 1:
        raise InvalidConfiguration(f"golden_rows={wanted.golden_rows}: a bundle has at least one")
    if hasattr(data, "__next__"):
        raise InvalidConfiguration(
            "the data are an iterator, which can be read only once: pass a list of its chunks, or a function that "
            "makes the iterator"
        )
    kind = modelfile.write(model, folder)
    file = formats.FILES[kind]
    few = spread(open_source(data), 1)
    signature = modelfile.signature_of_module(model, few) if kind == formats.TORCHSCRIPT else None
    loaded = _loaded(kind, folder / file, signature, _width(few))
    data = sparse.as_taken(data, loaded)
    sample = _sample(data, loaded, wanted.ignore, wanted.golden_rows)
    expected = _answers(loaded, sample)
    rows = GoldenRows(sample, expected, golden.TRAINING)
    rows.write(folder)
    beside = [MANIFEST, golden.FILE]
    try:
        made = make_reference(
            data if wanted.reference is None else wanted.reference,
            model=loaded, kinds=wanted.feature_kinds, ignore=wanted.ignore, progress=wanted.progress,
        )  # fmt: skip
        save_reference(folder / REFERENCE, made)
        beside.insert(1, REFERENCE)
    except NothingToProfile as reason:
        _LOG.warning("the bundle has no reference: %s", reason)
    _manifest(name, kind, file, loaded, rows.count, folder)
    return Contents(file, tuple(beside), rows)


def _loaded(kind: str, path: Path, signature: Signature | None, width: int | None) -> Model:
    try:
        return runtimes.load(kind, path, signature=signature, width=width)
    except ModuleNotFoundError as error:
        raise InvalidConfiguration(
            f"{error.name} is not installed, by which the model is read back and asked for its answers: pip install "
            f"{error.name}"
        ) from error


def _sample(data: Any, model: Model, ignore: Collection[str], count: int) -> dict[str, Array]:
    """At most `count` rows, evenly spaced: sorted data must not show one class only."""
    source = open_source(data, partial(texts_of, model.signature))
    columns = tuple(getattr(model, "columns", ()))
    _, rows = ToModel(model.signature, source, ignore, predicted=True, columns=columns).tensors(spread(source, count))
    total = len(next(iter(rows.values())))
    count = min(count, max(1, MOST_VALUES // max(1, sum(array.size for array in rows.values()) // total)))
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    return {name: array[chosen] for name, array in rows.items()}


def _answers(model: Model, rows: dict[str, Array]) -> dict[str, Array]:
    try:
        return model.predict(rows, [tensor.name for tensor in model.signature.outputs])
    except MemoryError:
        raise
    except Exception as error:
        raise InvalidConfiguration(
            f"the model fails on rows of the data: {type(error).__name__}: {str(error)[:500]}; pass rows as the model "
            "was trained on"
        ) from error


def _width(rows: Table) -> int | None:
    if isinstance(rows, Mapping):
        return len(rows)
    return rows.shape[1] if rows.ndim == 2 else None


def _manifest(name: str, kind: str, file: str, model: Model, rows: int, folder: Path) -> None:
    Manifest(
        name=name,
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
