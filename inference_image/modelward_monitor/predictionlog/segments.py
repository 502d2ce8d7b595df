"""The log on the pod's disk: segments to which batches are appended as they came, and where each stands.

    raw/EPOCH-NUMBER        records of a segment, as the server sent the batches
    ready/EPOCH-NUMBER/     the same as Parquet files, and a report; made aside and renamed, then the raw one goes
    done/EPOCH-NUMBER/      it is in the store; the report waits to be counted

A record is 4 bytes of CRC-32, and a frame of capture/wire.py. Which bytes of the open segment count is in the monitor's
snapshot (journal.py): what lies behind is of a monitor that died before it had acknowledged it, and comes again.
"""

import contextlib
import os
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from modelward_inference.capture import wire
from modelward_monitor.store import put_file

REPORT: Final = "report.json"
_SUM: Final = struct.Struct(">I")
_PREFIX: Final = _SUM.size + wire.LENGTHS.size

Raw = tuple[bytes, bytes]
"""Head and body of a batch, as they came."""


@dataclass(frozen=True, order=True)
class Segment:
    """`number`: from 1, without gaps in an epoch."""

    epoch: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.epoch}-{self.number:08}"

    @classmethod
    def of(cls, name: str) -> "Segment | None":
        epoch, _, number = name.partition("-")
        known = len(epoch) == 16 and len(number) == 8 and number.isdecimal() and number.isascii()
        return cls(epoch, int(number)) if known else None


def size_of(raw: Raw) -> int:
    """Bytes of the record."""
    return _PREFIX + len(raw[0]) + len(raw[1])


def record(raw: Raw) -> list[bytes]:
    """Pieces of a record."""
    head, body = raw
    lengths = wire.LENGTHS.pack(len(head), len(body))
    return [_SUM.pack(zlib.crc32(body, zlib.crc32(head, zlib.crc32(lengths)))), lengths, head, body]


def records(path: Path, size: int | None = None) -> Iterator[Raw | None]:
    """Batches of a segment, of its first `size` bytes. None: one that is damaged; where nothing can be told of what
    follows it is the last."""
    with path.open("rb") as file:
        left = path.stat().st_size if size is None else size
        while left > 0:
            prefix = file.read(min(_PREFIX, left))
            if len(prefix) < _PREFIX:
                yield None
                return
            (wanted,) = _SUM.unpack(prefix[: _SUM.size])
            lengths = prefix[_SUM.size :]
            head_length, body_length = wire.LENGTHS.unpack(lengths)
            if head_length + body_length > left - _PREFIX:
                yield None
                return
            head, body = file.read(head_length), file.read(body_length)
            left -= _PREFIX + head_length + body_length
            whole = zlib.crc32(body, zlib.crc32(head, zlib.crc32(lengths))) == wanted
            yield (head, body) if whole else None


class Segments:
    """The folder. Every method may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._raw, self._ready, self._done = folder / "raw", folder / "ready", folder / "done"
        self._aside = folder / "aside"

    def open(self) -> None:
        for each in (self._raw, self._ready, self._done, self._aside):
            each.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        """Take away what was only begun, by somebody who has ended."""
        shutil.rmtree(self._aside)
        self._aside.mkdir()

    @property
    def aside(self) -> Path:
        """For files that are only being made."""
        return self._aside

    def size(self) -> int:
        """Bytes of all that waits. What `ship` takes away meanwhile does not."""
        found = 0
        for folder in (self._raw, *self._ready.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                for each in folder.iterdir():
                    with contextlib.suppress(FileNotFoundError):
                        found += each.stat().st_size
        return found

    def append(self, segment: Segment, size: int, batches: Iterable[Raw]) -> int:
        """Behind the first `size` bytes. Returns how many there are now, and they are on the disk."""
        path = self._raw / segment.name
        fresh = not path.exists()
        with path.open("r+b" if not fresh else "wb") as file:
            file.truncate(size)
            file.seek(size)
            for raw in batches:
                file.writelines(record(raw))
            file.flush()
            os.fsync(file.fileno())
            end = file.tell()
        if fresh:
            sync_folder(self._raw)
        return end

    def cut(self, segment: Segment, size: int) -> None:
        """Only the first `size` bytes of the open one count; none that follow it were ever acknowledged."""
        self.trim(segment, size)
        for each in self.raw():
            if each.epoch == segment.epoch and each.number > segment.number:
                (self._raw / each.name).unlink()

    def trim(self, segment: Segment, size: int) -> None:
        """Take away what a snapshot that could not be written would have made count."""
        path = self._raw / segment.name
        if path.exists() and path.stat().st_size > size:
            os.truncate(path, size)

    def raw(self) -> list[Segment]:
        return _segments(self._raw)

    def ready(self) -> list[Segment]:
        return _segments(self._ready)

    def done(self) -> list[Segment]:
        return _segments(self._done)

    def path(self, segment: Segment) -> Path:
        """Of its records."""
        return self._raw / segment.name

    def made(self, segment: Segment, folder: Path, report: dict[str, Any]) -> None:
        """`folder` has its Parquet files: from now on they are the segment."""
        put_file(folder / REPORT, [orjson.dumps(report)])
        target = self._ready / segment.name
        if target.exists():  # the raw one outlived its conversion
            shutil.rmtree(folder)
        else:
            folder.replace(target)
            sync_folder(self._ready)
        self.path(segment).unlink(missing_ok=True)

    def files(self, segment: Segment) -> list[Path]:
        """Of one that is ready, in the order of their hours."""
        return sorted(each for each in (self._ready / segment.name).iterdir() if each.name != REPORT)

    def stored(self, segment: Segment) -> None:
        """All its files are in the store."""
        for each in self.files(segment):
            each.unlink()
        target = self._done / segment.name
        if target.exists():
            shutil.rmtree(self._ready / segment.name)
        else:
            (self._ready / segment.name).replace(target)
            sync_folder(self._done)

    def report(self, segment: Segment) -> dict[str, Any]:
        """Of one that is ready, or done."""
        done = self._done / segment.name
        folder = done if done.exists() else self._ready / segment.name
        found = orjson.loads((folder / REPORT).read_bytes())
        return found if isinstance(found, dict) else {}

    def forget(self, segment: Segment) -> None:
        """Its report is counted."""
        shutil.rmtree(self._done / segment.name)


def _segments(folder: Path) -> list[Segment]:
    return sorted(found for each in folder.iterdir() if (found := Segment.of(each.name)) is not None)


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
