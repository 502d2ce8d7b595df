"""The decision on a statistic: drift has to be large enough to matter, and too large to be chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final, Literal

from modelward_drift.errors import SettingError
from modelward_drift.judging.budget import Persistence
from modelward_drift.judging.statistic import Statistic
from modelward_drift.metrics.registry import metric

SURE: Final = 9 * log(10)
"""-log(p) from which p says nothing more to anybody: once in a thousand million windows is once in 100,000 years."""

Outcome = Literal["Drifted", "NotSignificant", "BelowThreshold", "TooFewRows"]


@dataclass(frozen=True)
class Rule:
    """`threshold`: from where the metric matters; `alpha`: of Budget; `min_rows`: that a window needs to be judged."""

    threshold: float
    alpha: float
    min_rows: int = 1

    def __post_init__(self) -> None:
        if not (self.threshold >= 0 and 0 < self.alpha <= 1 and self.min_rows >= 1):
            raise SettingError(
                f"a threshold of {self.threshold}, an alpha of {self.alpha} and {self.min_rows} rows are no rule; the "
                "threshold is 0 or more, alpha a probability, and one row the least"
            )


@dataclass(frozen=True)
class Decision:
    """`cut`: what the metric has to reach, for pictures: the larger of the threshold and, to first order, of what
    chance reaches; whether chance is excluded is decided by the test itself."""

    statistic: Statistic
    rule: Rule
    outcome: Outcome
    cut: float

    @property
    def drifted(self) -> bool:
        return self.outcome == "Drifted"

    @property
    def message(self) -> str:
        """One sentence for people."""
        seen, rule = self.statistic, self.rule
        part = f" of the {seen.share:.2%} of values besides the commonest" if seen.share < 1 else ""
        what = f"{seen.feature}: {seen.metric} {seen.value:.3g}{part} over {seen.rows} rows"
        often = -seen.test.log_p
        chance = f"by chance once in {exp(min(often, 700.0)):.2g} windows"
        certain = f"so far off {chance}" if often < SURE else "not by chance"
        return {
            "Drifted": f"{what}, at least {rule.threshold:g}, and {certain}",
            "NotSignificant": f"{what}, but so far off {chance}, and the budget allows one in {1 / rule.alpha:.2g}",
            "BelowThreshold": f"{what}, below {rule.threshold:g}",
            "TooFewRows": f"{what}, of {rule.min_rows} that a verdict needs",
        }[self.outcome]


def decide(statistic: Statistic, rule: Rule) -> Decision:
    """Effect and significance together."""
    rows, reference = statistic.rows, statistic.reference_rows
    cut = rule.threshold
    if rows and reference:
        noise = metric(statistic.metric).noise(statistic.test.psi_by_chance(rule.alpha), reference, rows)
        cut = max(cut, noise)
    return Decision(statistic, rule, _outcome(statistic, rule), cut)


def persists(decisions: Sequence[Decision], persistence: Persistence) -> bool:
    """Whether drift was found in as many of the last windows as have to be; `decisions` in the order of time."""
    return sum(each.drifted for each in decisions[-persistence.windows :]) >= persistence.needed


def _outcome(statistic: Statistic, rule: Rule) -> Outcome:
    if statistic.rows < rule.min_rows:
        return "TooFewRows"
    if statistic.value < rule.threshold:
        return "BelowThreshold"
    return "Drifted" if statistic.test.log_p <= log(rule.alpha) else "NotSignificant"
