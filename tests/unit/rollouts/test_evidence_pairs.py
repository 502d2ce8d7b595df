"""Answers to the same requests, joined and compared."""

import math
from typing import Any
from unittest import mock

import pytest

from modelward.rollouts.evidence import pairs
from modelward.rollouts.evidence.pairs import Outputs, Pairs, Sample, agree

NAN, INF = math.nan, math.inf


def answered(name: str, value: Any = 1) -> Sample:
    return Sample(name, {"label": [value]})


def failed(name: str) -> Sample:
    return Sample(name, None)


def join(*looks: tuple[list[Sample], list[Sample]]) -> tuple[int, int]:
    """Compared and disagreed, over all looks."""
    joined = Pairs(0.01)
    totals = [joined.add(*look) for look in looks]
    return sum(each[0] for each in totals), sum(each[1] for each in totals)


LOOKS: dict[str, tuple[list[tuple[list[Sample], list[Sample]]], tuple[int, int]]] = {
    "nothing": ([([], [])], (0, 0)),
    "the same answer": ([([answered("1")], [answered("1")])], (1, 0)),
    "another answer": ([([answered("1")], [answered("1", 2)])], (1, 1)),
    "another request": ([([answered("1")], [answered("2")])], (0, 0)),
    "the candidate answers later": ([([answered("1")], []), ([], [answered("1")])], (1, 0)),
    "the stable answers later": ([([], [answered("1")]), ([answered("1", 2)], [])], (1, 1)),
    "a pair is counted once": ([([answered("1")], [answered("1")]), ([], [answered("1")])], (1, 0)),
    "the candidate fails": ([([answered("1")], [failed("1")])], (1, 1)),
    "the stable fails": ([([failed("1")], [answered("1")])], (0, 0)),
    "both fail": ([([failed("1")], [failed("1")])], (0, 0)),
    "several requests with one id, on one side": ([([answered("1"), answered("1", 2)], [answered("1", 3)])], (0, 0)),
    "several requests with one id, on both": (
        [([answered("1"), answered("1", 2)], [answered("1", 2), answered("1")])], (0, 0),
    ),
    "several requests with one id, in two looks": (
        [([answered("1")], []), ([answered("1", 2)], []), ([], [answered("1", 3)])], (0, 0),
    ),
    "an id that comes again after its pair": (
        [([answered("1")], [answered("1")]), ([answered("1", 2)], [answered("1", 2)])], (2, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOOKS)
def test_joined(case: str) -> None:
    looks, expected = LOOKS[case]
    assert join(*looks) == expected


def test_the_oldest_waits_no_longer_where_too_much_does() -> None:
    with mock.patch.object(pairs, "PENDING", 2):
        waiting = Pairs(0.01)
        waiting.add([answered("1"), answered("2"), answered("3")], [])
        assert list(waiting.stable) == ["2", "3"]
        assert waiting.add([], [answered("1"), answered("3")]) == (1, 0)


AGREE: list[tuple[Outputs, Outputs, bool]] = [
    ({"label": [1, 0]}, {"label": [1, 0]}, True),
    ({"label": [1, 0]}, {"label": [1, 1]}, False),
    ({"label": [1, 0]}, {"label": [1]}, False),
    ({"label": ["fraud"]}, {"label": ["fraud"]}, True),
    ({"label": ["fraud"]}, {"label": ["good"]}, False),
    ({"label": [True]}, {"label": [True]}, True),
    ({"label": [[1, 2], [3, 4]]}, {"label": [[1, 2], [3, 4]]}, True),
    ({"label": [[1, 2], [3, 4]]}, {"label": [[1, 2], [3, 5]]}, False),
    ({"label": [[1]]}, {"label": [1]}, False),
    ({"score": [1.0]}, {"score": [1.009]}, True),
    ({"score": [1.0]}, {"score": [1.02]}, False),
    ({"score": [-1.0]}, {"score": [1.0]}, False),
    ({"score": [0.0]}, {"score": [1e-10]}, True),
    ({"score": [0.0]}, {"score": [1e-6]}, False),
    ({"score": [1]}, {"score": [1.0]}, True),
    ({"score": [1.0]}, {"score": ["1.0"]}, False),
    ({"score": [None]}, {"score": [1.0]}, False),
    ({"score": [None]}, {"score": [None]}, True),
    ({"score": [NAN]}, {"score": [NAN]}, True),
    ({"score": [NAN]}, {"score": [1.0]}, False),
    ({"score": [INF]}, {"score": [INF]}, True),
    ({"score": [INF]}, {"score": [-INF]}, False),
    ({"label": [1], "score": [0.1]}, {"label": [1]}, True),
    ({"label": [1]}, {"class": [1]}, False),
    ({"label": []}, {"label": []}, True),
    ({}, {}, False),
]


@pytest.mark.parametrize(("stable", "candidate", "same"), AGREE)
def test_agreement_does_not_hang_on_the_side(stable: Outputs, candidate: Outputs, same: bool) -> None:
    assert agree(stable, candidate, 0.01) is same
    assert agree(candidate, stable, 0.01) is same
