"""What a policy has under way in other systems, which owner references do not reach: it is told to stop there.

A policy carries a finalizer from before such a run is started until none is under way. Invariant: what was started
elsewhere is told to stop when its policy goes; and nothing waits for a dead system for longer than STOP_WITHIN: then
people are told instead, and the policy goes.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from modelward.api.driftpolicy import DriftPolicy
from modelward.api.names import FINALIZER_RUN
from modelward.kube.cache import Cache, Key
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import DRIFT_POLICIES
from modelward.retraining import run as runs
from modelward.retraining.events import stopped_elsewhere
from modelward.retraining.triggers.trigger import Order, Trigger, trigger_of
from modelward.values.transition import Transition

log = logging.getLogger(__name__)

STOP_WITHIN: Final = 60.0
"""Seconds in which a system is told to stop a run, again and again."""

Tell = Callable[[Transition], Awaitable[None]]


class Elsewhere:
    """`now`: seconds since the epoch."""

    def __init__(self, api: Api, cache: Cache, triggers: Mapping[str, Trigger], now: Callable[[], float]) -> None:
        self._api = api
        self._cache = cache
        self._triggers = triggers
        self._now = now
        self._going: dict[Key, dict[str, Order]] = {}
        """By policy and name, runs that go on: when a namespace goes, their objects may be gone before their policy."""
        self._stopping: dict[tuple[str, str], float] = {}
        """By namespace and run: since when a system is being told to stop it."""

    async def stop(self, order: Order) -> str | None:
        """Have the trigger stop a run. Returns why it could not, empty where it did; None: that is not known yet."""
        name, now = (order.policy.namespace, order.run.name), self._now()
        outcome = await trigger_of(order, self._triggers).cancel(order)
        since = self._stopping.setdefault(name, now)
        if outcome is not None and outcome.state in (runs.ASKED, runs.WAITS) and 0 <= now - since < STOP_WITHIN:
            return None
        del self._stopping[name]
        if outcome is None or outcome.state == runs.SUCCEEDED:
            return ""
        untold = outcome.message or "it did not answer"
        log.warning("%s/%s: could not be told to stop: %s", *name, untold)
        return untold

    async def note(self, order: Order) -> None:
        """Remember what goes on; and see, before it is started, that its policy does not go unseen."""
        known = self._going.setdefault(_key(order.policy), {})
        if _is_elsewhere(order):
            known[order.run.name] = order
            await self._hold(order.policy, held=True)
        else:
            known.pop(order.run.name, None)

    async def release(self, policy: DriftPolicy, there: Collection[str], tell: Tell) -> bool:
        """Take the finalizer away where nothing goes on. `there`: runs that an object or the memory tells of; what
        neither does (somebody deleted both) is stopped. Returns whether that takes more time."""
        known = self._going.get(_key(policy), {})
        waits = False
        for name in [each for each in known if each not in there]:
            if await self._stopped(policy, known[name], tell):
                del known[name]
            else:
                waits = True
        if not known:
            await self._hold(policy, held=False)
        return waits

    async def let_go(self, policy: DriftPolicy, going: Iterable[Order], tell: Tell) -> bool:
        """Stop what goes on of a policy that is being deleted. `going`: its runs that are still there. Returns whether
        that takes more time."""
        if not policy.held:
            return False
        known, waits = self._going.setdefault(_key(policy), {}), False
        for order in going:
            if _is_elsewhere(order):
                known.setdefault(order.run.name, order)
        for name, order in known.items():
            if not _is_elsewhere(order):
                continue
            if await self._stopped(policy, order, tell):
                # Kept, or its object, which is still there, would have it stopped once more.
                known[name] = replace(order, run=replace(order.run, phase=runs.ENDED))
            else:
                waits = True
        if not waits:
            await self._hold(policy, held=False)
        return waits

    async def _stopped(self, policy: DriftPolicy, order: Order, tell: Tell) -> bool:
        """Whether it was, or could not be, which is told of."""
        untold = await self.stop(replace(order, policy=policy))
        if untold is not None:
            await tell(stopped_elsewhere(order.run, untold))
        return untold is not None

    def forget(self, policy: Key) -> None:
        """It is gone, or another installation's."""
        for name in self._going.pop(policy, ()):
            self._stopping.pop((policy.namespace, name), None)

    async def abandon(self, key: Key) -> None:
        """Let a policy go that can't be read, where it is being deleted: nobody knows whom to tell what."""
        body = self._cache.get(DRIFT_POLICIES, key.namespace, key.name)
        if body is not None and body["metadata"].get("deletionTimestamp"):
            await self._set(key, body["metadata"], held=False)

    async def _hold(self, policy: DriftPolicy, *, held: bool) -> None:
        """Set the finalizer, or take it away. Raises ApiError with 409 where somebody has edited the policy since."""
        body = self._cache.get(DRIFT_POLICIES, policy.namespace, policy.name)
        if body is not None and body["metadata"]["uid"] == policy.uid:
            await self._set(_key(policy), body["metadata"], held=held)

    async def _set(self, key: Key, metadata: Mapping[str, Any], *, held: bool) -> None:
        finalizers = list(metadata.get("finalizers") or ())
        if (FINALIZER_RUN in finalizers) == held:
            return
        others = [each for each in finalizers if each != FINALIZER_RUN]
        wanted = [*others, FINALIZER_RUN] if held else others
        patch = {"metadata": {"finalizers": wanted, "resourceVersion": metadata["resourceVersion"]}}
        try:
            stored = await self._api.merge(DRIFT_POLICIES, key.namespace, key.name, patch)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            # Without the right to it, its runs go on as they did before there was one; gone: with what it was held for.
            log.warning("%s: its finalizer could not be changed: %s", key, error)
            return
        if stored["metadata"].get("finalizers") or not stored["metadata"].get("deletionTimestamp"):
            self._cache.upsert(DRIFT_POLICIES, stored)


def _key(policy: DriftPolicy) -> Key:
    return Key(policy.namespace, policy.name, DRIFT_POLICIES.kind)


def _is_elsewhere(order: Order) -> bool:
    return order.run.kind != runs.JOB and order.run.phase in (runs.STARTING, runs.RUNNING)
