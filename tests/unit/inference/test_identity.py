"""Whose answer it is: in the headers of every answer by REST, and in the metadata of every one by gRPC."""

import contextlib
import http.client
import socket
from collections.abc import Iterator

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.grpc import service_pb2 as pb

from modelward.rollouts.evidence.scrape import server_counts
from modelward_inference.serve import identity

from .grpc_api.served import DEADLINE, Echo, Served
from .grpc_api.test_bad_requests import INFER, raw
from .rest_process import Process, serving

TOLD = {identity.REVISION: "fraud-7c1", identity.VERSION: "7"}
SETTINGS = {"MODEL_REVISION": "fraud-7c1", "MODEL_REGISTRY_VERSION": "7"}

X = (
    b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}, '
    b'{"name": "kind", "shape": [1], "datatype": "BYTES", "data": ["a"]}, '
    b'{"name": "count", "shape": [1], "datatype": "INT8", "data": [1]}]}'
)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with serving(tmp_path_factory.mktemp("bundle"), OPERATOR_UNAUTHENTICATED="false", MAX_HEADER_BYTES="1024",
                 ALLOW_ORIGINS="*", **SETTINGS) as made:  # fmt: skip
        yield made


def told(answer: http.client.HTTPResponse) -> dict[str, str]:
    return {name: ", ".join(answer.headers.get_all(name, ())) for name in TOLD}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v2/models/m/infer", X, 200), ("POST", "/v2/models/m/infer", b"{", 400),
        ("POST", "/v2/models/other/infer", X, 404), ("GET", "/v2/models/m", b"", 200), ("GET", "/nothing", b"", 404),
        ("GET", "/modelward/samples", b"", 401), ("PUT", "/v2/models/m/infer", X, 405), ("HEAD", "/", b"", 200),
    ],
)  # fmt: skip
def test_every_answer_by_rest_says_whose_it_is_and_says_it_once(
    process: Process, method: str, path: str, body: bytes, status: int
) -> None:
    for headers in ({}, {"origin": "https://a.b"}, dict.fromkeys(TOLD, "forged")):
        with contextlib.closing(process.connection()) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            assert (answer.status, told(answer)) == (status, TOLD), answer.read()


@pytest.mark.parametrize(
    ("head", "status"), [(b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\na: " + b"b" * 2000, 431)]
)
def test_what_is_no_request_is_answered_by_somebody_too(process: Process, head: bytes, status: int) -> None:
    with socket.create_connection(process.address, DEADLINE) as connection:
        connection.sendall(head)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, told(answer)) == (status, TOLD)


def test_a_page_may_read_whose_answer_it_is(process: Process) -> None:
    with contextlib.closing(process.connection()) as connection:
        connection.request("GET", "/v2/models/m", headers={"origin": "https://a.b"})
        exposed = str(connection.getresponse().headers["access-control-expose-headers"])
    assert set(TOLD) <= {name.strip() for name in exposed.split(",")}


def test_every_metric_says_of_which_revision_it_is(process: Process) -> None:
    with contextlib.closing(process.connection()) as connection:
        connection.request("POST", "/v2/models/m/infer", X)
        assert connection.getresponse().read()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    assert {each.labels["revision"] for each in samples} == {"fraud-7c1"}
    (counted,) = [each for each in samples if each.name == "modelward_inference_compute_duration_seconds_count"]
    assert (set(counted.labels), counted.value > 0) == ({"model", "version", "revision"}, True)
    assert server_counts(text, slo=1.0).requests > 0, "the operator reads them as before"


def test_every_answer_by_grpc_says_whose_it_is() -> None:
    with Served(Echo(), headers=tuple(TOLD.items())) as served, grpc.insecure_channel(served.address) as channel:
        infer = channel.unary_unary(INFER)
        _, good = infer.with_call(raw().SerializeToString(), timeout=DEADLINE, metadata=tuple(TOLD.items()))
        assert TOLD.items() <= dict(good.trailing_metadata()).items()
        with pytest.raises(grpc.RpcError) as caught:
            infer(b"no message", timeout=DEADLINE)
        assert TOLD.items() <= dict(caught.value.trailing_metadata()).items()
        ready = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")
        request = pb.ModelReadyRequest(name="m").SerializeToString()
        _, other = ready.with_call(request, timeout=DEADLINE)
        assert TOLD.items() <= dict(other.trailing_metadata()).items()


def test_a_server_that_stands_alone_says_nothing() -> None:
    assert identity.headers("", "") == ()
    with Served(Echo()) as served, grpc.insecure_channel(served.address) as channel:
        _, call = channel.unary_unary(INFER).with_call(raw().SerializeToString(), timeout=DEADLINE)
    assert not TOLD.keys() & dict(call.trailing_metadata()).keys()
