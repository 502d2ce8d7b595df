"""A Service's cluster IP on loopback: each new connection goes to one of the pods, at random, as kube-proxy has it.

A connection stays where it went. Pods may come and go: one that left gets no new connection.
"""

import asyncio
import random
import threading
from typing import Self


class Balancer:
    """`with` it to have it listen on `port`; `pods`: the ports of those that get new connections; `opened`: how
    many there were."""

    def __init__(self, *pods: int, seed: int = 0) -> None:
        self.pods = list(pods)
        self.opened = 0
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._open: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)

    async def _end(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.opened += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._random.choice(self.pods))
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        except OSError:
            writer.close()
        finally:
            self._open.discard(task)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Until one side ends."""
    try:
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()
