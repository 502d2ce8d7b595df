"""Artifacts of several files, one of which is the model: a tar, compressed or not, a zip archive, or a folder.

SageMaker writes model.tar.gz; MLflow a folder whose MLmodel names the model's file. Elsewhere its content tells which
file is the model; an archive or a folder with none, or with several, is refused with their names.
Invariant: as for bundles: nothing but regular files is written, below one folder of ours, each once, and no more of
them, and no more bytes, than the limits say. Links, devices, absolute paths and `..` end the whole.
"""

import errno
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO

from modelward_inference.artifact import formats, onnxfile
from modelward_inference.artifact.archive import opened_tar
from modelward_inference.artifact.bundle import GOLDEN
from modelward_inference.artifact.description import Description
from modelward_inference.errors import (
    ArtifactCorrupt,
    ArtifactTooLarge,
    BundleInvalid,
    FormatUnknown,
    ModelError,
    ModelUnsupported,
)
from modelward_inference.fetch.contents import mlmodel
from modelward_inference.fetch.limits import DEFAULT, Limits

FOLDER = ".unpacked"
"""Where an archive's files are until the model is chosen."""

SCRATCH = ".scratch"
"""Where a layer of an OCI artifact is while it is unpacked."""

MAX_FILES = 10_000

MAX_RATIO = 100
"""Unpacked bytes for each packed one: models of many equal trees reach 20, and zeros 1000."""

SMALL = 1 << 30
"""Unpacked bytes that are never too many."""

HEADERS = 32 << 20
"""Bytes of a tar beside those of its files, 10,000 of them with long names."""

MAX_NAME = 1024
_MAX_PART = 255
"""Bytes of a path, and of one of its parts."""

_CHUNK = 1 << 20
_SHOWN = 5
"""Names that a message lists."""

BROKEN = (*formats.BROKEN_ZIP, tarfile.TarError, ValueError)
"""What reading an archive raises that is damaged."""


@dataclass(frozen=True)
class Artifact:
    """What is to be served of a download. `name`: in the archive or folder, empty where it came as it is;
    `description`: what was logged with it; `notes`: what its users should know; `beside`: what log_model put there, by
    its name in a bundle."""

    path: Path
    name: str = ""
    description: Description | None = None
    notes: tuple[str, ...] = ()
    beside: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    """A regular file of an archive; `source` is to be read before the next one is asked for."""

    name: str
    source: IO[bytes]


Look = Callable[[list[str], Path], None]
"""At all files of an archive, by name below a folder, before one of them is chosen; raises ModelError."""


def opened(
    downloaded: Path, folder: Path, address: str, limits: Limits = DEFAULT, look: Look | None = None
) -> Artifact:
    """The download itself, or the one model that is in it; an archive is deleted once it is unpacked below `folder`.

    Raises ArtifactCorrupt (its message goes on behind the address), ModelUnsupported, FormatUnknown, and
    ArtifactTooLarge where it unpacks to more than `limits` let a model have.
    """
    files = unpacked(downloaded, folder, address, limits)
    return Artifact(downloaded) if files is None else chosen(files, folder / FOLDER, address, look)


def unpacked(downloaded: Path, folder: Path, address: str, limits: Limits = DEFAULT) -> list[str] | None:
    """The names of an archive's files, which lie below FOLDER then, and the archive is gone; None: it is none. Raises
    as `opened`."""
    if formats.looks_like(downloaded)[0] != formats.ARCHIVE:
        return None
    with downloaded.open("rb") as handle:
        head = handle.read(262)
    zipped, plain = head.startswith(b"PK\x03\x04"), head[257:] == b"ustar"
    limit = Limit.of(downloaded, limits, address)
    try:
        if not zipped and not plain:
            decompress(downloaded, folder / FOLDER, limit)
            if formats.looks_like(downloaded)[0] == formats.BUNDLE:
                return None
        entries = _of_zip(downloaded, address) if zipped else _of_tar(downloaded, address)
        files = _unpack(entries, folder / FOLDER, limit, address)
    except ModelError:
        raise
    except BROKEN as error:
        raise ArtifactCorrupt(
            f"can't be unpacked: {str(error)[:200] or type(error).__name__}; pack it again"
        ) from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # of the volume, not of a place that the archive told of
            raise
        raise ArtifactCorrupt(f"can't be unpacked: {str(error)[:200]}; pack it again") from error
    downloaded.unlink()
    return files


def chosen(names: list[str], folder: Path, address: str, look: Look | None = None) -> Artifact:
    """The one model among the files that lie in `folder` by these names. Raises as `opened`."""
    if look is not None:
        look(names, folder)
    names = [name for name in names if not _is_litter(PurePosixPath(name))]
    return _of_mlflow(names, folder, address) if mlmodel.lies_in(names) else _model(names, folder, address)


@dataclass(frozen=True)
class Limit:
    """Bytes that an archive may unpack to: `ratio` by its own size, `most` by the installation's setting."""

    ratio: int
    most: int
    address: str

    @classmethod
    def of(cls, packed: Path, limits: Limits, address: str) -> "Limit":
        return cls(max(SMALL, MAX_RATIO * packed.stat().st_size), limits.size, address)

    def check(self, unpacked: int) -> None:
        if unpacked > self.most:
            raise ArtifactTooLarge(
                f"{self.address} unpacks to more than {self.most} bytes, and no more are allowed. Publish a smaller "
                "model, or let an administrator raise MODELWARD_MAX_MODEL_SIZE"
            )
        if unpacked > self.ratio:
            raise ModelUnsupported(
                f"{self.address} unpacks to more than {self.ratio} bytes, over {MAX_RATIO} for each packed one; "
                "publish the model itself, unpacked"
            )


def decompress(packed: Path, folder: Path, limit: Limit) -> None:
    """In its place, the tar inside: its headers are then read by seeking, and nothing is unpacked twice."""
    folder.mkdir()
    plain = folder / "archive.tar"
    with formats.decompressed(packed) as source, plain.open("xb") as target:
        copied(source, target, replace(limit, most=limit.most + HEADERS))
    plain.replace(packed)
    folder.rmdir()


def copied(source: IO[bytes], target: IO[bytes], limit: Limit, before: int = 0) -> int:
    """`before`: bytes that were unpacked already; returns them and what was copied."""
    while chunk := source.read(_CHUNK):
        before += len(chunk)
        limit.check(before)
        target.write(chunk)
    return before


def _unpack(entries: Iterator[_Entry], folder: Path, limit: Limit, address: str) -> list[str]:
    """Write all files below `folder`; returns their names."""
    folder.mkdir()
    names: list[str] = []
    unpacked = 0
    for entry in entries:
        path = checked(entry.name, address)
        if _is_litter(path):
            continue
        if len(names) >= MAX_FILES:
            raise ModelUnsupported(f"{address} holds more than {MAX_FILES} files; pack the model's alone")
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as handle:
                unpacked = copied(entry.source, handle, limit, unpacked)
        except (FileExistsError, NotADirectoryError):
            raise ModelUnsupported(f"{address} holds {str(path)[:200]!r} twice; pack each file once") from None
        names.append(str(path))
    return names


def _of_tar(packed: Path, address: str) -> Iterator[_Entry]:
    with opened_tar(packed) as opened:
        for member in opened:
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise unsafe(address, member.name, "a link" if member.islnk() or member.issym() else "no regular file")
            source = opened.extractfile(member)
            assert source is not None  # only links and folders have none
            with source:
                yield _Entry(member.name, source)


def _of_zip(packed: Path, address: str) -> Iterator[_Entry]:
    with zipfile.ZipFile(packed) as opened:
        for info in opened.infolist():
            if info.is_dir():
                continue
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise unsafe(address, info.filename, "a link" if stat.S_ISLNK(mode) else "no regular file")
            if info.flag_bits & 1:
                raise ModelUnsupported(f"{address} is encrypted; pack it without a password")
            with opened.open(info) as source:
                yield _Entry(info.orig_filename, source)


def checked(name: str, address: str) -> PurePosixPath:
    """A file's name as a path below one folder. Raises ModelUnsupported."""
    path = PurePosixPath(name)
    parts = path.parts
    leads_out = path.is_absolute() or ".." in parts or "\\" in name or "\0" in name or not parts or ":" in parts[0]
    if leads_out:
        raise unsafe(address, name, "a path out of it")
    try:
        encoded = [len(part.encode(errors="surrogateescape")) for part in parts]
    except UnicodeEncodeError:  # as JSON may have it: half of a character
        raise unsafe(address, name, "no text") from None
    if sum(encoded) + len(encoded) > MAX_NAME or max(encoded) > _MAX_PART:
        raise unsafe(address, name, "too long a name")
    return path


def unsafe(address: str, name: str, what: str) -> ModelUnsupported:
    return ModelUnsupported(
        f"{address}: the entry {name[:200]!r} is {what}; publish regular files alone, with paths below its root"
    )


def _is_litter(path: PurePosixPath) -> bool:
    """What macOS adds; a file of it may look like the one that it accompanies."""
    return "__MACOSX" in path.parts or path.name.startswith("._") or path.name == ".DS_Store"


def _of_mlflow(names: list[str], folder: Path, address: str) -> Artifact:
    found = mlmodel.read(names, folder, address)
    path = folder / found.file
    kind, _ = formats.looks_like(path)
    if kind == formats.ONNX:
        onnxfile.gather(path, f"{address}: {found.file}")
    if path.name == mlmodel.TORCH_FILE:
        mlmodel.check_torch(kind, path, address)
    beside = {name: folder / place for name, place in found.beside.items()}
    return Artifact(path, found.file, found.description, found.notes, beside)


def _model(names: list[str], folder: Path, address: str) -> Artifact:
    """The one file that is a model."""
    looks = {name: formats.looks_like(folder / name) for name in names}
    kinds = {name: kind for name, (kind, _) in looks.items()}
    found = sorted(name for name, kind in kinds.items() if kind in formats.FORMATS)
    if not found:
        packed = sorted(name for name, kind in kinds.items() if kind == formats.ARCHIVE)
        cure = f"Name {packed[0][:200]} in spec.model.uri" if len(packed) == 1 else "Publish one"
        there = f" but {_listed(sorted(names))}" if names else ", and no file at all"
        if len(names) == 1 or "xgboost-model" in names:
            name = names[0] if len(names) == 1 else "xgboost-model"
            there += f"; {name[:200]} is {looks[name][1]}"
        raise FormatUnknown(f"{address} holds no model{there}. {cure}, or a model of {', '.join(formats.FORMATS)}")
    if len(found) > 1:
        raise FormatUnknown(
            f"{address} holds {len(found)} models: {_listed(found)}. Publish the one that is to be served; steps "
            "before it belong in one Pipeline, saved as one file"
        )
    (name,) = found
    path = folder / name
    if path.with_name(GOLDEN).exists():
        raise BundleInvalid(
            f"holds a saved bundle that was unpacked and packed again ({name} beside {GOLDEN}); publish the .tar "
            "that modelward.save_bundle wrote"
        )
    if kinds[name] == formats.ONNX:
        onnxfile.gather(path, f"{address}: {name}")
    programs = sorted(each for each in names if each.endswith(".py"))
    notes = (
        f"it came with programs ({_listed(programs)}), which this server does not run: what they do to requests and "
        "answers, its clients have to do",
    )
    return Artifact(path, name, notes=notes if programs else ())


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name[:100] for name in names[:_SHOWN]) + more


def clear(folder: Path) -> None:
    """Remove what was unpacked."""
    for name in (FOLDER, SCRATCH):
        shutil.rmtree(folder / name, ignore_errors=True)
