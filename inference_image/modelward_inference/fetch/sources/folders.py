"""Artifacts that are a folder of files: below a prefix of S3, in an MLflow model's artifacts, on a volume.

Invariant: what is handed on is the folder as it was at one time: it is listed, read file by file, and listed again; one
that changed meanwhile is read anew, and after some rounds refused. Its digest is that of `sha256sum`'s lines for all
its files, sorted by name, so that anybody can compute it:

    find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum

Limits on bytes, files and time hold for all of it together; names lead nowhere but below its own place.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from modelward_inference.errors import ArtifactChanged, ArtifactNotFound, ArtifactTooLarge, ModelUnsupported
from modelward_inference.fetch.contents import packed
from modelward_inference.fetch.limits import DEFAULT, Limits
from modelward_inference.fetch.sources.source import Entry, Folder, FolderChanged, download, say, tried

ROUNDS = 3
"""How often a folder is read that changes while it is read."""

_SHOWN = 5


def bring(
    folder: Folder,
    address: str,
    target: Path,
    limits: Limits = DEFAULT,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[str, int, list[str]]:
    """Copy all files below `target`, which is made. Returns the folder's digest, its size in bytes, and the names.

    Raises ModelError; ArtifactChanged where the folder did not keep still.
    """
    end = clock() + limits.seconds
    failure: FolderChanged | None = None
    for attempt in range(ROUNDS):
        if attempt:
            say(f"{failure}; reading it again")
            shutil.rmtree(target, ignore_errors=True)
        try:
            return _once(folder, address, target, limits, end, sleep, clock)
        except FolderChanged as error:
            failure = error
    raise ArtifactChanged(
        f"{address} changes while it is read: {failure}. Publish each version under an address of its own, and name it "
        "once all its files are there"
    )


def digest_of(files: Mapping[str, str]) -> str:
    """`sha256:<hex>` of a folder, from its files' digests by name."""
    lines = (f"{digest.removeprefix('sha256:')}  {name}\n".encode() for name, digest in files.items())
    ordered = sorted(lines, key=lambda line: line.partition(b"  ")[2][:-1])
    return f"sha256:{hashlib.sha256(b''.join(ordered)).hexdigest()}"


def _once(
    folder: Folder,
    address: str,
    target: Path,
    limits: Limits,
    end: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> tuple[str, int, list[str]]:
    entries = _listed(folder, address, limits, sleep)
    total = sum(entry.size or 0 for entry in entries)
    say(f"{len(entries)} files, {total} bytes")
    target.mkdir()
    digests: dict[str, str] = {}
    received = 0
    for entry in entries:
        path = target / packed.checked(entry.name, address)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                raise FileExistsError
        except (FileExistsError, NotADirectoryError):
            raise ModelUnsupported(
                f"{address} has a file and a folder of one name, {entry.name[:200]!r}; publish one of them"
            ) from None
        left = Limits(limits.size - received, end - clock())
        digests[entry.name], size = download(
            folder.file(entry), f"{address.rstrip('/')}/{entry.name}", path, left, sleep, clock
        )
        if entry.size not in (None, size):
            raise FolderChanged(f"{entry.name} had {entry.size} bytes when it was listed, and then {size}")
        received += size
    again = _listed(folder, address, limits, sleep)
    if again != entries:
        raise FolderChanged(_difference(entries, again))
    return digest_of(digests), received, list(digests)


def _listed(folder: Folder, address: str, limits: Limits, sleep: Callable[[float], None]) -> list[Entry]:
    """Sorted by name. Raises ModelError."""
    found = sorted(tried(folder.entries, address, sleep), key=lambda entry: entry.name)
    if not found:
        raise ArtifactNotFound(f"{address} is an empty folder; check spec.model.uri")
    if len(found) > packed.MAX_FILES:
        raise ModelUnsupported(
            f"{address} holds more than {packed.MAX_FILES} files; name the model's own folder in spec.model.uri"
        )
    for entry in found:
        packed.checked(entry.name, address)
        # A line of its own in what the digest is made of.
        if not entry.name.isprintable() or str(packed.checked(entry.name, address)) != entry.name:
            raise ModelUnsupported(f"{address} has a file of the name {entry.name[:200]!r}; give it a plain one")
    total = sum(entry.size or 0 for entry in found)
    if total > limits.size:
        raise ArtifactTooLarge(
            f"{address} has {total} bytes in {len(found)} files; at most {limits.size} are fetched. Name the model's "
            "own folder, publish a smaller model, or let an administrator raise MODELWARD_MAX_MODEL_SIZE"
        )
    return found


def _difference(before: list[Entry], after: list[Entry]) -> str:
    old, new = ({entry.name: entry for entry in entries} for entries in (before, after))
    changes = {
        "came": sorted(new.keys() - old.keys()),
        "went": sorted(old.keys() - new.keys()),
        "changed": sorted(name for name in old.keys() & new.keys() if old[name] != new[name]),
    }
    return "; ".join(f"{', '.join(names[:_SHOWN])} {what}" for what, names in changes.items() if names)
