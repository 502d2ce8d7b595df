"""Profiles go to JSON and back, and say what is wrong with one that can't be."""

import dataclasses
import json
from typing import Any

import pytest

from modelward_drift.building.builder import profile_of
from modelward_drift.errors import ProfileError
from modelward_drift.profiles.bins import Grid
from modelward_drift.profiles.inflation import Inflation
from modelward_drift.profiles.profile import Kind, Profile

NUMERIC = profile_of("amount", "numeric", [0.5, 1, 2, None, "a", float("inf")])
HEAVY = profile_of("claims", "numeric", [0.0] * 90 + [1.0, 2.0])
RARE = profile_of("city", "categorical", ["Rome"] * 20 + ["Oslo"] * 5 + ["Bern"], levels=1)
CATEGORICAL = profile_of("colour", "categorical", ["red", "red", "blue", None])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("numeric", [1.25, 2, 3, None]),
        ("numeric", [None]),
        ("categorical", ["a", "\ud800", "é", None]),
        ("boolean", [True, False, None]),
        ("text", ["", "abc", None, 3]),
    ],
)
def test_there_and_back(kind: Kind, values: list[Any]) -> None:
    profile = dataclasses.replace(profile_of("x", kind, values), inflation=Inflation(2.5, 1.5, 500, 24))
    again = Profile.from_dict(json.loads(json.dumps(profile.to_dict())))
    assert again == profile
    assert again.digest == profile.digest


def test_the_digest_stays_the_same_from_release_to_release() -> None:
    """Pods of two releases have to agree. Where this changes on purpose, SCHEMA_VERSION has to change as well."""
    profile = Profile("x", "numeric", (1, 2, 0, 0, 1), 4, Grid((0.5,), (0.0, 1.0), 0.0, 1.0, 0.5))
    assert profile.digest == "sha256:ec69c22c3cc7ed91dd54f477042549869f8afdff80c32970c1c91a55eaa89601"


@pytest.mark.parametrize("field", ["name", "counts", "rows", "inflation", "levels"])
def test_the_digest_covers_everything(field: str) -> None:
    changed = {
        "name": "color",
        "counts": (1, 3, 0, 0, 1),
        "rows": 5,
        "inflation": Inflation(2.0),
        "levels": ("blue", "green"),
    }
    other = dataclasses.replace(CATEGORICAL, **{"rows": 9, field: changed[field]})
    assert other.digest != dataclasses.replace(CATEGORICAL, rows=9).digest


@pytest.mark.parametrize(
    ("profile", "change", "problem"),
    [
        (NUMERIC, {"schema_version": 3}, "schema version 3, this release reads 1 and 2"),
        (NUMERIC, {"schema_version": 2}, "another schema version than 2"),
        (HEAVY, {"schema_version": 1}, "another schema version than 1"),
        (HEAVY, {"grid": HEAVY.to_dict()["grid"] | {"heavy": [99]}}, "heavy values in bins"),
        (RARE, {"schema_version": 1}, "another schema version than 1"),
        (RARE, {"rare": None}, "another schema version than 2"),
        (RARE, {"rare": RARE.to_dict()["rare"] | {"bits": "%"}}, "can't be read"),
        (RARE, {"rare": RARE.to_dict()["rare"] | {"hashes": 0}}, "a filter of rare labels"),
        (RARE, {"rare": RARE.to_dict()["rare"] | {"held": []}}, "not of its categories"),
        (RARE, {"rare": RARE.to_dict()["rare"] | {"held_rows": 1}}, "held rows of 1"),
        (RARE, {"levels": []}, "other categories than counts|not of its categories"),
        (NUMERIC, {"kind": "date"}, "none of numeric, categorical"),
        (NUMERIC, {"counts": [0] * 8}, "counts 0 rows of"),
        (NUMERIC, {"counts": [1] * 8, "rows": 7}, "counts 8 rows of 7"),
        (NUMERIC, {"counts": [-1, 1, 1, 1, 1, 1, 1, 1]}, "no whole numbers"),
        (NUMERIC, {"counts": ["a"]}, "no whole numbers"),
        (NUMERIC, {"counts": [1]}, "other bins than counts"),
        (NUMERIC, {"grid": None}, "no grid"),
        (NUMERIC, {"grid": {}}, "lacks or has a field too many"),
        (NUMERIC, {"grid": NUMERIC.to_dict()["grid"] | {"edges": [1, 1, 2, 3]}}, "do not ascend"),
        (NUMERIC, {"grid": NUMERIC.to_dict()["grid"] | {"scale": float("nan")}}, "not finite"),
        (NUMERIC, {"grid": NUMERIC.to_dict()["grid"] | {"scale": 0}}, "no scale"),
        (NUMERIC, {"inflation": {"factor": 0.5}}, "below 1"),
        (NUMERIC, {"colour": 1}, "a field too many"),
        (CATEGORICAL, {"levels": ["red"]}, "other categories than counts"),
        (CATEGORICAL, {"levels": ["red", "red"]}, "other categories than counts"),
        (CATEGORICAL, {"levels": [1, 2]}, "no categories"),
        (CATEGORICAL, {"kind": "boolean"}, "other levels than false and true"),
    ],
)
def test_what_is_corrupt_is_refused(profile: Profile, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ProfileError, match=problem):
        Profile.from_dict(profile.to_dict() | change)


@pytest.mark.parametrize("raw", [{}, None, [], "profile"])
def test_what_is_no_profile_is_refused(raw: Any) -> None:
    with pytest.raises(ProfileError, match="schema version None"):
        Profile.from_dict(raw)


def test_names_of_cells() -> None:
    assert NUMERIC.cell_names() == (
        "< 0.25", "[0.25, 0.75)", "[0.75, 1.5)", "[1.5, 2.5)", ">= 2.5", "other", "non_finite", "null",
    )  # fmt: skip
    assert CATEGORICAL.cell_names() == ("blue", "red", "other", "non_finite", "null")
    assert profile_of("x", "numeric", [None]).cell_names()[0] == "any"
    assert RARE.cell_names() == (
        "Rome", *(f"other ({group} of 8)" for group in range(1, 9)), "new", "other", "non_finite", "null",
    )  # fmt: skip
