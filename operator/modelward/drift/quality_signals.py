"""What outcomes say of a model, held against the rules of spec.quality: a signal for each rule.

Invariant: a value breaches its bound only where the bound of its interval does, of as many rows as spec asks for. The
interval is so wide that chance alone passes it as seldom as the policy's alarm budget allows (quality/rules.py).
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import sqrt
from statistics import NormalDist
from typing import Final

from modelward.api.driftpolicy import Spec
from modelward.api.quality import DAYS, LOWER_IS_BETTER
from modelward.drift.signal import Kind, Sight, Signal
from modelward.quality.measured import Gap, Kept, Measured, Reference, Value
from modelward.quality.rules import (
    BUSINESS,
    DEGRADATION,
    DIFFERENCE,
    FAIRNESS,
    MAX,
    MIN,
    QUALITY,
    RATIO,
    Rule,
    rules_of,
)
from modelward.values.times import show_time

SOURCE: Final = "quality"
"""What is known of the target's quality (Kept), among the sources of a sight."""


def _signals(kind: str, spec: Spec, sight: Sight) -> Iterator[Signal]:
    if spec.quality is None:
        return
    kept = sight.sources.get(SOURCE) or Kept()
    for rule in rules_of(spec.quality):
        if rule.kind == kind:
            last = next((each for each in sight.last if each.name == rule.name), None)
            yield _signal(rule, spec, sight, kept, last)


def _signal(rule: Rule, spec: Spec, sight: Sight, kept: Kept, last: Signal | None) -> Signal:
    blank = Signal(rule.kind, rule.name, bound=f"{rule.bound:g}")
    if kept.problem is not None:
        # What was found before it could not be found any more is the latest that is known.
        return replace(last or blank, missing=kept.problem.message)
    now = kept.of_now(sight.revision, spec)
    if now is None:
        return replace(blank, message=f"{rule.metric}: no outcomes of {sight.revision} are known yet")
    measured, cohort = now
    found = _value_of(rule, measured)
    needed = spec.quality.min_samples if spec.quality is not None else 0
    if found is None:
        return replace(blank, message=f"{rule.metric} is not defined by the rows that there are")
    if rule.kind != FAIRNESS and found.rows < needed:
        few = f"{rule.metric}: {found.rows} rows with an outcome are too few, {needed} are needed"
        return replace(blank, value=_shown(found), message=few)
    against = _against(rule, spec, kept)
    if rule.what == DEGRADATION and against is None:
        return replace(blank, value=_shown(found), message=f"{rule.metric}: there is nothing to compare it with yet")
    breached = is_breached(rule, found, against)
    since = None
    if breached:
        since = last.since if last is not None and last.breached and last.since is not None else kept.at
    days = f"of {found.rows} rows until {show_time(cohort.end)}"
    return replace(
        blank, value=_shown(found), breached=breached, since=since,
        message=f"{rule.metric} is {_interval(found)} {days}{_said(rule, breached, against, measured)}",
    )  # fmt: skip


def _value_of(rule: Rule, measured: Measured) -> Value | None:
    if rule.kind == FAIRNESS:
        gap = _gap(rule, measured)
        return None if gap is None else gap.value
    return measured.values.get(rule.metric)


def _gap(rule: Rule, measured: Measured) -> Gap | None:
    return next((each for each in measured.gaps if (each.name, each.what) == (rule.metric, rule.what)), None)


def _against(rule: Rule, spec: Spec, kept: Kept) -> Value | None:
    """What a fall is measured against, with an interval of the cohort's level; None: there is nothing yet."""
    if rule.what != DEGRADATION or spec.quality is None or kept.measured is None or kept.cohort is None:
        return None
    if spec.quality.compare.against == DAYS:
        found = kept.measured.before.get(rule.metric)
        return found if found is not None and found.rows >= spec.quality.min_samples else None
    first = kept.first
    if first is None or (first.revision, first.basis) != (kept.measured.revision, kept.cohort.basis):
        return None
    return at_level(first, rule.metric, kept.cohort.level)


def at_level(first: Reference, metric: str, level: float) -> Value | None:
    """The reference's value, its interval widened or narrowed where the budget has changed since: by the ratio of the
    normal quantiles."""
    found = first.values.get(metric)
    if found is None or found.low is None or found.high is None or first.level == level:
        return found
    scale = _quantile(level) / _quantile(first.level)
    low, high = found.value - (found.value - found.low) * scale, found.value + (found.high - found.value) * scale
    return replace(found, low=low, high=high)


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)


def is_breached(rule: Rule, found: Value, against: Value | None = None) -> bool:
    """Whether all that the interval allows for is beyond the bound. Without an interval nothing is certain."""
    if found.low is None or found.high is None:
        return False
    if rule.what in (MIN, RATIO):
        return found.high < rule.bound
    if rule.what in (MAX, DIFFERENCE):
        return found.low > rule.bound
    if against is None or against.low is None or against.high is None:
        return False
    # The lower end of the interval of the fall: by the limits of both (Zou and Donner 2008, MOVER).
    if rule.metric in LOWER_IS_BETTER:
        fall = found.value - against.value
        off = sqrt((found.value - found.low) ** 2 + (against.high - against.value) ** 2)
    else:
        fall = against.value - found.value
        off = sqrt((against.value - against.low) ** 2 + (found.high - found.value) ** 2)
    return fall - off > rule.bound


def _said(rule: Rule, breached: bool, against: Value | None, measured: Measured) -> str:
    if rule.what == DEGRADATION and against is not None:
        more = "more" if breached else "not surely more"
        return f", and was {against.value:.4g}: {more} than {rule.bound:g} worse"
    least = rule.what in (MIN, RATIO)
    words = ("below", "at least") if least else ("above", "at most")
    told = f", {words[0]} {rule.bound:g}" if breached else f"; it has to be {words[1]} {rule.bound:g}"
    gap = _gap(rule, measured) if rule.kind == FAIRNESS else None
    if gap is None:
        return told
    left_out = f"; {gap.left_out} groups are too small" if gap.left_out else ""
    return f" ({rule.what} of {gap.highest} and {gap.lowest}){told}{left_out}"


def _interval(found: Value) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:.4g}"
    return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"


def _shown(found: Value) -> str:
    return f"{found.value:.4g}"


QUALITY_KIND: Final = Kind(QUALITY, lambda spec, _: spec.actions.quality, partial(_signals, QUALITY))
FAIRNESS_KIND: Final = Kind(FAIRNESS, lambda spec, _: spec.actions.fairness, partial(_signals, FAIRNESS))
BUSINESS_KIND: Final = Kind(BUSINESS, lambda spec, _: spec.actions.business, partial(_signals, BUSINESS))
