"""`python -m modelward_evaluate.extract`: the rows of a batch's table as Parquet files in a folder of the pod.

Read by one statement, so that what others write meanwhile is not among them, by the first pod of a run alone: it brings
the files to the run's folder, where all of its pods read them (modelward_batch/tables.py). Numbers, truths and
texts come as they are, exact numbers as double precision, and everything else, and exact numbers of keys, as the text
that the database makes of it. What went wrong is left in TOLD and ends no pod: where an earlier pod has brought the
rows, none is needed.
"""

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow as pa
from ibis.expr.datatypes import DataType
from ibis.expr.types import Table, Value
from pyarrow import parquet
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelward_evaluate import tables
from modelward_evaluate.errors import EvaluationError, Unreachable, first_line, first_wrong
from modelward_evaluate.spec import DatabaseTable
from modelward_telemetry import logs

log = logging.getLogger(__name__)

VARIABLE: Final = "MODELWARD_BATCH"
INDEX: Final = "JOB_COMPLETION_INDEX"

TOLD: Final = "told.json"
"""Written last: `files`, their names, or `problem`, in words, with `passes`, whether another attempt may do better."""

GROUP_ROWS, GROUP_BYTES = 1 << 15, 16 << 20
"""Of a row group, which is a unit of a run's work: whichever is there first."""

FILE: Final = 256 << 20
"""Bytes of a file from which on another one is begun: stores take a few GB at a time."""

MOST: Final = 16 << 30
"""Bytes of all files: they lie on the pod's node until they are in the store."""

CELLS: Final = 500_000
"""Values that are in memory at a time as the driver hands them over, each an object."""

SHOWN: Final = 300
"""Characters of a list of names in a message."""


class Source(BaseModel):
    table: DatabaseTable


class Asked(BaseModel):
    """What of a batch's MODELWARD_BATCH says which rows are read. Other fields are the scoring container's."""

    model_config = ConfigDict(frozen=True)

    input: Source
    keys: Annotated[tuple[str, ...], Field(min_length=1)]
    columns: Mapping[str, str] = {}


def main(environment: Mapping[str, str] = os.environ, folder: Path | None = None) -> int:
    """0 also where the rows can't be read: TOLD says so."""
    where = folder or Path(environment.get("TABLE_DIR", "/etc/modelward/table"))
    if environment.get(INDEX, "0") != "0":
        log.info("the rows are read by the run's first pod")
        return 0
    told: dict[str, Any]
    try:
        asked = Asked.model_validate_json(environment.get(VARIABLE, ""))
        told = {"files": read(asked, named(Path(environment.get("BUNDLE_DIR", "/bundle"))), where)}
    except ValidationError as error:
        told = {"problem": first_wrong(error, VARIABLE), "passes": False}
    except EvaluationError as error:
        told = {"problem": first_line(error), "passes": isinstance(error, Unreachable)}
    if "problem" in told:
        log.error("%s", told["problem"])
    (where / TOLD).write_text(json.dumps(told))
    return 0


def named(bundle: Path) -> tuple[str, ...]:
    """The columns that the model takes, where it takes them by name; else all of the table may be its."""
    try:
        raw: Any = json.loads((bundle / "model.json").read_bytes())
        columns, inputs = tuple(map(str, raw.get("columns") or ())), raw["signature"]["inputs"]
        return columns if len(inputs) == 1 and list(inputs[0]["shape"]) == [-1, len(columns)] else ()
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EvaluationError(f"the model's bundle can't be read: {error!r:.200}; fetch the model anew") from None


def read(asked: Asked, model: Sequence[str], folder: Path) -> list[str]:
    """Names of the files that are written. Raises EvaluationError; Unreachable where that may pass."""
    table = asked.input.table
    with tables.opened(table, tables.INPUT) as (remote, found):
        wanted = wanted_columns(found.columns, asked, model)
        plain = found.select(**{name: _plain(found[name], name in asked.keys) for name in wanted})
        schema = plain.schema().to_pyarrow()
        chunk = max(1, min(tables.CHUNK, CELLS // len(wanted)))
        files = Files(folder, schema)
        for batch in _told(remote, plain, table, chunk):
            files.add(batch)
        names = files.close()
    log.info("read %d rows of %d columns", files.rows, len(wanted), extra={"rows": files.rows})
    return names


def wanted_columns(there: Sequence[str], asked: Asked, model: Sequence[str]) -> list[str]:
    """Keys, and what the model takes; all, where it has no names for that. Raises EvaluationError for what is not
    there."""
    plain = {name.replace(" ", "_"): name for name in there}  # as LightGBM keeps names
    columns = {name: asked.columns.get(name) or (name if name in there else plain.get(name, name)) for name in model}
    lacking = [name for name in (*asked.keys, *asked.columns.values(), *columns.values()) if name not in there]
    if lacking:
        raise EvaluationError(
            f"{tables.INPUT.field}: {asked.input.table.name!r} has no column {_listed(dict.fromkeys(lacking))}, which "
            f"keys, columns or the model name; it has {_listed(there)}. Add it, or say in `columns` what the table "
            "calls it"
        )
    return list(dict.fromkeys((*asked.keys, *columns.values()) if model else there))


class Files:
    """Parquet files of some row groups each. `rows`: that were added."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._names: list[str] = []
        self._file: Any = None
        self._waiting: list[pa.RecordBatch] = []
        self._size = self._before = 0
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Raises EvaluationError where there is no more room."""
        self.rows += batch.num_rows
        self._waiting.append(batch)
        self._size += batch.nbytes
        if self._size >= GROUP_BYTES or sum(each.num_rows for each in self._waiting) >= GROUP_ROWS:
            self._flush()

    def close(self) -> list[str]:
        """Their names. There is one also where there is no row: it has the columns."""
        if self._waiting or not self._names:
            self._flush()
        self._end()
        return self._names

    def _flush(self) -> None:
        if self._file is None:
            self._names.append(f"rows-{len(self._names):05d}.parquet")
            self._file = parquet.ParquetWriter(self._path, self._schema, compression="zstd")
        if self._waiting:
            whole = pa.Table.from_batches(self._waiting, self._schema)
            self._file.write_table(whole, row_group_size=max(1, len(whole)))
        self._waiting, self._size = [], 0
        written = self._path.stat().st_size
        if self._before + written > MOST:
            raise EvaluationError(
                f"{tables.INPUT.field}: its rows are more than {MOST >> 30} GiB as Parquet, which is all that is read "
                "of a table; export it to files and name these in spec.input.uri, or name a view with fewer rows"
            )
        if written >= FILE:
            self._end()

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._before += self._path.stat().st_size
            self._file = None

    @property
    def _path(self) -> Path:
        return self._folder / self._names[-1]


def _told(remote: Any, plain: Table, table: DatabaseTable, chunk: int) -> Iterator[pa.RecordBatch]:
    try:
        yield from tables.batches(remote, plain, table, chunk)
    except Exception as error:  # of a driver, of which there are many
        raise tables.unread(error, table, tables.INPUT) from error


def _plain(value: Value, is_key: bool) -> Value:
    kind = value.type()
    if kind.is_string():
        return value.rstrip() if is_key else value  # columns of a fixed length are padded
    if _is_plain(kind) or (kind.is_array() and _is_plain(kind.value_type)):
        return value
    return value.cast("float64" if kind.is_decimal() and not is_key else "string")


def _is_plain(kind: DataType) -> bool:
    return bool(kind.is_boolean() or kind.is_integer() or kind.is_floating() or kind.is_string())


def _listed(names: Iterable[str]) -> str:
    text = ", ".join(map(repr, names))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


if __name__ == "__main__":
    logs.configure("INFO", "evaluator")
    sys.exit(main())
