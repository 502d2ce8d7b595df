"""Reflection: what services and messages there are, for tools such as grpcurl. So many ask at a time: a stream of
questions has a place among the calls that the server takes, for as long as its client likes."""

from collections.abc import AsyncIterator, Collection
from typing import Any, Final

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from modelward_inference.serve.grpc_api import open_inference_pb2

NAME: Final = reflection.SERVICE_NAME

MAX_STREAMS: Final = 32
"""At a time."""


class Described(reflection.aio.ReflectionServicer):  # type: ignore[misc]  # gRPC has no types
    """`services`: the names that are told."""

    def __init__(self, services: Collection[str]) -> None:
        super().__init__(services, pool=_descriptions())
        self._streams = 0

    async def ServerReflectionInfo(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        if self._streams >= MAX_STREAMS:
            words = f"{MAX_STREAMS} others ask already; try again in a moment"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, words)
        self._streams += 1
        try:
            async for each in super().ServerReflectionInfo(request_iterator, context):
                yield each
        finally:
            self._streams -= 1


def _descriptions() -> DescriptorPool:
    """Our messages have a pool of their own, which lacks the other services'."""
    pool = DescriptorPool()
    for module in (open_inference_pb2, health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
