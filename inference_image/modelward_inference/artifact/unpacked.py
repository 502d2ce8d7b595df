"""What archives of arrays unpack to, told from their directories and headers before anything is allocated.

Invariant: an archive that passes makes at most `limit` bytes of arrays, and each array is as large as its file in the
archive, whatever its header says.
Failure: ValueError.
"""

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from modelward_inference.artifact.formats import BROKEN_ZIP

MAX_ENTRIES = 100_000

MAX_HEADER = 10_000
"""Bytes of a .npy header; numpy's own limit for files that nobody vouches for."""

_MAGIC = b"\x93NUMPY"


def check_zip(path: Path, limit: int) -> None:
    """Raises ValueError for an archive that is larger than it may be, or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES:
                raise ValueError(f"it has {len(entries)} entries; at most {MAX_ENTRIES} are read")
            # zipfile gives out no more of an entry than its directory says.
            total = sum(entry.file_size for entry in entries)
            if total > limit:
                raise ValueError(f"it unpacks to {total} bytes; at most {limit} are read")
            for entry in entries:
                with archive.open(entry) as handle:
                    _check_array(handle, entry)
    except (*BROKEN_ZIP, OSError) as error:
        raise ValueError(f"it can't be read as zip: {error}") from error


def _check_array(handle: IO[bytes], entry: zipfile.ZipInfo) -> None:
    """Of an entry that is an array: its header and its size agree."""
    if handle.read(len(_MAGIC)) != _MAGIC:
        return
    handle.seek(0)
    version = np.lib.format.read_magic(handle)
    read: Any = {
        (1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)  # fmt: skip
    if read is None:
        raise ValueError(f"{entry.filename[:200]!r} is an array of a version that is not read: {version}")
    shape, _, dtype = read(handle, max_header_size=MAX_HEADER)
    if dtype.hasobject:
        return  # numpy refuses these, or their reader knows what it does
    promised = math.prod(shape) * dtype.itemsize
    there = entry.file_size - handle.tell()
    if any(size < 0 for size in shape) or promised != there:
        raise ValueError(f"{entry.filename[:200]!r} says that it holds {promised} bytes, and holds {there}")
