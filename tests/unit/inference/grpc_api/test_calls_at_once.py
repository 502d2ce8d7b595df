"""How many calls a server holds at a time: of inference, and of those that stay open for as long as a client likes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Event
from types import ModuleType
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import service_pb2_grpc

from modelward_inference.serve.grpc_api import described, health
from modelward_inference.serve.grpc_api import server as grpc_api
from modelward_inference.serve.grpc_api.service import NAME

from .served import DEADLINE, Gate, Served, until
from .test_lifetime import request

MOST = 4
"""Calls at a time, in place of thousands."""


@pytest.fixture
def served(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(grpc_api, "MAX_CALLS", MOST)
    with Served(gate, max_waiting=100) as served:
        yield served
        gate.open.set()


def test_more_calls_than_that_are_refused_whoever_has_the_others(served: Served, gate: Gate) -> None:
    """Each of a connection of its own: the limit is the server's."""
    with ExitStack() as stack:
        stubs = [
            service_pb2_grpc.GRPCInferenceServiceStub(stack.enter_context(grpc.insecure_channel(served.address)))
            for _ in range(MOST + 1)
        ]
        under_way = [each.ModelInfer.future(request(), timeout=DEADLINE) for each in stubs[:MOST]]
        assert gate.began.wait(DEADLINE)
        served.wait_for(lambda: served.plane.pending == MOST)
        with pytest.raises(grpc.RpcError) as refused:
            stubs[MOST].ModelInfer(request(), timeout=DEADLINE)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        gate.open.set()
        assert [each.result(DEADLINE).outputs[0].name for each in under_way] == ["y"] * MOST
        assert stubs[MOST].ModelInfer(request(), timeout=DEADLINE).outputs[0].name == "y"


def test_who_sends_no_message_loses_his_place(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_api, "MAX_CALLS", MOST)
    gate.open.set()
    with ExitStack() as stack:
        served = stack.enter_context(Served(gate, drain=0.05, longest=0.05))
        silent = Event()
        stack.callback(silent.set)

        def nothing() -> Iterator[bytes]:
            silent.wait(DEADLINE)
            yield from ()

        # Not by the connection of the other one, which would end with his calls.
        held = stack.enter_context(
            grpc.insecure_channel(served.address, options=[("grpc.use_local_subchannel_pool", 1)])
        )
        calls = [held.stream_unary(f"/{NAME}/ModelInfer").future(nothing(), timeout=DEADLINE) for _ in range(MOST)]
        codes = {call.code() for call in calls}
        assert codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}
        other = stack.enter_context(grpc.insecure_channel(served.address))
        stub = service_pb2_grpc.GRPCInferenceServiceStub(other)
        until(lambda: _infers(stub))


def _infers(stub: Any) -> bool:
    try:
        return bool(stub.ModelInfer(request(), timeout=DEADLINE).outputs)
    except grpc.RpcError:
        return False


Streams = Callable[[Served, int], AbstractContextManager[list[Any]]]


@contextmanager
def _watching(served: Served, count: int) -> Iterator[list[Any]]:
    with grpc.insecure_channel(served.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        asked = [health_pb2.HealthCheckRequest(service="other" if each % 2 else "") for each in range(count)]
        yield [stub.Watch(each, timeout=DEADLINE) for each in asked]


@contextmanager
def _asking(served: Served, count: int) -> Iterator[list[Any]]:
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    silent = Event()

    def once() -> Iterator[Any]:
        yield question
        silent.wait(DEADLINE)  # the stream stays open, and nothing more is asked

    with grpc.insecure_channel(served.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        try:
            yield [stub.ServerReflectionInfo(once(), timeout=DEADLINE) for _ in range(count)]
        finally:
            silent.set()


@pytest.mark.parametrize(
    ("module", "limit", "code", "streams"),
    [
        (health, "MAX_WATCHES", grpc.StatusCode.UNIMPLEMENTED, _watching),
        (described, "MAX_STREAMS", grpc.StatusCode.RESOURCE_EXHAUSTED, _asking),
    ],
)
def test_streams_that_stay_open_keep_no_request_from_its_place(
    served: Served, gate: Gate, monkeypatch: pytest.MonkeyPatch, module: ModuleType, limit: str,
    code: grpc.StatusCode, streams: Streams,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, limit, 2)
    gate.open.set()
    with grpc.insecure_channel(served.address) as channel:
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        with streams(served, 2) as open_ones:
            assert all(next(each) for each in open_ones)
            with streams(served, 1) as (another,), pytest.raises(grpc.RpcError) as refused:
                next(another)
            assert refused.value.code() is code
            assert infer(request(), timeout=DEADLINE).outputs[0].name == "y"
        until(lambda: _is_answered(streams, served))  # their places are free again


def _is_answered(streams: Streams, served: Served) -> bool:
    with streams(served, 1) as (each,):
        try:
            return next(each) is not None
        except grpc.RpcError:
            return False


def test_such_streams_have_few_of_the_places() -> None:
    assert health.MAX_WATCHES + described.MAX_STREAMS < grpc_api.MAX_CALLS / 8
