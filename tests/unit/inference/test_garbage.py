"""A request leaves nothing to the garbage collector: its passes hold up all requests, and the slowest wait for them."""

import asyncio
import gc
import socket

import pytest

from modelward_inference.serve.process import Settings, rest_server
from modelward_inference.serve.rest import Rest, State

from .grpc_api.served import MAX_BODY, Identity, data_plane
from .queueing import DEADLINE

REQUESTS = 50
GOOD = b'{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}'
ASKED = {
    "good": (b"POST /v2/models/m/infer", GOOD),
    "refused": (b"POST /v2/models/m/infer", b"{}"),
    "refused by the model": (b"POST /v2/models/m/infer", GOOD.replace(b"[1, 1]", b"[1]")),
    "V1": (b"POST /v1/models/m:predict", b'{"instances": [[1.5]]}'),
    "a probe": (b"GET /v2/health/live", b""),
}


@pytest.mark.parametrize("case", ASKED)
async def test_a_request_leaves_no_cycle(case: str) -> None:
    line, body = ASKED[case]
    listening = socket.create_server(("127.0.0.1", 0))
    server = rest_server(
        Rest(data_plane(Identity("FP32")), State(), MAX_BODY), State(), Settings.from_environment(1, {})
    )
    task = asyncio.ensure_future(server.serve(sockets=[listening]))
    reader, writer = await asyncio.open_connection(*listening.getsockname())

    async def ask() -> None:
        writer.write(b"%s HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%s" % (line, len(body), body))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE)
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))

    for _ in range(REQUESTS):
        await ask()
    gc.collect()
    gc.disable()
    try:
        for _ in range(REQUESTS):
            await ask()
        left = gc.collect()
    finally:
        gc.enable()
    writer.close()
    server.should_exit = True
    await asyncio.wait_for(task, DEADLINE)
    assert left < REQUESTS
