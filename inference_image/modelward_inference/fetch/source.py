"""The interface of places that artifacts come from, and what they share: retries and progress."""

import hashlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelward_inference.errors import ArtifactUnreachable

CHUNK = 1 << 20
"""Bytes."""

ATTEMPTS = 6
BACKOFF = 0.5
"""Seconds before the second attempt; doubled for each further one. 15.5 s in all; then the kubelet starts over."""

PROGRESS_EVERY = 5.0
"""Seconds between two lines of progress."""


class TransientError(Exception):
    """Something that may go well next time: a broken connection, a time-out, an overloaded store."""


@dataclass(frozen=True)
class Part:
    """A piece of an artifact from byte `offset` on, and the whole size in bytes where the store told it."""

    offset: int
    total: int | None
    chunks: Iterator[bytes]


class Source(Protocol):
    """A place that artifacts come from."""

    def open(self, offset: int) -> Part:
        """Start to read at `offset`, or at 0 where that is not possible.

        Raises TransientError, or a ModelError where trying again would not help.
        """
        ...


def download(source: Source, uri: str, target: Path, sleep: Callable[[float], None] = time.sleep) -> tuple[str, int]:
    """Copy an artifact to `target`; a broken transfer is taken up where it broke off.

    Returns its digest (`sha256:<hex>`) and its size in bytes. Raises ModelError.
    """
    received = 0
    digest = hashlib.sha256()
    failure: Exception | None = None
    target.write_bytes(b"")
    for attempt in range(ATTEMPTS):
        if attempt:
            delay = BACKOFF * 2.0 ** (attempt - 1) * (0.8 + 0.4 * random.random())  # noqa: S311
            say(f"{failure}; trying again in {delay:.1f} s")
            sleep(delay)
        try:
            part = source.open(received)
            if part.offset != received:
                received, digest = 0, hashlib.sha256()
            with target.open("r+b") as handle:
                handle.seek(received)
                handle.truncate()
                for chunk in _reported(part, received):
                    handle.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
            if part.total is not None and received < part.total:
                raise TransientError(f"the transfer broke off after {received} of {part.total} bytes")
            return f"sha256:{digest.hexdigest()}", received
        except TransientError as error:
            failure = error
    raise ArtifactUnreachable(
        f"{uri} could not be fetched in {ATTEMPTS} attempts: {failure}. Check that the store runs and pods reach it"
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
    print(f"fetch: {text}", file=sys.stderr, flush=True)
