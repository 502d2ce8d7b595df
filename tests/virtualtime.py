"""An event loop whose time passes at once: what waits an hour is there immediately, and the same each time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

TICK = 1e-11
"""Seconds that each turn of the loop takes at least: time that stood still would be waited for for ever."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Seconds begin at 0, and pass where every task waits for them. Nothing real may be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        select = self._selector.select  # type: ignore[attr-defined]

        def passed(timeout: float | None) -> Any:
            assert timeout is not None, "every task waits for something that no time brings"
            self._now += max(TICK, timeout)
            return select(0)

        self._selector.select = passed  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now


def run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
