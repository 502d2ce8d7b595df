"""Bytes in memory that another process is given as they are: a file without a name, whose descriptor is passed on.

A pipe would copy them twice more, and its reading end once again, in an event loop that others wait for.
Invariant: what is mapped can't change or shrink any more, whoever else has it: a process that was taken over could end
this one otherwise (SIGBUS). Failure: OverloadedError where there is no room for more; ValueError for what can't be
sealed.
"""

import fcntl
import mmap
import os

from modelward_inference.protocol.messages import OverloadedError

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class SharedBytes:
    """Written from its beginning to its end; not by two threads, and not closed while one writes."""

    __slots__ = ("_fd", "size")

    def __init__(self) -> None:
        self.size = 0
        """Bytes."""
        self._fd = -1
        try:
            self._fd = os.memfd_create("body", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError as error:
            raise OverloadedError(f"there is no room for another large body ({error.strerror}); try again") from None

    def write(self, part: bytes | memoryview) -> None:
        """Takes a third of a millisecond for a mebibyte, without the interpreter."""
        left = memoryview(part)
        while left:
            try:
                written = os.write(self._fd, left)
            except OSError as error:
                raise OverloadedError(f"there is no room for so large a body ({error.strerror}); try again") from None
            self.size += written
            left = left[written:]

    def fileno(self) -> int:
        """For as long as it is not closed."""
        return self._fd

    def mapped(self) -> memoryview:
        """What was written until now, even after this is closed. Whoever else has it may change it."""
        return memoryview(mmap.mmap(self._fd, self.size, access=mmap.ACCESS_READ))

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """More than once as well."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def written(content: bytes) -> SharedBytes:
    """These bytes. Raises OverloadedError."""
    made = SharedBytes()
    made.write(content)
    return made


def mapped(fd: int, size: int) -> memoryview:
    """`size` bytes of a file, which is closed. Raises ValueError where it has others, or may be changed by somebody."""
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        if os.fstat(fd).st_size != size:
            raise ValueError("it has not the size that was told")
        return memoryview(mmap.mmap(fd, size, access=mmap.ACCESS_READ)) if size else memoryview(b"")
    except OSError as error:
        raise ValueError(f"it can't be sealed: {error}") from None
    finally:
        os.close(fd)
