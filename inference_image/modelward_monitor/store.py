"""The monitor's folder: the snapshot, the reference where it is not the bundle's, and how many rows there were.

What `write` has returned from is on the disk, whatever dies next: each file is written aside, synced and renamed. The
tally is a file of its own, so that a damaged snapshot still leaves the number of rows that went with it.
"""

import contextlib
import logging
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from modelward_drift.errors import ProfileError
from modelward_drift.profiles.reference import FILE, Reference
from modelward_monitor.counting import snapshot
from modelward_monitor.counting.counter import State, begin, with_reference
from modelward_monitor.counting.snapshot import SnapshotError

log = logging.getLogger(__name__)

SNAPSHOT: Final = "snapshot"
TALLY: Final = "rows"
ASIDE: Final = ".damaged"
"""Suffix of the last snapshot that could not be used, kept for whoever wants to know why."""

Pieces = Iterable[Any]


class Store:
    """`bundled`: the bundle's reference; `put`: writes a file for good."""

    def __init__(
        self, folder: Path, bundled: Reference | None, put: Callable[[Path, Pieces], None] | None = None
    ) -> None:
        self._folder = folder
        self._bundled = bundled
        self._put = put or put_file
        self._kept: str | None = None

    def open(self) -> State:
        """What was written last; a new epoch, which says what was lost, where that can't be read. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = self._reference()
        known = {each.digest: each for each in (kept, self._bundled) if each is not None}
        path = self._folder / SNAPSHOT
        reason = "it is gone"
        try:
            state = snapshot.load(path.read_bytes(), known)
            if state.reference is not None and self._bundled and self._bundled.digest != state.digest:
                raise SnapshotError("it counts against another reference than the bundle's")
            state = with_reference(state, self._bundled) if state.reference is None else state
        except (FileNotFoundError, SnapshotError) as error:
            if isinstance(error, SnapshotError):
                reason = str(error)
                path.replace(path.with_name(SNAPSHOT + ASIDE))
            lost = self._lost()
            if lost or isinstance(error, SnapshotError):
                log.warning("the snapshot can't be used, %s; %d rows are lost, and counting begins anew", reason, lost)
            state = begin(uuid.uuid4().hex, self._bundled or kept, lost)
        self._kept = kept.digest if kept else None
        self.write(state)
        return state

    def write(self, state: State) -> None:
        """Returns when it is on the disk. Raises OSError; what was there before is then still there."""
        bundled = self._bundled.digest if self._bundled else None
        if state.reference is not None and state.digest not in (bundled, self._kept):
            self._put(self._folder / FILE, [orjson.dumps(state.reference.to_dict())])
            self._kept = state.digest
        self._put(self._folder / SNAPSHOT, snapshot.dump(state))
        rows = state.intake.counted + state.held.rows
        self._put(self._folder / TALLY, [orjson.dumps({"rows": rows, "lost": state.intake.lost})])

    def _reference(self) -> Reference | None:
        """The one that was learned or given."""
        with contextlib.suppress(FileNotFoundError, ProfileError, ValueError):
            return Reference.from_dict(orjson.loads((self._folder / FILE).read_bytes()))
        return None

    def _lost(self) -> int:
        """Rows that an unusable snapshot had, as far as is known."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, LookupError):
            tally = orjson.loads((self._folder / TALLY).read_bytes())
            rows, lost = tally["rows"], tally["lost"]
            if type(rows) is int and type(lost) is int and min(rows, lost) >= 0:
                return rows + lost
        return 0


def put_file(path: Path, pieces: Pieces) -> None:
    """All of it or nothing, even where the machine dies. Raises OSError."""
    aside = path.with_name(f".{path.name}.new")
    with aside.open("wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
