"""`airflow standalone` as a process of the test's own: on free loopback ports, its data in a temporary folder. Its
environment is that of the package for Airflow (integrations/airflow).
"""

import contextlib
import json
import os
import signal
from pathlib import Path

from foreign import environment
from localcluster.loopback import free_port
from servers import Served

LOCK = Path(__file__).parents[2] / "integrations/airflow/requirements.lock"
START_SECONDS = 600.0
"""70 CPU seconds on a quiet machine."""

USER = "operator"


class AirflowServer(Served):
    """`with AirflowServer(password, dag) as server:`; `dag`: the text of a file with one; `server.url` is its address.

    Raises SetupError where it can't be installed or does not answer in time.
    """

    def __init__(self, password: str, dag: str) -> None:
        super().__init__("Airflow", START_SECONDS)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        (self._folder / "dags").mkdir()
        (self._folder / "dags/retrain.py").write_text(dag)
        (self._folder / "passwords.json").write_text(json.dumps({USER: password}))

    def _command(self) -> list[str]:
        bin_folder = environment("airflow", LOCK)
        settings = {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",  # it starts its parts by their name
            "AIRFLOW_HOME": str(self._folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._folder / "dags"),
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._folder / "passwords.json"),
            # A task whose start is not answered in five seconds asks again, is told that it has started, and fails.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        return ["env", *(f"{name}={value}" for name, value in settings.items()), "airflow", "standalone"]

    def _asked(self) -> str:
        return f"{self.url}/api/v2/monitor/health"

    def _stop(self) -> None:
        pid = self._process.pid
        super()._stop()
        if pid is not None:
            # Its parts are in its session, and outlive it otherwise.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
