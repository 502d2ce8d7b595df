"""`tap`: pass requests on until SIGTERM, and capture what they and their answers say."""

import asyncio
import contextlib
import gc
import logging
import resource
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import FrameType
from typing import Any, Final

import uvicorn
import uvloop

from modelward_auth.guard import Guard
from modelward_auth.messages import SERVER
from modelward_inference import operatoraccess
from modelward_inference.capture.buffer import Buffer
from modelward_inference.capture.companion import Capture
from modelward_inference.capture.memory import keep_freed
from modelward_inference.capture.outcomes import Outcomes
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.serve import http
from modelward_inference.tap import hpack, metrics
from modelward_inference.tap.answering import PRIVATE_PREFIX, Application, outcomes_of
from modelward_inference.tap.catcher import Catcher
from modelward_inference.tap.door import Door
from modelward_inference.tap.exchange import Paths, Room
from modelward_inference.tap.pipe import CONNECT_SECONDS, Client, Open, Own
from modelward_inference.tap.settings import Settings
from modelward_inference.tap.spans import Spans
from modelward_inference.tap.streams import Streams
from modelward_inference.tap.watch import Watch
from modelward_inference.telemetry import tracing
from modelward_inference.telemetry.samples import Samples
from modelward_inference.telemetry.tracing import Tracing
from modelward_telemetry import logs, wanted
from modelward_telemetry.wanted import Follower

log = logging.getLogger(__name__)

SWITCH: Final = 0.0005
"""Seconds after which the reading thread lets the event loop run."""

MAX_PRIVATE_BODY: Final = 64 << 10

BODY_SECONDS: Final = 60.0
KEEP_ALIVE: Final = 75
"""Seconds of the tap's own answers, as our own server's."""


def run(settings: Settings) -> None:
    """Returns after SIGTERM. Raises ModelError."""
    logs.configure(settings.log_level, "tap", name=settings.model, revision=settings.revision)
    sys.setswitchinterval(SWITCH)
    _as_many_files_as_may_be()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings))


def _as_many_files_as_may_be() -> None:
    """Each client takes two, and where a node's soft limit is 1024 some five hundred would be all."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _OwnServer(uvicorn.Server):
    """uvicorn for the tap's own port, which also answers what is handed to it. `on_end`: called at SIGTERM."""

    def __init__(self, config: uvicorn.Config, follower: Follower) -> None:
        super().__init__(config)
        self._follower = follower
        self._slow = http.SlowClients(self.server_state, BODY_SECONDS, KEEP_ALIVE)

    def protocol(self) -> asyncio.Protocol:
        """Of a connection that is handed over."""
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state={})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  the interface is uvicorn's
        # Not uvicorn's own handler: it would raise the signal again at the end, as if that end were a bad one.
        self.force_exit = self.should_exit
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # uvicorn ticks ten times a second
            self._slow.sweep(asyncio.get_running_loop().time())
            self._follower.look()
        return await super().on_tick(counter)


class Tap:
    """What all connections share. `door`: where clients come in; `open_ones`: connections of all taps of a process,
    None: it is the only one."""

    def __init__(
        self,
        settings: Settings,
        catcher: Catcher,
        room: Room,
        hand_over: Callable[[], asyncio.Protocol],
        tracing: Tracing | None = None,
        open_ones: Open | None = None,
    ) -> None:
        self._settings, self._catcher, self._room, self._hand_over = settings, catcher, room, hand_over
        self._tracing = tracing
        self._open = open_ones if open_ones is not None else Open()
        self._set_up()
        self.door = Door(self._listen, self._knock)

    def _set_up(self) -> None:
        settings = self._settings
        self._port, self._server = settings.port, settings.server
        self._own = Own([outcomes_of(settings.model)], [PRIVATE_PREFIX])
        self._paths = Paths(settings.model)
        self._spans = Spans(self._tracing, settings.model) if self._tracing is not None else None

    def _watch(self) -> Watch | Streams:
        return Watch(self._paths, self._room, lambda: self._catcher.wanted, self._catcher.take, self._spans)

    def client(self) -> Client:
        """The protocol of a connection."""
        door = self.door
        return Client(self._connect, self._watch(), self._own, self._hand_over, self._open, door.refused, door.ended)

    async def ended(self, seconds: float) -> None:
        """Returns when no connection is left, or ends those that are after so many seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._open.none.wait(), seconds)
        self._open.close()

    async def _listen(self) -> asyncio.AbstractServer:
        loop, settings = asyncio.get_running_loop(), self._settings
        return await loop.create_server(self.client, settings.host, self._port, backlog=2048)

    async def _knock(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            transport, _ = await self._connect(asyncio.Protocol)
        transport.close()

    async def _connect(self, make: Callable[[], asyncio.Protocol]) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.create_connection(make, self._settings.server_host, self._server)


class GrpcTap(Tap):
    """The same at the port of gRPC, where the tap answers nothing itself."""

    def _set_up(self) -> None:
        settings = self._settings
        self._port, self._server, self._own = settings.grpc, settings.grpc_server, Own([], [])
        self._spans = Spans(self._tracing, settings.model, "grpc") if self._tracing is not None else None
        hpack.unpacked(b"")  # its tables, before anybody waits

    def _watch(self) -> Watch | Streams:
        model, catcher = self._settings.model, self._catcher
        return Streams(model, self._room, lambda: catcher.wanted, catcher.take, self._spans)


async def _run(settings: Settings) -> None:
    follower = Follower(wanted.path_of(), settings.log_level)
    follower.look()
    verifier = operatoraccess.of(SERVER)
    room, samples = Room(settings.bodies, settings.body), Samples()
    metrics.HELD.set_function(lambda: room.held)
    buffer = None
    outcomes = Outcomes(settings.socket) if settings.socket is not None else None
    tracer = tracing.from_environment(settings.model, revision=settings.revision)
    application = Application(settings.model, samples, outcomes, room, settings.revision, tracer)
    guarded = Guard(application, verifier, lambda path: path.startswith(PRIVATE_PREFIX), MAX_PRIVATE_BODY)
    own = _OwnServer(uvicorn.Config(
        guarded, host=settings.host, port=settings.own, loop="none", http=http.protocol(http.MAX_HEAD), ws="none",
        lifespan="off", log_config=None, access_log=False, proxy_headers=False, server_header=False, date_header=False,
        timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=5,
    ), follower)  # fmt: skip
    async with AsyncExitStack() as stack:
        if tracer is not None:
            stack.callback(tracer.shutdown)
        if settings.socket is not None:
            keep_freed(settings.buffer)
            buffer = Buffer(settings.buffer, settings.sampling, revision=settings.revision)
            await stack.enter_async_context(Capture(settings.socket, buffer))  # the first: it ends last
        catcher = await stack.enter_async_context(Catcher(room, samples, buffer, settings.body))
        own.config.load()
        open_ones = Open()
        tap = Tap(settings, catcher, room, own.protocol, tracer, open_ones)
        doors = [await _opened(tap.door, "PORT", settings.port, settings.server)]
        if settings.grpc:
            besides = GrpcTap(settings, catcher, room, own.protocol, tracer, open_ones)
            doors.append(await _opened(besides.door, "GRPC_PORT", settings.grpc, settings.grpc_server))
        gc.collect()
        gc.freeze()
        try:
            await own.serve()
        except SystemExit:  # uvicorn has logged why
            raise InvalidConfiguration(
                f"the tap can't listen on port {settings.own}; set TAP_PORT to a free one"
            ) from None
        finally:
            for door in doors:
                door.close()
            await tap.ended(settings.drain)


async def _opened(door: Door, variable: str, port: int, server: int) -> Door:
    """Raises InvalidConfiguration. `variable`: that says which port."""
    try:
        await door.open()
    except OSError as error:
        raise InvalidConfiguration(
            f"the tap can't listen on port {port} ({error}); set {variable} to a free one"
        ) from None
    log.info("port %d is passed on to port %d", port, server)
    return door
