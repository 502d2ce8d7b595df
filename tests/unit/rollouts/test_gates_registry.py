"""A kind of gate that nobody knows but the registry: it is asked for, seen, judged, stored and taken up again; and
what another version of the operator stored harms nobody."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from modelward.api.rollout import CANARY, ErrorRate, Gates, Metric, Rollout, parse_rollout
from modelward.facts import PROGRESSING, ROLLED_BACK, Judgement
from modelward.rollouts.decision import decide
from modelward.rollouts.evidence.collector import LOOK_EVERY
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates import registry
from modelward.rollouts.gates.gate import Asking, Context, Kind, Observation, Stored
from modelward.rollouts.gates.gates import judge, limits, mirror_of, opened, rendered
from modelward.rollouts.status import rollout_status

from .scraping import FakeScraper
from .test_evidence_collector import HUNDRED, ROUTER, STEPS, A, B, Operator, rolling

NOW = "2026-11-29T12:00:00Z"


@dataclass(frozen=True)
class Regret:
    """Of outcomes that come later: fails with the third one that was foretold wrongly."""

    name: str
    limit: str
    wrong: int = 0

    is_test = False
    by_requests = False
    by_pairs = False
    compared = 0
    needs: frozenset[str] = frozenset()

    @property
    def terms(self) -> object:
        return self.name, self.limit

    def add(self, seen: Observation) -> "Regret":
        return replace(self, wrong=self.wrong + seen.own.get("regret", 0))

    def opinion(self, context: Context) -> Judgement:
        assert context.gates.min_samples
        if self.wrong >= int(self.limit):
            return Judgement(f"{self.name}: {self.wrong} outcomes were foretold wrongly")
        return Judgement(waits_for=f"{self.name}: outcomes")

    def dump(self, alpha: float) -> dict[str, Any]:
        assert alpha
        verdict = "Fail" if self.wrong >= int(self.limit) else "Inconclusive"
        return {"name": self.name, "limit": self.limit, "verdict": verdict, "message": "", "wrong": self.wrong}


def _opened(gates: Gates, stored: Stored) -> Iterator[Regret]:
    if "regret" in gates.others:
        limit = str(gates.others["regret"]["most"])
        last: Mapping[str, Any] = stored.get("regret", {})
        yield Regret("regret", limit, last.get("wrong", 0) if last.get("limit") == limit else 0)


async def _observe(asking: Asking) -> int:
    """One wrong outcome a look, from the second on."""
    asking.memory["looks"] = asking.memory.get("looks", 0) + 1
    return int(asking.memory["looks"] > 1)


KIND = Kind("regret", _opened, lambda gates: 30 if "regret" in gates.others else 0, _observe)
GATES = parse_rollout({"gates": {"regret": {"most": 3}, "errorRate": {"margin": "1%"}}}).gates
ROLLOUT = Rollout(CANARY, STEPS, gates=GATES)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "GATES", (*registry.GATES, KIND))


@pytest.mark.usefixtures("known")
async def test_a_gate_that_only_the_registry_names_decides_a_rollout() -> None:
    """Pods are asked, the evidence grows, a restart of the operator loses none of it, and the candidate goes back."""
    scraper = FakeScraper()
    scraper.count(ROUTER, a=HUNDRED, b=HUNDRED)
    operator, facts, wrong = Operator(scraper), rolling(mirror=30, rollout=ROLLOUT), list[int]()
    for look in range(5):
        if look == 3:
            operator.restart()
        seen = await operator.look(facts, LOOK_EVERY)
        judged = replace(facts, judgement=seen.judgement)
        decision = decide(judged)
        status = rollout_status(operator.status["rollout"], judged, decision, seen.gates, NOW)
        assert status is not None
        wrong.append(status["gates"][-1]["wrong"])
        assert status["phase"] == (ROLLED_BACK if look == 4 else PROGRESSING)
    # The first look, and the one after the restart, only begin to count.
    assert wrong == [0, 1, 2, 2, 3]
    assert status["message"] == "regret: 3 outcomes were foretold wrongly"


@pytest.mark.usefixtures("known")
def test_it_goes_on_with_what_is_stored_of_it_and_asks_for_copies() -> None:
    case = opened(GATES, A, B, 1).add(Observation(own={"regret": 2}))
    again = opened(GATES, A, B, 1, rendered(case))
    assert rendered(again) == rendered(case)
    assert limits(again) == limits(case)
    other = parse_rollout({"gates": {"regret": {"most": 4}}}).gates
    assert [each["wrong"] for each in rendered(opened(other, A, B, 1, rendered(case)))] == [0]
    assert (mirror_of(GATES), mirror_of(Gates())) == (30, 0)


@pytest.mark.usefixtures("known")
def test_it_takes_no_part_of_the_chance_of_a_false_rollback_unless_it_is_a_test() -> None:
    assert opened(GATES, A, B, 1).alpha == 0.01


ERRORS = Gates(ErrorRate("1%"), metrics=(Metric("revenue", "q", min="1"),))
SEEN = opened(ERRORS, A, B, 1).add(Observation(Counts(500, 5), Counts(500, 6)))


def test_evidence_of_a_gate_that_this_operator_does_not_know_is_passed_over() -> None:
    """As after a rollback of the operator by one version."""
    later = {"name": "regret", "limit": "3", "verdict": "Fail", "message": "", "wrong": 9}
    case = opened(ERRORS, A, B, 1, [later, {"strange": 1}, *rendered(SEEN)])
    assert rendered(case) == rendered(SEEN)
    assert judge(case, ERRORS, 0.0, final=False).failed is None
    asking = parse_rollout({"gates": {"regret": {"most": 3}, "errorRate": {"margin": "1%"}}}).gates
    assert [each["name"] for each in rendered(opened(asking, A, B, 1))] == ["errorRate"]


@pytest.mark.parametrize(
    "broken",
    [
        {"against": None}, {"against": "much"}, {"stable": {"requests": 5}}, {"candidate": {"requests": 5, "bad": 9}},
        {"supports": []}, {"stable": 7},
    ],
    ids=str,
)  # fmt: skip
def test_evidence_that_cannot_be_read_begins_anew(broken: dict[str, Any]) -> None:
    errors, revenue = rendered(SEEN)
    nothing = rendered(opened(ERRORS, A, B, 1))
    assert errors != nothing[0]
    assert rendered(opened(ERRORS, A, B, 1, [{**errors, **broken}, revenue])) == nothing
    assert rendered(opened(ERRORS, A, B, 1, [errors, {**revenue, "failures": "many"}]))[0] == errors


def test_evidence_as_the_version_before_stored_it_goes_on() -> None:
    stored = [
        {
            "name": "errorRate", "limit": "1%", "verdict": "Inconclusive", "message": "…",
            "stable": {"requests": 7000, "bad": 70}, "candidate": {"requests": 2100, "bad": 28},
            "against": "1.5000", "supports": "-0.2500",
        },
        {"name": "revenue", "limit": "at least 1: q", "verdict": "Inconclusive", "message": "…", "failures": 2},
    ]  # fmt: skip
    errors, revenue = rendered(opened(ERRORS, A, B, 1, stored))
    assert {**errors, "message": "…"} == stored[0]
    assert {**revenue, "message": "…"} == stored[1]
