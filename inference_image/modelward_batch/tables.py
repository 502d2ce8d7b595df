"""The rows of a run's table: brought to the run's folder once, and read there by all of its pods.

The first pod's step before this one has read the table into a folder of the pod (modelward_evaluate/extract.py), by one
statement; no container has both a database's login and a store's. What is in the store counts once its receipt is
there, which is written last and never over another one. Invariant: all pods of a run, whoever is killed and comes
again, read the rows of one such snapshot. Failure: Incurable and Passing.
"""

import json
import logging
import re
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from modelward_batch.errors import Incurable, Passing
from modelward_batch.stores import Input, Output, Sleep, input_of

log = logging.getLogger(__name__)

FOLDER, RECEIPT = "_table/", "_table.json"
TOLD: Final = "told.json"
"""What the step before leaves beside its files."""

WAIT: Final = 5.0
"""Seconds between looks for the receipt, in the pods that read no table."""

_ATTEMPT: Final = re.compile(r"[0-9a-f]{32}")
_FILE: Final = re.compile(r"rows-[0-9]{5,9}\.parquet")


@dataclass(frozen=True)
class Snapshot:
    """`attempt`: the folder below FOLDER that one pod has written; `files`: all that are in it."""

    attempt: str
    files: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Below the run's."""
        return f"{FOLDER}{self.attempt}/"

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Raises Incurable: who writes to the output names no other folder by it."""
        try:
            raw: dict[str, Any] = json.loads(content)
            found = cls(str(raw["attempt"]), _names(raw["files"]))
            if not _ATTEMPT.fullmatch(found.attempt):
                raise ValueError(f"{found.attempt!r:.100} is no attempt")
        except (ValueError, LookupError, TypeError) as error:
            raise Incurable(f"{RECEIPT} can't be read ({error!r:.200}); let another run begin") from None
        return found


def rows_of(output: Output, folder: Path, index: int, sleep: Sleep = time.sleep) -> Snapshot:
    """Where the rows are, once they are there. `folder`: of the step before; `index`: of the pod: the first brings
    them, and others wait, no longer than the run's deadline lets them."""
    content = output.get(RECEIPT)
    if content is None and index == 0:
        _bring(output, folder)
        content = output.get(RECEIPT)  # whatever is there counts, whoever wrote it
        if content is None:
            raise Incurable(f"{output.uri}{RECEIPT} was written and is not there; check who deletes from the output")
    while content is None:
        log.info("waiting for the run's first pod to bring the table's rows")
        sleep(WAIT)
        content = output.get(RECEIPT)
    return Snapshot.parse(content)


def opened(output: Output, snapshot: Snapshot, allowed: Collection[Path]) -> Input:
    """`allowed`: folders that the output may lie in. Raises Passing where a file is not there (yet)."""
    source = input_of(f"{output.uri}{snapshot.folder}", allowed)
    there = {each.name for each in source.files()}
    if there != set(snapshot.files):
        raise Passing(
            f"{output.uri}{snapshot.folder} has {len(there)} files, and {RECEIPT} names {len(snapshot.files)}; check "
            "who else writes to the output"
        )
    return source


def _bring(output: Output, folder: Path) -> None:
    try:
        told: dict[str, Any] = json.loads((folder / TOLD).read_bytes())
        problem = told.get("problem")
        files = () if problem else _names(told["files"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Passing(f"the step that reads the table left nothing that can be used ({error!r:.200})") from None
    if problem:
        raise (Passing if told.get("passes") else Incurable)(str(problem))
    snapshot = Snapshot(uuid.uuid4().hex, files)
    for name in files:
        output.put(f"{snapshot.folder}{name}", folder / name)
    if output.create(RECEIPT, json.dumps(asdict(snapshot)).encode()):
        log.info("brought the table's rows: %d files", len(files))


def _names(raw: Sequence[Any]) -> tuple[str, ...]:
    """Raises ValueError."""
    names = tuple(map(str, raw))
    if not names or not all(map(_FILE.fullmatch, names)):
        raise ValueError(f"{raw!r:.100} are no files of rows")
    return names
