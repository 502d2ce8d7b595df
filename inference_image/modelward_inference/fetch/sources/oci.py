"""oci://registry/repository:tag: what ORAS, KitOps or `docker push` put there, as a folder of files.

An artifact's layers are its files, by the names that their annotations give, or tars of them. An image holds its model
below /models, as KServe's modelcars do; nothing else of it is looked at.
Invariant: the artifact's digest is that of the manifest that the reference names; each blob is held against the digest
that the manifest gives it, so that the one digest stands for all bytes. What is unpacked is bounded, and lies below one
folder.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from modelward_inference.artifact import formats
from modelward_inference.artifact.archive import opened_tar
from modelward_inference.errors import (
    ArtifactCorrupt,
    ArtifactTooLarge,
    InvalidConfiguration,
    ModelUnsupported,
)
from modelward_inference.fetch.cache import Cache
from modelward_inference.fetch.contents import packed
from modelward_inference.fetch.limits import DEFAULT, Limits
from modelward_inference.fetch.sources.registry import (
    INDEX_TYPES,
    MAX_MANIFEST,
    PLAIN_VARIABLE,
    SCHEME,
    Manifest,
    Reference,
    Registry,
)
from modelward_inference.fetch.sources.source import download, say

__all__ = ["SCHEME", "bring"]

MAX_LAYERS = 1000

_TITLES = ("org.opencontainers.image.title", "org.cncf.model.filepath")
"""Annotations that name a layer's file: of ORAS, and of the CNCF's ModelPack."""

_IMAGES = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")

_EMPTY = "application/vnd.oci.empty.v1+json"

_ZSTD = b"\x28\xb5\x2f\xfd"

_MODELS = "models"
"""The folder of an image's root."""

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
"""What an image's layer takes away: a file, or all that lies in a folder."""


@dataclass(frozen=True)
class Layer:
    """`size`: bytes; `title`: the file's name, empty where it has none."""

    digest: str
    size: int
    title: str


def bring(
    uri: str,
    target: Path,
    limits: Limits = DEFAULT,
    *,
    pinned: bool = False,
    shared: Cache | None = None,
    known: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[str, int, list[str]]:
    """Write the artifact's files below `target`, which is made. Returns its digest, the size of its layers, the names.

    `pinned`: whether spec.model.digest says what has to come; `shared`: where layers and manifests may be
    already; `known`: the digest of the manifest that has to come, where it is known before. Raises ModelError.
    """
    end = clock() + limits.seconds
    reference = Reference.of(uri)
    registry = Registry(uri, reference)
    if registry.plain and reference.digest is None and not pinned:
        raise InvalidConfiguration(
            f"{uri}: plain http ({PLAIN_VARIABLE}) can be tampered with; name the artifact by its digest, or pin "
            "spec.model.digest"
        )
    manifests = _Manifests(registry, shared, reference.digest or reference.tag)
    top = manifests.top(reference.digest or known)
    manifest = _of_this_machine(manifests, top, uri)
    found = layers(manifest, uri)
    total = sum(layer.size for layer in found)
    if total > limits.size:
        raise ArtifactTooLarge(
            f"{uri} has {total} bytes; at most {limits.size} are fetched. Publish a smaller model, or let an "
            "administrator raise MODELWARD_MAX_MODEL_SIZE"
        )
    say(f"{len(found)} layers, {total} bytes, {top.digest}")
    target.mkdir()
    scratch = target.with_name(packed.SCRATCH)
    scratch.mkdir()
    blob = scratch / "blob"
    image = _type(manifest.document.get("config")) in _IMAGES
    files = unpacked = 0
    for layer in found:

        def fetched(layer: Layer = layer) -> tuple[str, int]:
            manifests.open()
            return download(registry.blob(layer.digest), uri, blob, Limits(layer.size, end - clock()), sleep, clock)

        digest, size = fetched() if shared is None else _shared(shared, layer, blob, fetched)
        if (digest, size) != (layer.digest, layer.size):
            raise ArtifactCorrupt(
                f"{uri}: the layer {layer.digest} came as {digest}, with {size} of {layer.size} bytes; push it again"
            )
        room = replace(packed.Limit.of(blob, limits, uri), most=limits.size - unpacked)
        more, size = _placed(blob, layer, target, image, room, packed.MAX_FILES - files, uri)
        files, unpacked = files + more, unpacked + size
        blob.unlink(missing_ok=True)
    names = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    if image and not names:
        raise ModelUnsupported(
            f"{uri} is an image without files below /{_MODELS}; copy the model there (COPY model /{_MODELS}/), or push "
            "it with oras"
        )
    return top.digest, total, names


class _Manifests:
    """The registry's, from the cache where their digests are known: they prove themselves. Before it was asked by
    `reference`, it gives out no blobs: its answer says how to log in."""

    def __init__(self, registry: Registry, shared: Cache | None, reference: str) -> None:
        self._registry = registry
        self._shared = shared
        self._reference = reference
        self._asked = False

    def top(self, known: str | None) -> Manifest:
        """`known`: its digest, where it is known before."""
        return self._kept(known) or self._fetched(self._reference)

    def by_digest(self, digest: str) -> Manifest:
        return self._kept(digest) or self._fetched(digest)

    def open(self) -> None:
        if not self._asked:
            self._fetched(self._reference)

    def _kept(self, digest: str | None) -> Manifest | None:
        content = None
        if self._shared is not None and digest is not None and _is_digest(digest):
            content = self._shared.content(digest, MAX_MANIFEST)
        return None if content is None or digest is None else self._registry.parsed(digest, content)

    def _fetched(self, reference: str) -> Manifest:
        found = self._registry.manifest(reference)
        self._asked = True
        if self._shared is not None:
            self._shared.keep_content(found.digest, found.content)
        return found


def _shared(shared: Cache, layer: "Layer", blob: Path, fetched: Callable[[], tuple[str, int]]) -> tuple[str, int]:
    """The layer from the cache, or by one pod for all that ask at once."""
    found: list[tuple[str, int]] = []

    def done() -> bool:
        if shared.blob(layer.digest, blob, layer.size):
            found.append((layer.digest, layer.size))
        return bool(found)

    with shared.leased(f"artifact-{layer.digest.removeprefix('sha256:')}", done):
        if not found:
            found.append(fetched())
            if found[0][0] == layer.digest:
                shared.keep_file(layer.digest, blob)
    return found[0]


def _of_this_machine(manifests: "_Manifests", top: Manifest, uri: str) -> Manifest:
    """Of an index the manifest for Linux on amd64, or the only one: models are the same for every machine."""
    listed = top.document.get("manifests")
    if _type(top.document) not in INDEX_TYPES and not isinstance(listed, list):
        return top
    try:
        found = [each for each in listed or () if _platform(each) != ("unknown", "unknown")]
        fitting = [each for each in found if _platform(each) == ("linux", "amd64")] or found
        if len(fitting) != 1 and not any(_platform(each) == ("linux", "amd64") for each in fitting):
            raise ModelUnsupported(
                f"{uri} is an index of {len(fitting)} manifests, none of them for linux/amd64; name one by its digest"
            )
        digest = str(fitting[0]["digest"])
    except (AttributeError, TypeError, KeyError, IndexError):
        raise ArtifactCorrupt(f"{uri} has an index that can't be read; push it again") from None
    if not _is_digest(digest):
        raise ArtifactCorrupt(f"{uri} has an index that can't be read; push it again")
    return manifests.by_digest(digest)


def _platform(raw: dict[str, Any]) -> tuple[str, str]:
    told = raw.get("platform") or {}
    return str(told.get("os", "")), str(told.get("architecture", ""))


def _type(raw: Any) -> str:
    return str(raw.get("mediaType", "")) if isinstance(raw, dict) else ""


def _is_digest(text: str) -> bool:
    return len(text) == 71 and text.startswith("sha256:") and all(each in "0123456789abcdef" for each in text[7:])


def layers(manifest: Manifest, uri: str) -> list[Layer]:
    """Those with files in them. Raises ModelUnsupported and ArtifactCorrupt."""
    raw = manifest.document.get("layers")
    if not isinstance(raw, list):
        raise ModelUnsupported(
            f"{uri} has a manifest without layers ({_type(manifest.document)[:100] or 'no type'}); push it as an OCI "
            "artifact, with oras for example"
        )
    if len(raw) > MAX_LAYERS:
        raise ModelUnsupported(f"{uri} has {len(raw)} layers; at most {MAX_LAYERS} are read")
    try:
        found = [_layer(each) for each in raw if _type(each) != _EMPTY]
    except (AttributeError, TypeError, KeyError, ValueError):
        raise ArtifactCorrupt(f"{uri} has a manifest that can't be read; push it again") from None
    if not found:
        raise ModelUnsupported(f"{uri} has no layers, and so no files; push the model's files")
    return found


def _layer(raw: dict[str, Any]) -> Layer:
    annotations = raw.get("annotations") or {}
    title = next((str(annotations[key]) for key in _TITLES if key in annotations), "")
    digest, size = raw["digest"], raw["size"]
    if not _is_digest(digest) or type(size) is not int or size < 0:
        raise ValueError
    return Layer(digest, size, title)


def _placed(
    blob: Path, layer: Layer, target: Path, image: bool, limit: packed.Limit, most: int, uri: str
) -> tuple[int, int]:
    """Put a layer's files, `most` of them, where they belong; returns how many they are, and their bytes."""
    with blob.open("rb") as handle:
        head = handle.read(262)
    if head.startswith(_ZSTD):
        raise ModelUnsupported(f"{uri} has a layer compressed with zstd, which this server does not read; use gzip")
    zipped = head.startswith(b"PK\x03\x04")
    if zipped or formats.looks_like(blob)[0] != formats.ARCHIVE:
        if image:
            return 0, 0  # no layer of an image that is read here
        name = layer.title or f"layer-{layer.digest[7:19]}"
        path = target / packed.checked(name, uri)
        _check_count(1, most, uri)
        _make_room(path, uri)
        limit.check(layer.size)
        blob.replace(path)
        return 1, layer.size
    try:
        if head[257:262] != b"ustar":
            packed.decompress(blob, blob.with_name("layer"), limit)
        return _unpack(blob, target, image, limit, most, uri)
    except packed.BROKEN as error:
        raise ArtifactCorrupt(f"{uri}: the layer {layer.digest} can't be unpacked: {str(error)[:200]}") from error


def _unpack(tar: Path, target: Path, image: bool, limit: packed.Limit, most: int, uri: str) -> tuple[int, int]:
    files = unpacked = 0
    with opened_tar(tar) as opened:
        if image:
            # First, wherever they stand: a layer takes away what lower ones have, never what it brings itself.
            for member in opened:
                mark = _in_models(member.name)
                if mark is not None and mark.name.startswith(_WHITEOUT):
                    _take_away(packed.checked(str(mark), uri), target, uri)
        for member in opened:
            name = member.name.removeprefix("./")
            if image:
                inside = _in_models(member.name)
                if inside is None or inside.name.startswith(_WHITEOUT):
                    continue
                name = str(inside)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                what = "a link" if member.islnk() or member.issym() else "no regular file"
                raise packed.unsafe(uri, member.name, what)
            files += 1
            _check_count(files, most, uri)
            path = target / packed.checked(name, uri)
            if image and path.is_file():
                path.unlink()  # a later layer's stands for it
            _make_room(path, uri)
            source = opened.extractfile(member)
            assert source is not None  # only links and folders have none
            with source, path.open("xb") as handle:
                unpacked = packed.copied(source, handle, limit, unpacked)
    return files, unpacked


def _in_models(name: str) -> PurePosixPath | None:
    """Of an entry of an image's layer, its place below the folder of models; None where it lies elsewhere."""
    parts = PurePosixPath(name.removeprefix("./").lstrip("/")).parts
    return PurePosixPath(*parts[1:]) if parts[:1] == (_MODELS,) and len(parts) > 1 else None


def _check_count(files: int, most: int, uri: str) -> None:
    if files > most:
        raise ModelUnsupported(f"{uri} holds more than {packed.MAX_FILES} files; publish the model's alone")


def _make_room(path: Path, uri: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ModelUnsupported(f"{uri} has a file and a folder of one name, {path.name[:200]!r}") from None
    if path.exists():
        raise ModelUnsupported(f"{uri} holds {path.name[:200]!r} twice; push each file once")


def _take_away(mark: PurePosixPath, target: Path, uri: str) -> None:
    """What lower layers have of it."""
    if mark.name == _OPAQUE:
        shutil.rmtree(target / mark.parent, ignore_errors=True)
        return
    name = mark.name.removeprefix(_WHITEOUT)
    if name in ("", ".", ".."):
        raise packed.unsafe(uri, str(mark), "a path out of it")
    gone = target / mark.parent / name
    if gone.is_dir():
        shutil.rmtree(gone)
    elif gone.is_file():
        gone.unlink()
