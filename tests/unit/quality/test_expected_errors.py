"""Errors without outcomes: near NannyML's, near the truth where only the inputs change, and absent without a base."""

from typing import Any

import numpy as np
import pytest

from modelward_quality.expected_errors import CELLS, Known, Waiting, estimates
from modelward_quality.moments import moments

Rows = tuple[Any, Any]

NANNYML = {"mae": 0.712184, "rmse": 0.919915}
"""By NannyML 0.13.1 (DLE, one chunk; LightGBM on two features and the number foretold) for `both()`."""


def rows(random: np.random.Generator, number: int, mean: float) -> Rows:
    """What was foretold, and outcomes that it is the worse for the further it is from 10."""
    x = random.normal(mean, 1, number)
    random.normal(size=number)  # another feature, which says nothing
    said = 10 + 3 * x
    return said, said + random.normal(size=number) * (0.5 + 0.4 * np.abs(x))


def both(seed: int = 12) -> tuple[Rows, Rows]:
    random = np.random.default_rng(seed)
    return rows(random, 6000, 0.0), rows(random, 3000, 0.7)


def known(found: Rows, weights: Any = None) -> tuple[dict[int, Known], Any]:
    said, truth = found
    edges = np.quantile(said, np.linspace(0, 1, CELLS + 1)[1:-1])
    cell, error = np.searchsorted(edges, said), np.abs(said - truth)
    weight = np.ones(said.size) if weights is None else weights
    return {
        int(each): Known(
            moments(error[cell == each], weight[cell == each]), moments(error[cell == each] ** 2, weight[cell == each])
        )
        for each in np.unique(cell)
    }, edges


def waiting(said: Any, edges: Any, weights: Any = None) -> dict[int, Waiting]:
    weight = np.ones(said.size) if weights is None else np.asarray(weights)
    cell = np.searchsorted(edges, said)
    return {
        int(each): Waiting(
            int((cell == each).sum()), float(weight[cell == each].sum()), float((weight[cell == each] ** 2).sum())
        )
        for each in np.unique(cell)
    }


def test_near_nannyml() -> None:
    reference, (said, _) = both()
    base, edges = known(reference)
    found = estimates(base, waiting(said, edges))
    assert {name: each.value for name, each in found.items()} == pytest.approx(NANNYML, rel=0.005)
    assert {each.rows for each in found.values()} == {3000}


def test_the_truth_is_within_the_band_as_often_as_it_says() -> None:
    """Where only the inputs change, within the range that is known: 200 bands of 95 %."""
    within = 0
    for seed in range(100):
        reference, (said, truth) = both(seed)
        near = (said > 5) & (said < 15)
        base, edges = known(reference)
        found = estimates(base, waiting(said[near], edges))
        error = (said - truth)[near]
        real = {"mae": np.abs(error).mean(), "rmse": np.sqrt((error**2).mean())}
        within += sum((found[name].low or 0) <= real[name] <= (found[name].high or 0) for name in real)
    assert within >= 180


def test_weights_count() -> None:
    reference, (said, _) = both()
    base, edges = known(reference)
    twice = estimates(base, waiting(np.concatenate([said, said[:500]]), edges))
    weights = np.ones(said.size)
    weights[:500] = 2
    found = estimates(base, waiting(said, edges, weights))
    assert found["mae"].value == pytest.approx(twice["mae"].value)
    assert found["mae"].high - found["mae"].low > twice["mae"].high - twice["mae"].low  # type: ignore[operator]


def test_without_a_base_nothing_is_said() -> None:
    reference, (said, _) = both()
    base, edges = known(reference)
    asked = waiting(said, edges)
    assert estimates({}, asked) == {}
    assert estimates(base, {}) == {}
    few = {cell: each for cell, each in base.items() if cell != max(asked)}
    assert estimates(few, asked) == {}
    small, edges = known((reference[0][:100], reference[1][:100]))
    assert estimates(small, waiting(said, edges)) == {}, "two rows a cell say nothing"
