"""What the benchmark of concept drift counts: delays, false alarms, and settings within a budget."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.quality.concept import (
    BUDGET,
    DAYS,
    QUIET,
    REFERENCE,
    ROWS,
    Delays,
    Losses,
    alarm_of,
    delays,
    runs_of,
    setting_within,
    upper,
)

NEVER = -1


@pytest.mark.parametrize(("false", "total"), [(0, 240), (3, 240), (12, 100), (99, 100)])
def test_the_upper_limit_is_that_of_clopper_and_pearson(false: int, total: int) -> None:
    assert upper(false, total) == pytest.approx(stats.beta.ppf(0.95, false + 1, total - false), abs=1e-9)


def test_what_alarms_before_a_change_is_false_and_what_never_does_is_missed() -> None:
    change = QUIET * ROWS
    found = delays([change + 400, change, change - 1, NEVER, change + 200])
    assert found == Delays((400, 0, None, 200), 1)
    assert found.median == 300
    assert delays([NEVER, NEVER, change + 1]).median is None


def test_a_setting_is_the_most_sensitive_one_within_the_budget() -> None:
    def alarms(share: float) -> list[int]:
        return [5] * round(100 * share) + [NEVER] * (100 - round(100 * share))

    found = [
        {"a": alarms(0.2), "b": alarms(0.06), "c": alarms(0.01)},
        {"a": alarms(0.2), "b": alarms(0.03), "c": alarms(0)},
    ]
    assert BUDGET == 0.05
    assert setting_within(found) == "b"
    with pytest.raises(RuntimeError, match="no setting"):
        setting_within([{"a": alarms(0.2)}])


def test_a_run_changes_on_its_day_in_the_share_of_rows_and_ours_tells_it_from_a_quiet_one() -> None:
    rng = np.random.default_rng(1)
    before = Losses(np.full(500, 0.1) + rng.normal(0, 0.05, 500), np.zeros(500, bool))
    after = Losses(np.full(500, 0.9), np.ones(500, bool))
    change = (REFERENCE + QUIET) * ROWS
    quiet, changed = (runs_of((before, after), share, 2, np.random.default_rng(3)) for share in (0.0, 0.25))
    assert not quiet.mistake.any()
    assert not changed.mistake[:, :change].any()
    assert changed.mistake[:, change:].mean() == pytest.approx(0.25, abs=0.02)
    assert changed.brier.shape == (2, (REFERENCE + DAYS) * ROWS)
    assert alarm_of(quiet.brier[0]) == NEVER
    alarm = alarm_of(changed.brier[0])
    assert QUIET * ROWS < alarm <= (QUIET + 3) * ROWS
    assert alarm % ROWS == 0, "at the end of a day"
