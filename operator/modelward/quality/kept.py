"""What becomes of what is remembered of a target's quality when a Job has ended. Pure."""

from dataclasses import replace

from modelward.api.driftpolicy import Spec
from modelward.quality.job_manifest import About
from modelward.quality.measured import Kept, Measured, PastDay, Problem, Reference, read_message, with_days
from modelward.values.times import show_time

NO_LOG, NO_EVALUATOR, FAILED, NO_OUTCOMES, DELAYED, INVALID_SCHEDULE = (
    "NoPredictionLog", "NoEvaluator", "EvaluationFailed", "NoOutcomes", "EvaluationDelayed", "InvalidSchedule",
)  # fmt: skip


def succeeded(kept: Kept, spec: Spec, name: str, about: About, message: str, at: float) -> Kept:
    """`name`: of the Job; `message`: of its pod; `at`: when it ended."""
    try:
        measured = read_message(message)
    except ValueError as error:
        told = f"The Job {name} ended well, but what it said can't be read: {error}"
        return failed(kept, name, about, f"{told}. Install operator and evaluator of the same version")
    done = replace(kept, done=name, slot=about.cohort.slot, problem=None, job=None)
    if measured.is_silent:
        return replace(done, problem=_silent(spec, about, measured))
    return replace(
        done, cohort=about.cohort, message=message, at=at, measured=measured, first=_first(kept, spec, about, measured),
        history=_history(kept, about, measured),
    )  # fmt: skip


def failed(kept: Kept, name: str, about: About, message: str) -> Kept:
    """What was measured before stays, and is told as what it is: of earlier days."""
    return replace(kept, done=name, slot=about.cohort.slot, problem=Problem(FAILED, message), job=None)


def _silent(spec: Spec, about: About, measured: Measured) -> Problem:
    quality = spec.quality
    assert quality is not None
    table = quality.outcomes.table
    where = quality.outcomes.uri or (f"the table {table.name}" if table else "what clients post")
    cohort = about.cohort
    days = f"from {show_time(cohort.begin)} to {show_time(cohort.end)}"
    matured = measured.counts.get("matured", 0)
    what = f"for any of {matured} predictions {days}" if matured else "at all"
    unread = measured.counts.get("unreadable", 0)
    hint = f"; {unread} outcomes can't be read: check spec.quality.outcomes.columns" if unread else ""
    named = "the answers' x-request-id or the clients' own keys" if quality.predictions is None else "the batch's key"
    return Problem(
        NO_OUTCOMES,
        f"No outcome came {what} ({where}){hint}. Check that outcomes are written there with {named}, and that "
        "spec.quality.labelWindow is as long as they take",
    )


def _history(kept: Kept, about: About, measured: Measured) -> tuple[PastDay, ...]:
    """Values that are made otherwise since are no longer comparable."""
    comparable = kept.cohort is None or kept.cohort.basis == about.cohort.basis
    return with_days(kept.history if comparable else (), measured.days)


def _first(kept: Kept, spec: Spec, about: About, measured: Measured) -> Reference | None:
    """The revision's first cohort that has enough rows; another one where values are made otherwise since."""
    quality, first, basis = spec.quality, kept.first, about.cohort.basis
    assert quality is not None
    known = first if first is not None and (first.revision, first.basis) == (measured.revision, basis) else None
    if known is not None or measured.rows < quality.min_samples:
        return known
    return Reference(measured.revision, basis, about.cohort.end, about.cohort.level, dict(measured.values))
