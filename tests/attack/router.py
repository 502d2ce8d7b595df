"""A real Envoy with the configuration that routers get, and two real servers behind it, all on the loopback."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from localcluster import binaries
from modelward.api.traffic import Traffic
from modelward.domain.facts import Arm, RouteTable
from modelward.render import envoy, envoy_routes
from unit.inference.processes import DEADLINE, ServerProcess

STABLE, CANDIDATE = "fraud-aaaaaaaaaa", "fraud-bbbbbbbbbb"


@dataclass(frozen=True)
class Router:
    """`port`: where clients ask; `stable`, `candidate`: the servers' own ports, where nobody should get."""

    port: int
    stable: int
    candidate: int
    http: urllib3.PoolManager

    def samples(self, port: int) -> list[dict[str, Any]]:
        """What a server kept of its answers, past all routers."""
        found: list[dict[str, Any]] = self.http.request("GET", f"http://127.0.0.1:{port}/modelward/samples").json()[
            "samples"
        ]
        return found

    def answered(self, port: int) -> int:
        """Inferences that a server has answered."""
        text = self.http.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
        name = "modelward_inference_request_duration_seconds_count"
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in text.splitlines() if line.startswith(name))


def _nearby(document: dict[str, Any], ports: dict[str, int]) -> dict[str, Any]:
    """The same configuration with the loopback's ports in place of Services."""
    for resource in document["resources"]:
        if "load_assignment" in resource:
            resource["type"] = "STATIC"
            for field in ("dns_lookup_family", "dns_refresh_rate", "dns_failure_refresh_rate"):
                resource.pop(field)
            (locality,) = resource["load_assignment"]["endpoints"]
            address = locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
            address |= {"port_value": ports[address["address"].split(".")[0]], "address": "127.0.0.1"}
    return document


@contextmanager
def envoy_before(folder: Path, stable: int, candidate: int, mirror: int) -> Iterator[Router]:
    """`mirror`: percent of requests of which the candidate gets copies; clients' own it gets none."""
    ports = {STABLE: stable, CANDIDATE: candidate}
    routes = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 0, mirror),))
    for name, text in envoy_routes.configuration(routes, Traffic(), "ml", "cluster.local").items():
        (folder / name).write_text(json.dumps(_nearby(json.loads(text), ports)))
    text = json.dumps(envoy.bootstrap()).replace(envoy.CONFIG_DIR, str(folder)).replace("0.0.0.0", "127.0.0.1")
    bootstrap = json.loads(text)
    for listener in (*bootstrap["static_resources"]["listeners"], bootstrap["admin"]):
        listener["address"]["socket_address"]["port_value"] = 0
    where = folder / "admin"
    process = subprocess.Popen(
        [
            binaries.envoy(),
            "--config-yaml",
            json.dumps(bootstrap),
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--use-dynamic-base-id",
            "--log-level",
            "critical",
            "--admin-address-path",
            where,
        ],
        stdout=subprocess.DEVNULL,
    )
    http = urllib3.PoolManager(retries=False, timeout=DEADLINE)
    try:
        yield Router(_port(process, where, http), stable, candidate, http)
    finally:
        process.kill()
        process.wait(DEADLINE)
        http.clear()


def _port(process: "subprocess.Popen[bytes]", where: Path, http: urllib3.PoolManager) -> int:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        assert process.poll() is None, "Envoy refuses the configuration"
        if where.exists() and (admin := where.read_text().strip()):
            listed = http.request("GET", f"http://{admin}/listeners?format=json").json().get("listener_statuses", [])
            for each in listed:
                if each["name"] == "traffic":
                    return int(each["local_address"]["socket_address"]["port_value"])
        time.sleep(0.02)
    raise AssertionError("Envoy does not listen")


@contextmanager
def router(folder: Path, mirror: int = 0) -> Iterator[Router]:
    """Envoy before two servers of the same model."""
    with ExitStack() as stack:
        servers = []
        for name in (STABLE, CANDIDATE):
            (folder / name).mkdir()
            servers.append(stack.enter_context(ServerProcess(folder / name, SAMPLES_PER_SECOND="1000")).port)
        yield stack.enter_context(envoy_before(folder, servers[0], servers[1], mirror))


@contextmanager
def mirroring(folder: Path) -> Iterator[Router]:
    """The candidate gets a copy of every request."""
    with router(folder, 100) as made:
        yield made
