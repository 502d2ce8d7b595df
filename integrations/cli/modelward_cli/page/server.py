"""The page's server: on this machine's loopback alone, for whoever has the address (`guard`), and to be read only.

It holds nothing but the last look, and asks the cluster when a browser asks it: a page that nobody looks at costs
the API server nothing.
"""

import json
import pkgutil
import sys
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

from modelward_cli.page.guard import HOSTS, refusal
from modelward_cli.page.html import POLICY, Asked, page
from modelward_cli.page.looks import Looks
from modelward_cli.page.view import STATES, document, view
from modelward_cli.times import shown

ASSETS: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
PATIENCE: Final = 30.0
"""Seconds for a browser to send its request."""

LONGEST: Final = 253
"""Letters of a name that is asked for."""


class PageServer(ThreadingHTTPServer):
    """`where`: cluster and namespaces, in words; `every`: seconds between two looks; `port`: 0 for a free one."""

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, looks: Looks, where: str, every: float, secret: str, port: int = 0,
                 clock: Callable[[], float] = time.time) -> None:  # fmt: skip
        super().__init__((HOSTS[0], port), _Handler)
        self.looks, self.where, self.every, self.secret, self.clock = looks, where, every, secret, clock

    @property
    def address(self) -> str:
        """Whoever has it may see the page."""
        return f"http://{HOSTS[0]}:{self.server_port}/{self.secret}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away while it is answered is no news; all else is an error of ours, and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = PATIENCE
    server_version, sys_version = "modelward", ""

    def _answer(self) -> None:
        try:
            url = urlsplit(self.path)
        except ValueError:  # half of an address of IPv6
            self._send(400, "text/plain; charset=utf-8", b"This is no address.\n")
            return
        headers: dict[str, Sequence[str]] = {
            name.lower(): self.headers.get_all(name) or [] for name in set(self.headers.keys())
        }
        refused = refusal(self.command, url.path, headers, self.server.server_port, self.server.secret)
        if refused is not None:
            self._send(refused.status, "text/plain; charset=utf-8", f"{refused.message}\n".encode())
            return
        name = url.path.split("/", 2)[2]
        if name == "":
            self._send(200, "text/html; charset=utf-8", self._page(url.query))
        elif name == "fleet.json":
            self._send(200, "application/json", self._json(url.query))
        elif name in ASSETS:
            self._send(200, ASSETS[name], pkgutil.get_data("modelward_cli.page", f"assets/{name}") or b"")
        else:
            self._send(404, "text/plain; charset=utf-8", b"There is no such page.\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def _page(self, query: str) -> bytes:
        asked, look, served = _asked(query), self.server.looks.look(), self.server
        seen = None if look.found is None else view(look.found, asked.wanted, asked.state)
        return page(
            served.where, asked, seen, look.trails or {}, look.asof, look.problem, served.clock(), served.every
        )  # fmt: skip

    def _json(self, query: str) -> bytes:
        asked, look = _asked(query), self.server.looks.look()
        if look.found is None:
            told = {"schemaVersion": 1, "asOf": None, "problem": look.problem, "models": None}
        else:
            told = document(view(look.found, asked.wanted, asked.state), shown(look.asof), look.problem)
        return json.dumps(told, indent=2).encode()

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Addresses have the word in them, and are for no log."""


def _asked(query: str) -> Asked:
    told = parse_qs(query, max_num_fields=10) if query.count("&") < 10 else {}
    state = told.get("state", [""])[0]
    return Asked(told.get("q", [""])[0].strip()[:LONGEST], state if state in STATES else "")
