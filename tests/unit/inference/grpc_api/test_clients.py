"""The clients that people use, as they come: Triton's, KServe's, gRPC's own for health and reflection."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client import REGISTRY
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

from modelward_inference import __version__
from modelward_inference.serve.grpc_api import server as grpc_api
from modelward_inference.serve.rest import State

from .served import MAX_BODY, Echo, Identity, Served, data_plane

TENSORS: dict[str, np.ndarray[Any, Any]] = {
    "BOOL": np.array([[True, False], [False, True]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT16": np.array([[0, 2**16 - 1]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-(2**15), 2**15 - 1]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1]], np.int64),
    "FP16": np.array([[1.5, np.nan, -np.inf]], np.float16),
    "FP32": np.array([[1.5, np.nan, np.inf], [-0.0, 1e-40, 3e38]], np.float32),
    "FP64": np.array([[1.5, np.nan, np.inf], [-0.0, 5e-324, 1e308]], np.float64),
    "BYTES": np.array([["", "ü", "a\0b"]], object),
}
CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(Echo()) as served:
        yield served


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(served.address) as client:
        yield client


def tensor(name: str, datatype: str, values: Any, kind: Any = triton) -> Any:
    made = kind.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values)
    return made


def echo_inputs(text: str = "a", kind: Any = triton) -> list[Any]:
    return [
        tensor("x", "FP32", np.array([[1.5, 2.5]], np.float32), kind),
        tensor("kind", "BYTES", np.array([text], object), kind),
        tensor("count", "INT8", np.array([7], np.int8), kind),
    ]


@pytest.mark.parametrize("datatype", TENSORS)
def test_triton_gets_every_datatype_back_as_it_went(datatype: str) -> None:
    sent = TENSORS[datatype]
    with Served(Identity(datatype)) as served, triton.InferenceServerClient(served.address) as client:
        result = client.infer("m", [tensor("x", datatype, sent)])
        answer = result.get_response()
        back = result.as_numpy("y")
    assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == (datatype, list(sent.shape))
    assert len(answer.raw_output_contents) == 1
    if datatype == "BYTES":
        back = np.array([[value.decode() for value in back[0]]], object)
    np.testing.assert_array_equal(back, sent)


@pytest.mark.parametrize("datatype", CONTENTS)
def test_typed_contents_come_back_typed_and_raw(datatype: str) -> None:
    """Typed for the stubs of KServe and MLServer, raw for those of Triton."""
    sent = TENSORS[datatype]
    values = [value.encode() for value in sent.flat] if datatype == "BYTES" else sent.ravel().tolist()
    request = pb.ModelInferRequest(model_name="m", id="7")
    given = request.inputs.add(name="x", datatype=datatype, shape=sent.shape)
    getattr(given.contents, CONTENTS[datatype]).extend(values)
    with Served(Identity(datatype)) as served, grpc.insecure_channel(served.address) as channel:
        answer = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    output = answer.outputs[0]
    back = list(getattr(output.contents, CONTENTS[datatype]))
    assert (answer.id, output.name, output.datatype, list(output.shape)) == ("7", "y", datatype, list(sent.shape))
    np.testing.assert_array_equal(back, values)
    raw = triton.InferResult(answer).as_numpy("y")
    expected = np.array([[value.encode() for value in sent.flat]], object) if datatype == "BYTES" else sent
    np.testing.assert_array_equal(raw, expected.reshape(sent.shape))


def test_a_parameter_without_a_value_is_none() -> None:
    request = pb.ModelInferRequest(model_name="m")
    request.parameters["p"].SetInParent()
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(1.5)
    with Served(Identity("FP32")) as served, grpc.insecure_channel(served.address) as channel:
        answer = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert list(answer.outputs[0].contents.fp32_contents) == [1.5]


@pytest.mark.parametrize("datatype", ["FP32", "BOOL", "INT8", "BYTES"])
def test_an_empty_tensor_needs_no_contents(datatype: str) -> None:
    request = pb.ModelInferRequest(model_name="m")
    request.inputs.add(name="x", datatype=datatype, shape=[0, 3])
    with Served(Identity(datatype)) as served, grpc.insecure_channel(served.address) as channel:
        answer = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert list(answer.outputs[0].shape) == [0, 3]


def test_fields_of_a_newer_protocol_are_passed_over() -> None:
    request = pb.ModelInferRequest(model_name="m")
    given = request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    given.contents.fp32_contents.extend([1.5, 2.5])
    given.contents.MergeFromString(b"\xa2\x06\x03new")
    with Served(Identity("FP32")) as served, grpc.insecure_channel(served.address) as channel:
        answer = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert list(answer.outputs[0].contents.fp32_contents) == [1.5, 2.5]


def test_fp16_has_no_typed_form_and_comes_raw() -> None:
    class Halves(Identity):
        def predict(self, inputs: Any, outputs: Any) -> Any:
            return {name: inputs["x"].astype(np.float16) for name in outputs}

    request = pb.ModelInferRequest(model_name="m")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(1.5)
    with Served(Halves("FP32")) as served, grpc.insecure_channel(served.address) as channel:
        answer = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert answer.outputs[0].datatype == "FP16"
    assert answer.raw_output_contents[0] == np.array([1.5], "<f2").tobytes()


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_triton_infers(client: triton.InferenceServerClient, compression: str | None) -> None:
    result = client.infer(
        "m", echo_inputs(), model_version="1", request_id="7", compression_algorithm=compression,
        outputs=[triton.InferRequestedOutput("sum")], parameters={"a": 1, "b": "c", "d": True, "e": 0.5},
        priority=1, timeout=1_000_000,
    )  # fmt: skip
    answer = result.get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "1", "7")
    assert [output.name for output in answer.outputs] == ["sum"]
    np.testing.assert_array_equal(result.as_numpy("sum"), [4.0])


async def test_tritons_asyncio_client_infers() -> None:
    serving = grpc_api.GrpcServer(data_plane(Echo()), State(), 0, MAX_BODY, "127.0.0.1")
    async with serving as server, triton_aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        result = await client.infer("m", echo_inputs(kind=triton_aio))
        assert await client.is_server_ready()
    assert result.as_numpy("echo").tolist() == [b"a"]


def test_triton_asks_for_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1")
    about = client.get_server_metadata()
    assert (about.name, about.version) == ("modelward", __version__)
    model = client.get_model_metadata("m", as_json=True)
    assert model["versions"] == ["1"]
    assert model["platform"] == "onnx_onnxv1"
    assert model["inputs"][0] == {"name": "x", "datatype": "FP32", "shape": ["-1", "2"]}
    assert [output["name"] for output in model["outputs"]] == ["sum", "echo"]


@pytest.mark.parametrize(("name", "version"), [("other", ""), ("m", "2")])
def test_triton_is_told_what_is_not_here(client: triton.InferenceServerClient, name: str, version: str) -> None:
    for ask in (client.get_model_metadata, client.is_model_ready):
        with pytest.raises(InferenceServerException, match=rf"\[StatusCode.NOT_FOUND\] .*model '{name}'"):
            ask(name, version)


def test_a_model_that_raises_is_no_mistake_of_the_client(
    client: triton.InferenceServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    labels = {"model": "m", "version": "1", "protocol": "grpc", "code": "INTERNAL"}
    before = REGISTRY.get_sample_value("modelward_inference_request_duration_seconds_count", labels) or 0.0
    with pytest.raises(InferenceServerException, match=r"\[StatusCode.INTERNAL\] the model failed: .*told to"):
        client.infer("m", echo_inputs("fail"), headers={"x-request-id": "r-1"})
    assert [record.request_id for record in caplog.records if hasattr(record, "request_id")] == ["r-1"]
    assert REGISTRY.get_sample_value("modelward_inference_request_duration_seconds_count", labels) == before + 1


def test_who_comes_too_many_is_told_to_come_again() -> None:
    refused = pytest.raises(InferenceServerException, match=r"\[StatusCode.RESOURCE_EXHAUSTED\] .*try again")
    with Served(Echo(), max_waiting=-1) as served, triton.InferenceServerClient(served.address) as client, refused:
        client.infer("m", echo_inputs())


KSERVE = Path(__file__).with_name("kserve_client.py")


def test_kserves_client(served: Served) -> None:
    # In a process of its own: its messages have the names of Triton's, and protobuf takes a name once a process.
    done = subprocess.run(
        [sys.executable, str(KSERVE), served.address], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ready", "sum=[4.0]", "raw=[4.0]", "refused=INVALID_ARGUMENT"]


@pytest.mark.parametrize("service", ["", "inference.GRPCInferenceService"])
def test_health_checks(served: Served, service: str) -> None:
    with grpc.insecure_channel(served.address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_health_of_a_stranger_is_not_found(served: Served) -> None:
    with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="other"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_tells_of_every_service_and_message(served: Served) -> None:
    with grpc.insecure_channel(served.address) as channel:
        told = ProtoReflectionDescriptorDatabase(channel)
        assert set(told.get_services()) == {
            "inference.GRPCInferenceService", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection",
        }  # fmt: skip
        file = told.FindFileContainingSymbol("inference.GRPCInferenceService")
        assert "ModelInferRequest" in {message.name for message in file.message_type}
        assert told.FindFileContainingSymbol("grpc.health.v1.Health").package == "grpc.health.v1"


def test_tritons_other_questions_are_answered(client: triton.InferenceServerClient) -> None:
    before = client.get_inference_statistics("m", as_json=True)["model_stats"][0]
    client.infer("m", echo_inputs())
    with pytest.raises(InferenceServerException):
        client.infer("m", echo_inputs()[:1])
    after = client.get_inference_statistics("m", "1", as_json=True)["model_stats"][0]

    def count(stats: Any, what: str) -> int:
        return int(stats["inference_stats"].get(what, {}).get("count", 0))

    for what in ("success", "fail", "compute_infer", "queue"):
        assert count(after, what) == count(before, what) + 1
    assert int(after["inference_count"]) > 0
    config = client.get_model_config("m", as_json=True)["config"]
    assert config["input"][0] == {"name": "x", "data_type": "TYPE_FP32", "dims": ["2"]}
    assert config["max_batch_size"] == 256
    models = client.get_model_repository_index(as_json=True)["models"]
    assert models == [{"name": "m", "version": "1", "state": "READY"}]
    with pytest.raises(InferenceServerException, match="there is no model 'other' here"):
        client.get_model_config("other")
    assert client.get_model_metadata("m", as_json=True)["name"] == "m"
