"""Tells of what a reconcile has made: the OpenLineage events that the statuses stand for, each once.

It looks at an object before and after each reconcile, so that what one status replaced has an end, too. Invariant: a
reconcile neither waits for it nor fails by it. After a start it tells anew what happened within the last day: the same
events, by the ids of their runs; what is older, the operator before this one has told.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final, Protocol

from modelward.api.names import ANNOTATION_PROMOTED
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.resources import DEPLOYMENTS, DRIFT_POLICIES, MODEL_DEPLOYMENTS, RETRAINING_RUNS
from modelward.lineage.events import Event, aborted, essence, is_end, of_model, of_run, retraining_id
from modelward.reconcilers.modeldeployment.reconcile import Outcome
from modelward.revisions.deployment import load_promotion

log = logging.getLogger(__name__)

TOLD_ANEW: Final = 24 * 3600.0
"""Seconds: what happened longer ago is not told when an operator starts. A thousand models, each with its last rollout,
are none that have just rolled out."""

_GONE: Final = "It was replaced before it had ended"
_DELETED: Final = "It was deleted before it had ended"


class Reconciles(Protocol):
    """What is wrapped."""

    async def reconcile(self, key: Key) -> Outcome: ...

    def forget(self, key: Key) -> None: ...


class Sends(Protocol):
    """As Outbox.put."""

    def put(self, namespace: str, events: Iterable[Event]) -> None: ...


class Book:
    """What has been told of each object. `namespace`: of jobs, as OpenLineage has them; `namespaces`: of the cluster,
    names or patterns, whose lineage may leave it; `now`: the wall clock."""

    def __init__(
        self, cache: Cache, outbox: Sends, namespace: str, namespaces: Sequence[str], now: Callable[[], datetime]
    ) -> None:
        self._cache = cache
        self._outbox = outbox
        self._namespace = namespace
        self._namespaces = namespaces
        self._now = now
        self._told: dict[Key, frozenset[tuple[str, str]]] = {}
        self._open: dict[Key, tuple[Event, ...]] = {}
        self._seen: dict[Key, tuple[object, ...]] = {}

    def look(self, key: Key) -> None:
        """Tell what is news of an object."""
        if not any(fnmatchcase(key.namespace, each) for each in self._namespaces):
            return
        try:
            self._look(key)
        except Exception:
            log.exception("%s: its lineage could not be told", key)

    def forget(self, key: Key) -> None:
        """It is another installation's now, which tells of it."""
        self._told.pop(key, None)
        self._open.pop(key, None)
        self._seen.pop(key, None)

    def _look(self, key: Key) -> None:
        resource = MODEL_DEPLOYMENTS if key.kind == MODEL_DEPLOYMENTS.kind else DRIFT_POLICIES
        body = self._cache.get(resource, key.namespace, key.name)
        if resource is MODEL_DEPLOYMENTS:
            bodies: tuple[Object, ...] = () if body is None else (body,)
            news = tuple(map(essence, bodies))
        else:
            bodies = tuple(self._cache.children(key, RETRAINING_RUNS))
            news = tuple((each["metadata"]["uid"], each["metadata"]["resourceVersion"]) for each in bodies)
        if self._seen.get(key, ()) == news:
            return  # a status is written often, and little of it is an event
        events: list[Event] = []
        unread: set[str] = set()
        for each in bodies:
            found = self._of_model(key, each) if resource is MODEL_DEPLOYMENTS else of_run(each, self._namespace)
            if found is None and resource is MODEL_DEPLOYMENTS:
                return
            if found is None:
                unread.add(retraining_id(str(each["metadata"]["uid"])))
            events += found or ()
        self._seen[key] = news
        self._tell(key, events, unread, _GONE if bodies else _DELETED)
        if body is None and not bodies:
            self.forget(key)

    def _of_model(self, key: Key, body: Object) -> tuple[Event, ...] | None:
        stable = ((body.get("status") or {}).get("stable") or {}).get("revision")
        first: bool | None = None
        for each in self._cache.children(key, DEPLOYMENTS):
            if each["metadata"]["name"] == stable:
                promotion = load_promotion((each["metadata"].get("annotations") or {}).get(ANNOTATION_PROMOTED))
                first = None if promotion is None else promotion.number == 1
        runs = self._cache.children(key, RETRAINING_RUNS)
        made_by = {str(each["metadata"]["name"]): str(each["metadata"]["uid"]) for each in runs}
        return of_model(body, self._namespace, first, made_by)

    def _tell(self, key: Key, events: Sequence[Event], unread: set[str], why: str) -> None:
        """`unread`: ids of runs that are there and could not be read."""
        now, told = self._now().timestamp(), self._told.get(key, frozenset())
        there = {each.run for each in events} | unread
        begun = self._open.get(key, ())
        news = [aborted(each, now, why) for each in begun if each.run not in there]
        news += [each for each in events if each.identity not in told and each.time >= now - TOLD_ANEW]
        self._told[key] = frozenset(each for each in told if each[0] in there) | {each.identity for each in events}
        # Only of what goes on its event is kept: that of its end is made of it, where nothing else tells of that.
        ended = {each.run for each in events if is_end(each)}
        known = {each.run: each for each in (*begun, *events) if each.run in there - ended}
        self._open[key] = tuple(known.values())
        if news:
            self._outbox.put(key.namespace, news)


class Telling:
    """A reconciler that tells."""

    def __init__(self, inner: Reconciles, book: Book) -> None:
        self._inner = inner
        self._book = book

    async def reconcile(self, key: Key) -> Outcome:
        """As the inner one."""
        self._book.look(key)
        try:
            return await self._inner.reconcile(key)
        finally:
            self._book.look(key)

    def forget(self, key: Key) -> None:
        """It is gone, or another installation's."""
        self._inner.forget(key)
        self._book.forget(key)
