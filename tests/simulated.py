"""An event loop whose time passes only when nobody has anything to do: seconds of waiting take no time.

Everything that waits by the loop (sleeps, time-outs, the work queue) is the real thing. Real sockets must not be used
with it: nobody would wait for them.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    now = 0.0
    turn = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            self.now += timeout or self.turn
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """`turn`: seconds that one turn of the loop takes."""

    def __init__(self, turn: float = 0.0) -> None:
        self._simulated = _Selector()
        self._simulated.turn = turn
        super().__init__(self._simulated)

    def time(self) -> float:
        return self._simulated.now


def simulate(main: Coroutine[Any, Any, T], turn: float = 0.0) -> T:
    """Run `main` in simulated time. `turn`: seconds of a turn of the loop, for who waits until any have passed."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(turn)) as runner:
        return runner.run(main)
