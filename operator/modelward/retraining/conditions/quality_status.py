"""What outcomes say of a policy's targets, as its status shows it: numbers, and the condition Measured. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from modelward.api.conditions import MEASURED, Condition
from modelward.api.driftpolicy import DriftPolicy
from modelward.api.quality import DAYS, Quality
from modelward.quality.measured import Kept, Value
from modelward.quality.rules import metrics_of
from modelward.retraining.target import Memory
from modelward.values.times import show_time

SHOWN: Final = 12
"""Metrics of a target whose numbers are in status."""

NAMED: Final = 3
"""Targets that the condition names."""

LONGEST: Final = 400
"""Characters of a problem."""


def measured_condition(policy: DriftPolicy, memories: Sequence[Memory]) -> Condition | None:
    """None where nothing is to be measured."""
    quality = policy.spec.quality
    if quality is None:
        return None
    kept = [(each.name, each.quality or Kept()) for each in memories]
    problems = [(name, each.problem) for name, each in kept if each.problem is not None]
    if problems:
        told = [(name, problem.message) for name, problem in problems]
        return Condition(MEASURED, False, problems[0][1].reason, told_of(told, len(kept)))
    waiting = [(name, _why(each)) for name, each in kept if not _value(quality, each)]
    if waiting or not kept:
        return Condition(MEASURED, None, "Waiting", told_of(waiting, len(kept)) or "There is nothing to measure")
    return Condition(
        MEASURED, True, MEASURED, told_of([(name, _found(quality, each)) for name, each in kept], len(kept))
    )


def shown_quality(policy: DriftPolicy, kept: Kept | None) -> dict[str, Any] | None:
    """Of a target, in status."""
    quality = policy.spec.quality
    if quality is None or kept is None:
        return None
    shown: dict[str, Any] = {
        "job": kept.job,
        "reason": kept.problem.reason if kept.problem else None,
        "problem": kept.problem.message[:LONGEST] if kept.problem else None,
    }
    measured, cohort = kept.measured, kept.cohort
    if measured is not None and cohort is not None:
        names = [name for name in metrics_of(quality) if name in measured.values]
        first = next(iter(names), None)
        if first is not None:
            shown |= {"metric": first, **_numbers(measured.values[first])}
        coverage = measured.coverage
        shown |= {
            "rows": measured.rows,
            "coverage": None if coverage is None else f"{coverage:.1%}",
            "late": measured.counts.get("late") or None,
            "begin": show_time(cohort.begin),
            "end": show_time(cohort.end),
            "revision": measured.revision,
            "since": show_time(kept.first.end) if kept.first is not None else None,
            "evaluatedAt": None if kept.at is None else show_time(kept.at),
            "metrics": [_metric(quality, kept, name) for name in names[:SHOWN]],
        }
    return {name: value for name, value in shown.items() if value not in (None, "", [])} or None


def quality_summary(policy: DriftPolicy, memory: Memory) -> str | None:
    """The first metric and its value, for `kubectl get`."""
    quality, kept = policy.spec.quality, memory.quality
    if quality is None or kept is None or kept.measured is None:
        return None
    name = metrics_of(quality)[0]
    found = kept.measured.values.get(name)
    return None if found is None else f"{name} {found.value:.4g}"


def _metric(quality: Quality, kept: Kept, name: str) -> dict[str, Any]:
    assert kept.measured is not None
    found = kept.measured.values[name]
    earlier = kept.measured.before if quality.compare.against == DAYS else kept.first.values if kept.first else {}
    reference = earlier.get(name)
    shown = {"name": name, **_numbers(found), "rows": found.rows}
    return shown | ({"reference": f"{reference.value:.4g}"} if reference is not None else {})


def _numbers(found: Value) -> dict[str, str]:
    shown = {"value": found.value, "low": found.low, "high": found.high}
    return {name: f"{value:.4g}" for name, value in shown.items() if value is not None}


def _value(quality: Quality, kept: Kept) -> bool:
    """Whether there is any value of the metrics that matter."""
    return kept.measured is not None and any(name in kept.measured.values for name in metrics_of(quality))


def _why(kept: Kept) -> str:
    """Why there is no value yet, though nothing is wrong."""
    if kept.job is not None and kept.done is None:
        return f"The Job {kept.job} evaluates"
    measured, cohort = kept.measured, kept.cohort
    if measured is None or cohort is None:
        return "It is evaluated soon"
    days = f"from {show_time(cohort.begin)} to {show_time(cohort.end)}"
    if measured.rows == 0:
        return (
            f"No prediction of {measured.revision} {days} has a known outcome: they count when spec.quality.labelWindow"
            " is over"
        )
    return f"What is asked for is not defined by the {measured.rows} rows {days}"


def _found(quality: Quality, kept: Kept) -> str:
    assert kept.measured is not None
    assert kept.cohort is not None
    name = next(name for name in metrics_of(quality) if name in kept.measured.values)
    found = kept.measured.values[name]
    interval = "" if found.low is None or found.high is None else f" ({found.low:.4g} to {found.high:.4g})"
    return f"{name} is {found.value:.4g}{interval} of {found.rows} rows until {show_time(kept.cohort.end)}"


def told_of(sentences: Sequence[tuple[str, str]], targets: int) -> str:
    """Of targets by name, as one sentence; of one alone, its name need not be said."""
    if targets == 1:
        return "; ".join(sentence[:LONGEST] for _, sentence in sentences)
    more = f"; and {len(sentences) - NAMED} more" if len(sentences) > NAMED else ""
    return "; ".join(f"{name}: {sentence[:LONGEST]}" for name, sentence in sentences[:NAMED]) + more
