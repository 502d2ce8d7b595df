"""Programs one after another in a lane, lanes beside each other; each lane's output in one piece."""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

POLL = 0.2
"""Seconds between looks at what a lane has written."""


@dataclass(frozen=True)
class Step:
    """One program of a lane. `name` is what people call it."""

    name: str
    command: Sequence[str]


@dataclass(frozen=True)
class Ended:
    """A step that was run: its exit code, and how long it took in seconds."""

    step: Step
    code: int
    seconds: float


class Lane(threading.Thread):
    """Runs its steps, the next one whatever became of the last; `log` has what they write."""

    def __init__(self, name: str, steps: Sequence[Step], log: Path) -> None:
        super().__init__(name=name, daemon=True)
        self.log = log
        self.ended: list[Ended] = []
        self._steps = steps
        self.log.touch()

    def run(self) -> None:
        for step in self._steps:
            began = time.monotonic()
            with self.log.open("a") as output:
                output.write(f"\n== {step.name}\n")
                output.flush()
                done = subprocess.run(
                    step.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
                )
            self.ended.append(Ended(step, done.returncode, time.monotonic() - began))


def run(lanes: Sequence[Lane], output: TextIO = sys.stdout) -> list[Ended]:
    """Run them beside each other. Shows one after another: a lane that is not shown yet is shown from its beginning."""
    for lane in lanes:
        lane.start()
    for lane in lanes:
        with lane.log.open(errors="replace") as log:
            while True:
                alive = lane.is_alive()  # asked before the last look: nothing is written after that
                if text := log.read():
                    output.write(text)
                    output.flush()
                elif not alive:
                    break
                else:
                    lane.join(POLL)
    return [each for lane in lanes for each in lane.ended]
