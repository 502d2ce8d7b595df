"""A unit's answers and refused rows as Parquet files on the pod's disk, before they are brought to the output.

Predictions are called as in the prediction log (`output.…`), so that both are read by the same words. Invariant: every
row of the unit is in one of the two files, once.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from modelward_batch.errors import Incurable
from modelward_batch.plan import SCHEMA, Plan
from modelward_batch.scoring import Scored
from modelward_drift.profiles.reference import Reference
from modelward_inference.artifact.bundle import Manifest
from modelward_monitor.predictionlog import schema, table
from modelward_monitor.predictionlog.schema import TIME, Column
from modelward_monitor.predictionlog.table import Tally

GROUP: Final = 16 << 20
"""Bytes of Arrow's memory from which on a row group is written: more than one is never held."""

COMPRESSION: Final = "zstd"

MODEL_VERSION, REVISION, TIME_NAME, REASON = "model_version", "revision", "predicted_at", "reason"


def outputs_of(manifest: Manifest, reference: Reference | None, keys: Sequence[str]) -> tuple[Column, ...]:
    """The columns of predictions. Raises Incurable where a key has the name of a column."""
    found = tuple(each for each in schema.columns_of(manifest, reference) if each.side == "output")
    taken = {each.name for each in found} | {MODEL_VERSION, REVISION, TIME_NAME, REASON}
    if wrong := sorted(taken.intersection(keys)):
        raise Incurable(
            f"keys names {', '.join(map(repr, wrong))}, which is a column of the output as well; call the input's "
            "column something else"
        )
    return found


def widths_of(outputs: Sequence[Column]) -> Mapping[str, int]:
    """Columns of a tensor, by its name, of those that are not lists."""
    return Counter(each.tensor for each in outputs if not each.listed)


def values_of(column: Column, scored: Scored, widths: Mapping[str, int]) -> pa.Array:
    """The column's, of the rows that were answered. Raises Incurable where an answer can't be kept as it is: one that
    is lost would look like none."""
    tensor, tally = scored.outputs.get(column.tensor), Tally()
    held = table.plain(column, tensor, len(scored.answered), tally)
    if tensor is None:
        raise Incurable(f"the model does not give its output {column.tensor!r}; compile it again")
    width = math.prod(tensor.shape[1:])
    if tally.values or (not column.listed and width != widths[column.tensor]):
        raise Incurable(
            f"the model's output {column.tensor!r} is not what the model says that it is: {tensor.dtype} of "
            f"{width} a row, and {column.name} is {column.stored}; correct the signature that it was saved with"
        )
    return held


class Answers:
    """`keys`: fields of the input; `part`, `rejects`: files that are written, the latter where a row is refused."""

    def __init__(
        self, plan: Plan, keys: Sequence[pa.Field], outputs: Sequence[Column], part: Path, rejects: Path
    ) -> None:
        self._plan, self._keys, self._outputs = plan, keys, outputs
        metadata = {
            "modelward.schema": str(SCHEMA), "modelward.run": plan.run, "modelward.model": plan.model.name,
            "modelward.digest": plan.model.digest, "modelward.plan": plan.digest,
        }  # fmt: skip
        plain = [pa.field(field.name, _plain(field.type)) for field in keys]
        told = [pa.field(name, pa.string(), nullable=False) for name in (MODEL_VERSION, REVISION)]
        self._schema = pa.schema(
            [*plain, *(pa.field(each.name, each.stored) for each in outputs), *told,
             pa.field(TIME_NAME, TIME, nullable=False)], metadata,
        )  # fmt: skip
        self._refused = pa.schema([*plain, pa.field(REASON, pa.string(), nullable=False)], metadata)
        self._answers = _Writer(part, self._schema)
        self._rejects = _Writer(rejects, self._refused)
        self.rows = self.rejected = 0
        self._widths = widths_of(outputs)

    def add(self, batch: pa.RecordBatch, scored: Scored, now: datetime) -> None:
        """`batch`: with the keys; `now`: when it was answered."""
        self.rows += batch.num_rows
        self.rejected += len(scored.refused)
        keys = [_decoded(batch.column(field.name)) for field in self._keys]
        count = len(scored.answered)
        if count:
            held = keys if count == batch.num_rows else [each.take(pa.array(scored.answered)) for each in keys]
            outputs = [values_of(each, scored, self._widths) for each in self._outputs]
            told = [pa.repeat(pa.scalar(each), count) for each in (self._plan.model.version, self._plan.model.revision)]
            times = pa.repeat(pa.scalar(now.astimezone(UTC), TIME), count)
            self._answers.add(pa.table([*held, *outputs, *told, times], schema=self._schema))
        if scored.refused:
            rows = sorted(scored.refused)
            held = [each.take(pa.array(rows)) for each in keys]
            reasons = pa.array([scored.refused[row] for row in rows], pa.string())
            self._rejects.add(pa.table([*held, reasons], schema=self._refused))

    def close(self) -> None:
        """Afterwards the files are whole; that of answers is there also where there is none."""
        self._answers.close()
        if self.rejected:
            self._rejects.close()


class _Writer:
    def __init__(self, path: Path, fields: pa.Schema) -> None:
        self._path, self._schema = path, fields
        self._file: Any = None
        self._waiting: list[pa.Table] = []
        self._size = 0

    def add(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        self._size += rows.nbytes
        if self._size >= GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._file is None:
            self._file = parquet.ParquetWriter(self._path, self._schema, compression=COMPRESSION)
        if self._waiting:
            whole = pa.concat_tables(self._waiting).combine_chunks()
            self._file.write_table(whole, row_group_size=len(whole))
        self._waiting, self._size = [], 0


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
