"""Requests to a pipeline's system, whose address a tenant wrote and whose token is his: to hosts that the administrator
names alone, never redirected, bounded, and without a secret in anything that is told of them.

Failure: NotNowError (maybe later, or once somebody has corrected something) and NeverError, each with cause and cure.
"""

import asyncio
import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import aiohttp
from yarl import URL

from modelward.net.body import read
from modelward.net.guarded import AddressRefusedError, check_literal, may_call
from modelward.net.untrusted import bare, decoded, quoted

TIMEOUT: Final = 10.0
"""Seconds for one request."""

MAX_ANSWER: Final = 1 << 20
"""Bytes of a JSON answer: a list of a hundred runs of GitHub has half of that."""

MAX_LOG: Final = 4 << 20
"""Bytes of a log that are read to find its end, where a system gives out no less than the whole."""

LOG_END: Final = 200
"""Characters of the end of a log that are told."""

LOOKED_AT: Final = 8192
"""Characters of a log's end that are looked at for it: blanks are not told."""

AT_ONCE: Final = 64 << 10
"""Bytes of JSON that are read at once: more take milliseconds, and are read beside the event loop."""

SILENT, REFUSED, MISSING = "PipelineSilent", "CredentialsRefused", "CredentialsMissing"
MISLED, PAUSED = "PipelineMisled", "PipelinePaused"
"""Delays of a run. Silent: no answer, or that the system has trouble of its own; Misled: what is there is no such
system; Paused: people have told it to start nothing."""

HOSTS_SETTING, PLAIN_SETTING = "MODELWARD_WEBHOOK_HOSTS", "MODELWARD_WEBHOOK_PLAIN_HOSTS"

_LATER = frozenset({408, 425, 429})
_HIDDEN: Final = "***"


class NotNowError(Exception):
    """It could not be done now. `reason`: in a CamelCase word; `stuck`: that does not pass by itself."""

    def __init__(self, message: str, reason: str = SILENT, *, stuck: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.stuck = stuck


class NeverError(Exception):
    """Trying again leads to the same. `status`: with which that was answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Login:
    """With what requests are sent. `header`: the value of Authorization, None: nothing is sent; `told`: how messages
    call it; `secrets`: what must not be told of."""

    header: str | None = None
    told: str = ""
    secrets: Sequence[str] = ()


@dataclass(frozen=True)
class Answer:
    """`headers`: by their names in small letters; `document`: the JSON in it, None where it is none; `cookie`: what
    goes back as a Cookie header, where the answer set any."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Any = None
    cookie: str = ""

    @property
    def object(self) -> Mapping[str, Any]:
        """The JSON object; empty where it is none."""
        return self.document if isinstance(self.document, Mapping) else {}

    @property
    def objects(self) -> list[Mapping[str, Any]]:
        """Those of the JSON list; what is none in it is left out."""
        return objects(self.document)


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The JSON objects of what should be a list of them."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def path(*segments: str) -> str:
    """Segments of an address, each quoted. Raises NeverError."""
    for each in segments:
        if each in ("", ".", ".."):
            raise NeverError(f"{each!r} is no name that an address can have; correct it in spec.retrain")
    return "".join(f"/{quote(each, safe='')}" for each in segments)


class Outgoing:
    """`session`: a guarded one, that keeps no cookies; `hosts`: that may be called; `plain`: those of them that may be
    called without TLS."""

    def __init__(self, session: aiohttp.ClientSession, hosts: Sequence[str], plain: Sequence[str] = ()) -> None:
        self.session = session
        self._hosts = hosts
        self._plain = plain

    def check(self, url: str, field: str) -> None:
        """Raises NeverError where this address may not be called. `field`: of spec, that it stands in."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not may_call(host, self._hosts):
            raise NeverError(f"The operator may not call {host}; its administrator has to name it in {HOSTS_SETTING}")
        if parts.scheme != "https" and not may_call(host, self._plain):
            raise NeverError(
                f"{field} has no TLS, and the token would be sent readable for all; write https://, or have the "
                f"operator's administrator name {host} in {PLAIN_SETTING}"
            )

    def client(self, url: str, field: str, login: Login, headers: Mapping[str, str] | None = None) -> "Client":
        """For all that is below `url`. Raises NeverError."""
        self.check(url, field)
        return Client(self, url.rstrip("/"), field, login, headers or {})


class Client:
    """One system with one login, for as long as one question takes."""

    def __init__(self, outgoing: Outgoing, base: str, field: str, login: Login, headers: Mapping[str, str]) -> None:
        self._outgoing = outgoing
        self.base = base
        self._field = field
        self._login = login
        self._headers = dict(headers)

    def told(self, text: object, most: int = LOG_END) -> str:
        """A foreign text as it may be shown: no secret of this login, no login or query of an address, on one line."""
        return quoted(bare(self._masked(str(text))[: 1 << 16]), most)

    def end_of(self, log: str) -> str:
        """The end of a log, in words to be added to a sentence; empty where there is none."""
        shown = self._masked(log).strip()
        if len(shown) > LOOKED_AT:
            # From the beginning of a line: of an address without its beginning nobody can tell what is secret.
            shown = shown[-LOOKED_AT:].partition("\n")[2]
        end = " ".join(bare(shown).split())[-LOG_END:]
        return f". The end of its log: {quoted(end)}" if end else ""

    def _masked(self, text: str) -> str:
        for secret in self._login.secrets:
            for spelling in _spellings(secret):
                text = text.replace(spelling, _HIDDEN)
        return text

    async def get(self, path: str, query: Mapping[str, str] | None = None, taken: Sequence[int] = ()) -> Answer:
        return await self.send("GET", path, query=query, taken=taken)

    async def post(self, path: str, told: Any, taken: Sequence[int] = ()) -> Answer:
        """`told`: as JSON."""
        return await self.send("POST", path, json.dumps(told, sort_keys=True), taken=taken)

    async def send(
        self,
        method: str,
        path: str,
        body: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
        taken: Sequence[int] = (),
        most: int = MAX_ANSWER,
    ) -> Answer:
        """The answer, where that is 2xx or one of `taken`; 2xx but 204 of JSON questions have to be JSON. `path`:
        quoted. Raises NotNowError, NeverError."""
        url = f"{self.base}{path}" + (f"?{urlencode(query)}" if query else "")
        given = {"Accept": "application/json", **self._headers, **(headers or {})}
        if self._login.header is not None:
            given["Authorization"] = self._login.header
        if body is not None:
            given["Content-Type"] = kind
        answer = await self._sent(method, url, body, given, most)
        if answer.status in taken:
            return answer
        self._check(answer)
        return answer

    async def fetched(self, path: str, most: int) -> bytes:
        """The body behind an address that leads, by one redirect, to a store. That is asked without the login, and only
        where its host may be called, too. Raises NotNowError, NeverError."""
        answer = await self._sent("GET", f"{self.base}{path}", None, self._given(), most)
        if answer.status not in (301, 302, 303, 307, 308):
            self._check(answer)
            return answer.body
        try:
            store = str(URL(self.base).join(URL(answer.headers.get("location", ""))))
            self._outgoing.check(store, "The store of logs and artifacts that it names")
        except ValueError:
            raise NeverError(f"{urlsplit(self.base).netloc} redirects to what is no address") from None
        # Its address is a signature: it is never told of.
        answer = await self._sent("GET", store, None, {}, most, shown=f"{urlsplit(store).hostname}")
        if not 200 <= answer.status < 300:
            raise NotNowError(f"{urlsplit(store).hostname} answered {answer.status}")
        return answer.body

    def _given(self) -> dict[str, str]:
        given = {"Accept": "application/json", **self._headers}
        return given | ({} if self._login.header is None else {"Authorization": self._login.header})

    async def _sent(
        self, method: str, url: str, body: str | None, headers: Mapping[str, str], most: int, shown: str = ""
    ) -> Answer:
        host = urlsplit(url).hostname or ""
        shown = shown or bare(url)
        try:
            check_literal(host, self._outgoing._hosts)
            async with self._outgoing.session.request(
                method, URL(url, encoded=True), data=None if body is None else body.encode(), headers=headers,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT), allow_redirects=False,
            ) as response:  # fmt: skip
                raw = await read(response.content, most)
                told = {name.lower(): value for name, value in response.headers.items()}
                cookie = "; ".join(f"{name}={each.value}" for name, each in response.cookies.items())
                return Answer(response.status, raw, told, await _document(raw), cookie)
        except AddressRefusedError as error:
            raise NeverError(f"The operator does not call {shown}: {quoted(error)}. Write another address") from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            refused = getattr(error, "os_error", None)
            if isinstance(refused, AddressRefusedError):
                raise NeverError(f"The operator does not call {shown}: {quoted(refused)}") from None
            raise NotNowError(
                f"{shown} did not answer, trying again: {type(error).__name__} {self.told(error)}"
            ) from None
        except ValueError as error:
            raise NotNowError(f"The answer of {shown} can't be taken: {self.told(error)}", MISLED, stuck=True) from None

    def _check(self, answer: Answer) -> None:
        """Raises NotNowError, NeverError for what is no success."""
        status, host = answer.status, urlsplit(self.base).netloc
        said = self._said(answer)
        if 200 <= status < 300:
            return
        if status >= 500 or status in _LATER or _is_limited(answer):
            raise NotNowError(f"{host} answered {status}, trying again{said}")
        if status in (401, 403):
            with_what = f"Renew {self._login.told}" if self._login.header else f"Name a Secret in {self._field}"
            raise NotNowError(
                f"{host} answered {status}: it does not take the login, or does not let it do this{said}. {with_what}, "
                "or give it the right",
                REFUSED, stuck=True,
            )  # fmt: skip
        if 300 <= status < 400:
            raise NotNowError(
                f"{host} redirects, which is not followed: maybe to a page where people log in. Write the address of "
                f"the API itself into {self._field}, and see that it takes the login",
                MISLED, stuck=True,
            )  # fmt: skip
        raise NeverError(f"{host} answered {status}{said}", status)

    def _said(self, answer: Answer) -> str:
        """Its own words of what is wrong."""
        document = answer.object
        words = document.get("detail") or document.get("message") or document.get("exception_message")
        if words is None and answer.document is None and "html" not in answer.headers.get("content-type", ""):
            words = answer.body[:2000].decode(errors="replace")
        shown = self.told(words) if words else ""
        return f": {shown}" if shown else ""


def _spellings(secret: str) -> list[str]:
    """Of a secret, as systems repeat what they were sent: in an address, a form, JSON, HTML, a header; the longest
    first."""
    if not secret:
        return []
    packed = base64.b64encode(secret.encode()).decode()
    found = {
        secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1],
        html.escape(secret), packed, packed.rstrip("="),
    }  # fmt: skip
    # Hexadecimal digits of an address are written in either case.
    found |= {re.sub("%[0-9A-F]{2}", lambda each: each[0].lower(), each) for each in found if "%" in each}
    return sorted(found, key=len, reverse=True)


async def _document(raw: bytes) -> Any:
    try:
        return decoded(raw) if len(raw) <= AT_ONCE else await asyncio.to_thread(decoded, raw)
    except ValueError:
        return None


def _is_limited(answer: Answer) -> bool:
    """GitHub says 403 where it has been asked too often."""
    told = answer.headers
    return answer.status == 403 and (told.get("x-ratelimit-remaining") == "0" or "retry-after" in told)
