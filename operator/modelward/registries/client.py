"""One request to a registry, whose address a tenant wrote: bounded, never redirected, and every failure in a sentence.

Failure: RegistryError with cause and cure. What a registry says is quoted only where it is its own kind of error.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from modelward.net.body import read
from modelward.net.guarded import AddressRefusedError, check_literal, may_call
from modelward.net.untrusted import decoded, quoted
from modelward.registries.registry import Login, RegistryError

TIMEOUT: Final = 10.0
"""Seconds for one request."""

MAX_ANSWER: Final = 1 << 20
"""Bytes: a run with a thousand parameters has a hundred thousand."""

LONGEST_WAIT: Final = 3600.0
"""Seconds of a Retry-After that are kept to: a registry must not stop the following of a model for days."""


AT_ONCE: Final = 64 << 10
"""Bytes of JSON that are read at once: more take milliseconds, and are read beside the event loop."""


@dataclass(frozen=True)
class Answer:
    """Status, body, and the body's JSON object (None where it is none, or nobody asked for it)."""

    status: int
    body: bytes
    document: Mapping[str, Any] | None = None
    retry_after: float | None = None

    def json(self, shown: str) -> Mapping[str, Any]:
        """Raises RegistryError where it is no JSON object."""
        if self.document is None:
            raise RegistryError(
                "BadAnswer",
                f"What is at {shown} answers with HTTP status {self.status}, and not as such a registry does. Write "
                "the address of the registry itself into the ModelRegistry, without /api or #/",
            )
        return self.document

    @property
    def error(self) -> Mapping[str, Any]:
        """The JSON object of an error; empty where it is none."""
        return self.document or {}


class Client:
    """`session`: a guarded one; `hosts`: that the installation lets be called; `heard`: is told the bytes of
    answers."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        hosts: Sequence[str],
        login: Login,
        heard: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._session = session
        self._hosts = hosts
        self._heard = heard
        self._ssl = _context(login.certificates)

    async def send(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        most: int = MAX_ANSWER,
        *,
        is_json: bool = True,
    ) -> Answer:
        """Raises RegistryError, but for what the registry itself says by a status."""
        shown = _shown(url)
        if not may_call(url.host or "", self._hosts):
            raise RegistryError(
                "AddressRefused",
                f"The operator may not call {url.host}; its administrator has to name it in MODELWARD_REGISTRY_HOSTS",
            )
        self._heard(0)
        try:
            check_literal(url.host or "", self._hosts)
            async with self._session.request(
                method, url, headers=headers, data=body, ssl=self._ssl, allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            ) as response:  # fmt: skip
                raw = await read(response.content, most, self._heard)
                status, told = response.status, response.headers
        except TimeoutError:
            raise RegistryError(
                "TimedOut",
                f"{shown} does not answer within {TIMEOUT:g} s. Check the address in the ModelRegistry, that the "
                f"server "
                "runs, and that network policies let the operator through",
            ) from None
        except (aiohttp.ClientError, OSError) as error:  # before ValueError: a bad certificate is one, too
            raise _failed(shown, error) from None
        except ValueError as error:
            raise RegistryError("BadAnswer", f"The answer of {shown} is too large: {quoted(error)}") from None
        if 300 <= status < 400:
            target = quoted(told.get("Location", "another address"))
            raise RegistryError(
                "Redirected", f"{shown} redirects to {target}, which is not followed. Write where it leads to"
            )
        return Answer(status, raw, await _document(raw) if is_json else None, _retry_after(told.get("Retry-After")))


async def _document(raw: bytes) -> Mapping[str, Any] | None:
    try:
        document = decoded(raw) if len(raw) <= AT_ONCE else await asyncio.to_thread(decoded, raw)
    except ValueError:
        return None
    return document if isinstance(document, Mapping) else None


def checked(url: str) -> str:
    """An address that a request can be made of. Raises RegistryError."""
    try:
        if URL(url).host:
            return url
    except ValueError:  # a port out of range, for example
        pass
    raise RegistryError("BadAddress", f"{quoted(url)} is no address. Correct it in the ModelRegistry")


READ: Final = "the right to read the model"


def refused(answer: Answer, shown: str, said: str, login: str, right: str = READ) -> RegistryError:
    """What any registry means by a status that is no success. `said`: its own words; `login`: what to correct; `right`:
    that it lacks where it is not allowed to."""
    told = f": {said.rstrip('.')}" if said else ""
    if answer.status == 401:
        return RegistryError("Unauthorized", f"{shown} does not know the login{told}. Correct {login}", answered=True)
    if answer.status == 403:
        return RegistryError(
            "Forbidden", f"{shown} does not allow it{told}. Give the login of {login} {right}",
            answered=True,
        )  # fmt: skip
    if answer.status == 429:
        return RegistryError(
            "TooManyRequests",
            f"{shown} has too many requests; it is asked again when it wants to be. Raise spec.pollInterval of the "
            "ModelRegistry, or the limit of the server",
            answered=True, retry_after=answer.retry_after,
        )  # fmt: skip
    if answer.status >= 500:
        return RegistryError(
            "ServerFailed", f"{shown} answers with HTTP status {answer.status}{told}. See its log",
            retry_after=answer.retry_after,
        )  # fmt: skip
    return RegistryError(
        "BadAnswer",
        f"What is at {shown} answers with HTTP status {answer.status}{told}. Write the address of the registry itself "
        "into the ModelRegistry, without /api or #/",
    )


def _failed(shown: str, error: Exception) -> RegistryError:
    cause = getattr(error, "os_error", None) or error.__cause__ or error
    if isinstance(error, AddressRefusedError) or isinstance(cause, AddressRefusedError):
        refusal = error if isinstance(error, AddressRefusedError) else cause
        return RegistryError(
            "AddressRefused",
            f"The operator does not call {shown}: {quoted(refusal)}. Write another address, or have its administrator "
            "name the host in MODELWARD_REGISTRY_HOSTS",
        )
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return RegistryError(
            "TlsFailed",
            f"No TLS connection to {shown} comes about: {quoted(error)}. Name a ConfigMap with the certificates of its "
            "authority (key ca.crt) in spec.caBundle of the ModelRegistry, or correct the certificate of the server",
        )
    return RegistryError(
        "Unreachable",
        f"{shown} can't be reached: {quoted(error)}. Check the address in the ModelRegistry, that the server runs, and "
        "that network policies let the operator through",
    )


def _context(certificates: str | None) -> ssl.SSLContext | bool:
    """Raises RegistryError."""
    if certificates is None:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError) as error:
        raise RegistryError(
            "BadCertificates",
            f"The entry ca.crt of the ConfigMap that spec.caBundle names holds no certificates: {quoted(error)}. Write "
            "them in PEM",
        ) from None
    return context


def _retry_after(text: str | None) -> float | None:
    """Seconds, from either form of the header; None where it has none that can be read."""
    if text is None:
        return None
    try:
        wait = float(text) if text.strip().isdecimal() else _until(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(LONGEST_WAIT, max(0.0, wait))


def _until(date: str) -> float:
    return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()


def _shown(url: URL) -> str:
    """Without what may be secret."""
    return str(url.with_user(None).with_query(None).with_fragment(None).origin())


def host_of(url: str) -> str:
    """Host and port as a Host header has them."""
    return urlsplit(url).netloc.rpartition("@")[2]
