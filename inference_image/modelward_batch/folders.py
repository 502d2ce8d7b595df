"""Folders of mounted claims. What a link leads to elsewhere is neither read nor written: who fills a claim names no
other file of the pod.
"""

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from modelward_batch.errors import FileChanged, Incurable, Passing
from modelward_batch.stores import Found, is_hidden

PART: Final = ".part"
"""Ends the name of a file that is being written; what has it is left by who was killed."""

_UNLINKED: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems without hard links answer."""


class FolderInput:
    """A file, or all below a folder."""

    def __init__(self, path: Path, allowed: Collection[Path]) -> None:
        self._path = _inside(path, allowed, "input.uri")
        with _explained("the input"):
            if not self._path.exists():
                raise Incurable(f"the input {path} does not exist; check input.uri, and the claim that is mounted")
            self.is_folder = self._path.is_dir()
        self._root = self._path if self.is_folder else self._path.parent
        self.uri = f"{self._root}/"
        self._opened: dict[str, int] = {}

    def files(self) -> list[Found]:
        if not self.is_folder:
            return [self._found(self._path)]
        found = []
        with _explained("the input"):
            for folder, folders, names in os.walk(self._path, onerror=_raise):
                folders[:] = [each for each in folders if not is_hidden(each)]
                for each in (Path(folder) / name for name in names if not is_hidden(name)):
                    if not each.resolve().is_relative_to(self._root) or not each.is_file():
                        raise Incurable(
                            f"the input's {each.relative_to(self._root)} is no file of its folder (a link to another "
                            "place, or a device); replace it by the file itself, or take it away"
                        )
                    found.append(self._found(each))
                for name in folders:
                    if (Path(folder) / name).is_symlink():
                        raise Incurable(
                            f"the input's {(Path(folder) / name).relative_to(self._root)} is a link to a folder, which "
                            "is not followed; name that folder in input.uri, or take the link away"
                        )
        return sorted(found, key=lambda each: each.name)

    def open(self, file: Found) -> BinaryIO:
        with _explained("the input"):
            try:
                opened = _opened(self._root / file.name, self._root)
            except FileNotFoundError:
                raise _changed(file) from None
        now = os.fstat(opened.fileno())
        if _tag(now) != (file.tag, file.size):
            opened.close()
            raise _changed(file)
        self._opened[file.name] = now.st_ino
        return opened

    def check(self, file: Found) -> None:
        with _explained("the input"):
            try:
                now = (self._root / file.name).stat()
            except FileNotFoundError:
                raise _changed(file) from None
        if _tag(now) != (file.tag, file.size) or now.st_ino != self._opened.get(file.name, now.st_ino):
            raise _changed(file)

    def _found(self, path: Path) -> Found:
        tag, size = _tag(path.stat())
        return Found(path.relative_to(self._root).as_posix(), size, tag)


class FolderOutput:
    """`run`: the folder's name below `root`, which has to be there."""

    def __init__(self, root: Path, run: str, allowed: Collection[Path]) -> None:
        # The part below the mount may be new.
        self._folder = _inside(root / run, allowed, "output.uri")
        self._mount = next(each for each in map(Path.resolve, allowed) if self._folder.is_relative_to(each))
        self._allowed = allowed
        self.uri = f"{self._folder}/"

    def put(self, name: str, source: Path) -> None:
        with self._aside(name) as (aside, target):
            shutil.copyfile(source, aside)
            _sync(aside)
            aside.replace(target)

    def put_bytes(self, name: str, content: bytes) -> None:
        with self._aside(name) as (aside, target):
            aside.write_bytes(content)
            _sync(aside)
            aside.replace(target)

    def create(self, name: str, content: bytes) -> bool:
        with self._aside(name) as (aside, target):
            aside.write_bytes(content)
            _sync(aside)
            try:
                os.link(aside, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _UNLINKED:
                    raise
                # Two may pass here at once: the later one stays, and only its receipts count (accounts.py).
                if target.exists():
                    return False
                aside.replace(target)
        return True

    def get(self, name: str) -> bytes | None:
        with _explained("the output"):
            try:
                with _opened(self._folder / name, self._mount) as opened:
                    return opened.read()
            except FileNotFoundError:
                return None

    def names(self, prefix: str) -> Collection[str]:
        with _explained("the output"):
            try:
                return {f"{prefix}{each}" for each in os.listdir(self._folder / prefix) if not each.endswith(PART)}
            except FileNotFoundError:
                return set()

    @contextlib.contextmanager
    def _aside(self, name: str) -> Iterator[tuple[Path, Path]]:
        target = self._folder / name
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}{PART}")
        with _explained("the output"):
            if not self._mount.is_dir():
                raise Incurable(f"the output's {self._mount} does not exist; mount the claim there")
            target.parent.mkdir(parents=True, exist_ok=True)
            _inside(target.parent, self._allowed, "output.uri")
            try:
                yield aside, target
                _sync(target.parent)
            finally:
                aside.unlink(missing_ok=True)


def _inside(path: Path, allowed: Collection[Path], where: str) -> Path:
    """The place that a path leads to. Raises Incurable where it is elsewhere."""
    try:
        found = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a ring, a zero byte
        raise Incurable(f"{where}: {path} can't be followed: {error}") from None
    if not any(found.is_relative_to(each.resolve()) for each in allowed):
        raise Incurable(
            f"{where} leads to {found}, and local files may lie below {', '.join(map(str, allowed))} alone; mount a "
            "claim there"
        )
    return found


def _opened(path: Path, below: Path) -> BinaryIO:
    """A file, which whoever fills the claim may have replaced by a link a moment ago: what was opened is looked at, and
    nothing is waited for. Raises Incurable where it is none below `below`, OSError."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = Path(os.readlink(f"/proc/self/fd/{number}"))
        if not found.is_relative_to(below) or not stat.S_ISREG(os.fstat(number).st_mode):
            raise Incurable(
                f"{path} is no file of its folder (a link to another place, or a device); replace it by the file "
                "itself, or take it away"
            )
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def _tag(now: os.stat_result) -> tuple[str, int]:
    """Without the inode: where a bucket is mounted as a claim, each pod has its own numbers."""
    return f"{now.st_mtime_ns}", now.st_size


def _changed(file: Found) -> FileChanged:
    return FileChanged(
        f"the input's {file.name} was overwritten or deleted after the run had begun; begin another run when nobody "
        "writes to it any more"
    )


def _sync(path: Path) -> None:
    """Returns when it is on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _raise(error: OSError) -> None:
    raise error


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                raise Incurable(f"{what} has no room left ({error}); make some in the claim, and run again") from error
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise Incurable(
                    f"{what} is not to be had ({error}); the claim has to be readable, and the output's writable, for "
                    "the group 65532"
                ) from error
            case _:
                raise Passing(f"{what} can't be used: {error}; check the claim's volume") from error
