"""Verdicts on a window: which features drifted, under which rules, within which budget. The kernel judges. Pure."""

from modelward.monitoring.windows import Window
from modelward_drift.judging import judge as judging
from modelward_drift.judging.judge import THIRTY_DAYS, UNORDERED, FeatureRule, Rules
from modelward_drift.judging.verdict import Decision
from modelward_drift.profiles.reference import Reference

__all__ = ["THIRTY_DAYS", "UNORDERED", "FeatureRule", "Rules", "judged"]


def judged(reference: Reference, window: Window, rules: Rules) -> tuple[Decision, ...]:
    """A decision for each feature that is judged, the worst first: drifted ones, then by how far above their threshold.

    Raises SettingError for a rule that a feature can't have, MismatchError for a window of another reference.
    """
    return judging.judged(reference, window.counts, rules)
