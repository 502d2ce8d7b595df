"""Whose turn it is when the platform has changed: a few models at a time, in one order, and no further after a failure.

Pure. What has begun goes on, also where the limit was lowered or another model has failed: it is looked after until its
pods are ready or it is put back. A limit of 0 holds everything else.
"""

from collections import Counter
from collections.abc import Collection, Mapping

from modelward.revisions.update import Phase

Name = tuple[str, str]
"""Namespace and name of a ModelDeployment."""

AT_A_TIME = 5
"""Models that are updated at a time where the installation says nothing."""


def turns(phases: Mapping[Name, Phase], unknown: Collection[Name], at_a_time: int) -> frozenset[Name]:
    """The models whose turn it is. `unknown`: those that nobody has looked at yet; one of them may have failed."""
    begun = {key for key, phase in phases.items() if phase is Phase.UPDATING}
    if unknown or Phase.FAILED in phases.values():
        return frozenset(begun)
    # By namespace and name: whoever decides anew decides the same.
    ready = sorted(key for key, phase in phases.items() if phase is Phase.READY)
    return frozenset(begun | set(ready[: max(0, at_a_time - len(begun))]))


def counted(phases: Mapping[Name, Phase]) -> dict[str, int]:
    """Models by phase, each phase told."""
    found = Counter(phases.values())
    return {str(phase): found[phase] for phase in Phase}
