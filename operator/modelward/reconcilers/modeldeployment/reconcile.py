"""One reconcile: observe, plan, apply what differs, one status patch.

Level-triggered: it looks at how things are, not at what happened, so it may run at any time and be repeated after any
crash. A reconcile of a converged object writes nothing and reads nothing from the API server, and none waits for
anybody else: pods are asked by the poller, which makes the object due when there is an answer.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from modelward import telemetry
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.names import (
    ANNOTATION_APPLIED,
    ANNOTATION_COMMAND,
    ANNOTATION_CONFIG,
    ANNOTATION_MADE_OF,
    ANNOTATION_PLATFORM,
)
from modelward.facts import Observed
from modelward.kube import events
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api, ApiError
from modelward.kube.diff import differs
from modelward.kube.poller import AWAITED, PendingError
from modelward.kube.resources import (
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
from modelward.monitoring.reader import Monitoring
from modelward.platform import Platform
from modelward.reconcilers.fleet import Fleet
from modelward.reconcilers.modeldeployment.consents import platform_of, why_unread
from modelward.reconcilers.modeldeployment.events import certificate_events, command_event, transitions
from modelward.reconcilers.modeldeployment.following import unresolved_status
from modelward.reconcilers.modeldeployment.foreign_hands import (
    LABELS_CHANGED,
    find_lost,
    repaired,
    stays_changed,
    unpaused,
)
from modelward.reconcilers.modeldeployment.made import Made, kept_besides, updated
from modelward.reconcilers.modeldeployment.observe import NothingServesError, Wanted, observe, wanted_of
from modelward.reconcilers.modeldeployment.plan import Converged, Plan, as_rendered, plan
from modelward.reconcilers.modeldeployment.platform_status import platform_command_event, restart_event
from modelward.reconcilers.modeldeployment.status import build_status, is_urgent, patience_left
from modelward.reconcilers.status_writer import write_status
from modelward.reconcilers.unreadable import tell_unreadable
from modelward.retraining.effective import Effective
from modelward.retraining.served import Knows, as_served, is_reference
from modelward.revisions import restart
from modelward.revisions.diagnosis import Problem
from modelward.revisions.ownership import claim_of_another
from modelward.revisions.record import must_be_replaced
from modelward.revisions.update import Phase
from modelward.rollouts.evidence.collector import EvidenceCollector, Seen
from modelward.routing.envoy.probe import RouterProbe
from modelward.routing.observe import RouterObserver
from modelward.values.transition import Transition

log = logging.getLogger(__name__)

COUNTS_EVERY = 5.0
"""Seconds between two writes of a status in which nothing but counts changed."""

PROBE_FIRST, PROBE_GROWTH, PROBE_MAX = 0.2, 1.14, 5.0
"""Seconds: how soon router pods are asked again, the factor by which that grows, and its end. Of two reconciles,
one has them asked and one has their answer: by two of these factors it grows as ASK_GROWTH of the probe does."""

RETOUCH_AFTER = 5.0
"""Seconds after which a touched router pod that still follows the old configuration is touched again."""


REAPPLY_AFTER = 600.0
"""Seconds after which what a policy of the cluster rewrites as it is applied (a registry's mirror) is applied again."""


class ApiInstalledError(Exception):
    """The cluster serves a kind now that it did not serve when the watches began; a new process watches it."""


@dataclass(frozen=True)
class _Rewritten:
    """What became of a manifest with this digest as it was applied."""

    digest: str
    became: Object
    at: float


@dataclass
class _Memory:
    """What a restart may forget: it only spares work."""

    uid: str = ""
    status_written_at: float = float("-inf")
    probes: int = 0
    touched_at: dict[str, float] = field(default_factory=dict)
    changed: Problem | None = None
    """What the cluster makes of our labels, as of the last reconcile."""
    served: tuple[tuple[Object, ...], tuple[ModelDeployment, Effective, Following | None]] | None = None
    wanted: tuple[ModelDeployment, Wanted] | None = None
    made: tuple[tuple[Any, ...], Made] | None = None
    converged: Converged = field(default_factory=Converged)
    rewritten: dict[tuple[Resource, str], _Rewritten] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    """Of an update that goes on: why the API server did not take a Deployment, by its name and its template's hash."""


@dataclass(frozen=True)
class Outcome:
    """What came of a reconcile. `again_in`: seconds until it should be repeated, None: when something changes.

    `refused`: the API server refuses what is needed; to be tried again with backoff.
    """

    again_in: float | None = None
    refused: bool = False


class Keys(Protocol):
    """Tells the operator's public keys, as Keyring.public does."""

    async def public(self) -> tuple[str, ...]: ...


class Reconciler:
    """Reconciles ModelDeployments. `clock`: monotonic seconds; `now`: the wall clock, UTC; `knows`: what registries
    said."""

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
    ) -> None:
        self._api = api
        self._cache = cache
        self._platform = platform
        self._routers = RouterObserver(cache, probe, clock)
        self._evidence = evidence
        self._monitoring = monitoring
        self._identity = identity
        self._clock = clock
        self._now = now
        self._keyring = keyring
        self._fleet = fleet or Fleet(lambda: (), lambda _key: None)
        self._knows = knows
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
        memory.uid = owner.uid
        if owner.deleting:
            # Owner references make the garbage collector remove every child.
            self._fleet.leave_out(key, gone=True)
            return Outcome()
        now = self._now().timestamp()
        platform = platform_of(self._platform, self._cache, owner.namespace)
        platform = replace(platform, operator_keys=await self._keyring.public())
        await find_lost(owner, self._cache, self._api)
        try:
            observed = observe(owner, self._cache, self._routers, now, _wanted(owner, memory), following)
        except PendingError:
            return Outcome(again_in=AWAITED)
        except NothingServesError:
            return await self._tell_unresolved(owner, following)
        seen = self._evidence.look(owner, observed)
        observed = replace(observed, judgement=seen.judgement, consent_unread=why_unread(self._cache, owner.namespace))
        made = self._made(key, owner, observed, platform, memory)
        planned = self._plan(owner, observed, platform, made, memory)
        refused = await self._act(owner, planned, memory)
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
        except PendingError:
            return Outcome(again_in=AWAITED)
        seen = replace(seen, monitored=monitored, again_in=soonest(seen.again_in, look_again))
        return await self._report(
            owner, observed, planned, refused or memory.changed, seen, memory, effective, made, following
        )

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

    async def _act(self, owner: ModelDeployment, planned: Plan, memory: _Memory) -> Problem | None:
        """Carry the plan out. Returns what the API server refused for good, where it did."""
        memory.changed = None
        manifest: Mapping[str, Any] | None = None
        try:
            for manifest in planned.applies:
                problem = await self._apply(owner, manifest, memory)
                if problem and problem.reason == LABELS_CHANGED:
                    # It is there and works; the rest must not wait for it.
                    memory.changed = problem
                elif problem:
                    return problem
            for name, value in planned.touches:
                await self._touch(owner, name, value, memory)
            for resource, body in planned.deletes:
                name, uid = body["metadata"]["name"], body["metadata"]["uid"]
                log.info("%s/%s: removing %s %s", owner.namespace, owner.name, resource.kind, name)
                await self._api.delete(resource, owner.namespace, name, uid)
                # The watch will tell, too, but maybe only after the next reconcile has deleted it once more.
                self._cache.remove(resource, body, final=True)
        except ApiError as error:
            if not error.is_refusal:
                raise
            log.warning("%s/%s: the API server refuses: %s", owner.namespace, owner.name, error)
            if manifest is not None and resource_of(manifest) is DEPLOYMENTS:
                metadata = manifest["metadata"]
                memory.refused[metadata["name"], metadata["annotations"][ANNOTATION_MADE_OF]] = error.message
            return Problem("ApplyRefused", f"The API server refuses what spec leads to: {error.message}")
        return None

    async def _apply(self, owner: ModelDeployment, manifest: Any, memory: _Memory) -> Problem | None:
        resource = resource_of(manifest)
        name = manifest["metadata"]["name"]
        if resource not in self._cache.watched:
            return await self._not_served(resource)
        known = self._cache.get(resource, owner.namespace, name)
        if known is None:
            # The watches tell of what carries our labels only.
            known = await self._api.get(resource, owner.namespace, name)
        if known is not None:
            # It must not be somebody else's that is taken over by force.
            claim = claim_of_another(known, owner)
            if claim is not None:
                return Problem(
                    "NameTaken",
                    f"{resource.kind} {name} {claim}. Delete or rename it, or give this ModelDeployment another name",
                )
            if must_be_replaced(manifest, known):
                log.info("%s/%s: replacing %s %s", owner.namespace, owner.name, resource.kind, name)
                await self._api.delete(resource, owner.namespace, name, known["metadata"]["uid"])
                self._cache.remove(resource, known, final=True)
                known = None
        if known is not None:
            # The uid: never one that took its place since.
            manifest = {**manifest, "metadata": {**manifest["metadata"], "uid": known["metadata"]["uid"]}}
        before = memory.rewritten.get((resource, name))
        if before is not None and self._is_as_rewritten(manifest, known, before):
            return None
        log.info("%s/%s: applying %s %s", owner.namespace, owner.name, resource.kind, name)
        applied = await self._api.apply(resource, manifest)
        self._cache.upsert(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **applied})
        changed = stays_changed(manifest, applied)
        memory.rewritten.pop((resource, name), None)
        if changed is None and differs(manifest, applied):
            # Not where labels are changed: what the watches don't see is seen by what is answered to a write.
            digest = manifest["metadata"]["annotations"][ANNOTATION_APPLIED]
            memory.rewritten[resource, name] = _Rewritten(digest, _content(applied), self._clock())
        if known is not None:
            for told in (repaired(manifest, known) if changed is None else None, unpaused(manifest, known)):
                if told is not None:
                    await events.post(self._api, owner, told, self._identity)
        return changed

    def _is_as_rewritten(self, manifest: Any, known: Object | None, before: _Rewritten) -> bool:
        """Whether applying it once more would only lead to the same again, with each reconcile."""
        if known is None or self._clock() - before.at >= REAPPLY_AFTER:
            return False
        same = manifest["metadata"]["annotations"][ANNOTATION_APPLIED] == before.digest
        return same and _content(known) == before.became

    async def _not_served(self, resource: Resource) -> Problem:
        """What was not there when the watches began must not be applied: nobody would see what becomes of it."""
        withheld = await self._why_withheld(resource)
        if withheld is not None:
            return Problem(
                "GatewayForbidden",
                f"The operator may not see {resource.kind} of {resource.api_version}, which spec.router.gateway needs: "
                f"{withheld.rstrip('.')}. Give its account the rule for {resource.plural} of manifests/base/rbac.yaml, "
                "or leave spec.router.gateway out",
            )
        if await self._api.serves(resource):
            raise ApiInstalledError(f"the cluster serves {resource.kind} now; starting anew to watch it")
        return Problem(
            "GatewayApiMissing",
            f"The cluster does not know {resource.kind} of {resource.api_version}, which spec.router.gateway needs. "
            "Install the Gateway API and a controller for it, or leave spec.router.gateway out",
        )

    async def _why_withheld(self, resource: Resource) -> str | None:
        """Why the kind still can't be watched, where that was for want of a right."""
        if resource not in self._cache.withheld:
            return None
        try:
            if not await self._api.serves(resource):
                return None
        except ApiError as error:
            if not error.is_refusal:
                raise
            return error.message
        for place in self._cache.places:
            if (why := await self._api.why_unreadable(resource, place)) is not None:
                return why
        return None

    async def _touch(self, owner: ModelDeployment, pod: str, value: str, memory: _Memory) -> None:
        patch = {"metadata": {"annotations": {ANNOTATION_CONFIG: value}}}
        try:
            touched = await self._api.merge(PODS, owner.namespace, pod, patch)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        memory.touched_at[touched["metadata"]["uid"]] = self._clock()
        self._cache.upsert(PODS, touched)

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
    ) -> Outcome:
        """Events and the one status patch, where something is to be told; and when to look again."""
        for told in certificate_events(owner, observed.router.certificate):
            await events.post(self._api, owner, told, self._identity)
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        status = build_status(
            owner, observed, planned.decision, planned.version, refused, now, seen.gates, seen.comparisons,
            seen.monitored, effective, made.update if refused is None else None, following,
            restarted=owner.restart is not None and (observed.router.routes is not None or not owner.status),
        )  # fmt: skip
        # What was deleted is out of the cache already, so that its event would be no news; nor is one of a record.
        marked = any(resource_of(each) is CONTROLLER_REVISIONS for each in planned.applies)
        deleted = 0.0 if planned.deletes or (marked and refused is None) else None
        again_in = soonest(
            self._probe_again(observed, planned, memory), planned.decision.again_in, seen.again_in, deleted,
            patience_left(observed, planned.decision.routes.stable),
        )  # fmt: skip
        if status != owner.status:
            counts_due_in = memory.status_written_at + COUNTS_EVERY - self._clock()
            if is_urgent(owner.status, status) or counts_due_in <= 0:
                await self._write_status(owner, status)
                memory.status_written_at = self._clock()
            else:
                again_in = min(again_in or counts_due_in, counts_due_in)
        return Outcome(again_in=again_in, refused=refused is not None)

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
            return PROBE_FIRST
        settled = router.follows(planned.version) and router.reaches(planned.decision.routes.stable)
        for name in planned.decision.replicas:
            # A new revision's pods come with events; only once they are there is its way through the router asked for.
            facts = observed.revisions.get(name)
            settled = settled and (facts is None or not facts.workload.complete or router.reaches(name))
        if settled or not (router.serving or planned.touches):
            memory.probes = 0
            return None
        memory.probes += 1
        return min(PROBE_MAX, PROBE_FIRST * PROBE_GROWTH ** min(memory.probes, 50))

    def forget(self, key: Key) -> None:
        """It is gone, or another installation's: what is remembered of it holds no more."""
        self._fleet.leave_out(key, gone=True)
        self._memories.pop(key, None)
        self._routers.forget(key)
        self._evidence.forget(key)
        self._monitoring.forget(key)
        telemetry.forget_model(key.namespace, key.name)


def _content(body: Object) -> Object:
    """What is applied, as far as any of it is cached: neither status nor what the API server counts."""
    metadata = {part: body["metadata"].get(part) or {} for part in ("labels", "annotations")}
    return {name: value for name, value in body.items() if name not in _NOT_APPLIED} | metadata


_NOT_APPLIED = ("metadata", "status", "apiVersion", "kind")


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
