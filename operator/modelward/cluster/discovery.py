"""Asks the API server which of the optional kinds it serves, once, before anything is watched.

A kind that is installed later is noticed when somebody needs it (controller/reconcile.py); the process then ends, and
the next one watches it.
"""

import asyncio
import logging

from modelward.cluster.client import Api, ApiError, ApiUnreachableError
from modelward.cluster.resources import OPTIONAL, WATCHED, Resource

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


async def discover(api: Api) -> tuple[Resource, ...]:
    """What there is to watch. Waits until the API server answers."""
    while True:
        try:
            return (*WATCHED, *[resource for resource in OPTIONAL if await api.serves(resource)])
        except (ApiError, ApiUnreachableError) as error:
            log.warning("the API server did not say what it serves, trying again: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
