"""When pods are asked, what is made of their answers, and what a restart of the operator makes of it: nothing new."""

from dataclasses import replace
from typing import Any

import pytest

import polled
from builders import MODEL, observed, owner, pod, revision, router
from modelward.api.modeldeployment import Gateway, ParentReference, Router
from modelward.api.rollout import (
    BLUE_GREEN,
    CANARY,
    SHADOW,
    BlueGreen,
    Disagreement,
    ErrorRate,
    Gates,
    Latency,
    Metric,
    Rollout,
    Shadow,
    Step,
)
from modelward.api.traffic import AS_IT_COMES, HeaderMatch, StickyBy, Traffic
from modelward.facts import Arm, Clock, Observed, Progress, RouterPodFacts, VariantFacts
from modelward.kube.cache import Key
from modelward.kube.poller import REST, Poller
from modelward.net.prometheus import PrometheusError
from modelward.rollouts.evidence.by_users import ROWS
from modelward.rollouts.evidence.collector import ASK_EVERY, COMPARE_EVERY, LOOK_EVERY, EvidenceCollector, Seen
from modelward.rollouts.evidence.tally import Counts

from .scraping import FakeScraper

A, B, C = "fraud-a", "fraud-b", "fraud-c"
ROUTER, POD_A, POD_B, POD_C = pod("router"), pod("a"), pod("b"), pod("c")
STEPS = (Step(10), Step(50))
ERRORS = Gates(ErrorRate("1%"))
CANARIES = Rollout(CANARY, STEPS, gates=ERRORS)
FIRST_STEP = Progress(B)
HUNDRED, BAD = Counts(100), Counts(100, 60)


def rolling(
    weight: int = 10, mirror: int = 0, progress: Progress = FIRST_STEP, rollout: Rollout = CANARIES
) -> Observed:
    return among((Arm("candidate", B, weight, mirror),), target=B, progress=progress, rollout=rollout)


def among(arms: tuple[Arm, ...], target: str = A, progress: Progress | None = None, **facts: Any) -> Observed:
    pods = (RouterPodFacts(ROUTER, "v1", frozenset({A, B, C})),)
    revisions = (revision(A, pods=(POD_A,)), revision(B, pods=(POD_B,)), revision(C, pods=(POD_C,)))
    return observed(
        target, *revisions, router=router(A, arms=arms, pods=pods, progress=progress), clock=Clock(1000.0, step=900.0),
        **facts,
    )  # fmt: skip


VARIANT = VariantFacts("b", C, MODEL, weight=20)
AB = among((Arm("b", C, 20),), variants=(VARIANT,))


class FakePrometheus:
    def __init__(self) -> None:
        self.queries: list[str] = []
        self.answers: list[float | Exception | None] = []

    async def query(self, promql: str) -> float | None:
        self.queries.append(promql)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Operator:
    """An EvidenceCollector with a clock of its own, and the status that it would have written."""

    def __init__(self, scraper: FakeScraper, prometheus: FakePrometheus | None = None) -> None:
        self.scraper, self.prometheus, self.now = scraper, prometheus, 5000.0
        self.status: dict[str, Any] = {}
        self.uid, self.traffic, self.router = owner().uid, AS_IT_COMES, Router()
        self.restart()

    def restart(self) -> None:
        anything: Any = self.scraper
        self.due: list[Key] = []
        self.poller = Poller(self.due.append, lambda: self.now)
        self.evidence = EvidenceCollector(anything, self.prometheus, self.poller)  # type: ignore[arg-type]

    async def look(self, facts: Observed, later: float = 0.0) -> Seen:
        """What a reconcile is told once those have answered whom an earlier one had asked."""
        self.now += later
        seen = await polled.told(
            self.poller,
            lambda: self.evidence.look(
                replace(owner(traffic=self.traffic, router=self.router), uid=self.uid, status=self.status), facts
            ),
        )
        progress = facts.router.progress
        if progress is not None and seen.gates is not None:
            told = {"from": A, "revision": progress.revision, "attempt": progress.attempt, "gates": seen.gates}
            self.status = {**self.status, "rollout": told}
        if seen.comparisons:
            self.status["variants"] = [
                {"name": name, "against": A, "revision": C, "comparisons": shown}
                for name, shown in seen.comparisons.items()
            ]
        return seen


@pytest.fixture
def scraper() -> FakeScraper:
    made = FakeScraper()
    made.count(ROUTER, a=HUNDRED, b=HUNDRED, c=HUNDRED)
    return made


@pytest.fixture
def operator(scraper: FakeScraper) -> Operator:
    return Operator(scraper)


def candidate(seen: Seen, gate: int = 0) -> tuple[int, int]:
    assert seen.gates is not None
    shown = seen.gates[gate]["candidate"]
    return shown["requests"], shown["bad"]


async def test_a_candidate_is_looked_at_so_often_and_no_more(operator: Operator, scraper: FakeScraper) -> None:
    first = await operator.look(rolling())
    assert (scraper.asked, candidate(first), first.again_in) == (["routers"], (0, 0), LOOK_EVERY)
    scraper.count(ROUTER, a=HUNDRED, b=HUNDRED)
    early = await operator.look(rolling(), LOOK_EVERY - 0.5)
    assert (scraper.asked, candidate(early), early.again_in) == (["routers"], (0, 0), 0.5)
    second = await operator.look(rolling(), 0.5)
    assert (scraper.asked, candidate(second), second.again_in) == (["routers"] * 2, (100, 0), LOOK_EVERY)
    assert second.judgement is not None
    assert (second.judgement.passed, second.judgement.compared) == (True, 100)


async def test_what_models_refuse_is_asked_of_their_pods_whatever_the_routers_say(
    operator: Operator, scraper: FakeScraper
) -> None:
    """Routers see a client's mistake in it; the rest of what pods say is the routers' to tell."""
    facts = rolling(rollout=Rollout(CANARY, STEPS))
    scraper.pods_say = {POD_A.uid: Counts(answered=10, refused=1), POD_B.uid: Counts(answered=10, refused=1)}
    await operator.look(facts)
    scraper.count(ROUTER, a=HUNDRED, b=HUNDRED)
    scraper.pods_say = {
        POD_A.uid: Counts(900, 800, answered=110, refused=2), POD_B.uid: Counts(900, 800, answered=110, refused=61),
    }  # fmt: skip
    seen = await operator.look(facts, LOOK_EVERY)
    assert (candidate(seen), candidate(seen, 1)) == ((100, 0), (100, 60))
    assert seen.judgement is not None
    assert seen.judgement.failed is not None
    assert seen.judgement.failed.startswith(
        "refusals: 60 of 100 (60.00%) requests that the model refused, against 1 of 100 (1.00%) of the stable"
    )


async def test_pods_that_answer_slowly_are_asked_less_often(operator: Operator, scraper: FakeScraper) -> None:
    ask = scraper.routers

    async def slow(*arguments: Any) -> Any:
        operator.now += 3 * LOOK_EVERY
        return await ask(*arguments)

    scraper.routers = slow  # type: ignore[method-assign]
    assert (await operator.look(rolling())).again_in == (REST - 1) * 3 * LOOK_EVERY


NOBODY: dict[str, Observed] = {
    "nothing is rolled out": observed(A, revision(A), router=router(A)),
    "the candidate gets nothing yet": observed(B, revision(A), revision(B), router=router(A, B)),
    "the router's configuration is gone": observed(B, revision(A), revision(B)),
    "it was rolled back": rolling(progress=Progress(B, 0, "RolledBack")),
    "variants get nothing yet": among((Arm("b", C),), variants=(VARIANT,)),
}


@pytest.mark.parametrize("case", NOBODY)
async def test_nobody_is_asked_in_vain(operator: Operator, scraper: FakeScraper, case: str) -> None:
    assert await operator.look(NOBODY[case]) == Seen()
    assert scraper.asked == []


async def test_a_bad_candidate_fails(operator: Operator, scraper: FakeScraper) -> None:
    await operator.look(rolling())
    scraper.count(ROUTER, a=HUNDRED, b=BAD)
    seen = await operator.look(rolling(), LOOK_EVERY)
    assert seen.judgement is not None
    assert seen.judgement.failed is not None
    assert seen.judgement.failed.startswith("errorRate: 60 of 100 (60.00%) errors, against 0 of 100 (0.00%)")


async def test_the_last_step_needs_a_decision(operator: Operator, scraper: FakeScraper) -> None:
    passed = {}
    for step in (0, 1):
        facts = rolling(progress=Progress(B, step))
        await operator.look(facts, LOOK_EVERY)
        scraper.count(ROUTER, a=HUNDRED, b=HUNDRED)
        seen = await operator.look(facts, LOOK_EVERY)
        assert seen.judgement is not None
        passed[step] = seen.judgement.passed
    assert passed == {0: True, 1: False}


@pytest.mark.parametrize("between", ["nothing", "a restart of the operator", "the candidate's arm goes and comes back"])
async def test_a_restart_counts_nothing_twice(operator: Operator, scraper: FakeScraper, between: str) -> None:
    await operator.look(rolling())
    scraper.count(ROUTER, a=HUNDRED, b=Counts(100, 3))
    before = await operator.look(rolling(), LOOK_EVERY)
    if between == "a restart of the operator":
        operator.restart()
    elif between != "nothing":
        await operator.look(NOBODY["the candidate gets nothing yet"])
    first = await operator.look(rolling(), LOOK_EVERY)
    assert first.gates == before.gates
    scraper.count(ROUTER, a=HUNDRED, b=Counts(100, 1))
    assert candidate(await operator.look(rolling(), LOOK_EVERY)) == (200, 4)


@pytest.mark.parametrize(
    "other",
    [rolling(progress=Progress(B, attempt=2)), replace(rolling(progress=Progress(C)), target=C)],
    ids=["another attempt", "another revision"],
)
@pytest.mark.parametrize("restart", [False, True])
async def test_another_attempt_or_revision_begins_anew(
    operator: Operator, scraper: FakeScraper, other: Observed, restart: bool
) -> None:
    other = replace(other, router=replace(other.router, routes=replace(
        other.router.routes, arms=(Arm("candidate", other.target, 10),)  # type: ignore[type-var]
    )))  # fmt: skip
    await operator.look(rolling())
    scraper.count(ROUTER, a=HUNDRED, b=Counts(100, 3))
    await operator.look(rolling(), LOOK_EVERY)
    if restart:
        operator.restart()
    assert candidate(await operator.look(other, LOOK_EVERY)) == (0, 0)


async def test_gates_that_change_in_the_middle_of_it(operator: Operator, scraper: FakeScraper) -> None:
    await operator.look(rolling())
    scraper.count(ROUTER, a=Counts(100, 0, 100, 90), b=Counts(100, 0, 100, 90))
    await operator.look(rolling(), LOOK_EVERY)
    timed = Rollout(CANARY, STEPS, gates=Gates(ErrorRate("1%"), Latency("50ms")))
    added = await operator.look(rolling(rollout=timed), LOOK_EVERY)
    assert (candidate(added), candidate(added, 1)) == ((100, 0), (0, 0)), "what was slow before is not counted"
    scraper.count(ROUTER, a=Counts(10, 0, 10, 1), b=Counts(10, 0, 10, 1))
    seen = await operator.look(rolling(rollout=timed), LOOK_EVERY)
    assert (candidate(seen), candidate(seen, 1)) == ((110, 0), (10, 1))
    stricter = Rollout(CANARY, STEPS, gates=Gates(ErrorRate("0.5%"), Latency("50ms")))
    seen = await operator.look(rolling(rollout=stricter))
    assert (candidate(seen), candidate(seen, 1)) == ((0, 0), (10, 1))
    assert scraper.slos == [None, None, 0.05, 0.05]


def shadowing(**gates: Any) -> Observed:
    return rolling(0, 100, rollout=Rollout(SHADOW, shadow=Shadow(), gates=Gates(**gates)))


async def test_a_shadow_is_judged_by_its_pods(operator: Operator, scraper: FakeScraper) -> None:
    scraper.pods_say = {POD_A.uid: HUNDRED, POD_B.uid: HUNDRED}
    facts = shadowing(error_rate=ErrorRate("1%"))
    await operator.look(facts)
    scraper.pods_say[POD_B.uid] = HUNDRED + BAD
    assert candidate(await operator.look(facts, LOOK_EVERY)) == (100, 60)
    assert scraper.asked == ["servers"] * 2


async def test_answers_are_compared_where_a_gate_asks_for_it(operator: Operator, scraper: FakeScraper) -> None:
    facts = shadowing(disagreement=Disagreement("5%"))
    for each in (POD_A, POD_B):
        scraper.answer(each, ("old", 1))
    await operator.look(facts)
    scraper.answer(POD_A, ("1", 1), ("2", 1))
    scraper.answer(POD_B, ("1", 1), ("2", 2))
    assert candidate(await operator.look(facts, LOOK_EVERY)) == (2, 1)
    operator.restart()
    for _ in range(2):
        assert candidate(await operator.look(facts, LOOK_EVERY)) == (2, 1), "pods still hold what was compared"


async def test_before_a_switch_nobody_is_waited_for_who_gets_nothing(operator: Operator, scraper: FakeScraper) -> None:
    scraper.pods_say = {POD_A.uid: HUNDRED, POD_B.uid: Counts()}
    green = Rollout(BLUE_GREEN, blue_green=BlueGreen(hold="5m"), gates=ERRORS)
    seen = await operator.look(rolling(0, 0, rollout=green))
    assert seen.judgement is not None
    assert seen.judgement.passed
    copied = await operator.look(rolling(0, 30, rollout=green))
    assert copied.judgement is not None
    assert copied.judgement.waits_for == "errorRate: 0 of 100 requests"


REVENUE = Metric("revenue", 'sum(revenue{revision="$candidate"}) / sum(revenue{revision="$stable"})', min="0.9")
BUSINESS = rolling(rollout=Rollout(CANARY, STEPS, gates=Gates(metrics=(REVENUE,))))


async def test_prometheus_is_asked_less_often(scraper: FakeScraper) -> None:
    prometheus = FakePrometheus()
    operator = Operator(scraper, prometheus)
    prometheus.answers = [0.95, 0.5]
    looks = [await operator.look(BUSINESS, LOOK_EVERY) for _ in range(int(ASK_EVERY / LOOK_EVERY) + 2)]
    assert prometheus.queries == [f'sum(revenue{{revision="{B}"}}) / sum(revenue{{revision="{A}"}})'] * 2
    messages = [gates[0]["message"] for gates in (each.gates for each in looks) if gates]
    assert list(dict.fromkeys(messages)) == ["0.95, wanted: at least 0.9", "0.5, wanted: at least 0.9"]


async def test_bad_values_are_counted_on_after_a_restart(scraper: FakeScraper) -> None:
    prometheus = FakePrometheus()
    operator = Operator(scraper, prometheus)
    prometheus.answers = [0.5, 0.5, PrometheusError("Prometheus can't be reached"), 0.5]
    for _ in range(2):
        await operator.look(BUSINESS, ASK_EVERY)
    operator.restart()
    unknown = await operator.look(BUSINESS, ASK_EVERY)
    assert unknown.judgement is not None
    assert unknown.judgement.waits_for == "revenue: Prometheus can't be reached"
    failed = await operator.look(BUSINESS, ASK_EVERY)
    assert failed.judgement is not None
    assert failed.judgement.failed == "revenue: 0.5, wanted: at least 0.9, 3 times in a row"


@pytest.mark.parametrize(
    ("metric", "cause"),
    [(REVENUE, "MODELWARD_PROMETHEUS_URL"), (replace(REVENUE, query="$nobody"), "$nobody in the query means nothing")],
)
async def test_why_prometheus_can_not_be_asked(scraper: FakeScraper, metric: Metric, cause: str) -> None:
    operator = Operator(scraper, None if metric is REVENUE else FakePrometheus())
    seen = await operator.look(rolling(rollout=Rollout(CANARY, STEPS, gates=Gates(metrics=(metric,)))))
    assert seen.judgement is not None
    assert cause in str(seen.judgement.waits_for)


def compared(seen: Seen) -> dict[str, tuple[int, int]]:
    return {each["name"]: tuple(each["variant"].values()) for each in seen.comparisons.get("b", ())}  # type: ignore[misc]


async def test_variants_are_looked_at_now_and_then(operator: Operator, scraper: FakeScraper) -> None:
    first = await operator.look(AB)
    assert (first.judgement, first.gates, first.comparisons, first.again_in) == (None, None, {"b": []}, COMPARE_EVERY)
    scraper.count(ROUTER, a=HUNDRED, c=Counts(100, 7))
    early = await operator.look(AB, COMPARE_EVERY - 1)
    assert (scraper.asked, early.comparisons) == (["routers"], {"b": []})
    assert compared(await operator.look(AB, 1)) == {"errorRate": (100, 7)}
    assert scraper.asked == ["routers"] * 2


async def test_variants_go_on_after_a_restart(operator: Operator, scraper: FakeScraper) -> None:
    await operator.look(AB)
    scraper.count(ROUTER, a=HUNDRED, c=Counts(100, 7))
    await operator.look(AB, COMPARE_EVERY)
    operator.restart()
    assert compared(await operator.look(AB)) == {"errorRate": (100, 7)}
    scraper.count(ROUTER, a=HUNDRED, c=Counts(100, 1))
    assert compared(await operator.look(AB, COMPARE_EVERY)) == {"errorRate": (200, 8)}


async def test_a_variant_that_moves_to_another_revision_begins_anew(operator: Operator, scraper: FakeScraper) -> None:
    await operator.look(AB)
    scraper.count(ROUTER, a=HUNDRED, c=Counts(100, 7))
    await operator.look(AB, COMPARE_EVERY)
    moved = among((Arm("b", B, 20),), variants=(replace(VARIANT, revision=B),))
    for _ in range(2):
        assert compared(await operator.look(moved, COMPARE_EVERY)).get("errorRate", (0, 0)) == (0, 0)


async def test_a_permanent_shadow_is_compared_answer_by_answer(operator: Operator, scraper: FakeScraper) -> None:
    scraper.pods_say = {POD_A.uid: HUNDRED, POD_C.uid: HUNDRED}
    facts = among((Arm("b", C, 0, 100),), variants=(replace(VARIANT, weight=0, mirror=100),))
    for each in (POD_A, POD_C):
        scraper.answer(each, ("old", 1))
    await operator.look(facts)
    scraper.answer(POD_A, ("1", 1), ("2", 1))
    scraper.answer(POD_C, ("1", 1), ("2", 2))
    assert compared(await operator.look(facts, COMPARE_EVERY)) == {"disagreement": (2, 1)}


async def test_candidate_and_variant_at_once(operator: Operator, scraper: FakeScraper) -> None:
    arms = (Arm("candidate", B, 10), Arm("b", C, 20))
    both = among(arms, B, Progress(B), rollout=Rollout(CANARY, STEPS), variants=(VARIANT,))
    seen = await operator.look(both)
    assert seen.again_in == LOOK_EVERY
    assert seen.judgement is not None
    assert list(seen.comparisons) == ["b"]


async def test_what_is_forgotten_begins_anew(operator: Operator, scraper: FakeScraper) -> None:
    await operator.look(rolling())
    await operator.look(AB)
    operator.evidence.forget(Key("ml", "fraud"))
    operator.status = {}
    scraper.count(ROUTER, a=HUNDRED, b=BAD, c=BAD)
    assert candidate(await operator.look(rolling())) == (0, 0)
    assert compared(await operator.look(AB)) == {}


async def test_a_namesake_begins_with_evidence_of_its_own(operator: Operator, scraper: FakeScraper) -> None:
    """Deleted and made anew between two reconciles, under the same name and with the same models."""
    arms = (Arm("candidate", B, 10), Arm("b", C, 20))
    both = among(arms, B, Progress(B), rollout=CANARIES, variants=(VARIANT,))
    await operator.look(both)
    scraper.count(ROUTER, a=HUNDRED, b=BAD, c=BAD)
    seen = await operator.look(both, COMPARE_EVERY)
    assert (candidate(seen), compared(seen)) == ((100, 60), {"errorRate": (100, 60)})
    operator.uid, operator.status = "another", {}
    seen = await operator.look(both, COMPARE_EVERY)
    assert (candidate(seen), compared(seen)) == ((0, 0), {})


def by_users(*first: list[int]) -> list[list[int]]:
    """Rows of a pod: answered, failed, refused, slow."""
    return [*first, *[[1000, 0, 0, 0]] * (ROWS - 1 - len(first)), [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("traffic", "verdict"),
    [
        (Traffic(StickyBy(header="x-user")), "Inconclusive"), (Traffic(StickyBy(cookie="visitor")), "Inconclusive"),
        (Traffic(match=(HeaderMatch("x-beta", "yes"),)), "Inconclusive"), (Traffic(), "Fail"),
    ],
)  # fmt: skip
async def test_where_users_stay_on_a_side_they_are_the_unit(
    operator: Operator, scraper: FakeScraper, traffic: Traffic, verdict: str
) -> None:
    """One of them always gets errors, of the candidate; a restart of the operator forgets none of it."""
    operator.traffic = traffic
    counted = {POD_A.uid: by_users(), POD_B.uid: by_users()}
    scraper.users_say = counted
    await operator.look(rolling())
    scraper.count(ROUTER, a=Counts(32_000), b=Counts(33_000, 1000))
    scraper.users_say = {name: [[2 * n for n in row] for row in rows] for name, rows in counted.items()}
    scraper.users_say[POD_B.uid] = by_users([2000, 1000, 0, 0])
    for _ in range(2):
        seen = await operator.look(rolling(), LOOK_EVERY)
        assert seen.gates is not None
        assert seen.gates[0]["verdict"] == verdict
        operator.restart()
    assert ("users" in seen.gates[0]) is ("users" in scraper.asked) is (verdict == "Inconclusive")


async def test_behind_a_gateway_nobody_believes_who_a_client_says_it_is(
    operator: Operator, scraper: FakeScraper
) -> None:
    """Gateways pass the router's header on as clients send it."""
    operator.traffic = Traffic(match=(HeaderMatch("x-beta", "yes"),))
    operator.router = Router(gateway=Gateway((ParentReference("shared"),)))
    await operator.look(rolling())
    await operator.look(AB)
    assert "users" not in scraper.asked


async def test_users_are_not_asked_for_where_only_copies_are_sent(operator: Operator, scraper: FakeScraper) -> None:
    operator.traffic = Traffic(StickyBy(header="x-user"))
    await operator.look(rolling(weight=0, mirror=50))
    assert "users" not in scraper.asked


async def test_variants_are_compared_by_users_where_they_stay(operator: Operator, scraper: FakeScraper) -> None:
    operator.traffic = Traffic(StickyBy(header="x-user"))
    scraper.users_say = {POD_A.uid: by_users(), POD_C.uid: by_users()}
    await operator.look(AB)
    scraper.count(ROUTER, a=Counts(32_000), c=Counts(33_000, 1000))
    scraper.users_say = {
        POD_A.uid: [[2 * n for n in row] for row in by_users()],
        POD_C.uid: by_users([2000, 1000, 0, 0]),
    }
    (errors,) = (await operator.look(AB, COMPARE_EVERY)).comparisons["b"]
    assert errors["low"].startswith("-")
    operator.restart()
    assert (await operator.look(AB, COMPARE_EVERY)).comparisons["b"] == [errors]
