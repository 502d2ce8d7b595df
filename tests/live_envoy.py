"""A real Envoy with the configuration that routers get, on the loopback: only addresses and ports are others."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3

from modelward.api.traffic import Traffic
from modelward.facts import RouteTable
from modelward.routing.envoy import bootstrap as envoy
from modelward.routing.envoy import routes as envoy_routes
from modelward.routing.envoy.tracing import Collector

DEADLINE = 60.0
"""Seconds until it listens."""


class LiveEnvoy:
    """`upstreams`: the loopback's ports by revision, or by revision and port (`fraud-a:9000`);
    `certificate`: the folder with it, where clients speak TLS; `memory`: bytes of its container.

    `ports`: where it listens, by the listener's name; `http`: to ask with, `timeout` seconds. To be closed.
    """

    def __init__(
        self,
        folder: Path,
        program: Path,
        routes: RouteTable,
        traffic: Traffic,
        upstreams: Mapping[str, int],
        log_level: str = "error",
        timeout: float = 10.0,
        certificate: Path | None = None,
        memory: int = envoy.DEFAULT_MEMORY,
        tell_arms: bool = False,
        collector: Collector | None = None,
    ) -> None:
        files = envoy_routes.configuration(routes, traffic, "ml", "cluster.local", tell_arms=tell_arms)
        for name, text in files.items():
            (folder / name).write_text(json.dumps(_nearby(json.loads(text), upstreams)))
        if certificate is not None:
            for name, text in envoy.certificate().items():
                (folder / name).write_text(text.replace(envoy.TLS_DIR, str(certificate)))
        text = json.dumps(envoy.bootstrap(memory, tls=certificate is not None, collector=collector))
        text = text.replace(envoy.CONFIG_DIR, str(folder)).replace("0.0.0.0", "127.0.0.1")
        bootstrap = json.loads(text)
        listeners = bootstrap["static_resources"]["listeners"]
        for listener in (*listeners, bootstrap["admin"]):
            listener["address"]["socket_address"]["port_value"] = 0
        where = folder / "admin"
        self._process = subprocess.Popen(
            [
                program, "--config-yaml", json.dumps(bootstrap), "--concurrency", "1", "--disable-hot-restart",
                "--use-dynamic-base-id", "--log-level", log_level, "--admin-address-path", where,
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self.http = urllib3.PoolManager(retries=False, timeout=timeout)
        try:
            self.ports = self._listening(where, {listener["name"] for listener in listeners})
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self.http.clear()

    def resident(self) -> int:
        """Bytes of memory that it has now."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def active(self) -> int:
        """Requests of clients that are not answered yet."""
        return self.counter(f"http.{envoy.CLIENTS}.downstream_rq_active")

    def counter(self, name: str) -> int:
        """What Envoy has counted by that name."""
        said = self.http.request("GET", f"http://127.0.0.1:{self.admin_port}/stats?filter=^{name}$").data.decode()
        return int(said.split(":")[1])

    def _listening(self, where: Path, names: set[str]) -> dict[str, int]:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            assert self._process.poll() is None, "Envoy refuses the configuration"
            if where.exists() and (admin := where.read_text().strip()):
                answer = self.http.request("GET", f"http://{admin}/listeners?format=json").json()
                said = answer.get("listener_statuses", [])
                self.admin_port = int(admin.rpartition(":")[2])
                if {each["name"] for each in said} >= names:
                    return {each["name"]: each["local_address"]["socket_address"]["port_value"] for each in said}
            time.sleep(0.02)
        raise AssertionError("Envoy does not listen")


def _nearby(document: dict[str, Any], upstreams: Mapping[str, int]) -> dict[str, Any]:
    """The same configuration with the loopback's ports in place of Services."""
    for resource in document["resources"]:
        if "load_assignment" in resource:
            resource["type"] = "STATIC"
            for field in ("dns_lookup_family", "dns_refresh_rate", "dns_failure_refresh_rate"):
                resource.pop(field)
            (locality,) = resource["load_assignment"]["endpoints"]
            address = locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
            revision = address["address"].split(".")[0]
            port = upstreams.get(f"{revision}:{address['port_value']}", upstreams[revision])
            address |= {"port_value": port, "address": "127.0.0.1"}
    return document
