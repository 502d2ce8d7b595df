"""Spans on their way to a collector, by OTLP/HTTP, from a thread of its own.

Invariants: whoever hands a span over never waits, and holds a bounded number of them; a collector that is away, slow or
hostile costs the spans alone, and each that is lost is counted. Its answers are read up to a bound, and redirects are
none of them.
"""

import http.client
import logging
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from modelward_telemetry.spans import Span, Value, encode

log = logging.getLogger(__name__)

CAPACITY: Final = 2048
"""Spans that wait; the next one is lost. Some 2 MB."""

BATCH: Final = 256
"""Spans of one request."""

PERIOD: Final = 1.0
"""Seconds that a span waits for others at most."""

TIMEOUT: Final = 5.0
"""Seconds for each step of a request."""

LONGEST_PAUSE: Final = 30.0
"""Seconds between attempts while the collector is away; the first pauses are shorter."""

MAX_ANSWER: Final = 64 << 10
"""Bytes that are read of an answer."""

_PASSES: Final = frozenset({429, 502, 503, 504})
"""Statuses after which OTLP has a client try again."""


SENT: Final = "sent"
DROPPED: Final = "dropped"

Count = Callable[[str, int], None]


class RefusedError(Exception):
    """The collector does not take these spans, now or later."""


class Exporter:
    """`address`: the whole URL, http or https; `headers`: of each request; `resource`: who makes the spans; `count`: is
    told SENT or DROPPED, and of how many spans, from any thread; `certificate`: a file with the authorities of https,
    empty: the system's. Raises OSError where that can't be read."""

    def __init__(
        self,
        address: str,
        headers: Mapping[str, str],
        resource: Mapping[str, Value],
        count: Count,
        certificate: str = "",
    ) -> None:
        self._address = urlsplit(address)
        self._headers = {**headers, "Content-Type": "application/x-protobuf"}
        self._resource = resource
        self._trusted = (
            ssl.create_default_context(cafile=certificate or None) if self._address.scheme == "https" else None
        )
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_away = False
        self._count = count

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """Take a span over. From one thread."""
        if len(self._waiting) >= CAPACITY:
            self._count(DROPPED, 1)
            return
        self._waiting.append(span)
        if len(self._waiting) == BATCH:
            self._wake.set()

    def close(self) -> None:
        """Try once to send what is left, for at most a few seconds."""
        self._ending.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(2 * TIMEOUT)

    def _run(self) -> None:
        pause = 0.0
        while not self._ending.is_set():
            if pause:
                self._ending.wait(pause)  # a full queue is no reason to ask again earlier
            else:
                self._wake.wait(PERIOD)
            self._wake.clear()
            pause = 0.0 if self._send_all() else min(max(2 * pause, PERIOD), LONGEST_PAUSE)
        self._send_all()
        self._count(DROPPED, len(self._waiting))
        self._waiting.clear()

    def _send_all(self) -> bool:
        """False: the collector is away."""
        while self._waiting:
            batch = [self._waiting[each] for each in range(min(BATCH, len(self._waiting)))]
            try:
                self._post(encode(self._resource, batch))
                self._count(SENT, len(batch))
                self._tell(None)
            except RefusedError as error:
                self._count(DROPPED, len(batch))
                self._tell(error)
            except (OSError, http.client.HTTPException) as error:
                self._tell(error)
                return False
            except Exception as error:  # noqa: BLE001  a span that can't be written must not end those after it
                self._count(DROPPED, len(batch))
                self._tell(error)
            for _ in batch:
                self._waiting.popleft()
        return True

    def _post(self, body: bytes) -> None:
        """Raises RefusedError; OSError and HTTPException where another attempt may go well."""
        connection = self._connection()
        try:
            path = self._address.path + (f"?{self._address.query}" if self._address.query else "")
            connection.request("POST", path or "/", body, self._headers)
            answer = connection.getresponse()
            answer.read(MAX_ANSWER)
        finally:
            connection.close()
        if answer.status in _PASSES:
            raise ConnectionError(f"HTTP {answer.status}")
        if not 200 <= answer.status < 300:
            raise RefusedError(f"HTTP {answer.status}")

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._trusted is None:
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=self._trusted)

    def _tell(self, error: Exception | None) -> None:
        """When it begins and when it ends, not each time."""
        if error is not None and not self._is_away:
            log.warning(
                "spans don't reach the collector at %s, port %s: %s: %s; those for which there is no room are dropped",
                self._address.hostname, self._address.port, type(error).__name__, error,
            )  # fmt: skip
        if error is None and self._is_away:
            log.info("spans reach the collector again")
        self._is_away = error is not None
