"""Long-lived processes: started apart from the shell that asked for them, found again by a pid file."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localcluster import commands
from localcluster.progress import SetupError

STOP_SECONDS = 10.0
"""How long a process may take to end after SIGTERM."""


_STARTED: list["subprocess.Popen[bytes]"] = []
"""Kept, or Python warns of a process that still runs: they are meant to."""


_FORKS = ThreadPoolExecutor(1, thread_name_prefix="forks")
"""Lives as long as we do: the death signal comes when the *thread* that forked ends, not only when the process does."""


class Process:
    """One process of the cluster. Its pid and start time are kept, so that a reused pid is never taken for it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"

    @property
    def pid(self) -> int | None:
        """The pid while the process lives."""
        try:
            pid, started = self._pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == started else None

    def start(self, command: Sequence[str], dies_with_us: bool = False) -> bool:
        """Start it unless it runs. Returns whether it was started.

        `dies_with_us`: it must not outlive this process, not even one that is killed.
        """
        if self.pid is not None:
            return False
        child = _FORKS.submit(self._fork, command, dies_with_us).result()
        self._pid_file.write_text(f"{child.pid} {start_time(child.pid)}")
        _STARTED.append(child)
        return True

    def _fork(self, command: Sequence[str], dies_with_us: bool) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                env={**os.environ, **commands.NO_PROXY},
                preexec_fn=_die_with_parent if dies_with_us else None,
            )  # fmt: skip

    def signal(self, number: int) -> None:
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)

    def stop(self, patience: float = STOP_SECONDS) -> None:
        """End it, with SIGKILL where SIGTERM did not do."""
        pid = self.pid
        if pid is None:
            self._pid_file.unlink(missing_ok=True)
            return
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + patience
        while self._lives(pid):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                end = float("inf")
            time.sleep(0.05)
        self._pid_file.unlink(missing_ok=True)

    def check(self) -> None:
        """Raises SetupError with the end of the log where the process has ended."""
        if self.pid is None:
            tail = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "no log"
            raise SetupError(f"{self.name} ended; its log {self.log} says:\n{tail}")

    def _lives(self, pid: int) -> bool:
        try:
            # A child of ours stays as a zombie until somebody asks.
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return False
        except ChildProcessError:
            pass
        return start_time(pid) is not None


def _die_with_parent() -> None:
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def start_time(pid: int) -> str | None:
    """When the process started, in clock ticks since boot; None where it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
