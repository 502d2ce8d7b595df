"""grpc.health.v1: SERVING until the server drains, then NOT_SERVING for good.

A watch ends when it has told so: an open stream would hold up the server's end. There are so many at a time: each has a
place among the calls that the server takes, for as long as its client likes.
"""

import asyncio
from collections.abc import Collection
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from modelward_inference.serve.state import State

Response = health_pb2.HealthCheckResponse


MAX_WATCHES = 128
"""At a time. A client has one for each of its connections."""

POLL = 0.2
"""Seconds between looks at the state, for those who watch."""


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # gRPC has no types
    """`services`: the names that can be asked about; the empty one stands for the whole server."""

    def __init__(self, services: Collection[str], state: State) -> None:
        self._services = services
        self._state = state
        self._watches = 0

    def _response(self) -> Any:
        return Response(status=Response.NOT_SERVING if self._state.draining else Response.SERVING)

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  the interface is gRPC's
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service[:200]!r} here")
        return self._response()

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802
        if self._watches >= MAX_WATCHES:
            # What a client takes for "nobody can watch here": it goes on to ask, which a refusal would keep it from.
            words = f"{MAX_WATCHES} others watch already; ask Check"
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, words)
        self._watches += 1
        try:
            await self._watch(request, context)
        finally:
            self._watches -= 1

    async def _watch(self, request: Any, context: Any) -> None:
        if request.service not in self._services:
            await context.write(Response(status=Response.SERVICE_UNKNOWN))
            await self._drained()
            return
        if not self._state.draining:
            await context.write(self._response())
            await self._drained()
        await context.write(self._response())

    async def _drained(self) -> None:
        while not self._state.draining:  # noqa: ASYNC110  the state is a flag that a signal sets
            await asyncio.sleep(POLL)
