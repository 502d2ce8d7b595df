"""The prediction log of a running monitor: its journal and its shipper, and what is told of both."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from modelward_monitor.counting.counter import State
from modelward_monitor.predictionlog.journal import Journal
from modelward_monitor.predictionlog.mark import DAMAGED, Mark
from modelward_monitor.predictionlog.segments import Segments
from modelward_monitor.predictionlog.settings import LogSettings
from modelward_monitor.predictionlog.shipper import Shipper, Work

log = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
"""Of the document."""

FAREWELL: Final = 25.0
"""Seconds that a monitor which ends goes on to bring its log to the store."""

RETRY: Final = 1.0
"""Seconds between two attempts then."""


class PredictionLog:
    """`journal`: of rows, `outcomes`: of what became of them. `saved`: tells the state that is on the disk; `news`: has
    what became of segments counted; `save_closed`: saves all, and closes the open segment."""

    def __init__(self, settings: LogSettings, wall: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self._segments = Segments(settings.folder)
        self.journal = Journal(self._segments, settings.limits, wall)
        self._told = Segments(settings.outcomes_folder)
        self.outcomes = Journal(self._told, settings.outcomes_limits, wall)
        self.refused = 0  # requests with outcomes that are none
        self._saved: Callable[[], State] | None = None
        self._shipper: Shipper | None = None
        self._ended = False

    def attach(self, saved: Callable[[], State], news: Callable[[], None]) -> None:
        """To the monitor, before anything else."""
        self._saved = saved
        self._shipper = Shipper(self._work, news)

    @property
    def shipper(self) -> Shipper:
        assert self._shipper is not None, "attach comes first"
        return self._shipper

    @property
    def waiting_bytes(self) -> int:
        """On the pod's disk."""
        try:
            return self._segments.size() + self._told.size()
        except OSError:  # a file went while it was looked at
            return 0

    def document(self) -> dict[str, Any]:
        """What the operator reads."""
        assert self._saved is not None, "attach comes first"
        state = self._saved()
        mark, intake, failure = state.log, state.intake, self.shipper.failure
        return {
            "schema_version": SCHEMA_VERSION,
            "pod": self.settings.pod,
            "epoch": mark.epoch,
            "rows": {
                "written": mark.written, "stored": mark.stored, "waiting": mark.waiting, "left_out": mark.left_out,
                "sampled_out": intake.sampled_out,
            },
            "lost": {**mark.lost, "dropped": intake.dropped},
            "unreadable_values": mark.values,
            "outcomes": _of_outcomes(state.outcomes) | {"invalid_requests": self.refused},
            "waiting_bytes": self.waiting_bytes,
            "failure": asdict(failure) if failure is not None else None,
            "disk_failure": self.journal.failure or self.outcomes.failure,
            "final": self._ended,
        }  # fmt: skip

    async def farewell(self, save: Callable[[], Any], limit: float = FAREWELL) -> None:
        """Bring what there is to the store, for at most `limit` seconds. `save`: saves all, and closes the segment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while True:
                    with contextlib.suppress(OSError):
                        await save()
                        if not self._work().waiting or (await self.shipper.ship() and not self._work().waiting):
                            await save()
                            break
                    await asyncio.sleep(RETRY)
        self._ended = True
        if self._saved is None:
            return
        for what, mark in (("rows of the prediction log", self._saved().log), ("outcomes", self._saved().outcomes)):
            if mark.waiting:
                log.error("%d %s did not reach the log's store, and go with the pod", mark.waiting, what)

    def _work(self) -> Work:
        assert self._saved is not None, "attach comes first"
        mark, told = self._saved().log, self._saved().outcomes
        waiting = _closed(self._segments, mark) + _closed(self._told, told)
        outcomes = (told.epoch, told.segment, told.lost[DAMAGED])
        return Work(mark.epoch, mark.segment, waiting, sum(mark.lost.values()), outcomes)


def _closed(segments: Segments, mark: Mark) -> int:
    """How many of them wait."""
    if not mark.epoch:
        return 0  # before the epoch is saved nobody can tell which one is open
    try:
        raw = [each for each in segments.raw() if each.epoch != mark.epoch or each.number < mark.segment]
        return len(raw) + len(segments.ready())
    except OSError:
        return 0


def _of_outcomes(mark: Mark) -> dict[str, int]:
    """What the disk refused was told to who sent it, and is not lost."""
    refused = sum(rows for reason, rows in mark.lost.items() if reason != DAMAGED)
    return {
        "written": mark.written, "stored": mark.stored, "waiting": mark.waiting, "refused": refused,
        "lost": mark.lost[DAMAGED],
    }  # fmt: skip
