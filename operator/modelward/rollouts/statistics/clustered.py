"""Is the candidate worse, where the unit is the user? For traffic that sticks: a user's requests all go to one arm.

sequential.py takes requests as independent. Where users stay on their arm they are not: one user whose requests always
fail is many bad answers of one arm, and says nothing of the arm. Here answers are counted in buckets of users (by a
hash, each user always in the same one), and an arm's share varies as much as its buckets differ: the variance of a
ratio of sums over clusters (Cochran, Sampling Techniques, 1977, 6.4 and 9A; "cluster-robust"). Its distance from the
margin is a t statistic with as many degrees of freedom as the arm with fewer effective buckets has, less one, judged by
the Bayes factor of Gönen et al. (The American Statistician 59, 2005). Under the null, at one look, that is an E-value
for means that are normally distributed; where only a few users ask, no t is large enough.

Looks at the same users are nearly one look, so no look needs a budget of its own. That the chance of a false verdict
keeps its bound over all looks, with heavy users and few bad ones, is no theorem: it is shown by simulation, in
benchmarks/rollout/sticky.py.
"""

from collections.abc import Sequence
from math import exp, inf, log, log1p, sqrt
from typing import Final

from modelward.rollouts.statistics.outcomes import Outcomes

BUCKETS: Final = 32
"""How many each arm has. More would need more users each; fewer see less."""

SPREAD: Final = 30.0
"""Variance that the alternative expects of t, beside chance: with it, five buckets that agree can be enough."""

ENOUGH: Final = 8.0
"""Buckets that an arm needs, as if all had equally many answers: with fewer, a single user outweighs the others."""


def log_evidence(stable: Sequence[Outcomes], candidate: Sequence[Outcomes], margin: float, *, worse: bool) -> float:
    """Log E-value against candidate <= stable + margin (`worse`), or against candidate >= stable + margin.

    `stable`, `candidate`: answers by bucket. -inf where nothing can be said.
    """
    stable, candidate = _asked(stable), _asked(candidate)
    freedom = min(effective(stable), effective(candidate)) - 1
    if freedom < 1:
        return -inf
    distance = _share(candidate) - _share(stable) - margin
    if (distance > 0) is not worse:
        return -inf
    t = distance / sqrt(_variance(stable, candidate))
    square = t * t / freedom
    return (freedom + 1) / 2 * (log1p(square) - log1p(square / (1 + SPREAD))) - log(1 + SPREAD) / 2


def difference(stable: Sequence[Outcomes], candidate: Sequence[Outcomes], alpha: float) -> tuple[float, float, float]:
    """The candidate's share minus the stable's, and bounds on it: the margins that users do not refute at `alpha`."""
    stable, candidate = _asked(stable), _asked(candidate)
    if not stable or not candidate:
        return 0.0, -1.0, 1.0
    middle = _share(candidate) - _share(stable)
    freedom = min(effective(stable), effective(candidate)) - 1
    if freedom < 1:
        return middle, -1.0, 1.0
    # log_evidence, solved for the square of t.
    ratio = exp(2 / (freedom + 1) * (log(1 + SPREAD) / 2 - log(alpha)))
    if ratio >= 1 + SPREAD:
        return middle, -1.0, 1.0
    radius = sqrt(freedom * (ratio - 1) / (1 - ratio / (1 + SPREAD)) * (_variance(stable, candidate)))
    return middle, max(-1.0, middle - radius), min(1.0, middle + radius)


def is_enough(stable: Sequence[Outcomes], candidate: Sequence[Outcomes]) -> bool:
    """Whether both arms have answers of so many users that no single one decides."""
    return min(effective(stable), effective(candidate)) >= ENOUGH


def effective(arm: Sequence[Outcomes]) -> float:
    """The number of buckets that would say as much if all had equally many answers (Kish, Survey Sampling, 1965)."""
    squares = sum(each.trials**2 for each in arm)
    return _trials(arm) ** 2 / squares if squares else 0.0


def _asked(arm: Sequence[Outcomes]) -> list[Outcomes]:
    return [each for each in arm if each.trials]


def _trials(arm: Sequence[Outcomes]) -> int:
    return sum(each.trials for each in arm)


def _share(arm: Sequence[Outcomes]) -> float:
    return _bad(arm) / _trials(arm)


def _variance(stable: Sequence[Outcomes], candidate: Sequence[Outcomes]) -> float:
    """Of the difference of both shares: of each as its buckets differ, and no less than of independent answers.

    An arm that by chance has few of the users whose answers are bad differs little within itself, and would seem sure
    to be the better one. So the arm with the smaller share is taken to vary no less than answers of both together
    would, with the larger of both arms' design effects: by how much more an arm varies than independent answers (Kish).
    """
    lower, higher = sorted((stable, candidate), key=_share)
    number = _trials(lower)
    both = Outcomes(number, _bad(lower)) + Outcomes(_trials(higher), _bad(higher))
    effects = [_between(arm) / alone for arm in (lower, higher) if (alone := _independent(arm))]
    effect = max([1.0, *effects])
    return max(_between(lower), effect * _likely(both) / number) + max(
        _between(higher), _likely(Outcomes(_trials(higher), _bad(higher))) / _trials(higher)
    )


def _likely(answers: Outcomes) -> float:
    """The variance of one of them, if there were one more of either kind."""
    share = (answers.bad + 1) / (answers.trials + 2)
    return share * (1 - share)


def _bad(arm: Sequence[Outcomes]) -> int:
    return sum(each.bad for each in arm)


def _between(arm: Sequence[Outcomes]) -> float:
    """The variance of an arm's share, as its buckets differ."""
    trials, share, number = _trials(arm), _share(arm), len(arm)
    if number < 2:
        return 0.0
    return number / (number - 1) * sum((each.bad - share * each.trials) ** 2 for each in arm) / trials**2


def _independent(arm: Sequence[Outcomes]) -> float:
    """The same, if answers were independent."""
    share = _share(arm)
    return share * (1 - share) / _trials(arm)
