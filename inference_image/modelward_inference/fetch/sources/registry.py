"""An OCI registry as it is read: references, who asks, manifests and blobs, each held against its digest.

Protocol: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md, with the bearer tokens of
https://distribution.github.io/distribution/spec/auth/token.
Invariant: credentials go to the registry itself and to the token server that it names, never over plain http unless the
installation names the registry in OCI_PLAIN_HTTP, and to no address that a blob is redirected to.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

import urllib3

from modelward_inference.errors import (
    AccessDenied,
    ArtifactCorrupt,
    ArtifactNotFound,
    ArtifactUnreachable,
    InvalidConfiguration,
)
from modelward_inference.fetch.sources import network
from modelward_inference.fetch.sources.http import TIMEOUT, TRANSIENT, HttpSource, plain_words
from modelward_inference.fetch.sources.source import Part, TransientError, tried

SCHEME = "oci"

PLAIN_VARIABLE = "OCI_PLAIN_HTTP"
"""Registries that are asked over http, with commas or blanks between them: `registry.ci.svc:5000`."""

CREDENTIALS_VARIABLE = "MODEL_CREDENTIALS_DIR"
"""The folder of a mounted Secret with `username` and `password`, or with `.dockerconfigjson`."""

INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
)  # fmt: skip

MAX_MANIFEST = 4 << 20
"""Bytes; the specification asks registries to take as many."""

_REFERENCE = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?)/"
    r"(?P<name>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)

_DOCKER = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}

_CURE = (
    "give the Secret of spec.model.credentialsSecret `username` and `password`, or `.dockerconfigjson`, of who may "
    "pull it"
)


@dataclass(frozen=True)
class Reference:
    """`host`: with its port; `name`: of the repository; `digest`: `sha256:<hex>`, or None where the tag decides."""

    host: str
    name: str
    tag: str
    digest: str | None

    @classmethod
    def of(cls, uri: str) -> "Reference":
        """Raises InvalidConfiguration."""
        found = _REFERENCE.fullmatch(uri.partition("://")[2])
        if found is None:
            raise InvalidConfiguration(
                f"{uri} names no artifact; write oci://registry/repository:tag or "
                "oci://registry/repository@sha256:<hex>, the repository in small letters"
            )
        host = _DOCKER.get(found["host"], found["host"])
        name = found["name"]
        if host != found["host"] and "/" not in name:
            name = f"library/{name}"
        return cls(host, name, found["tag"] or "latest", found["digest"])


@dataclass(frozen=True)
class Manifest:
    """`digest`: of its bytes, `content`; `document`: an object."""

    digest: str
    document: dict[str, Any]
    content: bytes = b""


class Registry:
    """The registry of one reference, for reading its repository."""

    def __init__(self, uri: str, reference: Reference, environment: Mapping[str, str] = os.environ) -> None:
        self._uri, self._reference = uri, reference
        self.plain = reference.host in environment.get(PLAIN_VARIABLE, "").replace(",", " ").split()
        self._base = f"{'http' if self.plain else 'https'}://{reference.host}/v2/{reference.name}"
        self._credentials = _credentials(reference.host, environment)
        self._headers: dict[str, str] = {}

    def manifest(self, reference: str) -> Manifest:
        """By tag or digest. Raises ModelError."""
        return self.parsed(reference, tried(lambda: self._manifest(reference), self._uri))

    def parsed(self, reference: str, content: bytes) -> Manifest:
        """`content`: of the manifest of that tag or digest. Raises ModelError."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if reference.startswith("sha256:") and digest != reference:
            raise ArtifactCorrupt(
                f"{self._uri}: the registry gave a manifest with digest {digest} for {reference}; push it again"
            )
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise ArtifactUnreachable(f"{self._uri}: the registry's answer is no manifest; check spec.model.uri")
        return Manifest(digest, document, content)

    def blob(self, digest: str) -> "Blob":
        return Blob(self, f"{self._base}/blobs/{digest}")

    def source(self, address: str) -> HttpSource:
        return HttpSource(address, self._headers, _CURE)

    def renew(self) -> bool:
        """Get a new token, where tokens are what the registry wants: they do not last for ever."""
        if not self._headers.get("Authorization", "").startswith("Bearer"):
            return False
        self._headers = {}
        self.manifest(self._reference.digest or self._reference.tag)
        return True

    def _manifest(self, reference: str) -> bytes:
        address = f"{self._base}/manifests/{reference}"
        accept = {"Accept": ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))}
        status, headers, content = self._get(address, {**accept, **self._headers})
        if status == 401 and not self._headers:
            self._headers = self._authorized(headers.get("WWW-Authenticate", ""))
            status, headers, content = self._get(address, {**accept, **self._headers})
        if status in (401, 403):
            raise AccessDenied(f"{self._uri} is refused (HTTP {status}); {_CURE}")
        if status == 404:
            raise ArtifactNotFound(f"{self._uri} does not exist in the registry; check spec.model.uri")
        if status != 200:
            raise ArtifactUnreachable(f"{self._uri}: the registry answers HTTP {status}; check spec.model.uri")
        return content

    def _authorized(self, challenge: str) -> dict[str, str]:
        """Headers that meet it. Raises AccessDenied."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            if self._credentials is None:
                raise AccessDenied(f"{self._uri} needs credentials; {_CURE}")
            return {"Authorization": f"Basic {self._credentials}"}
        if scheme.lower() != "bearer":
            raise AccessDenied(f"{self._uri} is refused, and the registry asks for {scheme[:50]!r}, which is not known")
        told = parse_keqv_list([each for each in parse_http_list(rest) if each.partition("=")[2]])
        realm = told.get("realm", "")
        self._check_realm(realm)
        asked = {"scope": told.get("scope") or f"repository:{self._reference.name}:pull"}
        if "service" in told:
            asked["service"] = told["service"]
        joint = "&" if urlsplit(realm).query else "?"
        headers = {} if self._credentials is None else {"Authorization": f"Basic {self._credentials}"}
        status, _, content = self._get(f"{realm}{joint}{urlencode(asked)}", headers)
        try:
            answer = json.loads(content) if status == 200 else {}
            token = answer.get("token") or answer.get("access_token")
        except (ValueError, AttributeError, RecursionError):
            token = None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise AccessDenied(f"{self._uri}: {urlsplit(realm).hostname} gives no token (HTTP {status}); {_CURE}")
        return {"Authorization": f"Bearer {token}"}

    def _check_realm(self, realm: str) -> None:
        try:
            parts = urlsplit(realm)
        except ValueError:
            parts = urlsplit("")
        own = f"{'http' if self.plain else 'https'}://{self._reference.host}"
        if not parts.hostname or (parts.scheme != "https" and not (self.plain and parts.scheme == "http")):
            raise ArtifactUnreachable(
                f"{self._uri}: the registry wants credentials sent to {realm[:200]!r}, which is no https:// address: "
                "not safe"
            )
        if network.is_of_the_node(realm) and not network.is_of_the_node(own):
            raise ArtifactUnreachable(
                f"{self._uri}: the registry wants credentials sent to {parts.hostname}, which is the pod or its node: "
                "not safe"
            )

    def _get(self, address: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        """A small answer. Raises TransientError."""
        try:
            response = network.pool(TIMEOUT, address).request(
                "GET", address, headers={"User-Agent": "modelward-fetch", **headers}, preload_content=False,
                redirect=False,
            )  # fmt: skip
            try:
                content = response.read(MAX_MANIFEST + 1, decode_content=False)
            finally:
                response.close()
        except urllib3.exceptions.SSLError as error:
            raise ArtifactUnreachable(f"{self._uri}: the certificate is not accepted: {error}") from error
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{urlsplit(address).hostname} does not answer: {plain_words(error)}") from error
        if response.status in TRANSIENT:
            raise TransientError(f"{urlsplit(address).hostname} answers HTTP {response.status}")
        if len(content) > MAX_MANIFEST:
            raise ArtifactUnreachable(f"{self._uri}: the registry's answer has more than {MAX_MANIFEST} bytes")
        return response.status, response.headers, content


class Blob:
    """One blob, with a new token where the old one has run out."""

    def __init__(self, registry: Registry, address: str) -> None:
        self._registry, self._address = registry, address
        self._source = registry.source(address)

    def open(self, offset: int) -> Part:
        try:
            return self._source.open(offset)
        except AccessDenied:
            if not self._registry.renew():
                raise
            self._source = self._registry.source(self._address)
            return self._source.open(0)


def _credentials(host: str, environment: Mapping[str, str]) -> str | None:
    """As basic authentication has them, in base64; None where there are none. Raises InvalidConfiguration."""
    folder = Path(environment[CREDENTIALS_VARIABLE]) if environment.get(CREDENTIALS_VARIABLE) else None

    def told(key: str) -> str:
        if folder is not None and (folder / key).is_file():
            return (folder / key).read_text().strip()
        return environment.get(key, "").strip()

    if told("username"):
        return base64.b64encode(f"{told('username')}:{told('password')}".encode()).decode()
    config = told(".dockerconfigjson")
    if not config:
        return None
    try:
        auths = json.loads(config)["auths"]
        docker = host in _DOCKER.values()
        keys = (
            host,
            f"https://{host}",
            f"https://{host}/v2/",
            *(("https://index.docker.io/v1/", "docker.io") * docker),
        )
        found = next((auths[key] for key in keys if key in auths), None)
        if found is None:
            return None
        if found.get("auth"):
            return base64.b64encode(base64.b64decode(found["auth"], validate=True)).decode()
        return base64.b64encode(f"{found['username']}:{found['password']}".encode()).decode()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidConfiguration(
            f"the Secret's .dockerconfigjson can't be read ({type(error).__name__}); write what `kubectl create secret "
            "docker-registry` does"
        ) from None
