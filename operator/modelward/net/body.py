"""The session for everything that is not the API server, and bodies of its answers, whole and bounded.

Nobody who answers is believed: 300 kB of gzip may be gigabytes, so nothing is unpacked; and each call says
`allow_redirects=False`, so that no answer sends the operator elsewhere. aiohttp's `content.read(n)` gives what has come
so far, maybe a first piece; these functions give all, or say that it is too much.
"""

from collections.abc import Callable

import aiohttp


def open_session() -> aiohttp.ClientSession:
    """Asks for plain bodies, and takes them as they come. It keeps no cookies: what one tenant's pod or service sets,
    for the whole cluster domain even, is sent to nobody.

    It has as many connections as are asked for: with one limit for all, the mute pods of one tenant, each of which
    holds a connection for its time-out, would keep everybody else waiting. The limits are by namespace (budget.py).
    """
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(
        connector=connector, auto_decompress=False, headers={"Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )  # fmt: skip


async def read_up_to(content: aiohttp.StreamReader, most: int, heard: Callable[[int], None] = lambda _: None) -> bytes:
    """The body, or its first `most` bytes where it has more. `heard`: is told the bytes of each piece."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        heard(len(chunk))
        if len(body) >= most:
            break
    return bytes(body[:most])


async def read(content: aiohttp.StreamReader, most: int, heard: Callable[[int], None] = lambda _: None) -> bytes:
    """The whole body. Raises ValueError where it has more than `most` bytes."""
    body = await read_up_to(content, most + 1, heard)
    if len(body) > most:
        raise ValueError(f"more than {most} bytes")
    return body
