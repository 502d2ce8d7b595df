"""`download`: bring an artifact, check its digest, tell its format by its content, unpack it, sign it off.

Invariant: nothing of the artifact is loaded or run here, and no library that could is imported: this is the one process
that holds the store's credentials.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelward_inference.artifact import archive, consent, description, digests, formats, onnxfile
from modelward_inference.artifact.consent import Allowed
from modelward_inference.artifact.receipt import CACHED, FILE, Receipt
from modelward_inference.errors import (
    AccessDenied,
    ArtifactChanged,
    ArtifactCorrupt,
    ArtifactNotFound,
    BundleInvalid,
    DigestMismatch,
)
from modelward_inference.fetch import run
from modelward_inference.fetch.bundles import Bundles
from modelward_inference.fetch.cache import Cache
from modelward_inference.fetch.contents import beside, packed
from modelward_inference.fetch.limits import DEFAULT, Limits
from modelward_inference.fetch.run import Request
from modelward_inference.fetch.sources import folders, oci
from modelward_inference.fetch.sources.addresses import shown
from modelward_inference.fetch.sources.source import Folder, MaybeFolder, download, say, tried

if TYPE_CHECKING:
    from modelward_inference.fetch.signature import Check, Key

DOWNLOAD = ".download"

_DIGEST = re.compile("sha256:[0-9a-f]{64}")

_NAMES = archive.NAMES | {description.FILE}
"""What may come of a download."""


def obtain(request: Request, folder: Path, allowed: Allowed = None, limits: Limits = DEFAULT) -> Receipt:
    """Make the folder's receipt and the files that it names. Raises ModelError, and leaves nothing then."""
    key = _key_of(request)
    finished = _finished(request, folder, key.name if key else None)
    if finished is not None:
        consent.check(finished.model, allowed, finished.uri, finished.digest)
        say(f"{finished.file} with {finished.digest} is there already")
        return finished
    clear(folder)
    address = shown(request.uri)
    temporary = folder / DOWNLOAD
    kept = Bundles.from_environment()
    with run.all_or_nothing(folder, clear), brought(request, folder, limits, key) as came:
        digest, size, names, check = came.digest, came.size, came.names, came.check
        try:
            look = check.unpacked if check else None
            if names is None:
                artifact = packed.opened(temporary, folder, address, limits, look)
            else:
                artifact = packed.chosen(names, folder / packed.FOLDER, address, look)
            if check is not None:
                check.finish()
            kind = run.format_of(request, artifact)
            inner = _unpacked(artifact.path, folder) if kind == formats.BUNDLE else kind
        except (ArtifactCorrupt, BundleInvalid) as error:
            raise type(error)(f"{address} ({size} bytes, {digest}) {error}") from error
        consent.check(inner, allowed, address, digest)
        if kind != formats.BUNDLE:
            artifact.path.replace(folder / formats.FILES[kind])
        notes = (*artifact.notes, *beside.take(artifact.beside, folder))
        packed.clear(folder)
        if inner == formats.ONNX:
            onnxfile.check(folder / formats.FILES[inner], address)
        if artifact.description is not None:
            artifact.description.write(folder)
        files = {name: digests.of(folder / name) for name in sorted(_NAMES) if (folder / name).exists()}
        receipt = Receipt(address, digest, size, kind, inner, files, key.name if key else None, notes)
        if kept is not None:
            taken = kept.take(receipt, request.name, request.optimise, folder, limits.size)
            receipt = replace(receipt, cached=taken)
        receipt.write(folder)
    say(f"{kind} model, {size} bytes, {digest}" + (f", signed by {key.name}" if key else ""))
    return receipt


@dataclass(frozen=True)
class Brought:
    """What came. `names`: of its files below packed.FOLDER, None where it is one file, which is DOWNLOAD; `check`: what
    was signed, None where nobody asks for it; `signer`: the name of that key."""

    digest: str
    size: int
    names: list[str] | None
    check: "Check | None" = None
    signer: str | None = None


@contextmanager
def brought(request: Request, folder: Path, limits: Limits = DEFAULT, key: "Key | None" = None) -> Iterator[Brought]:
    """The artifact in `folder`, as it came: of the digest that is pinned, or that the first pod got, and signed where
    that is asked for. Raises ModelError."""
    key, address = key or _key_of(request), shown(request.uri)
    shared, kept = Cache.from_environment(), Bundles.from_environment()
    with _turn(kept, address):
        say(address)
        digest, size, names = _received(request, address, folder, limits, shared, kept)
        if request.digest and digest != request.digest:
            raise DigestMismatch(_mismatch(request, digest))
        if request.digest is None and request.first not in (None, digest):
            raise ArtifactChanged(
                f"{address} has digest {digest}, but earlier pods of the same revision serve {request.first}: the "
                "artifact was overwritten. Restore it and publish each version under an address of its own, or pin the "
                "new one with spec.model.digest, so that it rolls out as another version"
            )
        check = None
        if key is not None:
            check = key.check_of(request, folder, limits)
            check.artifact(digest)
        yield Brought(digest, size, names, check, key.name if key else None)


def _key_of(request: Request) -> "Key | None":
    if request.signer is None:
        return None
    from modelward_inference.fetch.signature import Key  # cryptography takes a while to import

    return Key.of(request.signer)


@contextmanager
def _turn(kept: Bundles | None, address: str) -> Iterator[None]:
    """Who fails as the first pod lets another one be it."""
    try:
        yield
    except BaseException:  # also where the pod goes
        if kept is not None:
            kept.give_up(address)
        raise


def _received(
    request: Request, address: str, folder: Path, limits: Limits, shared: Cache | None, kept: Bundles | None = None
) -> tuple[str, int, list[str] | None]:
    """As `_brought`; from the cache where it is known what has to come, and by one pod for all that ask at once."""
    known = pinned = request.digest or request.first
    if known is not None and not _DIGEST.fullmatch(known):
        shared = None  # it is told once something has come
    if shared is None or urlsplit(request.uri).scheme == oci.SCHEME:
        return _brought(request, address, folder, limits)
    if known is None and kept is not None:
        known = kept.first(address)
    found: list[tuple[str, int, list[str] | None]] = []

    def done() -> bool:
        cached = None if known is None else shared.artifact(known, folder / DOWNLOAD, folder / packed.FOLDER, limits)
        if known is not None and cached is not None:
            say(f"{known} was downloaded before")
            found.append((known, *cached))
        return bool(found)

    if known is None:
        digest, size, names = _brought(request, address, folder, limits)
        _keep(shared, digest, folder, names)
        return digest, size, names
    with shared.leased(f"artifact-{known.removeprefix('sha256:')}", done):
        if not found:
            found.append(_brought(request, address, folder, limits))
            if found[0][0] == known or pinned is None:
                _keep(shared, found[0][0], folder, found[0][2])
        return found[0]


def _keep(shared: Cache, digest: str, folder: Path, names: list[str] | None) -> None:
    if names is None:
        shared.keep_file(digest, folder / DOWNLOAD)
    else:
        shared.keep_folder(digest, folder / packed.FOLDER, names)


def _brought(request: Request, address: str, folder: Path, limits: Limits) -> tuple[str, int, list[str] | None]:
    """Digest, size, and the names of the files below packed.FOLDER; None where one file came, which is DOWNLOAD."""
    if urlsplit(request.uri).scheme == oci.SCHEME:
        pinned = request.digest is not None
        shared, known = Cache.from_environment(), request.digest or request.first
        return oci.bring(request.uri, folder / packed.FOLDER, limits, pinned=pinned, shared=shared, known=known)
    source = run.source_of(request)
    if isinstance(source, Folder):
        return folders.bring(source, address, folder / packed.FOLDER, limits)
    try:
        return *download(source, address, folder / DOWNLOAD, limits), None
    except (ArtifactNotFound, AccessDenied):
        # Who may not list a bucket is told 403 of what does not exist.
        below = tried(source.below, address) if isinstance(source, MaybeFolder) else None
        if below is None:
            raise
    (folder / DOWNLOAD).unlink()
    return folders.bring(below, address, folder / packed.FOLDER, limits)


def clear(folder: Path) -> None:
    """Leave nothing of a download that failed, or of an earlier one: the next one needs the room."""
    for name in (*_NAMES, DOWNLOAD, run.SIGNATURE, FILE):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / CACHED, ignore_errors=True)
    packed.clear(folder)


def _unpacked(downloaded: Path, folder: Path) -> str:
    saved = archive.unpack(downloaded, folder)
    downloaded.unlink()
    content, words = formats.looks_like(folder / saved.file)
    if content != saved.format:
        raise BundleInvalid(f"The bundle's model.json says {saved.format}, but {saved.file} is {words}; write it anew")
    return saved.format


def _mismatch(request: Request, digest: str) -> str:
    if request.uri.startswith("http:"):
        # Whoever may write a ModelDeployment need not reach what answers at any http:// address: he is not told of it.
        return (
            f"{shown(request.uri)} is not the artifact that spec.model.digest pins ({request.digest}). If another is "
            "intended, pin its digest, which sha256sum tells; if not, restore the old one"
        )
    return (
        f"{shown(request.uri)} has digest {digest}, but spec.model.digest pins {request.digest}. If the new artifact "
        "is intended, pin its digest; if not, restore the old one"
    )


def _finished(request: Request, folder: Path, signed_by: str | None) -> Receipt | None:
    """The download of an earlier run of this very container, where it is complete and still what is asked for."""
    try:
        found = Receipt.read(folder)
        digests.check(folder, found.files)
    except BundleInvalid:
        return None
    fits = found.uri == shown(request.uri) and request.format in ("auto", found.format)
    fits = fits and signed_by in (None, found.signed_by)
    return found if fits and (request.digest or request.first) in (None, found.digest) else None
