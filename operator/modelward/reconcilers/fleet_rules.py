"""Whose turn it is when the platform has changed: a few models at a time, in one order, and no further after a failure.

Pure. What has begun goes on, also where the limit was lowered or another model has failed: it is looked after until its
pods are ready or it is put back. A limit of 0 holds everything else.
"""

import heapq
from collections.abc import Collection, Mapping

from modelward.revisions.update import Phase

Name = tuple[str, str]
"""Namespace and name of a ModelDeployment."""

AT_A_TIME = 5
"""Models that are updated at a time where the installation says nothing."""


def turns(models: Mapping[Phase, Collection[Name]], at_a_time: int, *, complete: bool) -> frozenset[Name]:
    """The models whose turn it is. `models`: by where they stand; `complete`: each of them has been looked at, so that
    none can have failed unseen."""
    begun = frozenset(models.get(Phase.UPDATING, ()))
    if not complete or models.get(Phase.FAILED):
        return begun
    # By namespace and name: whoever decides anew decides the same.
    return begun | frozenset(heapq.nsmallest(max(0, at_a_time - len(begun)), models.get(Phase.READY, ())))
