"""Answers to the same requests, joined and compared."""

from typing import Any

import pytest

from modelward.domain import pairs
from modelward.domain.pairs import Pairs, Sample, agree


def sample(name: str, value: Any) -> Sample:
    return Sample(name, None if value is None else {"label": value})


def test_pairs_are_joined_by_id_whichever_side_comes_first() -> None:
    joined = Pairs(0.01)
    assert joined.add([sample("1", [3]), sample("2", [4])], [sample("2", [5])]) == (1, 1)
    assert joined.add([], [sample("1", [3]), sample("3", [1])]) == (1, 0)
    assert joined.add([sample("3", [1])], []) == (1, 0)
    assert joined.add([sample("3", [1])], []) == (0, 0)


def test_what_the_stable_fails_at_is_no_measure_and_what_only_the_candidate_fails_at_is() -> None:
    joined = Pairs(0.01)
    assert joined.add([sample("1", None), sample("2", [1])], [sample("1", [1]), sample("2", None)]) == (1, 1)


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "PENDING", 3)
    joined = Pairs(0.01)
    joined.add([sample(str(number), [0]) for number in range(5)], [])
    assert joined.add([], [sample("0", [0]), sample("4", [0])]) == (1, 0)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ([1, 2], [1, 2], True), ([1, 2], [1, 3], False), (["a"], ["a"], True), ([True], [False], False),
        ([1.0], [1.009], True), ([1.0], [1.02], False), ([[0.1, 0.9]], [[0.1, 0.9]], True),
        ([None], [None], True), ([0.0], [0.0], True), ([1], [1, 2], False), ([1.0], ["a"], False),
        ([float("nan")], [float("nan")], True), ([float("nan")], [1.0], False),
    ],
)  # fmt: skip
def test_agreement(left: list[Any], right: list[Any], same: bool) -> None:
    assert agree({"y": left}, {"y": right}, 0.01) is same


def test_outputs_of_one_side_alone_are_not_compared_but_one_must_be_common() -> None:
    assert agree({"y": [1], "new": [2]}, {"y": [1]}, 0.01)
    assert not agree({"y": [1]}, {"z": [1]}, 0.01)
