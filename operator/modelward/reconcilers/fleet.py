"""The fleet's update to a newer platform: remembers where each model stands, and wakes those whose turn has come.

What is remembered is in memory alone: each model's own records have it, and after a restart each model is looked at
before any new one begins.
"""

import logging
from collections.abc import Callable, Collection

from modelward.kube.cache import Key
from modelward.reconcilers.fleet_rules import AT_A_TIME, Name, turns
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
        self._by_phase: dict[Phase, set[Name]] = {phase: set() for phase in Phase}
        self._aside: set[Name] = set()
        """Models that say nothing of where they stand: unreadable, failing, or another installation's."""
        self._turns: frozenset[Name] = frozenset()
        self._stopped_by: Name | None = None

    def tell(self, key: Key, phase: Phase) -> None:
        """Where a model stands."""
        name = (key.namespace, key.name)
        if self._phases.get(name) is phase:
            return
        self._drop(name)
        self._phases[name] = phase
        self._by_phase[phase].add(name)
        self._decide(name)

    def leave_out(self, key: Key, *, gone: bool = False) -> None:
        """Nothing can be said of a model: the others must not wait for it. `gone`: nor does what was known hold.

        What has begun or failed goes on; but one that can't begin leaves its turn to the next.
        """
        name = (key.namespace, key.name)
        is_there = name in self._models()
        if (self._phases.get(name, Phase.READY) is not Phase.READY and not gone) or (name in self._aside and is_there):
            return
        self._drop(name)
        if is_there:
            self._aside.add(name)
        self._decide(name)

    def is_turn_of(self, key: Key) -> bool:
        """Whether a model may be updated now."""
        return (key.namespace, key.name) in self._turns

    def counts(self) -> dict[str, int]:
        """Models by phase, each phase told."""
        return {str(phase): len(names) for phase, names in self._by_phase.items()}

    def _drop(self, name: Name) -> None:
        self._aside.discard(name)
        phase = self._phases.pop(name, None)
        if phase is not None:
            self._by_phase[phase].discard(name)

    def _decide(self, by: Name) -> None:
        before = self._turns
        complete = len(self._phases) + len(self._aside) >= len(self._models())
        self._turns = turns(self._by_phase, self._at_a_time, complete=complete)
        self._tell_of_failure()
        for name in sorted(self._turns - before - {by}):
            self._wake(Key(*name))

    def _tell_of_failure(self) -> None:
        failed = min(self._by_phase[Phase.FAILED], default=None)
        if failed is not None and failed != self._stopped_by:
            log.warning("%s/%s: the update to the newer platform failed; no other model begins with it", *failed)
        if failed is None and self._stopped_by is not None:
            log.info("the update to the newer platform goes on")
        self._stopped_by = failed
