"""Compare the cache with the API server: before the first reconcile, and from time to time after that.

Watches can miss things (a relist after 410 tells nothing of what vanished meanwhile); a resync repairs the cache, and
makes everything due that is reconciled.
"""

import logging

from modelward import telemetry
from modelward.kube.cache import Cache
from modelward.kube.client import Api
from modelward.kube.queue import WorkQueue

log = logging.getLogger(__name__)

RESYNC_SECONDS = 600.0
"""Mean time between two resyncs: a handful of lists, against events that are hardly ever missed."""

RESYNC_JITTER = 0.2
"""Share of RESYNC_SECONDS by which one may come earlier or later: operators must not list in step."""


async def resync(api: Api, cache: Cache, queue: WorkQueue) -> int:
    """Repair the cache and make everything due. Returns how many had been wrong."""
    repaired = set()
    try:
        for resource in cache.watched:
            for namespace in cache.places:
                before = cache.snapshot(resource, namespace)
                listed: set[str] = set()
                async for page in api.pages(resource, namespace):
                    # Page by page, which the cache prunes: all of them whole would be hundreds of megabytes.
                    repaired |= cache.upsert_listed(resource, page, listed)
                repaired |= cache.drop_unlisted(resource, before, listed)
    except Exception:
        telemetry.RESYNCS.labels("error").inc()
        raise
    telemetry.RESYNCS.labels("ok").inc()
    telemetry.REPAIRED.inc(len(repaired))
    for key in repaired | set(cache.keys()):
        queue.add(key)
    return len(repaired)
