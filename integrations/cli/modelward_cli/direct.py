"""The API server asked without kubectl: by an address and a token, or by the service account of the pod that asks.

Speaks of Modelward's own kinds, which is all that a pipeline needs. The token is sent over TLS alone, to the named
server alone (no redirect is followed), and is read again for each request, since those of pods are renewed.
Failure: KubectlError and its subclasses, as kubectl.py has them.
"""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from modelward_cli.cluster import MANAGER, Json
from modelward_cli.kubectl import (
    TIMEOUT,
    ConflictError,
    ExistsError,
    KubectlError,
    NoClusterError,
    NotAllowedError,
    NotFoundError,
    named,
)

MOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MOST: Final = 256 * 1024 * 1024
"""Bytes of an answer: ten thousand objects of the largest size that we have seen."""

_GROUP: Final = "modelward.io"
_VERSION: Final = "v1alpha1"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A token is for the server that was named."""


@dataclass(frozen=True)
class Direct:
    """`server`: https://host:port; `token`, or `token_file`, which is read each time; `certificate_authority`: PEM;
    None: those that the machine trusts."""

    server: str
    namespace: str
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    certificate_authority: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        address = urlsplit(self.server)
        if address.scheme != "https" or not address.hostname or address.username or address.query or address.fragment:
            raise KubectlError(
                "the API server's address has to be https://HOST[:PORT], without a login in it: anybody on the way "
                "could read the token else"
            )
        if (self.token is None) == (self.token_file is None):
            raise KubectlError("name either the token or the file that it is in")
        named(self.namespace)

    def listed(self, resource: str, selector: str = "", *, everywhere: bool = False) -> list[Json]:
        query = {"labelSelector": selector} if selector else {}
        items = self._asked("GET", self._path(resource, everywhere=everywhere), query).get("items")
        if not isinstance(items, list):
            raise KubectlError(f"the API server gave no list of {resource}")
        return [each for each in items if isinstance(each, dict)]

    def got(self, resource: str, name: str) -> Json:
        return self._asked("GET", self._path(resource, name), {})

    def applied(self, resource: str, body: Json, *, force: bool = False) -> Json:
        path = self._path(resource, str(body["metadata"]["name"]))
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", "force": str(force).lower()}
        return self._asked("PATCH", path, query, body, "application/apply-patch+yaml")

    def created(self, resource: str, body: Json) -> Json:
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        return self._asked("POST", self._path(resource), query, body)

    def _path(self, resource: str, name: str | None = None, *, everywhere: bool = False) -> str:
        plural, _, group = resource.partition(".")
        if group != _GROUP:
            raise KubectlError(f"{resource} is asked by kubectl alone")
        where = "" if everywhere else f"/namespaces/{quote(self.namespace, safe='')}"
        return f"/apis/{_GROUP}/{_VERSION}{where}/{plural}" + (
            f"/{quote(named(name), safe='')}" if name is not None else ""
        )

    def _asked(
        self, method: str, path: str, query: Mapping[str, str], body: Json | None = None, kind: str = "application/json"
    ) -> Json:
        address = self.server.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(  # noqa: S310 - https, by __post_init__
            address,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token()}", "Accept": "application/json", "Content-Type": kind},
            method=method,
        )
        try:
            with self._opener().open(request, timeout=TIMEOUT) as answer:
                content = answer.read(MOST + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise _failure(error.code, f"{method} {path}", error.read(1 << 16)) from None
        except (OSError, HTTPException) as error:  # URLError is an OSError
            reason = getattr(error, "reason", error)
            raise NoClusterError(f"{self.server} does not answer: {reason}\nIs it the API server's address?") from None
        if len(content) > MOST:
            raise KubectlError(f"{method} {path}: the answer is longer than {MOST} bytes")
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise KubectlError(f"{method} {path}: the answer is no JSON object; is {self.server} an API server?")
        return found

    def _token(self) -> str:
        if self.token_file is None:
            token = self.token or ""
        else:
            try:
                token = self.token_file.read_text()
            except OSError as error:
                raise NotAllowedError(f"the token in {self.token_file} can't be read: {error.strerror}") from None
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable():
            raise NotAllowedError(
                "the token is empty, or holds what is no token: name one bearer token, and nothing else"
            )
        return token

    def _opener(self) -> urllib.request.OpenerDirector:
        try:
            trusted = ssl.create_default_context(cadata=self.certificate_authority)
        except (ssl.SSLError, ValueError):
            raise KubectlError("the certificate authority is no PEM: -----BEGIN CERTIFICATE----- …") from None
        return urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=trusted))


def in_pod(namespace: str | None, environment: Mapping[str, str], mount: Path = MOUNT) -> Direct:
    """As the service account of this pod; `namespace` None: the pod's own. Raises KubectlError outside of a pod."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        own, authority = (mount / "namespace").read_text().strip(), (mount / "ca.crt").read_text()
    except OSError:
        own, authority = "", ""
    if not host or not authority:
        raise KubectlError("this is no pod with a service account's token; name a kubeconfig, or a server and a token")
    shown = f"[{host}]" if ":" in host else host
    return Direct(
        f"https://{shown}:{port}", namespace or own, token_file=mount / "token", certificate_authority=authority
    )


def _failure(code: int, what: str, content: bytes) -> KubectlError:
    try:
        said = json.loads(content)
    except ValueError:
        said = {}
    message = said.get("message") if isinstance(said, dict) else None
    told = f"{what}: {message if isinstance(message, str) and message else f'HTTP {code}'}"
    if code == 401:
        return NotAllowedError(f"{told}\nThe token is wrong, or has expired. Make another one.")
    if code == 403:
        return NotAllowedError(f"{told}\nAsk for that right; docs/cli.md lists what each step needs.")
    if code == 404 and isinstance(said, dict) and isinstance(said.get("details"), dict) and said["details"].get("name"):
        return NotFoundError(told)
    if code == 404:
        return KubectlError(f"{told}\nThe cluster does not know these objects: Modelward, or this part, is not there.")
    if code == 409 and isinstance(said, dict) and said.get("reason") == "AlreadyExists":
        return ExistsError(told)
    if code == 409:
        return ConflictError(told)
    if code in (429, 500, 502, 503, 504):
        return NoClusterError(told)
    return KubectlError(told)
