"""A folder that pods share, with artifacts by their digests: a second start fetches nothing from the store.

Invariant: nothing is believed of what lies there. What comes out is copied and hashed on the way, and is taken only
where the digest is the one that was asked for; so whoever else can write to the folder can slow a start down, and no
more. It is never needed: where it is full, slow, gone or broken, a download does what it does without it.

Entries appear by a rename, whole or not at all. Who uses one touches it; beyond the limit of bytes the least recently
used go. A lease tells others that somebody is at it: they wait for him, and no longer than a lease lasts, which they
measure with their own clock from when they last saw it change, since clocks of nodes differ.
"""

import contextlib
import errno
import hashlib
import os
import platform
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.fetch.contents import packed
from modelward_inference.fetch.limits import Limits
from modelward_inference.fetch.sources.folders import digest_of
from modelward_inference.fetch.sources.source import say, warn

BYTES = 20 << 30
LEASE = 180.0
"""Seconds that others wait for somebody who may be dead: most downloads and compilations take less."""

LONGEST = 600.0
"""Seconds that anybody waits in all: whoever can write to the folder can keep a lease fresh for ever."""

POLL = 0.5
"""Seconds between two looks at a lease."""

_TAKEN_OVER = "\ninstead of another"
"""At the end of a lease whose owner has waited for one who may be dead: that one has not given up."""

_LEFTOVER = 3600.0
"""Seconds after which an entry that nobody finished is taken away."""

_FILES, _FOLDERS, _LEASES = "files", "folders", "leases"
BUNDLES, FIRSTS = "bundles", "firsts"
KINDS = (_FILES, _FOLDERS, _LEASES, BUNDLES, FIRSTS)
"""Folders in the folder; whatever else lies there is somebody else's, and is left alone."""

_CHUNK = 1 << 20
_MAX_LIST = 16 << 20
"""Bytes of a folder's list."""

FULL, READ_ONLY, NOT_WRITABLE, FAILED = "CacheFull", "CacheReadOnly", "CacheNotWritable", "CacheFailed"
KEY_MISSING = "CacheKeyMissing"
_REASONS = {
    errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EROFS: READ_ONLY, errno.EACCES: NOT_WRITABLE,
    errno.EPERM: NOT_WRITABLE,
}  # fmt: skip

_troubles: list[tuple[str, str]] = []


def trouble() -> dict[str, str] | None:
    """What this process could not do with the cache first, as its report tells it; None where all went well."""
    return {"reason": _troubles[0][0], "message": _troubles[0][1]} if _troubles else None


def note(reason: str, message: str) -> None:
    """Everything goes on without the cache, and the process' report says why."""
    warn(f"{message}; going on without it")
    _troubles.append((reason, message))


def failed(what: str, error: OSError) -> None:
    """`what`: read, written, used."""
    note(_REASONS.get(error.errno or 0, FAILED), f"the cache can't be {what}: {error}")


@dataclass(frozen=True)
class Cache:
    """`most`: bytes of all entries; `owner`: this pod's name in leases."""

    root: Path
    most: int = BYTES
    owner: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Cache | None":
        """MODELWARD_CACHE_DIR and MODELWARD_CACHE_BYTES; None where there is none. Raises InvalidConfiguration."""
        folder = environment.get("MODELWARD_CACHE_DIR", "")
        text = environment.get("MODELWARD_CACHE_BYTES", str(BYTES))
        if not text.isdecimal() or int(text) == 0:
            raise InvalidConfiguration(f"MODELWARD_CACHE_BYTES is {text!r}; set it to a whole number, 1 or more")
        owner = environment.get("POD_UID") or platform.node()
        return cls(Path(folder), int(text), owner) if folder else None

    def artifact(self, digest: str, target: Path, folder: Path, limits: Limits) -> tuple[int, list[str] | None] | None:
        """Copy an artifact: one file to `target`, or several below `folder`. Returns its size, and names of several.

        None where it is not there, or is not what it should be.
        """
        with _harmless("read"):
            size = self.file(digest, target, limits.size)
            found = (size, None) if size is not None else self._folder(digest, folder, limits)
            if found is not None:
                return found
        shutil.rmtree(folder, ignore_errors=True)
        target.unlink(missing_ok=True)
        return None

    def blob(self, digest: str, target: Path, size: int) -> bool:
        """Copy a file of this very size; whether it was there."""
        with _harmless("read"):
            if self.file(digest, target, size) == size:
                say(f"{digest} was downloaded before")
                return True
        target.unlink(missing_ok=True)
        return False

    def content(self, digest: str, most: int) -> bytes | None:
        """Of a file of at most `most` bytes; None where it is not there, or is another."""
        path = self.place(_FILES, digest.removeprefix("sha256:"))
        with _harmless("read"), contextlib.suppress(FileNotFoundError), _opened(path) as handle:
            content = bytes(handle.read(most))
            if f"sha256:{hashlib.sha256(content).hexdigest()}" == digest:
                touch(path)
                return content
            say(f"{digest} in the cache is something else, and is thrown away")
            _remove(path)
        return None

    def keep_content(self, digest: str, content: bytes) -> None:
        """Put it in, under its digest."""
        with _harmless("written"):
            self.roomy(lambda: self._put(_FILES, digest, lambda target: target.write_bytes(content)))

    def keep_file(self, digest: str, path: Path) -> None:
        """Put a file in, under a digest that was just computed of it."""
        with _harmless("written"):
            self.roomy(lambda: self._put(_FILES, digest, lambda target: _copied(path, target)))
            self.evict()

    def keep_folder(self, digest: str, folder: Path, names: list[str]) -> None:
        """Put in what lies in `folder` by these names, as folders.bring brought it."""
        with _harmless("written"):
            digests = {}
            for name in names:
                digests[name] = _digest(folder / name)
                kept = partial(self._put, _FILES, digests[name], partial(_copied, folder / name))
                self.roomy(kept)
            if digest_of(digests) == digest:
                lines = "".join(f"{each.removeprefix('sha256:')}  {name}\n" for name, each in digests.items())
                self._put(_FOLDERS, digest, lambda target: target.write_text(lines))
            self.evict()

    @contextlib.contextmanager
    def leased(
        self,
        name: str,
        done: Callable[[], bool],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Iterator[None]:
        """Be the one who does it, or wait until it is done, or until who does it has let a lease pass."""
        with _harmless("used"):
            self.wait(name, done, sleep, clock)
        try:
            yield
        finally:
            with _harmless("used"):
                self.release(name)

    def wait(
        self,
        name: str,
        done: Callable[[], bool],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Until it is done, or this pod has the lease, or who had it has given it back and it is not done: what one pod
        could not bring others to use (the cache is full, or too small) the next one can't either, and pods must not
        work one after the other then."""
        seen, since = "", clock()
        end = since + LONGEST
        while not done():  # first of all: what can't be written to may have it
            path = self._made(_LEASES) / name
            try:
                with path.open("x") as handle:
                    handle.write(self.owner)
                if done():  # between the look and the lease
                    self.release(name)
                return
            except FileExistsError:
                told = _told(path)
            if _owner(told) == self.owner:
                return
            # Who has just made one has not written his name yet.
            owners = {_owner(told), _owner(seen)} - {""}
            if len(owners) == 2 and not told.endswith(_TAKEN_OVER):
                done()  # it may have become so between the two looks
                return
            if told != seen:
                seen, since = told or seen, clock()
                say("another pod is at it; waiting for it")
            if clock() > end:
                say("others have been at it for too long; going on without them")
                return
            if clock() - since > LEASE:
                say("the pod that was at it has not ended in time; going on without it")
                temporary = path.with_name(f".{name}-{secrets.token_hex(8)}")
                temporary.write_text(f"{self.owner}{_TAKEN_OVER}")
                temporary.replace(path)
                return
            sleep(POLL)

    def release(self, name: str) -> None:
        """Where the lease is this pod's."""
        path = self.root / _LEASES / name
        if _owner(_told(path)) == self.owner:
            path.unlink(missing_ok=True)

    def place(self, kind: str, key: str) -> Path:
        return self.root / kind / key

    def put_folder(self, kind: str, key: str, fill: Callable[[Path], None]) -> None:
        """A folder by a rename; one that is there already stays. Raises OSError."""
        target = self.place(kind, key)
        if target.exists():
            return
        temporary = self._made(kind) / f".{secrets.token_hex(8)}"
        try:
            temporary.mkdir()
            fill(temporary)
            with contextlib.suppress(FileExistsError, OSError):
                temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def roomy(self, act: Callable[[], object]) -> None:
        """Do it; where the volume has no room, once more with half of what lies there away. Raises OSError.

        The volume may be smaller than `most`, or hold other things besides.
        """
        try:
            act()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            say(f"{error}; making room in the cache")
            self.evict(share=0.5)
            act()

    def evict(self, share: float = 1.0) -> None:
        """What was used least recently, until the rest has `most` bytes, and `share` of what there was; and what nobody
        finished."""
        entries: list[tuple[float, int, int, str]] = []
        now = self._now()
        with contextlib.ExitStack() as opened:
            for kind in KINDS:
                number = opened.enter_context(_entered(self.root / kind))
                if number is None:
                    continue
                for name in os.listdir(number):
                    with contextlib.suppress(OSError):
                        told = os.stat(name, dir_fd=number, follow_symlinks=False)
                        if name.startswith("."):
                            if now - told.st_mtime > _LEFTOVER:
                                _remove_in(number, name)
                        elif kind != _LEASES:
                            entries.append((told.st_mtime, _size(number, name), number, name))
            held = sum(size for _, size, _, _ in entries)
            most = min(self.most, held * share)
            for _, size, number, name in sorted(entries):
                if held <= most:
                    return
                _remove_in(number, name)
                held -= size

    def _now(self) -> float:
        """By the clock by which entries are dated; where it can't be told, before all of them."""
        probe = self._made(_LEASES) / f".{secrets.token_hex(8)}"
        try:
            probe.touch()
            now = probe.stat().st_mtime
            probe.unlink()
        except OSError:  # no room even for an empty file
            return float("-inf")
        return now

    def file(self, digest: str, target: Path, most: int) -> int | None:
        """Copy one file; returns its size, or None where it is not there or is another. Raises OSError."""
        path = self.place(_FILES, digest.removeprefix("sha256:"))
        try:
            found, size = copied(path, target, most)
        except FileNotFoundError:
            return None
        if found != digest:
            say(f"{digest} in the cache is something else, and is thrown away")
            target.unlink(missing_ok=True)
            _remove(path)
            return None
        touch(path)
        return size

    def _folder(self, digest: str, folder: Path, limits: Limits) -> tuple[int, list[str]] | None:
        path = self.place(_FOLDERS, digest.removeprefix("sha256:"))
        try:
            lines = read_text(path, _MAX_LIST)
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        files = {line[66:]: f"sha256:{line[:64]}" for line in lines.splitlines()}
        if digest_of(files) != digest or len(files) > packed.MAX_FILES:
            _remove(path)
            return None
        total = 0
        for name, each in files.items():
            target = folder / packed.checked(name, "the cache")
            target.parent.mkdir(parents=True, exist_ok=True)
            size = self.file(each, target, limits.size - total)
            if size is None:  # evicted, or spoilt
                return None
            total += size
        touch(path)
        return total, list(files)

    def put_text(self, kind: str, key: str, text: str) -> None:
        """A file by a rename, in the place of one that is there. Raises OSError."""
        self._write(kind, key, lambda target: target.write_text(text))

    def _put(self, kind: str, digest: str, fill: Callable[[Path], object]) -> None:
        target = self.place(kind, digest.removeprefix("sha256:"))
        if target.exists():
            touch(target)
            return
        self._write(kind, target.name, fill)

    def _write(self, kind: str, key: str, fill: Callable[[Path], object]) -> None:
        target = self.place(kind, key)
        temporary = self._made(kind) / f".{secrets.token_hex(8)}"
        try:
            fill(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def _made(self, kind: str) -> Path:
        folder = self.root / kind
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, "it is a link", str(folder))
        return folder


def copied(source: Path, target: Path, most: int) -> tuple[str, int]:
    """Copy a regular file of at most `most` bytes; returns the digest of what was written, and its size.

    Raises OSError, FileNotFoundError where it is none or larger.
    """
    digest, size = hashlib.sha256(), 0
    with _opened(source) as handle, target.open("xb") as written:
        while chunk := handle.read(_CHUNK):
            size += len(chunk)
            if size > most:
                break
            digest.update(chunk)
            written.write(chunk)
    if size > most:
        target.unlink()
        raise FileNotFoundError(f"{source} has more than {most} bytes")
    return f"sha256:{digest.hexdigest()}", size


def read_text(path: Path, most: int) -> str:
    """Raises FileNotFoundError, UnicodeDecodeError."""
    with _opened(path) as handle:
        return str(handle.read(most).decode())


def touch(path: Path) -> None:
    """It was used."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _opened(path: Path):  # type: ignore[no-untyped-def]
    """Raises FileNotFoundError for anything but a regular file: the folder is everybody's."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FileNotFoundError(str(path)) from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise FileNotFoundError(str(path))
    return open(number, "rb")


def _copied(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"


def _told(path: Path) -> str:
    """When the lease was taken, and by whom; empty where there is none."""
    try:
        with _opened(path) as handle:
            owner = handle.read(200).decode(errors="replace")
            return f"{os.fstat(handle.fileno()).st_mtime_ns} {owner}"
    except OSError:
        return ""


def _owner(told: str) -> str:
    return told.partition(" ")[2].removesuffix(_TAKEN_OVER)


@contextlib.contextmanager
def _entered(path: Path) -> Iterator[int | None]:
    """A folder's descriptor; None for a link, too: who puts one there would choose what is thrown away."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield number
    finally:
        os.close(number)


def _size(folder: int, name: str) -> int:
    """Bytes of an entry, which may be a folder of files. Raises OSError."""
    told = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(told.st_mode):
        return told.st_size
    number = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        return sum(os.stat(each, dir_fd=number, follow_symlinks=False).st_size for each in os.listdir(number))
    finally:
        os.close(number)


def _remove_in(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _harmless(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        failed(what, error)
