"""Windows of pooled counts: what all pods of a revision have seen from one moment to another.

A window is the difference of a counter that only grows, so windows follow one another without a gap or an overlap, and
an operator that starts anew goes on with the one that was open.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from modelward.monitoring import pooling
from modelward.monitoring.pooling import Pool
from modelward.values.stored import Stored, known
from modelward_drift.counting.counts import Counts
from modelward_drift.counting.reading import Intake
from modelward_drift.judging.judge import WindowSettings as WindowSettings
from modelward_drift.profiles.reference import Reference


@dataclass(frozen=True)
class Window:
    """`digest`: of the reference; `start`, `end`: seconds since the epoch; `counts`: in the order of its features;
    `intake`: rows that came meanwhile; `abrupt`: pods that went before their last counts were read."""

    revision: str
    digest: str
    start: float
    end: float
    counts: tuple[Counts, ...]
    intake: Intake = field(default_factory=Intake)
    abrupt: int = 0

    @property
    def rows(self) -> int:
        return max((each.rows for each in self.counts), default=0)

    @property
    def missing(self) -> str | None:
        """What is known not to be in it, in a sentence; None where everything is."""
        intake = self.intake
        parts = [
            f"{number} {what}"
            for number, what in (
                (intake.dropped, "rows that servers had no room for"),
                (intake.refused, "rows that could not be read"),
                (intake.lost, "rows that were lost with a monitor's disk"),
                (self.abrupt, "pod(s) to the end, which came before they were read"),
            )
            if number
        ]
        return f"Not in it: {', '.join(parts)}" if parts else None


@dataclass(frozen=True)
class Look:
    """What the monitors of a model's stable revision tell one who asks for windows.

    `current`: the window so far; `closed`: the last that ended, until the next one does; `problem`: why one of them is
    missing or not whole, in a sentence.
    """

    reference: Reference | None = None
    current: Window | None = None
    closed: Window | None = None
    problem: str | None = None


KEPT, KEPT_COUNTS = 48, 30_000
"""Windows that a book keeps, and whole numbers in them: they have to fit into a ConfigMap."""


@dataclass(frozen=True)
class Book:
    """One reader's windows. `start`: of the open one, seconds since the epoch; `baseline`: the counter then;
    `ended`: the last windows, in the order of
    time; `generation`, `intake`, `abrupt`: of the pool then; `missing`: why a window was given up, in a sentence."""

    start: float
    baseline: tuple[Counts, ...]
    generation: int
    ended: tuple[Window, ...] = ()
    missing: str | None = None
    intake: Intake = field(default_factory=Intake)
    abrupt: int = 0

    @property
    def closed(self) -> Window | None:
        """The last window that ended."""
        return self.ended[-1] if self.ended else None


def opened(pool: Pool, now: float) -> Book:
    """A first window that begins now. `now`: seconds since the epoch."""
    return Book(now, pool.total, pool.generation, intake=pool.intake, abrupt=pool.abrupt)


def current(book: Book, pool: Pool, revision: str, now: float) -> Window | None:
    """The open window so far, None while the counter is not whole."""
    if not pool.whole or book.generation != pool.generation:
        return None
    counts = pooling.less(pool.total, book.baseline)
    intake = pooling.since(pool.intake, book.intake)
    return Window(revision, pool.reference.digest, book.start, now, counts, intake, max(0, pool.abrupt - book.abrupt))


def advanced(book: Book, pool: Pool, settings: WindowSettings, revision: str, now: float) -> Book:
    """The book after a look: the open window ends when it is old enough and has enough rows.

    Where the counter has begun a new generation, the open window can't be ended: a new one begins, and says so. A clock
    that was set back makes the open window begin now; its rows stay in it.
    """
    if not pool.whole:
        return book
    if book.generation != pool.generation:
        return replace(opened(pool, now), ended=book.ended, missing=pool.loss)
    if now < book.start:
        return replace(book, start=now)
    window = current(book, pool, revision, now)
    if window is None or now - book.start < settings.duration or window.rows < settings.min_samples:
        return book
    size = sum(len(each.cells) + len(each.quality) for each in window.counts)
    kept = max(1, min(KEPT, KEPT_COUNTS // max(size, 1)))
    return replace(opened(pool, now), ended=(*book.ended, window)[-kept:])


def dump(book: Book) -> dict[str, Any]:
    """Plain values, to be stored; of a size that does not grow with the pods."""
    return {
        "start": book.start,
        "generation": book.generation,
        "baseline": pooling.dump_counts(book.baseline),
        "ended": [
            {
                "revision": each.revision, "start": each.start, "end": each.end,
                "counts": pooling.dump_counts(each.counts), "intake": asdict(each.intake), "abrupt": each.abrupt,
            }
            for each in book.ended
        ],
        "missing": book.missing,
        "intake": asdict(book.intake),
        "abrupt": book.abrupt,
    }  # fmt: skip


class _StoredWindow(Stored):
    revision: str
    start: float
    end: float
    counts: Any
    intake: Intake
    abrupt: int


class _StoredBook(Stored):
    start: float
    baseline: Any
    generation: int
    ended: tuple[_StoredWindow, ...]
    missing: str | None
    intake: Intake
    abrupt: int


def load(raw: Mapping[str, Any], reference: Reference) -> Book | None:
    """The inverse. None for what is damaged or of another reference."""
    try:
        stored = known(_StoredBook, raw)
        ended = tuple(
            Window(
                each.revision, reference.digest, each.start, each.end,
                pooling.load_counts(each.counts, reference), each.intake, each.abrupt,
            )
            for each in stored.ended
        )  # fmt: skip
        return Book(
            stored.start, pooling.load_counts(stored.baseline, reference), stored.generation, ended,
            stored.missing, stored.intake, stored.abrupt,
        )  # fmt: skip
    except (TypeError, ValueError):
        return None
