"""Servers as processes: pinned to a core, watched, measured in memory, and ended with all that they started."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from localcluster.progress import SetupError

START_SECONDS = 60.0
"""How long a server may take to become ready; they share one core while they start."""

STOP_SECONDS = 5.0
"""How long a server may take to end after SIGTERM."""

LOG_TAIL = 1500
"""Characters of a log that an error shows."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Nothing goes through somebody's proxy: all servers are on the loopback interface."""


class ServerProcess:
    """One running server."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], folder: Path, core: int) -> None:
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                env={**os.environ, **env}, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def wait_ready(self, url: str) -> None:
        """Raises SetupError where the server ends, or takes too long."""
        end = time.monotonic() + START_SECONDS
        while not _answers(url):
            self.check()
            if time.monotonic() > end:
                raise SetupError(f"not ready after {START_SECONDS:.0f} s: {self._tail()}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raises SetupError where the server has ended."""
        if self._child.poll() is not None:
            raise SetupError(f"ended with exit code {self._child.returncode}: {self._tail()}")

    def pause(self) -> None:
        """Stop all of it for a while: a server that waits must not take the core from the one that is measured."""
        self._signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let a paused server work within the block."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.pause()

    def memory(self) -> int:
        """Bytes of the server and all processes that it started, shared pages divided by those who share them."""
        return sum(_memory(pid) for pid in tree(self._child.pid))

    def cpu_seconds(self) -> float:
        """Processor time of it so far, the children that live included."""
        ticks = sum(int(fields[11]) + int(fields[12]) for pid in tree(self._child.pid) if (fields := _stat(pid)))
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End all of it: by SIGTERM, then whatever is left by SIGKILL."""
        started = {pid: _started(pid) for pid in tree(self._child.pid)}
        with contextlib.suppress(ProcessLookupError):
            self._child.terminate()
        self._signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(STOP_SECONDS)
        for pid, since in started.items():
            # The number of a process that is gone may belong to somebody else by now.
            if since is not None and _started(pid) == since:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._child.wait()

    def signal(self, number: int) -> None:
        """To the server itself, not to what it started. Raises SetupError where it has ended."""
        self.check()
        self._child.send_signal(number)

    def _signal(self, number: int) -> None:
        for pid in tree(self._child.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_TAIL:].strip() or "its log is empty"


def tree(root: int) -> list[int]:
    """A process and all that it and its children started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    """State, parent, group, session and so on, as proc(5) tells; empty where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> str | None:
    """When the process started, in clock ticks since boot."""
    fields = _stat(pid)
    return fields[19] if fields else None


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
    """The answer's body and headers. Raises SetupError where it is none of success."""
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310
    try:
        with _DIRECT.open(request, timeout=30) as answer:
            return answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        raise SetupError(f"answers {error.code}: {error.read()[:300].decode(errors='replace')}") from None
    except OSError as error:
        raise SetupError(f"does not answer: {error}") from None
