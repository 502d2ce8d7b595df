"""What waits for the monitor, and what it has not acknowledged yet: bounded in bytes, numbered without gaps.

Rows come in from any thread, by `take`; everything else belongs to the event loop's. Invariants: what is held never
exceeds the limit by more than the rounding of one batch; each row that came is in exactly one of a batch, `dropped` and
`sampled_out`; nothing here fails a request.
"""

import logging
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from modelward_inference.artifact.arrays import Array
from modelward_inference.capture.calls import OVERHEAD, Call, call, groups, joined
from modelward_inference.capture.requests import Requests
from modelward_inference.capture.wire import Batch, WireError, dump_batch
from modelward_inference.protocol.origin import Asked
from modelward_telemetry.logs import QUOTES

log = logging.getLogger(__name__)

FULL: Final = 1 << 20
"""Bytes that wait, from which on they are not left to wait any longer; a quarter of a small buffer."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A numbered batch as it is sent. `size`: bytes in memory."""

    rows: int
    size: int
    pieces: list[Any]


class Buffer:
    """`limit`: bytes; `sampling`: the share of the model's calls that is kept; `chance`: uniform in [0, 1), called from
    any thread. `revision`: this server's, by which a request's arm is told. `epoch`: another one in each run; `sent`:
    number of the last batch that has been on its way.

    `rows_sent`, `rows_acknowledged`, `dropped`, `sampled_out`: rows so far. `on_full`: called, from any thread, when
    what waits should not wait any longer.
    """

    def __init__(
        self, limit: int, sampling: float = 1.0, chance: Callable[[], float] = random.random, revision: str = ""
    ) -> None:
        self.epoch = secrets.token_hex(8)
        self.on_full: Callable[[], None] = lambda: None
        self.sent = 0
        self.rows_sent = self.rows_acknowledged = self.dropped = self.sampled_out = 0
        self._limit = limit
        self._full = min(FULL, limit // 4)
        self._sampling = sampling
        self._chance = chance
        self._revision = revision
        self._named = 0  # requests that had no id
        self._lock = Lock()
        self._waiting: list[Call] = []
        self._fresh = 0  # bytes of them
        self._held = 0  # bytes, of what waits and of frames
        self._groups: Iterator[list[Call]] = iter(())
        self._frames: dict[int, Frame] = {}
        self._numbered = self._acknowledged = 0
        self._told = (0, 0)  # the totals of the last batch
        self._failed = False

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._held

    @property
    def unacknowledged(self) -> int:
        """Rows of batches that the monitor does not have yet, as far as is known."""
        return sum(frame.rows for frame in self._frames.values())

    @property
    def settled(self) -> bool:
        """Whether the monitor has everything that came, and knows what did not."""
        return not self._frames and not self._waiting and self._told == (self.dropped, self.sampled_out)

    @property
    def acknowledged(self) -> int:
        """Number of the last batch that the monitor has."""
        return self._acknowledged

    def take(
        self,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rows: int,
        asked: Sequence[Asked] = (),
        ended: tuple[float, float] | None = None,
    ) -> None:
        """Keep a call of the model, if it is chosen and there is room. Nobody may change the arrays from now on.
        `ended`: when it did, seconds since the epoch and on the monotonic clock; None: now."""
        if self._sampling < 1.0 and self._chance() >= self._sampling:
            with self._lock:
                self.sampled_out += rows
            return
        try:
            taken = call(inputs, outputs, rows, asked, *(ended or (time.time(), time.monotonic())))
        except Exception:  # noqa: BLE001  a model may give anything
            self._lose(rows)
            return
        with self._lock:
            if self._held + taken.size > self._limit:
                self.dropped += rows
                return
            self._waiting.append(taken)
            self._held += taken.size
            before = self._fresh
            self._fresh += taken.size
        if before < self._full <= self._fresh:
            self.on_full()

    def join(self) -> bool:
        """Make the next batches of what waits. Returns whether there is more, for another turn of the event loop."""
        group = next(self._groups, None)
        if group is None:
            with self._lock:
                calls, self._waiting, self._fresh = self._waiting, [], 0
            if calls:
                self._groups = groups(calls, self._tell)
                group = next(self._groups)
        if group is None:
            self._tell_totals()
            return False
        try:
            batches = joined(group, self._tell)
        except Exception:  # noqa: BLE001  it must not come back
            self._lose(sum([each.rows for each in group]))
            batches = []
        held = sum([self._number(each) for each in batches])
        with self._lock:
            self._held += held - sum([each.size for each in group])
        return True

    def after(self, number: int) -> Frame | None:
        """The batch that comes behind, marked as sent."""
        frame = self._frames.get(number + 1)
        if frame is not None and number + 1 > self.sent:
            self.sent = number + 1
            self.rows_sent += frame.rows
        return frame

    def forget(self, number: int) -> bool:
        """The monitor has all up to this one. Returns whether that is new. Raises WireError where it can't have it."""
        if not 0 <= number <= self.sent:
            raise WireError(f"batch {number} is acknowledged, and {self.sent} was the last that was sent")
        if number <= self._acknowledged:
            return False
        gone = [self._frames.pop(each) for each in range(self._acknowledged + 1, number + 1)]
        self._acknowledged = number
        self.rows_acknowledged += sum([frame.rows for frame in gone])
        with self._lock:
            self._held -= sum([frame.size for frame in gone])
        return True

    def give_up(self) -> int:
        """Count what was never sent as dropped. Returns the rows."""
        unsent = sum(frame.rows for number, frame in self._frames.items() if number > self.sent)
        with self._lock:
            self.dropped += unsent
        return unsent

    def _number(self, each: Call) -> int:
        """Make a batch of it. Returns its size, 0 where it could not be."""
        told = (self.dropped, self.sampled_out)
        try:
            requests = each.requests if len(each.requests) else None
            batch = Batch(self.epoch, self._numbered + 1, each.rows, each.inputs, each.outputs, *told, requests)
            pieces = dump_batch(batch)
        except Exception:  # noqa: BLE001  values of all kinds
            self._lose(each.rows)
            return 0
        size = sum(map(len, pieces)) + OVERHEAD * len(pieces)
        self._numbered += 1
        self._frames[self._numbered] = Frame(each.rows, size, pieces)
        self._told = told
        return size

    def _tell(self, ended: Iterable[tuple[Sequence[Asked], float, float]]) -> Requests:
        return Requests.of(ended, self._revision, self._name)

    def _name(self) -> str:
        self._named += 1
        return f"{self.epoch}-{self._named}"

    def _tell_totals(self) -> None:
        """By a batch of no rows, where no other is about to tell them."""
        if self._told == (self.dropped, self.sampled_out) or self.sent < self._numbered:
            return
        if self._held + 4 * OVERHEAD <= self._limit:
            size = self._number(Call({}, {}, 0, 0))
            with self._lock:
                self._held += size

    def _lose(self, rows: int) -> None:
        with self._lock:
            self.dropped += rows
        if not self._failed:
            self._failed = True
            log.exception("rows could not be captured; others that can't be are only counted", extra={QUOTES: True})
