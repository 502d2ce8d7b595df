"""Counts are exact and never fail, whatever comes, in whatever order and pieces; metrics and verdicts stay finite."""

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modelward_drift.building.builder import Builder, profile_of
from modelward_drift.building.sample import Sample
from modelward_drift.counting import counting
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import Counts, zero
from modelward_drift.judging.significance import two_sample
from modelward_drift.judging.statistic import measure
from modelward_drift.judging.verdict import Rule, decide
from modelward_drift.metrics.registry import METRICS
from modelward_drift.profiles.bins import quantile_grid
from modelward_drift.profiles.profile import KINDS, Profile

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3), st.dates(),
    st.complex_numbers(), st.decimals(), st.fractions(), st.just(10**400), st.just("x" * 1000),
    st.just(np.float32(0.1)), st.just(np.datetime64("NaT")), st.just([]), st.just({}), st.builds(object),
)  # fmt: skip
TYPICAL = st.sampled_from([0, 1, 2.5, True, False, "a", "bb", None, math.nan, math.inf])
VALUES = st.lists(SCALARS | TYPICAL, max_size=40)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    kind: Any = draw(st.sampled_from(KINDS))
    values = draw(st.lists(SCALARS | TYPICAL, min_size=1, max_size=40))
    return profile_of("x", kind, values, bins=draw(st.integers(1, 12)), levels=draw(st.integers(1, 12)))


@given(profiles(), VALUES)
def test_every_row_is_in_one_cell(profile: Profile, values: list[Any]) -> None:
    counts = count(profile, values)
    assert counts.rows == len(values)
    assert (counts.cells >= 0).all()
    assert ((counts.quality >= 0) & (counts.quality <= len(values))).all()


@given(profiles(), VALUES, VALUES, st.randoms())
def test_pieces_add_up_in_any_order(profile: Profile, first: list[Any], second: list[Any], random: Any) -> None:
    merged = count(profile, first) + count(profile, second)
    mixed = [*first, *second]
    random.shuffle(mixed)
    assert merged == count(profile, second) + count(profile, first) == count(profile, mixed)
    assert merged + zero(profile) == merged
    assert merged - count(profile, first) == count(profile, second)


@given(profiles())
def test_a_profile_survives_json(profile: Profile) -> None:
    again = Profile.from_dict(json.loads(json.dumps(profile.to_dict(), allow_nan=False)))
    assert (again, again.digest) == (profile, profile.digest)
    assert len(profile.cell_names()) == len(profile.counts)


@given(st.sampled_from(KINDS), st.lists(SCALARS | TYPICAL, min_size=1, max_size=40), st.integers(1, 8))
def test_the_reference_counts_as_its_profile_says(kind: Any, values: list[Any], bins: int) -> None:
    profile = profile_of("x", kind, values, bins=bins, levels=bins)
    assert count(profile, values).cells.tolist() == list(profile.counts)


@given(st.sampled_from(KINDS), st.lists(VALUES, min_size=1, max_size=4))
def test_a_stream_in_chunks_and_by_several_builders_is_the_whole(kind: Any, chunks: list[list[Any]]) -> None:
    whole = [value for chunk in chunks for value in chunk]
    if not whole:
        return
    builders = [Builder("x", kind, seed=seed) for seed in range(len(chunks))]
    for builder, chunk in zip(builders, chunks, strict=True):
        builder.add(chunk)
    for builder in builders[1:]:
        builders[0].merge(builder)
    assert builders[0].profile() == profile_of("x", kind, whole)


@given(arrays.arrays(np.float64, st.integers(0, 60), elements=FINITE), st.integers(1, 12))
def test_grids_are_sound(values: Any, bins: int) -> None:
    grid = quantile_grid(values, bins)
    assert np.isfinite([*grid.edges, *grid.centres, grid.low, grid.high, grid.scale]).all()
    # Compared, not subtracted: the difference of two floats may be none.
    assert all(left < right for left, right in pairwise(grid.edges))
    assert len(grid.centres) == len(grid.edges) + 1 <= bins + 2 + 2 * len(grid.heavy)
    assert len(grid.heavy) <= 2 * bins
    for cell in grid.heavy:
        inside = [each for each in values if cell == np.searchsorted(grid.edges, each, side="right")]
        assert len(set(inside)) == 1
    assert all(left <= right for left, right in pairwise(grid.centres))
    assert grid.scale > 0


@given(
    arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(width=32)),
    arrays.arrays(st.sampled_from([np.float32, np.float64]), st.integers(1, 60), elements=st.floats(width=32)),
)
def test_the_quick_way_is_the_search(reference: Any, values: Any) -> None:
    """On the reference's own values, too, and in single precision."""
    profile = profile_of("x", "numeric", reference)
    if profile.grid is None:
        return
    values = np.concatenate([values, reference.astype(values.dtype)])
    quick = zero(profile)
    counting.Edges(profile.grid, values.dtype).compare(values, quick)
    assert quick == count(profile, values)


@given(profiles(), st.data())
def test_metrics_and_verdicts_are_finite_for_all_counts(profile: Profile, data: st.DataObject) -> None:
    size = len(profile.counts)
    cells = data.draw(arrays.arrays(np.int64, size, elements=st.sampled_from([0, 0, 1, 7, 10**6, 10**15])))
    counts = Counts(profile.digest, cells, zero(profile).quality)
    for statistic in measure(profile, counts, [each.name for each in METRICS.values() if each.applies(profile)]):
        decision = decide(statistic, Rule(0.1, 1e-9))
        assert math.isfinite(statistic.value)
        assert statistic.value >= 0
        assert math.isfinite(decision.cut)
        assert statistic.test.log_p <= 0
        assert decision.message


@given(arrays.arrays(np.int64, 8, elements=st.integers(0, 10**6)))
def test_equal_counts_are_no_evidence(cells: Any) -> None:
    assert two_sample(cells, cells).statistic == pytest.approx(0, abs=1e-6)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 40))
def test_samples_are_bounded_and_whole_while_they_fit(chunks: list[int], capacity: int) -> None:
    random = np.random.default_rng(0)
    sample = Sample.empty(np.dtype(np.int64), capacity)
    rows = np.arange(sum(chunks))
    for chunk in np.split(rows, np.cumsum(chunks)[:-1]):
        sample = sample.add(chunk, random)
    assert len(sample.values) == min(len(rows), capacity)
    assert sample.rows == len(rows)
    assert set(sample.values.tolist()) <= set(rows.tolist())
    assert len(set(sample.values.tolist())) == len(sample.values)
