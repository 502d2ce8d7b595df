"""A Prefect server and a worker of a process pool as processes of the test's own: on a free loopback port, with a
login, its data in a temporary folder. Its environment is that of the package for Prefect (integrations/prefect).

What it does of its own accord (schedules, automations, late runs) is left out: it costs processor, and locks its
SQLite.
"""

import contextlib
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any

from foreign import environment
from localcluster.loopback import DIRECT, free_port
from localcluster.processes import Process
from localcluster.progress import wait_for
from servers import Served

LOCK = Path(__file__).parents[2] / "integrations/prefect/requirements.lock"
START_SECONDS = 420.0
"""It imports for 8 CPU seconds, as does the worker, and other tests run beside them."""

USER = "operator"
POOL = "models"

_SERVICES = (
    "DB_VACUUM", "EVENT_PERSISTER", "FOREMAN", "LATE_RUNS", "PAUSE_EXPIRATIONS", "REPOSSESSOR", "SCHEDULER",
    "TRIGGERS",
)  # fmt: skip
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    "PREFECT_SERVER_UI_ENABLED": "false",
} | {f"PREFECT_SERVER_SERVICES_{each}_ENABLED": "false" for each in _SERVICES}
"""Of the environment of a Prefect server for tests."""


class LockedError(Exception):
    """Prefect's SQLite is, for the moment: it answers 503."""


class PrefectServer(Served):
    """`with PrefectServer(password) as server:`; `server.url` is the API's, `server.folder` where flows may lie."""

    def __init__(self, password: str) -> None:
        super().__init__("Prefect", START_SECONDS)
        self._login = f"{USER}:{password}"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/api"
        self.folder = self._folder
        self._worker = Process("worker", self._folder)

    def deploy(self, command: str) -> None:
        """`command`: a line of a page, that begins with `prefect deploy`. Raises CalledProcessError."""
        program, verb, *rest = command.split()
        assert (program, verb) == ("prefect", "deploy"), command
        done = subprocess.run(
            ["env", *self._settings(), str(self._bin / program), "--no-prompt", verb, *rest], cwd=self.folder,
            capture_output=True, text=True, check=False, timeout=START_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Its answer, as JSON; None where there is no such thing."""
        answers: list[Any] = []

        def answered() -> bool:
            with contextlib.suppress(LockedError):
                answers.append(self._ask(method, path, body))
            return bool(answers)

        wait_for(f"Prefect's answer to {method} {path}", answered, self._seconds)
        return answers[0]

    def _ask(self, method: str, path: str, body: Any) -> Any:
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        request.add_header("Authorization", f"Basic {b64encode(self._login.encode()).decode()}")
        request.add_header("Content-Type", "application/json")
        request.data = None if body is None else json.dumps(body).encode()
        try:
            with DIRECT.open(request, timeout=30.0) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            if error.code == 503:
                raise LockedError from error
            raise
        return json.loads(text) if text else None

    def _command(self) -> list[str]:
        self._bin = environment("prefect", LOCK)
        server = [str(self._bin / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(self._port)]
        return ["env", *self._settings(), *server]

    def _settings(self) -> list[str]:
        found = QUIET | {
            "PREFECT_HOME": str(self._folder / "home"),
            "PREFECT_API_URL": self.url,
            "PREFECT_API_AUTH_STRING": self._login,
            "PREFECT_SERVER_API_AUTH_STRING": self._login,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        return [f"{name}={value}" for name, value in found.items()]

    def _wait(self) -> None:
        super()._wait()
        command = [str(self._bin / "prefect"), "worker", "start", "--pool", POOL, "--type", "process"]
        self._worker.start(["env", *self._settings(), *command], dies_with_us=True)
        wait_for("the start of Prefect's worker", self._has_pool, self._seconds)

    def _has_pool(self) -> bool:
        self._worker.check()
        return self.ask("GET", f"/work_pools/{POOL}") is not None

    def _asked(self) -> str:
        return f"{self.url}/health"

    def _stop(self) -> None:
        for each in (self._worker, self._process):
            pid = each.pid
            each.stop(patience=3.0)
            if pid is not None:
                # Flow runs are processes of the worker's, in its session.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
