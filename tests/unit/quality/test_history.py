"""The days of a model's quality that an operator remembers: whole ones, each once, and never more than its bound."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.quality.job_manifest import About
from modelward.quality.kept import succeeded
from modelward.quality.measured import (
    DAY,
    HISTORY,
    METRICS,
    Kept,
    PastDay,
    StoredKept,
    Value,
    cohort_of,
    read_message,
    show_kept,
    with_days,
)
from modelward.values.stored import known
from modelward_evaluate.report import pack

FIRST = date(2026, 1, 1)
SLOT = 20_500 * DAY


def past(number: int, value: float = 0.9, rows: int = 100, revision: str = "r1", metric: str = "accuracy") -> PastDay:
    day = (FIRST + timedelta(days=number)).isoformat()
    return PastDay(day, revision, metric, Value(value, value - 0.1, value + 0.1, rows))


def message(days: Sequence[PastDay], revision: str = "r1", **others: Any) -> str:
    drawn = [[each.day, each.metric, *vars(each.value).values()] for each in days]
    counts = {"matured": 900, "withOutcome": 900}
    return pack({"v": 1, "revision": revision, "rows": 900, "counts": counts, "pictures": {"days": drawn}, **others})


def policy(label: str = "output.label") -> DriftPolicy:
    quality = {"task": {"kind": "Classes", "label": label, "positive": "1"}, "labelWindow": "3d"}
    spec = {"target": {"name": "fraud"}, "quality": quality}
    return parse({"metadata": {"namespace": "ml", "name": "p", "uid": "u", "generation": 1}, "spec": spec})


def after(kept: Kept, text: str, given: DriftPolicy | None = None) -> Kept:
    spec = (given or policy()).spec
    return succeeded(kept, spec, "j", About(target="t", revision="r1", cohort=cohort_of(spec, SLOT, 0.99)), text, SLOT)


def test_of_a_day_that_a_cohort_cuts_what_was_said_of_more_rows_stays() -> None:
    whole, cut, later = past(1, 0.9, 100), past(1, 0.5, 12), past(2, 0.8, 100)
    assert with_days((whole,), (cut, later)) == (whole, later)
    assert with_days((cut,), (whole, later)) == (whole, later)
    newer = past(1, 0.7, 100)
    assert with_days((whole,), (newer,)) == (newer,), "outcomes that came later, where there is no label window"


def test_a_day_of_two_revisions_has_both() -> None:
    assert with_days((past(1),), (past(1, 0.8, revision="r2"),)) == (past(1), past(1, 0.8, revision="r2"))


def test_it_is_bounded_by_days_and_metrics_and_follows_what_is_asked_for_now() -> None:
    history: tuple[PastDay, ...] = ()
    for number in range(2 * HISTORY):
        history = with_days(history, [past(number), past(number, metric="f1")])
    assert len(history) == METRICS * HISTORY
    assert history[0].day == past(HISTORY).day
    history = with_days(history, [past(300, metric="rocAuc"), past(300, metric="recall")])
    assert {each.metric for each in history} == {"rocAuc", "recall"}


def test_evaluations_add_up_and_come_back_as_they_were_stored() -> None:
    kept = after(Kept(), message([past(1), past(2)]))
    kept = after(kept, message([past(2), past(3)]))
    assert [each.day for each in kept.history] == ["2026-01-02", "2026-01-03", "2026-01-04"]
    assert known(StoredKept, show_kept(kept)).value() == kept
    silent = after(kept, pack({"v": 1, "revision": "r1", "rows": 0, "nothing": "outcomes"}))
    assert silent.history == kept.history


def test_values_that_are_made_otherwise_since_begin_anew() -> None:
    kept = after(Kept(), message([past(1)]))
    assert [each.day for each in after(kept, message([past(2)]), policy("output.other")).history] == ["2026-01-03"]


def test_a_message_that_can_t_be_read_costs_no_days() -> None:
    kept = after(Kept(), message([past(1)]))
    stored = show_kept(kept) | {"message": "modelward-quality:nothing"}
    assert known(StoredKept, stored).value().history == kept.history


@pytest.mark.parametrize("day", ["yesterday", "2026-01-01\n", "<b>"])
def test_days_that_are_none_are_refused(day: str) -> None:
    with pytest.raises(ValueError, match="matching regex"):
        read_message(message([replace(past(1), day=day)]))


@pytest.mark.parametrize("day", ["2026-02-30", "9999-99-99", "٢٠٢٦-01-01"])
def test_days_that_no_calendar_has_are_refused(day: str) -> None:
    """A report could not show them, and the last one would be remembered for ever."""
    with pytest.raises(ValueError, match=r"isoformat|out of range|must be in"):
        read_message(message([replace(past(1), day=day)]))


def test_an_evaluator_of_before_tells_no_days() -> None:
    assert read_message(pack({"v": 1, "revision": "r1", "rows": 1})).days == ()
