"""The scoring of a batch as a function for Spark's `mapInArrow`: rows of a data frame to a model's answers, equal to
those of a BatchInference and of the server.

Each Python process of an executor loads the model once, and proves it by its golden rows. What does not fit is told on
the driver, before anything runs. Needs pyspark 4 and this package on driver and executors. Failure: Incurable, with
what to do; ModelError.
"""

import io
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from modelward_batch.answers import outputs_of, values_of, widths_of
from modelward_batch.errors import Incurable
from modelward_batch.layout import Layout, layout_of
from modelward_batch.run import Bundle, reference_of, verified
from modelward_batch.scoring import Scored, Scorer
from modelward_inference.artifact import consent
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.artifact.consent import Allowed
from modelward_monitor.predictionlog.schema import Column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

REFUSED: Final = "refused"
"""The column with the reason of a row that the model refuses; of all others it is null."""

FRAME: Final = "the data frame"

_SIGNED: Final = {
    pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.decimal128(20, 0),
}  # fmt: skip
"""Spark's, of the same range, for types that it has not."""


def score(
    frame: "DataFrame", bundle: str | Path, keys: Sequence[str], columns: Mapping[str, str] | None = None
) -> "DataFrame":
    """The answers to the rows of `frame`: its columns `keys`, the model's outputs (`output.…`), and `refused`, which is
    null or says why the model takes no such row. `bundle`: a folder that the verb `fetch` made, on the driver;
    `columns`: which column the model's input is, where their names differ. Raises Incurable, ModelError."""
    from pyspark.sql import functions
    from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

    function = scoring_of(Path(bundle), keys, columns or {}, consent.from_environment())
    schema = to_arrow_schema(frame.schema)
    wanted = frame.select(*(functions.col(_quoted(name)) for name in function.columns_of(schema)))
    return wanted.mapInArrow(function, from_arrow_schema(function.schema_of(schema)))


@dataclass(frozen=True)
class Scoring:
    """What Spark brings to its executors. `packed`: the bundle's files, as tar; `outputs`: columns of the answers."""

    manifest: Manifest
    packed: bytes = field(repr=False)
    keys: tuple[str, ...]
    columns: Mapping[str, str]
    outputs: tuple[Column, ...]
    allowed: Allowed = None

    def columns_of(self, schema: pa.Schema) -> list[str]:
        """Those of the rows that are needed. Raises Incurable where they don't fit the model."""
        layout = layout_of(self.manifest, schema.names, self, FRAME)
        layout.check_types(schema, FRAME)
        return layout.columns

    def schema_of(self, schema: pa.Schema) -> pa.Schema:
        """Of the answers to rows with this one."""
        keys = [schema.field(key) for key in self.keys]
        outputs = [pa.field(each.name, _kept(each.stored)) for each in self.outputs]
        return pa.schema([*keys, *outputs, pa.field(REFUSED, pa.string())])

    @cached_property
    def _widths(self) -> Mapping[str, int]:
        return widths_of(self.outputs)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Raises Incurable and ModelError, which fail the task."""
        for batch in batches:
            if batch.num_rows:
                layout: Layout = layout_of(self.manifest, batch.schema.names, self, FRAME)
                yield self._answers(batch, _scorer(self).score(batch, layout))

    def _answers(self, batch: pa.RecordBatch, scored: Scored) -> pa.RecordBatch:
        rows = range(batch.num_rows)
        place = {row: place for place, row in enumerate(scored.answered.tolist())}
        taken = pa.array([place.get(row) for row in rows], pa.int64())
        arrays = [batch.column(key) for key in self.keys]
        for each in self.outputs:
            kind = _kept(each.stored)
            found = values_of(each, scored, self._widths).cast(kind).take(taken) if place else pa.nulls(len(rows), kind)
            arrays.append(found)
        arrays.append(pa.array([scored.refused.get(row) for row in rows], pa.string()))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema_of(batch.schema))


def scoring_of(folder: Path, keys: Sequence[str], columns: Mapping[str, str], allowed: Allowed = None) -> Scoring:
    """Raises Incurable, ModelError."""
    if isinstance(keys, str) or not keys or len(set(keys)) != len(keys):
        raise Incurable(f"keys is {keys!r}; name the columns that tell rows apart, each once, in a list")
    if REFUSED in keys:
        raise Incurable(f"keys names {REFUSED!r}, which is a column of the answers; call the frame's something else")
    manifest = Manifest.read(folder)
    outputs = outputs_of(manifest, reference_of(folder), keys)
    return Scoring(manifest, _packed(folder), tuple(keys), dict(columns), outputs, allowed)


_READY: Final[dict[str, Scorer]] = {}
"""By the artifact's digest and the bundle's own: one executor's process serves many tasks."""


def _scorer(asked: Scoring) -> Scorer:
    name = f"{asked.manifest.digest} {hash(asked.packed)}"
    if name not in _READY:
        with tempfile.TemporaryDirectory(prefix="modelward-") as temporary:
            with tarfile.open(fileobj=io.BytesIO(asked.packed)) as archive:
                archive.extractall(temporary, filter="data")
            found = verified(Bundle(Path(temporary), None, asked.allowed))
        _READY[name] = Scorer(found.manifest, found.model)
    return _READY[name]


def _packed(folder: Path) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.add(path, str(path.relative_to(folder)))
    return held.getvalue()


def _kept(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_kept(kind.value_type))
    return _SIGNED.get(kind, kind)


def _quoted(name: str) -> str:
    """As Spark takes a column's whole name, dots and all."""
    return "`" + name.replace("`", "``") + "`"
