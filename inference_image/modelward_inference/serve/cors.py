"""Requests of web pages from other origins (CORS): only where the installation names the origins.

Starlette's middleware decides and writes the headers; this gives it what a browser may ask of the protocol, and takes
the short cut of `http.EXCHANGE` away from the requests that it has to write headers for.
"""

import re
from collections.abc import Sequence
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.serve import http, identity

EVERY = "*"

MAX_AGE = 600
"""Seconds that a browser may keep the answer to its question (a preflight): the longest that all of them heed."""

HEADERS = ("content-type", "content-encoding", "inference-header-content-length", "x-request-id", "traceparent",
           "tracestate")  # fmt: skip
"""Of requests, beyond those that every origin may send; `authorization` is for what stands in front of the server."""

EXPOSED = ("inference-header-content-length", "x-request-id", identity.REVISION, identity.VERSION, "retry-after")
"""Of answers: what a page's script may read."""

_ORIGIN = re.compile(r"https?://([a-z0-9.\-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
"""As browsers write them: in small letters."""


def origins(text: str) -> tuple[str, ...]:
    """Origins of a list with commas, such as `https://app.example.com,http://localhost:3000`, or `*` for every one.
    Raises InvalidConfiguration."""
    found = tuple(each.strip() for each in text.split(",") if each.strip())
    if found != (EVERY,) and not all(map(_ORIGIN.fullmatch, found)):
        raise InvalidConfiguration(
            f"ALLOW_ORIGINS is {text!r}; set it to origins such as https://app.example.com (scheme, host and port, no "
            "path) with commas between them, or to * alone for every one"
        )
    return found


class Cors:
    """An ASGI application around another one."""

    def __init__(self, app: Any, allowed: Sequence[str]) -> None:
        self._app = app
        self._browsers = CORSMiddleware(
            app,
            allow_origins=allowed,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=(*HEADERS, "authorization"),
            expose_headers=EXPOSED,
            max_age=MAX_AGE,
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not any(name == b"origin" for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        extensions = {name: value for name, value in (scope.get("extensions") or {}).items() if name != http.EXCHANGE}
        await self._browsers({**scope, "extensions": extensions}, receive, send)
