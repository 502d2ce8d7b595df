"""One reconcile of a DriftPolicy: look, decide, do what is stored as due, and store what came of it.

Level-triggered like that of ModelDeployments. A run is an object (RetrainingRun), and what it deals with is in the
policy's memory of the target, before anything of it is started; what is to be done of it (start, ask) is done only when
the phase that says so is stored. So a crash anywhere is followed by the same step again, which is harmless.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

from modelward import telemetry
from modelward.api import driftpolicy, modeldeployment
from modelward.api.driftpolicy import DriftPolicy, Retrain
from modelward.api.invalid import InvalidObjectError
from modelward.api.modelregistry import ModelRegistry
from modelward.drift.quality_signals import SOURCE
from modelward.drift.verdicts import Verdict, settings_of, verdict_on
from modelward.kube import events
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api
from modelward.kube.resources import DRIFT_POLICIES, MODEL_DEPLOYMENTS, RETRAINING_RUNS
from modelward.models.following import Said
from modelward.monitoring.windows import Look, WindowSettings
from modelward.platform import Platform
from modelward.reconcilers.driftpolicy import aspects
from modelward.reconcilers.driftpolicy.elsewhere import Elsewhere
from modelward.reconcilers.driftpolicy.evaluations import Evaluations, Jobs
from modelward.reconcilers.driftpolicy.targets import target_facts
from modelward.reconcilers.modeldeployment.reconcile import Outcome as Reconciled
from modelward.reconcilers.modeldeployment.reconcile import soonest
from modelward.reconcilers.status_writer import write_status
from modelward.reconcilers.unreadable import tell_unreadable
from modelward.retraining.conditions.parity_status import of_this_spec
from modelward.retraining.conditions.status import TargetState, Told, build_status, delayed_run
from modelward.retraining.events import (
    could_not_be_told,
    health_transitions,
    memory_lost,
    run_transitions,
    verdict_transitions,
)
from modelward.retraining.lifecycle import progress as policy_run
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.progress import (
    advance,
    deleted,
    effect_of,
    is_to_be_stopped,
    recalled,
    settled,
    unacceptable,
)
from modelward.retraining.lifecycle.registered import reference_of, registered
from modelward.retraining.lifecycle.run import Outcome, Run
from modelward.retraining.lifecycle.start import begin, busy_with, knows
from modelward.retraining.persistence.legacy import legacy_run, legacy_targets
from modelward.retraining.persistence.memories import Memories
from modelward.retraining.persistence.memory import is_fresh
from modelward.retraining.persistence.run_object import is_deleted, is_over, read_run
from modelward.retraining.persistence.runs import Runs
from modelward.retraining.served import registries_of
from modelward.retraining.target import Memory, TargetFacts
from modelward.retraining.triggers.job import JobTrigger
from modelward.retraining.triggers.trigger import Order, Trigger, trigger_of
from modelward.values.times import show_time
from modelward.values.transition import Transition

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 5.0
"""Seconds between two looks at most, while a window could end at any time."""

ASK_EVERY: Final = 5.0
"""Seconds between two questions how a run goes, where no watch tells."""

RESULTS: Final = (*runs.RESULTS, runs.DELETED)
"""By which runs that ended are counted."""


class Monitoring(Protocol):
    """What the monitors of a ModelDeployment's revision have counted."""

    def window(self, owner: Key, revision: str, reader: str, settings: WindowSettings, now: float) -> Look:
        """`reader`: who wants windows of `settings` of its own; `now`: seconds since the epoch."""
        ...


@dataclass(frozen=True)
class _Target:
    """One target as the reconcile begins. `told`: the verdict that Events told of; `run`: the one that is not settled;
    `runs`: the objects of all; `body`, `facts`: None where it is gone; `again_in`: seconds until it is looked at."""

    memory: Memory
    told: Verdict
    run: Run | None
    runs: tuple[Object, ...]
    body: Object | None
    facts: TargetFacts | None
    selected: bool
    again_in: float | None = None

    @property
    def watched(self) -> bool:
        return self.facts is not None and self.selected


def watchers_of(cache: Cache, body: Object) -> Iterator[Key]:
    """The policies that a ModelDeployment is a target of, now or by a run that goes on."""
    metadata = body["metadata"]
    found = {}
    for policy in cache.of_namespace(DRIFT_POLICIES, metadata["namespace"]):
        try:
            target = driftpolicy.parse_target(policy["spec"]["target"])
        except (InvalidObjectError, LookupError, TypeError, AttributeError):
            continue  # its own reconcile tells of that; nobody else's may end with it
        if target.takes(metadata["name"], metadata.get("labels") or {}):
            found[policy["metadata"]["name"]] = True
    for run in cache.children(Key(metadata["namespace"], metadata["name"]), RETRAINING_RUNS):
        if not is_over(run):
            found |= {each["name"]: True for each in run["metadata"].get("ownerReferences") or ()}
    for name in found:
        yield Key(metadata["namespace"], name, DRIFT_POLICIES.kind)


class PolicyReconciler:
    """Reconciles DriftPolicies. `triggers`: by kind, the Job's among them; `now`: the wall clock, UTC;
    `sources`: what signals may ask, by name; `about`: what a registry is known to say of a reference; `platform`: the
    installation's, for Jobs that evaluate."""

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
        sources: Mapping[str, Any] | None = None,
        about: Callable[[ModelRegistry, str], Said | None] = lambda _registry, _reference: None,
        platform: Platform | None = None,
    ) -> None:
        self._api = api
        self._cache = cache
        self._monitoring = monitoring
        self._jobs = jobs
        self._triggers: dict[str, Trigger] = {runs.JOB: jobs, **triggers}
        self._identity = identity
        self._now = now
        self._look_every = look_every
        self._sources = sources or {}
        self._about = about
        self._runs, self._memories = Runs(api, cache), Memories(api, cache)
        installed = platform or Platform("", "")
        self._quality = Evaluations(aspects.QUALITY, api, cache, installed, now)
        self._parity = Evaluations(aspects.PARITY, api, cache, installed, now)
        self._claims: dict[tuple[str, str], tuple[str, str]] = {}
        self._told: dict[Key, tuple[Told, ...]] = {}
        self._elsewhere = Elsewhere(api, cache, self._triggers, lambda: now().timestamp())

    async def reconcile(self, key: Key) -> Reconciled:
        """Bring one policy a step on. Raises ApiError, ApiUnreachableError: the caller tries again; NotLeaderError."""
        body = self._cache.get(DRIFT_POLICIES, key.namespace, key.name)
        if body is None:
            self.forget(key)
            return Reconciled()
        try:
            policy = driftpolicy.parse(body)
        except InvalidObjectError as error:
            await self._elsewhere.abandon(key)
            await tell_unreadable(self._api, self._cache, DRIFT_POLICIES, body, error, self._now())
            return Reconciled(refused=True)
        if policy.deleting:
            # Owner references make the garbage collector stop Jobs.
            going = [
                Order(policy, run, each.facts)
                for each in (self._targets(policy) if policy.held else ())
                if (run := each.run or each.memory.run) is not None
            ]
            waits = await self._elsewhere.let_go(policy, going, lambda told: self._tell(policy, told))
            return Reconciled(again_in=ASK_EVERY if waits else None)
        if key not in self._told:
            telemetry.expect_policy(key.namespace, key.name, RESULTS)
        await self._take_over(policy)
        named: dict[str, TargetState] = {}
        there: set[str] = set()
        times: list[float | None] = []
        targets, jobs = self._targets(policy), (self._quality.jobs(policy), self._parity.jobs(policy))
        watched = {each.memory.uid for each in targets if each.watched}
        await self._quality.clear(policy, jobs[0], watched)
        await self._parity.clear(policy, jobs[1], watched)
        evaluated = [await self._evaluate(policy, each, *jobs) for each in targets]
        for target in [self._look(policy, each) for each in evaluated]:
            try:
                state, again_in = await self._go_on(policy, target)
            finally:
                self._unclaim(policy, target.memory.name)
            times.append(again_in)
            if state is not None and (run := state.run or state.memory.run) is not None:
                there.add(run.name)
            if state is not None and (target.watched or target.memory.name not in named):
                # One that is gone is told of until its run has ended, but not in the place of another of its name.
                named[target.memory.name] = state
        states = list(named.values())
        status = build_status(policy, states, self._now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        if status != policy.status:
            for transition in health_transitions(policy.status, status):
                await self._tell(policy, transition)
            await write_status(self._api, self._cache, DRIFT_POLICIES, policy, status)
        self._told[key] = tuple(
            Told(
                each.memory.name,
                each.memory.verdict.word,
                each.run is not None,
                each.memory.quality,
                each.memory.verdict.kinds,
                of_this_spec(policy, each.memory.parity),
            )
            for each in states
        )
        lost = await self._elsewhere.release(policy, there, lambda told: self._tell(policy, told))
        times.append(ASK_EVERY if lost else None)
        return Reconciled(again_in=min((time for time in times if time is not None), default=None))

    async def _take_over(self, policy: DriftPolicy) -> None:
        """Runs that an operator of an earlier version left in the policy's status become objects under their names."""
        for entry in legacy_targets(policy):
            run = legacy_run(entry)
            if run is None:
                continue
            body = self._cache.get(RETRAINING_RUNS, policy.namespace, run.name)
            if body is None and await self._runs.create(policy, run):
                log.info("%s/%s: taking over %s", policy.namespace, policy.name, run.name)
            body = self._cache.get(RETRAINING_RUNS, policy.namespace, run.name)
            made = read_run(body) if body is not None else None
            if made is not None and made.phase == runs.STARTING and run.phase != runs.STARTING:
                await self._store(policy, replace(run, uid=made.uid))

    def forget(self, key: Key) -> None:
        """It is gone, or another installation's."""
        self._told.pop(key, None)
        self._elsewhere.forget(key)
        telemetry.forget_policy(key.namespace, key.name, RESULTS)

    def shown(self) -> dict[tuple[str, str], tuple[Told, ...]]:
        """What the metrics tell of each policy's targets."""
        return {(key.namespace, key.name): told for key, told in self._told.items()}

    def _targets(self, policy: DriftPolicy) -> list[_Target]:
        """By name: those that spec means, and those whose runs are not settled."""
        memories, objects = self._memories.of_policy(policy), self._runs.of_policy(policy)
        chosen = {body["metadata"]["uid"]: body for body in self._bodies(policy)}
        targets = []
        for uid in {*chosen, *memories, *objects}:
            bodies, memory = tuple(objects.get(uid, ())), memories.get(uid)
            run = _unsettled(bodies, memory)
            if uid not in chosen and run is None and (memory is None or memory.run is None):
                if memory is not None:
                    targets.append(_Target(memory, memory.verdict, None, bodies, None, None, selected=False))
                continue
            body = chosen.get(uid) or self._find(policy, run or (memory.run if memory else None), uid)
            name = body["metadata"]["name"] if body else run.target if run else memory.name if memory else ""
            facts = None if body is None else target_facts(body, self._runs_for(policy, name))
            known = memory or recalled(Memory(name, uid), facts, filter(None, map(read_run, bodies)))
            targets.append(_Target(known, known.verdict, run, bodies, body, facts, uid in chosen))
        return sorted(targets, key=lambda each: (each.memory.name, each.memory.uid))

    def _find(self, policy: DriftPolicy, run: Run | None, uid: str) -> Object | None:
        """A target that spec means no more, as long as its run goes on; never another one of the same name."""
        found = None if run is None else self._cache.get(MODEL_DEPLOYMENTS, policy.namespace, run.target)
        gone = found is None or found["metadata"]["uid"] != uid or is_deleted(found)
        return None if gone else found

    def _runs_for(self, policy: DriftPolicy, target: str) -> list[Object]:
        return self._cache.children(Key(policy.namespace, target), RETRAINING_RUNS)

    def _bodies(self, policy: DriftPolicy) -> list[Object]:
        target = policy.spec.target
        if target.selector is None:
            found = self._cache.get(MODEL_DEPLOYMENTS, policy.namespace, str(target.name))
            candidates = [] if found is None else [found]
        else:
            candidates = self._cache.of_namespace(MODEL_DEPLOYMENTS, policy.namespace)
        return [
            body
            for body in candidates
            if target.takes(body["metadata"]["name"], body["metadata"].get("labels") or {}) and not is_deleted(body)
        ]

    async def _evaluate(self, policy: DriftPolicy, target: _Target, quality: Jobs, parity: Jobs) -> _Target:
        """The target with what outcomes, and the features of training, say of it, which Jobs find out."""
        facts = target.facts
        if facts is None or target.body is None or not target.selected:
            return target
        memory, body, revision = target.memory, target.body, facts.stable_revision
        worth, again_in = await self._quality.step(policy, body, revision, memory.quality, quality)
        equal, later = await self._parity.step(policy, body, revision, memory.parity, parity)
        return replace(target, memory=replace(memory, quality=worth, parity=equal), again_in=soonest(again_in, later))

    def _look(self, policy: DriftPolicy, target: _Target) -> _Target:
        """The target with its verdict, and in how many seconds to look again."""
        facts = target.facts
        if facts is None or target.body is None or not target.selected:
            return target
        if facts.stable_revision is None:
            verdict = replace(target.memory.verdict, missing=f"{facts.name} has no revision that serves yet")
            return replace(target, memory=replace(target.memory, verdict=verdict))
        settings = settings_of(policy.spec)
        key, now = Key(policy.namespace, facts.name), self._now().timestamp()
        look = self._monitoring.window(key, facts.stable_revision, policy.uid, settings, now)
        if look.reference is None and modeldeployment.parse(target.body).spec.monitor is None:
            look = Look(problem=f"{facts.name} has no monitor; write `monitor: {{}}` into its spec")
        fresh = is_fresh(policy)
        verdict = verdict_on(
            policy, facts.stable_revision, look, target.memory.verdict, fresh=fresh, now=now,
            sources={**self._sources, SOURCE: target.memory.quality},
        )  # fmt: skip
        memory = replace(target.memory, verdict=verdict)
        return replace(target, memory=memory, again_in=soonest(self._look_again(look, settings), target.again_in))

    def _look_again(self, look: Look, settings: WindowSettings) -> float:
        if look.current is None:
            return self._look_every
        left = look.current.start + settings.duration - self._now().timestamp()
        return left if left > self._look_every else self._look_every

    async def _go_on(self, policy: DriftPolicy, target: _Target) -> tuple[TargetState | None, float | None]:
        """Bring one target a step on: its run, or where it has none, the beginning of one."""
        for transition in verdict_transitions(target.memory.name, target.told, target.memory.verdict):
            await self._tell(policy, transition)
        if target.run is None and target.memory.run is None:
            return await self._begin(policy, target)
        known = target.run if target.run is not None else await self._stop_deleted(policy, target)
        if known is None:
            told = "The run was deleted, and the system that runs it is being told to stop it"
            return TargetState(target.memory, None, told), soonest(ASK_EVERY, target.again_in)
        # What it deals with is remembered before it is started.
        memory = knows(target.memory, known) if target.run is not None else target.memory
        await self._remember(policy, memory)
        await self._elsewhere.note(Order(policy, known, target.facts))
        run = known if known.phase == runs.ENDED else await self._step(policy, replace(target, memory=memory), known)
        await self._elsewhere.note(Order(policy, run, target.facts))
        if run.kind == runs.JOB and run.phase in (runs.ROLLING_OUT, runs.ENDED):
            # Only now that its result is stored; and before it is accounted for, so that a crash repeats it.
            await self._jobs.clear(Order(policy, run, target.facts))
        if run.phase == runs.ENDED:
            memory = settled(target.facts, memory, run, self._now().timestamp())
            await self._remember(policy, memory)
            lasted = (run.ended_at or run.started_at) - run.started_at
            telemetry.count_run(policy.namespace, policy.name, run.result or "", lasted)
            await self._trim(policy, target)
        going = None if run.phase == runs.ENDED else run
        verdict = memory.verdict
        stalled = delayed_run(going) if going is not None and going.stuck else verdict.problem
        again_in = 0.0 if run.shown_phase != known.shown_phase or going is None else ASK_EVERY
        return TargetState(memory, going, None, stalled, verdict.lacks), soonest(again_in, target.again_in)

    async def _stop_deleted(self, policy: DriftPolicy, target: _Target) -> Run | None:
        """Somebody deleted the object of a run that the memory names: what it had begun is stopped. Returns its end,
        None: it is not stopped yet."""
        assert target.memory.run is not None
        run = target.memory.run
        log.info("%s/%s: %s was deleted", policy.namespace, policy.name, run.name)
        untold = await self._elsewhere.stop(Order(policy, run, target.facts))
        if untold is None:
            return None
        ended = _may_go_on(deleted(run, self._now().timestamp()), untold)
        for transition in run_transitions(run, ended):
            await self._tell(policy, transition)
        return ended

    async def _step(self, policy: DriftPolicy, target: _Target, run: Run) -> Run:
        """Do what is stored as due of a run, and store what came of it. Returns it as it is stored."""
        facts, now = target.facts, self._now().timestamp()
        order = Order(policy, run, facts)
        outcome = await self._do(effect_of(policy, facts, run, now), order)
        if target.body is not None and reference_of(outcome) is not None:
            asked = modeldeployment.parse(target.body).spec.model
            outcome = registered(outcome, asked, registries_of(self._cache, policy.namespace), self._about)
        if outcome is not None and outcome.state == runs.ASKED:
            return run
        why = ""
        if is_to_be_stopped(policy, facts, run, outcome, now):
            log.info("%s/%s: stopping %s", policy.namespace, policy.name, run.name)
            untold = await self._elsewhere.stop(order)
            if untold is None:
                return run
            why = untold
        moved = _may_go_on(advance(policy, facts, target.memory, run, outcome, now), why)
        if moved.phase == runs.ROLLING_OUT != run.phase:
            refused = await self._runs.refusal(policy, moved)
            moved = moved if refused is None else unacceptable(moved, refused, now)
        if moved.phase == runs.RUNNING and moved.handle != run.handle:
            await self._elsewhere.note(Order(policy, moved, facts))
        stored = await self._store(policy, moved)
        if stored is None:
            # Deleted meanwhile: the watch tells, and the memory knows what to stop.
            return run
        if stored.handle != run.handle and stored.phase != runs.ENDED:
            await self._remember(policy, knows(target.memory, stored))
        return stored

    async def _do(self, effect: str | None, order: Order) -> Outcome | None:
        trigger = trigger_of(order, self._triggers)
        match effect:
            case policy_run.START:
                log.info("%s/%s: starting %s", order.policy.namespace, order.policy.name, order.run.name)
                return await trigger.start(order)
            case policy_run.ASK:
                return await trigger.poll(order)
        return None

    async def _store(self, policy: DriftPolicy, run: Run) -> Run | None:
        body = self._cache.get(RETRAINING_RUNS, policy.namespace, run.name)
        before = read_run(body) if body is not None else None
        stored = await self._runs.store(policy, run, self._now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        if stored is not None and before is not None:
            for transition in run_transitions(before, stored):
                await self._tell(policy, transition)
        return stored

    async def _begin(self, policy: DriftPolicy, target: _Target) -> tuple[TargetState | None, float | None]:
        """Start a run where one is due. A target that is none any more is forgotten."""
        memory, facts, verdict = target.memory, target.facts, target.memory.verdict
        if facts is None or not target.watched:
            living = self._cache.get(MODEL_DEPLOYMENTS, policy.namespace, memory.name)
            if living is None or living["metadata"]["uid"] != memory.uid:
                await self._runs.trim(policy, target.runs, 0, None)
            await self._memories.forget(policy, memory.uid)
            return None, target.again_in
        # Nothing is awaited from here to the claim: what others run, or are about to, is known at this moment.
        there = lambda name: self._cache.get(RETRAINING_RUNS, policy.namespace, name) is not None  # noqa: E731
        step = begin(policy, facts, memory, self._busy(policy, memory.name), self._now().timestamp(), there)
        memory, run = step.memory, step.run
        if run is not None:
            self._claims[policy.namespace, memory.name] = (policy.name, run.name)
            if await self._runs.create(policy, run):
                for transition in run_transitions(None, run):
                    await self._tell(policy, transition)
        await self._remember(policy, memory)
        waits = None if step.obstacle is None else self._look_every
        stalled = step.stalled or verdict.problem
        again_in = soonest(step.again_in, waits, target.again_in)
        return TargetState(memory, run, step.obstacle, stalled, verdict.lacks), again_in

    async def _remember(self, policy: DriftPolicy, memory: Memory) -> None:
        lost = await self._memories.write(policy, memory)
        if lost is not None:
            told = memory_lost(lost, memory.name, show_time(self._now().timestamp()))
            await events.post(self._api, policy, told, self._identity)

    async def _trim(self, policy: DriftPolicy, target: _Target) -> None:
        keep = (policy.spec.retrain or Retrain()).history
        bodies = self._runs.of_policy(policy).get(target.memory.uid, ())
        await self._runs.trim(policy, bodies, keep, target.facts.effective_run if target.facts else None)

    def _busy(self, policy: DriftPolicy, target: str) -> str | None:
        claim = self._claims.get((policy.namespace, target))
        claimed = dict([claim]) if claim is not None and claim[0] != policy.name else {}
        return busy_with({**claimed, **self._runs.others(policy, target)})

    def _unclaim(self, policy: DriftPolicy, target: str) -> None:
        claim = self._claims.get((policy.namespace, target))
        if claim is not None and claim[0] == policy.name:
            del self._claims[policy.namespace, target]

    async def _tell(self, policy: DriftPolicy, transition: Transition) -> None:
        await events.post(self._api, policy, transition, self._identity)


def _may_go_on(run: Run, untold: str) -> Run:
    """The end of a run with why it could not be stopped."""
    return replace(run, message=f"{run.message}; {could_not_be_told(untold)}") if untold else run


def _unsettled(bodies: tuple[Object, ...], memory: Memory | None) -> Run | None:
    """The run that goes on, or that has ended and is not accounted for."""
    named = memory.run.name if memory is not None and memory.run is not None else None
    known = (body for body in bodies if body["metadata"]["name"] == named)
    going = (body for body in bodies if not is_over(body)) if named is None else ()
    return next((run for body in (*known, *going) if (run := read_run(body)) is not None), None)
