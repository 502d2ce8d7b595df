"""Counters that only grow, read now and then from several pods, as what happened between two looks.

What a pod counted before it was first looked at is not taken in: a restart of the operator loses the seconds since the
last look and counts nothing twice.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace


@dataclass(frozen=True)
class Counts:
    """Requests and how many of them failed; those whose time was taken and how many were slower than the objective;
    those that model pods answered themselves, and how many of them the model did not take.

    `instead`: how often the stable was asked in a revision's place; `tried`: how often after a try at the revision,
    which is among its errors.
    """

    requests: int = 0
    errors: int = 0
    timed: int = 0
    slow: int = 0
    answered: int = 0
    refused: int = 0
    instead: int = 0
    tried: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(mine + others for mine, others in zip(astuple(self), astuple(other), strict=True)))

    def own(self) -> "Counts":
        """Without what the stable answered with no try at the revision: that is nobody's evidence. Whether it was slow,
        nobody knows; what was slow stays."""
        other = self.instead - self.tried
        if other <= 0:
            return replace(self, instead=0, tried=0)
        requests, timed = max(self.errors, self.requests - other), max(self.slow, self.timed - other)
        return Counts(requests, self.errors, timed, self.slow, self.answered, self.refused)

    def since(self, before: "Counts") -> "Counts":
        """What was counted after `before`. Fewer than before: the counter began anew, and all of it is new."""
        differences = [mine - earlier for mine, earlier in zip(astuple(self), astuple(before), strict=True)]
        return self if min(differences) < 0 else Counts(*differences)


Readings = Mapping[str, Mapping[str, Counts]]
"""By the uid of the pod that counted, and by revision. A pod that did not answer is absent."""


def between(before: Readings, now: Readings) -> dict[str, Counts]:
    """What happened between two looks, by revision, over all pods that answered both."""
    pooled: dict[str, Counts] = {}
    for pod, revisions in now.items():
        known = before.get(pod)
        if known is None:
            continue
        for revision, counts in revisions.items():
            pooled[revision] = pooled.get(revision, Counts()) + counts.since(known.get(revision, Counts()))
    return {revision: counts.own() for revision, counts in pooled.items()}


def remembered(before: Readings, now: Readings, pods: frozenset[str]) -> Readings:
    """What the next look compares with: the newest reading of each pod that still exists."""
    return {pod: revisions for pod, revisions in {**before, **now}.items() if pod in pods}
