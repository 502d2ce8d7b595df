"""Golden rows: inputs with the answers that the model has to give for them, before it gets any traffic.

They come from training where the bundle has some, else `fetch` makes them and notes the original's answers. The same
comparison decides whether a compiled form is right, and whether a server may become ready.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelward_inference.artifact import unpacked
from modelward_inference.artifact.arrays import DTYPES, Array, datatype_of
from modelward_inference.artifact.bundle import GOLDEN, Manifest
from modelward_inference.errors import BundleInvalid, GoldenRowsDiffer, InvalidConfiguration
from modelward_inference.runtimes.base import PREDICT_PROBA, Model

FILE = GOLDEN

SHOWN = "modelward/shown/"
SCORES, SQUARES = f"{SHOWN}scores", f"{SHOWN}squares"
"""The output that a model of labels alone shows while its forms are compared: see `compile.scores`."""

MAX_BYTES = 256 << 20
"""Of all arrays, unpacked: 100 rows of a picture of 500 x 500 pixels in three colours."""

_OBJECT = 64
"""Bytes of one text as Python holds it, at least."""

TRAINING, GENERATED, EXAMPLE = "training", "generated", "example"
"""Where rows come from: a saved bundle, the model's own structure (with examples before them), examples alone."""


@dataclass(frozen=True)
class Tolerance:
    """How far two right answers may lie apart: fixed here, never by an artifact.

    `rtol`: of the value itself: single precision rounds by 6e-8, and sums over a few hundred trees or weights lose two
    more digits. `ulps`: where such a sum nearly cancels, steps of single precision at the column's usual size (its
    median); but `share` of the value itself at most, so that no other row's size excuses a wrong answer. What is single
    precision itself may lie `single_share` apart, or `own_ulps` steps at the row's own largest value: other processors
    add in another order. `probability`: of a probability, whose sums are of size 1. `margin`: rows whose two most
    probable classes lie closer than this may get the other label: rounding decides it. Scores, which nobody is served,
    may lie `rtol` and `ulps` of the column's usual size apart wherever they are: near 0 the label tells.
    """

    rtol: float = 1e-5
    ulps: float = 32
    share: float = 1e-3
    single_share: float = 2e-2
    own_ulps: float = 4
    probability: float = 1e-5
    margin: float = 1e-4


MOST_TIES = 0.5
"""Share of rows that may be ties between classes: beyond it the labels would prove nothing, and have to be equal."""


@dataclass(frozen=True)
class Difference:
    """The first value that differs. `row`: counted from 0."""

    output: str
    row: int
    expected: Any
    got: Any

    def __str__(self) -> str:
        return f"output {self.output!r}, row {self.row}: expected {self.expected!s:.100}, got {self.got!s:.100}"


@dataclass(frozen=True)
class GoldenRows:
    """Rows and answers by tensor name. `origin`: `training` or `generated`."""

    inputs: dict[str, Array]
    expected: dict[str, Array]
    origin: str
    tolerance: Tolerance = Tolerance()

    @property
    def count(self) -> int:
        return len(next(iter(self.inputs.values()))) if self.inputs else 0

    def are_finite(self) -> Array:
        """Of each row: whether none of its numbers is missing or infinite."""
        found = np.ones(self.count, bool)
        for array in self.inputs.values():
            if array.dtype.kind == "f":
                found &= np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        return found

    def write(self, folder: Path) -> None:
        about = {
            "origin": self.origin,
            "inputs": [[name, datatype_of(array)] for name, array in self.inputs.items()],
            "expected": [[name, datatype_of(array)] for name, array in self.expected.items()],
        }
        arrays: dict[str, Any] = {
            f"inputs{index}": _storable(array) for index, array in enumerate(self.inputs.values())
        }
        arrays |= {f"expected{index}": _storable(array) for index, array in enumerate(self.expected.values())}
        arrays |= {
            f"null{index}": np.array([each is None for each in array.flat])
            for index, array in enumerate(self.inputs.values())
            if array.dtype.kind == "O"
        }
        size = sum(array.nbytes for array in arrays.values())
        if size > MAX_BYTES:
            raise InvalidConfiguration(
                f"The golden rows have {size} bytes; at most {MAX_BYTES} are kept. Save fewer of them (golden_rows=10)"
            )
        np.savez_compressed(folder / FILE, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)

    @classmethod
    def read(cls, folder: Path) -> "GoldenRows":
        """Raises BundleInvalid. Nothing in the file can run code: it holds plain arrays only."""
        try:
            unpacked.check_zip(folder / FILE, MAX_BYTES)
            with np.load(folder / FILE, allow_pickle=False) as stored:
                about = json.loads(stored["about"].tobytes())
                sides = {
                    side: {
                        str(name): _as(stored[f"{side}{index}"], DTYPES[kind])
                        for index, (name, kind) in enumerate(about[side])
                    }
                    for side in ("inputs", "expected")
                }
                for index, array in enumerate(sides["inputs"].values()):
                    if f"null{index}" in stored:
                        array[stored[f"null{index}"].reshape(array.shape)] = None
            return cls(sides["inputs"], sides["expected"], str(about["origin"]))
        except Exception as error:
            raise BundleInvalid(
                f"{folder / FILE} can't be read ({type(error).__name__}: {str(error)[:200]}); write the bundle anew"
            ) from error


def verify(model: Model, folder: Path, manifest: Manifest) -> None:
    """Let the model answer the bundle's golden rows. Raises GoldenRowsDiffer; without golden rows nothing happens."""
    if manifest.golden_rows:
        check(model, GoldenRows.read(folder), manifest.trained_with)


def check(model: Model, golden: GoldenRows, trained_with: Mapping[str, str] | None = None) -> None:
    """Raises GoldenRowsDiffer, which names output, row and both values."""
    try:
        got = model.predict(golden.inputs, list(golden.expected))
    except MemoryError:
        raise
    except Exception as error:
        raise GoldenRowsDiffer(
            f"The model fails on its golden rows: {type(error).__name__}: {str(error)[:500]}. "
            f"{_cure(model, trained_with)}"
        ) from error
    found = difference(golden.expected, got, golden.tolerance)
    if found:
        raise GoldenRowsDiffer(
            f"The model does not reproduce its golden rows ({golden.origin}): {found}. {_cure(model, trained_with)}"
        )


def difference(
    expected: Mapping[str, Array],
    got: Mapping[str, Array],
    tolerance: Tolerance = Tolerance(),
) -> Difference | None:
    """The first difference beyond the tolerance, or None. Labels may differ in rows that are ties between classes,
    where these are no more than MOST_TIES of all."""
    ties = near_ties(expected, tolerance.margin)
    excused = ties is not None and bool(ties.mean() <= MOST_TIES)
    for name, wanted in expected.items():
        answer = np.asarray(got[name])
        if answer.shape != wanted.shape:
            return Difference(name, 0, f"shape {list(wanted.shape)}", f"shape {list(answer.shape)}")
        probable = name == PREDICT_PROBA or (not name.startswith(SHOWN) and _is_probability(wanted))
        wrong = ~_close(np.atleast_1d(wanted), np.atleast_1d(answer), tolerance, probable, name.startswith(SHOWN))
        rows = np.asarray(wrong.reshape(len(wrong), -1).any(axis=1)) if wrong.size else np.zeros(len(wrong), bool)
        if excused and ties is not None and len(ties) == len(rows) and wanted.dtype.kind != "f":
            rows &= ~ties
        if rows.any():
            row = int(np.argmax(rows))
            column = int(np.argmax(wrong[row].reshape(-1)))
            return Difference(
                name, row, np.ravel(np.atleast_1d(wanted)[row])[column], np.ravel(np.atleast_1d(answer)[row])[column]
            )
    return None


def near_ties(expected: Mapping[str, Array], margin: float) -> Array | None:
    """Rows whose two most probable classes are closer than `margin`; None for outputs without probabilities."""
    for name, array in expected.items():
        if not name.startswith(SHOWN) and _is_probability(array):
            ordered = np.sort(array, axis=1)
            return np.asarray(ordered[:, -1] - ordered[:, -2] < margin)
    return None


def _is_probability(array: Array) -> bool:
    if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] < 2:
        return False
    rows = array[np.isfinite(array).all(axis=1)]
    return bool(len(rows) and np.allclose(rows.sum(axis=1), 1, atol=1e-3) and (rows >= 0).all())


def _close(wanted: Array, answer: Array, tolerance: Tolerance, probable: bool, scores: bool) -> Array:
    if wanted.dtype.kind != "f" or answer.dtype.kind not in "fiu":
        return np.asarray(wanted == answer)
    if not wanted.size:
        return np.ones(wanted.shape, bool)
    step = max(float(np.finfo(np.float32).eps), float(np.finfo(wanted.dtype).eps))
    size = np.where(np.isfinite(wanted), np.abs(wanted), 0.0).astype(np.float64)
    allowed = max(tolerance.rtol, tolerance.own_ulps * step) * size
    if probable:
        allowed += max(tolerance.probability, step)
    else:
        columns = size.reshape(len(size), -1)
        usual, smallest = (
            np.array([of(column) for column in columns.T]).reshape(size.shape[1:]) for of in (_usual, _smallest)
        )
        cap = np.full_like(size, np.inf) if scores else tolerance.share * size
        if not scores and wanted.dtype.itemsize < np.dtype(np.float64).itemsize:
            own = columns.max(axis=1, initial=0.0).reshape(-1, *(1,) * (size.ndim - 1))
            cap = np.maximum(tolerance.single_share * size, tolerance.own_ulps * step * own)
        allowed = np.maximum(allowed, np.minimum(tolerance.ulps * step * usual, cap))
        # Zero is exact in every precision, but for what lies far below all that the column holds.
        allowed = np.maximum(allowed, np.where(size == 0, tolerance.rtol * tolerance.rtol * smallest, 0.0))
    if scores:
        # At a cluster's very centre the converter took the root of what rounding made of 0, a little less at times.
        answer = np.where(np.isnan(answer) & ~np.isnan(wanted), 0.0, answer)
    with np.errstate(invalid="ignore"):
        near = np.abs(answer.astype(np.float64) - wanted.astype(np.float64)) <= allowed
    both_missing = np.isnan(wanted) & np.isnan(answer)
    return np.asarray(np.where(np.isfinite(wanted), near, (wanted == answer) | both_missing))


def _usual(column: Array) -> float:
    found = column[column > 0]
    return float(np.median(found)) if found.size else 0.0


def _smallest(column: Array) -> float:
    return float(column[column > 0].min(initial=np.inf)) if (column > 0).any() else 0.0


def _as(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in another type. Raises ValueError where it would be much larger than it was stored."""
    size = array.size * (_OBJECT if dtype.hasobject else dtype.itemsize)
    if size > MAX_BYTES:
        raise ValueError(f"an array would have {size} bytes; at most {MAX_BYTES} are read")
    return array.astype(dtype)


def _storable(array: Array) -> Array:
    return array.astype(str) if array.dtype.kind in "OU" else array


def _cure(model: Model, trained_with: Mapping[str, str] | None) -> str:
    changed = [
        f"{name} {version} at training, {model.libraries[name]} here"
        for name, version in (trained_with or {}).items()
        if name in model.libraries and model.libraries[name] != version
    ]
    if changed:
        return f"Libraries differ: {'; '.join(changed)}. Train with the versions of this image, or export as ONNX"
    return "Write the bundle anew from the model that is meant, or upload it again"
