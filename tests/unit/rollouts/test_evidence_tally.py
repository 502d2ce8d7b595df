"""What happened between two looks: nothing is counted twice, whatever restarts."""

import pytest

from modelward.rollouts.evidence.tally import Counts, Readings, between, remembered

A, B = "fraud-a", "fraud-b"
ROUTER, OTHER = "uid-router", "uid-other"


def counts(requests: int, errors: int = 0, timed: int = 0, slow: int = 0) -> Counts:
    return Counts(requests, errors, timed, slow)


LOOKS: dict[str, tuple[Readings, Readings, dict[str, Counts]]] = {
    "the first look only begins to count": ({}, {ROUTER: {A: counts(100, 50)}}, {}),
    "the difference of two looks": (
        {ROUTER: {A: counts(100, 5, 90, 9)}}, {ROUTER: {A: counts(130, 6, 120, 11)}}, {A: counts(30, 1, 30, 2)},
    ),
    "all pods together": (
        {ROUTER: {A: counts(1)}, OTHER: {A: counts(10)}},
        {ROUTER: {A: counts(2), B: counts(5)}, OTHER: {A: counts(20)}},
        {A: counts(11), B: counts(5)},
    ),
    "a revision that a pod has not seen before": (
        {ROUTER: {A: counts(1)}}, {ROUTER: {A: counts(1), B: counts(7, 2)}}, {A: counts(0), B: counts(7, 2)},
    ),
    "a pod that is new": ({ROUTER: {A: counts(1)}}, {ROUTER: {A: counts(2)}, OTHER: {A: counts(50)}}, {A: counts(1)}),
    "a pod that does not answer": ({ROUTER: {A: counts(1)}}, {}, {}),
    "a container that was started anew counts from the beginning": (
        {ROUTER: {A: counts(100, 5), B: counts(10)}}, {ROUTER: {A: counts(7, 1), B: counts(2)}},
        {A: counts(7, 1), B: counts(2)},
    ),
    "started anew, and one of its counters is as high as before": (
        {ROUTER: {A: counts(100, 0)}}, {ROUTER: {A: counts(40, 3)}}, {A: counts(40, 3)},
    ),
    "of what the stable answered only what the revision was tried for is the revision's": (
        {ROUTER: {A: Counts(10, 1, 9, 2, instead=4, tried=1)}},
        {ROUTER: {A: Counts(30, 5, 29, 3, instead=19, tried=5)}},
        {A: counts(9, 4, 9, 1)},
    ),
    "what was slow and what failed stay, where requests are still on their way": (
        {ROUTER: {A: Counts()}}, {ROUTER: {A: Counts(6, 2, 6, 3, instead=9, tried=2)}}, {A: counts(2, 2, 3, 3)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOOKS)
def test_between_two_looks(case: str) -> None:
    before, now, expected = LOOKS[case]
    assert between(before, now) == expected


def test_a_pod_that_was_silent_for_a_while_is_taken_in_when_it_answers() -> None:
    pods = frozenset({ROUTER})
    first = remembered({}, {ROUTER: {A: counts(10)}}, pods)
    silent = remembered(first, {}, pods)
    assert between(silent, {ROUTER: {A: counts(25)}}) == {A: counts(15)}


def test_pods_that_are_gone_are_forgotten() -> None:
    assert remembered({OTHER: {}}, {ROUTER: {}}, frozenset({ROUTER})) == {ROUTER: {}}
