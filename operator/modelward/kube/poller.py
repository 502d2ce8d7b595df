"""Asks other people's networks beside the reconciles, so that no reconcile waits for anything but the API server.

A reconcile says what it would like to know (`ask`), goes on with what is known already, and is repeated when the answer
is there. Invariants: of one question one look at a time; of one namespace a few looks of a kind at a time, so that mute
pods and hanging webhooks of one tenant delay nobody else; who is slow is asked less often, in proportion, and waits in
a line of its own, so that it delays nobody of its own namespace either.
Failure: a look that raises, or takes too long, is logged and counts as one that brought nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace
from typing import Final

from modelward.kube.cache import Key

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""Looks of one kind under way in one namespace, and as many of slow ones. Each may ask every pod of a model at once."""

SLOW: Final = 0.5
"""Seconds: whose last look took longer is slow. Pods answer within milliseconds, and mute ones take their time-out."""

REST: Final = 5.0
"""How long a question rests, in times of what its last look took: mute pods (2 s) are asked a fifth of the time."""

LONGEST: Final = 60.0
"""Seconds that a look may take; each request in it has a shorter time-out of its own."""

FAILED, FAILED_MAX = 1.0, 60.0
"""Seconds that a question rests after a look that raised, at least; it doubles with each in a row, up to the second."""

REMEMBERED: Final = 3600.0
"""Seconds after which a question that nobody asks any more is forgotten."""

AWAITED: Final = 5.0
"""Seconds for which a first answer is waited for before it counts as none."""

Look = Callable[[], Awaitable[object]]


class PendingError(Exception):
    """What has to be known first has just been asked. The key becomes due when there is an answer."""


@dataclass(frozen=True)
class Question:
    """`kind`: shares its namespace's limit with others of it. `part`: tells questions of one kind and key apart."""

    kind: str
    key: Key
    part: str = ""


@dataclass
class _Asked:
    """`about`: what the look was for; `began`: when, monotonic seconds; `took`: seconds, of the last that has ended;
    `since`: when the first was asked that has no answer yet; `answered`: whether any look about this went well;
    `failures`: looks in a row that raised."""

    about: Hashable
    began: float
    since: float
    took: float = 0.0
    answered: bool = False
    failures: int = 0
    task: "asyncio.Task[None] | None" = None


class Poller:
    """`due`: makes a key due, called when a look of it has ended. `clock`: monotonic seconds. `may_ask`: the fence of
    the lease: who is asked is told something by it, too (that counts were read, what to compare with)."""

    def __init__(
        self,
        due: Callable[[Key], None],
        clock: Callable[[], float],
        at_once: int = AT_ONCE,
        may_ask: Callable[[], bool] = lambda: True,
    ) -> None:
        self._due = due
        self._may_ask = may_ask
        self._clock = clock
        self._at_once = at_once
        self._asked: dict[Question, _Asked] = {}
        self._pruned_at = clock()
        self._under_way: dict[tuple[str, str, bool], asyncio.Semaphore] = {}

    def ask(self, question: Question, look: Look, every: float, about: Hashable = None) -> float | None:
        """Let `look` run now, where it did not begin within the last `every` seconds and has not to rest.

        Returns the seconds until it may run (again). None: it runs, and the key becomes due when it has ended.
        `about`: a look that was about something else does not count, and is stopped where it still runs.
        """
        now, last = self._clock(), self._asked.get(question)
        if last is not None and last.about == about:
            if last.task is not None:
                return None
            failed = min(FAILED_MAX, FAILED * 2.0 ** min(last.failures - 1, 16)) if last.failures else 0.0
            left = last.began + max(every, REST * last.took, failed) - now
            if left > 0:
                return left
            asked = replace(last, began=now)
        else:
            asked = _Asked(about, now, now)
            if last is not None:
                asked.took, asked.since = last.took, now if last.answered else last.since
            if last is not None and last.task is not None:
                last.task.cancel()
        self._prune(now)
        self._asked[question] = asked
        asked.task = asyncio.create_task(self._look(question, asked, look), name=f"{question.kind} {question.key}")
        return None

    def is_pending(self, question: Question) -> bool:
        """Whether the first answer about this is still to come, and worth to be waited for."""
        asked = self._asked.get(question)
        return asked is not None and not asked.answered and self._clock() - asked.since < AWAITED

    async def answered(self, question: Question) -> None:
        """Return when no look of it is under way."""
        while (asked := self._asked.get(question)) is not None and asked.task is not None:
            await asyncio.wait([asked.task])

    async def idle(self) -> None:
        """Return when nothing is under way."""
        while tasks := [asked.task for asked in self._asked.values() if asked.task is not None]:
            await asyncio.wait(tasks)

    def forget(self, key: Key) -> None:
        """Whatever is asked of it is of no interest any more."""
        for question in [each for each in self._asked if each.key == key]:
            self.drop(question)

    def drop(self, question: Question) -> None:
        asked = self._asked.pop(question, None)
        if asked is not None and asked.task is not None:
            asked.task.cancel()

    async def close(self) -> None:
        """Stop every look, and wait for its end."""
        tasks = [asked.task for asked in self._asked.values() if asked.task is not None]
        self._asked.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, question: Question, asked: _Asked, look: Look) -> None:
        began = self._clock()
        try:
            async with self._slot(question, slow=asked.took > SLOW):
                began = self._clock()
                if not self._may_ask():
                    return
                async with asyncio.timeout(LONGEST):
                    await look()
            asked.answered, asked.failures = True, 0
        except Exception as error:
            known = isinstance(error, TimeoutError) or type(error).__module__ == "modelward.kube.client"
            asked.failures += 1
            log.warning("%s, %s: the look failed: %r", question.key, question.kind, error, exc_info=not known)
        finally:
            asked.task, asked.took = None, self._clock() - began
        if self._asked.get(question) is asked:
            self._due(question.key)

    def _prune(self, now: float) -> None:
        if now - self._pruned_at >= REMEMBERED:
            self._pruned_at = now
            old = [each for each, asked in self._asked.items() if asked.task is None and now - asked.began > REMEMBERED]
            for question in old:
                del self._asked[question]

    def _slot(self, question: Question, *, slow: bool) -> asyncio.Semaphore:
        line = (question.kind, question.key.namespace, slow)
        return self._under_way.setdefault(line, asyncio.Semaphore(self._at_once))
