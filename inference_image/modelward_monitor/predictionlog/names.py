"""What the log's files are called, and which of them count.

A file's name tells whose segments it has and which ones. That is all that keeps rows from being read twice: an upload
that is repeated has the same name, and a compacted file covers those that it was made of. Pure.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Self

SCHEMA: Final = 1
"""Of the columns. It is in every path, so that files of another one are never read as these."""

SETTLED: Final = 600.0
"""Seconds after the end of an hour from which on its files are joined: most of what comes for it has come."""

PART: Final = ".part"
"""The end of the name of what is only being written, in a claim."""

_NAME: Final = re.compile(r"([A-Za-z0-9-]{1,80})\.([0-9a-f]{16})\.([0-9]{8})\.([0-9]{8})\.parquet", re.ASCII)
OUTCOMES: Final = "outcomes/"
"""What the paths of outcomes begin with, beside the predictions."""

_OUTCOMES: Final = re.compile(rf"(?:^|/){OUTCOMES}v1/namespace=[^/]+/model=[^/]+/day=")
_WHEN: Final = r"day=([0-9]{4}-[0-9]{2}-[0-9]{2})/hour=([0-9]{2})"
_FOLDER: Final = re.compile(
    rf"(?:v1/namespace=([^/=]+)/model=([^/=]+)/revision=([^/=]+)|{OUTCOMES}v1/namespace=([^/=]+)/model=([^/=]+))/{_WHEN}",
    re.ASCII,
)


@dataclass(frozen=True, order=True)
class File:
    """`pod`, `epoch`: whose; `first`, `last`: numbers of the segments whose rows of this folder's hour it has."""

    pod: str
    epoch: str
    first: int
    last: int

    @property
    def name(self) -> str:
        return f"{self.pod}.{self.epoch}.{self.first:08}.{self.last:08}.parquet"

    @classmethod
    def of(cls, name: str) -> Self | None:
        """None: it is no file of the log."""
        found = _NAME.fullmatch(name)
        if found is None or int(found[3]) > int(found[4]):
            return None
        return cls(found[1], found[2], int(found[3]), int(found[4]))

    def covers(self, other: Self) -> bool:
        """Whether it has all of another's rows, and is another one."""
        same = (self.pod, self.epoch) == (other.pod, other.epoch)
        return same and self != other and self.first <= other.first and other.last <= self.last


@dataclass(frozen=True, order=True)
class Folder:
    """The rows of one hour of a revision, or where `revision` is empty the outcomes that arrived in that hour: these
    are of none. `day`: as 2026-01-31; `hour`: 0 to 23, UTC."""

    namespace: str
    model: str
    revision: str
    day: str
    hour: int

    @property
    def path(self) -> str:
        when = f"day={self.day}/hour={self.hour:02}"
        if not self.revision:
            return f"{outcomes_of_model(self.namespace, self.model)}{when}"
        return f"{of_model(self.namespace, self.model)}revision={self.revision}/{when}"

    @property
    def end(self) -> float:
        """When its hour is over, seconds since the epoch."""
        return (datetime.fromisoformat(self.day).replace(tzinfo=UTC) + timedelta(hours=self.hour + 1)).timestamp()

    @classmethod
    def of(cls, path: str) -> Self | None:
        """None: it is no folder of the log."""
        found = _FOLDER.fullmatch(path)
        try:
            if found is None or int(found[7]) > 23:
                return None
            date.fromisoformat(found[6])
        except ValueError:
            return None
        return cls(found[1] or found[4], found[2] or found[5], found[3] or "", found[6], int(found[7]))

    @classmethod
    def at(cls, namespace: str, model: str, revision: str, hour: int) -> Self:
        """`hour`: whole hours since the epoch."""
        moment = datetime.fromtimestamp(hour * 3600, UTC)
        return cls(namespace, model, revision, moment.date().isoformat(), moment.hour)


def of_model(namespace: str, model: str) -> str:
    """What all paths of a model's log begin with, in the log's own folder."""
    return f"v{SCHEMA}/namespace={namespace}/model={model}/"


def outcomes_of_model(namespace: str, model: str) -> str:
    """The same, of its outcomes."""
    return f"{OUTCOMES}{of_model(namespace, model)}"


def is_outcomes(path: str) -> bool:
    """Whether a file lies among a model's outcomes; before the log's own folder may be anything."""
    return _OUTCOMES.search(path) is not None


def split(path: str) -> tuple[Folder, File] | None:
    """Of a path in the log's own folder. None: it is no file of the log."""
    where, _, name = path.rpartition("/")
    folder, file = Folder.of(where), File.of(name)
    return (folder, file) if folder is not None and file is not None else None


def counted(paths: Iterable[str]) -> list[str]:
    """Of all paths of a listing those whose rows count, in order. Before the log's own folder may be anything. Outcomes
    and predictions are not to be in one listing."""
    whose: dict[tuple[str, str, str], list[tuple[File, str]]] = defaultdict(list)
    for path in paths:
        where, _, name = path.rpartition("/")
        file = File.of(name)
        if file is not None:
            whose[where, file.pod, file.epoch].append((file, path))
    return sorted(
        path
        for group in whose.values()
        for file, path in group
        if not any(other.covers(file) for other, _ in group)
    )  # fmt: skip
