"""Unpacks a saved bundle: a tar of a few plain files, from whoever can write to the store.

Invariant: nothing but regular files with the names of a bundle is written, inside the folder, within the size limits;
links, folders, devices, other names and names with a path in them end the whole.
"""

import shutil
import tarfile
from pathlib import Path
from typing import Any

from modelward_drift.reference import FILE as REFERENCE
from modelward_inference import formats, golden
from modelward_inference.bundle import MANIFEST, Manifest
from modelward_inference.errors import ArtifactCorrupt, BundleInvalid

OBSOLETE = "reference.npz"
"""Rows of training data that bundles of earlier releases hold; nobody reads them, and they are not unpacked."""

MAX_REFERENCE = 64 << 20
"""Bytes of the document: a thousand features of a hundred levels have 10 MB."""

_MODELS = {file for kind, file in formats.FILES.items() if kind != formats.BUNDLE}
NAMES = {MANIFEST, golden.FILE, REFERENCE, OBSOLETE, *_MODELS}
"""All that a bundle's folder and a saved bundle may hold."""

_LIMITS = {MANIFEST: 16 << 20, golden.FILE: 256 << 20, REFERENCE: MAX_REFERENCE, OBSOLETE: 1 << 30}
"""Bytes of the files beside the model; the model itself may be as large as the archive, since tar does not compress."""

MAX_ENTRIES = 16

_MAX_EXTENSION = 1 << 20
"""Bytes of what a tar archive says of an entry beside its header: names and times. It is read into memory."""


class Member(tarfile.TarInfo):
    """An entry whose own description can't fill the memory."""

    def _proc_member(self, opened: tarfile.TarFile) -> Any:
        """tarfile's own place for more than it knows itself."""
        if not self.isreg() and not self.isdir() and self.size > _MAX_EXTENSION:
            raise tarfile.ReadError(f"an entry's description has {self.size} bytes")
        return super()._proc_member(opened)  # type: ignore[misc]


def unpack(archive: Path, folder: Path) -> Manifest:
    """Write the archive's files to `folder` and read its manifest. Raises ArtifactCorrupt or BundleInvalid."""
    try:
        with tarfile.open(archive, "r:", tarinfo=Member) as opened:
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
        raise BundleInvalid(f"The bundle has no {MANIFEST}; write it with modelward_inference.save_bundle")
    manifest = Manifest.read(folder)
    if manifest.file not in _MODELS or not (folder / manifest.file).is_file():
        raise BundleInvalid(f"The bundle has no file {manifest.file!r}, which its {MANIFEST} names; write it anew")
    if formats.FILES.get(manifest.format) != manifest.file:
        raise BundleInvalid(f"The bundle's {MANIFEST} says {manifest.format!r}, but its file is {manifest.file!r}")
    return manifest


def _check(member: tarfile.TarInfo, number: int, folder: Path) -> None:
    if number >= MAX_ENTRIES:
        raise BundleInvalid(f"The bundle has more than {MAX_ENTRIES} entries; write it with modelward_inference")
    # A sparse file is as large as it says, however small the archive is.
    if not member.isreg() or member.issparse() or member.name not in NAMES:
        what = (
            "a link"
            if member.issym() or member.islnk()
            else "unknown"
            if member.isreg() and not member.issparse()
            else "no regular file"
        )
        raise BundleInvalid(
            f"The bundle's entry {member.name[:200]!r} is {what}; only {', '.join(sorted(NAMES))} may be in it. Write "
            "it with modelward_inference.save_bundle"
        )
    if (folder / member.name).exists():
        raise BundleInvalid(f"The bundle has {member.name} twice; write it with modelward_inference.save_bundle")
    limit = _LIMITS.get(member.name)
    if limit is not None and member.size > limit:
        raise BundleInvalid(f"The bundle's {member.name} has {member.size} bytes; at most {limit} are read")


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Neither users nor times: the same model and rows give the same digest."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o644
    return member
