"""The columns of a model's log: fixed by its bundle, so that all files of a revision have the same.

Names are those of the drift reference where there is one, so that a feature has one name in all of Modelward.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from modelward_drift.profiles.reference import OUTPUT_PREFIX, Reference, Side
from modelward_inference.artifact.arrays import DATATYPES, Array
from modelward_inference.artifact.bundle import Manifest, Tensor
from modelward_inference.artifact.features import MAX_COLUMNS
from modelward_inference.capture.wire import Batch
from modelward_inference.protocol.entities import PREFIX as ENTITY
from modelward_monitor.predictionlog.names import SCHEMA
from modelward_monitor.predictionlog.settings import KEY, Columns, LogSettings

PREFIX: Final[Mapping[Side, str]] = {"input": "input.", "output": "output."}

TYPES: Final[Mapping[str, pa.DataType]] = {
    "BOOL": pa.bool_(),
    "UINT8": pa.uint8(), "UINT16": pa.uint16(), "UINT32": pa.uint32(), "UINT64": pa.uint64(),
    "INT8": pa.int8(), "INT16": pa.int16(), "INT32": pa.int32(), "INT64": pa.int64(),
    "FP16": pa.float32(), "FP32": pa.float32(), "FP64": pa.float64(),
    "BYTES": pa.string(),
}  # fmt: skip
"""Columns' types, by the Open Inference Protocol's."""

TIME: Final = pa.timestamp("us", tz="UTC")

FIXED: Final = (
    pa.field("request_id", pa.string(), nullable=False),
    pa.field("row", pa.int32(), nullable=False),
    pa.field(KEY, pa.string()),
    pa.field("time", TIME, nullable=False),
    pa.field("arm", pa.string(), nullable=False),
    pa.field("model_version", pa.string(), nullable=False),
    pa.field("fraction", pa.float64(), nullable=False),
    pa.field("latency_ms", pa.float64(), nullable=False),
)


@dataclass(frozen=True)
class Column:
    """One of the model's. `place`: in a row of the tensor, flattened; None: it has the whole row. `listed`: as a list.
    `type`: before anything is done to it."""

    name: str
    side: Side
    tensor: str
    place: int | None
    type: pa.DataType
    listed: bool = False

    @property
    def stored(self) -> pa.DataType:
        return pa.list_(self.type) if self.listed else self.type


def columns_of(manifest: Manifest, reference: Reference | None) -> list[Column]:
    """All of a model's."""
    known = {(each.side, each.tensor, each.column): each.name for each in reference.features} if reference else {}
    sides: tuple[tuple[Side, Sequence[Tensor], Sequence[Any]], ...] = (
        ("input", manifest.signature.inputs, manifest.columns if len(manifest.signature.inputs) == 1 else ()),
        ("output", manifest.signature.outputs, manifest.classes),
    )
    found = [
        each
        for side, tensors, labels in sides
        for tensor in tensors
        for each in _of_tensor(side, tensor, labels, known)
    ]  # fmt: skip
    return _apart(found)


def keys_of(entities: Mapping[str, str]) -> list[Column]:
    """Of keys that features were looked up by. `entities`: datatypes by name."""
    return [Column(f"entity.{name}", "input", ENTITY + name, None, TYPES[kind]) for name, kind in entities.items()]


def seen_in(batches: Iterable[Batch]) -> list[Column]:
    """Where no bundle says what the model has: what a segment's batches have."""
    found: dict[str, Column] = {}
    for batch in batches:
        sides: tuple[tuple[Side, Mapping[str, Array]], ...] = (("input", batch.inputs), ("output", batch.outputs))
        for side, tensors in sides:
            for tensor, array in tensors.items():
                kind = TYPES["BYTES" if array.dtype.kind not in "biuf" else DATATYPES[array.dtype.newbyteorder("=")]]
                listed = math.prod(array.shape[1:]) != 1
                name = f"entity.{tensor.removeprefix(ENTITY)}" if tensor.startswith(ENTITY) else PREFIX[side] + tensor
                found.setdefault(name, Column(name, side, tensor, None, kind, listed))
    return list(found.values())


def changed(columns: Iterable[Column], how: Columns) -> tuple[list[Column], pa.Schema, set[str]]:
    """Those that are written, the schema of all, and names in `how` that are no column's."""
    columns = list(columns)
    kept = [each for each in columns if each.name not in how.exclude]
    fixed = [field for field in FIXED if field.name not in how.exclude or field.name != KEY]
    texts = how.hash | set(how.truncate)
    own = [pa.field(each.name, pa.string() if each.name in texts else each.stored) for each in kept]
    asked = how.exclude | how.hash | set(how.truncate)
    return kept, pa.schema([*fixed, *own]), set(asked) - {each.name for each in columns} - {KEY}


def metadata(settings: LogSettings, epoch: str, lost: int) -> dict[str, str]:
    """Of a file. `lost`: rows that this pod's log lost before."""
    return {
        "modelward.schema": str(SCHEMA), "modelward.namespace": settings.namespace, "modelward.model": settings.model,
        "modelward.revision": settings.revision, "modelward.pod": settings.pod, "modelward.epoch": epoch,
        "modelward.lost_before": str(lost),
    }  # fmt: skip


def _of_tensor(
    side: Side, tensor: Tensor, labels: Sequence[Any], known: Mapping[tuple[Side, str, int | None], str]
) -> Iterator[Column]:
    kind, prefix = TYPES[tensor.datatype], PREFIX[side]
    open_sizes = tensor.any_rank or min(tensor.shape[1:], default=0) < 0
    width = 0 if open_sizes else math.prod(tensor.shape[1:])
    if width == 1 and len(tensor.shape) <= 2:
        name = known.get((side, tensor.name, None), tensor.name)
        yield Column(prefix + name.removeprefix(_reference_prefix(side)), side, tensor.name, None, kind)
        return
    if not 1 <= width <= MAX_COLUMNS:
        yield Column(prefix + tensor.name, side, tensor.name, None, kind, listed=True)
        return
    words = [str(label) for label in labels]
    fitting = len(set(words)) == len(words) == width
    for place in range(width):
        inner = words[place] if fitting else str(place)
        own = inner if fitting and side == "input" else f"{tensor.name}[{inner}]"
        name = known.get((side, tensor.name, place), "").removeprefix(_reference_prefix(side)) or own
        yield Column(prefix + name, side, tensor.name, place, kind)


def _reference_prefix(side: Side) -> str:
    return OUTPUT_PREFIX if side == "output" else ""


def _apart(columns: list[Column]) -> list[Column]:
    """Tensors with a name that occurs twice become columns of lists, under the tensor's own name."""
    many = Counter(each.name for each in columns)
    wide = {(each.side, each.tensor) for each in columns if many[each.name] > 1}
    found: dict[str, Column] = {}
    for each in columns:
        if (each.side, each.tensor) in wide:
            name = PREFIX[each.side] + each.tensor
            each = replace(each, name=name, place=None, listed=each.place is not None or each.listed)
        found.setdefault(each.name, each)
    return list(found.values())
