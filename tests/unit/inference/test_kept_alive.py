"""A connection stays for a while after an answer, whether or not another request comes; then it is closed."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from modelward_inference.serve.http import SlowClients
from modelward_inference.serve.process import DrainingServer, Settings, rest_server
from modelward_inference.serve.rest import Rest, State

from .grpc_api.served import DEADLINE, MAX_BODY, Gate, Identity, data_plane

GOOD = b'{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}'
HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % len(GOOD)
KEEP_ALIVE = 5.0


class Client:
    """One connection to a server that the test's own clock looks after."""

    def __init__(self, server: DrainingServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self.send = writer.write
        self._clients = SlowClients(server.server_state, 1e9, KEEP_ALIVE)

    def at(self, second: float) -> None:
        self._clients.sweep(second)

    async def status(self) -> int:
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), DEADLINE)
        await self._reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        return int(head.split()[1])

    async def is_over(self) -> bool:
        return await asyncio.wait_for(self._reader.read(), DEADLINE) == b""

    async def until_used(self) -> None:
        """Until the server has seen the beginning of the next request."""
        (connection,) = self._server.server_state.connections
        async with asyncio.timeout(DEADLINE):
            while connection.unused() is not None:  # type: ignore[union-attr]
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def connected(model: Identity) -> AsyncIterator[Client]:
    listening = socket.create_server(("127.0.0.1", 0))
    settings = Settings.from_environment(1, {})
    server = rest_server(Rest(data_plane(model), State(), MAX_BODY), State(), settings)
    task = asyncio.ensure_future(server.serve(sockets=[listening]))
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    try:
        yield Client(server, reader, writer)
    finally:
        writer.close()
        server.should_exit = True
        await asyncio.wait_for(task, DEADLINE)


async def test_it_is_closed_when_no_other_request_comes() -> None:
    async with connected(Identity("FP32")) as client:
        client.send(HEAD + GOOD)
        assert await client.status() == 200
        client.at(0)
        client.at(KEEP_ALIVE)
        client.send(HEAD + GOOD)
        assert await client.status() == 200
        client.at(KEEP_ALIVE + 1)
        client.at(2 * KEEP_ALIVE + 1)
        client.send(HEAD + GOOD)
        assert await client.status() == 200
        client.at(3 * KEEP_ALIVE)
        client.at(4 * KEEP_ALIVE + 1)
        assert await client.is_over()


async def test_it_is_not_closed_below_a_request_that_has_begun() -> None:
    async with connected(Identity("FP32")) as client:
        client.send(HEAD + GOOD)
        assert await client.status() == 200
        client.at(0)
        for part in (HEAD[:4], HEAD[4:] + GOOD[:5]):
            client.send(part)
            await client.until_used()
            client.at(10 * KEEP_ALIVE)
            client.at(20 * KEEP_ALIVE)
        client.send(GOOD[5:])
        assert await client.status() == 200


async def test_it_is_not_closed_while_the_model_is_at_work() -> None:
    gate = Gate()
    async with connected(gate) as client:
        client.send(HEAD + GOOD)
        assert await asyncio.to_thread(gate.began.wait, DEADLINE)
        client.at(0)
        client.at(10 * KEEP_ALIVE)
        gate.open.set()
        assert await client.status() == 200
