"""`fetch`: download, check the digest, tell the format, compile and compare, write the bundle.

Failure: a ModelError with a reason, reported by __main__. A finished bundle that fits the settings is left alone.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from modelward_inference import formats
from modelward_inference.addresses import shown
from modelward_inference.bundle import MANIFEST, Manifest
from modelward_inference.compile import build, choose
from modelward_inference.errors import (
    ArtifactCorrupt,
    BundleInvalid,
    DigestMismatch,
    FormatMismatch,
    FormatUnknown,
    InvalidConfiguration,
    StorageFull,
    UnsupportedScheme,
)
from modelward_inference.fetch import archive, onnxfile, packed, reference
from modelward_inference.fetch.http import HttpSource
from modelward_inference.fetch.pvc import PvcSource
from modelward_inference.fetch.s3 import S3Source
from modelward_inference.fetch.source import Source, download, say

_DOWNLOAD = ".download"


@dataclass(frozen=True)
class Request:
    """What to fetch. `digest`: `sha256:<hex>` or None where nothing is pinned; `optimise`: Auto or Off."""

    uri: str
    format: str
    digest: str | None
    name: str
    folder: Path
    optimise: str = choose.AUTO

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Request":
        """Raises InvalidConfiguration."""
        uri = environment.get("MODEL_URI", "").strip()
        if not uri:
            raise InvalidConfiguration("MODEL_URI is not set; set it to the artifact's address")
        wanted = environment.get("MODEL_FORMAT", "auto")
        if wanted not in ("auto", *formats.FORMATS):
            raise InvalidConfiguration(f"MODEL_FORMAT is {wanted!r}; set it to auto or {', '.join(formats.FORMATS)}")
        optimise = environment.get("MODEL_OPTIMISE", choose.AUTO)
        if optimise not in (choose.AUTO, choose.OFF):
            raise InvalidConfiguration(f"MODEL_OPTIMISE is {optimise!r}; set it to {choose.AUTO} or {choose.OFF}")
        folder = Path(environment.get("BUNDLE_DIR", "/bundle"))
        digest = environment.get("MODEL_DIGEST") or None
        return cls(uri, wanted, digest, environment.get("MODEL_NAME", "model"), folder, optimise)


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
    _clear(request.folder)
    address = shown(request.uri)
    temporary = request.folder / _DOWNLOAD
    with _all_or_nothing(request.folder):
        say(address)
        digest, size = download(source_of(request), address, temporary)
        if request.digest and digest != request.digest:
            raise DigestMismatch(
                f"{address} has digest {digest}, but spec.model.digest pins {request.digest}. If the new artifact is "
                "intended, pin its digest; if not, restore the old one"
            )
        try:
            artifact = packed.opened(temporary, request.folder, address)
            kind = _format_of(request, artifact)
            manifest = _bundled(request, artifact, kind, digest, size)
        except (ArtifactCorrupt, BundleInvalid) as error:
            raise type(error)(f"{address} ({size} bytes, {digest}) {error}") from error
        manifest.write(request.folder)
    for warning in manifest.warnings:
        say(f"warning: {warning}")
    if manifest.compilation:
        say(f"{manifest.compilation.form}: {manifest.compilation.reason}")
    if manifest.joining and not manifest.joining.joins:
        say(f"requests are computed one at a time: {manifest.joining.reason}")
    say(f"{kind} model, {size} bytes, {digest}")
    return manifest


@contextmanager
def _all_or_nothing(folder: Path) -> Iterator[None]:
    """Leave nothing of what failed in the folder. Raises StorageFull where its volume has no room left."""
    try:
        yield
    except Exception as error:
        _clear(folder)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"{folder} is full; the model needs more ephemeral storage") from error
        raise


def _bundled(request: Request, artifact: packed.Artifact, kind: str, digest: str, size: int) -> Manifest:
    """Everything but the manifest's file: unpack a saved bundle, compile, compare."""
    downloaded = artifact.path
    known, inner, trained_with = build.Known(), kind, {}
    if kind == formats.BUNDLE:
        saved = archive.unpack(downloaded, request.folder)
        downloaded.unlink()
        (request.folder / MANIFEST).unlink()
        inner, trained_with = saved.format, saved.trained_with
        known = build.Known(saved.signature, saved.classes, trained_with, saved.golden_rows)
        content, words = formats.looks_like(request.folder / saved.file)
        if content != inner:
            raise BundleInvalid(f"The bundle's model.json says {inner}, but {saved.file} is {words}; write it anew")
    else:
        downloaded.replace(request.folder / formats.FILES[kind])
    packed.clear(request.folder)
    if inner == formats.ONNX:
        onnxfile.check(request.folder / formats.FILES[inner], shown(request.uri))
    built = build.build(request.folder, inner, known, request.optimise)
    unfit = reference.rejected(request.folder, built.signature)
    return Manifest(
        name=request.name,
        format=built.format,
        file=built.file,
        digest=digest,
        size=size,
        uri=shown(request.uri),
        fetched_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        signature=built.signature,
        libraries=built.libraries,
        warnings=(*built.warnings, *unfit),
        artifact_format=kind,
        classes=built.classes,
        trained_with=trained_with,
        golden_rows=built.golden_rows,
        compilation=built.compilation,
        joining=built.joining,
        refusals=built.refusals,
        columns=built.columns,
    )


def _clear(folder: Path) -> None:
    """Leave nothing of a model that failed, or of an earlier one: the next attempt begins anew, and needs the room."""
    for name in (*archive.NAMES, _DOWNLOAD):
        (folder / name).unlink(missing_ok=True)
    packed.clear(folder)


def _finished(request: Request) -> Manifest | None:
    """The bundle of an earlier run of this very container, where it is complete and still what is asked for."""
    try:
        found = Manifest.read(request.folder)
    except BundleInvalid:
        return None
    fits = found.uri == shown(request.uri) and request.format in ("auto", found.artifact_format)
    pinned = request.digest in (None, found.digest)
    off = found.compilation is not None and found.compilation.form == choose.COMPILED and request.optimise == choose.OFF
    return found if fits and pinned and not off and (request.folder / found.file).exists() else None


def _format_of(request: Request, artifact: packed.Artifact) -> str:
    """Name and content have to agree. Raises FormatMismatch or FormatUnknown."""
    address = f"{shown(request.uri)}: {artifact.name}" if artifact.name else shown(request.uri)
    if artifact.path.stat().st_size == 0:
        raise ArtifactCorrupt("is empty; upload the artifact again")
    content, words = formats.looks_like(artifact.path)
    suffix = formats.by_suffix(artifact.name or urlsplit(request.uri).path)
    promised = request.format if request.format != "auto" else suffix
    if promised is None and content is None:
        raise FormatUnknown(f"{address} is {words}; publish the model as ONNX, or save it with joblib")
    if promised is None:
        assert content is not None
        return content
    if content is None or content != promised:
        source = "spec.model.format says" if request.format != "auto" else "its name promises"
        cure = f"set spec.model.format to {content}" if content else "publish the model itself under this address"
        raise FormatMismatch(f"{address} is {words}, but {source} {promised}; {cure}")
    return promised
