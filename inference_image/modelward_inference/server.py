"""`serve`: load the bundle, answer until SIGTERM, then drain without losing a request."""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from modelward_inference import golden, logs, metrics, runtimes
from modelward_inference.bundle import Manifest
from modelward_inference.dataplane import DataPlane
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.rest import Rest, State

if TYPE_CHECKING:
    from modelward_inference.grpc_api import GrpcServer

log = logging.getLogger(__name__)

KEEP_ALIVE = 75
"""Seconds an idle connection stays open: longer than the router keeps it, so that the router closes first."""


@dataclass(frozen=True)
class Settings:
    """`grpc_port`: 0 for none. `cores`: the CPU limit. `drain`: seconds that requests are still taken after SIGTERM."""

    folder: Path
    version: str | None
    host: str
    port: int
    grpc_port: int
    cores: int
    drain: float
    max_body: int
    max_waiting: int
    log_level: str

    @classmethod
    def from_environment(cls, cores: int, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises InvalidConfiguration."""

        def number(name: str, default: int) -> int:
            text = environment.get(name, str(default))
            if not text.isdecimal():
                raise InvalidConfiguration(f"{name} is {text!r}; set it to a whole number")
            return int(text)

        return cls(
            folder=Path(environment.get("BUNDLE_DIR", "/bundle")),
            version=environment.get("MODEL_VERSION") or None,
            host=environment.get("HOST", "0.0.0.0"),  # noqa: S104  a pod's own network
            port=number("PORT", 8080),
            grpc_port=number("GRPC_PORT", 9000) if environment.get("GRPC_PORT", "9000") else 0,
            cores=cores,
            drain=number("DRAIN_SECONDS", 5),
            max_body=number("MAX_REQUEST_BYTES", 64 << 20),
            max_waiting=number("MAX_WAITING_REQUESTS", 256),
            log_level=environment.get("LOG_LEVEL", "INFO").upper(),
        )


class DrainingServer(uvicorn.Server):
    """uvicorn that goes on to answer for a while after SIGTERM: the cluster needs a moment to send nobody here."""

    def __init__(self, config: uvicorn.Config, state: State, drain: float, grpc: "GrpcServer | None" = None) -> None:
        super().__init__(config)
        self._state = state
        self._drain = drain
        self._grpc = grpc

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._grpc:
            await self._grpc.__aenter__()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ends = [super().shutdown(sockets)]
        if self._grpc:
            ends.append(self._grpc.stop())
        await asyncio.gather(*ends)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  the interface is uvicorn's
        if self._state.draining:
            self.force_exit = True
            return
        log.info("draining for %.0f s", self._drain)
        self._state.draining = True
        metrics.DRAINING.set(1)
        # Not uvicorn's own handler: it would raise the signal again at the end, as if that end were a bad one.
        asyncio.get_running_loop().call_later(self._drain, self._end)

    def _end(self) -> None:
        self.should_exit = True


def serve(settings: Settings) -> None:
    """Serve until SIGTERM. Raises ModelError where there is nothing to serve."""
    logs.configure(settings.log_level)
    manifest = Manifest.read(settings.folder)
    model = runtimes.load(manifest.format, settings.folder / manifest.file, settings.cores, manifest.signature)
    golden.verify(model, settings.folder, manifest)
    version = settings.version or manifest.digest.removeprefix("sha256:")[:12]
    plane = DataPlane(model, manifest, version, settings.cores, settings.max_waiting)
    plane.warm_up()
    metrics.MODEL_INFO.labels(manifest.name, version, manifest.format, manifest.digest).set(1)
    state = State()
    config = uvicorn.Config(
        Rest(plane, state, settings.max_body),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        backlog=2048,
    )
    log.info("serving %s version %s (%s) on port %d", manifest.name, version, manifest.format, settings.port)
    DrainingServer(config, state, settings.drain, _grpc(settings, plane, state)).run()


def _grpc(settings: Settings, plane: DataPlane, state: State) -> "GrpcServer | None":
    if not settings.grpc_port:
        return None
    # Imported only where it is wanted: its libraries take memory and time.
    from modelward_inference import grpc_api

    return grpc_api.GrpcServer(plane, state, settings.grpc_port, settings.max_body, settings.host, drain=settings.drain)
