"""moto's server as a process of the test's own, on a free loopback port; it forgets everything at its end."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from foreign import environment
from localcluster.loopback import answers, free_port
from localcluster.processes import Process
from localcluster.progress import wait_for

HERE = Path(__file__).parent
START_SECONDS = 120.0


class MotoServer:
    """`with MotoServer() as server:`; `server.url` is every service's endpoint. Raises SetupError."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="modelward-moto-"))
        self._process = Process("moto", self._folder)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> "MotoServer":
        try:
            bin_folder = environment("moto", HERE / "requirements.lock")
            self._process.start(
                [str(bin_folder / "moto_server"), "-H", "127.0.0.1", "-p", str(self._port)], dies_with_us=True
            )
            wait_for("moto's start", self._is_ready, START_SECONDS)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _is_ready(self) -> bool:
        self._process.check()
        return answers(f"{self.url}/moto-api/data.json")

    def _remove(self) -> None:
        self._process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
