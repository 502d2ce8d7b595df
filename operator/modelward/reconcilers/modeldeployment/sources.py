"""Looks at what pods wait for that don't start, beside the reconciles: claims, Secrets and ConfigMaps by their names.

Nothing is asked while every pod starts. Failure: what can't be asked is not known, and nothing is blamed for it.
"""

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final, Protocol

from modelward.facts import Source
from modelward.kube.cache import Key
from modelward.kube.client import Api, ApiError
from modelward.kube.poller import Poller, Question
from modelward.kube.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, SECRETS
from modelward.revisions.health.pod_volumes import CLAIM, CONFIG_MAP, SECRET, State, state_of

KIND: Final = "volume"
"""Of the poller's questions."""

AGAIN: Final = 5.0
"""Seconds between two looks: somebody may be about to mend it."""

_RESOURCES: Final = {CLAIM: PERSISTENT_VOLUME_CLAIMS, SECRET: SECRETS, CONFIG_MAP: CONFIG_MAPS}


class Sources(Protocol):
    """What a reconcile asks."""

    def look(self, owner: Key, sources: Collection[Source]) -> tuple[dict[Source, State], float | None]: ...

    def forget(self, owner: Key) -> None: ...


class VolumeSources:
    """`clock`: monotonic seconds."""

    def __init__(self, api: Api, poller: Poller, clock: Callable[[], float]) -> None:
        self._api = api
        self._poller = poller
        self._clock = clock
        self._asked: dict[Key, frozenset[Source]] = {}
        self._known: dict[Key, dict[Source, State]] = {}

    def look(self, owner: Key, sources: Collection[Source]) -> tuple[dict[Source, State], float | None]:
        """What is known of them, as far as it is, and the seconds until one is looked at again; None: a look is under
        way, or there is nothing to be looked at."""
        self._drop(owner, self._asked.pop(owner, frozenset()) - set(sources))
        if not sources:
            self._known.pop(owner, None)
            return {}, None
        self._asked[owner] = frozenset(sources)
        known = self._known.pop(owner, {})
        self._known[owner] = {source: state for source, state in known.items() if source in sources}
        waits = []
        for source in sources:
            left = self._poller.ask(_question(owner, source), partial(self._look, owner, source), AGAIN)
            waits += [] if left is None else [left]
        return dict(self._known[owner]), min(waits, default=None)

    def forget(self, owner: Key) -> None:
        """It is gone, or another installation's."""
        self._known.pop(owner, None)
        self._drop(owner, self._asked.pop(owner, frozenset()))

    def _drop(self, owner: Key, sources: Iterable[Source]) -> None:
        for source in sources:
            self._poller.drop(_question(owner, source))

    async def _look(self, owner: Key, source: Source) -> None:
        try:
            state = state_of(source, await self._api.get(_RESOURCES[source.kind], owner.namespace, source.name))
        except ApiError as error:
            if error.status != 403:
                raise
            state = State(readable=False)
        if owner in self._known:
            self._known[owner][source] = state


def _question(owner: Key, source: Source) -> Question:
    return Question(KIND, owner, f"{source.kind}/{source.name}/{source.field}")
