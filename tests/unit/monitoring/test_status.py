"""What the condition Monitored says: what the budget hangs on, why the worst feature drifted, and what to do."""

from dataclasses import replace

import numpy as np
import pytest

from modelward.monitoring.status import Monitored, PodMonitor, condition
from modelward.monitoring.windows import Window
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.judging.judge import Rules, judged
from modelward_drift.profiles.inflation import Inflation
from modelward_drift.profiles.reference import Feature, Reference

IDS = profile_of("id", "numeric", np.arange(100_000.0, 103_000.0))
REFERENCE = Reference((Feature("input", "id", None, IDS),))


def said(reference: Reference, values: object) -> str:
    counts = (count(reference.profiles[0], values),)  # type: ignore[arg-type]
    window = Window("r", reference.digest, 0.0, 3600.0, counts)
    pods = (PodMonitor("one", reference.digest),)
    decisions = judged(reference, counts, Rules())
    return condition(Monitored("r", 10, reference, pods, window, decisions)).message


def test_running_numbers_are_told() -> None:
    message = said(REFERENCE, np.arange(103_000.0, 104_000.0))
    assert "1 of 1 features drifted" in message
    assert "not by chance: 100 % are out of range, which was 100000 to 102999" in message
    assert "if it is a running number or a time, which only grows, put it into spec.features.ignore" in message


def test_the_cause_is_told() -> None:
    values = [None if place % 3 == 0 else 100_000.0 + 3 * place for place in range(1000)]
    message = said(REFERENCE, values)
    assert ": 33 % are missing, before 0 %" in message
    assert "ignore" not in message


@pytest.mark.parametrize(("source", "reason"), [("training", "Counting"), ("learned", "LearnedReference")])
def test_rows_are_taken_as_independent_until_a_calibration_has_shown_otherwise(source: str, reason: str) -> None:
    known = replace(REFERENCE, source=source)
    values = np.linspace(100_000, 102_999, 1000)
    assert "rows are taken as independent (docs/which-window.md)" in said(known, values)
    profile = replace(IDS, inflation=Inflation(3.0, 2.0, 500, 40))
    measured = replace(known, features=(Feature("input", "id", None, profile),))
    assert "independent" not in said(measured, values)
    pods = (PodMonitor("one", known.digest),)
    assert condition(Monitored("r", 10, known, pods)).reason == reason
