"""Looks at the cluster: one at a time, however many tabs ask, and none sooner than the last one is old.

A look that fails leaves what was seen before, with why there is nothing newer.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from modelward_cli.fleet.read import Fleet
from modelward_cli.kubectl import KubectlError
from modelward_cli.page.trails import Trails, extended

REST: Final = 3.0
"""Of the time that a look took, how long none follows: a big cluster is asked for a quarter of the time at most."""


@dataclass(frozen=True)
class Look:
    """`found`: None where the cluster has never answered; `asof`: when it did last, since the epoch; `problem`: why it
    did not this time."""

    found: Fleet | None = None
    trails: Trails | None = None
    asof: float = 0.0
    problem: str | None = None


class Looks:
    """`ask`: raises KubectlError; `clock`: seconds since the epoch; `every`: seconds for which a look is good."""

    def __init__(self, ask: Callable[[], Fleet], clock: Callable[[], float], every: float) -> None:
        self._ask, self._clock, self._every = ask, clock, every
        self._lock = threading.Lock()
        self._last = Look()
        self._next = float("-inf")

    def look(self) -> Look:
        """What is to be shown now. Whoever comes while the cluster is asked waits for that answer."""
        with self._lock:
            if self._clock() < self._next:
                return self._last
            began, last = self._clock(), self._last
            try:
                found = self._ask()
            except KubectlError as error:
                self._last = Look(last.found, last.trails, last.asof, str(error))
            else:
                self._last = Look(found, extended(last.trails or {}, found), self._clock())
            now = self._clock()
            self._next = now + max(self._every, REST * max(0.0, now - began))
            return self._last
