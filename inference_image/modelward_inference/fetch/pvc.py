"""pvc://claim/path: a file of a PersistentVolumeClaim that is mounted read-only."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelward_inference.errors import AccessDenied, ArtifactNotFound, InvalidConfiguration
from modelward_inference.fetch.source import CHUNK, Part, TransientError


class PvcSource:
    """One file below the mount."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._root = Path(os.environ.get("PVC_MOUNT", "/mnt/pvc")).resolve()
        address = urlsplit(uri)
        self._claim = address.netloc
        self._path = (self._root / unquote(address.path).lstrip("/")).resolve()

    def open(self, offset: int) -> Part:
        if not self._path.is_relative_to(self._root):
            raise InvalidConfiguration(f"{self._uri} leads out of the volume; correct the path in spec.model.uri")
        if not self._path.exists():
            raise ArtifactNotFound(
                f"{self._uri} does not exist: the claim {self._claim} has no {self._path.relative_to(self._root)}; "
                f"it has {self._neighbours()}. Check spec.model.uri"
            )
        if not self._path.is_file():
            raise InvalidConfiguration(f"{self._uri} is a folder; name one file in spec.model.uri")
        try:
            return Part(offset, self._path.stat().st_size, self._chunks(offset))
        except PermissionError as error:
            raise self._denied() from error

    def _chunks(self, offset: int) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as handle:
                handle.seek(offset)
                while chunk := handle.read(CHUNK):
                    yield chunk
        except PermissionError as error:
            raise self._denied() from error
        except OSError as error:
            raise TransientError(f"the volume can't be read: {error}") from error

    def _denied(self) -> AccessDenied:
        return AccessDenied(f"{self._uri} can't be read by user {os.getuid()}; make the file readable for all")

    def _neighbours(self) -> str:
        """What is in the nearest folder that exists: most mistakes are in the last part of a path."""
        folder = next(parent for parent in self._path.parents if parent.is_dir())
        if not folder.is_relative_to(self._root):
            return "nothing there"
        names = sorted(entry.name for entry in folder.iterdir())[:10]
        return f"{', '.join(names) or 'nothing'} in /{folder.relative_to(self._root)}"
