"""The C library's allocator, told what capture does: take megabytes, give them back a second later, again and again.

By default it returns such memory to the kernel each time, and a page that is had anew costs more than to copy what it
holds: half of what capture costs at a thousand rows a request (28 page faults each, 3 without).
"""

import ctypes
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""Of glibc's malloc.h."""

LARGEST_FROM_HEAP: Final = 32 << 20
"""Bytes of one allocation: glibc's own limit. What is larger is mapped, and unmapped when it is freed."""


def keep_freed(size: int) -> bool:
    """Let up to `size` bytes of freed memory stay with the process. Returns whether there is such a setting."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_FROM_HEAP)) and bool(mallopt(M_TRIM_THRESHOLD, size))
