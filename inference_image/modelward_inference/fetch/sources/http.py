"""https:// and, where a digest pins the artifact, http://."""

from collections.abc import Iterator, Mapping
from urllib.parse import urljoin, urlsplit

import urllib3

from modelward_inference.errors import AccessDenied, ArtifactNotFound, ArtifactUnreachable
from modelward_inference.fetch.sources import network
from modelward_inference.fetch.sources.addresses import shown
from modelward_inference.fetch.sources.source import CHUNK, Part, TransientError, is_rest

TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)
"""Seconds."""

MAX_REDIRECTS = 5
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


DENIED = "let pods read it without credentials, or use s3:// with spec.model.credentialsSecret"


class HttpSource:
    """One address, with redirects followed, but never from https to http.

    `headers`: such as credentials; a redirect to another host does not take them along. `denied`: what to do where they
    are refused.
    """

    def __init__(self, uri: str, headers: Mapping[str, str] | None = None, denied: str = DENIED) -> None:
        self._address = uri
        self._headers, self._denied = dict(headers or {}), denied
        self._uri = shown(uri)
        self._validator: str | None = None
        """The strong ETag of what has come so far: without one, nobody can tell whether the rest belongs to it."""
        self._whole: int | None = None
        """Bytes of the artifact that has come so far, where its first answer told them."""

    def open(self, offset: int) -> Part:
        if offset and self._validator is None:
            offset = 0
        response = self._answer(offset)
        if response.status == 206 and not self._continues(response, offset):
            response.close()
            response, offset = self._answer(0), 0
        return self._part(response, offset)

    def _continues(self, response: urllib3.BaseHTTPResponse, offset: int) -> bool:
        """Whether a partial answer is the rest of what came before. RFC 9110, 15.3.7."""
        told = response.headers.get("Content-Range", "")
        same = response.headers.get("ETag") in (None, self._validator)
        return same and is_rest(told, offset, self._whole)

    def _answer(self, offset: int) -> urllib3.BaseHTTPResponse:
        """The last answer, after redirects."""
        address = self._address
        for _ in range(MAX_REDIRECTS + 1):
            response = self._get(address, offset)
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            response.close()
            try:
                following = urljoin(address, location)
                scheme = urlsplit(following).scheme
                _ = urlsplit(following).port
            except ValueError:
                raise ArtifactUnreachable(
                    f"{self._uri} redirects to {location[:200]!r}, which is no web address"
                ) from None
            if scheme not in ("http", "https"):
                raise ArtifactUnreachable(f"{self._uri} redirects to {scheme}://, which is no web address")
            if urlsplit(address).scheme == "https" and scheme != "https":
                raise ArtifactUnreachable(f"{self._uri} redirects from https to {shown(following)}: not safe")
            if network.is_of_the_node(following) and not network.is_of_the_node(self._address):
                raise ArtifactUnreachable(
                    f"{self._uri} redirects to {urlsplit(following).hostname}, which is the pod or its node: not safe"
                )
            address = following
        raise ArtifactUnreachable(f"{self._uri} redirects more than {MAX_REDIRECTS} times; check spec.model.uri")

    def _get(self, address: str, offset: int) -> urllib3.BaseHTTPResponse:
        # Compressed transfer would make sizes and ranges mean something else.
        headers = {"Accept-Encoding": "identity", "User-Agent": "modelward-fetch"}
        if _origin(address) == _origin(self._address):
            headers |= self._headers
        if offset:
            headers["Range"] = f"bytes={offset}-"
            headers["If-Range"] = str(self._validator)
        try:
            pool = network.pool(TIMEOUT, address)
            return pool.request("GET", address, headers=headers, preload_content=False, redirect=False)
        except urllib3.exceptions.SSLError as error:
            raise ArtifactUnreachable(f"{self._uri}: the certificate is not accepted: {error}") from error
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{urlsplit(address).hostname} does not answer: {plain_words(error)}") from error

    def _part(self, response: urllib3.BaseHTTPResponse, offset: int) -> Part:
        status = response.status
        if status not in (200, 206):
            response.close()
        if status in (404, 410):
            raise ArtifactNotFound(f"{self._uri} does not exist (HTTP {status}); check spec.model.uri")
        if status in (401, 403):
            raise AccessDenied(f"{self._uri} is refused (HTTP {status}); {self._denied}")
        if status in TRANSIENT:
            raise TransientError(f"{self._uri} answers HTTP {status}")
        if status not in (200, 206):
            raise ArtifactUnreachable(f"{self._uri} answers HTTP {status}; check spec.model.uri")
        if status == 206 and not offset:
            response.close()
            raise ArtifactUnreachable(f"{self._uri} answers with a part of the file, though the whole was asked for")
        start = offset if status == 206 else 0
        if not start:
            tag = response.headers.get("ETag")
            self._validator = tag if tag and not tag.startswith("W/") else None
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdecimal() else None
        if not start:
            self._whole = total
        return Part(start, total, self._chunks(response))

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            # Not stream(): it gives out whole chunks only, and what came before a break would have to come again.
            while chunk := response.read1(CHUNK):
                yield chunk
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"the transfer broke off: {plain_words(error)}") from error
        finally:
            response.close()


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:  # no number, or too large a one: nobody answers there
        port = -1
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)


def plain_words(error: Exception) -> str:
    """urllib3 wraps the cause in its own objects' representation; people want the cause."""
    cause = error.__cause__ or error.__context__ or error
    return (str(cause).rpartition(": ")[2] or type(cause).__name__).rstrip(")'")
