"""Web pages of other origins: what a browser asks before, what it lets a script read, and nothing for anybody else."""

import json
import math

import pytest

from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.serve.cors import Cors
from modelward_inference.serve.rest import Rest, State

from .grpc_api.served import Echo
from .test_requests import MANIFEST, MAX_BODY, SIGNATURE, call

PAGE = "https://app.example.com"


def server(*allowed: str) -> Cors:
    return Cors(Rest(DataPlane(Echo(), MANIFEST, "1", workers=1, max_waiting=0), State(), MAX_BODY), allowed)


@pytest.fixture(scope="module")
def body() -> bytes:
    values = {"BYTES": "a", "BOOL": True}
    tensors = [
        {"name": tensor.name, "shape": shape, "datatype": tensor.datatype, "data": [value] * math.prod(shape)}
        for tensor in SIGNATURE.inputs
        for shape, value in [([max(size, 1) for size in tensor.shape], values.get(tensor.datatype, 1))]
    ]
    return json.dumps({"inputs": tensors}).encode()


async def test_a_browsers_question_is_answered(body: bytes) -> None:
    asked = {"origin": PAGE, "access_control_request_method": "POST"}
    asked["access_control_request_headers"] = "content-type,inference-header-content-length"
    status, _, headers = await call(server(PAGE), b"", method="OPTIONS", **asked)
    assert status == 200
    assert headers["access-control-allow-origin"] == PAGE
    assert "POST" in headers["access-control-allow-methods"]
    assert "inference-header-content-length" in headers["access-control-allow-headers"].lower()
    status, _, headers = await call(server(PAGE), body, origin=PAGE)
    assert (status, headers["access-control-allow-origin"]) == (200, PAGE)
    assert "origin" in headers["vary"].lower()


@pytest.mark.parametrize("path", ["/v2/models/m", "/v2/health/ready", "/v1/models"])
async def test_what_is_no_inference_has_the_headers_too(path: str) -> None:
    _, _, headers = await call(server("*"), b"", path=path, method="GET", origin=PAGE)
    assert headers["access-control-allow-origin"] == "*"


async def test_errors_can_be_read_by_the_page(body: bytes) -> None:
    status, _, headers = await call(server(PAGE), b"{", origin=PAGE)
    assert (status, headers["access-control-allow-origin"]) == (400, PAGE)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example.com", f"{PAGE}.evil.example", "null"])
async def test_another_origin_gets_no_header(origin: str, body: bytes) -> None:
    status, _, headers = await call(
        server(PAGE), b"", method="OPTIONS", origin=origin, access_control_request_method="POST"
    )
    assert status == 400
    assert "access-control-allow-origin" not in headers
    _, _, headers = await call(server(PAGE), body, origin=origin)
    assert "access-control-allow-origin" not in headers


async def test_who_is_no_browser_sees_no_difference(body: bytes) -> None:
    plain = server(PAGE)
    assert (await call(plain, body))[0] == 200
    assert not [name for name in (await call(plain, body))[2] if name.startswith("access-control")]
