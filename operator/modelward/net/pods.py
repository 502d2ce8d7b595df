"""Asks pods by HTTP. A pod is never believed: what it serves may have changed what answers.

Invariants: a server or monitor that has a key is asked with a signature, and what it answers is read only with its own;
no redirect is followed and nothing unpacked (see body.py); an answer has 2 MiB at most; what takes time to
read is read beside the event loop, a few at once, so that neither the lease nor other models wait for it; a namespace
has its share of all that (budget.py); and a pod whose answers can't be read is left alone for a while, longer each
time.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import aiohttp
from yarl import URL

from modelward.facts import PodFacts
from modelward.net.body import read
from modelward.net.budget import Budget, LeftOutError
from modelward.net.credentials import Credentials, NoCredentialError, NotYetError, Signed
from modelward.net.untrusted import decoded, quoted
from modelward_auth import messages

T = TypeVar("T")

TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)

MAX_BYTES: Final = 2 << 20
"""Of an answer: metrics have some hundred kilobytes, the counts of a thousand features less than a megabyte."""

AT_ONCE_BYTES: Final = 32 << 10
"""What is read on the event loop: some hundred microseconds."""

READERS: Final = 4
"""Larger answers that are read at once: what they may become must fit into the operator's memory together."""

PAUSE, PAUSE_MAX = 30.0, 900.0
"""Seconds that a pod is left alone after an answer that can't be read: at first, and at most; it doubles each time."""

REMEMBERED: Final = 10_000
"""Pods that misbehaved, the oldest goes first."""

UNREADABLE: Final = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AttributeError)
"""What reading an answer raises that is not what it should be."""


class NoAnswerError(Exception):
    """Nobody answered, or not in time."""


class BadAnswerError(Exception):
    """There is an answer, and it can't be read; or the last one could not, and the pod is left alone. The text says why
    in words of ours."""


class UnprovenError(Exception):
    """What answers does not prove that it is the pod. The text says what it is told of, in words of ours.

    `refusal`: it refuses to be asked, which passes: a pod may not know the operator's newest key yet. `early`: it does
    so since it has only begun, which is no problem.
    """

    def __init__(self, message: str, *, refusal: bool, early: bool = False) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.early = early


class Pods:
    """`clock`: monotonic seconds; `credentials`: without them, pods that have a key are not asked; `budget`: shared by
    all who ask pods."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Callable[[], float] = time.monotonic,
        credentials: Credentials | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._session = session
        self._budget = budget or Budget(clock)
        self._clock = clock
        self._credentials = credentials or Credentials(lambda: None, time.time)
        self._readers = asyncio.Semaphore(READERS)
        self._left_alone: dict[str, tuple[float, float, str]] = {}

    async def ask(
        self,
        pod: PodFacts,
        port: int,
        path: str,
        parse: Callable[[int, bytes], T],
        method: str = "GET",
        body: Any = None,
        process: str | None = None,
    ) -> T:
        """What `parse` makes of status and body; it runs in another thread, so it must not touch anything shared.

        `path`: quoted already; `body`: sent as JSON; `process`: which one of a model's pod is asked, None for a pod of
        another kind, which can prove nothing. Raises NoAnswerError, BadAnswerError.
        """
        pause, until, why = self._left_alone.get(pod.uid, (0.0, float("-inf"), ""))
        if self._clock() < until:
            raise BadAnswerError(why)
        sent = b"" if body is None else json.dumps(body).encode()
        signed = await self._signed(pod, process, method, path, sent)
        headers = {messages.HEADER: signed.header} if signed else {}
        try:
            async with self._budget.asking(pod) as question:
                async with self._session.request(
                    method,
                    url(pod, port, path),
                    data=sent or None,
                    headers=headers | ({"Content-Type": "application/json"} if sent else {}),
                    timeout=TIMEOUT,
                    allow_redirects=False,
                ) as response:
                    raw = await read(response.content, MAX_BYTES, question.heard)
                    status, proof = response.status, response.headers.get(messages.PROOF)
                question.in_vain = False

            def proven(status: int, raw: bytes) -> T:
                if signed is not None and not signed.proves(status, raw, proof):
                    raise _unproven(status, raw)
                return parse(status, raw)

            found = await self._parsed(proven, status, raw, question.readers)
        except LeftOutError as error:
            raise (NoAnswerError if error.suspect else BadAnswerError)(str(error)) from error
        except UnprovenError as error:
            if not error.refusal:
                self._leave_alone(pod, pause, str(error))
            raise (NoAnswerError if error.early else BadAnswerError)(str(error)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoAnswerError from error
        except UNREADABLE as error:
            why = f"it answers {method} {path.partition('?')[0]} with what can't be read"
            self._leave_alone(pod, pause, why)
            raise BadAnswerError(why) from error
        self._left_alone.pop(pod.uid, None)
        return found

    async def _signed(self, pod: PodFacts, process: str | None, method: str, path: str, body: bytes) -> Signed | None:
        if process is None:
            return None
        try:
            await self._credentials.prepare(pod)
            return self._credentials.sign(pod, process, method, path, body)
        except NotYetError as error:
            raise NoAnswerError from error
        except NoCredentialError as error:
            raise BadAnswerError(str(error)) from error

    async def _parsed(self, parse: Callable[[int, bytes], T], status: int, raw: bytes, readers: asyncio.Semaphore) -> T:
        if len(raw) <= AT_ONCE_BYTES:
            return parse(status, raw)
        async with readers, self._readers:
            return await asyncio.to_thread(parse, status, raw)

    def _leave_alone(self, pod: PodFacts, pause: float, why: str) -> None:
        longer = min(PAUSE_MAX, 2 * pause or PAUSE)
        self._left_alone.pop(pod.uid, None)
        self._left_alone[pod.uid] = (longer, self._clock() + longer, why)
        while len(self._left_alone) > REMEMBERED:
            del self._left_alone[next(iter(self._left_alone))]


def _unproven(status: int, raw: bytes) -> UnprovenError:
    if status != 401:
        return UnprovenError("what answers at its address does not prove that it is this pod", refusal=False)
    try:
        told = decoded(raw)
        said, early = quoted(told["error"]), told.get("early") is True
    except UNREADABLE:
        said, early = "it does not say why", False
    return UnprovenError(f"it refuses the operator: {said}", refusal=True, early=early)


def url(pod: PodFacts, port: int, path: str) -> URL:
    """Of a pod. `path`: quoted already."""
    address = f"[{pod.ip}]" if pod.ip and ":" in pod.ip else pod.ip
    return URL(f"http://{address}:{port}{path}", encoded=True)
