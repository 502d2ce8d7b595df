"""Debian's Prometheus as a process of the test's own: on a free loopback port, its data in a temporary folder."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from localcluster import debian
from localcluster.loopback import free_port
from servers import Served

PACKAGES = {"prometheus": "prometheus"}
START_SECONDS = 60.0

CONFIG = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
- job_name: test
  static_configs:
  - targets: [{targets}]
"""


class PrometheusServer(Served):
    """`with PrometheusServer([page.address]) as server:` scrapes the targets (host:port) each second; `server.url`.

    `flags`: more of Prometheus's own; `listen`: an address of this machine, where it is to be reached from elsewhere;
    `data`: what it begins with; `config`: more of its configuration, whose `scrape_configs` are added.
    """

    def __init__(
        self,
        targets: Sequence[str],
        flags: Sequence[str] = (),
        listen: str = "127.0.0.1",
        data: Path | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__("Prometheus", START_SECONDS)
        self._targets = targets
        self._flags = flags
        self._config = config or {}
        self._data = self._folder / "data" if data is None else data
        self._address = f"{listen}:{free_port(listen)}"
        self.url = f"http://{self._address}"

    def _command(self) -> list[str]:
        debian.ensure(PACKAGES)
        config = self._folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._configuration()))
        return [
            shutil.which("prometheus") or "/usr/bin/prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={self._data}",
            f"--web.listen-address={self._address}",
            "--log.level=warn",
            *self._flags,
        ]

    def _configuration(self) -> dict[str, Any]:
        own: dict[str, Any] = yaml.safe_load(CONFIG.format(targets=", ".join(self._targets)))
        jobs = [*own["scrape_configs"], *self._config.get("scrape_configs", ())]
        return {**own, **self._config, "scrape_configs": jobs}

    def _asked(self) -> str:
        return f"{self.url}/-/ready"
