"""Names for content: what was built from the same files has the same name."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

LENGTH = 12
"""Hex digits."""

IGNORED = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Every file of the files and folders given, in a fixed order."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += [file for file in path.rglob("*") if file.is_file() and not IGNORED & set(file.parts)]
        else:
            found.append(path)
    return sorted(found)


def digest_of(paths: Iterable[Path], extra: Iterable[str] = ()) -> str:
    """A short digest of names and contents; names are taken relative to the path given, so a clone elsewhere agrees."""
    total = hashlib.sha256()
    for path in paths:
        base = path if path.is_dir() else path.parent
        for file in files_of([path]):
            total.update(str(file.relative_to(base)).encode() + b"\0" + file.read_bytes() + b"\0")
    for text in extra:
        total.update(text.encode() + b"\0")
    return total.hexdigest()[:LENGTH]
