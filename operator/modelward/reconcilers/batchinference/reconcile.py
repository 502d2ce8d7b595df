"""One reconcile of a BatchInference: look at its runs, decide, begin one that is due, and store what came of it.

Level-triggered: a run is a Job whose name follows from what is in status, so a crash at any moment is followed by the
same step again, and starts none twice. Failure: what the API server refuses is a condition.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from modelward import telemetry
from modelward.api import batchinference
from modelward.api.batchinference import BatchInference
from modelward.api.conditions import OUTCOMES_WORSE
from modelward.api.invalid import InvalidObjectError
from modelward.batches.drift import DriftAsked
from modelward.batches.job_manifest import RunModel, job
from modelward.batches.progress import CURES
from modelward.batches.run import RESULTS, Memory, Run, RunFacts, remembered
from modelward.kube import events
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import BATCH_INFERENCES, DRIFT_POLICIES, JOBS
from modelward.models.following import WAITING
from modelward.net.untrusted import quoted
from modelward.platform import Platform
from modelward.reconcilers.batchinference import outcomes_status
from modelward.reconcilers.batchinference.events import transitions
from modelward.reconcilers.batchinference.observe import About, drift_of, model_of, runs_of
from modelward.reconcilers.batchinference.plan import Plan, plan, with_run
from modelward.reconcilers.batchinference.status import BAD, PENDING, State, build_status
from modelward.reconcilers.modeldeployment.consents import platform_of
from modelward.reconcilers.modeldeployment.reconcile import Outcome, soonest
from modelward.reconcilers.status_writer import write_status
from modelward.reconcilers.unreadable import tell_unreadable
from modelward.revisions.health.diagnosis import Problem
from modelward.revisions.observed.ownership import belongs_to

log = logging.getLogger(__name__)

ASK_REGISTRY_AGAIN: Final = 2.0
"""Seconds until it is looked whether a registry has answered."""

TRY_AGAIN: Final = 30.0
"""Seconds until a run that could not begin is tried again: a quota may be raised, what is missing be there."""

LONGEST: Final = 500
"""Characters of an error that are told."""

CONFLICT: Final = 409

NO_READER: Final = Problem(
    "NoEvaluator",
    "This installation has no image that reads tables; its administrator has to name one in MODELWARD_EVALUATE_IMAGE, "
    "or rows be exported to files (spec.input.uri)",
)


def waiting_for(cache: Cache, body: Object) -> Iterator[Key]:
    """The BatchInferences whose next run a ModelDeployment may be all that is missing for."""
    metadata = body["metadata"]
    for each in cache.of_namespace(BATCH_INFERENCES, metadata["namespace"]):
        model = (each.get("spec") or {}).get("model") or {}
        phase = (each.get("status") or {}).get("phase")
        if model.get("modelDeployment") == metadata["name"] and phase in (None, PENDING, BAD):
            yield Key(metadata["namespace"], each["metadata"]["name"], BATCH_INFERENCES.kind)


def judged_by(cache: Cache, policy: Object) -> Iterator[Key]:
    """The BatchInferences whose status tells, or is to tell, what a DriftPolicy says of their predictions."""
    metadata, named = policy["metadata"], outcomes_status.batch_named(policy)
    for each in cache.of_namespace(BATCH_INFERENCES, metadata["namespace"]):
        told = (each.get("status") or {}).get("conditions") or ()
        if each["metadata"]["name"] == named or any(one.get("type") == OUTCOMES_WORSE for one in told):
            yield Key(metadata["namespace"], each["metadata"]["name"], BATCH_INFERENCES.kind)


class BatchReconciler:
    """`about`: what a registry is known to say of a reference; `now`: the wall clock, UTC."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        platform: Platform,
        identity: str,
        now: Callable[[], datetime],
        about: About = lambda _registry, _reference, _since: None,
    ) -> None:
        self._api = api
        self._cache = cache
        self._platform = platform
        self._identity = identity
        self._now = now
        self._about = about
        self._known: set[Key] = set()

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one batch a step on. Raises ApiError, ApiUnreachableError: the caller tries again; NotLeaderError."""
        body = self._cache.get(BATCH_INFERENCES, key.namespace, key.name)
        if body is None:
            self.forget(key)
            return Outcome()
        try:
            batch = batchinference.parse(body)
        except InvalidObjectError as error:
            await tell_unreadable(self._api, self._cache, BATCH_INFERENCES, body, error, self._now())
            return Outcome(refused=True)
        if batch.deleting:
            # Owner references make the garbage collector stop Jobs.
            return Outcome()
        if key not in self._known:
            telemetry.expect_batch(key.namespace, key.name, RESULTS)
            self._known.add(key)
        now, memory = self._now().timestamp(), remembered(batch.status)
        planned = plan(batch, memory, await self._runs(batch, memory, now), now)
        for each in planned.delete:
            await self._delete(batch, each)
        active, problem, again_in = planned.active, planned.problem, planned.again_in
        known = planned.memory
        if planned.begin is not None:
            active, problem, wait = await self._begin(batch, planned.begin, now)
            again_in = soonest(again_in, wait)
            known = with_run(planned) if active is not None else known
        worse = outcomes_status.condition(batch, self._cache.of_namespace(DRIFT_POLICIES, batch.namespace))
        status = build_status(batch, State(known, active, problem, planned.next_at, now, worse))
        if status != batch.status:
            await self._tell(batch, planned, status)
        return Outcome(again_in=again_in)

    def forget(self, key: Key) -> None:
        """It is gone, or another installation's."""
        if key in self._known:
            self._known.discard(key)
            telemetry.forget_batch(key.namespace, key.name, RESULTS)

    async def _runs(self, batch: BatchInference, memory: Memory, now: float) -> list[RunFacts]:
        """Where no watch tells of the Job of the run that goes on by status, the API server is asked: one that lost its
        label is there all the same."""
        found = runs_of(batch, self._cache, now)
        name = memory.active.name if memory.active is not None else None
        if name is None or any(each.name == name for each in found) or any(each.name == name for each in memory.runs):
            return found
        body = await self._api.get(JOBS, batch.namespace, name)
        if body is None or not belongs_to(body, batch):
            return found
        self._cache.restore(JOBS, body)
        return runs_of(batch, self._cache, now)

    async def _begin(
        self, batch: BatchInference, run: Run, now: float
    ) -> tuple[RunFacts | None, Problem | None, float | None]:
        """The run that goes on now, or why it can't begin, and seconds until that is tried again."""
        if batch.spec.input.table is not None and not self._platform.evaluate_image:
            return None, NO_READER, TRY_AGAIN
        taken = model_of(batch, self._cache, self._about, now)
        if isinstance(taken, Problem):
            return None, taken, ASK_REGISTRY_AGAIN if taken.reason == WAITING else TRY_AGAIN
        problem = await self._create(batch, run, taken, drift_of(batch, self._cache, now))
        found = None
        if problem is None:
            found = next((each for each in runs_of(batch, self._cache, now) if each.name == run.name), None)
        return found, problem, TRY_AGAIN

    async def _create(
        self, batch: BatchInference, run: Run, taken: RunModel, drift: DriftAsked | None
    ) -> Problem | None:
        platform = platform_of(self._platform, self._cache, batch.namespace)
        log.info("%s/%s: %s begins (%s)", batch.namespace, batch.name, run.name, run.trigger)
        try:
            made: Object | None = await self._api.create(
                JOBS, batch.namespace, job(batch, platform, run, taken, drift), strict=True
            )
        except ApiError as error:
            if error.is_refusal:
                told = f"The API server refuses the Job {run.name}: {quoted(error.message, LONGEST).rstrip('.')}"
                return Problem("JobRefused", f"{told}. {CURES.rejected}")
            if error.status != CONFLICT:
                raise
            made = await self._api.get(JOBS, batch.namespace, run.name)
        if made is not None and not belongs_to(made, batch):
            told = f"There is a Job {run.name} that is not of this BatchInference; delete it, or choose another name"
            return Problem("NameTaken", told)
        if made is not None:
            self._cache.restore(JOBS, made)
        return None

    async def _delete(self, batch: BatchInference, run: RunFacts) -> None:
        """Its pods go with it."""
        await self._api.delete(JOBS, batch.namespace, run.name, run.uid)
        known = self._cache.get(JOBS, batch.namespace, run.name)
        if known is not None and known["metadata"]["uid"] == run.uid:
            self._cache.remove(JOBS, known, final=True)

    async def _tell(self, batch: BatchInference, planned: Plan, status: dict[str, object]) -> None:
        for transition in transitions(planned, batch.status, status):
            await events.post(self._api, batch, transition, self._identity)
        if await write_status(self._api, self._cache, BATCH_INFERENCES, batch, status):
            for entry in planned.ended:
                telemetry.BATCH_RUNS.labels(batch.namespace, batch.name, entry.result).inc()
