"""One reconcile of a DriftPolicy: look, decide, do what is stored as due, one status patch.

Level-triggered like that of ModelDeployments. What is to be done of a run (start, ask, apply) is done only when the
phase that says so is stored; so a crash anywhere is followed by the same step again, which is harmless.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

from modelward import telemetry
from modelward.api import driftpolicy, modeldeployment
from modelward.api.driftpolicy import DriftPolicy
from modelward.api.modeldeployment import InvalidObjectError
from modelward.api.names import API_VERSION, RETRAIN_MANAGER
from modelward.cluster import events
from modelward.cluster.cache import Cache, Key, Object
from modelward.cluster.client import Api, ApiError
from modelward.cluster.resources import DRIFT_POLICIES, MODEL_DEPLOYMENTS
from modelward.controller.reconcile import Outcome as Reconciled
from modelward.controller.statuses import write_status
from modelward.controller.targets import target_facts
from modelward.controller.triggers.job import JobTrigger
from modelward.controller.triggers.trigger import Order, Trigger
from modelward.domain import policy_run, runs
from modelward.domain.policy import Memory, TargetFacts
from modelward.domain.policy_events import policy_transitions
from modelward.domain.policy_memory import is_fresh, memories_of
from modelward.domain.policy_run import advance, effect_of, is_to_be_stopped
from modelward.domain.policy_start import begin, busy_with
from modelward.domain.policy_status import TargetState, active_runs, build_status, phases
from modelward.domain.runs import BROKE, DONE, Outcome
from modelward.domain.verdicts import settings_of, verdict_on
from modelward.domain.windows import Look, WindowSettings

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 5.0
"""Seconds between two looks at most, while a window could end at any time."""

ASK_EVERY: Final = 5.0
"""Seconds between two questions how a run goes, where no watch tells."""

JOBS_KEPT: Final = 3
"""Ended Jobs of a target that stay, with their logs."""


class Monitoring(Protocol):
    """What the monitors of a ModelDeployment's revision have counted."""

    def window(self, owner: Key, revision: str, reader: str, settings: WindowSettings, now: float) -> Look:
        """`reader`: who wants windows of `settings` of its own; `now`: seconds since the epoch."""
        ...


@dataclass(frozen=True)
class _Target:
    """One target as the reconcile begins. `body`, `facts`: None where it is gone."""

    memory: Memory
    body: Object | None
    facts: TargetFacts | None
    selected: bool

    @property
    def watched(self) -> bool:
        return self.facts is not None and self.selected


def watchers_of(cache: Cache, body: Object) -> Iterator[Key]:
    """The policies that a ModelDeployment is a target of, now or by a run that goes on."""
    metadata = body["metadata"]
    for policy in cache.of_namespace(DRIFT_POLICIES, metadata["namespace"]):
        target = driftpolicy.parse_target(policy["spec"]["target"])
        if target.takes(metadata["name"], metadata.get("labels") or {}) or metadata["name"] in active_runs(
            policy.get("status") or {}
        ):
            yield Key(metadata["namespace"], policy["metadata"]["name"], DRIFT_POLICIES.kind)


class PolicyReconciler:
    """Reconciles DriftPolicies. `triggers`: by kind, the Job's among them; `now`: the wall clock, UTC."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        monitoring: Monitoring,
        jobs: JobTrigger,
        triggers: Mapping[str, Trigger],
        identity: str,
        now: Callable[[], datetime],
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._api = api
        self._cache = cache
        self._monitoring = monitoring
        self._jobs = jobs
        self._triggers: dict[str, Trigger] = {runs.JOB: jobs, **triggers}
        self._identity = identity
        self._now = now
        self._look_every = look_every
        self._claims: dict[tuple[str, str], tuple[str, str]] = {}

    async def reconcile(self, key: Key) -> Reconciled:
        """Bring one policy a step on. Raises ApiError, ApiUnreachableError: the caller tries again; NotLeaderError."""
        body = self._cache.get(DRIFT_POLICIES, key.namespace, key.name)
        if body is None:
            self.forget(key)
            return Reconciled()
        try:
            policy = driftpolicy.parse(body)
        except InvalidObjectError as error:
            log.error("%s: %s", key, error)
            return Reconciled(refused=True)
        if policy.deleting:
            # Owner references make the garbage collector stop what runs.
            return Reconciled()
        looked = [self._look(policy, each) for each in self._targets(policy)]
        moved = [await self._go_on(policy, each) for each in looked]
        try:
            states, again_in = self._decide(policy, moved)
            status = build_status(policy, states, self._now().strftime("%Y-%m-%dT%H:%M:%SZ"))
            if status != policy.status:
                await self._write(policy, status)
                await self._jobs.sweep(policy, _over(states))
                again_in = again_in if phases(status) == phases(policy.status) else 0.0
        finally:
            self._claims = {target: claim for target, claim in self._claims.items() if claim[0] != policy.name}
        return Reconciled(again_in=again_in)

    def forget(self, key: Key) -> None:
        """It is gone, or another installation's."""
        telemetry.forget_policy(key.namespace, key.name)

    def _targets(self, policy: DriftPolicy) -> list[_Target]:
        """By name: those that spec means, and those whose runs have not ended."""
        memories = memories_of(policy)
        bodies = self._bodies(policy)
        selected = set(bodies)
        for name, memory in memories.items():
            if memory.run is not None and name not in bodies:
                found = self._cache.get(MODEL_DEPLOYMENTS, policy.namespace, name)
                if found is not None:
                    bodies[name] = found
        targets = []
        for name in sorted({*bodies, *(each for each, memory in memories.items() if memory.run is not None)}):
            body, stored = bodies.get(name), memories.get(name)
            facts = target_facts(body) if body is not None else None
            if stored is not None and facts is not None and stored.uid != facts.uid:
                # Another one of the same name: what was known of the former is of no use, but its run is to be stopped.
                if stored.run is None:
                    stored = None
                else:
                    facts = None
            memory = stored or Memory(name, facts.uid if facts else "")
            targets.append(_Target(memory, body if facts else None, facts, name in selected))
        return targets

    def _bodies(self, policy: DriftPolicy) -> dict[str, Object]:
        target = policy.spec.target
        if target.selector is None:
            found = self._cache.get(MODEL_DEPLOYMENTS, policy.namespace, str(target.name))
            candidates = [] if found is None else [found]
        else:
            candidates = self._cache.of_namespace(MODEL_DEPLOYMENTS, policy.namespace)
        return {
            body["metadata"]["name"]: body
            for body in candidates
            if target.takes(body["metadata"]["name"], body["metadata"].get("labels") or {})
            and not body["metadata"].get("deletionTimestamp")
        }

    def _look(self, policy: DriftPolicy, target: _Target) -> tuple[_Target, float | None]:
        """The target with its verdict, and in how many seconds to look again."""
        facts = target.facts
        if facts is None or target.body is None or not target.selected:
            return target, None
        if facts.stable_revision is None:
            verdict = replace(target.memory.verdict, missing=f"{facts.name} has no revision that serves yet")
            return replace(target, memory=replace(target.memory, verdict=verdict)), None
        settings = settings_of(policy.spec)
        key, now = Key(policy.namespace, facts.name), self._now().timestamp()
        look = self._monitoring.window(key, facts.stable_revision, policy.uid, settings, now)
        if look.reference is None and modeldeployment.parse(target.body).spec.monitor is None:
            look = Look(problem=f"{facts.name} has no monitor; write `monitor: {{}}` into its spec")
        fresh = is_fresh(policy)
        verdict = verdict_on(policy, facts.stable_revision, look, target.memory.verdict, fresh=fresh)
        return replace(target, memory=replace(target.memory, verdict=verdict)), self._look_again(look, settings)

    def _look_again(self, look: Look, settings: WindowSettings) -> float:
        if look.current is None:
            return self._look_every
        left = look.current.start + settings.duration - self._now().timestamp()
        return left if left > self._look_every else self._look_every

    async def _go_on(self, policy: DriftPolicy, looked: tuple[_Target, float | None]) -> tuple[_Target, float | None]:
        """Do what is stored as due of the target's run."""
        target, again_in = looked
        memory, now = target.memory, self._now().timestamp()
        if memory.run is None:
            found = self._jobs.lost(policy, memory.name, {each.name for each in memory.runs})
            if found is not None:
                return replace(target, memory=replace(memory, run=found)), 0.0
            return target, again_in
        run, facts = memory.run, target.facts
        order = Order(policy, run, facts)
        outcome = await self._do(effect_of(policy, facts, run, now), order)
        if outcome is not None and outcome.state == runs.ASKED:
            return target, min(ASK_EVERY, ASK_EVERY if again_in is None else again_in)
        if is_to_be_stopped(policy, facts, run, outcome, now):
            log.info("%s/%s: stopping %s", policy.namespace, policy.name, run.name)
            await self._triggers[run.kind].cancel(order)
        memory = advance(policy, facts, memory, run, outcome, now)
        return replace(target, memory=memory), min(ASK_EVERY, ASK_EVERY if again_in is None else again_in)

    async def _do(self, effect: str | None, order: Order) -> Outcome | None:
        trigger = self._triggers[order.run.kind]
        match effect:
            case policy_run.START:
                log.info("%s/%s: starting %s", order.policy.namespace, order.policy.name, order.run.name)
                return await trigger.start(order)
            case policy_run.ASK:
                return await trigger.poll(order)
            case policy_run.APPLY:
                return await self._apply(order)
        return None

    async def _apply(self, order: Order) -> Outcome:
        """Make the run's model the one that the ModelDeployment asks for."""
        model, target = order.run.model, order.target
        assert model is not None
        assert target is not None
        wanted = {"uri": model.uri} | ({"digest": model.digest} if model.digest else {})
        manifest = {
            "apiVersion": API_VERSION,
            "kind": modeldeployment.KIND,
            # The uid: never another one of the same name, and never a new one.
            "metadata": {"namespace": order.policy.namespace, "name": target.name, "uid": target.uid},
            "spec": {"model": wanted},
        }
        try:
            applied = await self._api.apply(MODEL_DEPLOYMENTS, manifest, field_manager=RETRAIN_MANAGER)
        except ApiError as error:
            if not error.is_refusal:
                raise
            return Outcome(BROKE, f"The API server refuses {model.uri} as spec.model of {target.name}: {error.message}")
        # The cache takes it in by the watch, which makes the ModelDeployment due as well.
        return Outcome(DONE, generation=int(applied["metadata"]["generation"]))

    def _decide(
        self, policy: DriftPolicy, moved: list[tuple[_Target, float | None]]
    ) -> tuple[list[TargetState], float | None]:
        """Nothing is awaited in here: what others run, or are about to, is known at this moment.

        A target that is none any more is told of once more, with the end of its run.
        """
        states, times = [], []
        now = self._now().timestamp()
        for target, again_in in moved:
            memory, facts = target.memory, target.facts
            times.append(again_in)
            if not target.watched and memory.name not in active_runs(policy.status):
                continue
            verdict = memory.verdict
            if memory.run is not None or facts is None or not target.watched:
                states.append(TargetState(memory, None, verdict.problem, verdict.missing))
                continue
            step = begin(policy, facts, memory, self._busy(policy, memory.name), now)
            times.append(step.again_in)
            if step.obstacle is not None:
                times.append(self._look_every)
            if step.memory.run is not None:
                self._claims[policy.namespace, memory.name] = (policy.name, step.memory.run.name)
            states.append(TargetState(step.memory, step.obstacle, step.stalled or verdict.problem, verdict.missing))
        return states, min((time for time in times if time is not None), default=None)

    def _busy(self, policy: DriftPolicy, target: str) -> str | None:
        claim = self._claims.get((policy.namespace, target))
        active = dict([claim]) if claim is not None and claim[0] != policy.name else {}
        for other in self._cache.of_namespace(DRIFT_POLICIES, policy.namespace):
            name = active_runs(other.get("status") or {}).get(target)
            if other["metadata"]["uid"] != policy.uid and name is not None:
                active[other["metadata"]["name"]] = name
        return busy_with(active)

    async def _write(self, policy: DriftPolicy, status: dict[str, Any]) -> None:
        for transition in policy_transitions(policy.status, status):
            await events.post(self._api, policy, transition, self._identity)
        if await write_status(self._api, self._cache, DRIFT_POLICIES, policy, status):
            telemetry.count_runs(policy.namespace, policy.name, policy.status, status)


def _over(states: list[TargetState]) -> set[str]:
    """The runs whose Jobs may go."""
    return {run.name for state in states for run in state.memory.runs[JOBS_KEPT:]}
