"""Programs of others as servers of a test's own: a process in a folder of its own, and both are gone at the end."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from localcluster.loopback import answers
from localcluster.processes import Process
from localcluster.progress import wait_for


class Served:
    """`with Served(…) as running:` it answers. `name`: of the program; `seconds`: within which it has to.

    Raises SetupError where it can't be installed or does not become ready.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._folder = Path(tempfile.mkdtemp(prefix=f"modelward-{name.lower()}-"))
        self._process = Process(name.lower(), self._folder)

    def _command(self) -> Sequence[str]:
        """What is run; installs it where it is not there."""
        raise NotImplementedError

    def _asked(self) -> str:
        """The address that answers once it is ready."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self._process.start(self._command(), dies_with_us=True)
            self._wait()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _wait(self) -> None:
        wait_for(f"{self._name}'s start", self._is_ready, self._seconds)

    def _is_ready(self) -> bool:
        self._process.check()
        return answers(self._asked())

    def _stop(self) -> None:
        self._process.stop()

    def _remove(self) -> None:
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)
