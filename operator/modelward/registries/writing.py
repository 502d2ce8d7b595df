"""Writes into registries what became of their versions, beside the reconciles.

All steps of a ModelDeployment are one look: done when every one is, and repeated as a whole where one failed, which
changes nothing of those that were done. Less and less often while it fails, and not before a Retry-After is over.
Failure: a problem in words. Nothing that is served hangs on it.
"""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

from modelward import telemetry
from modelward.api.modelregistry import ModelRegistry
from modelward.kube.cache import Key
from modelward.kube.client import ApiError, ApiUnreachableError
from modelward.kube.poller import Poller, Question
from modelward.models.following import Trouble
from modelward.models.write_back import Step
from modelward.registries.access import FAILURES, LEFT_OUT, LONGEST_LOOK, Access, backoff
from modelward.registries.budgets import Bill
from modelward.registries.registry import Registry, RegistryError

log = logging.getLogger(__name__)

KIND: Final = "write-back"
"""Of the poller's questions."""


@dataclass(frozen=True)
class Progress:
    """`done`: every step is; `trouble`: why the last attempt failed; `again_in`: seconds until the next one."""

    done: bool
    trouble: Trouble | None = None
    again_in: float | None = None


@dataclass
class _State:
    about: tuple[object, ...]
    done: bool = False
    trouble: Trouble | None = None
    failures: int = 0
    every: float = 0.0


class Writing:
    """`access`: shared with whoever asks registries."""

    def __init__(self, poller: Poller, access: Access) -> None:
        self._poller = poller
        self._access = access
        self._states: dict[Key, _State] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def look(self, key: Key, registry: ModelRegistry, steps: tuple[Step, ...], refresh: str | None = None) -> Progress:
        """Have `steps` done for the ModelDeployment `key`, which becomes due when there is something new. `refresh`:
        each new value has it tried now."""
        if not steps:
            self.forget(key)
            return Progress(done=True)
        about = (registry.uid, registry.spec, registry.refresh, refresh, steps)
        state = self._states.get(key)
        if state is None or state.about != about:
            state = self._states[key] = _State(about)
        if state.done:
            return Progress(done=True)
        look = partial(self._write, registry, steps, state)
        again_in = self._poller.ask(Question(KIND, key), look, state.every, about)
        return Progress(False, state.trouble, again_in)

    def forget(self, key: Key) -> None:
        """There is nothing to be written for it."""
        if self._states.pop(key, None) is not None:
            self._poller.drop(Question(KIND, key))

    async def _write(self, registry: ModelRegistry, steps: tuple[Step, ...], state: _State) -> None:
        bill = self._access.budgets.begin(registry.namespace, suspect=state.failures > 0)
        if bill is None:
            state.every = LEFT_OUT
            return
        reached = False
        try:
            trouble, wait = await self._tried(registry, steps, bill)
            reached = trouble is None or trouble.answered
        finally:
            bill.end(in_vain=not reached)
        telemetry.REGISTRY_WRITES.labels("ok" if trouble is None else "error").inc()
        state.done, state.trouble = trouble is None, trouble
        state.failures = 0 if trouble is None else state.failures + 1
        state.every = max(wait, backoff(max(state.failures, 1)))

    async def _tried(
        self, registry: ModelRegistry, steps: tuple[Step, ...], bill: Bill
    ) -> tuple[Trouble | None, float]:
        """What went wrong, and the seconds for which the registry wants to be left alone."""
        where = f"{registry.namespace}/{registry.name}"
        try:
            async with asyncio.timeout(LONGEST_LOOK), self._turn(registry.uid):
                await self._done(await self._access.opened(registry, bill.count), steps)
        except (ApiError, ApiUnreachableError) as error:
            log.warning("%s: what it is written with could not be read: %s", where, error)
            return Trouble("CredentialsUnread", "What the registry is asked with could not be read; trying again"), 0.0
        except FAILURES as error:
            return self._access.trouble(registry, error, where), getattr(error, "retry_after", None) or 0.0
        return None, 0.0

    async def _done(self, one: Registry, steps: tuple[Step, ...]) -> None:
        for step in steps:
            try:
                await one.write(step)
            except RegistryError as error:
                if not (error.reason == "VersionMissing" and getattr(step, "optional", False)):
                    raise

    def _turn(self, uid: str) -> asyncio.Lock:
        """One at a time for a registry: SageMaker's properties are read and written as a whole."""
        found = self._turns.get(uid)
        if found is None:
            found = self._turns[uid] = asyncio.Lock()
        return found
