"""Carries a plan out: applies, touches and deletes, and tells what the API server makes of it.

Invariants: nothing of anybody else's is taken over; what a policy of the cluster rewrites is not written for ever; what
is not watched is not applied, since nobody would see what becomes of it.
Failure: what is refused for good is a Problem, and the rest of the plan waits; anything else is raised, to be repeated.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelward.api.modeldeployment import ModelDeployment
from modelward.api.names import ANNOTATION_APPLIED, ANNOTATION_CONFIG, ANNOTATION_MADE_OF
from modelward.kube import events
from modelward.kube.cache import Cache, Object
from modelward.kube.client import Api, ApiError
from modelward.kube.diff import differs
from modelward.kube.resources import AUTOSCALERS, DEPLOYMENTS, PODS, Resource, resource_of
from modelward.reconcilers.modeldeployment.foreign_hands import LABELS_CHANGED, repaired, stays_changed, unpaused
from modelward.reconcilers.modeldeployment.plan import Plan
from modelward.revisions.health.diagnosis import Problem
from modelward.revisions.observed.ownership import claim_of_another
from modelward.revisions.record import must_be_replaced

log = logging.getLogger(__name__)

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
class Written:
    """What is remembered of writes, and a restart may forget. `touched_at`: by the uid of a router's pod; `changed`:
    what the cluster makes of our labels, as of the last reconcile; `refused`: of an update that goes on, why the API
    server did not take a Deployment, by its name and its template's hash; `unscaled`: why there is no autoscaler,
    though spec asks for one."""

    touched_at: dict[str, float] = field(default_factory=dict)
    changed: Problem | None = None
    rewritten: dict[tuple[Resource, str], _Rewritten] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    unscaled: Problem | None = None


class Applier:
    """Writes to the cluster, as `identity`. `clock`: monotonic seconds."""

    def __init__(self, api: Api, cache: Cache, identity: str, clock: Callable[[], float]) -> None:
        self._api = api
        self._cache = cache
        self._identity = identity
        self._clock = clock

    async def carry_out(self, owner: ModelDeployment, planned: Plan, memory: Written) -> Problem | None:
        """Carry the plan out. Returns what the API server refused for good, where it did."""
        memory.changed = memory.unscaled = None
        manifest: Mapping[str, Any] | None = None
        try:
            for manifest in planned.applies:
                if resource_of(manifest) is AUTOSCALERS:
                    memory.unscaled = await self._scale(owner, manifest, memory)
                    continue
                problem = await self.apply(owner, manifest, memory)
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

    async def _scale(self, owner: ModelDeployment, manifest: Any, memory: Written) -> Problem | None:
        """Apply the autoscaler. Returns why there is none: the model goes on without."""
        try:
            problem = await self.apply(owner, manifest, memory)
        except ApiError as error:
            if not error.is_refusal:
                raise
            log.warning("%s/%s: the API server refuses its autoscaler: %s", owner.namespace, owner.name, error)
            return Problem("AutoscalerRefused", f"The API server refuses what spec.autoscaling says: {error.message}")
        if problem is not None and problem.reason == LABELS_CHANGED:
            memory.changed = problem
            return None
        return problem

    async def apply(self, owner: ModelDeployment, manifest: Any, memory: Written) -> Problem | None:
        """One manifest, over what there is of it. Returns why that is not to be, or what is made of its labels."""
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
        self._cache.upsert_answer(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **applied})
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

    async def _touch(self, owner: ModelDeployment, pod: str, value: str, memory: Written) -> None:
        patch = {"metadata": {"annotations": {ANNOTATION_CONFIG: value}}}
        try:
            touched = await self._api.merge(PODS, owner.namespace, pod, patch)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        memory.touched_at[touched["metadata"]["uid"]] = self._clock()
        self._cache.upsert_answer(PODS, touched)


def _content(body: Object) -> Object:
    """What is applied, as far as any of it is cached: neither status nor what the API server counts."""
    metadata = {part: body["metadata"].get(part) or {} for part in ("labels", "annotations")}
    return {name: value for name, value in body.items() if name not in _NOT_APPLIED} | metadata


_NOT_APPLIED = ("metadata", "status", "apiVersion", "kind")
