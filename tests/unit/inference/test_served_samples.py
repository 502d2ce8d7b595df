"""Samples over both protocols, on real sockets: the same requests, whoever serves them and however they end."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from modelward_inference.serve.grpc_api.server import GrpcServer
from modelward_inference.serve.state import State

from .grpc_api.served import DEADLINE, MAX_BODY, Gate
from .malformed import GOOD
from .queueing import count
from .rest_process import ask, serving
from .test_served_queue import RestOnSocket, answered

SAMPLES = "/modelward/samples"


@pytest_asyncio.fixture
async def rest() -> AsyncIterator[RestOnSocket]:
    served = RestOnSocket(Gate())
    served.gate.open.set()
    yield served
    await served.stop()


async def asked(rest: RestOnSocket, query: str = "") -> tuple[int, Any]:
    status, body = await answered(await rest.ask(path=SAMPLES + query))
    return status, json.loads(body)


async def found(rest: RestOnSocket) -> list[tuple[Any, Any]]:
    """Outputs and error of each sample."""
    status, page = await asked(rest)
    assert status == 200
    return [(sample["outputs"], sample["error"]) for sample in page["samples"]]


async def test_nobody_pays_while_nobody_asks(rest: RestOnSocket) -> None:
    kept = count("samples_total")
    assert (await answered(await rest.ask(x_request_id="before")))[0] == 200
    assert not rest.plane.samples.active
    assert await found(rest) == []
    assert (await answered(await rest.ask(x_request_id="behind")))[0] == 200
    assert await found(rest) == [({"y": [[0.0]]}, None)]
    assert count("samples_total") == kept + 1


async def test_every_answer_over_rest_is_a_sample_if_it_has_an_id(rest: RestOnSocket) -> None:
    await asked(rest)
    statuses = [
        (await answered(await rest.ask(**headers)))[0]
        for headers in (
            {"rows": 2, "x_request_id": "a"}, {}, {"x_request_id": ""},
            {"x_request_id": "b", "x_envoy_expected_rq_timeout_ms": "soon"},
            {"x_request_id": "c", "x_envoy_expected_rq_timeout_ms": "0"},
            {"x_request_id": "d", "content_type": "text/html"},
        )
    ]  # fmt: skip
    assert statuses == [200, 200, 200, 400, 504, 415]
    assert await found(rest) == [({"y": [[0.0], [1.0]]}, None), (None, "400"), (None, "504"), (None, "415")]


async def test_both_protocols_of_a_server_have_the_same_samples(rest: RestOnSocket) -> None:
    epoch = (await asked(rest))[1]["epoch"]
    request = pb.ModelInferRequest(model_name="m")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(5)
    wrong = pb.ModelInferRequest(model_name="other")
    server = GrpcServer(rest.plane, State(), 0, MAX_BODY, "127.0.0.1")
    async with server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        await infer(request, timeout=DEADLINE)
        await infer(request, timeout=DEADLINE, metadata=[("x-request-id", "a")])
        with pytest.raises(grpc.RpcError):
            await infer(wrong, timeout=DEADLINE, metadata=[("x-request-id", "b")])
    assert (await answered(await rest.ask(x_request_id="a")))[0] == 200
    page = (await asked(rest))[1]
    first, second, third = page["samples"]
    assert (first["outputs"], second["error"], third["outputs"]) == ({"y": [[5.0]]}, "NOT_FOUND", {"y": [[0.0]]})
    assert (first["id"], first["hash"]) == (third["id"], third["hash"])
    assert (page["epoch"], page["next"], page["level"]) == (epoch, 3, 0)
    assert (await asked(rest, "?after=2"))[1]["samples"] == [third]


@pytest.mark.parametrize("query", ["x", "-1", "1.5", "", "%20", "9" * 19, "1&after=x"])
async def test_a_number_that_is_none_is_told(rest: RestOnSocket, query: str) -> None:
    status, answer = await asked(rest, f"?after={query}")
    assert status == 400
    assert "set it to the last answer's `next`, or to 0" in answer["error"]


async def test_the_page_of_the_interface_tells_of_samples(rest: RestOnSocket) -> None:
    status, body = await answered(await rest.ask(path="/openapi.json"))
    assert status == 200
    told = json.loads(body)["paths"][SAMPLES]["get"]
    assert [parameter["name"] for parameter in told["parameters"]] == ["after"]
    assert set(told["responses"]) == {"200", "400", "401"}


def test_two_processes_choose_the_same_requests_and_have_epochs_of_their_own(tmp_path: Path) -> None:
    pages = []
    for name in ("stable", "candidate"):
        (tmp_path / name).mkdir()
        with serving(tmp_path / name, PYTHONHASHSEED=str(len(name))) as process:
            url = f"http://127.0.0.1:{process.port}{SAMPLES}"
            urlopen(url, timeout=DEADLINE).close()
            for number in range(5):
                assert ask(process, GOOD, x_request_id=f"request-{number}")[0] == 200
            with urlopen(url, timeout=DEADLINE) as answer:
                pages.append(json.load(answer))
    assert pages[0]["samples"] == pages[1]["samples"]
    assert pages[0]["samples"][0]["outputs"] == {"echo": ["a"], "same": [7]}
    assert len({sample["id"] for sample in pages[0]["samples"]}) == 5
    assert pages[0]["epoch"] != pages[1]["epoch"]
