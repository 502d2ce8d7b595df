"""The endpoints of a process, and a page at /docs that tells of them.

Starlette answers. FastAPI, whose import takes more of the processor than that of all that answers, writes the page
alone, and only once somebody asks for it: every pod starts without it.
"""

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PAGES: Final = ("/docs", "/docs/oauth2-redirect", "/openapi.json")

Handler = Callable[..., Awaitable[Response]]
Added = Callable[[Handler], Handler]
Failed = Callable[[Request, HTTPException], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """`handler` takes parts of the path and of the query by their names, as texts, and the request by its type;
    `documents`: what FastAPI's add_api_route takes to tell of it."""

    path: str
    method: str
    handler: Handler
    documents: Mapping[str, Any] = field(default_factory=dict)


class Endpoints:
    """Collects them; `application` is made of those that are there by then."""

    def __init__(self, title: str, version: str) -> None:
        self._title = title
        self._version = version
        self._all: list[Endpoint] = []

    def get(self, path: str, **documents: Any) -> Added:
        return self._adding(path, "GET", documents)

    def head(self, path: str) -> Added:
        return self._adding(path, "HEAD", {"include_in_schema": False})

    def post(self, path: str, **documents: Any) -> Added:
        return self._adding(path, "POST", documents)

    def put(self, path: str, **documents: Any) -> Added:
        return self._adding(path, "PUT", documents)

    def application(self, failed: Failed, *, redirect_slashes: bool) -> Starlette:
        """`failed` answers for an HTTPException; `redirect_slashes`: whether `/a/` leads to `/a`."""
        pages = _Pages(self._title, self._version, tuple(self._all))
        routes = [Route(path, pages, methods=["GET"]) for path in PAGES]
        app = Starlette(
            routes=[*routes, *map(_route, self._all)],
            exception_handlers={HTTPException: failed},  # type: ignore[dict-item]  # it is told of these alone
        )
        app.router.redirect_slashes = redirect_slashes
        return app

    def _adding(self, path: str, method: str, documents: Mapping[str, Any]) -> Added:
        def added(handler: Handler) -> Handler:
            self._all.append(Endpoint(path, method, handler, documents))
            return handler

        return added


def _route(endpoint: Endpoint) -> Route:
    parameters = inspect.signature(endpoint.handler).parameters

    async def answer(request: Request) -> Response:
        found = {**request.query_params, **request.path_params} if parameters else {}
        given = {name: found[name] for name in parameters if name in found}
        given |= {name: request for name, each in parameters.items() if each.annotation is Request}
        return await endpoint.handler(**given)

    made = Route(endpoint.path, answer, methods=[endpoint.method])
    made.methods = {endpoint.method}  # without the HEAD that Starlette adds to each GET
    return made


class _Pages:
    """The ASGI application of PAGES."""

    def __init__(self, title: str, version: str, endpoints: tuple[Endpoint, ...]) -> None:
        self._of = title, version, endpoints
        self._made: Any = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)  # others are answered meanwhile
        await self._made(scope, receive, send)

    def _make(self) -> Any:
        return importlib.import_module("modelward_inference.serve.documented").documented(*self._of)
