"""References and readings as documents: what is written is read, and nothing else is."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.reading import Intake, Reading
from modelward_drift.errors import MismatchError, ProfileError
from modelward_drift.profiles.reference import Feature, Reference

AMOUNT = profile_of("amount", "numeric", [1.0, 2.0, 3.0, None, float("inf")])
OTHER = profile_of("amount", "numeric", [1.0])
CITY = profile_of("output:city \ud800", "categorical", ["a", "a", "b", None])
REFERENCE = Reference((Feature("input", "input", 3, AMOUNT), Feature("output", "city", None, CITY)), "learned")
READING = Reading(
    "pod", "epoch", 7, REFERENCE.digest, (count(AMOUNT, [1.0, None]), count(CITY, ["c", 3])),
    Intake(2, 3, 4, 5, 6), final=True,
)  # fmt: skip


def test_a_reference_survives_json() -> None:
    again = Reference.from_dict(json.loads(json.dumps(REFERENCE.to_dict())))
    assert again == REFERENCE
    assert again.digest == REFERENCE.digest
    assert again.rows == 5
    assert [feature.name for feature in again.features] == ["amount", "output:city \ud800"]


CHANGES: list[Callable[[Reference], Reference]] = [
    lambda it: replace(it, source="training"),
    lambda it: replace(it, features=it.features[::-1]),
    lambda it: replace(it, features=it.features[:1]),
    lambda it: replace(it, features=(replace(it.features[0], column=4), it.features[1])),
    lambda it: replace(it, features=(replace(it.features[0], column=None), it.features[1])),
    lambda it: replace(it, features=(replace(it.features[0], tensor="x"), it.features[1])),
    lambda it: replace(it, features=(replace(it.features[0], side="output"), it.features[1])),
    lambda it: replace(it, features=(replace(it.features[0], profile=OTHER), *it.features[1:])),
]


def test_the_digest_covers_all_of_it() -> None:
    assert len({REFERENCE.digest, *(change(REFERENCE).digest for change in CHANGES)}) == 1 + len(CHANGES)


def test_names_are_of_one_feature_each() -> None:
    with pytest.raises(ProfileError, match="has amount twice"):
        Reference((Feature("input", "a", None, AMOUNT), Feature("input", "b", None, AMOUNT)))
    with pytest.raises(ProfileError, match="without a feature"):
        Reference(())


def edited(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """`value` is put where `path` leads; ... takes away what is there."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    inner: Any = found
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return found


TAMPERED: list[tuple[tuple[Any, ...], Any, str]] = [
    (("schema_version",), 2, "schema version 2, this release reads 1; make it anew with `modelward reference`"),
    (("schema_version",), ..., "schema version None"),
    (("schema_version",), "1", "schema version '1'"),
    (("digest",), ..., "was changed since it was made"),
    (("digest",), "sha256:0", "was changed since it was made"),
    (("source",), "training", "was changed since it was made"),
    (("source",), "elsewhere", "is from 'elsewhere'"),
    (("features",), [], "without a feature"),
    (("features",), None, "lacks or has a field too many"),
    (("features", 0, "side"), "both", "has a feature in 'both'"),
    (("features", 0, "tensor"), None, "has a feature in 'input' None"),
    (("features", 0, "column"), -1, "'input' -1"),
    (("features", 0, "column"), True, "'input' True"),
    (("features", 0, "column"), 1.0, "'input' 1.0"),
    (("features", 0, "column"), ..., "lacks or has a field too many: 'column'"),
    (("features", 0, "profile"), None, "the profile has schema version None"),
    (("features", 0, "profile", "counts", 0), 2, "was changed since it was made|counts"),
    (("features", 0, "profile", "name"), "output:city \ud800", "twice"),
]


@pytest.mark.parametrize(("path", "value", "words"), TAMPERED)
def test_what_is_no_reference_is_refused(path: tuple[Any, ...], value: Any, words: str) -> None:
    with pytest.raises(ProfileError, match=words):
        Reference.from_dict(edited(REFERENCE.to_dict(), path, value))


@pytest.mark.parametrize("raw", [None, [], "x", 1, {}])
def test_what_is_no_document_is_refused(raw: Any) -> None:
    with pytest.raises(ProfileError, match="schema version None"):
        Reference.from_dict(raw)
    with pytest.raises(ProfileError, match="schema version None"):
        Reading.from_dict(raw, REFERENCE)


def test_a_reading_survives_json() -> None:
    assert Reading.from_dict(json.loads(json.dumps(READING.to_dict())), REFERENCE) == READING


READINGS: list[tuple[tuple[Any, ...], Any, type[Exception], str]] = [
    (("schema_version",), 2, ProfileError, "schema version 2, this release reads 1"),
    (("digest",), "sha256:0", MismatchError, "counts against the reference sha256:0"),
    (("digest",), ..., MismatchError, "counts against the reference None"),
    (("counts",), [], ProfileError, "lacks or has a field too many"),
    (("counts",), None, ProfileError, "lacks or has a field too many"),
    (("counts", 0), None, MismatchError, "counts of the profile None"),
    (("counts", 0, "digest"), CITY.digest, MismatchError, "were read as counts of 'amount'"),
    (("counts", 0, "cells", 0), -1, ProfileError, "whole numbers from 0"),
    (("counts", 0, "cells", 0), 2**62, ProfileError, "whole numbers from 0"),
    (("counts", 0, "cells", 0), ..., ProfileError, "whole numbers from 0"),
    (("sequence",), -1, ProfileError, "whole numbers from 0"),
    (("sequence",), 1.5, ProfileError, "whole numbers from 0"),
    (("sequence",), True, ProfileError, "whole numbers from 0"),
    (("intake", "lost"), -1, ProfileError, "whole numbers from 0"),
    (("intake", "found"), 1, ProfileError, "lacks or has a field too many"),
    (("intake",), None, ProfileError, "lacks or has a field too many"),
    (("pod",), ..., ProfileError, "lacks or has a field too many"),
    (("final",), ..., ProfileError, "lacks or has a field too many"),
]


@pytest.mark.parametrize(("path", "value", "kind", "words"), READINGS)
def test_what_is_no_reading_is_refused(path: tuple[Any, ...], value: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        Reading.from_dict(edited(READING.to_dict(), path, value), REFERENCE)


def test_a_reading_against_another_reference_is_refused() -> None:
    with pytest.raises(MismatchError, match="not against"):
        Reading.from_dict(READING.to_dict(), CHANGES[0](REFERENCE))
