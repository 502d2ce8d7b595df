"""What all pods of a revision have counted together: one counter that only grows, whatever becomes of the pods.

Each pod's counts only grow within an epoch, so the sum of the last reading of every pod and epoch that ever was is
exact, however often and in whatever order they are read. What is kept of pods that are gone is one sum.

After a restart of the operator the sum of those that are gone is known, and which pods were read before; their counts
are not, but they are still in the pods. A pod that vanished meanwhile took them along: the counter then begins a new
generation, and says how many rows it can no longer tell apart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from modelward.values.stored import Stored, known
from modelward_drift.counting.counts import Counts, zero
from modelward_drift.counting.reading import Intake, Reading
from modelward_drift.profiles.reference import Reference


@dataclass(frozen=True)
class Seen:
    """Of a pod that was read before the operator started anew. `rows`: that it had counted when this was stored."""

    epoch: str
    rows: int


@dataclass(frozen=True)
class Pool:
    """`departed`, `departed_intake`: of pods and epochs that are gone; `last`: readings by pod uid; `awaited`: pods
    that were read by an earlier operator, and not yet by this one; `generation`: another one where the counter fell,
    and `loss` why; `abrupt`: pods that went before their last counts were read."""

    reference: Reference
    departed: tuple[Counts, ...]
    departed_intake: Intake = field(default_factory=Intake)
    last: Mapping[str, Reading] = field(default_factory=dict)
    awaited: Mapping[str, Seen] = field(default_factory=dict)
    generation: int = 1
    loss: str | None = None
    abrupt: int = 0

    @property
    def whole(self) -> bool:
        """Whether `total` is everything: until then it must not be compared with an earlier one."""
        return not self.awaited

    @cached_property
    def total(self) -> tuple[Counts, ...]:
        """By feature, in the reference's order."""
        return add(self.departed, *(reading.counts for reading in self.last.values()))

    @cached_property
    def intake(self) -> Intake:
        return plus(self.departed_intake, *(reading.intake for reading in self.last.values()))

    def pods(self) -> frozenset[str]:
        """That are in it with an epoch of their own; a change is worth storing."""
        return frozenset(f"{uid}/{reading.epoch}" for uid, reading in self.last.items()) | frozenset(
            f"{uid}/{seen.epoch}" for uid, seen in self.awaited.items()
        )


def opened(reference: Reference) -> Pool:
    """Nothing counted yet."""
    return Pool(reference, tuple(map(zero, reference.profiles)))


def add(first: tuple[Counts, ...], *others: tuple[Counts, ...]) -> tuple[Counts, ...]:
    """Feature by feature. Raises MismatchError."""
    total = first
    for other in others:
        total = tuple(mine + theirs for mine, theirs in zip(total, other, strict=True))
    return total


def less(later: tuple[Counts, ...], earlier: tuple[Counts, ...]) -> tuple[Counts, ...]:
    """What came between. Raises MismatchError where a counter fell."""
    return tuple(now - before for now, before in zip(later, earlier, strict=True))


def plus(first: Intake, *others: Intake) -> Intake:
    total = first
    for other in others:
        total = Intake(
            total.counted + other.counted, total.sampled_out + other.sampled_out, total.dropped + other.dropped,
            total.refused + other.refused, total.lost + other.lost,
        )  # fmt: skip
    return total


def since(later: Intake, earlier: Intake) -> Intake:
    """What came between."""
    return Intake(
        later.counted - earlier.counted, later.sampled_out - earlier.sampled_out, later.dropped - earlier.dropped,
        later.refused - earlier.refused, later.lost - earlier.lost,
    )  # fmt: skip


def heard(pool: Pool, readings: Iterable[Reading], alive: frozenset[str]) -> Pool:
    """The pool after a look. `alive`: uids of the pods that exist; those that are not among them are gone."""
    departed, intake, last, awaited = pool.departed, pool.departed_intake, dict(pool.last), dict(pool.awaited)
    lost: list[str] = []
    abrupt = pool.abrupt
    for reading in readings:
        before = last.get(reading.pod)
        if before is not None and before.epoch != reading.epoch:
            # It began to count anew: what it had counted, and was read, stays counted.
            departed, intake = add(departed, before.counts), plus(intake, before.intake)
        elif before is not None and before.sequence > reading.sequence:
            continue  # an answer that was overtaken by a later one
        seen = awaited.pop(reading.pod, None)
        if seen is not None and seen.epoch != reading.epoch:
            lost.append(f"pod {reading.pod} began to count anew (up to {seen.rows} rows or a little more)")
        last[reading.pod] = reading
    for uid in [uid for uid in last if uid not in alive]:
        gone = last.pop(uid)
        abrupt += not gone.final
        departed, intake = add(departed, gone.counts), plus(intake, gone.intake)
    gone_meanwhile = [uid for uid in awaited if uid not in alive]
    lost += [f"pod {uid} is gone (with {awaited.pop(uid).rows} rows or a little more)" for uid in gone_meanwhile]
    changed = replace(pool, departed=departed, departed_intake=intake, last=last, awaited=awaited, abrupt=abrupt)
    if not lost:
        return changed
    message = f"While no operator ran, {', '.join(lost)}; what it had counted can't be told apart any more"
    return replace(changed, generation=pool.generation + 1, loss=message)


class _StoredPool(Stored):
    digest: str
    generation: int
    abrupt: int
    departed: Any
    departed_intake: Intake
    pods: dict[str, Seen]


def dump(pool: Pool) -> dict[str, Any]:
    """What has to be stored: plain values, of a size that does not grow with the pods' counts."""
    pods = {uid: {"epoch": seen.epoch, "rows": seen.rows} for uid, seen in pool.awaited.items()}
    pods |= {uid: {"epoch": each.epoch, "rows": each.intake.counted} for uid, each in pool.last.items()}
    return {
        "digest": pool.reference.digest,
        "generation": pool.generation,
        "abrupt": pool.abrupt,
        "departed": dump_counts(pool.departed),
        "departedIntake": asdict(pool.departed_intake),
        "pods": pods,
    }


def load(raw: Any, reference: Reference) -> Pool | None:
    """The inverse, with every pod awaited. None for what is none of this reference's, or damaged."""
    try:
        stored = known(_StoredPool, raw)
        if stored.digest != reference.digest:
            return None
        return Pool(
            reference,
            load_counts(stored.departed, reference),
            stored.departed_intake,
            awaited=stored.pods,
            generation=stored.generation,
            abrupt=stored.abrupt,
        )
    except (TypeError, ValueError):
        return None


def dump_counts(counts: tuple[Counts, ...]) -> list[list[list[int]]]:
    """By feature, cells and quality; without the digests, which are the reference's."""
    return [[each.cells.tolist(), each.quality.tolist()] for each in counts]


def load_counts(raw: Any, reference: Reference) -> tuple[Counts, ...]:
    """The inverse. Raises DriftError, TypeError or ValueError for what can't be counts."""
    found = []
    for (cells, quality), profile in zip(raw, reference.profiles, strict=True):
        shape = {"digest": profile.digest, "cells": cells, "quality": quality}
        found.append(Counts.from_dict(shape, profile))
    return tuple(found)
