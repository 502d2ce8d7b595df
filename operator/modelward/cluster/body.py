"""Bodies of answers, whole and bounded: aiohttp's `content.read(n)` gives what has come so far, maybe a first piece."""

import aiohttp


async def read_up_to(content: aiohttp.StreamReader, most: int) -> bytes:
    """The body, or its first `most` bytes where it has more."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) >= most:
            break
    return bytes(body[:most])


async def read(content: aiohttp.StreamReader, most: int) -> bytes:
    """The whole body. Raises ValueError where it has more than `most` bytes."""
    body = await read_up_to(content, most + 1)
    if len(body) > most:
        raise ValueError(f"more than {most} bytes")
    return body
