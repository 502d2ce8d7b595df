"""An API server as pipelines see one: TLS, a token, objects, field managers of spec.model, and the real one's words.

A stand-in, for the speed of a unit test; tests/api/test_pipelines.py asks the real one the same.
"""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from certificates import made
from modelward_cli.direct import Direct
from threaded import answering

TOKEN = "t0k3n-of-the-pipeline"
PREFIX = "/apis/modelward.io/v1alpha1/namespaces/ml/"


class ApiServer:
    """`objects`: by plural and name; `owners`: of each field of spec.model, whose it is; `broken`: answers to come
    before any other, as (HTTP code, body); `completes`: a batch is done as soon as it is created."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Any] = {}
        self.owners: dict[str, str] = {}
        self.broken: list[tuple[int, bytes]] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.location = ""
        self.completes = False
        self.url = ""
        self.authority = ""

    def holds(self, plural: str, *bodies: Any) -> None:
        for body in bodies:
            self.objects[plural, body["metadata"]["name"]] = body

    def cluster(self, token: str = TOKEN) -> Direct:
        return Direct(self.url, "ml", token, certificate_authority=self.authority)

    def writes(self) -> list[tuple[str, str, Any]]:
        return [each for each in self.requests if each[0] != "GET"]

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        plural, _, name = path.removeprefix(PREFIX).partition("/")
        found = self.objects.get((plural, name))
        if method == "GET" and not name:
            return 200, {"items": [each for (kind, _), each in self.objects.items() if kind == plural]}
        if method == "POST":
            name = body["metadata"]["name"]
            if (plural, name) in self.objects:
                return _status(409, "AlreadyExists", f'{plural}.modelward.io "{name}" already exists', name)
            self.objects[plural, name] = {**body, "metadata": {**body["metadata"], "namespace": "ml", "generation": 1}}
            if self.completes:
                self.objects[plural, name]["status"] = {"phase": "Complete", "observedGeneration": 1}
            return 201, self.objects[plural, name]
        if found is None:
            return _status(404, "NotFound", f'{plural}.modelward.io "{name}" not found', name)
        return (200, found) if method == "GET" else self._applied(found, query, body)

    def _applied(self, found: Any, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Server-side apply, of spec.model alone."""
        if body["metadata"].get("uid", found["metadata"].get("uid")) != found["metadata"].get("uid"):
            return _status(409, "Conflict", "Precondition failed: UID in precondition is not that of the object")
        manager, said, now = query["fieldManager"], body["spec"]["model"], found["spec"].setdefault("model", {})
        theirs = {
            name: owner for name in said
            if (owner := self.owners.get(name)) not in (None, manager) and now.get(name) != said[name]
        }  # fmt: skip
        if theirs and query.get("force") != "true":
            told = "\n".join(f'conflict with "{owner}": .spec.model.{name}' for name, owner in theirs.items())
            return _status(409, "Conflict", f"Apply failed with {len(theirs)} conflict: {told}")
        gone = [name for name, owner in self.owners.items() if owner == manager and name not in said]
        new = {name: value for name, value in {**now, **said}.items() if name not in gone}
        if new != now:
            found["spec"]["model"] = new
            found["metadata"]["generation"] += 1
        self.owners |= dict.fromkeys(said, manager)
        return 200, found


def _status(code: int, reason: str, message: str, name: str | None = None) -> tuple[int, Any]:
    return code, {"kind": "Status", "reason": reason, "message": message, "details": {"name": name} if name else {}}


@contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """It answers on loopback, over TLS."""
    state = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            address = urlsplit(self.path)
            state.requests.append((self.command, self.path, body))
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self._send(*_status(401, "Unauthorized", "Unauthorized"))
            elif state.location:
                self._send(307, {}, state.location)
            elif state.broken:
                code, content = state.broken.pop(0)
                self._send(code, content)
            else:
                query = {name: values[0] for name, values in parse_qs(address.query).items()}
                self._send(*state.answer(self.command, address.path, query, body))

        do_GET = do_POST = do_PATCH = do  # noqa: N815 - the standard library's names

        def _send(self, code: int, answer: Any, location: str = "") -> None:
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """The requests are kept instead."""

    certificate = made()
    (folder / "tls.pem").write_bytes(certificate.chain + certificate.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state.url, state.authority = f"https://127.0.0.1:{server.server_port}", certificate.chain.decode()
    with answering(server):
        yield state
