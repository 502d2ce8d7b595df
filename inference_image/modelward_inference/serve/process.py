"""`serve`: load the bundle, answer until SIGTERM, then drain without losing a request."""

import asyncio
import gc
import logging
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

import uvicorn
import uvloop

from modelward_auth.messages import SERVER
from modelward_inference import authorities, operatoraccess
from modelward_inference.artifact import consent
from modelward_inference.artifact.consent import Allowed
from modelward_inference.capture.outcomes import Outcomes
from modelward_inference.engine.bodies import BUDGET, Bodies
from modelward_inference.engine.dataplane import MAX_ROWS, REQUEST_TIMEOUT, DataPlane
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.features.settings import FeatureSettings
from modelward_inference.parity import golden
from modelward_inference.serve import admission, cors, http, identity
from modelward_inference.serve.identity import Headers
from modelward_inference.serve.rest import Rest
from modelward_inference.serve.state import State
from modelward_inference.telemetry import metrics, tracing
from modelward_inference.telemetry.requestlog import AccessLog
from modelward_telemetry import logs, wanted
from modelward_telemetry.wanted import Follower

if TYPE_CHECKING:
    from modelward_inference.features.stage import Stage

log = logging.getLogger(__name__)

KEEP_ALIVE = 75
"""Seconds an idle connection stays open: longer than the router keeps it, so that the router closes first."""

GARBAGE = (20_000, 20, 50)
"""Thresholds of Python's cycle collector: a request leaves no cycles, and a look at everything costs milliseconds."""

SWITCH = 0.0005
"""Seconds after which a thread lets the event loop run: Python's own 5 ms are fifteen small requests."""

MAX_PORT = 65_535

MAX_SOCKET = 107
"""Bytes of a Unix socket's path: the kernel's limit."""

CAPTURE_BUFFER = 16 << 20
"""Bytes of rows that the monitor has not acknowledged."""


@dataclass(frozen=True)
class Settings:
    """`grpc_port`: 0 for none. `cores`: the CPU limit. `drain`: seconds that requests are still taken after SIGTERM.
    `max_body`, `max_head`, `max_bodies` (of all requests together): bytes. `max_batch_delay`, `timeout`,
    `body_timeout`: seconds. `capture_socket`: where the monitor listens, None for no capture; `capture_sampling`: share
    of the model's calls; `capture_buffer`: bytes; `revision`: by which a request's arm is told, empty: unknown;
    `registry_version`: of the model, empty: it is in no registry; both are told with every answer; `allow_origins`: of
    web pages that may ask, `*` for all; `artifact`: the download's folder, None: all is in `folder`; `allowed`: formats
    that may be loaded, None: all; `model`: the model's name, that logs tell of; `features`: where they are looked up,
    None: requests bring them."""

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
    max_rows: int = MAX_ROWS
    max_head: int = http.MAX_HEAD
    max_bodies: int = BUDGET
    max_batch_rows: int = 256
    max_batch_delay: float = 0.0
    timeout: float = REQUEST_TIMEOUT
    body_timeout: float = 60.0
    capture_socket: Path | None = None
    capture_sampling: float = 1.0
    capture_buffer: int = CAPTURE_BUFFER
    revision: str = ""
    registry_version: str = ""
    allow_origins: tuple[str, ...] = ()
    artifact: Path | None = None
    allowed: Allowed = None
    model: str = ""
    features: FeatureSettings | None = None

    @property
    def headers(self) -> Headers:
        """Of every answer."""
        return identity.headers(self.revision, self.registry_version)

    @classmethod
    def from_environment(cls, cores: int, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises InvalidConfiguration."""

        def number(name: str, default: int, least: int = 0, most: int | None = None) -> int:
            text = environment.get(name, str(default))
            if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
                limits = f"{least} or more" if most is None else f"{least} to {most}"
                raise InvalidConfiguration(f"{name} is {text!r}; set it to a whole number, {limits}")
            return int(text)

        def decimal(name: str, default: float) -> float:
            text = environment.get(name, str(default))
            if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
                raise InvalidConfiguration(f"{name} is {text!r}; set it to a number such as 2 or 0.5")
            return float(text)

        def level(name: str, default: str) -> str:
            text = environment.get(name, default).upper()
            if text not in logs.LEVELS:
                raise InvalidConfiguration(f"{name} is {text!r}; set it to one of {', '.join(logs.LEVELS)}")
            return text

        def share(name: str, default: str) -> float:
            text = environment.get(name, default)
            if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not 0 < float(text) <= 1:
                raise InvalidConfiguration(f"{name} is {text!r}; set it to a fraction above 0, at most 1, such as 0.1")
            return float(text)

        def socket(name: str) -> Path | None:
            text = environment.get(name, "")
            if len(os.fsencode(text)) > MAX_SOCKET or "\0" in text or (text and not text.startswith("/")):
                raise InvalidConfiguration(
                    f"{name} is {text!r}; set it to the absolute path of a socket, {MAX_SOCKET} bytes at most"
                )
            return Path(text) if text else None

        return cls(
            folder=Path(environment.get("BUNDLE_DIR", "/bundle")),
            version=environment.get("MODEL_VERSION") or None,
            host=environment.get("HOST", "0.0.0.0"),  # noqa: S104  a pod's own network
            port=number("PORT", 8080, least=1, most=MAX_PORT),
            grpc_port=number("GRPC_PORT", 9000, most=MAX_PORT) if environment.get("GRPC_PORT", "9000") else 0,
            cores=cores,
            drain=number("DRAIN_SECONDS", 5),
            max_body=number("MAX_REQUEST_BYTES", 64 << 20),
            max_bodies=number("MAX_BUFFERED_BYTES", BUDGET, least=1),
            max_waiting=number("MAX_WAITING_REQUESTS", 256),
            log_level=level("LOG_LEVEL", "INFO"),
            max_rows=number("MAX_ROWS", MAX_ROWS, least=1),
            max_head=number("MAX_HEADER_BYTES", http.MAX_HEAD, least=1024),
            max_batch_rows=number("MAX_BATCH_ROWS", 256, least=1),
            max_batch_delay=decimal("MAX_BATCH_DELAY_MS", 0.0) / 1000,
            timeout=decimal("REQUEST_TIMEOUT_SECONDS", REQUEST_TIMEOUT),
            body_timeout=decimal("BODY_TIMEOUT_SECONDS", 60.0),
            capture_socket=socket("CAPTURE_SOCKET"),
            capture_sampling=share("CAPTURE_SAMPLING", "1"),
            revision=identity.value("MODEL_REVISION", environment),
            registry_version=identity.value("MODEL_REGISTRY_VERSION", environment),
            capture_buffer=number("CAPTURE_BUFFER_BYTES", CAPTURE_BUFFER, least=64 << 10, most=1 << 30),
            allow_origins=cors.origins(environment.get("ALLOW_ORIGINS", "")),
            artifact=Path(environment["ARTIFACT_DIR"]) if environment.get("ARTIFACT_DIR") else None,
            allowed=consent.from_environment(environment),
            model=environment.get("MODEL_NAME", ""),
            features=FeatureSettings.from_environment(environment),
        )


class Companion(Protocol):
    """What answers beside REST in the same event loop, from the same data plane."""

    async def __aenter__(self) -> object:
        """Begin to answer."""
        ...

    async def __aexit__(self, *reason: object) -> None:
        """Finish what has begun, and end. REST has ended by then."""
        ...


class DrainingServer(uvicorn.Server):
    """uvicorn that goes on to answer for a while after SIGTERM: the cluster needs a moment to send nobody here."""

    def __init__(
        self, config: uvicorn.Config, state: State, drain: float, body_timeout: float, follower: Follower | None = None
    ) -> None:
        super().__init__(config)
        self._follower = follower
        self._state = state
        self._drain = drain
        self._slow = http.SlowClients(self.server_state, body_timeout, config.timeout_keep_alive)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  the interface is uvicorn's
        if self._state.draining:
            self.should_exit = self.force_exit = True
            return
        log.info("draining for %.0f s", self._drain)
        self._state.draining = True
        metrics.DRAINING.set(1)
        # Not uvicorn's own handler: it would raise the signal again at the end, as if that end were a bad one.
        asyncio.get_running_loop().call_later(self._drain, self._end)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # uvicorn ticks ten times a second
            self._slow.sweep(time.monotonic())
            if self._follower is not None:
                self._follower.look()
        return await super().on_tick(counter)

    def _end(self) -> None:
        self.should_exit = True


def serve(settings: Settings) -> None:
    """Serve until SIGTERM. Raises ModelError where there is nothing to serve."""
    logs.configure(settings.log_level, "server", name=settings.model, revision=settings.revision)
    access = AccessLog()
    follower = Follower(wanted.path_of(), settings.log_level, access.set_share)
    follower.look()
    manifest, model = admission.load(settings.folder, settings.artifact, settings.allowed, settings.cores)
    tracer = tracing.from_environment(manifest.name, revision=settings.revision)
    golden.verify(model, settings.folder, manifest)
    version = settings.version or manifest.digest.removeprefix("sha256:")[:12]
    plane = DataPlane(
        model, manifest, version, settings.cores, settings.max_waiting, max_batch_rows=settings.max_batch_rows,
        max_batch_delay=settings.max_batch_delay, timeout=settings.timeout, max_rows=settings.max_rows,
        bodies=Bodies(max(settings.max_bodies, settings.max_body)),
    )  # fmt: skip
    plane.warm_up()
    metrics.MODEL_INFO.labels(manifest.name, version, manifest.format, manifest.digest).set(1)
    metrics.PENDING.set_function(lambda: plane.pending)
    metrics.BODY_BYTES.set_function(lambda: plane.bodies.held)
    stage = _stage(settings, plane)
    state = State()
    verifier, socket = operatoraccess.of(SERVER), settings.capture_socket
    outcomes = Outcomes(socket) if socket is not None else None
    application = Rest(plane, state, settings.max_body, tracer, verifier, settings.revision, outcomes, access)
    rest = rest_server(application, state, settings, follower)
    companions = _companions(settings, plane, state, tracer, access)
    log.info("serving %s version %s (%s) on port %d", manifest.name, version, manifest.format, settings.port)
    gc.collect()
    gc.freeze()  # what was loaded stays: the collector need not look at it again
    gc.set_threshold(*GARBAGE)
    sys.setswitchinterval(SWITCH)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_answer(rest, companions))
    if stage is not None:
        stage.close()
    if tracer is not None:
        tracer.shutdown()


def _stage(settings: Settings, plane: DataPlane) -> "Stage | None":
    """Looks features up for the plane; None where requests bring them. Raises InvalidConfiguration."""
    if settings.features is None:
        return None
    # Imported only where it is wanted, as are its metrics.
    from modelward_inference.features.stage import Stage

    stage = Stage(settings.features, plane.manifest, plane.version, authorities.trust)
    plane.fill = stage.filled
    plane.features = stage.definitions
    return stage


def _companions(
    settings: Settings, plane: DataPlane, state: State, tracer: tracing.Tracing | None, access: AccessLog
) -> Sequence[Companion]:
    """In the order in which they begin; they end in the opposite one."""
    found: list[Companion] = []
    # Imported only where it is wanted: libraries take memory and time.
    if settings.capture_socket is not None:
        from modelward_inference.capture.buffer import Buffer
        from modelward_inference.capture.companion import Capture
        from modelward_inference.capture.memory import keep_freed

        keep_freed(settings.capture_buffer)
        buffer = Buffer(settings.capture_buffer, settings.capture_sampling, revision=settings.revision)
        plane.observe(buffer.take)
        found.append(Capture(settings.capture_socket, buffer))  # the first: it ends when no more answers come
    if settings.grpc_port:
        from modelward_inference.serve.grpc_api.server import GrpcServer

        max_body, drain = settings.max_body, settings.drain
        longest = 2 * settings.body_timeout + settings.timeout  # to come, to be read, and between these
        grpc = GrpcServer(
            plane, state, settings.grpc_port, max_body, settings.host, drain=drain, longest=longest, tracing=tracer,
            headers=settings.headers, access=access,
        )  # fmt: skip
        found.append(grpc)
    return found


async def _answer(rest: DrainingServer, companions: Sequence[Companion]) -> None:
    """Until REST has drained; it is the one that hears SIGTERM, and `state.draining` tells the others."""
    async with AsyncExitStack() as stack:
        for companion in companions:
            await stack.enter_async_context(companion)
        try:
            await rest.serve()
        except SystemExit:  # uvicorn has logged why
            raise InvalidConfiguration(
                f"REST can't listen on port {rest.config.port}; set PORT to a free one"
            ) from None


def rest_server(app: Rest, state: State, settings: Settings, follower: Follower | None = None) -> DrainingServer:
    """uvicorn, set up for a server behind a router."""
    config = uvicorn.Config(
        cors.Cors(app, settings.allow_origins) if settings.allow_origins else app,
        host=settings.host,
        port=settings.port,
        loop="none",  # it is there already
        http=http.protocol(settings.max_head, settings.headers),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nobody asks who the client is
        server_header=False,
        date_header=False,
        headers=list(settings.headers),
        timeout_keep_alive=KEEP_ALIVE,
        backlog=2048,
    )
    return DrainingServer(config, state, settings.drain, settings.body_timeout, follower)
