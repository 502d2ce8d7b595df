"""The file itself: a .tar.gz with one folder in it, which nobody but its owner may read."""

import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write(path: Path, folder: str, files: Mapping[str, Any], now: float) -> None:
    """`files`: texts, and objects for JSON. Raises FileExistsError, OSError."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in sorted(files.items()):
            text = content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"
            raw = text.encode(errors="backslashreplace")
            about = tarfile.TarInfo(f"{folder}/{name}")
            about.size, about.mode, about.mtime = len(raw), 0o600, int(now)
            archive.addfile(about, io.BytesIO(raw))
    # Never over another one, and never readable by others, not even for a moment.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(packed.getvalue())
