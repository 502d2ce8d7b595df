"""Concept drift by revision, arm and segment: the first days' losses, and whether those since have risen."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from modelward_evaluate.spec import Classes, Concept, Numbers, Ranking
from modelward_evaluate.sums import Losses
from modelward_quality.shift import Cohort, shift

Pair = tuple[str, str]

LARGEST: Final = 1.0
"""Loss of a row by a label or a ranking: Brier's score, a mistake, and 1 - NDCG are from 0 to 1."""


def concept(losses: Iterable[Losses], asked: Concept, task: Classes | Numbers | Ranking) -> list[dict[str, Any]]:
    """What `shift` says of each revision, arm and value of a segment whose days allow it, as JSON. A value that is seen
    only later is held against its own first days."""
    largest = None if isinstance(task, Numbers) else LARGEST
    sides: dict[Pair, dict[Pair, list[Cohort]]] = {}
    for each in sorted(losses, key=lambda one: one.day):
        parts = sides.setdefault((each.revision, each.arm), {})
        parts.setdefault((each.segment, each.value), []).append(Cohort(each.day, each.losses))
    made = []
    for (revision, arm), parts in sorted(sides.items()):
        for (segment, value), days in sorted(parts.items()):
            reference, later = days[: asked.reference_days], days[asked.reference_days :]
            found = shift(reference, later, asked.budget, tests=len(parts), margin=asked.margin, largest=largest)
            if found is not None:
                where = {"revision": revision, "arm": arm, "segment": segment, "value": value}
                made.append(where | {"alarm": found.alarm, **asdict(found)})
    return made
