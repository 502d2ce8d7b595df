"""`fetch`: download, check the digest, tell the format, load it once, write the bundle.

Failure: a ModelError with a reason, reported by __main__. A finished bundle that fits the settings is left alone.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from modelward_inference import formats, runtimes
from modelward_inference.addresses import shown
from modelward_inference.bundle import Manifest
from modelward_inference.errors import (
    ArtifactCorrupt,
    BundleInvalid,
    DigestMismatch,
    FormatMismatch,
    FormatUnknown,
    InvalidConfiguration,
    ModelError,
    StorageFull,
    UnsupportedScheme,
)
from modelward_inference.fetch.http import HttpSource
from modelward_inference.fetch.pvc import PvcSource
from modelward_inference.fetch.s3 import S3Source
from modelward_inference.fetch.source import Source, download, say


@dataclass(frozen=True)
class Request:
    """What to fetch. `digest`: `sha256:<hex>` or None where nothing is pinned."""

    uri: str
    format: str
    digest: str | None
    name: str
    folder: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Request":
        """Raises InvalidConfiguration."""
        uri = environment.get("MODEL_URI", "")
        if not uri:
            raise InvalidConfiguration("MODEL_URI is not set; set it to the artifact's address")
        wanted = environment.get("MODEL_FORMAT", "auto")
        if wanted not in ("auto", *formats.FORMATS):
            raise InvalidConfiguration(f"MODEL_FORMAT is {wanted!r}; set it to auto, {' or '.join(formats.FORMATS)}")
        folder = Path(environment.get("BUNDLE_DIR", "/bundle"))
        digest = environment.get("MODEL_DIGEST") or None
        return cls(uri, wanted, digest, environment.get("MODEL_NAME", "model"), folder)


def source_of(request: Request) -> Source:
    """The provider for an address. Raises UnsupportedScheme."""
    match urlsplit(request.uri).scheme:
        case "https":
            return HttpSource(request.uri)
        case "http":
            if request.digest is None:
                raise InvalidConfiguration(
                    f"{shown(request.uri)}: plain http can be tampered with; use https://, or pin spec.model.digest"
                )
            return HttpSource(request.uri)
        case "s3":
            return S3Source(request.uri)
        case "pvc":
            return PvcSource(request.uri)
        case scheme:
            raise UnsupportedScheme(f"{scheme}:// is not supported in spec.model.uri; use https://, s3:// or pvc://")


def fetch(request: Request) -> Manifest:
    """Make the bundle. Raises ModelError."""
    finished = _finished(request)
    if finished:
        say(f"{finished.file} with {finished.digest} is there already")
        return finished
    address = shown(request.uri)
    temporary = request.folder / ".download"
    try:
        say(address)
        digest, size = download(source_of(request), address, temporary)
        if request.digest and digest != request.digest:
            raise DigestMismatch(
                f"{address} has digest {digest}, but spec.model.digest pins {request.digest}. If the new artifact is "
                "intended, pin its digest; if not, restore the old one"
            )
        kind = _format_of(request, temporary)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"{request.folder} is full; the model needs more ephemeral storage") from error
        raise
    except ModelError:
        temporary.unlink(missing_ok=True)
        raise
    target = request.folder / f"model.{'onnx' if kind == formats.ONNX else 'joblib'}"
    temporary.replace(target)
    try:
        model = runtimes.load(kind, target)
    except ArtifactCorrupt as error:
        raise ArtifactCorrupt(f"{address} ({size} bytes, {digest}) {error}") from error
    manifest = Manifest(
        name=request.name,
        format=kind,
        file=target.name,
        digest=digest,
        size=size,
        uri=address,
        fetched_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        signature=model.signature,
        libraries=dict(model.libraries),
        warnings=tuple(model.warnings),
    )
    manifest.write(request.folder)
    for warning in manifest.warnings:
        say(f"warning: {warning}")
    say(f"{kind} model, {size} bytes, {digest}")
    return manifest


def _finished(request: Request) -> Manifest | None:
    """The bundle of an earlier run of this very container, where it is complete and still what is asked for."""
    try:
        found = Manifest.read(request.folder)
    except BundleInvalid:
        return None
    fits = found.uri == shown(request.uri) and request.format in ("auto", found.format)
    pinned = request.digest in (None, found.digest)
    file = request.folder / found.file
    return found if fits and pinned and file.exists() and file.stat().st_size == found.size else None


def _format_of(request: Request, path: Path) -> str:
    """Name and content have to agree. Raises FormatMismatch or FormatUnknown."""
    if path.stat().st_size == 0:
        raise ArtifactCorrupt(f"{shown(request.uri)} is empty; upload the artifact again")
    content, words = formats.looks_like(path)
    promised = request.format if request.format != "auto" else formats.by_suffix(urlsplit(request.uri).path)
    if promised is None and content is None:
        raise FormatUnknown(f"{shown(request.uri)} is {words}; publish the model as ONNX, or save it with joblib")
    if promised is None:
        assert content is not None
        return content
    if content is None or content != promised:
        source = "spec.model.format says" if request.format != "auto" else "its name promises"
        cure = f"set spec.model.format to {content}" if content else "publish the model itself under this address"
        raise FormatMismatch(f"{shown(request.uri)} is {words}, but {source} {promised}; {cure}")
    return promised
