"""grpc.health.v1: SERVING until the server drains, then NOT_SERVING for good.

A watch ends when it has told so: an open stream would hold up the server's end.
"""

import asyncio
from collections.abc import Collection
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # gRPC has no types
    """`services`: the names that can be asked about; the empty one stands for the whole server."""

    def __init__(self, services: Collection[str]) -> None:
        self._services = services
        self._draining = asyncio.Event()

    def drain(self) -> None:
        self._draining.set()

    def _response(self) -> Any:
        return Response(status=Response.NOT_SERVING if self._draining.is_set() else Response.SERVING)

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  the interface is gRPC's
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service[:200]!r} here")
        return self._response()

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802
        if request.service not in self._services:
            await context.write(Response(status=Response.SERVICE_UNKNOWN))
            await self._draining.wait()
            return
        if not self._draining.is_set():
            await context.write(self._response())
            await self._draining.wait()
        await context.write(self._response())
