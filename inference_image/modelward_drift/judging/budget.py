"""How many false alarms are allowed, spent over everything that is looked at.

Controlled is the expected number of false alarms per 30 days, over all features, metrics and looks (the per-family
error rate). It bounds the probability of any false alarm, too (Markov's inequality). Each test gets an equal share, and
expectations add up whatever depends on what (Bonferroni): the windows of one reference all share its luck, and features
go together. Looks that do not take place leave their share unspent.
"""

from dataclasses import dataclass, field
from typing import Final

from modelward_drift.errors import SettingError

CAUTION: Final = 1.25
"""By which each share is divided: the test's tail is an approximation, exceeded up to 1.2 times too often as measured
(see significance.py). It raises cuts by one in a hundred."""

HOURLY: Final = 720
"""Looks in 30 days."""


@dataclass(frozen=True)
class Persistence:
    """Alarm only where `needed` of the last `windows` windows exceed the cut. Raises SettingError.

    It passes over incidents that are shorter, and is paid for with delay. It buys no lower cut: that would take windows
    that are independent of one another, and those that share a reference are not.
    """

    needed: int = 1
    windows: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.needed <= self.windows:
            raise SettingError(f"{self.needed} of {self.windows} windows can't exceed; write 1 of 1, or 2 of 3")


@dataclass(frozen=True)
class Budget:
    """`per_30_days`: expected false alarms; `looks_per_30_days`: windows that are judged. Raises SettingError."""

    per_30_days: float
    features: int
    metrics: int = 1
    looks_per_30_days: int = HOURLY
    persistence: Persistence = field(default_factory=Persistence)

    def __post_init__(self) -> None:
        if not 0 < self.per_30_days <= self.tests:
            raise SettingError(
                f"{self.per_30_days} false alarms in {self.tests} tests is no budget; write 0.05 for one in 600 days"
            )
        if min(self.features, self.metrics, self.looks_per_30_days) < 1:
            raise SettingError("a budget is spent over a feature, a metric and a look at least")

    @property
    def tests(self) -> int:
        return self.features * self.metrics * self.looks_per_30_days

    @property
    def alpha(self) -> float:
        """The probability that a test without drift may exceed its cut.

        With k of w windows, windows that exceed it are expected in w alpha of w, so that k of them do with a
        probability of w alpha / k at most (Markov), however they depend on one another.
        """
        return self.per_30_days / CAUTION / self.tests * self.persistence.needed / self.persistence.windows
