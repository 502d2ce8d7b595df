"""Joins what stable and candidate answered to the same requests, and says whether they agree.

Both sides choose the requests that they keep by a hash of the request's id, so what one keeps the other keeps, too.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PENDING = 20_000
"""Answers of one side that wait for those of the other: half a minute of the most that pods keep."""

Outputs = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """One request as one side answered it. `outputs`: None where the answer was an error."""

    id: str
    outputs: Outputs | None


@dataclass
class Pairs:
    """What waits to be joined, by request id; the oldest goes first where too much does.

    None: several requests had this id (whoever asks a model many times for one request of its own may pass its id on),
    and nobody knows which answer is to which.
    """

    tolerance: float
    stable: dict[str, Sample | None] = field(default_factory=dict)
    candidate: dict[str, Sample | None] = field(default_factory=dict)

    def add(self, stable: Iterable[Sample], candidate: Iterable[Sample]) -> tuple[int, int]:
        """Take in new samples; returns how many pairs became complete, and in how many the candidate disagrees."""
        compared = disagreed = 0
        for side, samples in ((self.stable, stable), (self.candidate, candidate)):
            for sample in samples:
                side[sample.id] = None if sample.id in side else sample
        for name in self.stable.keys() & self.candidate.keys():
            left, right = self.stable.pop(name), self.candidate.pop(name)
            if left is None or right is None or left.outputs is None:
                continue  # what the stable fails at is no measure of the candidate
            compared += 1
            disagreed += right.outputs is None or not agree(left.outputs, right.outputs, self.tolerance)
        for side in (self.stable, self.candidate):
            while len(side) > PENDING:
                del side[next(iter(side))]
        return compared, disagreed


def agree(stable: Outputs, candidate: Outputs, tolerance: float) -> bool:
    """Whether two answers say the same. Outputs that only one side has are not compared, but one must be common."""
    common = stable.keys() & candidate.keys()
    return bool(common) and all(_same(stable[name], candidate[name], tolerance) for name in common)


def _same(left: Any, right: Any, tolerance: float) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(_same(a, b, tolerance) for a, b in zip(left, right, strict=True))
    if isinstance(left, float) or isinstance(right, float):
        if not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            return False
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return math.isclose(left, right, rel_tol=tolerance, abs_tol=1e-9)
    return bool(left == right)
