"""pvc://claim/path: a file or a folder of a PersistentVolumeClaim that is mounted read-only."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from modelward_inference.errors import AccessDenied, ArtifactNotFound, InvalidConfiguration, ModelUnsupported
from modelward_inference.fetch.contents.packed import MAX_FILES
from modelward_inference.fetch.sources.source import CHUNK, Entry, Folder, FolderChanged, Part, Source, TransientError


def source_of(uri: str) -> Source | Folder:
    """By what lies at the address now."""
    file = PvcSource(uri)
    return PvcFolder(uri, file.path, file.root) if file.path.is_dir() and file.inside else file


class PvcSource:
    """One file below the mount. `path`: where it lies, if the address does not say; `listed`: as a folder lists it."""

    def __init__(self, uri: str, path: Path | None = None, listed: bool = False) -> None:
        self._uri = uri
        self.root = Path(os.environ.get("PVC_MOUNT", "/mnt/pvc")).resolve()
        address = urlsplit(uri)
        self._claim = address.netloc
        self._listed = listed
        self.path = _real(path or self.root / unquote(address.path).lstrip("/"), uri)

    @property
    def inside(self) -> bool:
        return self.path.is_relative_to(self.root)

    def open(self, offset: int) -> Part:
        if not self.inside:
            raise InvalidConfiguration(f"{self._uri} leads out of the volume; correct the path in spec.model.uri")
        if self._listed and not self.path.is_file():
            raise FolderChanged(f"{self._uri} went")
        if not self.path.exists():
            raise ArtifactNotFound(
                f"{self._uri} does not exist: the claim {self._claim} has no {self.path.relative_to(self.root)}; "
                f"it has {self._neighbours()}. Check spec.model.uri"
            )
        if not self.path.is_file():
            raise InvalidConfiguration(f"{self._uri} is no regular file; name a file or a folder in spec.model.uri")
        try:
            return Part(offset, self.path.stat().st_size, self._chunks(offset))
        except PermissionError as error:
            raise self._denied() from error

    def _chunks(self, offset: int) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as handle:
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
        folder = next(parent for parent in self.path.parents if parent.is_dir())
        if not folder.is_relative_to(self.root):
            return "nothing there"
        names = sorted(entry.name for entry in folder.iterdir())[:10]
        return f"{', '.join(names) or 'nothing'} in /{folder.relative_to(self.root)}"


class PvcFolder:
    """All files below a path of the mount; links are followed where they lead to files of the volume."""

    def __init__(self, uri: str, path: Path, root: Path) -> None:
        self._uri, self._path, self._root = uri.rstrip("/"), path, root

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        for folder, below, names in os.walk(self._path, onerror=self._refuse):
            for name in (*names, *(each for each in below if Path(folder, each).is_symlink())):
                path = Path(folder, name)
                found.append(self._entry(path, str(path.relative_to(self._path))))
                if len(found) > MAX_FILES:
                    return found
        return found

    def file(self, entry: Entry) -> Source:
        return PvcSource(f"{self._uri}/{entry.name}", self._path / entry.name, listed=True)

    def _entry(self, path: Path, name: str) -> Entry:
        real = _real(path, f"{self._uri}: {name[:200]!r}")
        try:
            told = real.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise TransientError(f"{self._uri}: {name} is not there") from None
        except OSError as error:
            self._refuse(error)
        if not real.is_relative_to(self._root) or not stat.S_ISREG(told.st_mode):
            raise ModelUnsupported(
                f"{self._uri}: {name[:200]!r} is no regular file of the volume; copy into the folder what belongs to it"
            )
        return Entry(name, told.st_size, f"{told.st_ino}-{told.st_mtime_ns}")

    def _refuse(self, error: OSError) -> NoReturn:
        if isinstance(error, PermissionError):
            raise AccessDenied(
                f"{self._uri} can't be read by user {os.getuid()}; make it and its folders readable for all"
            ) from error
        raise TransientError(f"the volume can't be read: {error}") from error


def _real(path: Path, what: str) -> Path:
    """Where it lies once all links are followed."""
    try:
        return path.resolve()
    except (RuntimeError, OSError):  # by versions of Python
        raise InvalidConfiguration(f"{what} is a link that leads back to itself; name the file itself") from None
