"""Sends events to the installation's OpenLineage receiver, beside everything else.

At least once, and in the order in which they came, of one namespace: the next one is sent when the one before it was
taken. While the receiver is down, or refuses the login, they wait in memory within a bound, and are tried again with
backoff; namespaces take turns, so that one whose event is not taken holds up no other. Invariant: what is lost is
counted and logged. What waits when the process ends is read from the statuses again by the next one.
"""

import asyncio
import logging
import random
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from modelward import telemetry
from modelward.lineage.events import Event
from modelward.net.body import read_up_to
from modelward.net.untrusted import quoted

log = logging.getLogger(__name__)

TIMEOUT: Final = 10.0
"""Seconds for one event."""

MOST: Final = 16 << 20
"""Bytes of events that wait: some thousand of them."""

RETRY, RETRY_MAX = 1.0, 300.0
"""Seconds between two attempts: at first, doubled each time, and at most."""

TRIES: Final = 8
"""Of an event that fails while those of others are taken: then it is that event, and not the receiver."""

_BAD_EVENT: Final = frozenset({400, 413, 422})
"""Status codes that mean the event itself: another attempt would only lead to the same."""

_ANSWER: Final = 1000
"""Bytes of an answer that are read, for the log."""

LOST: Final = "lost"


@dataclass(frozen=True)
class Receiver:
    """`url`: the whole address that events are posted to; `key_file`: holds a bearer token, and is read for each event,
    since whoever gives it renews it."""

    url: str
    key_file: Path | None = None


class NotTakenError(Exception):
    """An event was not taken. `bad`: it never will be; `answered`: the receiver is there; `wait`: seconds for which it
    wants to be left alone."""

    def __init__(self, message: str, *, bad: bool = False, answered: bool = False, wait: float = 0.0) -> None:
        super().__init__(message)
        self.bad = bad
        self.answered = answered
        self.wait = wait


@dataclass
class _Waiting:
    event: Event
    body: bytes
    tries: int = 0
    others: int = 0
    """Events of all namespaces that had been taken when it failed first."""


@dataclass
class _Line:
    """Of one namespace."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    size: int = 0


class Outbox:
    """`async with` one: its end stops the sending. `retry`: seconds before the second attempt."""

    def __init__(
        self, session: aiohttp.ClientSession, receiver: Receiver, most: int = MOST, retry: float = RETRY
    ) -> None:
        self._session = session
        self._receiver = receiver
        self._url = URL(receiver.url)
        self._shown = str(self._url.with_user(None).with_query(None))
        self._most = most
        self._retry = retry
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._size = 0
        self._taken = 0
        self._there = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._send_for_ever(), name="openlineage")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """Events that are not sent yet."""
        return sum(len(line.waiting) for line in self._lines.values())

    def put(self, namespace: str, events: Iterable[Event]) -> None:
        """Have events of one namespace sent; returns at once."""
        line = self._lines.setdefault(namespace, _Line())
        for event in events:
            body = event.body()
            line.waiting.append(_Waiting(event, body))
            line.size += len(body)
            self._size += len(body)
        while self._size > self._most:
            # Of who has most waiting: nobody pushes out what others have to tell.
            greedy = max(self._lines, key=lambda name: self._lines[name].size)
            self._lose(greedy, "too many wait for the receiver")
        self._told()
        if self._size:
            self._there.set()

    async def _send_for_ever(self) -> None:
        failures = 0
        while True:
            await self._there.wait()
            namespace = next(iter(self._lines))
            try:
                await self._send_first(namespace)
                failures = 0
                continue
            except NotTakenError as error:
                failures += 1
                pause = max(error.wait, min(RETRY_MAX, self._retry * 2.0 ** min(failures - 1, 16)))
                # The first of a row, and then less and less: a receiver may be down for days.
                if failures & (failures - 1) == 0:
                    log.warning("OpenLineage: %s. %d events wait", error, self.waiting)
            except Exception:  # nothing here may end the operator
                failures += 1
                pause = RETRY_MAX
                log.exception("OpenLineage: sending failed")
            await asyncio.sleep(pause * (1 + 0.1 * random.random()))  # noqa: S311

    async def _send_first(self, namespace: str) -> None:
        """Send the first of a namespace, and let the next one have its turn. Raises NotTakenError."""
        line = self._lines[namespace]
        if not line.waiting:
            del self._lines[namespace]
            if not self._lines:
                self._there.clear()
            return
        first = line.waiting[0]
        self._lines.move_to_end(namespace)
        try:
            await self._post(first.body)
        except NotTakenError as error:
            if not line.waiting or line.waiting[0] is not first:
                raise  # it was pushed out meanwhile
            if not first.tries:
                first.others = self._taken
            first.tries += error.answered
            if error.bad or (first.tries >= TRIES and self._taken > first.others):
                self._lose(namespace, str(error))
                self._told()
                return
            raise
        self._taken += 1
        telemetry.LINEAGE_EVENTS.labels("sent").inc()
        if line.waiting and line.waiting[0] is first:
            self._take_out(line)
        self._told()

    def _lose(self, namespace: str, why: str) -> None:
        event = self._take_out(self._lines[namespace]).event
        telemetry.LINEAGE_EVENTS.labels(LOST).inc()
        job = event.document["job"]["name"]
        log.error("OpenLineage: lost the event %s of %s (run %s): %s", event.type, job, event.run, why)

    def _take_out(self, line: _Line) -> _Waiting:
        found = line.waiting.popleft()
        line.size -= len(found.body)
        self._size -= len(found.body)
        return found

    def _told(self) -> None:
        telemetry.LINEAGE_WAITING.set(self.waiting)

    async def _post(self, body: bytes) -> None:
        """Raises NotTakenError."""
        headers = {"Content-Type": "application/json", **await self._authorization()}
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT),
                allow_redirects=False,
            ) as response:  # fmt: skip
                status, told = response.status, response.headers
                said = quoted((await read_up_to(response.content, _ANSWER)).decode(errors="replace"))
        except TimeoutError:
            raise NotTakenError(f"{self._shown} does not answer within {TIMEOUT:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NotTakenError(f"{self._shown} can't be reached: {quoted(error)}") from None
        if 200 <= status < 300:
            return
        cure = {
            401: "; correct the key in MODELWARD_OPENLINEAGE_API_KEY_FILE",
            403: "; correct the key in MODELWARD_OPENLINEAGE_API_KEY_FILE",
            404: "; MODELWARD_OPENLINEAGE_URL has to be the whole address, such as http://marquez:5000/api/v1/lineage",
        }.get(status, "")
        raise NotTakenError(
            f"{self._shown} answers with HTTP status {status}{f' ({said})' if said else ''}{cure}",
            bad=status in _BAD_EVENT, answered=status >= 500 and status != 503, wait=_wait(told.get("Retry-After")),
        )  # fmt: skip

    async def _authorization(self) -> dict[str, str]:
        """Raises NotTakenError."""
        if self._receiver.key_file is None:
            return {}
        try:
            key = (await asyncio.to_thread(self._receiver.key_file.read_text)).strip()
        except (OSError, ValueError) as error:
            raise NotTakenError(f"MODELWARD_OPENLINEAGE_API_KEY_FILE can't be read: {quoted(error)}") from None
        if not key or not key.isascii() or not key.isprintable():
            raise NotTakenError(
                "the file of MODELWARD_OPENLINEAGE_API_KEY_FILE holds no key; write it there, in a line"
            )
        return {"Authorization": f"Bearer {key}"}


def _wait(text: str | None) -> float:
    """Seconds of a Retry-After; 0 where it has none (a date is left to the backoff)."""
    return min(RETRY_MAX, float(text)) if text is not None and text.strip().isdecimal() else 0.0
