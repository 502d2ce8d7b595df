"""An MLflow tracking server as a process of the test's own: on a free loopback port, its data in a temporary folder.

Its helpers for background jobs are left out: they are eight more processes of 230 MB.
"""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from foreign import environment
from localcluster.loopback import free_port
from servers import Served

HERE = Path(__file__).parent
START_SECONDS = 240.0
"""It imports for 18 CPU seconds, and other tests run beside it."""

ADMIN, PASSWORD = "admin", "a long password of tests"


class MlflowServer(Served):
    """`with MlflowServer() as server:`; `server.url`. `auth`: it wants a login, ADMIN's and those of users made by it.

    `python`: an interpreter that has mlflow and scikit-learn.
    """

    def __init__(self, *, auth: bool = False) -> None:
        super().__init__("MLflow", START_SECONDS)
        self._auth = auth
        self.host = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.host}"

    def _command(self) -> list[str]:
        bin_folder = environment("mlflow", HERE / "requirements.lock")
        self.python = bin_folder / "python"
        settings = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_SERVER_ALLOWED_HOSTS": self.host,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of tests",
            # As an MLflow whose webhooks go to the cluster that it runs in is started.
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            # It remembers for a minute that there is no webhook.
            "MLFLOW_WEBHOOK_CACHE_TTL": "1",
            "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_AUTH_CONFIG_PATH": str(self._auth_config()),
        }
        address, _, port = self.host.partition(":")
        return [
            "env", *(f"{name}={value}" for name, value in settings.items()), str(bin_folder / "mlflow"), "server",
            "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db", "--serve-artifacts",
            "--artifacts-destination", str(self._folder / "artifacts"), "--host", address, "--port", port,
            "--workers", "1", *(["--app-name", "basic-auth"] if self._auth else []),
        ]  # fmt: skip

    def _wait(self) -> None:
        """Two of them may start beside each other: whoever needs it asks for `ready`."""

    def ready(self) -> None:
        """Wait until it answers."""
        super()._wait()

    def run(self, script: Path, *arguments: str, packages: Path | None = None) -> str:
        """What a script of its own environment prints. `packages`: a folder of more."""
        more = {} if packages is None else {"PYTHONPATH": str(packages)}
        done = subprocess.run(
            [self.python, script, self.url, *arguments], env={**os.environ, **more}, capture_output=True, text=True,
            check=False, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def _auth_config(self) -> Path:
        """Whom it knows is kept beside the rest, and not where it was started."""
        path = self._folder / "auth.ini"
        path.write_text(
            f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{self._folder}/users.db\n"
            f"admin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        return path

    def _asked(self) -> str:
        return f"{self.url}/health"

    def _stop(self) -> None:
        pid = self._process.pid
        if pid is not None:
            # Its workers are in a session of their own with it, and outlive it otherwise.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
        super()._stop()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
