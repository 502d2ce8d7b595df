"""A real Envoy with the configuration that routers get, and two real servers behind it, all on the loopback."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from live_envoy import LiveEnvoy
from localcluster import binaries
from modelward.api.traffic import Traffic
from modelward.facts import Arm, RouteTable
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


@contextmanager
def envoy_before(folder: Path, stable: int, candidate: int, mirror: int) -> Iterator[Router]:
    """`mirror`: percent of requests of which the candidate gets copies; clients' own it gets none."""
    routes = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 0, mirror),))
    ports = {STABLE: stable, CANDIDATE: candidate}
    live = LiveEnvoy(folder, binaries.envoy(), routes, Traffic(), ports, "critical", DEADLINE)
    try:
        yield Router(live.ports["traffic"], stable, candidate, live.http)
    finally:
        live.close()


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
