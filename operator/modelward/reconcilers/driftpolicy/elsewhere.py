"""What a policy has under way in other systems, which owner references do not reach: it is told to stop there.

A policy carries a finalizer, and beside it what is under way, from before such a run is started until none is.
Invariant: what was started elsewhere is told to stop when its policy goes, whatever else of it has gone before, and
whichever operator sees that; and nothing waits for a dead system for longer than STOP_WITHIN: then people are told
instead, and the policy goes.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from modelward.api.driftpolicy import DriftPolicy
from modelward.api.names import ANNOTATION_GOING, FINALIZER_RUN
from modelward.kube.cache import Cache, Key
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import DRIFT_POLICIES
from modelward.retraining.events import stopped_elsewhere
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.persistence.going import read_going, show_going
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
        """By policy and name, runs that go on: their objects may be gone before their policy."""
        self._stopping: dict[tuple[str, str], float] = {}
        """By namespace and run: since when a system is being told to stop it."""

    async def stop(self, order: Order) -> str | None:
        """Have the trigger stop a run. Returns why it could not, empty where it did; None: that is not known yet."""
        name, now = (order.policy.namespace, order.run.name), self._now()
        order = _with_what_is_known(order, self._known(order.policy).get(order.run.name))
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
        """Store what goes on; and see, before it is started, that its policy does not go unseen."""
        known = self._known(order.policy)
        if _is_elsewhere(order):
            known[order.run.name] = _with_what_is_known(order, known.get(order.run.name))
            await self._hold(order.policy, held=True)
        elif known.pop(order.run.name, None) is not None:
            # Before its end is accounted for: what is noted here and nowhere else counts as deleted.
            await self._hold(order.policy, held=None)

    def _known(self, policy: DriftPolicy) -> dict[str, Order]:
        """What goes on; at first what an operator before this one has noted."""
        key = _key(policy)
        if key not in self._going:
            body = self._cache.get(DRIFT_POLICIES, policy.namespace, policy.name)
            # Without the finalizer it is an operator's of an earlier version, which has left it there.
            held = body is not None and FINALIZER_RUN in (body["metadata"].get("finalizers") or ())
            noted = read_going(body["metadata"]) if body is not None and held else {}
            self._going[key] = {name: Order(policy, run, None) for name, run in noted.items()}
        return self._going[key]

    async def release(self, policy: DriftPolicy, there: Collection[str], tell: Tell) -> bool:
        """Take the finalizer away where nothing goes on. `there`: runs that an object or the memory tells of; what
        neither does (somebody deleted both) is stopped. Returns whether that takes more time."""
        known, waits = self._known(policy), False
        for name in [each for each in known if each not in there]:
            if await self._stopped(policy, known[name], tell):
                del known[name]
            else:
                waits = True
        await self._hold(policy, held=None if known else False)
        return waits

    async def let_go(self, policy: DriftPolicy, going: Iterable[Order], tell: Tell) -> bool:
        """Stop what goes on of a policy that is being deleted. `going`: its runs that are still there. Returns whether
        that takes more time."""
        if not policy.held:
            return False
        known, waits = self._known(policy), False
        for order in going:
            before = known.get(order.run.name)
            if not _is_elsewhere(order):
                known.pop(order.run.name, None)
            elif before is None or _is_elsewhere(before):
                known[order.run.name] = _with_what_is_known(order, before)
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
        """Let a policy go that can't be read, where it is being deleted: nobody knows how to tell whom."""
        body = self._cache.get(DRIFT_POLICIES, key.namespace, key.name)
        if body is None or not body["metadata"].get("deletionTimestamp"):
            return
        for run in read_going(body["metadata"]).values():
            log.warning("%s: %s may go on elsewhere, untold: %s", key, run.name, run.handle or run.key)
        await self._set(key, body["metadata"], held=False, noted=None)

    async def _hold(self, policy: DriftPolicy, *, held: bool | None) -> None:
        """Set the finalizer, or take it away (None: neither), with the note of what goes on. Raises ApiError with 409
        where somebody has edited the policy since."""
        body = self._cache.get(DRIFT_POLICIES, policy.namespace, policy.name)
        if body is None or body["metadata"]["uid"] != policy.uid:
            return
        metadata = body["metadata"]
        held = FINALIZER_RUN in (metadata.get("finalizers") or ()) if held is None else held
        going = (order.run for order in self._known(policy).values() if _is_elsewhere(order))
        await self._set(_key(policy), metadata, held=held, noted=show_going(policy.uid, going) if held else None)

    async def _set(self, key: Key, metadata: Mapping[str, Any], *, held: bool, noted: str | None) -> None:
        """In one write, so that neither is ever there without the other."""
        finalizers = list(metadata.get("finalizers") or ())
        wanted = [each for each in finalizers if each != FINALIZER_RUN or held]
        wanted += [FINALIZER_RUN] if held and FINALIZER_RUN not in finalizers else []
        before = (metadata.get("annotations") or {}).get(ANNOTATION_GOING)
        if (wanted, noted) == (finalizers, before):
            return
        patch: dict[str, Any] = {"finalizers": wanted, "resourceVersion": metadata["resourceVersion"]}
        if noted != before:
            patch["annotations"] = {ANNOTATION_GOING: noted}
        try:
            stored = await self._api.merge(DRIFT_POLICIES, key.namespace, key.name, {"metadata": patch})
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
    return order.run.kind not in runs.OWNED and order.run.phase in (runs.STARTING, runs.RUNNING)


def _with_what_is_known(order: Order, known: Order | None) -> Order:
    """The order, with what another one of the same run tells besides: that it may have begun, and where it goes on."""
    if known is None or not _is_elsewhere(order) or not _is_elsewhere(known):
        return order
    phase = runs.RUNNING if runs.RUNNING in (order.run.phase, known.run.phase) else order.run.phase
    return replace(order, run=replace(order.run, phase=phase, handle=order.run.handle or known.run.handle))
