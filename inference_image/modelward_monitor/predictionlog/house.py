"""Compaction and retention: many small files of an hour become one, and old days go.

Safe whoever else does the same, and wherever it is killed: a compacted file is named by all that it has, and from the
moment that it is there those that it was made of do not count (names.py). Only then they are deleted. Files of one pod
and epoch are joined, and never of two.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from modelward_monitor.predictionlog.convert import COMPRESSION, sync
from modelward_monitor.predictionlog.names import (
    PART,
    SETTLED,
    File,
    Folder,
    counted,
    of_model,
    outcomes_of_model,
    split,
)
from modelward_monitor.predictionlog.stores import GoneError, LogStore

log = logging.getLogger(__name__)

ABANDONED: Final = 7200.0
"""The same for files of other pods, which join their own."""

MOST_BYTES: Final = 128 << 20
"""Of a compacted file: what is larger is no small file."""


def compact(store: LogStore, paths: Iterable[tuple[str, int]], aside: Path) -> int:
    """Join files of one folder, pod and epoch, and delete those that do not count. `paths`: all of one listing, with
    their bytes. Returns how many files went. Raises StoreError."""
    sizes = dict(paths)
    groups: dict[tuple[str, str, str], list[tuple[File, str]]] = defaultdict(list)
    for path in counted(sizes):
        where, _, name = path.rpartition("/")
        file = File.of(name)
        assert file is not None, "what counts is a file of the log"
        groups[where, file.pod, file.epoch].append((file, path))
    gone = set(sizes) - set(counted(sizes))
    for (where, pod, epoch), files in groups.items():
        files.sort()
        # From the first on, so that two who do it at once make files of which one covers the other.
        while len(files) > 1 and sum(sizes[path] for _, path in files) > MOST_BYTES:
            files.pop()
        if len(files) > 1:
            target = File(pod, epoch, files[0][0].first, max(file.last for file, _ in files))
            if _join(store, [path for _, path in files], f"{where}/{target.name}", aside):
                gone |= {path for _, path in files}
    removed = 0
    for path in sorted(gone):
        if split(path) is not None:
            store.delete(path)
            removed += 1
    return removed


def settled(paths: Iterable[tuple[str, int]], now: float, pod: str) -> list[tuple[str, int]]:
    """Of a listing what may be joined. `now`: seconds since the epoch; `pod`: whose files are joined earlier."""
    found = []
    for path, size in paths:
        known = split(path)
        if known is not None and now - known[0].end >= (SETTLED if known[1].pod == pod else ABANDONED):
            found.append((path, size))
    return found


def expired(paths: Iterable[tuple[str, int]], now: float, days: int) -> list[str]:
    """Of a listing the files of days that ended more than `days` ago."""
    oldest = (datetime.fromtimestamp(now, UTC) - timedelta(days=days)).date().isoformat()
    return [path for path, _ in paths if (known := split(path)) is not None and known[0].day < oldest]


def unfinished(paths: Iterable[tuple[str, int]], now: float) -> list[str]:
    """Of a listing what a process that was killed left in a claim. One that lives begins anew."""
    return [
        path
        for path, _ in paths
        if path.endswith(PART)
        and (folder := Folder.of(path.rpartition("/")[0])) is not None
        and now - folder.end >= ABANDONED
    ]


def keep(
    store: LogStore, namespace: str, model: str, pod: str, retention: int | None, now: float, aside: Path
) -> tuple[int, int]:
    """All of a model's files, and its outcomes'. Returns how many were joined away, and how many were too old. Raises
    StoreError."""
    paths = [*store.list(of_model(namespace, model)), *store.list(outcomes_of_model(namespace, model))]
    old = expired(paths, now, retention) if retention is not None else []
    for path in (*old, *unfinished(paths, now)):
        store.delete(path)
    gone = set(old)
    return compact(store, settled([each for each in paths if each[0] not in gone], now, pod), aside), len(old)


def _join(store: LogStore, paths: list[str], target: str, aside: Path) -> bool:
    """False: one of them is gone, or none of ours; another time will do."""
    parts = [aside / f"part-{index}" for index in range(len(paths))]
    joined = aside / "joined"
    try:
        for path, part in zip(paths, parts, strict=True):
            store.get(path, part)
        files = [pq.ParquetFile(part) for part in parts]
        schema = pa.unify_schemas([each.schema_arrow for each in files], promote_options="permissive")
        schema = schema.with_metadata(files[-1].schema_arrow.metadata)
        with pq.ParquetWriter(joined, schema, compression=COMPRESSION) as writer:
            for each in files:
                for group in range(each.num_row_groups):
                    table = each.read_row_group(group)
                    missing = {name: pa.nulls(len(table), schema.field(name).type) for name in schema.names}
                    columns = {**missing, **dict(zip(table.column_names, table.columns, strict=True))}
                    writer.write_table(pa.table(columns).select(schema.names).cast(schema))
        sync(joined)
        store.put(target, joined)
    except GoneError:
        return False
    except (pa.ArrowException, OSError) as error:
        log.error("%d files of the log can't be joined, and stay: %s", len(paths), error)
        return False
    finally:
        for each in (*parts, joined):
            each.unlink(missing_ok=True)
    return True
