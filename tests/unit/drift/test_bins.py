"""Where edges lie."""

import numpy as np
import pytest

from modelward_drift.profiles.bins import Grid, quantile_grid


@pytest.mark.parametrize(
    ("values", "edges", "centres"),
    [
        pytest.param([5.0] * 3, (5 - 5e-6, 5 + 5e-6), (5 - 1e-5, 5, 5 + 1e-5), id="constant"),
        pytest.param([0.0], (-1e-12, 1e-12), (-2e-12, 0, 2e-12), id="constant zero"),
        pytest.param([0, 1, 1, 3], (-0.5, 0.5, 2, 4), (-1, 0, 1, 3, 5), id="few values"),
        pytest.param([], (), (0,), id="nothing"),
        pytest.param([-1e308, 1e308], (0,), (-1e308, 1e308), id="nothing lies beyond the largest floats"),
        pytest.param([0] * 60 + list(range(1, 41)), (-0.5, 0.5, 10.5, 20.5, 30.5), None, id="heavy tie at the start"),
        pytest.param(
            [*range(30), *[30] * 45, *range(31, 56)], (10.5, 21.5, 29.5, 30.5, 33.5, 44.5), None, id="heavy tie inside"
        ),
        pytest.param(list(range(100)), tuple(np.arange(10, 100, 10) - 0.5), tuple(np.arange(10) * 10 + 4.5), id="even"),
    ],
)
def test_edges(values: list[float], edges: tuple[float, ...], centres: tuple[float, ...] | None) -> None:
    grid = quantile_grid(np.array(values, np.float64))
    assert grid.edges == pytest.approx(edges)
    if centres is not None:
        assert grid.centres == pytest.approx(centres)


def test_neighbouring_floats_are_told_apart() -> None:
    lower = 1.0
    upper = float(np.nextafter(lower, 2))
    assert upper in quantile_grid(np.array([lower, upper])).edges


def test_scale_is_the_standard_deviation() -> None:
    values = np.random.default_rng(0).normal(3, 2, 1000)
    assert quantile_grid(values).scale == pytest.approx(values.std())


@pytest.mark.parametrize("constant", [7.0, -7e9, 7e-9, 0.0])
def test_any_other_value_than_a_constant_is_one_step_away(constant: float) -> None:
    grid = quantile_grid(np.full(9, constant))
    assert (np.diff(grid.centres) / grid.scale).tolist() == pytest.approx([1, 1])


def test_nothing_has_a_grid_of_one_bin() -> None:
    assert quantile_grid(np.empty(0)) == Grid((), (0.0,), 0.0, 0.0, 1.0)


def test_the_smallest_and_the_largest_floats_do_not_break_it() -> None:
    tiny, huge = np.finfo(np.float64).smallest_subnormal, np.finfo(np.float64).max
    grid = quantile_grid(np.array([-huge, -tiny, 0, tiny, huge] * 20))
    assert np.isfinite([*grid.edges, *grid.centres, grid.scale]).all()
    assert list(grid.edges) == sorted(set(grid.edges))
