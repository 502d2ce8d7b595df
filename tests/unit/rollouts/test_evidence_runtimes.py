"""Where another server than ours is on either side, routers alone are evidence: no pod is asked for what it has not."""

from dataclasses import replace

import pytest

from modelward.api.rollout import (
    CANARY,
    SHADOW,
    Disagreement,
    ErrorRate,
    Gates,
    Refusals,
    Rollout,
    by_router_alone,
    left_out,
)
from modelward.api.traffic import StickyBy, Traffic
from modelward.facts import Arm, Observed, RuntimeFacts
from modelward.rollouts.evidence.collector import COMPARE_EVERY, LOOK_EVERY
from modelward.rollouts.evidence.tally import Counts

from .scraping import FakeScraper
from .test_evidence_collector import (
    AB,
    ERRORS,
    HUNDRED,
    ROUTER,
    STEPS,
    VARIANT,
    A,
    B,
    C,
    Operator,
    candidate,
    rolling,
    scraper,
)  # fmt: skip

__all__ = ["scraper"]

RUNTIME = RuntimeFacts("triton", "v2", "/v2/health/ready", "/v2/health/live")


def foreign(facts: Observed, *revisions: str) -> Observed:
    """Some of whose revisions are another server."""
    found = {
        name: replace(each, runtime=RUNTIME) if name in revisions else each for name, each in facts.revisions.items()
    }
    return replace(facts, revisions=found)


@pytest.mark.parametrize("sides", [(A, B), (A,), (B,)], ids=["both", "the stable", "the candidate"])
async def test_a_canary_is_judged_by_the_routers(scraper: FakeScraper, sides: tuple[str, ...]) -> None:
    operator = Operator(scraper)
    operator.traffic = Traffic(sticky_by=StickyBy(header="x-user"))
    facts = foreign(rolling(), *sides)
    await operator.look(facts)
    scraper.count(ROUTER, a=HUNDRED, b=Counts(100, 60))
    seen = await operator.look(facts, LOOK_EVERY)
    assert set(scraper.asked) == {"routers"}, "neither for users nor for answers"
    assert candidate(seen) == (100, 60)
    assert seen.judgement is not None
    assert "errorRate: 60 of 100" in str(seen.judgement.failed)


async def test_a_shadow_is_judged_by_what_the_routers_count_of_copies(scraper: FakeScraper) -> None:
    operator = Operator(scraper)
    facts = foreign(rolling(0, 100, rollout=Rollout(SHADOW, gates=ERRORS)), A, B)
    await operator.look(facts)
    scraper.count(ROUTER, a=HUNDRED, b=Counts(100, 60))
    seen = await operator.look(facts, LOOK_EVERY)
    assert set(scraper.asked) == {"copies"}
    assert candidate(seen) == (100, 60)
    assert seen.judgement is not None
    assert seen.judgement.failed is not None


async def test_without_a_router_of_its_own_nobody_is_asked(scraper: FakeScraper) -> None:
    """Behind a Gateway, which an object of before may still be: no evidence is made up of pods that have none."""
    operator = Operator(scraper)
    facts = foreign(rolling(), A, B)
    facts = replace(facts, router=replace(facts.router, pods=()))
    await operator.look(facts)
    seen = await operator.look(facts, LOOK_EVERY)
    assert scraper.asked == []
    assert candidate(seen) == (0, 0)


async def test_a_variant_is_compared_by_the_routers(scraper: FakeScraper) -> None:
    operator = Operator(scraper)
    for arm, asked in ((Arm("b", C, 20, 50), "routers"), (Arm("b", C, 0, 50), "copies")):
        scraper.asked.clear()
        facts = foreign(AB, A, C)
        assert facts.router.routes is not None
        routes = replace(facts.router.routes, arms=(arm,))
        facts = replace(facts, router=replace(facts.router, routes=routes))
        await operator.look(facts)
        scraper.count(ROUTER, a=HUNDRED, c=HUNDRED)
        await operator.look(facts, COMPARE_EVERY)
        assert set(scraper.asked) == {asked}


async def test_with_a_tap_on_both_sides_answers_are_compared_and_without_on_one_they_are_not(
    scraper: FakeScraper,
) -> None:
    shadow = replace(AB, variants=(replace(VARIANT, weight=0, mirror=100),))
    for tapped, asked in (((A, C), {"copies", "samples"}), ((C,), {"copies"}), ((), {"copies"})):
        scraper.asked.clear()
        facts = foreign(shadow, A, C)
        assert facts.router.routes is not None
        routes = replace(facts.router.routes, arms=(Arm("b", C, 0, 100),))
        found = {name: replace(each, tapped=name in tapped) for name, each in facts.revisions.items()}
        facts = replace(facts, router=replace(facts.router, routes=routes), revisions=found)
        await Operator(scraper).look(facts)
        assert set(scraper.asked) == asked


def test_with_a_tap_only_refusals_are_left_out() -> None:
    gates = Gates(ErrorRate(), refusals=Refusals(), disagreement=Disagreement("1%"))
    asked = Rollout(CANARY, STEPS, gates=gates)
    assert left_out(asked, by_router_alone(asked, tapped=True)) == ("refusals",)


def test_gates_that_ask_our_own_server_are_left_out() -> None:
    gates = Gates(ErrorRate(), refusals=Refusals(), disagreement=Disagreement("1%"), min_samples=7)
    asked = Rollout(CANARY, STEPS, gates=gates)
    assert left_out(asked, by_router_alone(asked)) == ("refusals", "disagreement")
    assert left_out(asked, asked) == ()
    found = by_router_alone(asked).gates
    assert (found.refusals, found.disagreement) == (None, None)
    assert (found.error_rate, found.min_samples) == (ErrorRate(), 7)
