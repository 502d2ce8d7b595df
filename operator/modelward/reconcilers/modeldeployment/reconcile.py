"""One reconcile: observe, plan, apply what differs, one status patch.

Level-triggered: it looks at how things are, not at what happened, so it may run at any time and be repeated after any
crash. A reconcile of a converged object writes nothing and reads nothing from the API server, and none waits for
anybody else: pods are asked by the poller, which makes the object due when there is an answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from modelward import telemetry
from modelward.api.conditions import Condition
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.modelregistry import ModelRegistry
from modelward.api.names import (
    ANNOTATION_COMMAND,
    ANNOTATION_PLATFORM,
)
from modelward.facts import Observed, Unmounted
from modelward.kube import events
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api, ApiError
from modelward.kube.poller import AWAITED, PendingError
from modelward.kube.resources import (
    AUTOSCALERS,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    MODEL_DEPLOYMENTS,
    PODS,
    RETRAINING_RUNS,
    SERVICES,
    Resource,
    resource_of,
)
from modelward.models.following import Following
from modelward.models.write_back import Step, registry_of
from modelward.monitoring.reader import Monitoring
from modelward.platform import Platform
from modelward.reconcilers.fleet import Fleet
from modelward.reconcilers.modeldeployment.apply import Applier, Written
from modelward.reconcilers.modeldeployment.assessment import patience_left
from modelward.reconcilers.modeldeployment.caches import Claims
from modelward.reconcilers.modeldeployment.consents import platform_of, why_unread
from modelward.reconcilers.modeldeployment.events import certificate_events, command_event, transitions
from modelward.reconcilers.modeldeployment.following import unresolved_status
from modelward.reconcilers.modeldeployment.foreign_hands import (
    find_lost,
)
from modelward.reconcilers.modeldeployment.made import Made, kept_besides, updated
from modelward.reconcilers.modeldeployment.observe import NothingServesError, Wanted, observe, wanted_of
from modelward.reconcilers.modeldeployment.outcomes import OutcomeComparisons, OutcomesSeen
from modelward.reconcilers.modeldeployment.plan import Converged, Plan, as_rendered, plan
from modelward.reconcilers.modeldeployment.platform_status import platform_command_event, restart_event
from modelward.reconcilers.modeldeployment.sources import Sources
from modelward.reconcilers.modeldeployment.status import build_status, is_urgent
from modelward.reconcilers.modeldeployment.write_back import Told, due
from modelward.reconcilers.modeldeployment.write_back import told as told_back
from modelward.reconcilers.status_writer import write_status
from modelward.reconcilers.unreadable import tell_unreadable
from modelward.registries.writing import Progress
from modelward.retraining.effective import Effective
from modelward.retraining.served import Knows, as_served, is_reference, registry_named
from modelward.revisions import autoscaler, restart
from modelward.revisions.health import cache_claims, pod_volumes
from modelward.revisions.health.diagnosis import Problem
from modelward.revisions.observed.ownership import belongs_to
from modelward.revisions.pods import foreign_pod
from modelward.revisions.pods.cache_mounts import claim_in
from modelward.revisions.update import Phase
from modelward.rollouts.decision import Decision
from modelward.rollouts.evidence.collector import EvidenceCollector, Seen
from modelward.routing.envoy.probe import RouterProbe, ask_again_after
from modelward.routing.observe import RouterObserver
from modelward.values.transition import Transition

COUNTS_EVERY = 5.0
"""Seconds between two writes of a status in which nothing but counts changed."""

RETOUCH_AFTER = 5.0
"""Seconds after which a touched router pod that still follows the old configuration is touched again."""


@dataclass
class _Memory(Written):
    """What a restart may forget: it only spares work."""

    uid: str = ""
    status_written_at: float = float("-inf")
    probes: int = 0
    served: tuple[tuple[Object, ...], tuple[ModelDeployment, Effective, Following | None]] | None = None
    wanted: tuple[ModelDeployment, Wanted] | None = None
    made: tuple[tuple[Any, ...], Made] | None = None
    converged: Converged = field(default_factory=Converged)


@dataclass(frozen=True)
class _Waiting:
    """Pods that wait for their volumes. `suspects`: caches that may be why, with a pod that waits for each; `blamed`:
    what pods wait for that mount no cache."""

    suspects: Mapping[str, str]
    blamed: Unmounted | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a reconcile. `again_in`: seconds until it should be repeated, None: when something changes.

    `refused`: the API server refuses what is needed; to be tried again with backoff.
    """

    again_in: float | None = None
    refused: bool = False


class Writes(Protocol):
    """Tells registries, as Writing does."""

    def look(
        self, key: Key, registry: ModelRegistry, steps: tuple[Step, ...], refresh: str | None = None
    ) -> Progress: ...

    def forget(self, key: Key) -> None: ...


class Keys(Protocol):
    """Tells the operator's public keys, as Keyring.public does."""

    async def public(self) -> tuple[str, ...]: ...


class Reconciler:
    """Reconciles ModelDeployments. `clock`: monotonic seconds; `now`: the wall clock, UTC; `knows`: what registries
    said; `claims`: what is known of caches, None: there are none; `writes`: tells registries, None: they are told
    nothing; `sources`: tells of what volumes are made from, None: nobody does."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        platform: Platform,
        probe: RouterProbe,
        evidence: EvidenceCollector,
        monitoring: Monitoring,
        identity: str,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        keyring: Keys,
        fleet: Fleet | None = None,
        knows: Knows | None = None,
        claims: Claims | None = None,
        writes: Writes | None = None,
        sources: Sources | None = None,
    ) -> None:
        self._api = api
        self._cache = cache
        self._platform = platform
        self._applier = Applier(api, cache, identity, clock)
        self._routers = RouterObserver(cache, probe, clock)
        self._evidence = evidence
        self._monitoring = monitoring
        self._identity = identity
        self._clock = clock
        self._now = now
        self._keyring = keyring
        self._fleet = fleet or Fleet(lambda: (), lambda _key: None)
        self._knows = knows
        self._claims = claims
        self._writes = writes
        self._sources = sources
        self._outcomes = OutcomeComparisons(api, cache, platform, now)
        self._memories: dict[Key, _Memory] = {}

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one ModelDeployment a step on.

        Raises ApiError (conflicts, overload), ApiUnreachableError: the caller tries again; NotLeaderError and
        ApiInstalledError, which end the process.
        """
        try:
            outcome = await self._reconcile(key)
        except Exception:
            self._fleet.leave_out(key)
            raise
        if outcome.refused:
            self._fleet.leave_out(key)
        return outcome

    async def _reconcile(self, key: Key) -> Outcome:
        body = self._cache.get(MODEL_DEPLOYMENTS, key.namespace, key.name)
        if body is None:
            self.forget(key)
            return Outcome()
        memory = self._memories.setdefault(key, _Memory())
        try:
            owner, effective, following = _served(body, self._cache, memory, self._knows, self._now().timestamp())
        except InvalidObjectError as error:
            await tell_unreadable(self._api, self._cache, MODEL_DEPLOYMENTS, body, error, self._now())
            return Outcome(refused=True)
        if memory.uid not in ("", owner.uid):
            # A namesake: what is remembered is of the one before.
            self.forget(key)
            memory = self._memories[key] = _Memory()
        if not memory.uid and not owner.deleting:
            telemetry.expect_model(key.namespace, key.name)
        memory.uid = owner.uid
        if owner.deleting:
            # Owner references make the garbage collector remove every child.
            self._fleet.leave_out(key, gone=True)
            return Outcome()
        if (missing := foreign_pod.unknown(owner.spec.runtime, self._platform)) is not None:
            await tell_unreadable(
                self._api, self._cache, MODEL_DEPLOYMENTS, body, InvalidObjectError(missing.message), self._now(),
                reason=missing.reason, cure=missing.cure,
            )  # fmt: skip
            return Outcome(refused=True)
        now = self._now().timestamp()
        platform = platform_of(self._platform, self._cache, owner.namespace)
        platform = replace(platform, operator_keys=await self._keyring.public())
        await find_lost(owner, self._cache, self._api)
        try:
            observed = observe(owner, self._cache, self._routers, now, _wanted(owner, memory), following)
            observed, waiting, look_at_volumes = self._with_volumes(key, observed)
            platform, cached, look_at_claims = self._with_cache(key, owner, observed, platform, waiting)
        except PendingError:
            return Outcome(again_in=AWAITED)
        except NothingServesError:
            return await self._tell_unresolved(owner, following)
        outcomes = await self._outcomes.step(owner, observed)
        seen = self._evidence.look(owner, observed, outcomes.own)
        observed = replace(observed, judgement=seen.judgement, consent_unread=why_unread(self._cache, owner.namespace))
        made = self._made(key, owner, observed, platform, memory)
        planned = self._plan(owner, observed, platform, made, memory)
        refused = await self._applier.carry_out(owner, planned, memory)
        if refused is None:
            if made.update.phase is not Phase.UPDATING:
                memory.refused.clear()  # the records know it now; or somebody has it tried again
            self._fleet.tell(key, made.update.phase)
        elif memory.refused and made.update.phase is Phase.UPDATING:
            self._fleet.tell(key, Phase.UPDATING)  # it has failed, and the next look says so: nobody else begins before
        if refused is None:
            await self._take_up_commands(owner, planned, made)
        try:
            monitored, look_again = self._monitoring.look(owner, observed)
            logged, log_again = (
                self._monitoring.logs.look(owner, observed) if owner.spec.prediction_log is not None else (None, None)
            )
        except PendingError:
            return Outcome(again_in=AWAITED)
        again_in = soonest(seen.again_in, look_again, log_again, look_at_claims, look_at_volumes, outcomes.again_in)
        seen = replace(seen, monitored=monitored, logged=logged, again_in=again_in)
        return await self._report(
            owner,
            observed,
            planned,
            refused or memory.changed,
            seen,
            memory,
            effective,
            made,
            following,
            cached,
            outcomes,
        )

    def _with_volumes(self, key: Key, observed: Observed) -> tuple[Observed, _Waiting, float | None]:
        """With what keeps pods from starting that wait for their volumes; and seconds until the next look."""
        pods, now = pod_volumes.pods_of(observed), observed.clock.now
        bodies = () if all(pod.ready for pod in pods) else self._cache.children(key, PODS)
        mounted = {body["metadata"]["uid"]: claim for body in bodies if (claim := claim_in(body)) is not None}
        sources = {source for pod in pods if pod_volumes.waits(pod, now) for source in pod.needs}
        states, again_in = self._sources.look(key, sources) if self._sources is not None else ({}, None)
        observed = pod_volumes.told(observed, states, frozenset(mounted))
        suspects = {
            mounted[pod.uid]: pod.name
            for pod in pod_volumes.pods_of(observed)
            if pod.uid in mounted and pod.unmounted is None and cache_claims.waits_for_volumes(pod, now)
            and (self._sources is None or states.keys() >= set(pod.needs))
        }  # fmt: skip
        plain = (each.unmounted for each in pod_volumes.pods_of(observed) if each.uid not in mounted)
        blamed = next((each for each in plain if each is not None), None)
        return observed, _Waiting(suspects, blamed), soonest(again_in, pod_volumes.look_again_in(pods, now))

    def _with_cache(
        self, key: Key, owner: ModelDeployment, observed: Observed, platform: Platform, waiting: _Waiting
    ) -> tuple[Platform, Condition | None, float | None]:
        """The platform with the claims that pods may mount, what is to be said of spec's, and seconds until the next
        look. Raises PendingError."""
        if self._claims is None:
            return platform, None, None
        claims = cache_claims.claims_of(owner, observed)
        for claim, pod in waiting.suspects.items():
            self._claims.distrust(owner.namespace, claim, cache_claims.not_mounted(claim, pod))
        known, again_in = self._claims.look(key, claims)
        usable = tuple(claim for claim, found in known.items() if found.unusable is None)
        facts = observed.revisions.get(observed.target)
        said = facts.workload.pods if facts is not None else ()
        wanted = cache_claims.wanted_of(owner)
        troubles = [cache_claims.acquitted(each, known[each].unusable, waiting.blamed) for each in wanted]
        troubles = [found or known[each].trouble for each, found in zip(wanted, troubles, strict=True)]
        troubles += [cache_claims.told(owner.spec.model.cache.claim, said)] if owner.spec.model.cache else []
        trouble = next((each for each in troubles if each is not None), None)
        told = cache_claims.condition(wanted[0] if wanted else None, trouble)
        return replace(platform, caches=usable), told, again_in

    async def _tell_unresolved(self, owner: ModelDeployment, following: Following | None) -> Outcome:
        """Nothing is made of a reference that nobody has resolved yet; the registry's answer makes it due again."""
        assert following is not None
        status = unresolved_status(owner, following, self._now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        if status != owner.status:
            for transition in transitions(owner.status, status):
                await events.post(self._api, owner, transition, self._identity)
            await write_status(self._api, self._cache, MODEL_DEPLOYMENTS, owner, status)
        return Outcome()

    def _made(self, key: Key, owner: ModelDeployment, observed: Observed, platform: Platform, memory: _Memory) -> Made:
        """What pods are made of: anew for a newer platform when it is the model's turn."""
        made_of = (as_rendered(owner), platform, observed.target, observed.variants, kept_besides(observed))
        if memory.made is None or memory.made[0] != made_of:
            memory.made = (made_of, Made.of(owner, observed, platform))
        made = memory.made[1]

        def live(resource: Resource, name: str) -> Object | None:
            return self._cache.get(resource, owner.namespace, name)

        found = updated(made, owner, observed, platform, live, granted=False, refused=memory.refused)
        self._fleet.tell(key, found.phase)
        if found.phase is Phase.READY and self._fleet.is_turn_of(key):
            found = updated(made, owner, observed, platform, live, granted=True)
        return replace(made, update=found, restarts=self._restarts(key, owner, observed))

    def _restarts(self, key: Key, owner: ModelDeployment, observed: Observed) -> str | None:
        """The revision whose pods are made anew because somebody asks for it; not before it is known who serves."""
        if observed.router.routes is None or not restart.is_asked(owner, self._cache.children(key, DEPLOYMENTS)):
            return None
        return observed.router.routes.stable

    def _plan(
        self, owner: ModelDeployment, observed: Observed, platform: Platform, made: Made, memory: _Memory
    ) -> Plan:
        return plan(
            owner,
            observed,
            platform,
            live=lambda resource, name: self._cache.get(resource, owner.namespace, name),
            services=self._cache.children(Key(owner.namespace, owner.name), SERVICES),
            config_maps=self._cache.children(Key(owner.namespace, owner.name), CONFIG_MAPS),
            retouch=lambda uid: self._clock() - memory.touched_at.get(uid, float("-inf")) > RETOUCH_AFTER,
            converged=memory.converged,
            made=made,
        )

    async def _take_up_commands(self, owner: ModelDeployment, planned: Plan, made: Made) -> None:
        if owner.command is not None:
            told = command_event(owner.command, planned.decision, owner)
            await self._take_up(owner, ANNOTATION_COMMAND, owner.command, told)
        if owner.platform_command is not None:
            told = platform_command_event(owner.platform_command, made.update, owner)
            await self._take_up(owner, ANNOTATION_PLATFORM, owner.platform_command, told)
        if made.restarts is not None:
            await events.post(self._api, owner, restart_event(owner, made.restarts), self._identity)

    async def _take_up(self, owner: ModelDeployment, annotation: str, command: str, told: Transition) -> None:
        """Tell of a command, and take its annotation away: what it led to is stored with the routes or the records.

        Only off the very object that was seen: somebody may have written another command since, which is one to come.
        """
        await events.post(self._api, owner, told, self._identity)
        seen = self._cache.get(MODEL_DEPLOYMENTS, owner.namespace, owner.name)
        if seen is None or (seen["metadata"].get("annotations") or {}).get(annotation) != command:
            return
        version = seen["metadata"]["resourceVersion"]
        patch = {"metadata": {"annotations": {annotation: None}, "resourceVersion": version}}
        try:
            taken = await self._api.merge(MODEL_DEPLOYMENTS, owner.namespace, owner.name, patch)
        except ApiError as error:
            if error.status in (404, 409):
                # The watch tells what there is instead, and makes it due.
                return
            raise
        self._cache.upsert(MODEL_DEPLOYMENTS, taken)

    async def _report(
        self,
        owner: ModelDeployment,
        observed: Observed,
        planned: Plan,
        refused: Problem | None,
        seen: Seen,
        memory: _Memory,
        effective: Effective,
        made: Made,
        following: Following | None,
        cached: Condition | None = None,
        outcomes: OutcomesSeen | None = None,
    ) -> Outcome:
        """Events and the one status patch, where something is to be told; and when to look again."""
        for told in certificate_events(owner, observed.router.certificate):
            await events.post(self._api, owner, told, self._identity)
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        back = self._write_back(owner, observed, planned.decision, following, effective)
        status = build_status(
            owner, observed, planned.decision, planned.version, refused, now, seen.gates, seen.comparisons,
            seen.monitored, effective, made.update if refused is None else None, following, back,
            restarted=owner.restart is not None and (observed.router.routes is not None or not owner.status),
            logged=seen.logged,
            further=(cached, self._autoscaled(owner, memory), outcomes.condition if outcomes else None),
            outcomes=outcomes.variants if outcomes is not None and outcomes.condition is not None else None,
        )  # fmt: skip
        # What was deleted is out of the cache already, so that its event would be no news; nor is one of a record.
        marked = any(resource_of(each) is CONTROLLER_REVISIONS for each in planned.applies)
        deleted = 0.0 if planned.deletes or (marked and refused is None) else None
        again_in = soonest(
            self._probe_again(observed, planned, memory), planned.decision.again_in, seen.again_in, deleted,
            patience_left(observed, planned.decision.routes.stable), back.again_in,
        )  # fmt: skip
        if status != owner.status:
            counts_due_in = memory.status_written_at + COUNTS_EVERY - self._clock()
            if is_urgent(owner.status, status) or counts_due_in <= 0:
                await self._write_status(owner, status)
                memory.status_written_at = self._clock()
            else:
                again_in = min(again_in or counts_due_in, counts_due_in)
        return Outcome(again_in=again_in, refused=refused is not None)

    def _autoscaled(self, owner: ModelDeployment, memory: _Memory) -> Condition | None:
        body = self._cache.get(AUTOSCALERS, owner.namespace, autoscaler.name_of(owner))
        found = body if body is not None and belongs_to(body, owner) else None
        return autoscaler.condition(owner, found, memory.unscaled)

    def _write_back(
        self,
        owner: ModelDeployment,
        observed: Observed,
        decision: Decision,
        following: Following | None,
        effective: Effective,
    ) -> Told:
        """Have the registry told what is news to it, and what status says of that."""
        name = following.registry if following is not None else registry_of(owner.status)
        registry = None if name is None else registry_named(self._cache, owner.namespace, name)
        found = None if registry is None else due(owner, registry, observed, decision, following, effective)
        key = Key(owner.namespace, owner.name)
        if self._writes is None:
            return Told()
        if found is None:
            self._writes.forget(key)  # also one that is under way: nobody lends it the login any more
            return Told()
        if found.first is not None:
            return told_back(found, None, done=False)
        progress = self._writes.look(key, found.registry, found.steps, owner.refresh)
        return told_back(found, progress.trouble, done=progress.done, again_in=progress.again_in)

    async def _write_status(self, owner: ModelDeployment, status: dict[str, Any]) -> None:
        for transition in transitions(owner.status, status):
            await events.post(self._api, owner, transition, self._identity)
            if transition.result:
                telemetry.ROLLOUTS.labels(owner.namespace, owner.name, transition.result).inc()
        await write_status(self._api, self._cache, MODEL_DEPLOYMENTS, owner, status)

    def _probe_again(self, observed: Observed, planned: Plan, memory: _Memory) -> float | None:
        """No watch tells what a router pod has loaded: it is asked again until it follows."""
        router = observed.router
        if router.gateway is not None:
            # Watches tell what Gateways say; only how long they have said so is a matter of time.
            return router.gateway.again_in
        if router.routes is None:
            # Its configuration has just been made, maybe for pods that run already: then no event tells any more.
            return ask_again_after(0)
        settled = router.follows(planned.version) and router.reaches(planned.decision.routes.stable)
        for name in planned.decision.replicas:
            # A new revision's pods come with events; only once they are there is its way through the router asked for.
            facts = observed.revisions.get(name)
            settled = settled and (facts is None or not facts.workload.complete or router.reaches(name))
        if settled or not (router.serving or planned.touches):
            memory.probes = 0
            return None
        memory.probes += 1
        # Of two reconciles, one has them asked and one has their answer.
        return ask_again_after(memory.probes // 2)

    def forget(self, key: Key) -> None:
        """It is gone, or another installation's: what is remembered of it holds no more."""
        self._fleet.leave_out(key, gone=True)
        self._memories.pop(key, None)
        self._routers.forget(key)
        self._evidence.forget(key)
        self._monitoring.forget(key)
        if self._claims is not None:
            self._claims.forget(key)
        if self._writes is not None:
            self._writes.forget(key)
        if self._sources is not None:
            self._sources.forget(key)
        telemetry.forget_model(key.namespace, key.name)
        if not any(each.namespace == key.namespace for each in self._memories):
            telemetry.forget_namespace(key.namespace)


def _served(
    body: Object, cache: Cache, memory: _Memory, knows: Knows | None, now: float
) -> tuple[ModelDeployment, Effective, Following | None]:
    """Raises InvalidObjectError. A cached object is replaced when it changes: the very same ones say the same."""
    metadata = body["metadata"]
    if is_reference(body):
        return as_served(body, cache, knows, now)  # what registries say is no object
    said_by = (body, *cache.children(Key(metadata["namespace"], metadata["name"]), RETRAINING_RUNS))
    known = memory.served
    if (
        known is None
        or len(known[0]) != len(said_by)
        or any(a is not b for a, b in zip(known[0], said_by, strict=True))
    ):
        memory.served = known = (said_by, as_served(body, cache))
    return known[1]


def _wanted(owner: ModelDeployment, memory: _Memory) -> Wanted:
    known, rendered = memory.wanted, as_rendered(owner)
    if known is None or known[0] != rendered:
        memory.wanted = known = (rendered, wanted_of(rendered))
    return known[1]


def soonest(*times: float | None) -> float | None:
    """The least of those that there are."""
    return min((time for time in times if time is not None), default=None)
