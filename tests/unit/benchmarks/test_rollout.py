"""The simulation of rollouts, and in a short form what it has to show: who is harmless stays, who is not goes soon."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.rollout import simulation
from benchmarks.rollout.analyses import STEPS, FixedThreshold, by_the_clock, gated
from benchmarks.rollout.simulation import AT_THE_MARGIN, BASE, EQUAL, HARMLESS, OURS, bad_candidate, false_rollbacks
from benchmarks.rollout.traffic import ERRORS, WAYS, Scenario, Shares, draw
from modelward.rollouts.statistics.outcomes import Outcomes

THREE_MINUTES = 90
"""Looks."""


def with_errors(candidate: float, stable: float = 0.0) -> Scenario:
    return Scenario("", {**EQUAL, ERRORS: Shares(stable, candidate)})


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_stream_is_the_same_whatever_the_weight() -> None:
    traffic = draw(with_errors(0.3, 0.3), THREE_MINUTES, rng())
    totals = [
        [stable + candidate for stable, candidate in traffic.blocks(ERRORS, weight)] for weight in (0.0, 0.05, 0.5, 1.0)
    ]
    assert all(total == totals[0] for total in totals)
    assert sum(total.trials for total in totals[0]) == pytest.approx(9000, rel=0.05)
    assert sum(total.bad for total in totals[0]) == pytest.approx(2700, rel=0.1)


def test_the_weights_move_requests_and_the_shares_are_the_arms_own() -> None:
    traffic = draw(with_errors(1.0), THREE_MINUTES, rng())
    blocks = traffic.counted(ERRORS, by_the_clock(THREE_MINUTES))
    for number, weight in enumerate(STEPS):
        part = blocks[30 * number : 30 * (number + 1)]
        stable = sum((each for each, _ in part), Outcomes())
        candidate = sum((each for _, each in part), Outcomes())
        assert candidate.trials / (stable.trials + candidate.trials) == pytest.approx(weight, rel=0.25)
        assert (stable.share, candidate.share) == (0.0, 1.0)


def test_an_incident_hits_both_arms() -> None:
    traffic = draw(Scenario("", EQUAL, incident=True), 300, rng())
    shares = traffic.shares[ERRORS]
    assert np.array_equal(shares.stable, shares.candidate)
    assert np.max(shares.stable) == 0.2
    assert np.min(shares.stable) < 0.01
    assert traffic.shares["disagreeing"] == EQUAL["disagreeing"]


@pytest.mark.parametrize(
    ("share", "how", "looks"),
    [
        (0.0, "promoted", 15),  # three checks hold
        (1.0, "rolled back", 30),  # five fail, and the sixth finds that out
    ],
)
def test_checks_of_a_fixed_threshold(share: float, how: str, looks: int) -> None:
    traffic = draw(with_errors(share), THREE_MINUTES, rng())
    ended = FixedThreshold(interval=10, failures=5).run(traffic)
    assert (ended.how, ended.looks) == (how, looks)
    answered = sum(candidate.trials for _, candidate in traffic.blocks(ERRORS, 0.05)[:30])
    assert ended.errors == share * answered


def test_who_is_promoted_gets_all_of_the_traffic() -> None:
    traffic = draw(bad_candidate(0.01), 1800, rng())
    ended = FixedThreshold(interval=60, failures=5).run(traffic)
    assert ended.how == "promoted"
    assert ended.errors_in_all(traffic) > 1000


def test_our_gates_promote_who_is_no_worse() -> None:
    ended = gated(draw(Scenario("", EQUAL), 1800, rng()))
    assert ended.how == "promoted"
    assert ended.looks >= THREE_MINUTES


def test_an_upper_limit() -> None:
    assert simulation.upper(0, 299) == pytest.approx(0.00997, abs=1e-5)  # the rule of three
    assert simulation.upper(5, 5) == 1.0


@pytest.mark.parametrize(("scenario", "rollouts"), [(HARMLESS[0], 500), (HARMLESS[1], 300)], ids=["steady", "shaken"])
def test_false_rollbacks_of_a_candidate_that_is_no_worse(
    scenario: Scenario, rollouts: int, measured: Callable[[str], None]
) -> None:
    """All gates at all looks together, with a confidence of 95 %."""
    (row,) = false_rollbacks(scenario, rollouts, THREE_MINUTES, fixed=False)
    measured(f"false rollbacks, {scenario.name}: {row['rolled_back']} of {rollouts}")
    assert row["share_upper_95"] <= 0.01


def test_false_rollbacks_at_every_margin(measured: Callable[[str], None]) -> None:
    assert AT_THE_MARGIN.keys() == BASE.keys() == set(WAYS)
    (row,) = false_rollbacks(HARMLESS[2], 300, THREE_MINUTES, fixed=False)
    measured(f"false rollbacks at every margin: {row['rolled_back']} of 300")
    assert row["share"] <= 0.01


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_a_bad_candidate_goes_after_fewer_errors_than_with_a_fixed_threshold(
    share: float, measured: Callable[[str], None]
) -> None:
    rows = {row["analysis"]: row for row in simulation.errors_before_rollback(share, 20)}
    ours, fixed = rows[OURS], rows[FixedThreshold(60, 5).name]
    measured(f"errors before the rollback, {share:.0%}: {ours['errors']}; fixed threshold: {fixed['errors']}")
    assert ours["rolled_back_share"] == 1
    assert ours["errors"]["high"] < fixed["errors"]["low"]


def test_the_table_shows_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "HARMLESS", HARMLESS[:1])
    monkeypatch.setattr(simulation, "BAD_SHARES", (0.2,))
    monkeypatch.setattr(simulation, "false_rollbacks", lambda *_: false_rollbacks(HARMLESS[0], 1, 30))
    errors = simulation.errors_before_rollback
    monkeypatch.setattr(simulation, "errors_before_rollback", lambda share, _: errors(share, 2))
    shown = simulation.table(simulation.run(short=True)).splitlines()
    rows = [line for line in shown if line.startswith("| ") and OURS in line]
    assert rows[0].split("|")[3].strip() == "0 of 1"
    assert rows[1].split("|")[3].strip() == "100%"
    assert len([line for line in shown if line.startswith("| ")]) == 2 + 2 * 5
