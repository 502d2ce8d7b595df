"""Batches as tables, by the hour of their rows, with what is to be done to columns done.

Pure but for the key: the same batches give the same rows in the same order, however often they are converted.
"""

import hashlib
import hmac
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from modelward_inference.artifact.arrays import Array
from modelward_inference.capture.requests import Requests
from modelward_inference.capture.wire import Batch
from modelward_monitor.predictionlog.schema import TIME, Column
from modelward_monitor.predictionlog.settings import KEY, Columns

HOUR: Final = 3600 * 1_000_000
"""Microseconds."""

DIGITS: Final = 32
"""Hexadecimal ones of a hash: half of SHA-256, which is more than enough to tell values apart."""


@dataclass(frozen=True)
class Rules:
    """`columns`: that are written; `schema`: of the files; `how`: what happens to values; `fraction`: of requests that
    are kept, `total`: with what the monitor does not get."""

    columns: tuple[Column, ...]
    schema: pa.Schema
    how: Columns
    model_version: str
    fraction: float = 1.0
    total: float = 1.0


@dataclass(frozen=True)
class Part:
    """Rows of one hour since the epoch."""

    hour: int
    table: pa.Table


@dataclass
class Tally:
    """What became of rows and values."""

    rows: int = 0
    left_out: int = 0
    values: int = 0


def parts(batch: Batch, rules: Rules, tally: Tally) -> Iterator[Part]:
    """`batch.requests` have to be there."""
    requests = batch.requests
    assert requests is not None
    rows = np.asarray(requests.rows, np.int64)
    chosen = np.repeat(np.array([_is_chosen(each, rules.fraction) for each in requests.ids], bool), rows)
    tally.left_out += int(batch.rows - chosen.sum())
    if not chosen.any():
        return
    every = bool(chosen.all())
    table = _table(batch, requests, rows, rules, tally)
    if not every:
        table = table.filter(pa.array(chosen))
    tally.rows += table.num_rows
    hours = table.column("time").cast(pa.int64()).to_numpy() // HOUR
    for hour in np.unique(hours).tolist():
        here = hours == hour
        yield Part(hour, table if here.all() else table.filter(pa.array(here)))


def _table(batch: Batch, requests: Requests, rows: Array, rules: Rules, tally: Tally) -> pa.Table:
    starts = np.cumsum(rows) - rows
    first = np.asarray(requests.firsts, np.int64) - starts
    times = (np.asarray(requests.times, np.float64) * 1e6).astype(np.int64)
    # By index: a text of each request, however many rows it has.
    which = pa.array(np.repeat(np.arange(len(rows)), rows))
    fixed: dict[str, pa.Array] = {
        "request_id": pa.array(requests.ids, pa.string()).take(which),
        "row": pa.array((np.arange(batch.rows) + np.repeat(first, rows)).astype(np.int32)),
        KEY: changed(pa.array(requests.keys, pa.string()), KEY, rules.how).take(which),
        "time": pa.array(np.repeat(times, rows)).cast(TIME),
        "arm": pa.array(requests.arms, pa.string()).take(which),
        "model_version": pa.repeat(pa.scalar(rules.model_version, pa.string()), batch.rows),
        "fraction": pa.repeat(pa.scalar(rules.total, pa.float64()), batch.rows),
        "latency_ms": pa.array(np.repeat(np.asarray(requests.latencies, np.float64) * 1000, rows)),
    }
    own = {each.name: _column(each, batch, rules.how, tally) for each in rules.columns}
    found = fixed | own
    return pa.table([found[field.name] for field in rules.schema], schema=rules.schema)


def _column(column: Column, batch: Batch, how: Columns, tally: Tally) -> pa.Array:
    tensor = (batch.inputs if column.side == "input" else batch.outputs).get(column.tensor)
    changes = column.name in how.hash or column.name in how.truncate
    if changes and not _is_there(column, tensor):
        tally.values += batch.rows if tensor is not None else 0
        return pa.nulls(batch.rows, pa.string())
    return changed(plain(column, tensor, batch.rows, tally), column.name, how)


def plain(column: Column, tensor: Array | None, rows: int, tally: Tally) -> pa.Array:
    """A column's values of a tensor (rows, …) as they are; null where it has none, and counted where it should."""
    if tensor is None or not _is_there(column, tensor):
        tally.values += rows if tensor is not None else 0
        return pa.nulls(rows, column.stored)
    flat = tensor.reshape(rows, math.prod(tensor.shape[1:]))
    if column.listed:
        values = _typed(flat.reshape(-1), column.type, tally)
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * flat.shape[1])
        return pa.ListArray.from_arrays(offsets, values)
    return _typed(flat[:, column.place or 0], column.type, tally)


def _is_there(column: Column, tensor: Array | None) -> bool:
    """Whether the tensor is as wide as its column says."""
    if tensor is None:
        return False
    width = math.prod(tensor.shape[1:])
    return column.listed or ((column.place or 0) < width and (column.place is not None or width == 1))


def _typed(values: Array, kind: pa.DataType, tally: Tally) -> pa.Array:
    """NaN and None are null; what the type can't hold is, too, and is counted."""
    if pa.types.is_string(kind):
        return pa.array([_text(value) for value in values.tolist()], kind)
    if values.dtype.kind in "fiub":
        native = values.astype(values.dtype.newbyteorder("="))
        try:
            if native.dtype == np.float16:
                native = native.astype(np.float32)
            return pa.array(native, from_pandas=True).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    found: list[Any] = []
    for value in values.tolist():
        if value is None or value != value:
            found.append(None)
            continue
        try:
            found.append(pa.scalar(value).cast(kind).as_py())
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            tally.values += 1
            found.append(None)
    return pa.array(found, kind)


def _text(value: Any) -> str | None:
    """As the log writes it, and as what is hashed and truncated."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else repr(value)


def changed(array: pa.Array, name: str, how: Columns) -> pa.Array:
    """A column with what is to be done to its values."""
    if name in how.hash:
        return _mapped(array, lambda text: hmac.new(how.key, text.encode(), hashlib.sha256).hexdigest()[:DIGITS])
    if name in how.truncate:
        characters = how.truncate[name]
        return _mapped(array, lambda text: text[:characters])
    return array


def _mapped(array: pa.Array, change: Callable[[str], str]) -> pa.Array:
    """Values repeat, and are changed once each."""
    known: dict[str | None, str | None] = {None: None}
    found = []
    for value in array.to_pylist():
        text = _text(value)
        if text not in known:
            known[text] = change(text)  # type: ignore[arg-type]  # None is known
        found.append(known[text])
    return pa.array(found, pa.string())


def _is_chosen(request_id: str, fraction: float) -> bool:
    """By its id alone, so that all arms keep the same requests."""
    if fraction >= 1.0:
        return True
    hashed = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") < fraction * 2.0**64
