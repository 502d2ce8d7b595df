"""How far the log has come: a value that is part of the monitor's snapshot, so that both change in one write. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

KEPT: Final = 4
"""Epochs whose last counted segment is remembered."""

FULL, FAILED, UNREADABLE, DAMAGED = "full", "failed", "unreadable", "damaged"
REASONS: Final = (FULL, FAILED, UNREADABLE, DAMAGED)
"""Why rows are lost: the disk's bound was reached; they could not be written; the batch could not be read; the segment
could not be, later."""


RECENT: Final = 256
"""Requests with outcomes that are remembered: far more than a server has under way at once."""


@dataclass(frozen=True)
class Mark:
    """`epoch`: of the log, 16 hexadecimal digits, empty: none has begun; `segment`: number of the open one; `size`: its
    bytes that count, `rows`: its rows; `began`: when it got the first, seconds since the epoch. `closed`: rows of those
    before it whose report is not in these figures, by number.

    Rows: `written` to segments; `stored`, `left_out` (by `fraction`): what became of them; `lost`, by reason.
    `values`: that no column could hold. `counted`: the last segment whose report is in these figures, by epoch.
    """

    epoch: str = ""
    segment: int = 1
    size: int = 0
    rows: int = 0
    began: float = 0.0
    written: int = 0
    stored: int = 0
    left_out: int = 0
    values: int = 0
    lost: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    counted: Mapping[str, int] = field(default_factory=dict)
    closed: Mapping[str, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Rows on the pod's disk that are not in the store."""
        return max(self.written - self.stored - self.left_out - self.lost[DAMAGED], 0)

    def losing(self, reason: str, rows: int) -> Self:
        return replace(self, lost={**self.lost, reason: self.lost[reason] + rows}) if rows else self

    def appended(self, size: int, rows: int, now: float) -> Self:
        """Rows more, in `size` bytes altogether."""
        began = now if not self.size else self.began
        return replace(self, size=size, rows=self.rows + rows, written=self.written + rows, began=began)

    def next(self) -> Self:
        """The next segment is the open one."""
        if not self.size:
            return self
        closed = {**self.closed, str(self.segment): self.rows}
        return replace(self, segment=self.segment + 1, size=0, rows=0, closed=closed)

    def reported(self, epoch: str, number: int, report: Mapping[str, Any]) -> Self:
        """What became of a segment, once however often it is told."""
        if self.counted.get(epoch, 0) >= number:
            return self
        others = [(each, last) for each, last in self.counted.items() if each != epoch]
        stored, left_out, damaged, values = (
            int(report.get(name, 0)) for name in ("rows", "left_out", "damaged", "values")
        )
        mark = replace(
            self, stored=self.stored + stored, left_out=self.left_out + left_out, values=self.values + values,
            counted=dict([*others[-(KEPT - 1) :], (epoch, number)]),
        )  # fmt: skip
        if epoch == self.epoch and str(number) in self.closed:
            # What can't be read says nothing of its rows.
            damaged = max(self.closed[str(number)] - stored - left_out, 0)
            closed = {each: rows for each, rows in self.closed.items() if each != str(number)}
            mark = replace(mark, closed=closed)
        return mark.losing(DAMAGED, damaged)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Of a snapshot. Raises ValueError, TypeError and LookupError."""
        lost = {reason: int(raw["lost"].get(reason, 0)) for reason in REASONS}
        return cls(**{**raw, "lost": lost, "counted": dict(raw["counted"]), "closed": dict(raw["closed"])})
