"""Pods come, count, begin anew and go; the operator reads them now and then, and may forget everything."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modelward.monitoring import pooling, windows
from modelward.monitoring.pooling import Pool, heard
from modelward.monitoring.windows import WindowSettings
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import Counts
from modelward_drift.counting.reading import Intake, Reading
from modelward_drift.profiles.reference import Feature, Reference

REFERENCE = Reference(
    (
        Feature("input", "amount", None, profile_of("amount", "numeric", np.arange(1000.0))),
        Feature("output", "label", None, profile_of("output:label", "categorical", ["a", "b"] * 500)),
    )
)


def counted(rows: int, start: float = 0.0) -> tuple[Counts, ...]:
    values = np.linspace(start, start + 500, rows)
    return count(REFERENCE.features[0].profile, values), count(REFERENCE.features[1].profile, ["a"] * rows)


def reading(pod: str, rows: int, epoch: str = "e", *, final: bool = False) -> Reading:
    return Reading(pod, epoch, rows, REFERENCE.digest, counted(rows), Intake(counted=rows), final)


def rows_of(pool: Pool) -> int:
    return pool.total[0].rows


def stored(pool: Pool) -> Pool:
    """As another operator finds it."""
    found = pooling.load(json.loads(json.dumps(pooling.dump(pool))), REFERENCE)
    assert found is not None
    return found


def test_pods_add_up_however_often_they_are_read() -> None:
    pool = pooling.opened(REFERENCE)
    for _ in range(3):
        pool = heard(pool, [reading("a", 100), reading("b", 50)], frozenset("ab"))
    assert rows_of(pool) == 150
    assert pool.intake.counted == 150
    assert pool.total == pooling.add(counted(100), counted(50))


def test_a_pod_that_goes_stays_counted() -> None:
    pool = heard(pooling.opened(REFERENCE), [reading("a", 100), reading("b", 50)], frozenset("ab"))
    pool = heard(pool, [reading("b", 60, final=True)], frozenset("b"))
    assert (rows_of(pool), pool.abrupt) == (160, 1)
    pool = heard(pool, [], frozenset())
    assert (rows_of(pool), pool.abrupt, pool.last) == (160, 1, {})


def test_a_pod_that_begins_anew_is_counted_with_what_it_had() -> None:
    pool = heard(pooling.opened(REFERENCE), [reading("a", 100, "e1")], frozenset("a"))
    pool = heard(pool, [reading("a", 7, "e2")], frozenset("a"))
    assert rows_of(pool) == 107


def test_an_answer_that_was_overtaken_is_left_out() -> None:
    pool = heard(pooling.opened(REFERENCE), [reading("a", 100)], frozenset("a"))
    assert rows_of(heard(pool, [reading("a", 40)], frozenset("a"))) == 100


def test_another_operator_goes_on_once_it_has_read_every_pod() -> None:
    pool = heard(pooling.opened(REFERENCE), [reading("a", 100), reading("b", 50), reading("c", 5)], frozenset("abc"))
    pool = stored(heard(pool, [], frozenset("ab")))  # c went: its counts are in the sum
    assert not pool.whole
    pool = heard(pool, [reading("a", 110)], frozenset("ab"))
    assert not pool.whole
    pool = heard(pool, [reading("b", 50)], frozenset("ab"))
    assert (pool.whole, rows_of(pool), pool.generation) == (True, 165, 1)


@pytest.mark.parametrize(("readings", "alive"), [([], ""), ([reading("a", 3, "e2")], "a")])
def test_what_vanished_while_nobody_looked_is_told(readings: list[Reading], alive: str) -> None:
    before = heard(pooling.opened(REFERENCE), [reading("a", 100)], frozenset("a"))
    pool = heard(stored(before), readings, frozenset(alive))
    assert (pool.whole, pool.generation) == (True, 2)
    assert pool.loss is not None
    assert "100 rows" in pool.loss


@pytest.mark.parametrize("damage", [{"digest": "sha256:0"}, {"departed": []}, {"pods": {"a": {}}}, {"generation": "x"}])
def test_what_is_damaged_is_not_taken_up(damage: dict[str, object]) -> None:
    assert pooling.load(pooling.dump(pooling.opened(REFERENCE)) | damage, REFERENCE) is None


SETTINGS = WindowSettings(duration=60.0, min_samples=100)


def test_a_window_ends_when_it_is_old_enough_and_has_enough_rows() -> None:
    pool = heard(pooling.opened(REFERENCE), [reading("a", 1000)], frozenset("a"))
    book = windows.opened(pool, 0.0)
    pool = heard(pool, [reading("a", 1099)], frozenset("a"))
    book = windows.advanced(book, pool, SETTINGS, "r", 61.0)
    assert book.closed is None  # 99 rows
    pool = heard(pool, [reading("a", 1100)], frozenset("a"))
    assert windows.advanced(book, pool, SETTINGS, "r", 59.0).closed is None
    book = windows.advanced(book, pool, SETTINGS, "r", 62.0)
    assert book.closed is not None
    assert (book.closed.rows, book.closed.start, book.closed.end, book.start) == (100, 0.0, 62.0, 62.0)
    assert book.closed.counts == pooling.less(counted(1100), counted(1000))
    assert windows.load(json.loads(json.dumps(windows.dump(book))), REFERENCE) == book


def test_a_window_tells_what_is_missing() -> None:
    pool = heard(pooling.opened(REFERENCE), [reading("a", 1)], frozenset("a"))
    book = windows.opened(pool, 0.0)
    dropping = replace(reading("b", 200), intake=Intake(200, 0, 30, 2, 0))
    pool = heard(pool, [dropping], frozenset("b"))
    closed = windows.advanced(book, pool, SETTINGS, "r", 60.0).closed
    assert closed is not None
    assert closed.missing == (
        "Not in it: 30 rows that servers had no room for, 2 rows that could not be read, "
        "1 pod(s) to the end, which came before they were read"
    )


def test_a_clock_that_is_set_back_keeps_the_rows() -> None:
    pool = pooling.opened(REFERENCE)
    book = windows.opened(pool, 1000.0)
    pool = heard(pool, [reading("a", 150)], frozenset("a"))
    book = windows.advanced(book, pool, SETTINGS, "r", 10.0)
    assert (book.start, book.closed) == (10.0, None)
    closed = windows.advanced(book, pool, SETTINGS, "r", 70.0).closed
    assert closed is not None
    assert closed.rows == 150


def test_a_counter_that_fell_ends_the_window_without_numbers() -> None:
    pool = heard(pooling.opened(REFERENCE), [reading("a", 100)], frozenset("a"))
    book = windows.opened(pool, 0.0)
    pool = heard(stored(pool), [], frozenset())
    book = windows.advanced(book, pool, SETTINGS, "r", 100.0)
    assert (book.start, book.closed, book.generation) == (100.0, None, 2)
    assert book.missing == pool.loss


def test_what_a_later_operator_adds_is_left_out() -> None:
    """So that an upgrade can be taken back, with the windows as they are."""

    def later(value: Any) -> Any:
        if isinstance(value, dict):
            return {**{name: later(each) for name, each in value.items()}, "addedLater": 1}
        return [later(each) for each in value] if isinstance(value, list) else value

    pool = pooling.opened(REFERENCE)
    stored = {**later(pooling.dump(pool)), "pods": {}}
    assert pooling.load(stored, REFERENCE) == pool
    book = windows.opened(pool, 0.0)
    assert windows.load(later(windows.dump(book)), REFERENCE) == book
