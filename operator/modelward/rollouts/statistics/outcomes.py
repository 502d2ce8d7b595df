"""Answers of one arm of a rollout, counted; and how far the shares of bad ones lie apart."""

from dataclasses import dataclass
from math import log, sqrt
from typing import Final

NARROWEST_AT: Final = 0.01
"""Distance of `difference`'s bounds from the middle, as a share, where they are nearest to those of a single look."""


@dataclass(frozen=True)
class Outcomes:
    """Answers, and how many of them were bad. Raises ValueError for numbers that can't be."""

    trials: int = 0
    bad: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.bad <= self.trials:
            raise ValueError(f"{self.bad} bad of {self.trials} answers can't be; give counts with 0 <= bad <= trials")

    def __add__(self, other: "Outcomes") -> "Outcomes":
        return Outcomes(self.trials + other.trials, self.bad + other.bad)

    @property
    def share(self) -> float | None:
        """The share of bad answers; None before the first answer."""
        return self.bad / self.trials if self.trials else None


def difference(stable: Outcomes, candidate: Outcomes, alpha: float = 0.05) -> tuple[float, float]:
    """Bounds on the candidate's share minus the stable's, to be shown to people.

    They hold at all looks together with probability 1 - alpha, asymptotically: a verdict needs neither many bad answers
    nor shares that stay. Robbins's normal mixture (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, arXiv 2103.06476,
    theorem 2.2) in the time of the information, 1 / variance; with one more good and one more bad answer in each arm
    (Agresti, Caffo, The American Statistician 54, 2000): without these, bounds miss rare bad answers too often.
    """
    if not stable.trials or not candidate.trials:
        return -1.0, 1.0
    spent = -2 * log(alpha)
    factor = spent + log(spent + 1)
    tuning = (1 + 1 / factor) * (spent + log(factor + 1)) / factor / NARROWEST_AT**2
    shares = [(arm.bad + 1) / (arm.trials + 2) for arm in (stable, candidate)]
    variance = sum(share * (1 - share) / arm.trials for share, arm in zip(shares, (stable, candidate), strict=True))
    information = 1 / variance
    radius = sqrt((information + tuning) * (spent + log(information / tuning + 1))) / information
    middle = shares[1] - shares[0]
    return max(-1.0, middle - radius), min(1.0, middle + radius)
