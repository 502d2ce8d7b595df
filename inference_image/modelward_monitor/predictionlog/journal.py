"""From arrivals to segments: each batch that is counted is appended once, before the snapshot that acknowledges it.

Invariant: what the saved mark says is exactly what is in the segments, and every row that came is in `written` or in
`lost`. Nothing here raises: a log that can't be written loses rows, and counts them; what is counted goes on.
"""

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from modelward_monitor.counting.arrivals import Arrival
from modelward_monitor.counting.counter import Run
from modelward_monitor.predictionlog import mark as marks
from modelward_monitor.predictionlog.mark import Mark
from modelward_monitor.predictionlog.segments import Raw, Segment, Segments, records, size_of

log = logging.getLogger(__name__)

MOST_SEGMENTS: Final = 10_000
"""That wait, whatever their size: the disk has to be looked through each second."""


MOST_LOOKS: Final = 100
"""At segments that go while they are looked at."""


@dataclass(frozen=True)
class Limits:
    """`disk`: bytes of all that waits; `segment`: bytes, `seconds`: after which one is closed."""

    disk: int = 512 << 20
    segment: int = 32 << 20
    seconds: float = 300.0


@dataclass(eq=False)
class Pending:
    """A batch that is to be appended. `raw`: None: it could not be read. `name`: of what came, where somebody waits for
    it. `lost`: why it is not in the log, once `write` has tried; `kept`: it is, for good."""

    raw: Raw | None
    rows: int
    name: str = ""
    lost: str | None = None
    kept: bool = False


class Journal:
    """`wall`: seconds since the epoch."""

    def __init__(self, segments: Segments, limits: Limits, wall: Callable[[], float]) -> None:
        self._segments, self._limits, self._wall = segments, limits, wall
        self._pending: list[Pending] = []
        self._skip: dict[str, int] = {}
        self.failure: str | None = None
        self.news = True  # somebody may have finished a segment

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    def open(self, mark: Mark) -> Mark:
        """Go on at the mark. Without one what is on the disk is of a lost snapshot: it stays in the log, and what comes
        of it again is left out."""
        try:
            self._segments.open()
            if mark.epoch:
                self._segments.cut(Segment(mark.epoch, mark.segment), mark.size)
            else:
                found, self._skip = _settled(self._segments)
                mark = replace(mark, written=mark.written + found)
        except OSError as error:
            self._fail(error)
        return mark if mark.epoch else replace(mark, epoch=secrets.token_hex(8))

    def offer(self, arrivals: Iterable[Arrival], runs: Mapping[str, Run]) -> None:
        """Take what is new. `runs`: whose batches are counted already. KServe's events have no number, and are no part
        of the log: inputs and outputs come apart."""
        last = {epoch: run.number for epoch, run in runs.items()}
        for arrival in arrivals:
            batch = arrival.batch
            if batch.number <= max(last.get(batch.epoch, 0), self._skip.get(batch.epoch, 0)):
                continue
            last[batch.epoch] = batch.number
            if batch.rows:
                self._pending.append(Pending(None if arrival.refused else arrival.raw, batch.rows))

    def add(self, pending: Pending) -> None:
        """Somebody waits for this one."""
        self._pending.append(pending)

    def has(self, epoch: str) -> bool:
        """Whether something of that epoch lies on the disk from before a snapshot that was lost."""
        return epoch in self._skip

    def take(self) -> list[Pending]:
        """What is pending, for `write`."""
        taken, self._pending = self._pending, []
        return taken

    def give_back(self, taken: list[Pending]) -> None:
        """It was written in vain: the snapshot was not."""
        self._pending = taken + self._pending

    def due(self, mark: Mark) -> bool:
        """Whether `write` has something to do besides what is pending."""
        return self.news or self._is_over(mark)

    def write(self, mark: Mark, taken: Iterable[Pending], *, close: bool = False) -> tuple[Mark, list[Segment]]:
        """Append, and count what became of earlier segments: those are to be forgotten once the mark is saved. In any
        thread, one at a time."""
        self.news = False
        done: list[Segment] = []
        trimmed = False
        try:
            done = self._segments.done()
            for segment in done:
                mark = mark.reported(segment.epoch, segment.number, self._segments.report(segment))
            self._segments.trim(Segment(mark.epoch, mark.segment), mark.size)
            trimmed = True  # else more would be in the segment than counts
        except (OSError, ValueError) as error:
            self._fail(error)
        mark = self._append(mark, list(taken))
        return (mark.next() if trimmed and (close or self._is_over(mark)) else mark), done

    def forget(self, done: Iterable[Segment]) -> None:
        """Their reports are in a mark that is saved."""
        try:
            for segment in done:
                self._segments.forget(segment)
        except OSError as error:
            self._fail(error)

    def _append(self, mark: Mark, taken: list[Pending]) -> Mark:
        mark = mark.losing(marks.UNREADABLE, sum(each.rows for each in taken if each.raw is None))
        fitting = [(each, each.raw) for each in taken if each.raw is not None]
        if not fitting:
            return mark
        try:
            room = self._limits.disk - self._segments.size()
            if mark.segment - mark.counted.get(mark.epoch, 0) > MOST_SEGMENTS:
                room = 0
            while fitting and sum(size_of(raw) for _, raw in fitting) > room:
                each, _ = fitting.pop()
                each.lost = marks.FULL
                mark = mark.losing(marks.FULL, each.rows)
            if fitting:
                batches = [raw for _, raw in fitting]
                size = self._segments.append(Segment(mark.epoch, mark.segment), mark.size, batches)
                mark = mark.appended(size, sum(each.rows for each, _ in fitting), self._wall())
            self.failure = None
        except OSError as error:
            # What may be on the disk of it lies behind the mark.
            self._fail(error)
            for each, _ in fitting:
                each.lost = marks.FAILED
            mark = mark.losing(marks.FAILED, sum(each.rows for each, _ in fitting))
        return mark

    def _is_over(self, mark: Mark) -> bool:
        old = abs(self._wall() - mark.began) >= self._limits.seconds  # the clock may be put back
        return mark.size > 0 and (old or mark.size >= self._limits.segment)

    def _fail(self, error: Exception) -> None:
        failure = f"the prediction log can't be written to the pod's disk: {error}"
        if failure != self.failure:
            log.error("%s; rows are lost, and counted", failure)
        self.failure = failure


def _settled(segments: Segments) -> tuple[int, dict[str, int]]:
    """`_found`, while a process of the monitor before may still bring segments away."""
    for _ in range(MOST_LOOKS):
        with contextlib.suppress(FileNotFoundError):
            return _found(segments)
    return _found(segments)


def _found(segments: Segments) -> tuple[int, dict[str, int]]:
    """Rows that are there, and the last numbers of their batches, by the server's run."""
    rows, last = 0, dict[str, int]()
    reports = [segments.report(each) for each in (*segments.ready(), *segments.done())]
    for report in reports:
        rows += sum(int(report.get(name, 0)) for name in ("rows", "left_out", "damaged"))
    for segment in segments.raw():
        for raw in records(segments.path(segment)):
            head = _head(raw)
            epoch, number, count = (head.get(name) for name in ("epoch", "number", "rows"))
            if isinstance(epoch, str) and type(number) is int and type(count) is int:
                last[epoch] = max(number, last.get(epoch, 0))
                rows += count
    return rows, last


def _head(raw: Raw | None) -> dict[str, Any]:
    """Empty where it can't be read."""
    try:
        head = orjson.loads(raw[0]) if raw is not None else None
    except ValueError:
        head = None
    return head if isinstance(head, dict) else {}
