"""The interface of places that artifacts come from, and what they share: retries and progress."""

import hashlib
import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from modelward_inference.errors import ArtifactTooLarge, ArtifactUnreachable
from modelward_inference.fetch.limits import DEFAULT, Limits

log = logging.getLogger(__name__)

CHUNK = 1 << 20
"""Bytes."""

ATTEMPTS = 6
BACKOFF = 0.5
"""Seconds before the second attempt; doubled for each further one. 15.5 s in all; then the kubelet starts over."""

PROGRESS_EVERY = 5.0
"""Seconds between two lines of progress."""


Answer = TypeVar("Answer")


class TransientError(Exception):
    """Something that may go well next time: a broken connection, a time-out, an overloaded store."""


class FolderChanged(Exception):  # noqa: N818
    """A file of a folder is another one, or gone, since the folder was listed."""


@dataclass(frozen=True)
class Part:
    """A piece of an artifact from byte `offset` on, and the whole size in bytes where the store told it."""

    offset: int
    total: int | None
    chunks: Iterator[bytes]


class Source(Protocol):
    """A place that artifacts come from."""

    def open(self, offset: int) -> Part:
        """Start to read at `offset`, or at 0 where that is not possible, or where it is no longer the same artifact.

        Raises TransientError, or a ModelError where trying again would not help.
        """
        ...


@dataclass(frozen=True)
class Entry:
    """A file of a folder. `name`: below the folder, with `/` between its parts; `size`: bytes, None where nobody tells;
    `tag`: another one for other bytes, empty where the store has none."""

    name: str
    size: int | None
    tag: str = ""


@runtime_checkable
class Folder(Protocol):
    """A place with several files that are one artifact together."""

    def entries(self) -> list[Entry]:
        """All files, in any order. Raises TransientError, or a ModelError where trying again would not help."""
        ...

    def file(self, entry: Entry) -> Source:
        """One of them. Its `open` raises FolderChanged where it is not what was listed any more."""
        ...


@runtime_checkable
class MaybeFolder(Protocol):
    """A source whose address may be a folder's: only asking tells."""

    def below(self) -> Folder | None:
        """What lies below the address, where there is no file at it; None: nothing. Raises as `Folder.entries`."""
        ...


def tried(act: Callable[[], Answer], uri: str, sleep: Callable[[float], None] = time.sleep) -> Answer:
    """What `act` gives, with further attempts where it raises TransientError. Raises ModelError."""
    failure: Exception | None = None
    for attempt in range(ATTEMPTS):
        _wait(attempt, failure, sleep)
        try:
            return act()
        except TransientError as error:
            failure = error
    raise _unreachable(uri, failure)


def download(
    source: Source,
    uri: str,
    target: Path,
    limits: Limits = DEFAULT,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[str, int]:
    """Copy an artifact to `target`; a broken transfer is taken up where it broke off, if it still is the same artifact.

    Returns its digest (`sha256:<hex>`) and its size in bytes. Raises ModelError.
    """
    received = 0
    end = clock() + limits.seconds
    digest = hashlib.sha256()
    failure: Exception | None = None
    target.write_bytes(b"")
    for attempt in range(ATTEMPTS):
        _wait(attempt, failure, sleep)
        _check_time(clock(), end, limits, uri, received)
        try:
            part = source.open(received)
            if part.offset != received:
                received, digest = 0, hashlib.sha256()
            _check_size(part.total or 0, limits, uri)
            with target.open("r+b") as handle:
                handle.seek(received)
                handle.truncate()
                for chunk in _reported(part, received):
                    _check_size(received + len(chunk), limits, uri)
                    _check_time(clock(), end, limits, uri, received)
                    handle.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
            if part.total is not None and received < part.total:
                raise TransientError(f"the transfer broke off after {received} of {part.total} bytes")
            return f"sha256:{digest.hexdigest()}", received
        except TransientError as error:
            failure = error
    raise _unreachable(uri, failure)


def is_rest(told: str, offset: int, whole: int | None) -> bool:
    """Whether an answer is all that comes from `offset` on, by its Content-Range (RFC 9110, 14.4). `whole`: bytes of
    what came before, None: nobody told.

    A tag is only what a store says of it: what has another length is another artifact, and less than the rest is not
    all of it.
    """
    found = re.fullmatch(r"bytes (\d{1,20})-(\d{1,20})/(\d{1,20}|\*)", told.strip())
    if found is None or offset == 0:
        return False
    first, last, total = found.groups()
    end = whole if total == "*" else int(total)
    return int(first) == offset and int(last) + 1 == end and whole in (None, end)


def _wait(attempt: int, failure: Exception | None, sleep: Callable[[float], None]) -> None:
    if attempt:
        delay = delay_before(attempt)
        warn(f"{failure}; trying again in {delay:.1f} s")
        sleep(delay)


def delay_before(attempt: int) -> float:
    """Seconds that attempts after the first one (1, 2, …) wait: not all pods of a model at the same moment."""
    return BACKOFF * 2.0 ** (attempt - 1) * (0.8 + 0.4 * random.random())  # noqa: S311


def _unreachable(uri: str, failure: Exception | None) -> ArtifactUnreachable:
    return ArtifactUnreachable(
        f"{uri} could not be fetched in {ATTEMPTS} attempts: {failure}. Check that the store runs and pods reach it"
    )


def _check_size(size: int, limits: Limits, uri: str) -> None:
    if size > limits.size:
        raise ArtifactTooLarge(
            f"{uri} has {size} bytes or more; at most {limits.size} are fetched. Publish a smaller model, or let an "
            "administrator raise MODELWARD_MAX_MODEL_SIZE"
        )


def _check_time(now: float, end: float, limits: Limits, uri: str, received: int) -> None:
    if now > end:
        raise ArtifactUnreachable(
            f"{uri}: {received} bytes came within {limits.seconds:.0f} s, and no more time is given. Check the store "
            "and the network between"
        )


def _reported(part: Part, received: int) -> Iterator[bytes]:
    told_at = time.monotonic()
    for chunk in part.chunks:
        yield chunk
        received += len(chunk)
        if time.monotonic() - told_at > PROGRESS_EVERY:
            told_at = time.monotonic()
            say(f"{received >> 20} MiB" + (f" of {part.total >> 20} MiB" if part.total else ""))


def say(text: str) -> None:
    """A line of progress in the container's log."""
    log.info("%s", text)


def warn(text: str) -> None:
    """The same, of what somebody should know who looks for the cause of something."""
    log.warning("%s", text)
