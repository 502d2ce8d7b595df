"""What the page shows: of each feature the verdicts on all windows. Pure; every number is the kernel's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from modelward_drift.counts import Counts, Quality, quality
from modelward_drift.judging import Rules, judged
from modelward_drift.reference import Feature, Reference
from modelward_drift.verdict import Decision, persists

NULL = -1
"""The last cell of a profile."""


@dataclass(frozen=True)
class Window:
    """`counts`: in the order of the reference's features; `start`, `end`: seconds since the epoch, None where a table
    was compared that has no time."""

    counts: tuple[Counts, ...]
    start: float | None = None
    end: float | None = None

    @property
    def rows(self) -> int:
        return max((each.rows for each in self.counts), default=0)


@dataclass(frozen=True)
class Finding:
    """Of one feature. `decisions`: one a window, in the order of time, none where the feature is not judged; `counts`:
    of the last window; `drifted`: in as many of the last windows as an alarm needs."""

    feature: Feature
    decisions: tuple[Decision, ...]
    counts: Counts
    drifted: bool

    @property
    def last(self) -> Decision | None:
        return self.decisions[-1] if self.decisions else None

    @cached_property
    def quality(self) -> Quality:
        return quality(self.counts)

    @property
    def missing(self) -> tuple[float, float]:
        """Shares of null in the reference and in the last window."""
        reference, rows = self.feature.profile.reference, max(self.counts.rows, 1)
        return float(reference[NULL] / reference.sum()), self.quality.missing / rows


def findings(reference: Reference, windows: Sequence[Window], rules: Rules) -> tuple[Finding, ...]:
    """Of all features, the worst first. `windows`: at least one. Raises SettingError, MismatchError."""
    by_window = [{each.statistic.feature: each for each in judged(reference, every.counts, rules)} for every in windows]
    counts = dict(zip((each.name for each in reference.features), windows[-1].counts, strict=True))
    found = []
    for feature in reference.features:
        decisions = tuple(each[feature.name] for each in by_window if feature.name in each)
        alarm = bool(decisions) and persists(decisions, rules.persistence)
        found.append(Finding(feature, decisions, counts[feature.name], alarm))
    # The last window's decisions come sorted.
    place = {name: position for position, name in enumerate(by_window[-1])}
    return tuple(sorted(found, key=lambda each: (not each.drifted, place.get(each.feature.name, len(place)))))
