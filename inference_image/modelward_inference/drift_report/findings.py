"""What the page shows: of each feature the verdicts on all windows. Pure; every number is the kernel's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from modelward_drift.counting.counts import Counts, Quality, quality
from modelward_drift.judging.badvalues import PREFIX, BadValues
from modelward_drift.judging.budget import Persistence
from modelward_drift.judging.policy import Judgement, Policy, judge, lasting
from modelward_drift.judging.verdict import Decision, persists
from modelward_drift.profiles.reference import Feature, Reference

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
class Since:
    """Of a drift that goes on: the first drifted window's `start`, and of the `windows` since then those that
    `drifted`; `earlier`: it is the first window that there is, so it may be older."""

    start: float | None
    windows: int
    drifted: int
    earlier: bool


@dataclass(frozen=True)
class Finding:
    """Of one feature. `decisions`: one a window, in the order of time, none where the feature is not judged; `counts`:
    of the last window; `drifted`: in as many of the last windows as an alarm needs; `action`: of the policy, if there
    is one; `bad`: where it is a feature of bad values; `causes`, `hint`: why, in words, and what
    to do, of what drifted in the last window."""

    feature: Feature
    decisions: tuple[Decision, ...]
    counts: Counts
    drifted: bool
    since: Since | None = None
    action: str | None = None
    bad: BadValues | None = None
    causes: tuple[str, ...] = ()
    hint: str | None = None

    @property
    def last(self) -> Decision | None:
        return self.decisions[-1] if self.decisions else None

    @property
    def is_quality(self) -> bool:
        return self.feature.name.startswith(PREFIX)

    @cached_property
    def quality(self) -> Quality:
        return quality(self.counts)

    @property
    def missing(self) -> tuple[float, float]:
        """Shares of null in the reference and in the last window."""
        reference, rows = self.feature.profile.reference, max(self.counts.rows, 1)
        return float(reference[NULL] / reference.sum()), self.quality.missing / rows


def findings(reference: Reference, windows: Sequence[Window], policy: Policy) -> tuple[Finding, ...]:
    """Of all features, the worst first. `windows`: at least one. Raises SettingError, MismatchError."""
    judgements = [judge(reference, each.counts, policy) for each in windows]
    by_window = [{each.statistic.feature: each for each in every.decisions} for every in judgements]
    alarms = lasting(map(_names, reversed(judgements)), policy.rules.persistence)
    last = judgements[-1]
    bad = {each.feature.name: each for each in last.bad}
    changed = set(_names(last))
    found = []
    for feature, counts in zip(last.features, last.counts, strict=True):
        name = feature.name
        decisions = tuple(each[name] for each in by_window if name in each)
        drifted = name in alarms
        found.append(
            Finding(
                feature,
                decisions,
                counts,
                drifted,
                since=_since(decisions, windows, policy.rules.persistence) if drifted else None,
                action=policy.actions.on(name) if policy.actions else None,
                bad=bad.get(name),
                causes=last.causes(name) if name in changed or drifted else (),
                hint=last.hint(name) if name in changed or drifted else None,
            )
        )
    # The last window's decisions come sorted.
    place = {name: position for position, name in enumerate(by_window[-1])}
    return tuple(sorted(found, key=lambda each: (not each.drifted, place.get(each.feature.name, len(place)))))


def _names(judgement: Judgement) -> tuple[str, ...]:
    return tuple(each.statistic.feature for each in judgement.drifted)


def _since(decisions: Sequence[Decision], windows: Sequence[Window], persistence: Persistence) -> Since:
    """The alarm of the last window, followed back to where it began, and from there to the first window it is for."""
    begin = len(decisions) - 1
    while begin and persists(decisions[:begin], persistence):
        begin -= 1
    earliest = max(0, begin + 1 - persistence.windows)
    first = next(place for place in range(earliest, len(decisions)) if decisions[place].drifted)
    drifted = sum(each.drifted for each in decisions[first:])
    return Since(windows[first].start, len(decisions) - first, drifted, earlier=first == 0)
