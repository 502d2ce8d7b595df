"""Rows to the model's answers, by the model, the types and the refusals of a server: what a server would refuse is told
row by row, and all others are answered.

Rows are computed together only where it was proven that this changes no answer. A batch that fails is halved until the
rows that fail stand alone. Invariant: each row is answered or refused, once, in the order in which it came.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from modelward_batch.errors import Incurable
from modelward_batch.layout import Layout
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.engine.refusals import Guards
from modelward_inference.protocol.messages import ModelRefusedError
from modelward_inference.runtimes.base import Model

log = logging.getLogger(__name__)

MAX_REASON: Final = 500
"""Characters: a file of refused rows has one for each."""

_REFUSALS: Final = frozenset({"InvalidArgument"})
"""Names of exceptions, besides ValueError, by which a runtime says that the input is at fault: onnxruntime's."""


@dataclass
class Scored:
    """`answered`: rows with an answer, ascending; `outputs`: (answered, …) by name; `refused`: the others, with why;
    `inputs`: (answered, …) by name, what the model was asked."""

    answered: Array
    outputs: dict[str, Array]
    refused: dict[int, str] = field(default_factory=dict)
    inputs: dict[str, Array] = field(default_factory=dict)


class Scorer:
    """One model."""

    def __init__(self, manifest: Manifest, model: Model) -> None:
        self._model = model
        self._outputs = tuple(tensor.name for tensor in manifest.signature.outputs)
        widths = {tensor.name: math.prod(tensor.shape[1:]) for tensor in manifest.signature.inputs}
        self._guards = Guards(manifest.refusals, widths)
        joining = manifest.joining
        self.joins = joining is not None and joining.joins
        if not self.joins:
            why = joining.reason if joining is not None else "nothing was tried"
            log.warning("each row is computed alone, since it is not proven that rows leave each other alone: %s", why)

    def score(self, batch: pa.RecordBatch, layout: Layout) -> Scored:
        """Raises Incurable where the model gives no answer a row."""
        values = layout.values(batch)
        refused: dict[int, str] = {}
        for each in values.values():
            for row, reason in each.bad.items():
                refused.setdefault(row, reason)
        arrays = {name: each.array for name, each in values.items()}
        rows = np.arange(batch.num_rows)
        if refused:
            rows = np.delete(rows, list(refused))
            arrays = {name: array[rows] for name, array in arrays.items()}
        work = _Work(refused)
        if self.joins:
            self._checked(arrays, rows, layout, work)
        else:
            for place in range(len(rows)):
                alone = {name: array[place : place + 1] for name, array in arrays.items()}
                self._checked(alone, rows[place : place + 1], layout, work)
        return work.scored()

    def _checked(self, arrays: Mapping[str, Array], rows: Array, layout: Layout, work: "_Work") -> None:
        if not len(rows):
            return
        try:
            inputs = layout.inputs(arrays)
        except ModelRefusedError as error:
            if len(rows) == 1:
                work.refused[int(rows[0])] = _short(str(error))
                return
            for half in _halves(len(rows)):
                self._checked({name: array[half] for name, array in arrays.items()}, rows[half], layout, work)
            return
        refused = self._guards.refused(inputs)
        if refused:
            work.refused |= {int(rows[place]): _short(reason) for place, reason in refused.items()}
            left = np.delete(np.arange(len(rows)), list(refused))
            inputs, rows = {name: array[left] for name, array in inputs.items()}, rows[left]
        self._predicted(inputs, rows, work)

    def _predicted(self, inputs: Mapping[str, Array], rows: Array, work: "_Work") -> None:
        if not len(rows):
            return
        try:
            outputs = self._model.predict(inputs, self._outputs)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a model may raise anything
            if len(rows) == 1:
                work.refused[int(rows[0])] = _told(error)
                return
            for half in _halves(len(rows)):
                self._predicted({name: array[half] for name, array in inputs.items()}, rows[half], work)
            return
        for name, array in outputs.items():
            if array.shape[:1] != (len(rows),):
                raise Incurable(
                    f"the model's output {name!r} has the shape {list(array.shape)} for {len(rows)} rows: it does "
                    "not answer row by row, so that no answer can be put beside its row; send requests to the server"
                )
        work.pieces.append((rows, dict(inputs), outputs))


@dataclass
class _Work:
    """`pieces`: rows, what the model was asked and what it said, in order."""

    refused: dict[int, str]
    pieces: list[tuple[Array, dict[str, Array], dict[str, Array]]] = field(default_factory=list)

    def scored(self) -> Scored:
        if not self.pieces:
            return Scored(np.arange(0), {}, self.refused)
        if len(self.pieces) == 1:
            rows, inputs, outputs = self.pieces[0]
            return Scored(rows, outputs, self.refused, inputs)
        return Scored(
            np.concatenate([rows for rows, _, _ in self.pieces]),
            _joined([outputs for _, _, outputs in self.pieces]),
            self.refused,
            _joined([inputs for _, inputs, _ in self.pieces]),
        )


def _joined(pieces: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([each[name] for each in pieces]) for name in pieces[0]}


def _halves(rows: int) -> tuple[slice, slice]:
    """In order, so that answers stay in it."""
    return slice(0, rows // 2), slice(rows // 2, rows)


def _told(error: Exception) -> str:
    if isinstance(error, ValueError) or type(error).__name__ in _REFUSALS:
        return _short(f"the model refuses it: {error}")
    return _short(f"the model fails: {type(error).__name__}: {error}")


def _short(reason: str) -> str:
    text = " ".join(reason.split())
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}…"
