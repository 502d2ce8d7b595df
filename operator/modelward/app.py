"""The operator's process: kopf watches, the controller works, HTTP tells how it goes. Wiring only."""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.config.config_exception import ConfigException

from modelward import health, settings, telemetry
from modelward.kube.cache import Cache, Key
from modelward.kube.claims import Claims
from modelward.kube.client import Api, connect
from modelward.kube.keyring import Keyring
from modelward.kube.lease import LeaseSettings
from modelward.kube.lease_thread import LeaseThread
from modelward.kube.poller import Poller
from modelward.kube.queue import WorkQueue
from modelward.kube.resources import BATCH_INFERENCES, DRIFT_POLICIES, MODEL_DEPLOYMENTS, MODEL_REGISTRIES
from modelward.kube.watches import WatchEndedError, watch
from modelward.lineage.outbox import Outbox, Receiver
from modelward.monitoring.client import Monitors
from modelward.monitoring.reader import Monitoring
from modelward.net.body import open_session
from modelward.net.budget import Budget
from modelward.net.credentials import Credentials
from modelward.net.guarded import open_guarded_session
from modelward.net.prometheus import Prometheus
from modelward.platform import Platform
from modelward.reconcilers.batchinference.reconcile import BatchReconciler
from modelward.reconcilers.driftpolicy.reconcile import PolicyReconciler
from modelward.reconcilers.fleet import Fleet
from modelward.reconcilers.lineage import Book, Telling
from modelward.reconcilers.loop import ENDS, WORKERS_EACH, Controller, Reconciles
from modelward.reconcilers.modeldeployment.caches import CacheClaims
from modelward.reconcilers.modeldeployment.reconcile import Reconciler
from modelward.reconcilers.modeldeployment.sources import VolumeSources
from modelward.reconcilers.modelregistry.reconcile import RegistryReconciler, wake_followers
from modelward.reconcilers.territory import Territory
from modelward.registries import webhooks
from modelward.registries.access import Access
from modelward.registries.following import Registries
from modelward.registries.webhooks import Webhooks
from modelward.registries.writing import Writing
from modelward.retraining.lifecycle.run import WEBHOOK
from modelward.retraining.triggers.job import JobTrigger
from modelward.retraining.triggers.pipelines import pipelines, polled
from modelward.retraining.triggers.polled import PolledTrigger
from modelward.retraining.triggers.tagged import TaggedVersion
from modelward.retraining.triggers.webhook import WebhookTrigger
from modelward.rollouts.evidence.collector import EvidenceCollector
from modelward.rollouts.evidence.scrape import Scraper
from modelward.routing.envoy.probe import RouterProbe
from modelward.setting_values import SettingsError
from modelward.statusmetrics import StatusMetrics
from modelward_telemetry import logs
from modelward_telemetry.exporter import DROPPED, SENT, Exporter
from modelward_telemetry.tracer import Tracer, address_of

log = logging.getLogger("modelward")

SETTINGS_EXIT = 2
"""Exit code: starting anew helps nothing before somebody has corrected a setting."""


def main() -> None:
    """Run the operator until SIGTERM. Exit code 0: asked to end; 1: it has to be started anew; 2: settings."""
    try:
        configured = settings.load()
    except SettingsError as error:
        sys.stderr.write(f"modelward-operator: {error}\n")
        sys.exit(SETTINGS_EXIT)
    if configured.log_format == "json":
        logs.configure(configured.log_level, "operator")
    else:
        logging.basicConfig(
            level=configured.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
        )
    for told in configured.unknown:
        log.warning("%s", told)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    causes: list[BaseException] = []
    try:
        asyncio.run(run(configured))
    except* (*ENDS, ConfigException, WatchEndedError) as errors:
        causes = _leaves(errors)
    if causes:
        sys.exit(f"modelward-operator: {'; '.join(str(cause) for cause in causes)}")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


async def run(configured: settings.Settings) -> None:
    """The whole operator, until SIGTERM or SIGINT."""
    asked_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_end.set)
    outside = open_guarded_session(configured.registry_hosts)
    elsewhere = open_guarded_session(configured.webhook_hosts)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(await connect())
        session = await stack.enter_async_context(open_session())
        await stack.enter_async_context(outside)
        await stack.enter_async_context(elsewhere)
        outbox = None
        if configured.openlineage_url:
            receiver = Receiver(configured.openlineage_url, configured.openlineage_key_file)
            outbox = await stack.enter_async_context(Outbox(session, receiver))
        tracer = None
        if configured.platform.otlp_endpoint:
            tracer = stack.enter_context(tracing(configured.platform))
        controller, statuses, hooks = build(configured, client, session, outside, elsewhere, outbox, tracer)
        runners = [
            await health.serve(configured.http_port, controller.stuck, statuses),
            await webhooks.serve(configured.registry_webhook_port, hooks.handle),
        ]
        stop_watching = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                discovering = tasks.create_task(controller.discover())
                working = tasks.create_task(controller.run(discovering))
                watching = tasks.create_task(watch(controller.observe_event, discovering, stop_watching))
                watching.add_done_callback(lambda _: asked_to_end.set())
                await asked_to_end.wait()
                log.info("ending")
                # First the work, with its lease: whoever takes over need not wait for the watches to end.
                working.cancel()
                stop_watching.set()
        finally:
            stop_watching.set()
            for runner in runners:
                await runner.cleanup()


@contextmanager
def tracing(platform: Platform) -> Iterator[Tracer]:
    """The operator's own spans, sent until the end."""
    for result in (SENT, DROPPED):
        telemetry.TRACE_SPANS.labels(result)
    exporter = Exporter(
        address_of(platform.otlp_endpoint),
        {},
        {"service.name": "modelward-operator"},
        lambda result, spans: telemetry.TRACE_SPANS.labels(result).inc(spans),
    )
    exporter.start()
    try:
        yield Tracer(exporter.put, platform.trace_share)
    finally:
        exporter.close()


def build(
    configured: settings.Settings,
    client: ApiClient,
    session: aiohttp.ClientSession,
    outside: aiohttp.ClientSession,
    elsewhere: aiohttp.ClientSession,
    outbox: Outbox | None = None,
    tracer: Tracer | None = None,
) -> tuple[Controller, Callable[[], StatusMetrics], Webhooks]:
    """Put the parts together: what works, what there is to be scraped, and what takes webhooks of registries.
    `outside`: the session for addresses of registries that tenants write, `elsewhere`: of webhooks and pipelines;
    `outbox`: None: no lineage is sent; `tracer`: None: there are no traces."""
    clock = time.monotonic
    cache, queue = Cache(), WorkQueue(clock, WORKERS_EACH)
    lease = LeaseThread(LeaseSettings(configured.namespace), configured.identity, clock)
    # Claims are written by unfenced requests, and everything else asks them: the one knows the other.
    api = Api(client, may_write=lease.is_held, owns=lambda namespace: claims.may_write(namespace))
    claims = Claims(api, configured.namespace, configured.watch_namespaces, clock)
    territory = Territory(api, cache, queue, claims, configured.watch_namespaces)
    # The operator's own namespace needs no claim.
    keyring = Keyring(Api(client, may_write=lease.is_held), configured.namespace, clock, time.time)
    credentials = Credentials(keyring.signing, time.time)
    poller = Poller(queue.add, clock, may_ask=lease.is_held)
    budget = Budget(clock)
    probe = RouterProbe(session, poller, budget=budget)
    prometheus = None
    if configured.prometheus_url:
        prometheus = Prometheus(
            session, configured.prometheus_url, token_file=configured.prometheus_token_file,
            tenant=configured.prometheus_tenant,
        )  # fmt: skip
    evidence = EvidenceCollector(
        Scraper(session, credentials=credentials, budget=budget), prometheus, poller,
        namespace_label=configured.prometheus_namespace_label,
    )  # fmt: skip
    monitoring = Monitoring(api, Monitors(session, credentials=credentials, budget=budget), poller, clock)
    fleet = Fleet(lambda: cache.names(MODEL_DEPLOYMENTS), queue.add, configured.updates_at_a_time)
    access = Access(api, outside, configured.registry_hosts, clock, time.time, configured.lending)
    registries = Registries(
        access, poller, clock, time.time,
        lambda key, reference: wake_followers(cache, queue, key.namespace, reference),
    )  # fmt: skip
    reconciler = Reconciler(
        api, cache, configured.platform, probe, evidence, monitoring, configured.identity, clock, now, keyring, fleet,
        registries, CacheClaims(api, poller, clock), Writing(poller, access), VolumeSources(api, poller, clock),
    )  # fmt: skip
    jobs = JobTrigger(api, cache, now)
    webhooks_out = PolledTrigger(WebhookTrigger(api, elsewhere, configured.webhook_hosts, now), poller)
    tagged = TaggedVersion(cache, access)
    others = pipelines(
        api, elsewhere, configured.webhook_hosts, configured.webhook_plain_hosts, tagged, time.time
    )  # fmt: skip
    policies = PolicyReconciler(
        api,
        cache,
        monitoring,
        jobs,
        {WEBHOOK: webhooks_out, **polled(others, poller)},
        configured.identity,
        now,
        about=registries.about,
        platform=configured.platform,
    )
    reconcilers: dict[str, Reconciles] = {
        MODEL_DEPLOYMENTS.kind: reconciler,
        DRIFT_POLICIES.kind: policies,
        MODEL_REGISTRIES.kind: RegistryReconciler(api, cache, registries, now),
        BATCH_INFERENCES.kind: BatchReconciler(
            api, cache, configured.platform, configured.identity, now, registries.about
        ),
    }

    if outbox is not None:
        book = Book(cache, outbox, configured.openlineage_namespace, configured.openlineage_namespaces, now)
        for kind in (MODEL_DEPLOYMENTS.kind, DRIFT_POLICIES.kind):
            reconcilers[kind] = Telling(reconcilers[kind], book)

    def statuses() -> StatusMetrics:
        # Who stands by says nothing: two that tell of the same model would make it two.
        if not lease.is_held():
            return StatusMetrics(left_alone=territory.left_alone())
        return StatusMetrics(
            cache.all(MODEL_DEPLOYMENTS),
            cache.all(DRIFT_POLICIES),
            monitoring.shown(),
            policies.shown(),
            territory.left_alone(),
            fleet.counts(),
            cache.all(MODEL_REGISTRIES),
            cache.all(BATCH_INFERENCES),
        )

    controller = Controller(
        api, cache, queue, lease, territory, reconcilers, clock, configured.resync_seconds, poller, tracer
    )

    def poke(key: Key) -> None:
        registries.poke(key)
        queue.add(key)

    return controller, statuses, Webhooks(cache, access.logins, poke, lease.is_held, clock, time.time)


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)
