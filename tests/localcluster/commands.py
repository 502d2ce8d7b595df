"""Runs other programs: their output is kept and shown only where they fail."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from localcluster import settings
from localcluster.progress import SetupError

NO_PROXY = {
    name: ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost", settings.OWN_CIDR, settings.NODE_IP)))
    for name in ("NO_PROXY", "no_proxy")
}
"""Nothing that is sent to the cluster may go through somebody's proxy."""

TAIL = 3000
"""Characters of the output of a failed command that are shown."""


def run(
    command: Sequence[str | Path],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    check: bool = True,
) -> str:
    """The program's stdout. Raises SetupError with the end of its output where it fails."""
    words = [str(word) for word in command]
    merged = {**os.environ, **NO_PROXY, **(env or {})}
    result = subprocess.run(words, cwd=cwd, env=merged, input=stdin, text=True, capture_output=True, check=False)
    if check and result.returncode != 0:
        output = (result.stdout + result.stderr)[-TAIL:]
        raise SetupError(f"`{' '.join(words[:6])}` failed with exit code {result.returncode}:\n{output}")
    return result.stdout


def succeeds(command: Sequence[str | Path]) -> bool:
    """Whether the program exists and ends with exit code 0."""
    try:
        return subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process at a time does the work of this name; a killed one lets go."""
    with (settings.cache_dir() / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path that becomes `target` when the block ends well: a build that was cut off leaves nothing half."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
