"""What is asked for, where it lies and what it is; and `fetch`, which downloads and compiles in one.

Failure: a ModelError with a reason, reported by __main__. A finished bundle that fits the settings is left alone.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from modelward_inference.artifact import archive, formats
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.artifact.consent import Allowed
from modelward_inference.artifact.forms import AUTO, COMPILED, OFF
from modelward_inference.errors import (
    ArtifactCorrupt,
    BundleInvalid,
    FormatMismatch,
    FormatUnknown,
    InvalidConfiguration,
    StorageFull,
    UnsupportedScheme,
)
from modelward_inference.fetch.contents import packed
from modelward_inference.fetch.limits import DEFAULT, Limits
from modelward_inference.fetch.sources import mlflow, pvc
from modelward_inference.fetch.sources.addresses import shown
from modelward_inference.fetch.sources.http import HttpSource
from modelward_inference.fetch.sources.source import Folder, Source, say

_ARTIFACT = ".artifact"
"""Where the artifact lies while it is compiled."""


_OTHERS = {
    "gs": ". Google's buckets speak S3: s3://, with AWS_ENDPOINT_URL=https://storage.googleapis.com and an HMAC key in "
    "spec.model.credentialsSecret",
    **dict.fromkeys(
        ("azure", "abfs", "abfss", "wasb", "wasbs"),
        ". Mount Azure's blobs as a volume (its Blob CSI driver) and name a path in it, pvc://claim/path",
    ),
}
"""How what is kept elsewhere is fetched."""

SIGNATURE = ".signature"
"""Where an artifact's signature lies while it is read."""


@dataclass(frozen=True)
class Request:
    """What to fetch. `digest`: `sha256:<hex>` or None where nothing is pinned; `first`: what the first pod got, where
    that is known; `optimise`: Auto or Off; `signer`: the public key, PEM, of whom the artifact has to be signed by, or
    None."""

    uri: str
    format: str
    digest: str | None
    name: str
    folder: Path
    optimise: str = AUTO
    first: str | None = None
    signer: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Request":
        """Raises InvalidConfiguration."""
        uri = environment.get("MODEL_URI", "").strip()
        if not uri:
            raise InvalidConfiguration("MODEL_URI is not set; set it to the artifact's address")
        wanted = environment.get("MODEL_FORMAT", "auto")
        if wanted not in ("auto", *formats.FORMATS):
            raise InvalidConfiguration(f"MODEL_FORMAT is {wanted!r}; set it to auto or {', '.join(formats.FORMATS)}")
        name, optimise = name_and_optimise(environment)
        folder = Path(environment.get("BUNDLE_DIR", "/bundle"))
        digest = environment.get("MODEL_DIGEST") or None
        first = environment.get("MODEL_FIRST_DIGEST") or None
        signer = environment.get("MODEL_SIGNATURE_KEY") or None
        return cls(uri, wanted, digest, name, folder, optimise, first, signer)


def name_and_optimise(environment: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """MODEL_NAME and MODEL_OPTIMISE. Raises InvalidConfiguration."""
    optimise = environment.get("MODEL_OPTIMISE", AUTO)
    if optimise not in (AUTO, OFF):
        raise InvalidConfiguration(f"MODEL_OPTIMISE is {optimise!r}; set it to {AUTO} or {OFF}")
    return environment.get("MODEL_NAME", "model"), optimise


def source_of(request: Request) -> Source | Folder:
    """The provider for an address. Raises UnsupportedScheme, and what finding out whether it is a folder raises."""
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
            from modelward_inference.fetch.sources import s3  # boto3 takes a while to import

            return s3.source_of(request.uri)
        case "pvc":
            return pvc.source_of(request.uri)
        case mlflow.SCHEME:
            return mlflow.source_of(request.uri)
        case scheme:
            other = _OTHERS.get(scheme, "")
            raise UnsupportedScheme(
                f"{scheme}:// is not supported in spec.model.uri; use https://, s3://, oci:// or pvc://{other}"
            )


def fetch(request: Request, allowed: Allowed = None, limits: Limits = DEFAULT) -> Manifest:
    """Download and compile in one process, for files that the caller trusts. Raises ModelError.

    In a cluster they are two containers: what loads a model there has neither the store's credentials nor a network.
    """
    from modelward_inference.fetch import compiling, obtain  # both build upon this module

    finished = _finished(request)
    if finished:
        say(f"{finished.file} with {finished.digest} is there already")
        return finished
    artifact = request.folder / _ARTIFACT
    with all_or_nothing(request.folder, _clear):
        artifact.mkdir(exist_ok=True)
        obtain.obtain(request, artifact, allowed, limits)
        made = compiling.compiled(request.name, request.optimise, artifact, request.folder, allowed, whole=True)
        shutil.rmtree(artifact)
    return made


@contextmanager
def all_or_nothing(folder: Path, clear: Callable[[Path], None]) -> Iterator[None]:
    """Leave nothing of what failed in the folder. Raises StorageFull where its volume has no room left."""
    try:
        yield
    except Exception as error:
        clear(folder)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"{folder} is full; the model needs more ephemeral storage") from error
        raise


def _clear(folder: Path) -> None:
    """Leave nothing of a model that failed, or of an earlier one: the next attempt begins anew, and needs the room."""
    shutil.rmtree(folder / _ARTIFACT, ignore_errors=True)
    for name in archive.NAMES:
        (folder / name).unlink(missing_ok=True)
    packed.clear(folder)


def _finished(request: Request) -> Manifest | None:
    """The bundle of an earlier run of this very container, where it is complete and still what is asked for."""
    try:
        found = Manifest.read(request.folder)
    except BundleInvalid:
        return None
    fits = found.uri == shown(request.uri) and request.format in ("auto", found.artifact_format)
    # A manifest says nothing of signatures.
    pinned = (request.digest or request.first) in (None, found.digest) and request.signer is None
    off = found.compilation is not None and found.compilation.form == COMPILED and request.optimise == OFF
    return found if fits and pinned and not off and (request.folder / found.file).exists() else None


def format_of(request: Request, artifact: packed.Artifact) -> str:
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
