"""The operator in the test's own process: real watches, real writes, a pretended router."""

import asyncio
import contextlib
import gc
import os
import time
import traceback
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from modelward.kube.cache import Cache
from modelward.kube.claims import Claims
from modelward.kube.client import Api, connect
from modelward.kube.keyring import Keyring
from modelward.kube.lease import LeaseSettings
from modelward.kube.lease_thread import LeaseThread
from modelward.kube.poller import Poller
from modelward.kube.queue import WorkQueue
from modelward.kube.resources import BATCH_INFERENCES, DRIFT_POLICIES, MODEL_DEPLOYMENTS, MODEL_REGISTRIES
from modelward.kube.watches import watch
from modelward.lineage.outbox import Outbox, Receiver
from modelward.monitoring.reader import Monitoring
from modelward.net.guarded import open_guarded_session
from modelward.net.prometheus import Prometheus
from modelward.platform import Platform
from modelward.reconcilers.batchinference.reconcile import BatchReconciler
from modelward.reconcilers.driftpolicy.reconcile import Monitoring as Windows
from modelward.reconcilers.driftpolicy.reconcile import PolicyReconciler
from modelward.reconcilers.fleet import Fleet
from modelward.reconcilers.lineage import Book, Telling
from modelward.reconcilers.loop import Controller, Reconciles
from modelward.reconcilers.modeldeployment.caches import CacheClaims
from modelward.reconcilers.modeldeployment.reconcile import Reconciler
from modelward.reconcilers.modeldeployment.sources import VolumeSources
from modelward.reconcilers.modelregistry.reconcile import RegistryReconciler, wake_followers
from modelward.reconcilers.territory import Territory
from modelward.registries.access import Access
from modelward.registries.following import Registries
from modelward.registries.writing import Writing
from modelward.retraining.lifecycle.run import WEBHOOK
from modelward.retraining.triggers.job import JobTrigger
from modelward.retraining.triggers.pipelines import pipelines, polled
from modelward.retraining.triggers.polled import PolledTrigger
from modelward.retraining.triggers.tagged import TaggedVersion
from modelward.retraining.triggers.webhook import WebhookTrigger
from modelward.rollouts.evidence.collector import EvidenceCollector

from .cluster import Cluster
from .kubelet import FakeRouters
from .monitors import FakeMonitors, as_monitors
from .traffic import FakeTraffic, as_scraper

PLATFORM = Platform(server_image="inference:1", router_image="envoy:1", evaluate_image="evaluate:1")
LEASE = LeaseSettings(namespace="default", duration=20.0, renew_every=0.5, margin=4.0)
"""As long as in production: on a machine that does much else, an API server has been seen to need six seconds."""


MOMENT = 0.2
"""Seconds."""

SHUTDOWN = 60.0
"""Seconds within which it has ended; it takes one on a quiet machine."""


class KilledError(BaseException):
    """What SIGKILL is to a process: nothing catches it."""


class MortalApi(Api):
    """Counts writes, and dies after a number of them: the dead write nothing more, and release no lease."""

    writes = 0
    dies_after: int | None = None
    dead = False

    async def request(self, method: str, resource: Any, path: str, **options: Any) -> dict[str, Any]:
        if self.dead:
            raise KilledError
        answer = await super().request(method, resource, path, **options)
        if method != "GET" and resource.plural != "leases":
            self.writes += 1
            self.dead = self.dies_after is not None and self.writes >= self.dies_after
            if self.dead:
                raise KilledError
        return answer


class LeaseApi(Api):
    """What the lease writes by: as dead as the rest of the process."""

    of: MortalApi

    async def request(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        if self.of.dead:
            raise KilledError
        return await super().request(*arguments, **options)


@contextlib.asynccontextmanager
async def _connection_of_the_lease(api: MortalApi) -> AsyncIterator[Api]:
    async with await connect() as client:
        own = LeaseApi(client, may_write=lambda: False)
        own.of = api
        yield own


class Operator:
    """`async with operator(cluster) as one:` runs it; `one.api.writes` counts its writes."""

    def __init__(
        self,
        api: MortalApi,
        controller: Controller,
        lease: LeaseThread,
        cache: Cache,
        task: "asyncio.Task[None]",
        fleet: Fleet,
    ) -> None:
        self.api, self.controller, self.lease, self.cache, self.task = api, controller, lease, cache, task
        self.fleet = fleet

    def left_alone(self) -> dict[str, frozenset[str]]:
        """Namespaces, by why."""
        return self.controller._territory.left_alone()

    def is_idle(self) -> bool:
        """Whether it knows of nothing to do now."""
        return not self.controller._queue._due and not self.controller._started


@contextlib.asynccontextmanager
async def operator(
    cluster: Cluster,
    identity: str = "test",
    dies_after: int | None = None,
    resync_seconds: float = 600.0,
    traffic: FakeTraffic | None = None,
    prometheus_url: str | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sidecars: FakeMonitors | None = None,
    monitors: Windows | None = None,
    webhook_hosts: tuple[str, ...] = (),
    registry_hosts: tuple[str, ...] = ("127.0.0.1",),
    installation: str = LEASE.namespace,
    namespaces: tuple[str, ...] | None = None,
    kubeconfig: Path | None = None,
    handover: float = 0.0,
    platform: Platform = PLATFORM,
    at_a_time: int = 5,
    may_end: bool = False,
    lineage_url: str = "http://127.0.0.1:9/",
    after_crash: bool = False,
) -> AsyncIterator[Operator]:
    """`installation`: the namespace that it is pretended to lie in; `namespaces`: those that it is for; `kubeconfig`:
    whose account it has, the administrator's by default; `handover`: seconds, none where nobody else writes;
    `at_a_time`: models that it updates at a time; `may_end`: the test looks itself whether the operator ends, as with
    `dies_after`: any other test fails as soon as it has; `lineage_url`: where lineage is sent, nowhere by default;
    `after_crash`: the one before, of the same identity, is one that `dies_after` so many writes: nothing of it can
    still be under way, so its lease need not be waited for."""
    os.environ["KUBECONFIG"] = str(kubeconfig or cluster.server.kubeconfig)
    clock = time.monotonic
    stop = asyncio.Event()
    async with (
        await connect() as client,
        aiohttp.ClientSession() as session,
        open_guarded_session(registry_hosts) as outside,
        open_guarded_session(webhook_hosts) as elsewhere,
        Outbox(session, Receiver(lineage_url), retry=0.1) as outbox,
    ):
        cache, queue = Cache(), WorkQueue(clock)
        api = MortalApi(client, may_write=lambda: lease.is_held(), owns=lambda namespace: claims.may_write(namespace))
        api.dies_after = dies_after
        lease = LeaseThread(
            replace(LEASE, namespace=installation, margin=MOMENT if after_crash else LEASE.margin),
            identity,
            clock,
            lambda: _connection_of_the_lease(api),
        )
        claims = Claims(api, installation, namespaces, clock, handover)
        territory = Territory(api, cache, queue, claims, namespaces, look_every=0.5)
        routers = FakeRouters()
        routers.cache = cache
        prometheus = Prometheus(session, prometheus_url) if prometheus_url else None
        poller = Poller(queue.add, clock, may_ask=lease.is_held)
        evidence = EvidenceCollector(as_scraper(traffic or FakeTraffic()), prometheus, poller, ask_every=1.0)
        monitoring = Monitoring(api, as_monitors(sidecars or FakeMonitors()), poller, clock)
        fleet = Fleet(lambda: cache.names(MODEL_DEPLOYMENTS), queue.add, at_a_time)
        access = Access(api, outside, registry_hosts, clock, time.time)
        registries = Registries(
            access, poller, clock, time.time,
            lambda key, reference: wake_followers(cache, queue, key.namespace, reference),
        )  # fmt: skip
        reconciler = Reconciler(
            api, cache, platform, routers, evidence, monitoring, identity, clock, now,  # type: ignore[arg-type]
            Keyring(Api(client, may_write=lease.is_held), installation, clock, time.time), fleet, registries,
            CacheClaims(api, poller, clock, every=2.0), Writing(poller, access),
            VolumeSources(api, poller, clock),
        )  # fmt: skip
        jobs = JobTrigger(api, cache, now)
        webhooks = PolledTrigger(WebhookTrigger(api, elsewhere, webhook_hosts, now), poller)
        others = pipelines(
            api, elsewhere, webhook_hosts, webhook_hosts, TaggedVersion(cache, access), time.time
        )  # fmt: skip
        policies = PolicyReconciler(
            api,
            cache,
            monitors or monitoring,
            jobs,
            {WEBHOOK: webhooks, **polled(others, poller)},
            identity,
            now,
            look_every=0.2,
            about=registries.about,
            platform=platform,
        )
        reconcilers: dict[str, Reconciles] = {
            MODEL_DEPLOYMENTS.kind: reconciler,
            DRIFT_POLICIES.kind: policies,
            MODEL_REGISTRIES.kind: RegistryReconciler(api, cache, registries, now),
            BATCH_INFERENCES.kind: BatchReconciler(api, cache, platform, identity, now, registries.about),
        }
        book = Book(cache, outbox, "test", ("*",) if lineage_url.endswith("lineage") else (), now)
        for kind in (MODEL_DEPLOYMENTS.kind, DRIFT_POLICIES.kind):
            reconcilers[kind] = Telling(reconcilers[kind], book)
        controller = Controller(api, cache, queue, lease, territory, reconcilers, clock, resync_seconds, poller)
        discovering = asyncio.create_task(controller.discover())
        watching = asyncio.create_task(watch(controller.observe_event, discovering, stop))
        made = Operator(api, controller, lease, cache, asyncio.create_task(controller.run(discovering)), fleet)
        try:
            with _no_end_of(*(() if may_end or dies_after is not None else (made.task, watching))):
                yield made
        finally:
            async with asyncio.timeout(SHUTDOWN):
                made.task.cancel()
                with contextlib.suppress(asyncio.CancelledError, KilledError, BaseExceptionGroup):
                    await made.task
                stop.set()
                with contextlib.suppress(asyncio.CancelledError):  # who dies while it looks around never watches
                    await watching
            for ended in (made.task, lease._stop, lease._acquired, lease._ended):
                if ended.done() and not ended.cancelled():
                    _let_go(ended.exception())
            collect_what_kopf_leaves()


@contextlib.contextmanager
def _no_end_of(*tasks: "asyncio.Task[None]") -> Iterator[None]:
    """Whoever waits for something of an operator that is gone would wait until his deadline, and not be told why."""
    test = asyncio.current_task()
    assert test is not None
    ended: list[asyncio.Task[None]] = []

    def tell(task: "asyncio.Task[None]") -> None:
        ended.append(task)
        test.cancel()

    for task in tasks:
        task.add_done_callback(tell)
    try:
        yield
    except asyncio.CancelledError:
        if not ended:
            raise
        test.uncancel()
        cause = None if ended[0].cancelled() else ended[0].exception()
        raise AssertionError(f"the operator ended by itself: {cause!r}") from cause
    finally:
        for task in tasks:
            task.remove_done_callback(tell)


def _let_go(error: BaseException | None) -> None:
    """Of what the frames hold in which it was raised: whoever keeps the operator that died keeps its connections."""
    seen: set[int] = set()
    found = [error]
    while found:
        each = found.pop()
        # An error may be its own context, by way of others.
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)
            found += (*getattr(each, "exceptions", ()), each.__cause__, each.__context__)


def collect_what_kopf_leaves() -> None:
    """Its loop ends before its broken connections are closed: found by chance later, they would fail another test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


async def until(condition: Callable[[], Any], what: str, deadline: float = 30.0) -> Any:
    """Ask until the answer is true; the answer. Fails after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        answer = await asyncio.to_thread(condition)
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {deadline} s: {what}; last answer: {answer!r}"
        await asyncio.sleep(0.1)
