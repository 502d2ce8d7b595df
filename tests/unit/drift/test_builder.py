"""References of any size: exact while they fit, an honest sample beyond."""

from typing import Any

import numpy as np
import pytest

from modelward_drift.building.builder import Builder, profile_of, recounted
from modelward_drift.counting.counting import count
from modelward_drift.errors import MismatchError, ProfileError
from modelward_drift.profiles.profile import Kind, Profile

KINDS: list[tuple[Kind, Any]] = [
    ("numeric", [*np.random.default_rng(0).normal(size=500).tolist(), None, "a", float("inf")]),
    ("categorical", [*"aaaabbbcc" * 20, None, [], float("inf"), 3]),
    ("boolean", [True, False, True, None, 7, float("inf")]),
    ("text", ["", "a", "bb", "cc", None, 3]),
]


def built(values: Any, chunks: int, kind: Kind = "numeric", **options: Any) -> Profile:
    builder = Builder("x", kind, **options)
    for chunk in np.array_split(np.array(values, object), chunks):
        builder.add(chunk)
    return builder.profile()


@pytest.mark.parametrize(("kind", "values"), KINDS)
def test_the_reference_against_its_own_profile(kind: Kind, values: Any) -> None:
    profile = profile_of("x", kind, values)
    assert count(profile, values).cells.tolist() == list(profile.counts)
    assert sum(profile.counts) == profile.rows == len(values)


@pytest.mark.parametrize(("kind", "values"), KINDS)
def test_chunks_and_merges_change_nothing_while_all_fits(kind: Kind, values: Any) -> None:
    whole = profile_of("x", kind, values)
    assert built(values, 7, kind) == whole
    first, second = Builder("x", kind, seed=1), Builder("x", kind, seed=2)
    first.add(values[3:])
    second.add(values[:3])
    first.merge(second)
    assert first.profile() == whole


def test_the_sign_of_a_zero_makes_no_other_profile() -> None:
    signs = [0.0] * 20 + [-0.0]
    assert profile_of("x", "numeric", signs).digest == profile_of("x", "numeric", signs[::-1]).digest


def test_a_stream_that_does_not_fit_is_sampled() -> None:
    values = np.random.default_rng(5).normal(size=200_000)
    profile = built(values, 40, capacity=10_000)
    assert sum(profile.counts) == 10_000
    assert profile.rows == 200_000
    assert profile.grid is not None
    assert (profile.grid.low, profile.grid.high) == (values.min(), values.max())
    exact = np.searchsorted(np.sort(values), profile.grid.edges) / len(values)
    off = np.abs(exact - np.array([0.01, *np.arange(1, 10) / 10, 0.99]))
    assert off.max() < np.sqrt(np.log(2 / 1e-6) / 2 / 10_000), "what is exceeded once in a million samples at most"


def test_the_sample_of_a_merge_takes_from_both_by_their_sizes() -> None:
    first, second = (Builder("x", "boolean", capacity=5000, seed=seed) for seed in (1, 2))
    first.add(np.ones(90_000))
    second.add(np.zeros(10_000))
    first.merge(second)
    profile = first.profile()
    assert profile.rows == 100_000
    assert profile.counts[0] == pytest.approx(500, abs=6 * np.sqrt(5000 * 0.1 * 0.9))
    assert sum(profile.counts) == 5000


def test_a_second_pass_makes_the_counts_exact() -> None:
    values = np.random.default_rng(5).normal(size=50_000)
    profile = built(values, 5, capacity=1000)
    exact = recounted(profile, count(profile, values))
    assert sum(exact.counts) == exact.rows == 50_000
    assert exact.grid == profile.grid
    with pytest.raises(MismatchError, match="this very profile"):
        recounted(exact, count(profile, values))


def test_the_commonest_categories_have_cells() -> None:
    profile = profile_of("x", "categorical", [*"aaabbc", "d", None] * 50, levels=2)
    assert profile.levels == ("a", "b")
    assert profile.counts[:2] == (150, 100)
    assert sum(profile.counts[profile.others]) == 100
    assert profile.counts[-4:] == (0, 0, 0, 50)


def test_categories_of_few_rows_are_the_commonest_by_chance_and_have_no_cell() -> None:
    names = np.random.default_rng(0).integers(0, 8000, 3000)
    profile = profile_of("x", "categorical", names)
    assert profile.levels == ()
    assert sum(profile.counts[profile.others]) == 3000


def test_a_million_categories_fit() -> None:
    builder = Builder("x", "categorical", capacity=1000)
    for start in range(0, 1_000_000, 100_000):
        builder.add(np.arange(start, start + 100_000))
    profile = builder.profile()
    assert profile.levels == ()
    assert sum(profile.counts[profile.others]) == 1000
    assert profile.rare is not None
    assert profile.rare.labels == profile.rare.once == 1_000_000
    assert len(profile.to_dict()["rare"]["bits"]) < 90_000, "bytes, however many labels"


def test_the_same_stream_gives_the_same_profile() -> None:
    values = np.random.default_rng(5).normal(size=5000)
    assert built(values, 3, capacity=100) == built(values, 3, capacity=100)
    assert built(values, 3, capacity=100) != built(values, 3, capacity=100, seed=1)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("date", {}), ("numeric", {"bins": 0}), ("categorical", {"levels": 0}), ("text", {"capacity": 0})],
)
def test_what_makes_no_sense_is_refused(kind: Any, options: dict[str, int]) -> None:
    with pytest.raises(ProfileError):
        Builder("x", kind, **options)


def test_a_reference_without_rows_is_refused() -> None:
    with pytest.raises(ProfileError, match="no rows of 'x'"):
        Builder("x", "numeric").profile()


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (Builder("y", "numeric", seed=1), "same feature"),
        (Builder("x", "text", seed=1), "same feature"),
        (Builder("x", "numeric", bins=5, seed=1), "same feature"),
        (Builder("x", "numeric"), "seed 0"),
    ],
)
def test_builders_that_do_not_go_together(other: Builder, problem: str) -> None:
    builder = Builder("x", "numeric")
    for each in (builder, other):
        each.add(["1"] if each.kind == "text" else [1])
    with pytest.raises(MismatchError, match=problem):
        builder.merge(other)
