"""What the status page shows: each state of a model, the order, what is asked for, and the same as JSON."""

import json
from typing import Any

import pytest

import fleets
from modelward_cli.fleet.read import Fleet
from modelward_cli.fleet.state import models
from modelward_cli.page.trails import LONGEST, extended
from modelward_cli.page.view import MOST_CARDS, MOST_RUNS, STATES, document, view


def fleet(bodies: Any, policies: Any = (), runs: Any = (), notes: Any = ()) -> Fleet:
    return Fleet(models(bodies, policies, runs), policies, runs, list(notes))


def test_the_states_are_told_in_their_order() -> None:
    assert list(fleets.STATES) == list(STATES)
    shown = view(fleet(*fleets.everything()))
    assert [each.state for each in shown.cards] == list(STATES)
    assert shown.counts == dict.fromkeys(STATES, 1)


@pytest.mark.parametrize("state", STATES)
def test_a_model_is_in_a_state(state: str) -> None:
    body, policies, runs = fleets.STATES[state]
    (card,) = view(fleet([body], policies, runs)).cards
    assert card.state == state


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"phase": "Quantum"}, "failed"),
        ({"phase": None}, "pending"),
        ({}, "ready"),
    ],
)
def test_a_phase_that_is_not_known_is_the_worst(change: dict[str, Any], state: str) -> None:
    (card,) = view(fleet([fleets.model("m", **change)])).cards
    assert card.state == state


def test_a_model_that_drifts_and_is_trained_anew_is_retraining_until_the_run_ends() -> None:
    drifts = fleets.policy("m", "Drifted")
    for phase, state in (("Starting", "retraining"), ("Running", "retraining"), ("RollingOut", "retraining"),
                         ("Failed", "drifted"), ("Promoted", "drifted")):  # fmt: skip
        (card,) = view(fleet([fleets.model("m")], [drifts], [fleets.run("m", phase)])).cards
        assert card.state == state, phase


def test_a_policy_of_another_namespace_says_nothing_of_a_model_of_the_same_name() -> None:
    other = fleets.policy("m", "Drifted", quality=fleets.quality(), signals=[fleets.BELOW])
    other["metadata"]["namespace"] = "elsewhere"
    (card,) = view(fleet([fleets.model("m")], [other])).cards
    assert (card.state, card.qualities) == ("ready", ())


def test_what_is_asked_for_is_shown_and_all_are_counted() -> None:
    everything = fleet(*fleets.everything())
    assert [each.model.name for each in view(everything, "well").cards] == ["well"]
    assert [each.run.name for each in view(everything, "well").runs] == ["well-run-1"]
    assert [each.model.name for each in view(everything, "ml/", "paused").cards] == ["held"]
    assert view(everything, "nothing of it").cards == ()
    assert sum(view(everything, "well").counts.values()) == len(STATES)


def test_a_big_fleet_is_cut_and_says_so() -> None:
    bodies = [fleets.model(f"m{each}") for each in range(MOST_CARDS + 7)]
    runs = [fleets.run(f"m{each}", "Promoted", f"2026-01-01T00:{each:02}:00Z") for each in range(MOST_RUNS + 2)]
    shown = view(fleet(bodies, (), runs))
    assert (len(shown.cards), shown.left_out, len(shown.runs)) == (MOST_CARDS, 7, MOST_RUNS)
    assert shown.runs[0].run.created == f"2026-01-01T00:{MOST_RUNS + 1}:00Z", "the newest"


def test_as_json_it_has_the_evidence_and_the_quality() -> None:
    shown = view(fleet(*fleets.everything(), notes=["a note"]))
    told = json.loads(json.dumps(document(shown, fleets.AT, None)))
    by_name = {each["name"]: each for each in told["models"]}
    gate = by_name["canary"]["rollout"]["gates"][2]
    assert (gate["limit"], gate["against"], gate["candidate"]["bad"]) == ("1%", "0.6931", 9)
    assert by_name["fraud"]["quality"][0]["signals"][0]["breached"] is True
    assert (told["notes"], told["asOf"], told["problem"]) == (["a note"], fleets.AT, None)
    assert {each["phase"] for each in told["runs"]} == {"Failed", "Running", "Promoted"}


def windows(values: Any, end: str, policy: str = "watch-m") -> Fleet:
    told = fleets.policy("m", features=[fleets.feature("amount", each, "Drifted") for each in values],
                         window={"start": "x", "end": end, "rows": 9})  # fmt: skip
    told["metadata"]["name"] = policy
    return fleet([fleets.model("m")], [told])


def test_a_trail_grows_by_a_window_and_not_by_a_look() -> None:
    key = ("ml", "m", "watch-m", "amount", "psi")
    trails = extended({}, windows(["0.1"], "1"))
    assert extended(trails, windows(["0.1"], "1")) == trails
    trails = extended(trails, windows(["0.3"], "2"))
    assert trails[key] == (("1", 0.1), ("2", 0.3))
    assert extended(trails, windows([], "3"))[key] == trails[key], "statuses name the worst features alone"
    for each in range(LONGEST + 5):
        trails = extended(trails, windows(["0.5"], f"later {each}"))
    assert (len(trails[key]), trails[key][-1][0]) == (LONGEST, f"later {LONGEST + 4}")
    assert key not in extended(trails, windows(["0.5"], "4", "another policy"))
    assert extended(trails, fleet([])) == {}


@pytest.mark.parametrize("value", ["", "nan", "inf", "1e999", "x"])
def test_what_is_no_number_is_on_no_trail(value: str) -> None:
    assert extended({}, windows([value], "1")) == {}
