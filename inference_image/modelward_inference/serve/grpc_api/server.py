"""The gRPC server: binding, health checking, reflection, draining. It runs in the event loop that enters it.

Failure: InvalidConfiguration where the port can't be had.
"""

import logging
from typing import Self

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import OVERALL_HEALTH
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_reflection.v1alpha import reflection_pb2_grpc

from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.serve.grpc_api import described, service
from modelward_inference.serve.grpc_api.health import Health
from modelward_inference.serve.identity import Headers
from modelward_inference.serve.state import State
from modelward_inference.telemetry.requestlog import AccessLog
from modelward_inference.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

MIN_PING_INTERVAL = 10_000
"""Milliseconds between a client's keepalive pings that are put up with; gRPC's own 5 minutes end many connections."""

MAX_AGE_OF_DRAIN = 0.6
"""Age at which a connection is asked to end, as a part of the time of draining. gRPC's core fails what arrives in the
instant of the end (CANCELLED): by then every client shall have been sent away, without loss, to where the cluster sends
new connections. The price is a new connection now and then."""

MAX_AGE = 300.0
"""Seconds of a connection where nothing drains."""

LONGEST = 180.0
"""Seconds that a call may take, until its client has read the answer. gRPC's core has a place for it from its first
byte on: who sends no message, or reads nothing, would keep that for ever."""

MAX_CALLS = 2048
"""Calls at a time, over all connections: gRPC's core holds the whole message of each, before the queue is asked."""

GRACE = 80.0
"""Seconds for what is being computed when the server ends: the kubelet gives a pod 90, of which 5 drain."""


class GrpcServer:
    """`async with` it to serve on a port (0: any that is free; `port` then says which).

    `max_body`: bytes that a request may have; `headers`: metadata of every answer. `drain`: seconds between
    `state.draining` and the end; 0 where clients may lose what they send in that instant. `longest`: seconds that what
    is under way has when its connection is asked to end.
    """

    def __init__(
        self,
        plane: DataPlane,
        state: State,
        port: int,
        max_body: int,
        host: str,
        *,
        drain: float = 0.0,
        longest: float = LONGEST,
        tracing: Tracing | None = None,
        headers: Headers = (),
        access: AccessLog | None = None,
    ) -> None:
        self.port = port
        self._access = access
        self._headers = headers
        self._plane = plane
        self._state = state
        self._tracing = tracing
        self._host = f"[{host}]" if ":" in host else host
        self._options = [
            ("grpc.max_receive_message_length", max_body),
            ("grpc.max_send_message_length", -1),
            # A port that is taken shall be an error, and not be shared with whoever has it.
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_INTERVAL),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_connection_age_ms", round((drain * MAX_AGE_OF_DRAIN or MAX_AGE) * 1000)),
            ("grpc.max_connection_age_grace_ms", round(longest * 1000)),
        ]

    async def __aenter__(self) -> Self:
        """Raises InvalidConfiguration where the port can't be had."""
        server = self._server = grpc.aio.server(options=self._options, maximum_concurrent_rpcs=MAX_CALLS)
        calls = service.Service(self._plane, self._state, self._tracing, self._headers, self._access)
        server.add_generic_rpc_handlers((calls.handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(Health((OVERALL_HEALTH, service.NAME), self._state), server)
        told = described.Described((service.NAME, HEALTH, described.NAME))
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(told, server)
        try:
            self.port = server.add_insecure_port(f"{self._host}:{self.port}")
        except RuntimeError as error:
            raise InvalidConfiguration(
                f"gRPC can't listen on port {self.port} ({error}); set GRPC_PORT to a free one"
            ) from None
        await server.start()
        log.info("serving gRPC on port %d", self.port)
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.stop()

    async def stop(self, grace: float | None = GRACE) -> None:
        """Refuse new requests with UNAVAILABLE; end when the last one is answered, at most after `grace` seconds."""
        self._state.draining = True
        await self._server.stop(grace)
