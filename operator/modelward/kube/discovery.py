"""Asks the API server what there is to watch, once, before anything is watched: which of the optional kinds it serves,
and what this account may list.

What is missing later (a kind, a right, a namespace) is noticed when somebody needs it, or when it is asked for again;
the process then ends, and the next one watches it. A namespace or an optional kind that may not be read is left out, in
words: the others must not wait for it.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelward.kube.client import Api, ApiError, ApiUnreachableError
from modelward.kube.resources import MODEL_DEPLOYMENTS, NAMESPACES, OPTIONAL, WATCHED, Resource

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0

_FORBIDDEN = 403


@dataclass(frozen=True)
class Scope:
    """What is watched. `namespaces`: None: all; never those of `closed`, which may not be read, with the API server's
    reason. `withheld`: kinds that are not watched for want of a right, with the reason, too."""

    resources: tuple[Resource, ...] = WATCHED
    namespaces: tuple[str, ...] | None = None
    closed: Mapping[str, str] = field(default_factory=dict)
    withheld: Mapping[Resource, str] = field(default_factory=dict)


async def discover(api: Api, namespaces: tuple[str, ...] | None = None) -> Scope:
    """What there is to watch. `namespaces`: that the installation is for, None: all. Waits for the API server."""
    while True:
        try:
            found = await _discover(api, namespaces)
            break
        except (ApiError, ApiUnreachableError) as error:
            log.warning("the API server did not say what it serves, trying again: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
    for namespace, why in found.closed.items():
        log.error(
            "namespace %s is left out, since this account may not read it: %s. Give it the Role of "
            "manifests/namespaced/watched there, or take the namespace out of MODELWARD_WATCH_NAMESPACES",
            namespace, why,
        )  # fmt: skip
    for resource, why in found.withheld.items():
        log.warning("%s is not watched, since this account may not list it: %s", resource.kind, why)
    return found


async def _discover(api: Api, namespaces: tuple[str, ...] | None) -> Scope:
    withheld: dict[Resource, str] = {}
    closed: dict[str, str] = {}
    places: tuple[str | None, ...] = (None,)
    required: tuple[Resource, ...] = WATCHED
    if namespaces is None:
        if (why := await api.why_unreadable(MODEL_DEPLOYMENTS, None)) is not None:
            log.error("%s. Name the namespaces that this installation is for in MODELWARD_WATCH_NAMESPACES", why)
        if (why := await api.why_unreadable(NAMESPACES, None)) is not None:
            withheld[NAMESPACES] = why
            required = _namespaced()
    else:
        closed = {each: why for each in namespaces if (why := await why_closed(api, each)) is not None}
        places = namespaces = tuple(each for each in namespaces if each not in closed)
        # A Role can't give the list of namespaces: each is read by its name (reconcilers/territory.py).
        required = _namespaced()
    optional = []
    for resource in OPTIONAL:
        served, why = await _optional(api, resource, places)
        if why is not None:
            withheld[resource] = why
        elif served:
            optional.append(resource)
    return Scope((*required, *optional), namespaces, closed, withheld)


async def why_closed(api: Api, namespace: str) -> str | None:
    """What of the watched kinds may not be listed in a namespace, in the API server's words; None where all may."""
    for resource in _namespaced():
        if (why := await api.why_unreadable(resource, namespace)) is not None:
            return why
    return None


def _namespaced() -> tuple[Resource, ...]:
    return tuple(each for each in WATCHED if each is not NAMESPACES)


async def _optional(api: Api, resource: Resource, places: tuple[str | None, ...]) -> tuple[bool, str | None]:
    """Whether a kind is served; and why it may not be listed somewhere, or asked for at all."""
    try:
        if not await api.serves(resource):
            return False, None
    except ApiError as error:
        if error.status != _FORBIDDEN:
            raise
        return False, error.message
    for place in places:
        if (why := await api.why_unreadable(resource, place)) is not None:
            return True, why
    return True, None
