"""Unpacks a saved bundle: a tar of a few plain files, from whoever can write to the store.

Invariant: nothing but regular files with the names of a bundle is written, inside the folder, within the size limits;
links, folders, devices, other names and names with a path in them end the whole.
"""

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from modelward_inference.artifact import formats
from modelward_inference.artifact.bundle import GOLDEN, MANIFEST, MAX_MANIFEST, REFERENCE, Manifest
from modelward_inference.errors import ArtifactCorrupt, BundleInvalid

OBSOLETE = "reference.npz"
"""Rows of training data that bundles of earlier releases hold; nobody reads them, and they are not unpacked."""

MAX_REFERENCE = 64 << 20
"""Bytes of the document: a thousand features of a hundred levels have 10 MB."""

_MODELS = {file for kind, file in formats.FILES.items() if kind != formats.BUNDLE}
NAMES = {MANIFEST, GOLDEN, REFERENCE, OBSOLETE, *_MODELS}
"""All that a bundle's folder and a saved bundle may hold."""

LIMITS = {MANIFEST: MAX_MANIFEST, GOLDEN: 256 << 20, REFERENCE: MAX_REFERENCE, OBSOLETE: 1 << 30}
"""Bytes of the files beside the model; the model itself may be as large as the archive, since tar does not compress."""

MAX_ENTRIES = 16

MAX_READ = 1 << 20
"""Bytes."""


def unpack(archive: Path, folder: Path) -> Manifest:
    """Write the archive's files to `folder` and read its manifest. Raises ArtifactCorrupt or BundleInvalid."""
    try:
        with opened_tar(archive) as opened:
            for number, member in enumerate(opened):
                _check(member, number, folder)
                if member.name == OBSOLETE:
                    continue
                source = opened.extractfile(member)
                assert source is not None  # only links and folders have none
                with source, (folder / member.name).open("xb") as target:
                    shutil.copyfileobj(source, target)
                if (folder / member.name).stat().st_size != member.size:
                    raise ArtifactCorrupt(f"is cut off in {member.name}; upload the bundle again")
    except (tarfile.TarError, EOFError) as error:
        raise ArtifactCorrupt(f"can't be read as tar: {error}; upload the bundle again") from error
    if not (folder / MANIFEST).is_file():
        raise BundleInvalid(f"The bundle has no {MANIFEST}; write it with modelward.save_bundle")
    manifest = Manifest.read(folder)
    if manifest.file not in _MODELS or not (folder / manifest.file).is_file():
        raise BundleInvalid(f"The bundle has no file {manifest.file!r}, which its {MANIFEST} names; write it anew")
    if formats.FILES.get(manifest.format) != manifest.file:
        raise BundleInvalid(f"The bundle's {MANIFEST} says {manifest.format!r}, but its file is {manifest.file!r}")
    return manifest


@contextmanager
def opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A plain tar, of which no entry's own description can fill the memory. Raises tarfile.TarError."""
    with path.open("rb") as handle, tarfile.open(fileobj=cast(Any, _Guarded(handle)), mode="r:") as opened:
        yield opened


class _Guarded:
    """A file that is read in small pieces: tarfile reads a header's text at once, of whatever length it claims."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.seek, self.tell, self._read = handle.seek, handle.tell, handle.read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_READ:
            raise tarfile.ReadError(f"a header of it has {size} bytes")
        return self._read(size)


def _check(member: tarfile.TarInfo, number: int, folder: Path) -> None:
    if number >= MAX_ENTRIES:
        raise BundleInvalid(f"The bundle has more than {MAX_ENTRIES} entries; write it with modelward_inference")
    # A sparse file is as large as it says, however small the archive is.
    if not member.isreg() or member.issparse() or member.name not in NAMES:
        what = (
            "sparse"
            if member.issparse()
            else "a link"
            if member.issym() or member.islnk()
            else "no regular file"
            if not member.isreg()
            else "unknown"
        )
        raise BundleInvalid(
            f"The bundle's entry {member.name[:200]!r} is {what}; only {', '.join(sorted(NAMES))} may be in it. Write "
            "it with modelward.save_bundle"
        )
    if (folder / member.name).exists():
        raise BundleInvalid(f"The bundle has {member.name} twice; write it with modelward.save_bundle")
    limit = LIMITS.get(member.name)
    if limit is not None and member.size > limit:
        raise BundleInvalid(f"The bundle's {member.name} has {member.size} bytes; at most {limit} are read")


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Neither users nor times: the same model and rows give the same digest."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o644
    return member
