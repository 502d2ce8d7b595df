"""https:// and, where a digest pins the artifact, http://."""

from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import urllib3

from modelward_inference.addresses import shown
from modelward_inference.errors import AccessDenied, ArtifactNotFound, ArtifactUnreachable
from modelward_inference.fetch.source import CHUNK, Part, TransientError

TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)
"""Seconds."""

MAX_REDIRECTS = 5
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class HttpSource:
    """One address, with redirects followed, but never from https to http."""

    def __init__(self, uri: str) -> None:
        self._address = uri
        self._uri = shown(uri)
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)

    def open(self, offset: int) -> Part:
        address = self._address
        for _ in range(MAX_REDIRECTS + 1):
            response = self._get(address, offset)
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return self._part(response, offset)
            response.drain_conn()
            following = urljoin(address, location)
            scheme = urlsplit(following).scheme
            if scheme not in ("http", "https"):
                raise ArtifactUnreachable(f"{self._uri} redirects to {scheme}://, which is no web address")
            if urlsplit(address).scheme == "https" and scheme != "https":
                raise ArtifactUnreachable(f"{self._uri} redirects from https to {shown(following)}: not safe")
            address = following
        raise ArtifactUnreachable(f"{self._uri} redirects more than {MAX_REDIRECTS} times; check spec.model.uri")

    def _get(self, address: str, offset: int) -> urllib3.BaseHTTPResponse:
        # Compressed transfer would make sizes and ranges mean something else.
        headers = {"Accept-Encoding": "identity", "User-Agent": "modelward-fetch"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            return self._pool.request("GET", address, headers=headers, preload_content=False, redirect=False)
        except urllib3.exceptions.SSLError as error:
            raise ArtifactUnreachable(f"{self._uri}: the certificate is not accepted: {error}") from error
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{urlsplit(address).hostname} does not answer: {_plain(error)}") from error

    def _part(self, response: urllib3.BaseHTTPResponse, offset: int) -> Part:
        status = response.status
        if status not in (200, 206):
            response.close()
        if status in (404, 410):
            raise ArtifactNotFound(f"{self._uri} does not exist (HTTP {status}); check spec.model.uri")
        if status in (401, 403):
            raise AccessDenied(
                f"{self._uri} is refused (HTTP {status}); let pods read it without credentials, or use "
                "s3:// with spec.model.credentialsSecret"
            )
        if status in _TRANSIENT:
            raise TransientError(f"{self._uri} answers HTTP {status}")
        if status not in (200, 206):
            raise ArtifactUnreachable(f"{self._uri} answers HTTP {status}; check spec.model.uri")
        start = offset if status == 206 else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdecimal() else None
        return Part(start, total, self._chunks(response))

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            # Not stream(): it gives out whole chunks only, and what came before a break would have to come again.
            while chunk := response.read1(CHUNK):
                yield chunk
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"the transfer broke off: {_plain(error)}") from error
        finally:
            response.close()


def _plain(error: Exception) -> str:
    """urllib3 wraps the cause in its own objects' representation; people want the cause."""
    cause = error.__cause__ or error.__context__ or error
    return (str(cause).rpartition(": ")[2] or type(cause).__name__).rstrip(")'")
