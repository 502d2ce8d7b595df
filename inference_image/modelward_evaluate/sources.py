"""Files of predictions and outcomes as tables of an engine. What is asked of the engine reaches no other file."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import unquote

import duckdb
import ibis
import pyarrow
from ibis.backends.duckdb import Backend
from ibis.common.exceptions import IbisError
from ibis.expr.types import Table
from pyarrow import csv, dataset, fs

from modelward_evaluate.errors import EvaluationError, first_line
from modelward_evaluate.spec import Files, Run
from modelward_evaluate.stores import s3
from modelward_monitor.predictionlog.names import counted, is_outcomes

ENDINGS: Final = (".parquet", ".csv", ".csv.gz")


@dataclass(frozen=True)
class Listing:
    """Files of one store, by their paths in it. `typical`: some that have all the columns there are, None: their names
    tell."""

    store: Any
    paths: tuple[str, ...]
    typical: tuple[str, ...] | None = None


@contextlib.contextmanager
def engine(spec: Run, what: str) -> Iterator[Backend]:
    """An engine within its memory; what does not fit goes to a folder of its own. `what`: is at work, where it fails.
    Raises EvaluationError."""
    with tempfile.TemporaryDirectory() as scratch:
        con = _connect(spec, scratch)
        try:
            yield con
        except (duckdb.Error, pyarrow.ArrowException, IbisError, OSError) as error:
            raise EvaluationError(f"the {what} failed: {first_line(error)}") from error
        finally:
            con.disconnect()


def _connect(spec: Run, scratch: str) -> Backend:
    con = ibis.duckdb.connect(memory_limit=f"{spec.memory_mb}MB", threads=spec.threads, temp_directory=scratch)
    con.raw_sql("SET autoinstall_known_extensions = false")
    con.raw_sql("SET autoload_known_extensions = false")
    con.raw_sql("SET preserve_insertion_order = false")
    con.raw_sql("SET TimeZone = 'UTC'")
    return con


def close_to_files(con: Backend) -> None:
    """Expressions of a team reach what was registered, and nothing else of the pod."""
    con.raw_sql("SET enable_external_access = false")
    con.raw_sql("SET lock_configuration = true")


def listing(files: Files) -> Listing:
    """All files below a folder or `s3://bucket/prefix`, sorted. Raises EvaluationError."""
    store, found = looked_up(files, recursive=True)
    paths = sorted(each.path for each in found if each.type == fs.FileType.File)
    return Listing(store, tuple(each for each in paths if each.endswith(ENDINGS)))


def looked_up(files: Files, *, recursive: bool) -> tuple[Any, list[Any]]:
    """The store, and what lies in the folder (`recursive`: also in those in it). Raises EvaluationError."""
    path = files.path
    # No urlsplit: # and ? are characters of a folder's name like others.
    scheme, _, rest = path.partition("://") if "://" in path else ("", "", path)
    if scheme not in ("", "s3", "file"):
        raise EvaluationError(f"{path}: files are read from a folder or from s3://, not from {scheme}://")
    where = rest.strip("/") if scheme == "s3" else os.path.abspath(unquote(rest) if scheme == "file" else rest)
    try:
        store = s3(files.credentials) if scheme == "s3" else fs.LocalFileSystem()
        found = store.get_file_info(fs.FileSelector(where, recursive=recursive, allow_not_found=True))
        bucket = where.partition("/")[0]
        if scheme == "s3" and not found and store.get_file_info(bucket).type == fs.FileType.NotFound:
            raise EvaluationError(f"{path} can't be listed: there is no bucket {bucket!r}")
    except OSError as error:
        raise EvaluationError(f"{path} can't be listed: {error}") from error
    return store, found


def logged(files: Files) -> tuple[Listing, tuple[str, ...]]:
    """The files of predictions: outcomes may lie beside them. And of these the files of a prediction log that count:
    others are none of it. Raises EvaluationError."""
    log = listing(files)
    log = replace(log, paths=tuple(each for each in log.paths if not is_outcomes(each)))
    return log, tuple(counted(log.paths))


def table(
    con: Backend, name: str, files: Listing, what: str, is_text: Callable[[str], bool], folders: Any = None
) -> Table:
    """All rows of the files; columns that some have are null in the others. `is_text`: columns of CSV whose values stay
    as they are written (0071 is no number). `folders`: the schema of folders as `day=2026-01-31`, which are columns.
    Raises EvaluationError."""
    kinds = {"parquet" if each.endswith(".parquet") else "csv" for each in files.paths}
    if len(kinds) != 1:
        there = "there is none" if not kinds else "there are both Parquet and CSV: keep them apart"
        raise EvaluationError(f"{what}: files with one of {', '.join(ENDINGS)} are read, but {there}")
    partitioning = dataset.partitioning(folders, flavor="hive")
    options = dataset.FileSystemFactoryOptions(partitioning=partitioning)
    form = dataset.ParquetFileFormat() if kinds == {"parquet"} else _csv()
    try:

        def of(paths: list[str]) -> Any:
            return dataset.FileSystemDatasetFactory(files.store, paths, form, options)

        if kinds == {"csv"}:
            each_one = [_with_texts(of([path]).inspect(), is_text) for path in files.paths]
            schema = pyarrow.unify_schemas(each_one, promote_options="permissive")
        else:
            typical = list(files.typical or _typical(files.paths))
            schema = of(typical).inspect(promote_options="permissive", fragments=None)
        whole = of(list(files.paths)).finish(schema)
    except (OSError, pyarrow.ArrowException) as error:
        raise EvaluationError(f"{what} can't be read: {first_line(error)}") from error
    con.con.register(name, whole)
    return con.table(name)


def _csv() -> Any:
    """What is empty or says that nothing is there is null, also among texts, unless it is written with quotes."""
    nulls = csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    return dataset.CsvFileFormat(default_fragment_scan_options=dataset.CsvFragmentScanOptions(convert_options=nulls))


def _with_texts(schema: pyarrow.Schema, is_text: Callable[[str], bool]) -> pyarrow.Schema:
    return pyarrow.schema([each.with_type(pyarrow.string()) if is_text(each.name) else each for each in schema])


def _typical(paths: Iterable[str]) -> list[str]:
    """Those that have all the columns there are: files of one revision of a model's log are alike, and so are those of
    outcomes that its server was told."""
    kept: dict[str, str] = {}
    for path in paths:
        kept[alike(path)] = path
    return list(kept.values())


def alike(path: str) -> str:
    """What files have in common that have the same columns."""
    before, found, after = path.partition("/revision=")
    day, of_log, _ = path.partition("/day=")
    return before + found + after.split("/")[0] if found else day if of_log and is_outcomes(path) else path
