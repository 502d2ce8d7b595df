"""Whether requests of a policy's targets have the features of training, as its status shows it: columns, and the
condition FeatureParity. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from modelward.api.conditions import FEATURE_PARITY, Condition
from modelward.api.driftpolicy import DriftPolicy, Schedule
from modelward.quality.evaluation import EVERY
from modelward.quality.parity_found import ColumnParity, ParityKept
from modelward.quality.parity_job import parity_basis
from modelward.retraining.conditions.quality_status import LONGEST, told_of
from modelward.retraining.schedule import ScheduleError, next_due
from modelward.retraining.target import Memory
from modelward.values.durations import period
from modelward.values.times import show_time

SHOWN: Final = 10
"""Columns of a target that are in status."""

NAMED: Final = 3
"""Columns that a sentence names."""

UNEQUAL, EQUAL, WAITING = "Unequal", "Equal", "Waiting"

CHECKS: Final = 2
"""That may fail, one after another, until what was found before them says nothing of today."""


def parity_condition(policy: DriftPolicy, memories: Sequence[Memory], now: float) -> Condition | None:
    """None where nothing is to be compared. False: a column of a target is surely unequal, whatever is unknown of
    others; Unknown: nobody knows, or knows any more. `now`: seconds since the epoch."""
    if policy.spec.parity is None:
        return None
    kept = [(each.name, each.parity or ParityKept()) for each in memories]
    outdated = {name for name, each in kept if is_outdated(policy, each, now)}
    wrong = [(name, _said(each)) for name, each in kept if is_equal(policy, each) is False and name not in outdated]
    if wrong:
        return Condition(FEATURE_PARITY, False, UNEQUAL, told_of(wrong, len(kept)))
    problems = [(name, each.problem) for name, each in kept if each.problem is not None]
    if problems:
        last = {name: each.at for name, each in kept if name in outdated and each.at is not None}
        told = [
            (name, f"The last check that went well was at {show_time(last[name])}. {problem.message}")
            if name in last
            else (name, problem.message)
            for name, problem in problems
        ]
        return Condition(FEATURE_PARITY, None, problems[0][1].reason, told_of(told, len(kept)))
    waiting = [(name, _why(each)) for name, each in kept if is_equal(policy, each) is None]
    if waiting or not kept:
        return Condition(FEATURE_PARITY, None, WAITING, told_of(waiting, len(kept)) or "There is nothing to compare")
    return Condition(FEATURE_PARITY, True, EQUAL, told_of([(name, _said(each)) for name, each in kept], len(kept)))


def is_equal(policy: DriftPolicy, kept: ParityKept) -> bool | None:
    """None: it is not known, or was found by what spec asked for before."""
    if kept.found is None or kept.basis != parity_basis(policy.spec):
        return None
    return not kept.found.unequal


def is_outdated(policy: DriftPolicy, kept: ParityKept, now: float) -> bool:
    """Whether checks have failed for so long that what was found before is no longer told as what is. `now`: seconds
    since the epoch."""
    parity = policy.spec.parity
    if parity is None or kept.problem is None or kept.at is None:
        return False
    if parity.schedule is None:
        return now >= kept.at + CHECKS * period(parity.every or EVERY)
    schedule, due = Schedule(parity.schedule.cron, parity.schedule.time_zone), kept.at
    try:
        for _ in range(CHECKS):
            due = next_due(schedule, due)
    except ScheduleError:
        return True  # nothing will ever be found again
    return now >= due


def of_this_spec(policy: DriftPolicy, kept: ParityKept | None) -> ParityKept | None:
    """For metrics: nothing of what an earlier spec.parity asked for."""
    if policy.spec.parity is None or kept is None or is_equal(policy, kept) is None:
        return None
    return kept


def shown_parity(policy: DriftPolicy, kept: ParityKept | None) -> dict[str, Any] | None:
    """Of a target, in status."""
    if policy.spec.parity is None or kept is None:
        return None
    shown: dict[str, Any] = {
        "job": kept.job,
        "reason": kept.problem.reason if kept.problem else None,
        "problem": kept.problem.message[:LONGEST] if kept.problem else None,
    }
    found = kept.found
    if found is not None and is_equal(policy, kept) is not None:
        counts = found.counts
        shown |= {
            "revision": found.revision,
            "begin": None if kept.begin is None else show_time(kept.begin),
            "end": None if kept.end is None else show_time(kept.end),
            "checkedAt": None if kept.at is None else show_time(kept.at),
            "rows": found.rows,
            "withoutFeatures": counts.get("withoutFeatures") or None,
            "withoutKey": counts.get("withoutKey") or None,
            "contradicting": counts.get("contradictingFeatures") or None,
            "unreadable": counts.get("unreadableFeatures") or None,
            "checked": found.checked,
            "unequal": found.unequal,
            "columns": [_column(kept, each) for each in found.columns[:SHOWN]],
            "examples": [
                {
                    "column": each.column, "requestId": each.request_id, "row": each.row, "logged": each.logged,
                    "feature": each.feature,
                }
                for each in found.examples[: policy.spec.parity.examples * NAMED]
            ],
        }  # fmt: skip
    return {name: value for name, value in shown.items() if value not in (None, "", [])} or None


def _column(kept: ParityKept, each: ColumnParity) -> dict[str, Any]:
    shown = {
        "name": each.column,
        "feature": each.feature,
        "unequal": each.unequal,
        "rows": each.rows,
        "share": f"{each.share:.4g}",
        "low": f"{each.low:.4g}",
        "high": f"{each.high:.4g}",
        "loggedMissing": each.logged_missing or None,
        "featureMissing": each.feature_missing or None,
        "breached": each.is_wrong or None,
        "since": kept.since.get(each.column) if each.is_wrong else None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _said(kept: ParityKept) -> str:
    found = kept.found
    assert found is not None
    until = "" if kept.end is None else f" until {show_time(kept.end)}"
    if not found.unequal:
        return f"No column of {found.checked} is surely unequal to training's, by {found.rows} rows{until}"
    columns = "; ".join(
        f"{each.column} is unequal to {each.feature} in {each.share:.1%} ({each.low:.1%} to {each.high:.1%}) of "
        f"{each.rows} rows{f' since {day}' if (day := kept.since.get(each.column)) else ''}"
        for each in found.wrong[:NAMED]
    )
    more = f"; and {found.unequal - NAMED} more columns" if found.unequal > NAMED else ""
    return f"{columns}{more}{until}"


def _why(kept: ParityKept) -> str:
    """Why nothing is known yet, though nothing is wrong."""
    return f"The Job {kept.job} compares" if kept.job is not None else "It is compared soon"
