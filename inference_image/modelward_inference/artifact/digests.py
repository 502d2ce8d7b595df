"""Digests of files, and the check that a file is still what was noted of it."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from modelward_inference.errors import BundleInvalid


def of(path: Path) -> str:
    """`sha256:<hex>` of a regular file. Raises BundleInvalid for anything else."""
    # Without O_NONBLOCK, a pipe in the place of a file would keep its reader waiting for ever.
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BundleInvalid(f"{path} can't be read as a plain file: {error.strerror}; fetch the model anew") from error
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise BundleInvalid(f"{path} is no plain file; fetch the model anew")
    with open(opened, "rb") as handle:
        return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"


def check(folder: Path, noted: Mapping[str, str]) -> None:
    """Raises BundleInvalid, which names the first file that is missing or another one."""
    for name, digest in noted.items():
        if Path(name).name != name:
            raise BundleInvalid(f"A bundle has no file {name[:100]!r}; fetch the model anew")
        found = of(folder / name)
        if found != digest:
            raise BundleInvalid(
                f"{folder / name} has digest {found}, but had {digest} when it was fetched; fetch it anew"
            )
