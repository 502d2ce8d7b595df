"""Each look takes in what happened since the last one, and nothing twice."""

from collections.abc import Mapping
from typing import Any

import pytest

from builders import observed, pod, revision, router
from modelward.facts import Arm, Observed, PodFacts, RouterPodFacts
from modelward.rollouts.evidence.by_users import ROWS
from modelward.rollouts.evidence.looks import Looks
from modelward.rollouts.evidence.pairs import Pairs
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.statistics.outcomes import Outcomes

from .scraping import FakeScraper

A, B = "fraud-a", "fraud-b"
ROUTER, OTHER = pod("router"), pod("other")
POD_A, POD_B = pod("a"), pod("b")
TEN = Counts(10, 1, 10, 2)


def facts(*routers: PodFacts, stable: PodFacts = POD_A, candidate: PodFacts = POD_B) -> Observed:
    pods = tuple(RouterPodFacts(each, "v1", frozenset({A, B})) for each in routers)
    return observed(
        B, revision(A, pods=(stable,)), revision(B, pods=(candidate,)),
        router=router(A, arms=(Arm("candidate", B, 10),), pods=pods),
    )  # fmt: skip


BOTH = facts(ROUTER, OTHER)


@pytest.fixture
def scraper() -> FakeScraper:
    return FakeScraper()


@pytest.fixture
def looks() -> Looks:
    return Looks(A, B, Pairs(0.01))


async def seen(looks: Looks, scraper: Any, where: Observed = BOTH, slo: float = 0.05) -> Mapping[str, Counts]:
    return await looks.counts(scraper, where, slo, by_clients=True)


async def paired(looks: Looks, scraper: Any, where: Observed = BOTH) -> Outcomes:
    return await looks.disagreements(scraper, where)


async def test_the_first_look_only_begins_to_count(looks: Looks, scraper: FakeScraper) -> None:
    scraper.count(ROUTER, a=TEN, b=TEN)
    assert await seen(looks, scraper) == {}
    scraper.count(ROUTER, a=TEN)
    assert await seen(looks, scraper) == {A: TEN, B: Counts()}
    assert await seen(looks, scraper) == {A: Counts(), B: Counts()}


async def test_a_router_pod_that_is_new_or_starts_anew_counts_nothing_twice(looks: Looks, scraper: FakeScraper) -> None:
    scraper.count(ROUTER, a=TEN + TEN, b=TEN)
    await seen(looks, scraper)
    scraper.count(OTHER, a=TEN, b=TEN)
    assert await seen(looks, scraper) == {A: Counts(), B: Counts()}
    scraper.routers_say[ROUTER.uid] = {}
    scraper.count(ROUTER, a=Counts(3))
    scraper.count(OTHER, b=TEN)
    assert await seen(looks, scraper) == {A: Counts(3), B: TEN}


async def test_a_router_pod_that_is_silent_is_taken_in_by_the_next_look(looks: Looks, scraper: FakeScraper) -> None:
    scraper.count(ROUTER, a=TEN)
    await seen(looks, scraper)
    said = scraper.routers_say.pop(ROUTER.uid)
    assert await seen(looks, scraper) == {}
    scraper.routers_say[ROUTER.uid] = said
    scraper.count(ROUTER, a=TEN)
    assert await seen(looks, scraper) == {A: TEN}


async def test_a_router_pod_that_is_gone_is_forgotten(looks: Looks, scraper: FakeScraper) -> None:
    scraper.count(ROUTER, a=TEN)
    await seen(looks, scraper)
    await seen(looks, scraper, facts(OTHER))
    assert looks.readings == {}


async def test_another_objective_begins_anew(looks: Looks, scraper: FakeScraper) -> None:
    """What was not slow by the old one may be slow by the new one, and was counted long ago."""
    scraper.count(ROUTER, a=Counts(1000, 10, 1000, 0), b=Counts(1000, 10, 1000, 0))
    await seen(looks, scraper, slo=0.5)
    scraper.routers_say[ROUTER.uid] = {A: Counts(1001, 10, 1001, 900), B: Counts(1001, 10, 1001, 900)}
    assert await seen(looks, scraper, slo=0.05) == {}
    scraper.count(ROUTER, a=TEN)
    assert await seen(looks, scraper, slo=0.05) == {A: TEN, B: Counts()}


async def test_what_becomes_of_copies_is_seen_by_the_pods_alone(looks: Looks, scraper: Any) -> None:
    scraper.pods_say = {POD_A.uid: TEN, POD_B.uid: TEN}
    for expected in ({}, {A: Counts(), B: Counts()}):
        assert await looks.counts(scraper, BOTH, None, by_clients=False) == expected
    scraper.pods_say[POD_B.uid] = TEN + TEN
    assert await looks.counts(scraper, BOTH, None, by_clients=False) == {A: Counts(), B: TEN}
    assert set(scraper.asked) == {"servers"}


async def test_the_same_requests_are_compared_once(looks: Looks, scraper: FakeScraper) -> None:
    scraper.answer(POD_A, ("old", 1))
    scraper.answer(POD_B, ("old", 2))
    assert await paired(looks, scraper) == Outcomes(), "they may have been compared before a restart of the operator"
    scraper.answer(POD_A, ("1", 1), ("2", 1), ("3", 1))
    scraper.answer(POD_B, ("1", 1), ("2", 2))
    assert await paired(looks, scraper) == Outcomes(2, 1)
    scraper.answer(POD_B, ("3", 1))
    assert await paired(looks, scraper) == Outcomes(1, 0)
    assert await paired(looks, scraper) == Outcomes()


async def test_a_model_pod_that_starts_anew_is_read_from_its_beginning_and_only_once(
    looks: Looks, scraper: FakeScraper
) -> None:
    scraper.answer(POD_A, ("0", 1))
    scraper.answer(POD_B, ("0", 1))
    await paired(looks, scraper)
    scraper.answer(POD_A, ("1", 1), ("2", 1), ("3", 1))
    scraper.answer(POD_B, ("1", 1), ("2", 2), epoch="e2")
    assert await paired(looks, scraper) == Outcomes(), "a part of what the new process knows"
    assert await paired(looks, scraper) == Outcomes(2, 1)
    assert await paired(looks, scraper) == Outcomes()


async def test_a_model_pod_that_starts_anew_again_and_again_is_read_once(looks: Looks, scraper: FakeScraper) -> None:
    for each in (POD_A, POD_B):
        scraper.answer(each, ("0", 1))
    await paired(looks, scraper)
    scraper.answer(POD_B, ("1", 1), epoch="e2")
    await paired(looks, scraper)
    scraper.answer(POD_B, ("2", 2), epoch="e3")
    scraper.answer(POD_A, ("2", 1))
    assert await paired(looks, scraper) == Outcomes(1, 1)
    assert await paired(looks, scraper) == Outcomes()
    assert looks.cursors[POD_B.uid] == ("e3", 1)


async def test_a_pod_that_does_not_answer_is_asked_again_from_where_it_was(looks: Looks, scraper: FakeScraper) -> None:
    for each in (POD_A, POD_B):
        scraper.answer(each, ("0", 1))
    await paired(looks, scraper)
    scraper.answer(POD_A, ("1", 1))
    said = scraper.samples_say.pop(POD_B.uid)
    assert await paired(looks, scraper) == Outcomes()
    scraper.samples_say[POD_B.uid] = said
    scraper.answer(POD_B, ("1", 1))
    assert await paired(looks, scraper) == Outcomes(1, 0)


async def test_pods_that_are_gone_or_not_ready_are_forgotten(looks: Looks, scraper: FakeScraper) -> None:
    for each in (POD_A, POD_B):
        scraper.answer(each, ("0", 1))
    await paired(looks, scraper)
    assert looks.cursors.keys() == {POD_A.uid, POD_B.uid}
    await paired(looks, scraper, facts(ROUTER, candidate=pod("b", ready=False)))
    assert looks.cursors.keys() == {POD_A.uid}


def rows(first: int) -> list[list[int]]:
    return [[first, 0, 0, 0], *[[0, 0, 0, 0]] * (ROWS - 1)]


async def test_users_are_counted_since_the_last_look_and_anew_under_another_objective(
    looks: Looks, scraper: FakeScraper
) -> None:
    async def asked(slo: float | None = 0.05) -> list[tuple[int, int]]:
        found = await looks.by_users(scraper, BOTH, slo)  # type: ignore[arg-type]
        return [(side[0].requests, sum(each.requests for each in side)) for side in (found.stable, found.candidate)]

    scraper.users_say = {POD_A.uid: rows(10), POD_B.uid: rows(5)}
    assert await asked() == [(0, 0), (0, 0)]
    scraper.users_say = {POD_A.uid: rows(12), POD_B.uid: rows(6)}
    assert await asked() == [(2, 2), (1, 1)]
    scraper.users_say = {POD_A.uid: rows(3)}  # started anew; the candidate's pod does not answer
    assert await asked() == [(3, 3), (0, 0)]
    scraper.users_say = {POD_A.uid: rows(4), POD_B.uid: rows(9)}
    assert await asked() == [(1, 1), (3, 3)]
    assert await asked(0.1) == [(0, 0), (0, 0)]
    assert scraper.slos == [0.05] * 4 + [0.1]
