"""Verdicts on the counts of a window: which features drifted, under which rules, within which budget."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from modelward_drift.counting.counts import Counts
from modelward_drift.judging.budget import Budget, Persistence
from modelward_drift.judging.statistic import measure
from modelward_drift.judging.verdict import Decision, Rule, decide
from modelward_drift.metrics.registry import metric
from modelward_drift.profiles.reference import Feature, Reference

THIRTY_DAYS: Final = 30 * 24 * 3600.0
"""Seconds."""

UNORDERED: Final = "psi"
"""What is measured where a rule's metric needs an order and the feature has none."""


@dataclass(frozen=True)
class WindowSettings:
    """A window ends once it is `duration` seconds old and has `min_samples` rows."""

    duration: float = 3600.0
    min_samples: int = 500


@dataclass(frozen=True)
class FeatureRule:
    """`threshold`: from where the metric matters."""

    metric: str = "psi"
    threshold: float = 0.2


@dataclass(frozen=True)
class Rules:
    """`overrides`: by feature; `ignored`: features that are not judged; `per_30_days`: expected false alarms."""

    window: WindowSettings = field(default_factory=WindowSettings)
    default: FeatureRule = field(default_factory=FeatureRule)
    overrides: Mapping[str, FeatureRule] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    per_30_days: float = 0.05
    persistence: Persistence = field(default_factory=Persistence)

    def of(self, feature: Feature) -> FeatureRule:
        """The rule of a feature; one without an order is judged by UNORDERED where the default needs an order."""
        own = self.overrides.get(feature.name)
        if own is not None:
            return own
        return self.default if metric(self.default.metric).applies(feature.profile) else FeatureRule(UNORDERED)

    def alpha(self, features: int) -> float:
        """What one test of a window may spend where so many features are judged. Raises SettingError."""
        looks = max(1, round(THIRTY_DAYS / max(self.window.duration, 1.0)))
        return Budget(self.per_30_days, features, 1, looks, self.persistence).alpha


def judged(reference: Reference, window: Iterable[Counts], rules: Rules) -> tuple[Decision, ...]:
    """A decision for each feature that is judged, the worst first: drifted ones, then by how far above their threshold.

    `window`: counts in the order of the reference's features. Raises SettingError for a rule that a feature can't have,
    MismatchError for counts against another reference.
    """
    watched = [
        (feature, counts)
        for feature, counts in zip(reference.features, window, strict=True)
        if feature.name not in rules.ignored
    ]
    if not watched:
        return ()
    alpha = rules.alpha(len(watched))
    decisions = []
    for feature, counts in watched:
        rule = rules.of(feature)
        (statistic,) = measure(feature.profile, counts, (rule.metric,))
        decisions.append(decide(statistic, Rule(rule.threshold, alpha, rules.window.min_samples)))
    return tuple(sorted(decisions, key=badness, reverse=True))


def badness(decision: Decision) -> tuple[bool, float]:
    """Sorts decisions: drifted ones are above all others, then by how far above the threshold."""
    threshold = decision.rule.threshold
    return decision.drifted, decision.statistic.value / threshold if threshold else decision.statistic.value
