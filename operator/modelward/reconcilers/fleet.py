"""The fleet's update to a newer platform: remembers where each model stands, and wakes those whose turn has come.

What is remembered is in memory alone: each model's own records have it, and after a restart each model is looked at
before any new one begins.
"""

import logging
from collections.abc import Callable, Collection

from modelward.kube.cache import Key
from modelward.reconcilers.fleet_rules import AT_A_TIME, Name, counted, turns
from modelward.revisions.update import Phase

log = logging.getLogger(__name__)


class Fleet:
    """`models`: namespace and name of every ModelDeployment that there is; `wake`: makes one due."""

    def __init__(
        self, models: Callable[[], Collection[Name]], wake: Callable[[Key], None], at_a_time: int = AT_A_TIME
    ) -> None:
        self._models = models
        self._wake = wake
        self._at_a_time = at_a_time
        self._phases: dict[Name, Phase] = {}
        self._aside: set[Name] = set()
        """Models that say nothing of where they stand: unreadable, failing, or another installation's."""
        self._turns: frozenset[Name] = frozenset()
        self._stopped_by: Name | None = None

    def tell(self, key: Key, phase: Phase) -> None:
        """Where a model stands."""
        name = (key.namespace, key.name)
        if self._phases.get(name) is phase:
            return
        self._phases[name] = phase
        self._aside.discard(name)
        self._decide(name)

    def leave_out(self, key: Key, *, gone: bool = False) -> None:
        """Nothing can be said of a model: the others must not wait for it. `gone`: nor does what was known hold."""
        name = (key.namespace, key.name)
        known = name in self._phases
        if gone:
            self._phases.pop(name, None)
        if name not in self._aside and (gone or not known):
            self._aside.add(name)
            self._decide(name)

    def is_turn_of(self, key: Key) -> bool:
        """Whether a model may be updated now."""
        return (key.namespace, key.name) in self._turns

    def counts(self) -> dict[str, int]:
        """Models by phase."""
        return counted(dict(self._phases))

    def _decide(self, by: Name) -> None:
        there = set(self._models())
        self._aside &= there
        before = self._turns
        self._turns = turns(self._phases, there - self._phases.keys() - self._aside, self._at_a_time)
        self._tell_of_failure()
        for name in sorted(self._turns - before - {by}):
            self._wake(Key(*name))

    def _tell_of_failure(self) -> None:
        failed = min((name for name, phase in self._phases.items() if phase is Phase.FAILED), default=None)
        if failed is not None and failed != self._stopped_by:
            log.warning("%s/%s: the update to the newer platform failed; no other model begins with it", *failed)
        if failed is None and self._stopped_by is not None:
            log.info("the update to the newer platform goes on")
        self._stopped_by = failed
