"""A closed segment as Parquet files, one an hour, and a report of where its rows went."""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from modelward_drift.errors import ProfileError
from modelward_drift.profiles.reference import FILE, Reference
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.capture import wire
from modelward_inference.capture.wire import Batch, WireError
from modelward_inference.errors import BundleInvalid
from modelward_monitor.predictionlog import outcometable, schema, table
from modelward_monitor.predictionlog.names import File, Folder
from modelward_monitor.predictionlog.segments import Segment, Segments, records
from modelward_monitor.predictionlog.settings import LogSettings
from modelward_monitor.predictionlog.table import Rules, Tally
from modelward_telemetry.logs import QUOTES

log = logging.getLogger(__name__)

GROUP: Final = 8 << 20
"""Bytes of Arrow's memory from which on a row group is written: more than one is never held."""

COMPRESSION: Final = "zstd"


class Writer:
    """Files by hour, open at once and written in row groups; `close` puts them on the disk."""

    def __init__(self, folder: Path, schema: pa.Schema, metadata: Mapping[str, str]) -> None:
        self._folder = folder
        self._schema = schema.with_metadata(dict(metadata))
        self._waiting: dict[int, list[pa.Table]] = {}
        self._writers: dict[int, tuple[Path, pq.ParquetWriter]] = {}
        self._size = 0

    def add(self, part: table.Part) -> None:
        self._waiting.setdefault(part.hour, []).append(part.table)
        self._size += part.table.nbytes
        if self._size >= GROUP:
            self._write()

    def close(self) -> dict[int, Path]:
        """The files, by their hour since the epoch."""
        self._write()
        for path, writer in self._writers.values():
            writer.close()
            sync(path)
        return {hour: path for hour, (path, _) in self._writers.items()}

    def _write(self) -> None:
        for hour, tables in self._waiting.items():
            if hour not in self._writers:
                path = self._folder / f"{hour:010}.parquet"
                self._writers[hour] = (path, pq.ParquetWriter(path, self._schema, compression=COMPRESSION))
            whole = pa.concat_tables(tables).combine_chunks()
            self._writers[hour][1].write_table(whole, row_group_size=len(whole))
        self._waiting, self._size = {}, 0


def convert(segments: Segments, segment: Segment, settings: LogSettings, version: str, lost: int) -> None:
    """Afterwards the segment is ready, and its records are gone. Where it was killed, it begins again. `version`: of
    the model, where the bundle is not to say; `lost`: rows that the log has lost so far. Raises OSError."""
    folder = _begun(segments, segment)
    if folder is None:
        return
    tally, damaged = Tally(), 0
    rules = rules_of(settings, version, segments, segment)
    writer = Writer(folder, rules.schema, schema.metadata(settings, segment.epoch, lost))
    for batch in _batches(segments.path(segment)):
        before = (tally.rows, tally.left_out)
        if isinstance(batch, int) or batch.requests is None:
            damaged += batch if isinstance(batch, int) else batch.rows
            continue
        try:
            for part in list(table.parts(batch, rules, tally)):
                writer.add(part)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, LookupError):
            log.exception("a batch of %d rows can't be made a table, and is lost", batch.rows, extra={QUOTES: True})
            tally.rows, tally.left_out = before
            damaged += batch.rows
    _name(writer, folder, segment, settings, settings.revision)
    report = {"rows": tally.rows, "left_out": tally.left_out, "values": tally.values, "damaged": damaged}
    segments.made(segment, folder, report)


def convert_outcomes(segments: Segments, segment: Segment, settings: LogSettings, lost: int) -> None:
    """The same, of a segment with outcomes."""
    folder = _begun(segments, segment)
    if folder is None:
        return
    rows = damaged = 0
    writer = Writer(folder, outcometable.SCHEMA, schema.metadata(settings, segment.epoch, lost))
    for raw in records(segments.path(segment)):
        try:
            part = outcometable.part(raw, settings.columns) if raw is not None else None
        except (pa.ArrowException, ValueError, TypeError, OverflowError, LookupError):
            log.exception("outcomes can't be made a table, and are lost", extra={QUOTES: True})
            part = None
        if part is None:
            damaged += _rows(raw[0]) if raw is not None else 0
        else:
            writer.add(part)
            rows += part.table.num_rows
    _name(writer, folder, segment, settings, "")
    segments.made(segment, folder, {"rows": rows, "left_out": 0, "values": 0, "damaged": damaged})


def _begun(segments: Segments, segment: Segment) -> Path | None:
    """A folder for the files of a segment. None: they are made."""
    if segment in segments.ready() or segment in segments.done():
        segments.path(segment).unlink(missing_ok=True)
        return None
    folder = segments.aside / segment.name
    folder.mkdir()
    return folder


def _name(writer: Writer, folder: Path, segment: Segment, settings: LogSettings, revision: str) -> None:
    """Close the files, and name them by where they belong. `revision`: see names.Folder."""
    file = File(settings.pod, segment.epoch, segment.number, segment.number)
    for hour, path in writer.close().items():
        where = Folder.at(settings.namespace, settings.model, revision, hour)
        path.replace(folder / encoded(f"{where.path}/{file.name}"))


def rules_of(settings: LogSettings, version: str, segments: Segments, segment: Segment) -> Rules:
    """Of the bundle beside the monitor, or where there is none, of what the segment has."""
    reference = None
    try:
        manifest = Manifest.read(settings.bundle)
    except BundleInvalid as error:
        log.warning("the log's columns are those of its batches, since there is no bundle: %s", error)
        columns = schema.seen_in(each for each in _batches(segments.path(segment)) if isinstance(each, Batch))
    else:
        version = version or manifest.digest.removeprefix("sha256:")[:12]
        with contextlib.suppress(FileNotFoundError, ProfileError, ValueError):  # names are then the signature's
            reference = Reference.from_dict(orjson.loads((settings.bundle / FILE).read_bytes()))
        columns = [*schema.columns_of(manifest, reference), *schema.keys_of(settings.entities)]
    kept, fields, unknown = schema.changed(columns, settings.columns)
    if unknown:
        log.warning("no column of the log is called %s, so nothing is done to it", ", ".join(sorted(unknown))[:500])
    return Rules(
        tuple(kept), fields, settings.columns, version, settings.fraction, settings.fraction * settings.captured
    )


def encoded(path: str) -> str:
    """A path in the store as a file's name on the pod's disk, which keeps the order."""
    return path.replace("/", "\\")


def decoded(name: str) -> str:
    return name.replace("\\", "/")


def sync(path: Path) -> None:
    """Returns when it is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _batches(path: Path) -> Iterator[Batch | int]:
    """A number: rows of a batch that can't be read any more, as far as is known."""
    for raw in records(path):
        try:
            yield wire.load_batch(*raw) if raw is not None else 0
        except WireError as error:
            log.error("a batch of the log can't be read, and is lost: %s", error)
            yield _rows(raw[0]) if raw is not None else 0


def _rows(head: bytes) -> int:
    try:
        rows: Any = orjson.loads(head)["rows"]
    except (ValueError, TypeError, LookupError):
        return 0
    return rows if type(rows) is int and rows > 0 else 0
