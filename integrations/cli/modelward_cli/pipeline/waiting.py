"""A look repeated until it shows an end. The clock is the caller's.

An API server that is away for a while ends nothing; one that never answered does.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from modelward_cli.kubectl import KubectlError, NoClusterError

Look = TypeVar("Look")


class TooLateError(KubectlError):
    """The time was over."""


@dataclass(frozen=True)
class Clock:
    """Seconds."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def until(
    look: Callable[[], Look], is_over: Callable[[Look], bool], told: Callable[[Look], str], timeout: float,
    every: float = 5.0, clock: Clock | None = None, said: Callable[[str], None] = print,
) -> Look:  # fmt: skip
    """The last look. `told`: a look as a sentence, which is `said` when it changes. Raises TooLateError after `timeout`
    seconds, and KubectlError of the look, but for one without an answer after one with."""
    clock = clock or Clock()
    began, last, answered = clock.now(), "nothing was seen", False
    while True:
        try:
            found = look()
        except NoClusterError as error:
            if not answered:
                raise
            line = f"the cluster does not answer: {error}"
        else:
            answered = True
            line = told(found)
            if line != last:
                said(line)
            if is_over(found):
                return found
        last = line
        if clock.now() - began >= timeout:
            raise TooLateError(f"the end did not come within {timeout:.0f} s; the last that was seen: {last}")
        clock.sleep(every)
