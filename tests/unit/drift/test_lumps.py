"""What shares a cell in the reference does not change unseen: values beside heavy ones, tails, tiny and rare values."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modelward_drift.arrays import Array
from modelward_drift.building.builder import Builder, profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import quality
from modelward_drift.errors import MismatchError
from modelward_drift.judging.judge import FeatureRule, Rules, judged
from modelward_drift.judging.parts import rests
from modelward_drift.judging.statistic import Statistic, measure
from modelward_drift.metrics.registry import METRICS
from modelward_drift.profiles.bins import quantile_grid
from modelward_drift.profiles.profile import Profile
from modelward_drift.profiles.rare import BYTES, FALSE_POSITIVES, hashed
from modelward_drift.profiles.reference import Feature, Reference

ROWS, WINDOW = 50_000, 3600
THRESHOLDS = {
    "psi": 0.2, "kl": 0.1, "js": 0.02, "js_distance": 0.1, "hellinger": 0.1, "chi2": 200.0, "cramers_v": 0.05,
    "ks": 0.1, "wasserstein": 0.1,
}  # fmt: skip


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def outcomes(profile: Profile, values: Any) -> dict[str, str]:
    """Of each metric that applies, under the default budget."""
    reference = Reference((Feature("input", "x", None, profile),))
    found = {}
    for name, metric in METRICS.items():
        if metric.applies(profile):
            rules = Rules(default=FeatureRule(name, THRESHOLDS[name]))
            (decision,) = judged(reference, [count(profile, values)], rules)
            found[name] = decision.outcome
    return found


def mixture(heavy: dict[float, float], rest: Any, rows: int, seed: int) -> Array:
    """`heavy`: shares by value; `rest(random, rows)`: all others."""
    draw = random(seed)
    values = rest(draw, rows)
    kind = draw.choice(len(heavy) + 1, rows, p=[*heavy.values(), 1 - sum(heavy.values())])
    for index, value in enumerate(heavy):
        values[kind == index] = value
    return np.asarray(values)


def amounts(draw: np.random.Generator, rows: int) -> Array:
    return draw.uniform(100, 99_999, rows)


SHARES: list[dict[float, float]] = [
    {0.0: 0.8}, {0.0: 0.92}, {0.0: 0.97}, {99_999.0: 0.92}, {50_000.0: 0.92}, {0.0: 0.46, 50_000.0: 0.46},
    {0.0: 0.85, 1.0: 0.07}, {0.0: 0.3, 9.99: 0.3, 19.99: 0.3}, {0.0: 0.24, 9.99: 0.24, 19.99: 0.24, 49.0: 0.24},
    {float(price): 0.094 for price in range(10)},
]  # fmt: skip
CHANGES: dict[str, Any] = {
    "cents": lambda draw, rows: amounts(draw, rows) / 100,
    "near the maximum": lambda draw, rows: draw.uniform(90_000, 99_999, rows),
    "twenty times": lambda draw, rows: amounts(draw, rows) * 20,
    "one value": lambda draw, rows: np.round(draw.uniform(776.6, 777.4, rows)),
    "below zero": lambda draw, rows: -amounts(draw, rows),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("heavy", SHARES, ids=str)
def test_a_heavy_value_hides_nothing(heavy: dict[float, float], change: str) -> None:
    profile = profile_of("x", "numeric", mixture(heavy, amounts, ROWS, 1))
    found = outcomes(profile, mixture(heavy, CHANGES[change], WINDOW, 2))
    assert set(found.values()) == {"Drifted"}, found
    same = outcomes(profile, mixture(heavy, amounts, WINDOW, 3))
    assert "Drifted" not in same.values()


def test_beside_99_percent_zeros_a_change_is_seen_and_said_of_which_values() -> None:
    profile = profile_of("x", "numeric", mixture({0.0: 0.99}, amounts, ROWS, 1))
    counts = count(profile, mixture({0.0: 0.99}, CHANGES["cents"], WINDOW, 2))
    for statistic in measure(profile, counts, METRICS):
        assert statistic.share == pytest.approx(0.01, rel=0.1)
        assert statistic.value > THRESHOLDS[statistic.metric] or statistic.metric == "chi2"
    assert METRICS["psi"].value(profile, counts.cells) < 0.2, "of all rows it can't tell"
    (decision,) = judged(Reference((Feature("input", "x", None, profile),)), [counts], Rules())
    assert decision.drifted
    assert "of values besides the commonest" in decision.message


def test_categories_beside_a_heavy_one_are_seen() -> None:
    before, after = (random(seed).choice(["a", "b", "c"], ROWS, p=[0.98, 0.01, 0.01]) for seed in (1, 2))
    profile = profile_of("x", "categorical", before)
    assert set(outcomes(profile, np.where(after == "b", "c", after)).values()) == {"Drifted"}
    assert "Drifted" not in outcomes(profile, after).values()


def test_few_rows_beside_a_heavy_value_prove_nothing() -> None:
    """The share of zeros really changed, a little: what is left differs by chance only."""
    profile = profile_of("x", "numeric", mixture({0.0: 0.999}, amounts, ROWS, 1))
    for seed in range(20):
        (statistic,) = measure(profile, count(profile, mixture({0.0: 0.997}, amounts, 10_000, seed)))
        assert statistic.share == 1
        assert statistic.value < 0.2


@pytest.mark.parametrize("draw", ["normal", "exponential", "poisson"])
def test_of_what_has_no_heavy_values_metrics_are_of_all_rows(draw: str) -> None:
    values = getattr(random(), draw)(5.0, size=ROWS)
    profile = profile_of("x", "numeric", values)
    counts = count(profile, values[:WINDOW] * 1.5)
    assert [each.share for each in measure(profile, counts, METRICS)] == [1] * len(METRICS)


def test_the_rest_is_what_is_left_besides_the_heavy_ones() -> None:
    for even in ([50, 50], [100, 0], [0, 0], [1] * 50, [64, 32, 16, 8, 4, 2, 1]):
        assert rests(np.array(even), range(len(even))) == []
    reference = np.array([5, 900, 5, 80, 4, 4, 2])
    found = rests(reference, np.argsort(-reference, kind="stable"))
    assert [each.tolist() for each in found] == [[0, 2, 3, 4, 5, 6], [0, 2, 4, 5, 6]]


@pytest.mark.parametrize("bins", [2, 5, 10, 50])
def test_the_rest_keeps_its_quantiles(bins: int) -> None:
    values = mixture({0.0: 0.92}, amounts, ROWS, 1)
    grid = quantile_grid(values, bins)
    positive = np.sort(values[values > 0])
    below = np.searchsorted(positive, grid.edges[2:]) / len(positive)
    for quantile in np.arange(1, bins) / bins:
        assert np.abs(below - quantile).min() < 2 / len(positive)


@pytest.mark.parametrize("unit", [1e-300, 1e-9, 1.0, 1e9, 1e290])
@pytest.mark.parametrize("heavy", [{}, {0.0: 0.9}])
def test_the_unit_changes_nothing(heavy: dict[float, float], unit: float) -> None:
    def results(factor: float) -> list[Statistic]:
        profile = profile_of("x", "numeric", mixture(heavy, amounts, 5000, 1) * factor)
        return list(
            measure(profile, count(profile, mixture(heavy, CHANGES["twenty times"], 1000, 2) * factor), METRICS)
        )

    for scaled, plain in zip(results(unit), results(1.0), strict=True):
        assert scaled.value == pytest.approx(plain.value, rel=1e-6)
        assert scaled.value > 0.01


@pytest.mark.parametrize(("constant", "becomes"), [(5e-7, 0), (1e-9, 2e-9), (0, 1e-9), (1e9, 0), (-3e-5, -3.1e-5)])
def test_a_constant_that_changes_is_seen_in_any_unit(constant: float, becomes: float) -> None:
    profile = profile_of("x", "numeric", np.full(ROWS, constant))
    assert set(outcomes(profile, np.full(WINDOW, becomes)).values()) == {"Drifted"}
    assert set(outcomes(profile, np.full(WINDOW, constant, np.float32)).values()) == {"BelowThreshold"}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_change_inside_the_last_decile_is_seen(sign: int) -> None:
    profile = profile_of("x", "numeric", sign * random().lognormal(0, 1, ROWS))
    values = random(1).lognormal(0, 1, WINDOW)
    top = np.quantile(values, 0.9)
    counts = count(profile, sign * np.where(values > top, values * 20, values))
    found = {each.metric: each.value for each in measure(profile, counts, METRICS)}
    assert found["psi"] > 0.4
    assert found["wasserstein"] > 0.5
    assert found["ks"] == pytest.approx(0.1, abs=0.015), "as of the values themselves"


def test_tails_are_split_as_far_as_the_reference_has_rows() -> None:
    sizes = {rows: len(quantile_grid(random().normal(size=rows)).centres) for rows in (1000, 4000, 6000, 60_000)}
    assert sizes == {1000: 10, 4000: 10, 6000: 12, 60_000: 14}


MERCHANTS = np.array([f"m{number:05d}" for number in range(8000)], object)


def merchants(rows: int, seed: int) -> Array:
    return np.asarray(random(seed).choice(MERCHANTS, rows))


LABELS = profile_of("x", "categorical", merchants(ROWS, 1))


def test_replaced_labels_are_new_and_rare_ones_are_other() -> None:
    seen = merchants(ROWS, 1)
    assert quality(count(LABELS, seen)).new_categories == 0
    assert count(LABELS, seen).cells.tolist() == list(LABELS.counts)
    replaced = count(LABELS, merchants(WINDOW, 2) + "x")
    assert quality(replaced).new_categories == replaced.cells[LABELS.bins - 1]
    assert quality(replaced).new_categories == pytest.approx((1 - FALSE_POSITIVES) * WINDOW, rel=0.02)
    assert set(outcomes(LABELS, merchants(WINDOW, 2) + "x").values()) == {"Drifted"}


def test_the_same_labels_drift_nowhere() -> None:
    for seed in range(2, 12):
        assert "Drifted" not in outcomes(LABELS, merchants(WINDOW, seed)).values()


def test_a_window_of_the_references_own_rows_is_equal_to_it() -> None:
    """Though no row of it is new, and of others some are."""
    ids = np.array([str(number) for number in range(2000)], object)
    for profile, values in ((LABELS, merchants(ROWS, 1)), (profile_of("x", "categorical", ids), ids)):
        assert [each.value for each in measure(profile, count(profile, values), ("psi", "js", "chi2"))] == [0, 0, 0]


def test_large_whole_numbers_are_the_same_labels_alone_and_among_others() -> None:
    large = 2**53 + 1
    profile = profile_of("x", "categorical", [large, 2**53])
    assert profile.levels == (str(2**53), str(large))
    assert count(profile, [large, None]) == count(profile, [large]) + count(profile, [None])


def test_a_rare_label_that_takes_over_is_seen() -> None:
    assert set(outcomes(LABELS, np.full(WINDOW, "m00777", object)).values()) == {"Drifted"}


def test_ids_that_are_always_new_are_no_drift_and_no_bad_quality() -> None:
    ids = random().integers(0, 10**9, 25_000).astype(str).astype(object)
    profile = profile_of("x", "categorical", ids[:20_000])
    assert "Drifted" not in outcomes(profile, ids[20_000:]).values()


def test_a_filter_is_bounded_and_as_exact_as_it_says() -> None:
    for number, most in ((2000, 0.02), (50_000, 0.02), (120_000, 0.2)):
        builder = Builder("x", "categorical")
        builder.add(np.arange(number))
        rare = builder.profile().rare
        assert rare is not None
        assert rare.known(hashed(str(label) for label in range(number))).all()
        assert rare.known(hashed(f"{label}!" for label in range(20_000))).mean() < most
        assert len(rare.bits) <= BYTES * 4 / 3 + 4


def test_no_label_is_in_the_document_but_those_with_a_cell() -> None:
    document = json.dumps(LABELS.to_dict())
    assert [label for label in MERCHANTS if label in document] == list(LABELS.levels)


def test_labels_beyond_the_sample_are_known_too() -> None:
    builder = Builder("x", "categorical", capacity=500)
    for start in range(0, ROWS, 5000):
        builder.add(merchants(ROWS, 1)[start : start + 5000])
    profile = builder.profile()
    assert quality(count(profile, merchants(ROWS, 1))).new_categories == 0


def test_a_profile_of_an_earlier_release_is_read_and_judged_as_it_was() -> None:
    rare = sum(LABELS.counts[LABELS.others])
    counts = (*LABELS.counts[: len(LABELS.levels)], rare, 0, 0)
    old = Profile.from_dict(replace(LABELS, counts=counts, rare=None, schema_version=1).to_dict())
    assert "rare" not in old.to_dict()
    seen = count(old, merchants(WINDOW, 2) + "x")
    assert (seen.cells[-3], quality(seen).new_categories) == (WINDOW, WINDOW)
    assert math.isfinite(measure(old, seen)[0].value)


def test_columns_without_lumps_are_read_by_earlier_releases() -> None:
    """Their documents hold nothing that those do not know, and have their version."""
    for profile in (
        profile_of("x", "numeric", random().normal(size=1000)),
        profile_of("x", "categorical", ["a", "b"]),
        profile_of("x", "boolean", [True]),
    ):
        document = profile.to_dict()
        assert document["schema_version"] == 1
        assert document.keys() == {
            "name", "kind", "counts", "rows", "grid", "levels", "inflation", "schema_version",
            *(["texts"] * profile.texts),
        }  # fmt: skip
        if document["grid"]:
            assert document["grid"].keys() == {"edges", "centres", "low", "high", "scale"}
    assert LABELS.to_dict()["schema_version"] == 2
    assert profile_of("x", "numeric", [0.0] * 90 + [1.0]).to_dict()["schema_version"] == 2


def test_pods_of_two_releases_are_never_added_up() -> None:
    """One that was given the profile of an earlier release has other cells, and another digest."""
    old = replace(LABELS, counts=(*LABELS.counts[: len(LABELS.levels)], 1, 0, 0), rare=None, schema_version=1)
    with pytest.raises(MismatchError, match="pool only pods that have the same reference"):
        _ = count(LABELS, ["a"]) + count(old, ["a"])
