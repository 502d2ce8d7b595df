"""Asks registries what references mean, beside the reconciles, and keeps what they said last.

One look for each reference of a registry, however many ModelDeployments use it: every pollInterval with jitter, less
often while it fails, and not before a Retry-After is over. Invariant: what was said stays until the registry says
something else; a failure is kept beside it. What a namespace's registries cost is bounded as its pods are (net/purse).
Failure: a problem in words, in `Said`.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from modelward import telemetry
from modelward.api.modelregistry import ModelRegistry
from modelward.kube.cache import Key
from modelward.kube.client import ApiError, ApiUnreachableError
from modelward.kube.poller import Poller, Question
from modelward.models.following import Said
from modelward.models.references import NoReferenceError, parse
from modelward.models.resolved import Resolved
from modelward.registries.access import BACKOFF_MAX, FAILURES, LEFT_OUT, LONGEST_LOOK, Access, backoff
from modelward.registries.registry import Registry, RegistryError
from modelward.values.durations import seconds

log = logging.getLogger(__name__)

KIND: Final = "registry"
"""Of the poller's questions."""

JITTER: Final = 0.1
"""Share of the interval: many models made at once must not ask in step for ever."""

BESIDES: Final = 120.0
"""Seconds after which what nobody follows, and nobody has asked about since, is asked for no more."""


@dataclass
class _Followed:
    said: Said | None = None
    every: float = 0.0
    failures: int = 0
    not_before: float = float("-inf")
    asked_at: float | None = None


@dataclass(frozen=True)
class _Heard:
    """`reached`: it answered, whatever it said; `wait`: seconds for which it wants to be left alone."""

    said: Said
    reached: bool
    wait: float | None = None


class Registries:
    """`access`: shared with whoever writes into registries; `changed`: is told of what was said anew; `clock`:
    monotonic seconds; `now`: seconds since the epoch."""

    def __init__(
        self,
        access: Access,
        poller: Poller,
        clock: Callable[[], float],
        now: Callable[[], float],
        changed: Callable[[Key, str], None] = lambda _key, _reference: None,
    ) -> None:
        self.access = access
        self._poller = poller
        self._clock = clock
        self._now = now
        self._followed: dict[Key, dict[str, _Followed]] = {}
        self._besides: dict[Key, dict[str, float]] = {}
        self._wanted: dict[Key, frozenset[str]] = {}
        self._pokes: dict[Key, int] = {}
        self.changed = changed

    def look(self, registry: ModelRegistry, wanted: Iterable[tuple[str, tuple[str, ...]]]) -> float | None:
        """Have every reference of `wanted` asked that is due. Returns the seconds until one may be due again.

        `wanted`: references ('': only whether the registry answers), each with the values by which people asked for it
        to be looked at now.
        """
        key = Key(registry.namespace, registry.name, registry.kind)
        known = self._followed.setdefault(key, {})
        asked: list[float] = []
        references = dict(wanted)
        self._wanted[key] = frozenset(references)
        for gone in known.keys() - references.keys() - self._asked_besides(key):
            del known[gone]
            self._poller.drop(Question(KIND, key, gone))
        for reference, refreshed in references.items():
            state = known.setdefault(reference, _Followed())
            left = state.not_before - self._clock()
            if left <= 0:
                left = self._ask(key, registry, reference, state, refreshed) or 0.0
            if left > 0:
                asked.append(left)
        return min(asked, default=None)

    def poke(self, key: Key) -> None:
        """The next `look` at the registry asks it, whenever it was asked last; not before a Retry-After is over."""
        self._pokes[key] = self._pokes.get(key, 0) + 1

    def about(self, registry: ModelRegistry, reference: str, since: float = float("-inf")) -> Said | None:
        """What is known of a reference that nobody follows: it is asked for as long as somebody goes on to call this.

        None: no look has ended yet, or none of a registry that answers since `since` (seconds since the epoch).
        """
        key = Key(registry.namespace, registry.name, registry.kind)
        if reference in self._wanted.get(key, ()):
            return self.said(registry, reference)
        self._besides.setdefault(key, {})[reference] = self._clock()
        state = self._followed.setdefault(key, {}).setdefault(reference, _Followed())
        if state.not_before <= self._clock():
            self._ask(key, registry, reference, state)
        stale = state.failures == 0 and (state.asked_at is None or state.asked_at < since)
        return None if stale and since > float("-inf") else self.said(registry, reference)

    def _ask(
        self, key: Key, registry: ModelRegistry, reference: str, state: _Followed, refreshed: tuple[str, ...] = ()
    ) -> float | None:
        """Seconds until it may be asked again, None: it is asked now."""
        about = (registry.spec, registry.refresh, refreshed, self._pokes.get(key, 0))
        look = partial(self._look, key, registry, reference, state)
        return self._poller.ask(Question(KIND, key, reference), look, state.every, about)

    def _asked_besides(self, key: Key) -> set[str]:
        asked, now = self._besides.get(key, {}), self._clock()
        for old in [each for each, at in asked.items() if now - at > BESIDES]:
            del asked[old]
        return set(asked)

    def said(self, registry: ModelRegistry, reference: str) -> Said | None:
        """What is known of a reference; None: no look has ended yet, or none at this address."""
        key = Key(registry.namespace, registry.name, registry.kind)
        state = self._followed.get(key, {}).get(reference)
        found = None if state is None else state.said
        return found if found is not None and found.address == registry.address else None

    def last_poll(self, registry: ModelRegistry) -> float | None:
        """When it was asked last, seconds since the epoch."""
        states = self._followed.get(Key(registry.namespace, registry.name, registry.kind), {}).values()
        return max((each.asked_at for each in states if each.asked_at is not None), default=None)

    def forget(self, key: Key) -> None:
        """The registry is gone, or another installation's."""
        self._followed.pop(key, None)
        self._besides.pop(key, None)
        self._wanted.pop(key, None)
        self._pokes.pop(key, None)
        self._poller.forget(key)

    async def _look(self, key: Key, registry: ModelRegistry, reference: str, state: _Followed) -> None:
        bill = self.access.budgets.begin(key.namespace, suspect=state.failures > 0)
        if bill is None:
            state.every = LEFT_OUT
            return
        before = state.said
        heard: _Heard | None = None
        try:
            heard = await self._heard(key, registry, reference, before, bill.count)
        finally:
            # Also of a look that is stopped by another one: it has cost what it has.
            bill.end(in_vain=heard is None or not heard.reached)
        if heard is None:
            state.every = LEFT_OUT
            return
        self._take(state, heard.said, seconds(registry.spec.poll_interval), heard.wait)
        telemetry.REGISTRY_POLLS.labels("ok" if heard.said.trouble is None else "error").inc()
        if heard.said != before:
            self.changed(key, reference)

    async def _heard(
        self, key: Key, registry: ModelRegistry, reference: str, before: Said | None, count: Callable[[int], None]
    ) -> _Heard | None:
        """None: the API server did not tell what it is asked with."""
        known = before.resolved if before is not None and before.address == registry.address else None
        try:
            async with asyncio.timeout(LONGEST_LOOK):
                one = await self.access.opened(registry, count)
                return _Heard(Said(registry.address, await self._asked(one, reference, known)), True)
        except (ApiError, ApiUnreachableError) as error:
            log.warning("%s: what it is asked with could not be read: %s", key, error)
            return None
        except FAILURES as error:
            trouble = self.access.trouble(registry, error, f"{key}: {reference}")
            return _Heard(Said(registry.address, known, trouble), trouble.answered, getattr(error, "retry_after", None))

    async def _asked(self, one: Registry, reference: str, known: Resolved | None) -> Resolved | None:
        if not reference:
            await one.check()
            return None
        try:
            parsed = parse(reference)
        except NoReferenceError as error:
            raise RegistryError("NoReference", str(error), answered=True) from None
        return await one.resolve(parsed, known)

    def _take(self, state: _Followed, said: Said, interval: float, wait: float | None) -> None:
        """What was said, and when to ask again."""
        state.failures = 0 if said.trouble is None else state.failures + 1
        every = backoff(state.failures, max(interval, BACKOFF_MAX)) if state.failures else interval
        state.every = every * (1 + JITTER * (2 * random.random() - 1))  # noqa: S311
        state.not_before = self._clock() + wait if wait is not None else float("-inf")
        state.said, state.asked_at = said, self._now()
