"""Lets kopf watch the cluster, in a thread of its own, and hands each event to the operator's own loop.

kopf gets an event loop to itself: it takes every task of the loop that it runs in for its own, and cancels them all
when it ends, the release of the lease among them.

Failure: watches that end without having been asked to, for whatever reason, end `watch` at once, and with it the
process. So no thread of kopf's may wait for anything outside of its loop: its end would wait for that thread.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from typing import Any

import kopf

from modelward.kube.cache import Object
from modelward.kube.discovery import Scope
from modelward.kube.resources import Resource

log = logging.getLogger(__name__)

Observe = Callable[[Resource, str | None, Object], None]
"""Takes one event: its resource, its type (ADDED, MODIFIED, DELETED; None: of the first list), and the object."""

SERVER_TIMEOUT = 300
"""Seconds after which the API server ends a watch; kopf goes on where it ended."""

CLIENT_TIMEOUT = 330
"""Seconds; longer than the server's, so that the server ends first."""

CONNECT_TIMEOUT = 30
"""Seconds."""


class WatchEndedError(Exception):
    """Nobody watches the cluster any more."""


async def watch(observe: Observe, discovered: Awaitable[Scope], stop: asyncio.Event) -> None:
    """Watch what was `discovered`, until `stop`, or until cancelled. Raises WatchEndedError."""
    scope = await discovered
    if scope.namespaces is not None and not scope.namespaces:
        # kopf takes no namespaces for all of them.
        log.error("none of the namespaces of MODELWARD_WATCH_NAMESPACES can be read; waiting until one can")
        await stop.wait()
        return
    registry = _registry(observe, scope.resources, asyncio.get_running_loop())
    ending: Future[Callable[[], None]] = Future()
    watching = asyncio.ensure_future(asyncio.to_thread(_run, registry, scope, ending))
    asked = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({watching, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        # By a callback: who is cancelled waits for nothing, not even for a thread that only just begins.
        ending.add_done_callback(lambda told: None if told.cancelled() else told.result()())
    try:
        await watching
    except Exception as error:
        raise WatchEndedError(f"the watches ended: {type(error).__name__}: {error}") from error
    if not stop.is_set():
        raise WatchEndedError("the watches ended without having been asked to")


def _run(registry: kopf.OperatorRegistry, scope: Scope, ending: "Future[Callable[[], None]]") -> None:
    """kopf, in this thread. `ending` gets what ends it, which may be called from any thread, and also after its end."""
    try:
        asyncio.run(_live(registry, scope, ending))
    except asyncio.CancelledError:
        pass  # as kopf.run has it: it was asked to end
    finally:
        ending.cancel()  # where it did not come to that


async def _live(registry: kopf.OperatorRegistry, scope: Scope, ending: "Future[Callable[[], None]]") -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(stop.set)

    ending.set_result(end)
    # Not a threading.Event: a thread of its own would wait for that, and kopf's end for the thread.
    await kopf.operator(
        registry=registry, settings=_settings(scope.resources), standalone=True, stop_flag=stop,
        clusterwide=scope.namespaces is None, namespaces=scope.namespaces or (),
    )  # fmt: skip


def _registry(
    observe: Observe, resources: Iterable[Resource], loop: asyncio.AbstractEventLoop
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    def watch_one(resource: Resource) -> None:
        @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, id=resource.plural)
        async def observe_one(event: kopf.RawEvent, **_: Any) -> None:
            loop.call_soon_threadsafe(observe, resource, event["type"], event["object"])

    for resource in resources:
        watch_one(resource)
    return registry


def _settings(watched: Iterable[Resource]) -> kopf.OperatorSettings:
    built = kopf.OperatorSettings()
    built.peering.standalone = True
    built.posting.enabled = False
    built.scanning.disabled = True
    built.watching.server_timeout = SERVER_TIMEOUT
    built.watching.client_timeout = CLIENT_TIMEOUT
    built.watching.connect_timeout = CONNECT_TIMEOUT
    built.networking.request_timeout = CONNECT_TIMEOUT
    for resource in watched:
        if resource.selector:
            built.watching.label_selectors[resource.group, resource.version, resource.plural] = resource.selector
    return built
