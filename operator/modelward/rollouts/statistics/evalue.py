"""Bets on one block of answers that gain nothing, on average, where the null is true: exact E-variables.

A bet for the alternative shares (s*, c*) of bad answers of the stable and the candidate arm multiplies the wealth by
the block's likelihood ratio of (s*, c*) to (s°, c°), the nearest point of the null: the one with the least
n_s KL(s*|s°) + n_c KL(c*|c°). For each answer x, 1 where it is bad, that is a factor 1 + bet (x - p°), where
bet = (p* - p°) / (p° (1 - p°)). It is an E-variable for any numbers of answers: where p are the true shares,

    log E[product of the factors] = sum of n log(1 + bet (p - p°)) <= sum of n bet (p - p°),

which is linear in p, and minus the derivative of the divergence on the way from p° to p: at the least divergence to a
convex null it is <= 0 all over the null. Its largest value there is subtracted, so an inexact minimum is valid too.

Turner, Ly, Grünwald, arXiv 2106.02693; with margins: Turner, Grünwald, arXiv 2203.09785.
"""

from math import log1p, sqrt
from typing import Final

from modelward.rollouts.statistics.outcomes import Outcomes

LOWEST: Final = 1e-9
HIGHEST: Final = 1 - 1e-6
"""Bounds of an alternative's shares, and of a limit above 0: one answer must not refute or prove anything for ever."""

CLOSE: Final = 1e-6
"""Nats that an inexact minimum may cost."""


def paired(base: float, target: float, margin: float, stable: Outcomes, candidate: Outcomes) -> float:
    """The log E-variable of the alternative (base, target); both arms have answers.

    The null: candidate <= stable + margin where target > base + margin, candidate >= stable + margin where it is less.
    LOWEST <= base <= HIGHEST, 0 < target <= HIGHEST; target = base + margin bets nothing.
    """
    if target == base + margin:
        return 0.0
    low, high = (base, target - margin) if target > base + margin else (max(0.0, target - margin), base)
    high = min(high, HIGHEST - margin)
    following = _nearest_if_rare(base, target, margin, stable.trials, candidate.trials)
    if not low < following < high:
        following = (low + high) / 2
    while True:
        share, other = following, following + margin
        spread, other_spread = share * (1 - share), other * (1 - other)
        bet, other_bet = (base - share) / spread, (target - other) / other_spread
        # The sum above is largest on the null's edge, other = share + margin, 0 <= share <= 1 - margin. It is 0 here.
        slope = stable.trials * bet + candidate.trials * other_bet
        excess = slope * ((1 - margin if slope > 0 else 0.0) - share)
        if excess <= CLOSE:
            break
        low, high = (share, high) if slope > 0 else (low, share)
        bend = stable.trials * ((1 - 2 * share) * bet + 1) / spread
        bend += candidate.trials * ((1 - 2 * other) * other_bet + 1) / other_spread
        following = share + slope / bend  # Newton's step, or half of the way where it leads astray
        if not low < following < high:
            following = (low + high) / 2
            if not low < following < high:
                break  # no float lies between them
    return _log_product(stable, share, bet) + _log_product(candidate, other, other_bet) - excess


def single(target: float, limit: float, candidate: Outcomes) -> float:
    """The log E-variable of the candidate's share `target` against the null that is cut off by `limit`.

    The null: candidate <= limit where target > limit, candidate >= limit where it is less; an equal one bets nothing.
    """
    edge = max(limit, LOWEST) if target > limit else limit
    if target == edge:
        return 0.0
    return _log_product(candidate, edge, (target - edge) / (edge * (1 - edge)))


def _nearest_if_rare(base: float, target: float, margin: float, n_stable: int, n_candidate: int) -> float:
    """The stable's share in the nearest point of the null if bad answers are rare (Poisson): a quadratic's root."""
    number = n_stable + n_candidate
    half = number * margin - n_stable * base - n_candidate * target
    constant = 2 * n_stable * base * margin
    root = sqrt(half * half + 2 * number * constant)
    return constant / (half + root) if half > 0 else (root - half) / (2 * number)


def _log_product(arm: Outcomes, share: float, bet: float) -> float:
    """The log of the product of 1 + bet (x - share) over an arm's answers."""
    return arm.bad * log1p(bet * (1 - share)) + (arm.trials - arm.bad) * log1p(-bet * share)
