"""What is wanted of a process's logs while it runs: a small file of JSON, `{"level": "DEBUG", "accessLogShare": 0.01}`,
that others change (a ConfigMap's mount).

Invariant: a file that is not there, or can't be read, ends nothing: then the process's own level holds, and no access
log is written. What is wrong with it is said once.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final

from modelward_telemetry import logs

log = logging.getLogger(__name__)

VARIABLE: Final = "LOGGING_FILE"
KEYS: Final = "OPERATOR_KEYS"
NAME: Final = "logging"
"""The file's beside the operator's keys, where VARIABLE names no other: they come in one ConfigMap."""

_MAX_FILE: Final = 4096
"""Bytes."""


@dataclass(frozen=True)
class Wanted:
    """`level`: one of logs.LEVELS, None: the process's own; `share`: of the requests that the access log tells of,
    from 0 to 1."""

    level: str | None = None
    share: float = 0.0


NOTHING: Final = Wanted()


def read(text: str) -> Wanted:
    """Raises ValueError, which says what is wrong."""
    told = json.loads(text)
    if not isinstance(told, dict):
        raise ValueError("it is no object")
    level, share = told.get("level"), told.get("accessLogShare", 0.0)
    if level is not None and level not in logs.LEVELS:
        raise ValueError(f"level is {str(level)[:50]!r}, and none of {', '.join(logs.LEVELS)}")
    if isinstance(share, bool) or not isinstance(share, int | float) or not (isfinite(share) and 0 <= share <= 1):
        raise ValueError(f"accessLogShare is {str(share)[:50]!r}, and no number from 0 to 1")
    return Wanted(level, float(share))


def path_of(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file's; None: nobody says where it would be."""
    if named := environment.get(VARIABLE):
        return Path(named)
    beside = environment.get(KEYS)
    return Path(beside).with_name(NAME) if beside else None


class Follower:
    """Carries out what the file says. `level`: the process's own; `share`: is given the access log's share."""

    def __init__(self, path: Path | None, level: str, share: Callable[[float], None] = lambda _: None) -> None:
        self._path, self._level, self._share = path, level, share
        self._seen: tuple[int, ...] | None = None
        self._now = NOTHING

    def look(self) -> None:
        """Read it again where it has changed: a `stat`, some 5 µs, where it has not. Call it every
        second or so."""
        if self._path is None:
            return
        try:
            found = self._path.stat()
        except OSError:
            self._seen = None
            self._take(NOTHING)
            return
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            with self._path.open(encoding="utf-8") as file:
                self._take(read(file.read(_MAX_FILE)))
        except (OSError, ValueError) as error:
            log.warning("%s can't be used, and logs are as before: %s", self._path, error)

    def _take(self, wanted: Wanted) -> None:
        before, self._now = self._now, wanted
        if wanted == before:
            return
        if wanted.level != before.level:
            logs.set_level(wanted.level or self._level)
        self._share(wanted.share)
        log.info("level %s, and the access log tells of %g of the requests", wanted.level or self._level, wanted.share)
