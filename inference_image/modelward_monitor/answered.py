"""Which requests this pod answered: hashes of their ids, the last one or two million, in two files beside the counts.

Nobody pays for it but the monitor, and that once a second: ids of the router's form are hashed together, 8 bytes each
are appended to a file, and nothing more is kept in memory. `modelward answered ID` reads it, as a process of its own.
Bounded: the older file goes when the newer one is full. It survives a restart of the container, not the pod's end. What
a crash of the node left unwritten is forgotten; a monitor that dies gets it again with the rows. Failure: a disk that
is full costs the memory and nothing else.

    16 bytes of SALT, then blocks:
    block   4 bytes seconds since the epoch, 2 bytes how many, 1 byte the arm (little endian), 1 byte of MARK
    then    8 bytes for each id
"""

import hashlib
import logging
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
TOGETHER: Final = 10_000
"""Ids that wait at most; they wait for the next snapshot of the counts, which comes every second."""

PAUSE: Final = 600
"""Batches, of which a server makes ten a second, until a disk that was full is tried again."""

AT_ONCE: Final = 2000
"""Ids that are hashed at once: so many stay in the processor's cache, and need no memory of the system's, whose pages
would cost three times as much as the hashing."""

UUID: Final = 36
"""Characters of the router's ids."""

_WORDS: Final = UUID // 4
_DASHES: Final = [8, 13, 18, 23]

SALT: Final = 16
"""Random, of each file: nobody can make an id that has another one's hash."""

Keys = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass(frozen=True)
class Found:
    """`answers`: when (seconds since the epoch) and by which arm, each once; `since`: what is remembered begins then,
    None: nothing is; `requests`: how many are."""

    answers: tuple[tuple[int, str], ...] = ()
    since: int | None = None
    requests: int = 0


def keys(ids: Sequence[str], salt: bytes) -> Keys:
    """64 bits each. Ids of another form than the router's are hashed one by one, which takes ten times as long."""
    raw = "".join(ids).encode(errors="replace")
    if len(raw) == UUID * len(ids) and (np.frombuffer(raw, np.uint8).reshape(-1, UUID)[:, _DASHES] == ord("-")).all():
        # By its sum with random factors, a word at a time (multilinear hashing): an id has 122 random bits.
        hashed: Keys = np.frombuffer(raw, "<u4").reshape(-1, _WORDS).astype(np.uint64) @ _factors(salt)
        return hashed ^ (hashed >> np.uint64(32))
    return np.frombuffer(b"".join([_key_of(each, salt) for each in ids]), "<u8")


@lru_cache(maxsize=4)
def _factors(salt: bytes) -> Keys:
    digests = [hashlib.blake2b(bytes([each]), digest_size=KEY, key=salt).digest() for each in range(_WORDS)]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64) | np.uint64(1)


def _key_of(each: str, salt: bytes) -> bytes:
    raw = each.encode(errors="replace")
    if len(raw) == UUID and all(raw[position] == ord("-") for position in _DASHES):
        return keys([each], salt).astype("<u8").tobytes()
    return hashlib.blake2b(raw, digest_size=KEY, key=salt).digest()


class Answered:
    """Writes. `folder`: made where it is not there; `limit`: bytes."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self._folder, self._half = folder, limit // 2
        self._file: int | None = None
        self._size = 0
        self._salt = b""
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
            self._append(waiting)
        except OSError as error:
            if not self._failed:
                log.warning("which requests were answered is not remembered: %s; nothing else is lost", error)
            self._failed, self._pause = True, PAUSE
            self.close()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, noted: Sequence[Requests]) -> None:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._open()
        raw = b"".join(_blocks(noted, self._salt))
        if self._size > SALT and self._size + len(raw) > self._half:
            self.close()
            (self._folder / NEWER).replace(self._folder / OLDER)
            self._open()
            raw = b"".join(_blocks(noted, self._salt))
        self._write(raw)
        self._failed = False

    def _open(self) -> None:
        """What a crash cut off goes: blocks behind it could not be found."""
        path = self._folder / NEWER
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        salt, blocks = _read(path)
        self._salt, self._size = salt, SALT + sum(BLOCK.size + len(part) for _, _, part in blocks)
        if not salt:
            self._salt, self._size = os.urandom(SALT), 0
            os.truncate(self._file, 0)
            self._write(self._salt)
        os.truncate(self._file, self._size)

    def _write(self, raw: bytes) -> None:
        assert self._file is not None
        written = os.write(self._file, raw)
        if written < len(raw):
            os.truncate(self._file, self._size)
            raise OSError(f"{written} of {len(raw)} bytes could be written")
        self._size += written


def find(folder: Path, request_id: str) -> Found:
    """What is remembered of a request, by any process. Raises OSError but for files that are not there."""
    answers, since, requests = set(), None, 0
    for name in (NEWER, OLDER):  # in this order: what is the newer one becomes the older one meanwhile
        salt, blocks = _read(folder / name)
        key = _key_of(request_id[:MAX_ID], salt) if salt else b""
        for time, arm, part in blocks:
            since = time if since is None else min(since, time)
            requests += len(part) // KEY
            if _has(part, key):
                answers.add((time, arm))
    return Found(tuple(sorted(answers)), since, requests)


def _blocks(noted: Sequence[Requests], salt: bytes) -> Iterator[bytes]:
    """One for each second and arm. A request whose rows came in parts is told once."""
    alike: dict[tuple[int, str], list[str]] = {}
    for each in noted:
        second = int(each.times[-1])  # of them all, for they came together
        # Nearly always; and found out without a step of Python's for each.
        if each.arms.count(each.arms[0]) == len(each) == each.firsts.count(0):
            alike.setdefault((second, each.arms[0]), []).extend(each.ids)
        else:
            for request_id, arm, first in zip(each.ids, each.arms, each.firsts, strict=True):
                if not first:
                    alike.setdefault((second, arm), []).append(request_id)
    for (second, arm), ids in alike.items():
        number = ARMS.index(arm) if arm in ARMS else 0
        for begin in range(0, len(ids), AT_ONCE):
            part = keys(ids[begin : begin + AT_ONCE], salt).astype("<u8", copy=False)
            yield BLOCK.pack(second & 0xFFFFFFFF, len(part), number, MARK) + part.tobytes()


def _read(path: Path) -> tuple[bytes, list[tuple[int, str, bytes]]]:
    """The salt, empty where there is none; time, arm and keys of each whole block, up to what is none."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return b"", []
    if len(raw) < SALT:
        return b"", []
    blocks, position = [], SALT
    while position + BLOCK.size <= len(raw):
        time, count, arm, mark = BLOCK.unpack_from(raw, position)
        begin, end = position + BLOCK.size, position + BLOCK.size + KEY * count
        if mark != MARK or not count or end > len(raw):
            break
        blocks.append((time, ARMS[arm] if arm < len(ARMS) else ARMS[0], raw[begin:end]))
        position = end
    return raw[:SALT], blocks


def _has(part: bytes, key: bytes) -> bool:
    return any(position % KEY == 0 for position in _positions(part, key))


def _positions(part: bytes, key: bytes) -> Iterable[int]:
    position = part.find(key)
    while position >= 0:
        yield position
        position = part.find(key, position + 1)
