"""A gate's evidence by users, where traffic sticks: without it, what requests say stands alone.

Where users stay on one side, a verdict by requests has to be one by users, too; else one user whose requests always
fail would decide. Header matches choose a side by no chance either: what they sent is counted apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import Any, Final

from modelward.rollouts.evidence.by_users import ROWS, ByUsers, read, show
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.statistics import clustered
from modelward.rollouts.statistics.clustered import BUCKETS
from modelward.rollouts.statistics.outcomes import Outcomes

_NOTHING: Final = (Outcomes(),) * ROWS


@dataclass(frozen=True)
class Users:
    """Of each side, by row (evidence/by_users.py)."""

    stable: tuple[Outcomes, ...] = _NOTHING
    candidate: tuple[Outcomes, ...] = _NOTHING

    def add(self, seen: ByUsers, of: Callable[[Counts], tuple[int, int]]) -> "Users":
        """After one more look. `of`: answers and bad ones among counts."""
        return Users(_added(self.stable, seen.stable, of), _added(self.candidate, seen.candidate, of))

    def explain(self, bad: int) -> bool:
        """Whether pods saw most of the candidate's `bad` answers. Those that never reached one are no user's doing."""
        return self.known and 2 * sum(each.bad for each in self.candidate) >= bad

    @property
    def known(self) -> bool:
        """Whether pods of both sides count users at all: those of an earlier version do not."""
        return any(each.trials for each in self.stable) and any(each.trials for each in self.candidate)

    @property
    def are_enough(self) -> bool:
        """For a verdict that no single user makes."""
        return clustered.is_enough(self.stable[:BUCKETS], self.candidate[:BUCKETS])

    def most_are_worse(self, margin: float) -> bool:
        """Whether most groups of the candidate get more bad answers than the stable gives and the margin allows: then
        it is hardly a few users' doing, even where they are too few to prove it."""
        stable = sum(self.stable[:BUCKETS], Outcomes())
        shares = [each.share for each in self.candidate[:BUCKETS] if each.share is not None]
        return 2 * sum(share > (stable.share or 0.0) + margin for share in shares) > len(shares)

    def difference(self, alpha: float) -> tuple[float, float, float]:
        """How far the candidate's share lies above the stable's, and bounds on that."""
        return clustered.difference(self.stable[:BUCKETS], self.candidate[:BUCKETS], alpha)

    def show(self, margin: float, chance: float, *, worse: bool) -> bool:
        """Whether they bear out that the candidate is worse, or is not. `chance`: of being wrong."""
        stable, candidate = self.stable[:BUCKETS], self.candidate[:BUCKETS]
        return clustered.log_evidence(stable, candidate, margin, worse=worse) >= -log(chance)

    def dump(self) -> dict[str, str]:
        """As status holds it."""
        sides = (("stable", self.stable), ("candidate", self.candidate))
        return {name: show([(each.trials, each.bad) for each in rows]) for name, rows in sides}


def load(stored: Mapping[str, Any] | None) -> Users | None:
    """The inverse of dump. Raises LookupError, TypeError, ValueError, AttributeError for something else."""
    if stored is None:
        return None
    sides = (tuple(Outcomes(*each) for each in read(stored[name])) for name in ("stable", "candidate"))
    return Users(*sides)


def _added(
    rows: tuple[Outcomes, ...], seen: tuple[Counts, ...], of: Callable[[Counts], tuple[int, int]]
) -> tuple[Outcomes, ...]:
    found = (of(each) for each in seen)
    return tuple(row + Outcomes(trials, min(bad, trials)) for row, (trials, bad) in zip(rows, found, strict=True))
