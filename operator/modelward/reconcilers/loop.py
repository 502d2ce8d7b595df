"""Runs the operator: takes the lease, fills the cache, works on the queue, resyncs, and says whether it is alive.

Failure: every way in which it can no longer do its work ends the process, and Kubernetes starts a new one; there is no
state to lose.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from modelward import telemetry
from modelward.kube.cache import Cache, Key, Object, target_of
from modelward.kube.client import Api, ApiError, ApiUnreachableError, NotLeaderError, NotOursError
from modelward.kube.discovery import Scope
from modelward.kube.lease_thread import LeaseThread
from modelward.kube.poller import Poller
from modelward.kube.queue import WorkQueue
from modelward.kube.resources import (
    DRIFT_POLICIES,
    MODEL_DEPLOYMENTS,
    MODEL_REGISTRIES,
    NAMESPACES,
    OWNERS,
    RETRAINING_RUNS,
    Resource,
)
from modelward.kube.resync import RESYNC_JITTER, RESYNC_SECONDS, resync
from modelward.reconcilers.batchinference.reconcile import judged_by, waiting_for
from modelward.reconcilers.driftpolicy.reconcile import watchers_of
from modelward.reconcilers.modeldeployment.apply import ApiInstalledError
from modelward.reconcilers.modeldeployment.reconcile import Outcome
from modelward.reconcilers.modelregistry.reconcile import Askers, wake_followers
from modelward.reconcilers.territory import NamespaceOpenedError, Territory
from modelward_telemetry.tracer import Tracer

log = logging.getLogger(__name__)

WORKERS = 24
"""Objects that are worked on at once: each mostly waits for the API server."""

WORKERS_EACH = 8
"""Of one namespace: however many objects it has, some workers are left for others."""

STUCK_AFTER = 120.0
"""Seconds that one reconcile may take before the health probe fails: every request in it has a shorter time-out, and is
one to the API server."""


RESYNC_RETRY = 30.0
"""Seconds after which a resync that failed is tried again."""


class LeaseLostError(Exception):
    """Another operator may write now, so this one must end."""


class CrdMissingError(Exception):
    """The cluster does not know our kinds."""


ENDS = (LeaseLostError, NotLeaderError, CrdMissingError, ApiInstalledError, NamespaceOpenedError)
"""What `run` ends with; another process may do better."""


class Reconciles(Protocol):
    """Brings one object a step on, as Reconciler.reconcile does."""

    async def reconcile(self, key: Key) -> Outcome: ...

    def forget(self, key: Key) -> None: ...


class Controller:
    """The loop around what reconciles, by kind. `clock`: monotonic seconds; `tracer`: None: there are no
    spans."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        queue: WorkQueue,
        lease: LeaseThread,
        territory: Territory,
        reconcilers: Mapping[str, Reconciles],
        clock: Callable[[], float] = time.monotonic,
        resync_seconds: float = RESYNC_SECONDS,
        poller: Poller | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._api = api
        self._cache = cache
        self._queue = queue
        self._lease = lease
        self._territory = territory
        self._reconcilers = reconcilers
        self._clock = clock
        self._resync_seconds = resync_seconds
        self._poller = poller
        self._tracer = tracer
        self._started: dict[Key, float] = {}
        self._askers = Askers(cache)
        cache.on_change = self._wake_watchers
        cache.on_foreign = queue.add

    def observe_event(self, resource: Resource, kind: str | None, body: Object) -> None:
        """Take in one watch event (`kind`: ADDED, MODIFIED, DELETED, or None for one of an initial list)."""
        if resource is NAMESPACES:
            # Whichever way it changed: what its models may be is decided anew.
            for key in self._cache.in_namespace(body["metadata"]["name"]):
                self._queue.add(key)
        owner = self._cache.remove(resource, body) if kind == "DELETED" else self._cache.upsert(resource, body)
        if resource is RETRAINING_RUNS and (target := target_of(body)) is not None:
            # Also where the operator wrote it itself: what the ModelDeployment is to serve may be another model now.
            self._queue.add(target)
        if owner is not None:
            if kind == "DELETED" and resource in OWNERS and self._poller is not None:
                self._poller.forget(owner)
            self._queue.add(owner)

    def _wake_watchers(self, resource: Resource, body: Object) -> None:
        """Not where events come in: the answer to a write of ours is there before its event, which is no news then."""
        if resource is MODEL_DEPLOYMENTS:
            for watcher in (*watchers_of(self._cache, body), *self._askers.of(body), *waiting_for(self._cache, body)):
                self._queue.add(watcher)
        if resource is DRIFT_POLICIES:
            for batch in judged_by(self._cache, body):
                self._queue.add(batch)
        if resource is MODEL_REGISTRIES and self._askers.changed(body):
            wake_followers(self._cache, self._queue, body["metadata"]["namespace"])

    def stuck(self) -> str | None:
        """Why the loop is not well, in a sentence, or None."""
        now = self._clock()
        for key, since in self._started.items():
            if now - since > STUCK_AFTER:
                return f"the reconcile of {key} has been running for {now - since:.0f} s"
        return None

    async def discover(self) -> Scope:
        """What is to be watched in this cluster."""
        return await self._territory.discover()

    async def run(self, scope: Awaitable[Scope]) -> None:
        """Work as the leader until cancelled, or raise one of ENDS. `scope`: what is watched."""
        self._territory.enter(await scope)
        try:
            await self._lease.acquire()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_lease(), name="lease")
                await self._territory.first_look()
                await self._first_sync()
                tasks.create_task(self._territory.look_for_ever(), name="territory")
                tasks.create_task(self._resync_for_ever(), name="resync")
                for number in range(WORKERS):
                    tasks.create_task(self._work_for_ever(), name=f"worker-{number}")
        finally:
            if self._poller is not None:
                await self._poller.close()
            await self._lease.release()

    async def _keep_lease(self) -> None:
        await self._lease.keep()
        raise LeaseLostError("the lease is lost")

    async def _first_sync(self) -> None:
        """Before the cache is complete nothing may be decided: a child that is not known would be made again."""
        while True:
            try:
                await resync(self._api, self._cache, self._queue)
                return
            except (ApiError, ApiUnreachableError) as error:
                if isinstance(error, ApiError) and error.status == 404:
                    raise CrdMissingError(
                        "the cluster does not know all of ModelDeployment, DriftPolicy, RetrainingRun, ModelRegistry "
                        "and BatchInference; install them with "
                        "`kubectl apply -k crds`"
                    ) from error
                log.warning("the cluster's state could not be read, trying again: %s", error)
                await asyncio.sleep(1)

    async def _resync_for_ever(self) -> None:
        pause = self._resync_seconds
        while True:
            spread = 1 + RESYNC_JITTER * (2 * random.random() - 1)  # noqa: S311
            await asyncio.sleep(pause * spread)
            try:
                repaired = await resync(self._api, self._cache, self._queue)
                pause = self._resync_seconds
                if repaired:
                    log.info("resync: changes to %d objects had been missed", repaired)
            except (ApiError, ApiUnreachableError) as error:
                pause = min(self._resync_seconds, RESYNC_RETRY)
                log.warning("the resync failed and will be repeated in about %.0f s: %s", pause, error)

    async def _work_for_ever(self) -> None:
        while True:
            key = await self._queue.get()
            self._started[key] = self._clock()
            result = ""
            try:
                result = await self._work(key)
            finally:
                seconds = self._clock() - self._started.pop(key)
                telemetry.RECONCILE_SECONDS.observe(seconds)
                if self._tracer is not None and result:
                    _trace(self._tracer, key, seconds, result)
                self._queue.done(key)

    async def _work(self, key: Key) -> str:
        """What came of it, as RECONCILES has it; empty where it is not this installation's, or not yet."""
        wait = self._territory.wait(key.namespace)
        if wait is None:
            # It comes back with the claim. Another installation writes what is remembered of it here.
            self._reconcilers[key.kind].forget(key)
            return ""
        if wait > 0:
            self._queue.add(key, wait)
            return ""
        try:
            outcome = await self._reconcilers[key.kind].reconcile(key)
        except (NotLeaderError, ApiInstalledError):
            raise
        except NotOursError as error:
            log.info("%s: %s", key, error)
            self._queue.retry(key)
            return ""
        except (ApiError, ApiUnreachableError) as error:
            telemetry.RECONCILES.labels("error").inc()
            delay = self._queue.retry(key)
            log.warning("%s: trying again in %.1f s: %s", key, delay, error)
        except Exception:  # a bug in one reconcile must not stop the others
            telemetry.RECONCILES.labels("error").inc()
            log.exception("%s: the reconcile failed, trying again in %.1f s", key, self._queue.retry(key))
        else:
            return self._take_in(key, outcome)
        return "error"

    def _take_in(self, key: Key, outcome: Outcome) -> str:
        if outcome.refused:
            telemetry.RECONCILES.labels("refused").inc()
            self._queue.retry(key)
            return "refused"
        self._queue.forget(key)
        result = "ok" if outcome.again_in is None else "waiting"
        telemetry.RECONCILES.labels(result).inc()
        if outcome.again_in is not None:
            self._queue.add(key, outcome.again_in)
        return result


def _trace(tracer: Tracer, key: Key, seconds: float, result: str) -> None:
    """A reconcile that has just ended, as a trace of its own."""
    at = tracer.begin(None)
    if at is not None:
        end = time.time_ns()
        told = {"kind": key.kind, "namespace": key.namespace, "name": key.name, "result": result}
        tracer.end(at, None, "reconcile", end - int(seconds * 1e9), end, told, failed=result == "error")
