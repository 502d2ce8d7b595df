"""Which namespaces this installation works on: those that it is for, may read, and has claimed.

In an installation for some namespaces it also reads what no watch tells there, the labels of the namespaces themselves:
a Role in a namespace can give the right to get that one namespace, but not to list or watch any.

Failure: a namespace that is another's or closed is left alone and told of in log and metrics, and the others go on; one
that opens ends the process, and the next one watches it.
"""

import asyncio
import logging

from modelward.kube.cache import Cache
from modelward.kube.claims import LOOK_EVERY, Claims
from modelward.kube.client import Api, ApiError, ApiUnreachableError
from modelward.kube.discovery import Scope, discover, why_closed
from modelward.kube.queue import WorkQueue
from modelward.kube.resources import NAMESPACES

log = logging.getLogger(__name__)


class NamespaceOpenedError(Exception):
    """A namespace can be read now that could not when the watches began; a new process watches it."""


class Territory:
    """`namespaces`: that the installation is for; None: all. `look_every`: seconds."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        queue: WorkQueue,
        claims: Claims,
        namespaces: tuple[str, ...] | None,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._api = api
        self._cache = cache
        self._queue = queue
        self._claims = claims
        self._namespaces = namespaces
        self._look_every = look_every
        self._scope = Scope()

    async def discover(self) -> Scope:
        """What is to be watched in this cluster."""
        return await discover(self._api, self._namespaces)

    def enter(self, scope: Scope) -> None:
        """What is watched is known."""
        self._scope = scope
        self._cache.watched = scope.resources
        self._cache.withheld = scope.withheld
        self._cache.places = (None,) if scope.namespaces is None else scope.namespaces

    def left_alone(self) -> dict[str, frozenset[str]]:
        """The namespaces that this installation leaves alone, by why: claimed by another one, or forbidden."""
        return {"claimed": self._claims.left_alone, "forbidden": frozenset(self._scope.closed)}

    def wait(self, namespace: str) -> float | None:
        """Seconds until something may be done in `namespace`; None: it is not ours."""
        return None if self._claims.refusal(namespace) is not None else self._claims.wait(namespace)

    async def first_look(self) -> None:
        """Return once it is known whose the namespaces are and what they say: nothing is decided before."""
        while True:
            try:
                await self._look()
                return
            except (ApiError, ApiUnreachableError) as error:
                log.warning("whose the namespaces are could not be read, nothing is done until it can: %s", error)
                await asyncio.sleep(1)

    async def look_for_ever(self) -> None:
        """Raises NamespaceOpenedError."""
        while True:
            await asyncio.sleep(self._look_every)
            try:
                await self._look()
                await self._try_what_is_closed()
            except (ApiError, ApiUnreachableError) as error:
                log.warning("whose the namespaces are could not be read, trying again: %s", error)

    async def _try_what_is_closed(self) -> None:
        for namespace in self._scope.closed:
            if await why_closed(self._api, namespace) is None:
                raise NamespaceOpenedError(f"namespace {namespace} can be read now; starting anew to watch it")
        if NAMESPACES in self._scope.withheld and await self._api.why_unreadable(NAMESPACES, None) is None:
            raise NamespaceOpenedError("the labels of namespaces can be read now; starting anew to watch them")

    async def _look(self) -> None:
        changed = await self._claims.look(self._scope.namespaces)
        await self._read_labels()
        known = self._cache.namespaces()
        self._claims.tell(known if self._scope.namespaces is None else known | set(self._scope.namespaces))
        if changed:
            for namespace in known:
                self._add_all(namespace)

    async def _read_labels(self) -> None:
        """Of the watched namespaces, where no watch tells of them. What can't be read allows nothing."""
        before = dict(self._cache.unread)
        for namespace in self._scope.namespaces or ():
            changed = await self._read_label(namespace)
            if changed or before.get(namespace) != self._cache.unread.get(namespace):
                self._add_all(namespace)

    def _add_all(self, namespace: str) -> None:
        for key in self._cache.keys_of(namespace):
            self._queue.add(key)

    async def _read_label(self, namespace: str) -> bool:
        """Whether there is something new."""
        known = self._cache.get(NAMESPACES, "", namespace)
        try:
            found = await self._api.request("GET", NAMESPACES, NAMESPACES.path(None, namespace))
        except ApiError as error:
            if not error.is_refusal:
                raise
            if namespace not in self._cache.unread:
                log.warning("the labels of namespace %s can't be read and count as absent: %s", namespace, error)
            self._cache.unread[namespace] = error.message
            return False
        self._cache.unread.pop(namespace, None)
        self._cache.upsert(NAMESPACES, found)
        return self._cache.get(NAMESPACES, "", namespace) is not known
