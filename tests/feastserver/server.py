"""A real Feast feature server as a process of the test's own, on a free loopback port, with sqlite as its online store.

Its repository is that of examples/feast, with data of `run.py`.
"""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from foreign import environment
from localcluster.loopback import free_port
from servers import Served

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1] / "examples/feast/feature_repo"
START_SECONDS = 240.0
"""It imports for 17 CPU seconds, and other tests run beside it."""


class FeastServer(Served):
    """`with FeastServer() as server:`; `server.url`; `server.history`: a folder with the past of its drivers."""

    def __init__(self) -> None:
        super().__init__("Feast", START_SECONDS)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._repository = self._folder / "repository"
        self.history = self._repository / "history"

    def _command(self) -> list[str]:
        python = environment("feast", HERE / "requirements.lock") / "python"
        shutil.copytree(REPOSITORY, self._repository)
        # FileSource's path is as the repository has it.
        return [
            "env", "-C", str(self._repository), "FEAST_USAGE=False", f"HOME={self._folder}",
            str(python), str(HERE / "run.py"), str(self._repository), str(self._port),
        ]  # fmt: skip

    def _asked(self) -> str:
        return f"{self.url}/health"

    def _stop(self) -> None:
        pid = self._process.pid
        super()._stop()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # its workers
