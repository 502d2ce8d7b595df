"""A receiver of OpenLineage events that takes what the official schemas allow, and nothing else.

No Marquez: it is a server in Java with a database of its own, and there is no image to be had here. It judges each
event by the schemas beside this file, and each facet by the one that its `_schemaURL` names, which Marquez does not.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.test_utils import TestServer
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

HERE = Path(__file__).parent
OWN = HERE.parents[1] / "docs/openlineage/ModelwardModelRunFacet.json"
_SCHEMAS = [json.loads(path.read_text()) for path in (*sorted(HERE.glob("*.json")), OWN)]
_REGISTRY: Any = Registry().with_resources([(each["$id"], Resource.from_contents(each)) for each in _SCHEMAS])
_FORMATS = FormatChecker(["uuid"])


@_FORMATS.checks("date-time", ValueError)
def _is_time(value: object) -> bool:
    return datetime.fromisoformat(str(value)).tzinfo is not None and "T" in str(value)


@_FORMATS.checks("uri", ValueError)
def _is_uri(value: object) -> bool:
    return bool(urlsplit(str(value)).scheme) and str(value).isascii() and " " not in str(value)


def problems(event: Mapping[str, Any]) -> list[str]:
    """What of an event is against the specification."""
    found = list(_against(str(event.get("schemaURL")), event))
    for name, value in _facets(event):
        found += [f"{name}: {each}" for each in _against(str(value.get("_schemaURL")), value)]
    return found


def _against(reference: str, value: object) -> Iterator[str]:
    validator = Draft202012Validator({"$ref": reference}, registry=_REGISTRY, format_checker=_FORMATS)
    yield from (f"{each.json_path}: {each.message}" for each in validator.iter_errors(value))


def _facets(event: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for part in (event["run"], event["job"], *event.get("inputs", ()), *event.get("outputs", ())):
        yield from part.get("facets", {}).items()


@dataclass
class Receiver:
    """`async with Receiver() as lineage:`; `lineage.url`. `events`: that were taken, in their order; `problems`: of
    what was not; `instead`: answers in the place of what is held; `asked`: how often."""

    events: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    instead: Callable[[dict[str, Any]], web.Response | None] = lambda _: None
    asked: int = 0
    port: int = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/api/v1/lineage", self._take)
        self._server = TestServer(app, host="127.0.0.1", port=self.port or None)
        await self._server.start_server()
        self.port = self._server.port or 0
        self.url = str(self._server.make_url("/api/v1/lineage"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.close()

    def types(self, run: str | None = None) -> list[str]:
        return [each["eventType"] for each in self.events if run in (None, each["run"]["runId"])]

    async def _take(self, request: web.Request) -> web.Response:
        self.asked += 1
        self.headers = dict(request.headers)
        event = await request.json()
        refused = self.instead(event)
        if refused is not None:
            return refused
        found = problems(event)
        if found:
            self.problems += found
            return web.json_response({"errors": found}, status=422)
        self.events.append(event)
        return web.Response(status=201)
