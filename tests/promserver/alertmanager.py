"""A real Alertmanager as a process of the test's own, and who it tells: a webhook that keeps what it is told."""

import json
import shutil
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from localcluster import binaries
from localcluster.loopback import answers, free_port
from localcluster.processes import Process
from localcluster.progress import wait_for

START_SECONDS = 60.0
ON_CALL, TICKETS = "on-call", "tickets"


class Pager:
    """`with Pager() as pager:` takes webhooks at `address`; `told`: their documents, by the receiver's name."""

    def __init__(self) -> None:
        self.told: dict[str, list[dict[str, Any]]] = {ON_CALL: [], TICKETS: []}
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                told[self.path.removeprefix("/")].append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """What comes is kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Pager":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Alertmanager:
    """`with Alertmanager(config) as running:` takes alerts at `address` (host:port). `config`: its own.

    Raises SetupError where it can't be built or does not become ready.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._folder = Path(tempfile.mkdtemp(prefix="modelward-alertmanager-"))
        self._process = Process("alertmanager", self._folder)
        self.address = f"127.0.0.1:{free_port('127.0.0.1')}"

    def __enter__(self) -> "Alertmanager":
        try:
            config = self._folder / "alertmanager.yml"
            config.write_text(yaml.safe_dump(self._config))
            command = [
                str(binaries.alertmanager()),
                f"--config.file={config}",
                f"--storage.path={self._folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ]
            self._process.start(command, dies_with_us=True)
            wait_for("Alertmanager's start", self._ready, START_SECONDS)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _ready(self) -> bool:
        self._process.check()
        return answers(f"http://{self.address}/-/ready")

    def _remove(self) -> None:
        self._process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
