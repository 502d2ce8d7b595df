"""A real Alertmanager as a process of the test's own, and who it tells: a webhook that keeps what it is told."""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import yaml

from localcluster import binaries
from localcluster.loopback import free_port
from servers import Served
from threaded import Answers

START_SECONDS = 60.0
ON_CALL, TICKETS = "on-call", "tickets"


class Pager(Answers):
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

        super().__init__(Handler)
        self.address = f"http://{self.address}"


class Alertmanager(Served):
    """`with Alertmanager(config) as running:` takes alerts at `address` (host:port). `config`: its own."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__("Alertmanager", START_SECONDS)
        self._config = config
        self.address = f"127.0.0.1:{free_port('127.0.0.1')}"

    def _command(self) -> list[str]:
        config = self._folder / "alertmanager.yml"
        config.write_text(yaml.safe_dump(self._config))
        return [
            str(binaries.alertmanager()),
            f"--config.file={config}",
            f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]

    def _asked(self) -> str:
        return f"http://{self.address}/-/ready"
