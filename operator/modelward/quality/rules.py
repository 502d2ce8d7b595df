"""The rules of spec.quality as one list, and the level that the policy's alarm budget leaves to each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from modelward.api.driftpolicy import Spec
from modelward.api.quality import CLASSES, NUMBERS, WORTH, Business, MetricRule, Quality
from modelward_drift.judging.budget import CAUTION

QUALITY, FAIRNESS, BUSINESS, CONCEPT = "quality", "fairness", "business", "concept"
"""Kinds of signals."""

MIN, MAX, DEGRADATION = "min", "max", "degradation"
DIFFERENCE, RATIO = "difference", "ratio"

THIRTY_DAYS: Final = 30 * 86400.0

WIDEST: Final = 1 - 1e-12
"""Of levels: beyond it there are no more numbers."""


@dataclass(frozen=True)
class Rule:
    """`metric` is held against `bound`, in the way that `what` says."""

    kind: str
    metric: str
    what: str
    bound: float

    @property
    def name(self) -> str:
        """Of its signal."""
        return f"{self.metric}:{self.what}"


def rules_of(quality: Quality) -> Iterator[Rule]:
    """In the order of spec."""
    for each in quality.metrics:
        yield from _bounds(QUALITY, each.name, each)
    if quality.business is not None:
        yield from _bounds(BUSINESS, WORTH, quality.business)
    for parity in quality.fairness.rules if quality.fairness else ():
        for what, bound in ((DIFFERENCE, parity.max_difference), (RATIO, parity.min_ratio)):
            if bound is not None:
                yield Rule(FAIRNESS, parity.name, what, float(bound))


def _bounds(kind: str, name: str, rule: MetricRule | Business) -> Iterator[Rule]:
    for what, bound in ((MIN, rule.min), (MAX, rule.max), (DEGRADATION, rule.max_degradation)):
        if bound is not None:
            yield Rule(kind, name, what, float(bound))


def metrics_of(quality: Quality) -> tuple[str, ...]:
    """Those that matter, the one that is shown first."""
    named = tuple(each.name for each in quality.metrics)
    return (*(named or (_usual(quality),)), *((WORTH,) if quality.business else ()))


def _usual(quality: Quality) -> str:
    task = quality.task
    if task.kind == CLASSES:
        return "rocAuc" if task.score else "f1" if task.positive else "accuracy"
    return "rmse" if task.kind == NUMBERS else "ndcg"


def level_of(spec: Spec, period: float) -> float:
    """Of the intervals, so that by chance as many bounds are passed in 30 days as spec.falseAlarms allows, over all
    rules and evaluations (Bonferroni). `period`: seconds until the next evaluation. An interval has two ends, of which
    a rule looks at one."""
    assert spec.quality is not None
    share = budget_of(spec, spec.quality) / CAUTION * min(period, THIRTY_DAYS) / THIRTY_DAYS
    return min(1 - 2 * min(share, 0.025), WIDEST)


def budget_of(spec: Spec, quality: Quality) -> float:
    """False alarms in 30 days that are left to each rule, and to the search for concept drift as a whole."""
    tests = sum(1 for _ in rules_of(quality)) + (quality.concept is not None)
    return float(spec.false_alarms.max_per30_days) / max(1, tests)
