"""Which requests this pod answered: hashes of their ids, the last one or two million, in two files beside the counts.

Nobody pays for it but the monitor, and that once a second: ids of the router's form are hashed together, 8 bytes each
are appended to a file, and nothing more is kept in memory. `modelward answered ID` reads it, as a process of its own.
Bounded: the older file goes when the newer one is full. It survives a restart of the container, not the pod's end. What
a crash of the node left unwritten is forgotten; a monitor that dies gets it again with the rows. Failure: a disk that
is full costs the memory and nothing else.

    block   4 bytes seconds since the epoch, 2 bytes how many, 1 byte the arm (little endian), 1 byte of MARK
    then    8 bytes for each id
"""

import hashlib
import logging
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelward_inference.capture.requests import Requests
from modelward_inference.protocol.origin import MAX_ID

log = logging.getLogger(__name__)

LIMIT: Final = 16 << 20
"""Bytes of both files: one to two million ids."""

NEWER, OLDER = "newer", "older"

ARMS: Final = ("direct", "stable", "candidate", "variant", "shadow")
"""By number; a number stays what it was."""

MARK: Final = 0xA5
BLOCK: Final = struct.Struct("<IHBB")
KEY: Final = 8
MOST: Final = 0xFFFF

TOGETHER: Final = 10_000
"""Ids that wait at most; they wait for the next snapshot of the counts, which comes every second."""

PAUSE: Final = 600
"""Batches, of which a server makes ten a second, until a disk that was full is tried again."""

UUID: Final = 36
"""Characters of the router's ids."""

_WORDS: Final = UUID // 4
_DASHES: Final = [8, 13, 18, 23]
_FACTORS: Final = np.frombuffer(
    b"".join(
        hashlib.blake2b(b"modelward answered", digest_size=8, salt=bytes([each])).digest() for each in range(_WORDS)
    ),
    "<u8",
) | np.uint64(1)
"""Odd, and else anything: the same for ever, since files outlive a process."""

Keys = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass(frozen=True)
class Found:
    """`answers`: when (seconds since the epoch) and by which arm, each once; `since`: what is remembered begins then,
    None: nothing is; `requests`: how many are."""

    answers: tuple[tuple[int, str], ...] = ()
    since: int | None = None
    requests: int = 0


def keys(ids: Sequence[str]) -> Keys:
    """64 bits each. Ids of another form than the router's are hashed one by one, which takes ten times as long."""
    raw = "".join(ids).encode(errors="replace")
    if len(raw) == UUID * len(ids) and (np.frombuffer(raw, np.uint8).reshape(-1, UUID)[:, _DASHES] == ord("-")).all():
        # By its sum with random factors, a word at a time (multilinear hashing): an id has 122 random bits.
        hashed: Keys = np.frombuffer(raw, "<u4").reshape(-1, _WORDS).astype(np.uint64) @ _FACTORS
        return hashed ^ (hashed >> np.uint64(32))
    digests = [_key_of(each) for each in ids]
    return np.frombuffer(b"".join(digests), "<u8")


def _key_of(each: str) -> bytes:
    raw = each.encode(errors="replace")
    if len(raw) == UUID and all(raw[position] == ord("-") for position in _DASHES):
        return keys([each]).astype("<u8").tobytes()
    return hashlib.blake2b(raw, digest_size=KEY).digest()


class Answered:
    """Writes. `folder`: made where it is not there; `limit`: bytes."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self._folder, self._half = folder, limit // 2
        self._file: int | None = None
        self._size = 0
        self._waiting: list[Requests] = []
        self._ids = 0  # of what waits
        self._failed = False
        self._pause = 0  # batches that are let pass

    def note(self, requests: Requests | None) -> None:
        """Remember, from the next `flush` on, whose rows have come."""
        if requests is None or not len(requests):
            return
        if self._pause:
            self._pause -= 1
            return
        self._waiting.append(requests)
        self._ids += len(requests)
        if self._ids >= TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write what was noted."""
        waiting, self._waiting, self._ids = self._waiting, [], 0
        if not waiting:
            return
        try:
            self._append(b"".join(_blocks(waiting)))
        except OSError as error:
            if not self._failed:
                log.warning("which requests were answered is not remembered: %s; nothing else is lost", error)
            self._failed, self._pause = True, PAUSE
            self.close()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, raw: bytes) -> None:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._open()
        if self._size and self._size + len(raw) > self._half:
            self.close()
            (self._folder / NEWER).replace(self._folder / OLDER)
            self._open()
        assert self._file is not None
        begun = self._size
        written = os.write(self._file, raw)
        self._size += written
        if written < len(raw):
            os.truncate(self._file, begun)
            raise OSError(f"{written} of {len(raw)} bytes could be written")
        self._failed = False

    def _open(self) -> None:
        """What a crash cut off goes: blocks behind it could not be found."""
        path = self._folder / NEWER
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._size = sum(BLOCK.size + len(part) for _, _, part in _read(path))
        os.truncate(self._file, self._size)


def find(folder: Path, request_id: str) -> Found:
    """What is remembered of a request, by any process. Raises OSError but for files that are not there."""
    key = _key_of(request_id[:MAX_ID])
    answers, since, requests = set(), None, 0
    for name in (NEWER, OLDER):  # in this order: what is the newer one becomes the older one meanwhile
        for time, arm, part in _read(folder / name):
            since = time if since is None else min(since, time)
            requests += len(part) // KEY
            if _has(part, key):
                answers.add((time, arm))
    return Found(tuple(sorted(answers)), since, requests)


def _blocks(noted: Sequence[Requests]) -> Iterator[bytes]:
    """One for each arm, and no more ids each than a block can tell. A request whose rows came in parts is told once."""
    by_arm: dict[str, list[str]] = {}
    for each in noted:
        if len(arms := set(each.arms)) == 1 and not any(each.firsts):
            by_arm.setdefault(arms.pop(), []).extend(each.ids)
        else:
            for request_id, arm, first in zip(each.ids, each.arms, each.firsts, strict=True):
                if not first:
                    by_arm.setdefault(arm, []).append(request_id)
    time = int(noted[-1].times[-1]) & 0xFFFFFFFF
    for arm, ids in by_arm.items():
        hashed = keys(ids).astype("<u8", copy=False)
        for begin in range(0, len(ids), MOST):
            part = hashed[begin : begin + MOST]
            yield BLOCK.pack(time, len(part), ARMS.index(arm) if arm in ARMS else 0, MARK) + part.tobytes()


def _read(path: Path) -> Iterator[tuple[int, str, bytes]]:
    """Time, arm and keys of each whole block, up to what is none."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return
    position = 0
    while position + BLOCK.size <= len(raw):
        time, count, arm, mark = BLOCK.unpack_from(raw, position)
        begin, end = position + BLOCK.size, position + BLOCK.size + KEY * count
        if mark != MARK or not count or end > len(raw):
            return
        yield time, ARMS[arm] if arm < len(ARMS) else ARMS[0], raw[begin:end]
        position = end


def _has(part: bytes, key: bytes) -> bool:
    return any(position % KEY == 0 for position in _positions(part, key))


def _positions(part: bytes, key: bytes) -> Iterable[int]:
    position = part.find(key)
    while position >= 0:
        yield position
        position = part.find(key, position + 1)
