"""A policy's rules, and the verdicts on windows under them: what the operator decides by, and what a report shows.

Features of bad values are judged beside the reference's own, and share the budget with them.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from modelward_drift.counting.counts import Counts
from modelward_drift.errors import SettingError
from modelward_drift.judging.badvalues import PREFIX as QUALITY_PREFIX
from modelward_drift.judging.badvalues import BadValues, Limits, bad_values, worsened
from modelward_drift.judging.budget import Persistence
from modelward_drift.judging.causes import causes, hint
from modelward_drift.judging.judge import Rules, badness, judged
from modelward_drift.judging.verdict import Decision
from modelward_drift.profiles.profile import Profile
from modelward_drift.profiles.reference import OUTPUT_PREFIX, Feature, Reference

ACTIONS: Final = ("Retrain", "Warn", "Hold")

SHOWN: Final = 20
"""Names of features that an error lists."""


@dataclass(frozen=True)
class Actions:
    """What follows where a feature of a kind drifts, one of ACTIONS. Hold: warn, and start no run meanwhile."""

    inputs: str = "Retrain"
    outputs: str = "Retrain"
    data_quality: str = "Hold"

    def on(self, feature: str) -> str:
        """By a feature's name."""
        if feature.startswith(QUALITY_PREFIX):
            return self.data_quality
        return self.outputs if feature.startswith(OUTPUT_PREFIX) else self.inputs


@dataclass(frozen=True)
class Policy:
    """`outputs`: whether outputs are judged; `limits`: of bad values; `actions`: None where there is no DriftPolicy;
    `trains`: whether runs may start; `absent`: features without rows: neither they nor their bad values are judged."""

    rules: Rules = field(default_factory=Rules)
    outputs: bool = True
    limits: Limits = field(default_factory=Limits)
    actions: Actions | None = None
    trains: bool = False
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Judgement:
    """Of one window. `features`, `counts`: of the reference, and then of bad values; `bad`: these, by name;
    `decisions`: on those that are judged, the worst first."""

    features: tuple[Feature, ...]
    counts: tuple[Counts, ...]
    decisions: tuple[Decision, ...]
    bad: tuple[BadValues, ...] = ()

    @property
    def drifted(self) -> tuple[Decision, ...]:
        return tuple(each for each in self.decisions if each.drifted)

    def causes(self, name: str) -> tuple[str, ...]:
        """Why a feature drifted, in words, what moved most first."""
        bad = next((each for each in self.bad if each.feature.name == name), None)
        return (bad.cause,) if bad else causes(*self._of(name))

    def hint(self, name: str) -> str | None:
        """What to do about a number that has left its range as a whole."""
        return None if name.startswith(QUALITY_PREFIX) else hint(*self._of(name))

    def _of(self, name: str) -> tuple[Profile, Counts]:
        pairs = zip(self.features, self.counts, strict=True)
        return next((each.profile, counts) for each, counts in pairs if each.name == name)


def judge(reference: Reference, window: Sequence[Counts], policy: Policy) -> Judgement:
    """`window`: counts in the order of the reference's features. Raises SettingError for a rule that a feature can't
    have or that names none, MismatchError for counts against another reference."""
    ignored = _unjudged(reference, policy)
    bad = bad_values(reference, window, policy.limits, ignored)
    extended = replace(reference, features=(*reference.features, *(each.feature for each in bad))) if bad else reference
    counts = (*window, *(each.counts for each in bad))
    _check_names(extended, policy.rules)
    rules = replace(
        policy.rules,
        overrides={**{each.feature.name: each.rule for each in bad}, **policy.rules.overrides},
        ignored=policy.rules.ignored | ignored,
    )
    better = {each.feature.name for each in bad if not worsened(each.feature, each.counts)}
    decisions = tuple(
        _no_rise(each) if each.statistic.feature in better else each for each in judged(extended, counts, rules)
    )
    return Judgement(extended.features, counts, tuple(sorted(decisions, key=badness, reverse=True)), bad)


def lasting(windows: Iterable[Collection[str]], persistence: Persistence) -> tuple[str, ...]:
    """Features that drifted in as many of the last windows as an alarm needs. `windows`: the drifted features of each,
    the last window first; the others are in its order, and then in that of the earlier ones."""
    recent = [names for _, names in zip(range(persistence.windows), windows, strict=False)]
    times = Counter(name for names in recent for name in set(names))
    return tuple(name for name in dict.fromkeys(name for names in recent for name in names)
                 if times[name] >= persistence.needed)  # fmt: skip


def _unjudged(reference: Reference, policy: Policy) -> frozenset[str]:
    outputs = {each.name for each in reference.features if each.name.startswith(OUTPUT_PREFIX)}
    return policy.absent if policy.outputs else policy.absent | outputs


def _check_names(reference: Reference, rules: Rules) -> None:
    names = {feature.name for feature in reference.features}
    unknown = sorted(rules.overrides.keys() - names)
    if unknown:
        raise SettingError(
            f"spec.features.overrides names {', '.join(unknown)}, which the reference does not have; it has "
            f"{', '.join(sorted(names)[:SHOWN])}"
        )


def _no_rise(decision: Decision) -> Decision:
    """Fewer bad values are no drift, however many fewer: their share has not risen."""
    outcome = decision.outcome if decision.outcome == "TooFewRows" else "BelowThreshold"
    return replace(decision, statistic=replace(decision.statistic, value=0.0), outcome=outcome)
