"""Asks Prometheus, or anything with its HTTP API, for one number.

An answer that is no number is never guessed at: no data is None, everything else an error for the user to read. The
messages hold no counts and no times: they end up in conditions, and each change of those is a write.
API: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

import contextlib
import math
from pathlib import Path
from typing import Any, Final

import aiohttp
from yarl import URL

from modelward.net.body import read
from modelward.net.untrusted import decoded

TIMEOUT: Final = 5.0
"""Seconds for one query: what takes longer asks too much of Prometheus, each time that a gate looks."""

_SERVER_SHARE: Final = 0.8
"""Of the time-out that Prometheus itself is told: its word that the query takes too long has to arrive within ours."""

_MAX_ANSWER: Final = 1 << 20
"""Bytes. One number is far below; a query that forgot to aggregate may select many thousand series."""

_MAX_QUOTE: Final = 300
"""Characters of Prometheus's own words in a message."""

_ONE_NUMBER: Final = "a gate needs one number. Aggregate, for example with sum(…) or avg(…)"

_CURES: Final = {
    "bad_data": "Correct the query",
    "execution": "Correct the query",
    "timeout": "Ask for less: a shorter range, fewer series, or a recording rule",
    "canceled": "Ask for less: a shorter range, fewer series, or a recording rule",
}
"""By errorType of the API."""
_OTHER_CURE: Final = "See the logs of Prometheus"


class PrometheusError(Exception):
    """There is no answer to judge; the message names the cause and the cure."""


class Prometheus:
    """One Prometheus, by its base URL: `http://prometheus.monitoring:9090`, with the prefix of its paths if it has one.

    `timeout`: seconds for one query. `token_file`: holds the bearer token, and is read for each query, since whoever
    gives it renews it; `tenant`: of Mimir, Thanos or Cortex. Raises ValueError for a base URL that is none.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        timeout: float = TIMEOUT,
        token_file: Path | None = None,
        tenant: str | None = None,
    ) -> None:
        self._token_file = token_file
        self._tenant = tenant
        base = _base(url)
        self._session = session
        self._endpoint = base / "api/v1/query"
        self._timeout = timeout
        self._shown = str(base.with_user(None))  # a password does not belong into messages

    async def query(self, promql: str) -> float | None:
        """The value of `promql` now; None where it selects no data or is NaN, as 0/0 is.

        Raises PrometheusError where Prometheus can't be reached, refuses the query, or has not one number for it.
        """
        status, body = await self._post(promql)
        match _parsed(body):
            case {"status": "success", "data": {"resultType": str(kind), "result": result}}:
                with contextlib.suppress(ValueError):
                    return _number(kind, result)
            case {"status": "error", "error": str(words), **more}:
                cure = _CURES.get(str(more.get("errorType")), _OTHER_CURE)
                raise PrometheusError(f"Prometheus refuses the query: {_quote(words)}. {cure}")
        raise PrometheusError(
            f"What is at {self._shown} answers with HTTP status {status}, and not as Prometheus does. Write the "
            "address of Prometheus itself, without /api/v1, and check whether it wants a login"
        )

    async def _post(self, promql: str) -> tuple[int, bytes]:
        """HTTP status and body. By POST, since a long query does not fit into an address."""
        form = {"query": promql, "timeout": f"{_SERVER_SHARE * self._timeout}"}
        limit = aiohttp.ClientTimeout(total=self._timeout)
        headers = self._headers()
        try:
            async with self._session.post(
                self._endpoint, data=form, headers=headers, timeout=limit, allow_redirects=False
            ) as response:
                body = await _read(response.content)
        except TimeoutError:
            raise PrometheusError(
                f"Prometheus at {self._shown} does not answer within {self._timeout:g} s. Check whether network "
                "policies let the operator through, and whether the query asks for too much"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise PrometheusError(
                f"Prometheus at {self._shown} can't be reached: {_quote(str(error))}. Check its address, and that "
                "network policies let the operator through"
            ) from error
        if response.status in range(300, 400):
            target = response.headers.get("Location", "another address")
            raise PrometheusError(f"Prometheus at {self._shown} redirects to {_quote(target)}. Write where it leads to")
        return response.status, body

    def _headers(self) -> dict[str, str]:
        headers = {} if self._tenant is None else {"X-Scope-OrgID": self._tenant}
        if self._token_file is None:
            return headers
        try:
            token = self._token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PrometheusError(
                f"The token for Prometheus can't be read from {self._token_file}: {type(error).__name__}. Mount it "
                "there, or correct MODELWARD_PROMETHEUS_TOKEN_FILE in the operator's settings"
            ) from error
        if not token or not token.isascii() or not token.isprintable():
            raise PrometheusError(f"{self._token_file} holds no token for Prometheus: one line of printable ASCII")
        return headers | {"Authorization": f"Bearer {token}"}


def _number(kind: str, result: Any) -> float | None:
    """Raises PrometheusError for the result of a query that has not one number, ValueError for what is no result."""
    match kind, result:
        case "vector", []:
            return None
        case ("vector", [{"value": [_, str(text)]}]) | ("scalar", [_, str(text)]):
            value = float(text)
            return None if math.isnan(value) else value
        case "vector", [{"histogram": _}]:
            raise PrometheusError("The query's value is a histogram. Take a number of it: histogram_quantile(…)")
        case "vector", [_, _, *_]:
            raise PrometheusError(f"The query selects more than one series, and {_ONE_NUMBER}")
        case "matrix", _:
            raise PrometheusError(f"The query's value is a range of values, and {_ONE_NUMBER}")
        case "string", _:
            raise PrometheusError(f"The query's value is a text, and {_ONE_NUMBER}")
    raise ValueError(kind)


def _base(url: str) -> URL:
    try:
        base = URL(url)
    except ValueError:  # a port out of range, for example
        base = URL()
    if base.scheme not in ("http", "https") or not base.host:
        raise ValueError(f"{url!r} is no address of Prometheus; write one such as http://prometheus.monitoring:9090")
    return base


async def _read(content: aiohttp.StreamReader) -> bytes:
    """The whole body. Raises PrometheusError where it is longer than any answer that could be used."""
    try:
        return await read(content, _MAX_ANSWER)
    except ValueError:
        raise PrometheusError(f"The query selects very much, and {_ONE_NUMBER}") from None


def _parsed(body: bytes) -> Any:
    """None where the body is no JSON, or so nested that it is no answer either."""
    try:
        return decoded(body)
    except ValueError:
        return None


def _quote(words: str) -> str:
    words = " ".join(words.split()).rstrip(".")
    return words if len(words) <= _MAX_QUOTE else words[: _MAX_QUOTE - 1] + "…"
