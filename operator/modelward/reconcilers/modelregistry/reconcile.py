"""One reconcile of a ModelRegistry: who follows what in it, ask what is due, and tell of it in status.

It is what has the registry asked: once for each reference of its namespace, whoever uses it. What was said anew makes
the ModelDeployments due that follow it. Level-triggered, and it waits for nobody.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from modelward.api import modelregistry
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import Model
from modelward.api.modelregistry import ModelRegistry
from modelward.api.names import ANNOTATION_REFRESH
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.client import Api
from modelward.kube.queue import WorkQueue
from modelward.kube.resources import MODEL_DEPLOYMENTS, MODEL_REGISTRIES
from modelward.reconcilers.modeldeployment.reconcile import Outcome
from modelward.reconcilers.modelregistry.status import Use, build_status
from modelward.reconcilers.status_writer import write_status
from modelward.reconcilers.unreadable import tell_unreadable
from modelward.registries.choice import chosen
from modelward.registries.following import Registries
from modelward.retraining.served import is_reference, registries_of

_Asks = tuple[str, str, str | None, str | None, bool]
"""All that a registry's reconcile looks at of a ModelDeployment: uid, reference, registry, refresh, whether it goes."""

CHECK: Final = ""
"""The reference that only asks whether the registry answers, where nobody follows anything in it."""

TOGETHER: Final = 1.0
"""Seconds within which references that become due are asked by one reconcile, which looks at every follower: of five
hundred references, each would have five hundred looked at."""


def wake_followers(cache: Cache, queue: WorkQueue, namespace: str, reference: str | None = None) -> None:
    """A registry of the namespace is another one, or says something new of `reference` (None: maybe of each)."""
    for body in cache.of_namespace(MODEL_DEPLOYMENTS, namespace):
        if is_reference(body) and reference in (None, body["spec"]["model"]["uri"]):
            queue.add(Key(namespace, body["metadata"]["name"]))


class Askers:
    """To whom a change of a ModelDeployment or a ModelRegistry is news. Not each write of a status: in a namespace of a
    thousand models each would have all of them looked at."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._known: dict[tuple[str, str], _Asks] = {}
        self._registries: dict[tuple[str, str], tuple[object, ...]] = {}

    def changed(self, body: Object) -> bool:
        """Whether a ModelRegistry is another one than it was. `body`: as it is now, or was when it was deleted."""
        metadata = body["metadata"]
        name = metadata["namespace"], metadata["name"]
        if self._cache.get(MODEL_REGISTRIES, *name) is None:
            self._registries.pop(name, None)
            return True
        seen = (metadata["uid"], metadata.get("generation"), "deletionTimestamp" in metadata)
        before, self._registries[name] = self._registries.get(name), seen
        return before != seen

    def of(self, body: Object) -> Iterator[Key]:
        """The registries that a ModelDeployment is news to. `body`: as it is now, or was when it was deleted."""
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        there = self._cache.get(MODEL_DEPLOYMENTS, namespace, name) is not None
        asks = _asks(body) if there and is_reference(body) else None
        if self._known.get((namespace, name)) == asks:
            return
        if asks is None:
            del self._known[namespace, name]
        else:
            self._known[namespace, name] = asks
        for each in self._cache.of_namespace(MODEL_REGISTRIES, namespace):
            yield Key(namespace, each["metadata"]["name"], MODEL_REGISTRIES.kind)


def _asks(body: Object) -> _Asks:
    metadata, model = body["metadata"], body["spec"]["model"]
    refresh, registry = (metadata.get("annotations") or {}).get(ANNOTATION_REFRESH), model.get("registry")
    return metadata["uid"], str(model["uri"]), registry, refresh, "deletionTimestamp" in metadata


class RegistryReconciler:
    """Reconciles ModelRegistries. `now`: the wall clock, UTC."""

    def __init__(self, api: Api, cache: Cache, registries: Registries, now: Callable[[], datetime]) -> None:
        self._api = api
        self._cache = cache
        self._registries = registries
        self._now = now

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one registry a step on. Raises ApiError, ApiUnreachableError: the caller tries again;
        NotLeaderError."""
        body = self._cache.get(MODEL_REGISTRIES, key.namespace, key.name)
        if body is None:
            self.forget(key)
            return Outcome()
        try:
            registry = modelregistry.parse(body)
        except InvalidObjectError as error:
            await tell_unreadable(self._api, self._cache, MODEL_REGISTRIES, body, error, self._now())
            return Outcome(refused=True)
        if registry.deleting:
            return Outcome()
        uses = self._uses(registry)
        wanted = [(each.reference, each.refreshed) for each in uses] or [(CHECK, ())]
        again_in = self._registries.look(registry, wanted)
        said = {reference: self._registries.said(registry, reference) for reference, _ in wanted}
        status = build_status(registry, uses, said, self._registries.last_poll(registry), self._now())
        if status != registry.status:
            await write_status(self._api, self._cache, MODEL_REGISTRIES, registry, status)
        return Outcome(again_in=None if again_in is None else max(again_in, TOGETHER))

    def forget(self, key: Key) -> None:
        """It is gone, or another installation's."""
        self._registries.forget(key)

    def _uses(self, registry: ModelRegistry) -> list[Use]:
        """The references that are this registry's to resolve, and who uses them; by name."""
        all_of_them = registries_of(self._cache, registry.namespace)
        found: dict[str, Use] = {}
        for body in self._cache.of_namespace(MODEL_DEPLOYMENTS, registry.namespace):
            if not is_reference(body):
                continue
            name, (_, uri, named, refresh, deleting) = body["metadata"]["name"], _asks(body)
            choice = chosen(Model(uri, registry=named), all_of_them)
            if deleting or not isinstance(choice, ModelRegistry) or choice.uid != registry.uid:
                continue
            known = found.get(uri, Use(uri))
            refreshed = known.refreshed if refresh is None else (*known.refreshed, f"{name}:{refresh}")
            found[uri] = Use(uri, (*known.by, name), refreshed)
        return [found[reference] for reference in sorted(found)]
