"""Concept drift, as outcomes show it: a signal for all rows, and one for each part whose loss may have risen.

Invariant: a signal is breached only where the evidence reaches what the policy's alarm budget needs, however often it
is looked at (modelward_quality/shift.py). The signal's value is the rise of the mean loss.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from modelward.api.driftpolicy import Spec
from modelward.drift.quality_signals import SOURCE
from modelward.drift.signal import Kind, Sight, Signal
from modelward.quality.measured import Kept, Shift
from modelward.quality.rules import CONCEPT
from modelward.values.times import show_time

WHOLE: Final = "loss"
"""The name of the signal of all rows."""


def _signals(spec: Spec, sight: Sight) -> Iterator[Signal]:
    if spec.quality is None or spec.quality.concept is None:
        return
    kept = sight.sources.get(SOURCE) or Kept()
    if kept.problem is not None:
        # What was found before it could not be found any more is the latest that is known.
        for last in sight.last or (Signal(CONCEPT, WHOLE),):
            yield replace(last, missing=kept.problem.message)
        return
    now = kept.of_now(sight.revision, spec)
    shifts = now[0].shifts if now is not None else ()
    if not any(not each.segment for each in shifts):
        yield Signal(CONCEPT, WHOLE, message=_TOO_FEW.format(spec.quality.concept.reference_days))
    for each in shifts:
        yield _signal(each, spec.quality.concept.margin)


_TOO_FEW = "the loss is watched once there are outcomes of more than {} days"


def _signal(shift: Shift, margin: str) -> Signal:
    where = f" where {shift.segment} is {shift.part}" if shift.segment else ""
    if not shift.alarm:
        message = f"no rise of the loss{where} is sure: {shift.evidence:.2g} of the evidence that an alarm needs"
        return Signal(CONCEPT, _name_of(shift), f"{shift.rise.value:.4g}", margin, message=message)
    message = (
        f"the loss{where} has risen by {shift.rise.value:.4g} ({shift.rise.low:.4g} to {shift.rise.high:.4g}) since "
        f"{show_time(shift.since)[:10]}, from {shift.before:.4g}; {shift.rise.rows} rows"
    )
    return Signal(CONCEPT, _name_of(shift), f"{shift.rise.value:.4g}", margin, True, shift.since, message)


def _name_of(shift: Shift) -> str:
    return f"{WHOLE}:{shift.segment}={shift.part}" if shift.segment else WHOLE


KIND: Final = Kind(CONCEPT, lambda spec, _: spec.actions.quality, _signals)
