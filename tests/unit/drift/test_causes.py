"""Why a feature drifted, in words."""

from typing import Any

import numpy as np
import pytest

from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.judging.causes import causes, hint, percent
from modelward_drift.profiles.profile import Kind

RANDOM = np.random.default_rng(0)
AGE = RANDOM.normal(40, 10, 10_000)
LIVE = RANDOM.normal(40, 10, 1000)


def mixed(values: Any, share: float, value: object) -> list[object]:
    """`values` of which a share is `value`."""
    found = list(values)
    found[: round(share * len(found))] = [value] * round(share * len(found))
    return found


@pytest.mark.parametrize(
    ("kind", "reference", "live", "first"),
    [
        ("numeric", AGE, mixed(LIVE, 0.29, None), "29 % are missing, before 0 %"),
        ("numeric", mixed(AGE, 0.2, None), LIVE, "0 % are missing, before 20 %"),
        ("numeric", AGE, mixed(LIVE, 0.3, np.inf), "30 % are infinite, before 0 %"),
        ("numeric", AGE, mixed(LIVE, 0.3, "x"), "30 % are of another type, before 0 %"),
        ("numeric", AGE, LIVE + 10, "the median moved from about "),
        ("numeric", AGE, LIVE * 10, "100 % are out of range, which was 1.00578 to 74.8184"),
        ("numeric", mixed(AGE * 0, 0.1, 5.0), mixed(LIVE * 0, 0.4, 5.0), "the 90 % quantile moved from about "),
        ("boolean", [True, False] * 500, [True] * 900 + [False] * 100, "'false' has 10 %, before 50 %"),
        ("categorical", ["a", "b"] * 500, ["a"] * 800 + ["b"] * 200, "'a' has 80 %, before 50 %"),
        ("categorical", ["a", "b"] * 500, ["a", "new"] * 500, "50 % are new categories, which the reference does not"),
        (
            "text",
            ["x" * (n % 20) for n in range(2000)],
            ["x" * 15] * 500,
            "the 10 % quantile of the lengths moved from about 1",
        ),
    ],
)
def test_the_first_cause(kind: Kind, reference: Any, live: Any, first: str) -> None:
    profile = profile_of("x", kind, reference)
    assert causes(profile, count(profile, live))[0].startswith(first)


def test_nothing_to_explain() -> None:
    profile = profile_of("x", "numeric", AGE)
    assert causes(profile, count(profile, [])) == ()


def test_running_numbers_are_told() -> None:
    """Also where some of them come again, and not where they only rose."""
    ids = profile_of("id", "numeric", np.arange(100_000.0, 103_000.0))
    later = np.arange(103_000.0, 104_000.0)
    assert "put it into spec.features.ignore" in (hint(ids, count(ids, later)) or "")
    assert "put it into" in (hint(ids, count(ids, [*later, 100_001.0, None, None])) or "")
    assert hint(ids, count(ids, later - 500)) is None
    assert hint(ids, count(ids, [None] * 100)) is None
    labels = profile_of("id", "categorical", ["a"] * 100)
    assert hint(labels, count(labels, ["b"] * 100)) is None


def test_extremes_stay_finite() -> None:
    profile = profile_of("x", "numeric", [-1e308, 1e308, 0.0] * 50)
    assert causes(profile, count(profile, [1e308] * 100))
    constant = profile_of("x", "numeric", [3.0] * 100)
    assert causes(constant, count(constant, [4.0] * 100))[0].startswith("100 % are out of range, which was 3 to 3")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (1e-6, "less than 0.01 %"), (0.0012, "0.12 %"), (0.034, "3.4 %"), (0.29, "29 %"), (1.0, "100 %"),
     (0.9999999, "99.99 %"), (0.997, "99.70 %")],
)  # fmt: skip
def test_shares(share: float, text: str) -> None:
    assert percent(share) == text
