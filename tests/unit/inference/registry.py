"""An OCI registry of the tests: what it is asked while something is read, after the distribution specification."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Registry(ThreadingHTTPServer):
    """`manifests`: by tag and digest; `blobs`: by digest; `user`: who has to ask for a token, None where anybody may;
    `basic`: whether it takes the user itself instead; `spent`: after how many requests a token has run out."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.user: str | None = None
        self.basic = False
        self.spent: int | None = None
        self.realm: str | None = None
        self.challenge: str | None = None
        self.redirect: str | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.tokens: dict[str, int] = {}

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def blob(self, content: bytes, title: str = "", **more: Any) -> dict[str, Any]:
        """Its descriptor."""
        self.blobs[digest(content)] = content
        annotations = {"annotations": {"org.opencontainers.image.title": title}} if title else {}
        return {"mediaType": "x/y", "digest": digest(content), "size": len(content), **annotations, **more}

    def push(self, *layers: dict[str, Any], tag: str = "1", config: str = EMPTY, **more: Any) -> str:
        """The manifest's digest."""
        document = {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": {**self.blob(b"{}"), "mediaType": config},
            "layers": list(layers), **more,
        }  # fmt: skip
        return self.put(document, tag)

    def put(self, document: Any, tag: str = "1") -> str:
        content = json.dumps(document).encode()
        kind = document.get("mediaType", MANIFEST) if isinstance(document, dict) else MANIFEST
        self.manifests[tag] = self.manifests[digest(content)] = (kind, content)
        return digest(content)


class Handler(BaseHTTPRequestHandler):
    server: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        registry = self.server
        headers = {key.lower(): value for key, value in self.headers.items()}
        registry.asked.append((self.path, headers))
        path = urlsplit(self.path).path
        if path == "/token":
            self._token(headers)
        elif not self._may(headers):
            realm = registry.realm or f"http://{registry.host}/token"
            challenge = 'Basic realm="x"' if registry.basic else f'Bearer realm="{realm}",service="s, 1"'
            challenge = challenge if registry.challenge is None else registry.challenge
            self._answer(401, b"{}", {"WWW-Authenticate": challenge})
        elif "/manifests/" in path and path.rpartition("/")[2] in registry.manifests:
            kind, content = registry.manifests[path.rpartition("/")[2]]
            self._answer(200, content, {"Content-Type": kind})
        elif "/blobs/" in path and path.rpartition("/")[2] in registry.blobs:
            name = path.rpartition("/")[2]
            if registry.redirect is not None and not path.startswith("/elsewhere"):
                self._answer(307, b"", {"Location": f"{registry.redirect}/elsewhere/blobs/{name}"})
            else:
                self._answer(200, registry.blobs[name])
        else:
            self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')

    def _may(self, headers: dict[str, str]) -> bool:
        registry, told = self.server, headers.get("authorization", "")
        if registry.user is None:
            return True
        if registry.basic:
            return told == f"Basic {base64.b64encode(registry.user.encode()).decode()}"
        token = told.removeprefix("Bearer ")
        if token not in registry.tokens:
            return False
        registry.tokens[token] += 1
        return registry.spent is None or registry.tokens[token] <= registry.spent

    def _token(self, headers: dict[str, str]) -> None:
        registry = self.server
        wanted = f"Basic {base64.b64encode((registry.user or '').encode()).decode()}"
        asked = parse_qs(urlsplit(self.path).query)
        assert asked["service"] == ["s, 1"]
        assert asked["scope"][0].startswith("repository:")
        if headers.get("authorization") != wanted:
            self._answer(401, b"{}")
            return
        token = f"token-{len(registry.tokens)}"
        registry.tokens[token] = 0
        self._answer(200, json.dumps({"token": token}).encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""
