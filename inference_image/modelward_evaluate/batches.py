"""What batches have written (docs/batch-output.md), as a prediction log whose arm is `batch`.

Invariant: a run counts when its manifest is there, and of its folder only the files that the manifest names; what a run
that goes on, or has failed, has left is none. Where there are folders, who writes into them leads nowhere else: what is
a link, or no file, is refused. Failure: EvaluationError, also for a run of which a file is gone.
"""

import os
import re
import stat
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import ibis
import pyarrow
from ibis.expr.types import Table
from pyarrow import fs
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from modelward_evaluate.columns import listed
from modelward_evaluate.errors import EvaluationError, first_line, first_wrong
from modelward_evaluate.sources import Listing, looked_up
from modelward_evaluate.spec import BatchOutput, Outcomes, Predictions

ARM: Final = "batch"

MANIFEST: Final = "_manifest.json"

TIME: Final = "predicted_at"

FOLDERS: Final = pyarrow.schema([])
"""What lies above a run is none of its columns, whatever it is called."""

_LARGEST: Final = 64 << 20
"""Bytes of a manifest: of a hundred thousand files it has six million."""

_OF_RUN: Final = r"-[0-9a-z]+"
"""What the name of a run has behind that of its BatchInference."""


class _Part(BaseModel):
    name: Annotated[str, Field(pattern=r"^part-[0-9]{5}\.parquet$")]
    rows: Annotated[int, Field(ge=0)]


class _Manifest(BaseModel):
    """What of it matters here."""

    version: Literal[1] = Field(alias="schema")
    finished_at: AwareDatetime
    files: tuple[_Part, ...]


def complete(predictions: Predictions, begin: datetime | None) -> Listing:
    """The files of all runs that have ended well, not before `begin`, but for those without rows. Raises
    EvaluationError."""
    assert predictions.batch is not None, "the specification is of batches"
    named = None if predictions.batch.of is None else re.compile(re.escape(predictions.batch.of) + _OF_RUN)
    store, found = looked_up(predictions, recursive=False)
    folders = [each for each in found if each.type == fs.FileType.Directory]
    runs = sorted(each.path for each in folders if named is None or named.fullmatch(each.base_name))
    paths: list[str] = []
    typical: list[str] = []
    for run in runs:
        _is_there_itself(store, run, stat.S_ISDIR)
        manifest = _read(store, f"{run}/{MANIFEST}")
        if manifest is None or (begin is not None and manifest.finished_at < begin):
            continue
        own = [f"{run}/{name}" for name in dict.fromkeys(each.name for each in manifest.files if each.rows)]
        for each in own:
            _is_there_itself(store, each, stat.S_ISREG)
        paths += own
        typical += own[:1]  # the files of a run are alike
    return Listing(store, tuple(paths), tuple(typical))


def _is_there_itself(store: Any, path: str, is_it: Callable[[int], bool]) -> None:
    """A pipe would be waited for, and a link leads to whatever else the pod has. Raises EvaluationError."""
    if not isinstance(store, fs.LocalFileSystem):
        return
    try:
        found = os.lstat(path)
    except OSError:  # whoever opens it says why
        return
    if not is_it(found.st_mode):
        raise EvaluationError(f"predictions: {path} is a link, or nothing that a batch writes; remove it")


def _read(store: Any, path: str) -> _Manifest | None:
    """None: there is none. Raises EvaluationError."""
    _is_there_itself(store, path, stat.S_ISREG)
    try:
        info = store.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            return None
        if (info.size or 0) > _LARGEST:
            raise EvaluationError(f"predictions: {path} has {info.size} bytes: it is no manifest of a run")
        with store.open_input_stream(path) as opened:
            return _Manifest.model_validate_json(opened.read(_LARGEST))
    except (OSError, pyarrow.ArrowException) as error:
        raise EvaluationError(f"predictions: {path} can't be read: {first_line(error)}") from error
    except ValidationError as error:
        raise EvaluationError(f"predictions: {path} is no manifest of a run: {first_wrong(error)}") from error


def as_log(rows: Table, batch: BatchOutput, asked: Collection[str]) -> Table:
    """With the columns that a prediction log has besides. `asked`: columns that the specification names. Raises
    EvaluationError."""
    for name in (batch.key, TIME):
        if name not in rows.columns:
            raise EvaluationError(f"predictions: the batch wrote no column {name!r}, but {listed(rows.columns)}")
    own = {
        "request_id": ibis.null("string"), "row": ibis.literal(0), "key": rows[batch.key], "time": rows[TIME],
        "arm": ibis.literal(ARM), "fraction": ibis.literal(1.0),
    }  # fmt: skip
    hidden = {each for each in rows.columns if each.lower() in own} - ({batch.key} if batch.key == "key" else set())
    if wrong := sorted(hidden.intersection(asked)):
        raise EvaluationError(
            f"predictions: the batch's column {listed(wrong)} can't be asked for, since an evaluation has one of that "
            "name; call the input's column something else"
        )
    # To an engine Time and time are one name, of which the first counts.
    return rows.select(*(each for each in rows.columns if each.lower() not in own), **own)


def by_key(given: Table, names: Outcomes) -> Table:
    """Outcomes without what tells rows of requests apart. Raises EvaluationError where they have no key."""
    if names.key not in given.columns:
        raise EvaluationError(
            f"outcomes: there is no column {names.key!r} with the batch's key, but {listed(given.columns)}; write what "
            "it is called there"
        )
    used = {names.value, names.key, names.time, names.arrived, names.weight}
    return given.drop(*(each for each in {names.request_id, names.row} - used if each in given.columns))
