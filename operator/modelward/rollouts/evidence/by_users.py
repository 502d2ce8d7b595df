"""What a look brought, by buckets of users: where traffic sticks, a gate judges by them (statistics/clustered.py).

Pods count them (the router's header says who the user is), since counters of routers know no users. `matched`, the last
row, is what a rule of spec.traffic.match sent to a side: nobody chose it by chance, and it proves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.statistics.clustered import BUCKETS

ROWS: Final = BUCKETS + 1


@dataclass(frozen=True)
class ByUsers:
    """Of each side, ROWS of counts."""

    stable: tuple[Counts, ...]
    candidate: tuple[Counts, ...]

    def __add__(self, other: "ByUsers") -> "ByUsers":
        return ByUsers(_sums(self.stable, other.stable), _sums(self.candidate, other.candidate))


def _sums(rows: tuple[Counts, ...], others: tuple[Counts, ...]) -> tuple[Counts, ...]:
    return tuple(row + other for row, other in zip(rows, others, strict=True))


def counted(revision: str, page: Mapping[str, Any]) -> dict[str, Counts]:
    """A pod's answer, with a row for a revision. Raises one of UNREADABLE for something else."""
    rows = page["users"]
    if len(rows) != ROWS:
        raise ValueError(f"{len(rows)} rows instead of {ROWS}")
    return {row_of(revision, number): _counts(*row) for number, row in enumerate(rows)}


def row_of(revision: str, number: int) -> str:
    return f"{revision}/{number}"


def rows_of(revision: str, found: Mapping[str, Counts]) -> tuple[Counts, ...]:
    """Of one side, from what happened between two looks."""
    return tuple(found.get(row_of(revision, number), Counts()) for number in range(ROWS))


def _counts(answered: int, failed: int, refused: int, slow: int) -> Counts:
    if not (all(type(each) is int for each in (answered, failed, refused, slow)) and min(failed, refused, slow) >= 0):
        raise TypeError("counts are whole numbers, and none is negative")
    if max(failed, refused, slow) > answered:
        raise ValueError("more are bad than were answered")
    return Counts(answered, failed, answered, slow, answered, refused)


def show(rows: Sequence[tuple[int, int]]) -> str:
    """Answers and bad ones of each row, as status holds them: short, since there are many."""
    return " ".join(f"{trials}:{bad}" if bad else str(trials) for trials, bad in rows)


def read(text: str) -> list[tuple[int, int]]:
    """The inverse of show. Raises ValueError."""
    rows = []
    for each in text.split(" "):
        trials, _, bad = each.partition(":")
        rows.append((int(trials), int(bad or 0)))
    if len(rows) != ROWS:
        raise ValueError(f"{len(rows)} rows instead of {ROWS}")
    return rows
