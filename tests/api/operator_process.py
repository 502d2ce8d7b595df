"""The operator in the test's own process: real watches, real writes, a pretended router."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from modelward import app
from modelward.cluster.cache import Cache
from modelward.cluster.client import Api, connect
from modelward.cluster.lease import Lease, LeaseSettings
from modelward.cluster.queue import WorkQueue
from modelward.controller.controller import Controller
from modelward.controller.reconcile import Reconciler
from modelward.render.platform import Platform

from .conftest import Cluster
from .kubelet import FakeRouters

PLATFORM = Platform(server_image="inference:1", router_image="envoy:1")
LEASE = LeaseSettings(namespace="default", duration=10.0, renew_every=0.5, margin=4.0)
"""Shorter than in production, so that a test need not wait for a lost lease."""


class KilledError(BaseException):
    """What SIGKILL is to a process: nothing catches it."""


class MortalApi(Api):
    """Counts writes, and dies after a number of them."""

    writes = 0
    dies_after: int | None = None

    async def request(self, method: str, resource: Any, path: str, **options: Any) -> dict[str, Any]:
        answer = await super().request(method, resource, path, **options)
        if method != "GET" and resource.plural != "leases":
            self.writes += 1
            if self.dies_after is not None and self.writes >= self.dies_after:
                raise KilledError
        return answer


class Operator:
    """`async with operator(cluster) as one:` runs it; `one.api.writes` counts its writes."""

    def __init__(self, api: MortalApi, controller: Controller, lease: Lease, cache: Cache) -> None:
        self.api, self.controller, self.lease, self.cache = api, controller, lease, cache
        self.task: asyncio.Task[None] | None = None


@contextlib.asynccontextmanager
async def operator(
    cluster: Cluster, identity: str = "test", dies_after: int | None = None, resync_seconds: float = 600.0
) -> AsyncIterator[Operator]:
    os.environ["KUBECONFIG"] = str(cluster.server.kubeconfig)
    clock = time.monotonic
    stop = threading.Event()
    async with await connect() as client:
        cache, queue = Cache(), WorkQueue(clock)
        api = MortalApi(client, may_write=lambda: lease.is_held())
        api.dies_after = dies_after
        lease = Lease(api, LEASE, identity, clock)
        routers = FakeRouters()
        routers.cache = cache
        reconciler = Reconciler(
            api, cache, PLATFORM, routers, identity, clock, now=lambda: datetime.now(UTC)  # type: ignore[arg-type]
        )  # fmt: skip
        controller = Controller(api, cache, queue, lease, reconciler, clock, resync_seconds)
        made = Operator(api, controller, lease, cache)
        watching = asyncio.create_task(app.watch(controller, stop))
        made.task = asyncio.create_task(controller.run())
        try:
            yield made
        finally:
            made.task.cancel()
            with contextlib.suppress(asyncio.CancelledError, KilledError, BaseExceptionGroup):
                await made.task
            stop.set()
            await watching


async def until(condition: Callable[[], Any], what: str, deadline: float = 30.0) -> Any:
    """Ask until the answer is true; the answer. Fails after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        answer = await asyncio.to_thread(condition)
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {deadline} s: {what}; last answer: {answer!r}"
        await asyncio.sleep(0.1)
