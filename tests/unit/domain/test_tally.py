"""What happened between two looks at counters that only grow."""

from modelward.domain.tally import Counts, between, remembered

A, B = "fraud-a", "fraud-b"


def counts(requests: int, errors: int = 0) -> Counts:
    return Counts(requests, errors, requests, 0)


def test_the_growth_of_every_pod_is_pooled() -> None:
    before = {"one": {A: counts(100, 1)}, "two": {A: counts(50)}}
    now = {"one": {A: counts(110, 3), B: counts(4, 4)}, "two": {A: counts(55)}}
    assert between(before, now) == {A: counts(15, 2), B: counts(4, 4)}


def test_a_pod_that_is_seen_for_the_first_time_only_begins_to_count() -> None:
    assert between({}, {"one": {A: counts(100)}}) == {}


def test_a_counter_that_began_anew_counts_from_nothing() -> None:
    assert between({"one": {A: counts(100, 9)}}, {"one": {A: counts(7, 1)}}) == {A: counts(7, 1)}
    assert Counts(10, 0, 10, 0).since(Counts(10, 1, 10, 0)) == Counts(10, 0, 10, 0)


def test_a_pod_that_did_not_answer_is_caught_up_with_and_one_that_is_gone_is_forgotten() -> None:
    first = {"one": {A: counts(10)}, "two": {A: counts(10)}}
    missed = remembered(first, {"one": {A: counts(20)}}, frozenset({"one", "two"}))
    assert between(missed, {"one": {A: counts(21)}, "two": {A: counts(30)}}) == {A: counts(21)}
    assert remembered(first, {}, frozenset({"two"})) == {"two": {A: counts(10)}}
