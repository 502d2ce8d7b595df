"""What the registries of each namespace may still cost, as its pods may (net/purse): shared by all that asks them.

A question is begun, its bytes are counted as they come, and it is ended, also where it was stopped: it has cost what it
has.
"""

from collections.abc import Callable
from typing import Final

from modelward.net.purse import Purse

REQUEST_COST: Final = 64 << 10
"""Bytes that a request counts for besides its answer, so that many small ones are bounded, too: 128 a second."""

NAMESPACES: Final = 10_000
"""Whose purses are remembered."""


class Bill:
    """Of one question; see Budgets.begin."""

    def __init__(self, budgets: "Budgets", namespace: str, began: float, *, suspect: bool) -> None:
        self._budgets = budgets
        self._namespace = namespace
        self._began = began
        self._suspect = suspect
        self._size = 0

    def count(self, more: int) -> None:
        """Bytes of an answer; 0: a request is sent."""
        self._size += more or REQUEST_COST

    def end(self, *, in_vain: bool) -> None:
        """`in_vain`: nobody answered."""
        self._budgets.pay(self._namespace, self._began, self._size, suspect=self._suspect, in_vain=in_vain)


class Budgets:
    """`clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._purses: dict[str, Purse] = {}

    def begin(self, namespace: str, *, suspect: bool) -> Bill | None:
        """None: there is nothing left for it now. `suspect`: the last question of the kind was in vain."""
        purse = self._purse(namespace).asked(suspect=suspect)
        if purse is None:
            return None
        self._purses[namespace] = purse
        return Bill(self, namespace, self._clock(), suspect=suspect)

    def pay(self, namespace: str, began: float, size: int, *, suspect: bool, in_vain: bool) -> None:
        """What a question has cost."""
        passed, left = self._clock() - began, self._purse(namespace)
        self._purses[namespace] = left.answered(passed, size, suspect=suspect, in_vain=in_vain)

    def _purse(self, namespace: str) -> Purse:
        now = self._clock()
        if len(self._purses) > NAMESPACES:
            del self._purses[next(iter(self._purses))]
        return self._purses.get(namespace, Purse()).now(now)
