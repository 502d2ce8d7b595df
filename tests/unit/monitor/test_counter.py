"""What becomes of rows, whatever they look like."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modelward_drift.counting.counts import quality
from modelward_drift.counting.reading import Intake
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.capture.wire import Batch
from modelward_monitor.counting import held
from modelward_monitor.counting.arrivals import Arrival
from modelward_monitor.counting.counter import MAX_RUNS, Plan, State, begin, take, with_reference

from .worlds import SIGNATURE, batch, reference

PLAN = Plan(SIGNATURE, (), 200)


def after(*batches: Batch, state: State | None = None, plan: Plan = PLAN) -> State:
    return take(state or begin("e", reference()), map(Arrival, batches), plan)


def shown(state: State) -> dict[str, Any]:
    assert state.reference is not None
    return {one.name: quality(other) for one, other in zip(state.reference.features, state.counts, strict=True)}


def changed(rows: int, **tensors: Any) -> Batch:
    """A batch with other inputs; None takes one away."""
    made = batch(1, rows)
    return replace(made, inputs={name: each for name, each in {**made.inputs, **tensors}.items() if each is not None})


def objects(*values: Any) -> Any:
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def test_joined_batches_give_the_same_as_one_after_another() -> None:
    batches = [batch(number, number) for number in range(1, 8)]
    batches[3] = replace(batches[3], outputs={})
    apart = begin("e", reference())
    for each in batches:
        apart = after(each, state=apart)
    together = after(*batches)
    assert together.counts == apart.counts
    assert together.intake == apart.intake == Intake(counted=28)
    assert together.counts[-1].rows == 24


@pytest.mark.parametrize(
    ("inputs", "feature", "issue"),
    [
        ({"x": np.full((6, 2), np.nan)}, "x[0]", "missing"),
        ({"x": np.full((6, 2), -np.inf)}, "x[1]", "non_finite"),
        ({"x": np.full((6, 2), 1e300)}, "x[1]", "out_of_range"),
        ({"x": np.full((6, 2), "text", object)}, "x[0]", "type_errors"),
        ({"x": None}, "x[0]", "missing"),
        ({"x": np.zeros((6, 1))}, "x[1]", "missing"),
        ({"x": np.zeros((6, 0))}, "x[0]", "missing"),
        ({"x": np.zeros((5, 2))}, "x[0]", "type_errors"),
        ({"x": np.float64(1)}, "x[0]", "type_errors"),
        ({"city": objects("new", "newer", "newest", "a" * 99, b"\xff", "")}, "city", "new_categories"),
        ({"city": objects([], {}, (), [1], object(), ["a"])}, "city", "type_errors"),
        ({"city": np.full((6, 2), "bern", object)}, "city", "missing"),
        ({"city": None, "x": None}, "city", "missing"),
    ],
)
def test_bad_values_are_counted_as_what_they_are(inputs: dict[str, Any], feature: str, issue: str) -> None:
    state = after(changed(6, **inputs))
    found = shown(state)[feature]
    assert (getattr(found, issue), found.rows) == (6, 6)
    assert state.intake == Intake(counted=6)


def test_what_the_reference_does_not_know_changes_nothing() -> None:
    more = changed(6, x=np.hstack([batch(1, 6).inputs["x"], np.ones((6, 3))]), y=np.ones(6))
    assert after(more).counts == after(batch(1, 6)).counts


def test_an_output_that_was_not_asked_for_is_not_counted() -> None:
    state = after(replace(batch(1, 6), outputs={}))
    assert [each.rows for each in state.counts] == [6, 6, 6, 0]


def test_a_batch_counts_once_and_its_totals_with_it() -> None:
    first, second = batch(1, 4, dropped=2, sampled_out=10), batch(2, 3, dropped=2, sampled_out=17)
    state = after(first, first, second, first, second)
    assert state.intake == Intake(counted=7, dropped=2, sampled_out=17)
    assert after(first, second, state=state) is state
    other = after(batch(1, 5, "another run", dropped=1), state=state)
    assert other.intake == Intake(counted=12, dropped=3, sampled_out=17)
    assert next(reversed([*other.runs])) == "another run"


def test_a_batch_without_rows_only_tells_what_was_dropped() -> None:
    state = after(Batch("run", 1, 0, {}, {}, dropped=9))
    assert (state.intake, state.sequence) == (Intake(dropped=9), 2)
    learning = after(Batch("run", 1, 0, {}, {}, dropped=9), batch(2, 5), state=begin("e"))
    assert (learning.held.rows, learning.intake.dropped) == (5, 9)


def test_of_many_runs_the_last_ones_are_remembered() -> None:
    state = begin("e", reference())
    for run in range(3 * MAX_RUNS):
        state = after(batch(1, 1, f"run {run}"), state=state)
    assert [*state.runs] == [f"run {run}" for run in range(2 * MAX_RUNS, 3 * MAX_RUNS)]


def test_refused_rows_are_counted_as_such() -> None:
    assert take(begin("e", reference()), [Arrival(batch(1, 4), refused=True)], PLAN).intake == Intake(refused=4)
    for plan in (Plan(problem="unreadable"), Plan(None)):
        assert after(batch(1, 4), state=begin("e"), plan=plan).intake == Intake(refused=4)


def test_kinds_are_learned_as_the_signature_and_the_rows_say() -> None:
    inputs = {
        "flag": (Tensor("flag", "BOOL", (-1,)), np.arange(300) % 2 == 0),
        "whole": (Tensor("whole", "INT64", (-1, 1)), np.arange(300).reshape(-1, 1)),
        "words": (Tensor("words", "BYTES", (-1,)), np.array([f"w{i % 20}" for i in range(300)], object)),
        "prose": (Tensor("prose", "BYTES", (-1,)), np.array([f"text {i}" for i in range(300)], object)),
        "open": (Tensor("open", "FP32", (-1, -1)), np.ones((300, 3), np.float32)),
        "pixels": (Tensor("pixels", "FP32", (-1, 40, 40)), np.ones((300, 40, 40), np.float32)),
    }
    signature = Signature(tuple(each[0] for each in inputs.values()), (Tensor("label", "INT64", (-1,)),))
    values = {name: each[1] for name, each in inputs.items()}
    whole = Batch("run", 1, 300, values, {"label": np.arange(300) % 3})
    state = after(whole, state=begin("e"), plan=Plan(signature, (), 300))
    assert state.reference is not None
    assert {each.name: each.profile.kind for each in state.reference.features} == {
        "flag": "boolean", "whole": "numeric", "words": "categorical", "prose": "text", "open[0]": "numeric",
        "open[1]": "numeric", "open[2]": "numeric", "output:label": "categorical",
    }  # fmt: skip
    assert {each.rows for each in state.counts} == {300}
    assert state.intake == Intake(counted=300)


def test_without_a_bundle_the_first_rows_with_both_sides_are_the_signature() -> None:
    plan = Plan(learn_rows=150, observed=True)
    halves = replace(batch(1, 5), outputs={}), replace(batch(2, 5), inputs={})
    state = after(*halves, *(batch(number, 50) for number in range(3, 6)), state=begin("e"), plan=plan)
    assert state.intake == Intake(counted=150, refused=10)
    assert state.reference is not None
    names = {"x[0]": "numeric", "x[1]": "numeric", "city": "categorical", "output:label": "categorical"}
    assert {each.name: each.profile.kind for each in state.reference.features} == names
    # Nothing is made up where a bundle was to say it, and can't be read.
    assert after(batch(1, 50), state=begin("e"), plan=Plan(learn_rows=10)).intake == Intake(refused=50)


def test_where_rows_are_large_learning_ends_early_and_a_huge_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelward_monitor.counting.counter.MAX_BYTES", 20_000)
    huge = changed(2, city=objects("a" * 30_000, "b"))
    state = after(huge, batch(2, 50), state=begin("e"), plan=Plan(SIGNATURE, (), 10_000))
    assert (state.intake.refused, state.held.rows) == (2, 50)
    state = after(*(batch(number, 60) for number in range(3, 9)), state=state, plan=Plan(SIGNATURE, (), 10_000))
    assert state.reference is not None
    assert held.FEWEST <= state.reference.rows < 410
    assert state.intake == Intake(counted=410, refused=2)
    assert {each.rows for each in state.counts} == {410}


def test_what_was_held_is_found_by_its_place_under_any_name() -> None:
    state = after(batch(1, 40), state=begin("e"))
    features = tuple(
        replace(each, profile=replace(each.profile, name=f"my {each.name}")) for each in reference().features
    )
    given = with_reference(state, replace(reference(), features=features))
    for mine, theirs in zip(given.counts, after(batch(1, 40)).counts, strict=True):
        assert (mine.cells == theirs.cells).all()


def test_a_model_without_anything_to_watch_refuses_its_rows() -> None:
    plan = Plan(Signature((Tensor("pixels", "FP32", (-1, 2000)),), ()), (), 100)
    state = after(Batch("run", 1, 3, {"pixels": np.ones((3, 2000))}, {}), state=begin("e"), plan=plan)
    assert state.intake == Intake(refused=3)


def odd(number: int, rows: int, width: int) -> Batch:
    """As from a server that answers whatever it is asked."""
    x = np.ones((rows, width))
    return Batch("run", number, rows, {"x": x}, {"label": np.zeros(rows, np.int64)})


@pytest.mark.parametrize("rows", [1, 60])
def test_without_a_bundle_a_first_request_of_another_form_is_outvoted(rows: int) -> None:
    """`x` of one value a row has `x` of thirty fit by its name, and nothing of that would be counted."""
    plan = Plan(learn_rows=400, observed=True)
    after_odd = [odd(number, 10, 30) for number in range(2, 80)]
    state = after(odd(1, rows, 1), *after_odd, state=begin("e"), plan=plan)
    assert state.reference is not None
    assert [each.name for each in state.reference.features] == [*(f"x[{at}]" for at in range(30)), "output:label"]
    assert state.intake.counted + state.intake.refused == rows + 780, "each row is in one of both"
    assert rows <= state.intake.refused <= 2 * rows + 10
    assert all(one.rows == state.intake.counted for one in state.counts)


def test_without_a_bundle_one_large_request_does_not_outvote_what_is_known() -> None:
    plan = Plan(learn_rows=5000, observed=True)
    state = after(*(odd(number, 2, 3) for number in range(1, 120)), state=begin("e"), plan=plan)
    state = after(odd(120, 4000, 7), state=state, plan=plan)
    assert {slot.column for slot in state.held.layout.slots if slot.side == "input"} == {0, 1, 2}


def test_without_a_bundle_learning_ends_where_requests_are_of_many_forms() -> None:
    plan = Plan(learn_rows=300, observed=True)
    forms = [
        replace(odd(number, 3, 2), inputs={f"only {number % 3}": np.ones(3), "x": np.ones((3, 2))})
        for number in range(1, 400)
    ]
    state = after(*forms, state=begin("e"), plan=plan)
    assert state.reference is not None
    assert state.intake.counted + state.intake.refused == 3 * 399


def test_without_a_bundle_a_part_of_the_features_is_of_the_same_form() -> None:
    plan = Plan(learn_rows=1000, observed=True)
    parts = [batch(number, 5) for number in range(1, 60)]
    for place in range(1, len(parts)):
        parts[place] = replace(parts[place], inputs={"x": parts[place].inputs["x"]})
    state = after(*parts, state=begin("e"), plan=plan)
    assert (state.held.rows, state.intake.refused, state.held.turns) == (295, 0, 0)


def test_without_a_bundle_answers_with_fractions_are_no_labels() -> None:
    """Whatever the first one was."""
    plan = Plan(learn_rows=100, observed=True)
    whole = odd(1, 3, 2)
    more = [replace(odd(number, 5, 2), outputs={"label": np.arange(5) / 7}) for number in range(2, 40)]
    state = after(whole, *more, state=begin("e"), plan=plan)
    assert state.reference is not None
    (output,) = [each for each in state.reference.features if each.side == "output"]
    assert (output.name, output.profile.kind) == ("output:label", "numeric")
    assert state.intake == Intake(counted=193)


def test_without_a_bundle_nobody_makes_a_million_features() -> None:
    many = {f"t{number}": np.ones((1, 900), np.int8) for number in range(9)}
    state = after(Batch("run", 1, 1, many, {"y": np.ones(1)}), state=begin("e"), plan=Plan(observed=True))
    assert (state.held.layout.slots, state.intake) == ((), Intake(refused=1))
