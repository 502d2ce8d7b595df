"""The RetrainingRuns of a policy: read from the cache, created, brought on, and taken away when there are enough.

Invariant: an object stands before what it tells of is done, and no name is ever given twice.
"""

from collections.abc import Iterable

from modelward.api.driftpolicy import DriftPolicy
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import DRIFT_POLICIES, MODEL_DEPLOYMENTS, RETRAINING_RUNS
from modelward.retraining.lifecycle.run import PROMOTED, Run
from modelward.retraining.persistence.run_object import (
    is_deleted,
    is_over,
    read_run,
    run_manifest,
    run_status,
    show_artifact,
    target_uid,
)
from modelward.revisions.observed.ownership import belongs_to

CONFLICT = 409


class Runs:
    """Reads the cache alone; what it writes is in the cache at once."""

    def __init__(self, api: Api, cache: Cache) -> None:
        self._api = api
        self._cache = cache

    def of_policy(self, policy: DriftPolicy) -> dict[str, list[Object]]:
        """By the uid of the target; those that were deleted are left out."""
        found: dict[str, list[Object]] = {}
        for body in self._cache.children(Key(policy.namespace, policy.name, DRIFT_POLICIES.kind), RETRAINING_RUNS):
            if belongs_to(body, policy) and not is_deleted(body):
                found.setdefault(target_uid(body), []).append(body)
        return found

    def others(self, policy: DriftPolicy, target: str) -> dict[str, str]:
        """The runs of other policies that go on for the same ModelDeployment, by policy."""
        found = {}
        for body in self._cache.children(Key(policy.namespace, target), RETRAINING_RUNS):
            owner: Object = next(iter(body["metadata"].get("ownerReferences") or ()), {})
            living = self._cache.get(DRIFT_POLICIES, policy.namespace, str(owner.get("name")))
            theirs = living is not None and living["metadata"]["uid"] == owner.get("uid")
            if theirs and owner["uid"] != policy.uid and not is_over(body) and not is_deleted(body):
                found[str(owner["name"])] = body["metadata"]["name"]
        return found

    async def create(self, policy: DriftPolicy, run: Run) -> bool:
        """False: there is one of this name already, which a watch has not told of yet."""
        try:
            made = await self._api.create(RETRAINING_RUNS, policy.namespace, run_manifest(policy, run), strict=True)
        except ApiError as error:
            if error.status != CONFLICT:
                raise
            known = await self._api.get(RETRAINING_RUNS, policy.namespace, run.name)
            if known is not None:
                self._cache.restore(RETRAINING_RUNS, known)
            return False
        self._cache.upsert(RETRAINING_RUNS, made)
        return True

    async def store(self, policy: DriftPolicy, run: Run, now: str) -> Run | None:
        """The run as it is stored. None: it was deleted."""
        body = self._cache.get(RETRAINING_RUNS, policy.namespace, run.name)
        stored = (body or {}).get("status") or {}
        status = run_status(run, stored.get("conditions") or (), now)
        if status == stored:
            return run
        manifest = {
            "apiVersion": RETRAINING_RUNS.api_version,
            "kind": RETRAINING_RUNS.kind,
            "metadata": {"namespace": policy.namespace, "name": run.name, "uid": run.uid},
            "status": status,
        }
        try:
            self._cache.upsert_answer(RETRAINING_RUNS, await self._api.apply(RETRAINING_RUNS, manifest, "status"))
        except ApiError as error:
            if error.status in (404, CONFLICT):
                return None
            raise
        return run

    async def refusal(self, policy: DriftPolicy, run: Run) -> str | None:
        """Why `spec.model` of the ModelDeployment may not be the run's model: its rules hold for that one, too.

        The API server is only asked: nothing of the ModelDeployment is written.
        """
        manifest = {
            "apiVersion": MODEL_DEPLOYMENTS.api_version,
            "kind": MODEL_DEPLOYMENTS.kind,
            "metadata": {"namespace": policy.namespace, "name": run.target, "uid": run.target_uid},
            "spec": {"model": show_artifact(run.as_written)},
        }
        try:
            await self._api.apply(MODEL_DEPLOYMENTS, manifest, dry_run=True)
        except ApiError as error:
            if not error.is_refusal:
                raise
            return error.message
        return None

    async def trim(self, policy: DriftPolicy, bodies: Iterable[Object], keep: int, spared: str | None) -> None:
        """Delete the oldest of a target's that are over, but (where any is kept) for `spared` and the last promoted."""
        over = [run for body in bodies if is_over(body) and (run := read_run(body)) is not None]
        over.sort(key=lambda run: (run.ended_at or run.started_at, run.name), reverse=True)
        promoted = next((run.name for run in over if run.result == PROMOTED), None)
        for run in over[keep:]:
            if keep and run.name in (spared, promoted):
                continue
            await self._api.delete(RETRAINING_RUNS, policy.namespace, run.name, run.uid)
            body = self._cache.get(RETRAINING_RUNS, policy.namespace, run.name)
            if body is not None:
                self._cache.remove(RETRAINING_RUNS, body, final=True)
