"""Deadlines, clients that leave, draining, and the end: on real sockets, with the server's own process in one case."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.serve.grpc_api import server as grpc_api
from modelward_inference.serve.process import Settings
from modelward_inference.serve.rest import State
from unit.inference.processes import ServerProcess, free_port

from .served import DEADLINE, MAX_BODY, Gate, Identity, Served, data_plane

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

INSTANT = 5.0
"""Seconds. gRPC's core forgets a request that arrives in the very instant of the end: only its own deadline ends it.
In a pod all connections have been renewed before, see MAX_AGE_OF_DRAIN."""


def request(shape: tuple[int, int] = (1, 2), name: str = "x") -> Any:
    message = pb.ModelInferRequest(model_name="m")
    message.inputs.add(name=name, datatype="FP32", shape=shape)
    message.raw_input_contents.append(np.ones(shape, "<f4").tobytes())
    return message


class Client:
    """Stubs on one connection."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.inference = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)

    def check(self) -> int:
        status: int = self.health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE).status
        return status


@pytest.fixture
def served(gate: Gate) -> Iterator[Served]:
    with Served(gate) as served:
        yield served
        gate.open.set()


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with grpc.insecure_channel(served.address) as channel:
        yield Client(channel)


def test_nothing_is_computed_for_whose_time_is_up(served: Served, client: Client, gate: Gate) -> None:
    first = client.inference.ModelInfer.future(request(), timeout=DEADLINE)
    assert gate.began.wait(DEADLINE)
    with pytest.raises(grpc.RpcError) as caught:
        client.inference.ModelInfer(request(), timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    gate.open.set()
    assert first.result(DEADLINE).outputs[0].name == "y"
    assert client.inference.ModelInfer(request(), timeout=DEADLINE).outputs[0].name == "y"
    assert gate.runs == 2


def test_a_client_that_leaves_disturbs_nobody(served: Served, client: Client, gate: Gate) -> None:
    first = client.inference.ModelInfer.future(request(), timeout=DEADLINE)
    assert gate.began.wait(DEADLINE)
    first.cancel()
    gate.open.set()
    assert client.inference.ModelInfer(request(), timeout=DEADLINE).outputs[0].name == "y"


def test_while_it_drains_it_answers_and_says_that_it_is_not_serving(served: Served, client: Client, gate: Gate) -> None:
    gate.open.set()
    watched = client.health.Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
    assert next(watched).status == SERVING
    served.state.draining = True
    assert [answer.status for answer in watched] == [NOT_SERVING]
    assert client.check() == NOT_SERVING
    assert [answer.status for answer in client.health.Watch(health_pb2.HealthCheckRequest())] == [NOT_SERVING]
    assert not client.inference.ServerReady(pb.ServerReadyRequest()).ready
    assert not client.inference.ModelReady(pb.ModelReadyRequest(name="m")).ready
    assert client.inference.ServerLive(pb.ServerLiveRequest()).live
    assert client.inference.ModelInfer(request(), timeout=DEADLINE).outputs[0].name == "y"


def test_the_end_waits_for_what_is_being_computed_and_refuses_the_rest(
    served: Served, client: Client, gate: Gate
) -> None:
    first = client.inference.ModelInfer.future(request(), timeout=DEADLINE)
    stranger = client.health.Watch(health_pb2.HealthCheckRequest(service="other"), timeout=DEADLINE)
    assert next(stranger).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    assert gate.began.wait(DEADLINE)
    ended = served.begin(served.server.stop)
    until_it_fails(lambda: client.inference.ServerLive(pb.ServerLiveRequest(), timeout=INSTANT))
    with pytest.raises(grpc.RpcError) as caught:
        client.inference.ServerLive(pb.ServerLiveRequest(), timeout=DEADLINE)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not ended.done()
    gate.open.set()
    assert first.result(DEADLINE).outputs[0].name == "y"
    ended.result(DEADLINE)


def until_it_fails(call: Callable[[], object]) -> int:
    """How many calls were answered before the server was gone."""
    answered = 0
    while True:
        try:
            call()
        except grpc.RpcError:
            return answered
        answered += 1


def test_connections_are_renewed_while_one_drains_and_no_request_is_lost() -> None:
    ready = threading.Semaphore(0)

    def seen(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            ready.release()

    with Served(Identity("FP32"), drain=0.05) as served, grpc.insecure_channel(served.address) as channel:
        client = Client(channel)
        channel.subscribe(seen)
        for _ in range(3):
            while not ready.acquire(blocking=False):
                client.inference.ModelInfer(request(), timeout=DEADLINE)
        channel.unsubscribe(seen)


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidConfiguration, match=f"gRPC can't listen on port {port} .*set GRPC_PORT"):
            await grpc_api.GrpcServer(data_plane(Identity("FP32")), State(), port, MAX_BODY, "127.0.0.1").__aenter__()


@pytest.mark.parametrize(("text", "port"), [(None, 9000), ("", 0), ("0", 0), ("9001", 9001)])
def test_an_empty_port_switches_it_off(text: str | None, port: int) -> None:
    environment = {} if text is None else {"GRPC_PORT": text}
    assert Settings.from_environment(1, environment).grpc_port == port


def test_the_process_serves_both_protocols_and_goes_on_to_answer_for_a_while(tmp_path: Path) -> None:
    grpc_port = free_port()
    with ServerProcess(tmp_path, GRPC_PORT=str(grpc_port), DRAIN_SECONDS="1") as server:
        tensor = server.manifest.signature.inputs[0]
        message = request((1, tensor.shape[1]), tensor.name)
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            client = Client(channel)
            client.inference.ModelInfer(message, timeout=DEADLINE, wait_for_ready=True)
            server.terminate()
            assert until_it_fails(lambda: client.inference.ModelInfer(message, timeout=DEADLINE)) > 1
        assert server.process.wait(DEADLINE) == 0
    assert "Traceback" not in server.log
