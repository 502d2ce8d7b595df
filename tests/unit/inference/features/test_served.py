"""A real server whose features are looked up: by REST, V1 and gRPC, and what its monitor is told."""

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from feastserver.recorded import KEY, SERVICE, Recorded, send
from unit.inference.fake_monitor import FakeMonitor
from unit.inference.processes import DEADLINE, ServerProcess, free_port

from .drivers import model

V1 = "/v1/models/m:predict"
V2 = "/v2/models/m/infer"


class World:
    """A server, its store and its monitor."""

    def __init__(self, process: ServerProcess, store: Recorded, monitor: FakeMonitor, grpc_port: int) -> None:
        self.process, self.store, self.monitor, self.grpc_port = process, store, monitor, grpc_port

    def ask(self, path: str, body: Any) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.process.port, timeout=DEADLINE)
        try:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def call(self, *keys: int) -> Any:
        request = pb.ModelInferRequest(model_name="m")
        request.inputs.add(name=KEY, datatype="INT64", shape=[len(keys)]).contents.int64_contents.extend(keys)
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=DEADLINE)

    def metric(self, name: str) -> float:
        with urlopen(f"http://127.0.0.1:{self.process.port}/metrics", timeout=DEADLINE) as answer:
            found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, port = tmp_path_factory.mktemp("b"), free_port()
    path = tmp_path_factory.mktemp("m") / "s"
    with Recorded() as store, FakeMonitor(path) as monitor:
        told = {"url": store.url, "service": SERVICE, "entities": {KEY: "Int64"}, "timeout": DEADLINE}
        settings = {"MODEL_FEATURES": json.dumps(told), "GRPC_PORT": str(port), "CAPTURE_SOCKET": str(path)}
        with ServerProcess(folder, model=model(), DRAIN_SECONDS="0", **settings) as process:
            yield World(process, store, monitor, port)
            process.terminate()
            assert process.process.wait(DEADLINE) == 0
        assert "Traceback" not in process.log, process.log


def outputs(answer: Any) -> dict[str, Any]:
    return {each["name"]: each["data"] for each in answer["outputs"]}


def of_keys(*keys: int) -> dict[str, Any]:
    return {"inputs": [{"name": KEY, "shape": [len(keys)], "datatype": "INT64", "data": list(keys)}]}


def test_keys_are_answered_as_their_features_are(world: World) -> None:
    status, answer = world.ask(V2, of_keys(1))
    assert (status, outputs(answer)) == (200, {"score": [9.5], "where": ["a"]})
    assert answer["parameters"]["features"].startswith(f"{SERVICE}@sha256:")
    columns = {"trips": ("INT64", 5), "rating": ("FP32", 4.5), "city": ("BYTES", "a")}
    inputs = [
        {"name": name, "shape": [1, 1], "datatype": kind, "data": [value]} for name, (kind, value) in columns.items()
    ]
    asked = len(world.store.asked)
    status, itself = world.ask(V2, {"inputs": inputs})
    assert (status, outputs(itself)) == (200, outputs(answer))
    assert "parameters" not in itself
    assert len(world.store.asked) == asked, "who brings features asks no store"


def test_v1_and_grpc_take_keys_too(world: World) -> None:
    status, answer = world.ask(V1, {"instances": [{KEY: 1}]})
    assert (status, answer) == (200, {"predictions": [{"score": [9.5], "where": ["a"]}]})
    response = world.call(1)
    assert [output.name for output in response.outputs] == ["score", "where"]
    assert response.parameters["features"].string_param == answer_of(world)


def answer_of(world: World) -> str:
    """What is told of the definitions, by the model's metadata."""
    with urlopen(f"http://127.0.0.1:{world.process.port}/v2/models/m", timeout=DEADLINE) as answer:
        told = json.loads(json.load(answer)["properties"]["features"])
    assert told["entities"] == [{"name": KEY, "datatype": "INT64"}]
    return f"{told['service']}@{told['digest']}"


def test_a_rule_that_refuses_is_422_and_failed_precondition(world: World) -> None:
    status, answer = world.ask(V2, of_keys(1, 99))
    assert status == 422
    assert "driver_id=99" in answer["error"]
    with pytest.raises(grpc.RpcError) as caught:
        world.call(99)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert world.metric('modelward_inference_refused_total{by="features",model="m",version="aaaaaaaaaaaa"}') == 2


def test_a_store_that_fails_is_503_and_unavailable(world: World) -> None:
    world.store.instead = lambda handler: send(handler, 500, "no")
    try:
        status, answer = world.ask(V2, of_keys(1))
        assert (status, answer["error"]) == (503, "features can't be had (failed): the feature server answers 500")
        with pytest.raises(grpc.RpcError) as caught:
            world.call(1)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        world.store.instead = None
    name = 'modelward_features_failures_total{model="m",reason="failed",version="aaaaaaaaaaaa"}'
    assert world.metric(name) == 2


def test_the_monitor_gets_keys_beside_the_features(world: World) -> None:
    world.store.rows[7] = {"trips": 8, "rating": 0.5, "city": "z"}
    assert world.ask(V2, of_keys(7, 7))[0] == 200

    def of_driver() -> list[dict[str, Any]]:
        """Rows of that driver: a batch may have others' as well."""
        found = []
        for batch in world.monitor.disk.batches:
            columns = {name: array.ravel().tolist() for name, array in batch.inputs.items()}
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            found += [row for row in rows if row.get("modelward.entity/driver_id") == 7]
        return found

    world.monitor.wait(lambda: len(of_driver()) == 2)
    assert of_driver() == [{"trips": 8, "rating": 0.5, "city": "z", "modelward.entity/driver_id": 7}] * 2
