"""A steady load beside a benchmark: a process on each core that walks through more memory than the caches hold.

It ends with the benchmark, and by itself after LONGEST in any case, so that a benchmark that is killed leaves nothing.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Iterator

LONGEST = 7200
"""Seconds."""

_WORK = """
import time
memory, end = bytearray(16 << 20), time.monotonic() + {seconds}
while time.monotonic() < end:
    memory.count(1)
"""


@contextlib.contextmanager
def beside(cores: Iterable[int], seconds: float = LONGEST) -> Iterator[list[int]]:
    """The ids of the processes, which end with the block."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for core in cores:
            command = ["taskset", "--cpu-list", str(core), sys.executable, "-c", _WORK.format(seconds=seconds)]
            started.append(subprocess.Popen(command))
        yield [each.pid for each in started]
    finally:
        for each in started:
            each.kill()
            each.wait()
