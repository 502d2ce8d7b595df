"""Starts `ship` whenever a segment is closed, and tells what keeps the log from its store.

A failure is tried again, the longer it lasts the more seldom. Nothing here touches the segments.
"""

import asyncio
import contextlib
import logging
import random
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from modelward_monitor.predictionlog.names import SETTLED, Folder

log = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "modelward_monitor.predictionlog.ship")

PAUSE_FIRST: Final = 2.0
PAUSE_MOST: Final = 60.0
"""Seconds between an attempt that failed and the next; doubled each time."""

LONGEST: Final = 900.0
"""Seconds that one may take."""

HOUSE_EVERY: Final = 86_400.0
"""Seconds between two looks at all of the model's files. The first is at any time of a day."""


@dataclass(frozen=True)
class Failure:
    """`since`: seconds since the epoch; `kind`: see StoreError, and ship.py."""

    since: float
    kind: str
    message: str


@dataclass(frozen=True)
class Work:
    """`epoch`, `open`: of the log, and of its open segment, as they are saved; `waiting`: segments that are closed;
    `lost`: rows. `outcomes`: epoch, open segment and lost rows of these."""

    epoch: str
    open: int
    waiting: int
    lost: int
    outcomes: tuple[str, int, int] = ("", 1, 0)


class Shipper:
    """`work`: what there is; `done`: called after each attempt; `clock`: monotonic, `wall`: of the epoch, seconds."""

    def __init__(
        self,
        work: Callable[[], Work],
        done: Callable[[], None],
        command: Sequence[str] = COMMAND,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._work, self._done, self._command, self._clock, self._wall = work, done, command, clock, wall
        self.failure: Failure | None = None
        self._pause = 0.0
        self._not_before = clock()
        self._house_at = clock() + chance() * HOUSE_EVERY
        self._folders: dict[str, float] = {}  # that are to be compacted, and from when on
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def run(self, every: float = 1.0) -> None:
        """Until cancelled. `every`: seconds between two looks at whether there is something to do."""
        while True:
            await asyncio.sleep(every)
            if self._clock() >= self._not_before and (self._work().waiting or self._house()):
                await self.ship()

    async def ship(self) -> bool:
        """One attempt, now. Returns whether it did all."""
        async with self._turn:
            work, compact = self._work(), self._compact()
            if not work.epoch:
                return False
            house = self._clock() >= self._house_at
            arguments = ["--epoch", work.epoch, "--open", str(work.open), "--lost", str(work.lost)]
            epoch, number, lost = work.outcomes
            told = ["--outcomes-epoch", epoch, "--outcomes-open", str(number), "--outcomes-lost", str(lost)]
            arguments += told
            arguments += [part for folder in compact for part in ("--compact", folder)] + ["--house"] * house
            said = await self._said(arguments)
            self._heed(said)
            self._done()
            return "error" not in said

    async def _said(self, arguments: Sequence[str]) -> dict[str, Any]:
        try:
            process = self._process = await asyncio.create_subprocess_exec(*self._command, *arguments, stdout=PIPE)
        except OSError as error:
            return _error("Failed", f"no process can be started for the prediction log: {error}")
        try:
            async with asyncio.timeout(LONGEST):
                output, _ = await process.communicate()
            said = orjson.loads(output.strip().rpartition(b"\n")[2])
            return said if isinstance(said, dict) else _error("Failed", "what writes the log's files says nothing")
        except TimeoutError:
            return _error("Away", f"the prediction log's store has not taken its files within {LONGEST:.0f} s")
        except ValueError:
            return _error("Failed", f"what writes the prediction log's files ended with {process.returncode}")
        finally:
            if process.returncode is None:
                process.kill()
                with contextlib.suppress(asyncio.CancelledError):
                    await process.wait()
            self._process = None

    def _heed(self, said: dict[str, Any]) -> None:
        for path in said.get("folders", ()):
            folder = Folder.of(str(path))
            if folder is not None:
                self._folders[folder.path] = folder.end + SETTLED
        for path in said.get("compacted", ()):
            self._folders.pop(str(path), None)
        if said.get("house"):
            self._house_at = self._clock() + HOUSE_EVERY
        error = said.get("error")
        if not error:
            self.failure, self._pause, self._not_before = None, 0.0, self._clock()
            return
        kind, message = str(error.get("kind")), str(error.get("message"))[:1000]
        self._pause = min(PAUSE_MOST, 2 * self._pause or PAUSE_FIRST)
        self._not_before = self._clock() + self._pause
        if kind == "Busy":
            return  # of the monitor before, which was killed: it does the same, and ends
        if self.failure is None or self.failure.message != message:
            log.error("%s; tried again in %.0f s, rows wait on the pod's disk", message, self._pause)
        self.failure = Failure(self.failure.since if self.failure else self._wall(), kind, message)

    def _compact(self) -> list[str]:
        return [folder for folder, when in self._folders.items() if when <= self._wall()]

    def _house(self) -> bool:
        return bool(self._compact()) or self._clock() >= self._house_at


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message}}
