"""The status of a policy: conditions, columns, its size, what survives being stored, and what is told of changes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api_schema import fits
from libyaml import document
from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.drift.verdicts import DRIFTED, NO_DRIFT, UNKNOWN, Judged, Recent, Verdict
from modelward.retraining.conditions.status import TargetState, build_status
from modelward.retraining.events import health_transitions, run_transitions, verdict_transitions
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Run
from modelward.retraining.lifecycle.start import knows
from modelward.retraining.persistence.legacy import legacy_memory, legacy_run
from modelward.retraining.persistence.memory import load_memory, memory_manifest, memory_name
from modelward.retraining.target import Answered, Ended, Memory, Rejected

SCHEMA = document((Path(__file__).parents[3] / "crds/driftpolicies.modelward.io.yaml").read_text())
STATUS = SCHEMA["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
NOW = "2026-01-01T00:00:00Z"

MODEL = Artifact("s3://models/fraud/1/fraud.tar", "sha256:" + "1" * 64)
NUMBERS = {
    "name": "amount", "metric": "psi", "value": "0.31", "threshold": "0.2", "cut": "0.2", "rows": 900,
    "outcome": "Drifted",
}  # fmt: skip
DRIFT = Verdict(
    DRIFTED, "amount drifts", "fraud-a", Judged(0.0, 3600.25, 900, "sha256:2"), 3, ("amount",), (NUMBERS,),
    (Recent(3600.25, ("amount",)), Recent(1800.0, ())),
)  # fmt: skip
CALM = replace(DRIFT, verdict=NO_DRIFT, message="nothing drifts", drifted=())
RUN = Run(
    "fraud-1", "k", "Job", "Drift", "amount drifts", 5000.5, "fraud-a", MODEL, attempt=2, phase=runs.ROLLING_OUT,
    model=Artifact("s3://models/fraud/2/fraud.tar"), holdout="auc 0.9, the current model 0.8", version="7", handle="/r",
    message="so it is", drifted=("amount",), features=(NUMBERS,), window=DRIFT.window, target="fraud", target_uid="t",
    occasion="then", uid="u", begun_at=5001.0, accepted_at=5002.0,
)  # fmt: skip
ENDED = Ended("fraud-0", "Drift", "then", 1, runs.ROLLED_BACK, 3000.0, 4000.0, "too slow")
FULL = knows(
    Memory(
        "fraud", "t", DRIFT, 100.0, "please", 2, Answered("fraud-a", ("amount",), "fraud-0", "RolledBack"),
        (Rejected(MODEL, "too slow"),), None, (ENDED,),
    ),
    RUN,
)  # fmt: skip


def policy(status: Any = None, generation: int = 1, target: Any = None) -> DriftPolicy:
    metadata = {"namespace": "ml", "name": "fraud", "uid": "p", "generation": generation}
    return parse({"metadata": metadata, "spec": {"target": target or {"name": "fraud"}}, "status": status or {}})


def status_of(*states: TargetState, given: DriftPolicy | None = None) -> dict[str, Any]:
    return build_status(given or policy(), states, NOW)


def test_what_is_remembered_is_what_is_read() -> None:
    body = memory_manifest(policy(), FULL)
    assert load_memory(body, forgiven=False) == FULL
    assert body["metadata"]["ownerReferences"][0]["uid"] == "p"


def test_a_memory_that_somebody_wrote_over_is_none() -> None:
    body = memory_manifest(policy(), FULL)
    assert load_memory({**body, "data": {"memory": "[]"}}, forgiven=False) is None
    assert load_memory({**body, "data": None}, forgiven=False) is None


def test_a_namesake_has_a_memory_of_its_own() -> None:
    assert memory_name(policy(), "t") != memory_name(policy(), "another")
    assert memory_name(policy(), "t") == memory_name(policy(generation=2), "t")


def test_a_status_is_built_from_what_is_there_and_fits_the_crd() -> None:
    status = status_of(TargetState(FULL, RUN, "waits"))
    fits(status, STATUS, "status")
    assert status["targets"][0]["lastRun"] == {"name": "fraud-1", "phase": "RollingOut"}
    assert status["counts"] == {
        "targets": 1, "drifted": 1, "stalled": 0, "starting": 0, "running": 0, "rollingOut": 1,
    }  # fmt: skip
    later = "2026-01-01T00:00:09Z"
    assert build_status(policy(status), [TargetState(FULL, RUN, "waits")], later) == status, "nothing to write"


def test_a_policy_of_five_hundred_models_that_all_drift_has_a_status_that_fits() -> None:
    names = tuple(f"transaction_feature_with_a_name_that_{'is_very_' * 30}long_{number}" for number in range(20))
    numbers = tuple({**NUMBERS, "name": name} for name in names[:10])
    drift = replace(
        DRIFT,
        message="x" * 5000,
        drifted=names,
        features=numbers,
        recent=tuple(Recent(float(n), names) for n in range(24)),
    )
    uri = "s3://models/" + "x" * 1000
    states = []
    for number in range(500):
        run = replace(RUN, target=f"model-{number}", message="y" * 5000, drifted=names, features=numbers)
        memory = Memory(
            f"model-{number}", f"uid-{number}", drift, 100.0, "please", 2, Answered("a", names, "x-0", "RolledBack"),
            tuple(Rejected(Artifact(f"{uri}{each}"), "z" * 5000) for each in range(10)), None, (ENDED, ENDED, ENDED),
        )  # fmt: skip
        states.append(TargetState(knows(memory, run), run, "o" * 5000, "p" * 5000))
    status = status_of(*states)
    assert len(json.dumps(status)) < 64 * 1024
    assert (len(status["targets"]), status["counts"]["targets"], status["counts"]["drifted"]) == (10, 500, 500)
    largest = max(len(json.dumps(memory_manifest(policy(), each.memory))) for each in states)
    assert largest < 256 * 1024, "and what is remembered of each fits into an object of its own"


def test_who_changes_spec_has_looked() -> None:
    memory = load_memory(memory_manifest(policy(), FULL), forgiven=True)
    assert memory is not None
    assert (memory.failures, memory.answered, memory.run) == (0, None, FULL.run)


def test_a_verdict_that_could_not_be_given_stays_a_problem() -> None:
    verdict = Verdict(UNKNOWN, "no such feature", "fraud-a", DRIFT.window, problem="no such feature")
    found = load_memory(memory_manifest(policy(), Memory("fraud", "t", verdict)), forgiven=False)
    assert found is not None
    assert found.verdict.problem == "no such feature"


LEGACY = {
    "name": "fraud", "uid": "t", "revision": "fraud-a", "verdict": "Drifted", "message": "amount drifts", "failures": 1,
    "handledRequest": "please",
    "run": {
        "name": "fraud-2", "key": "p/t/Request/a#b#2", "kind": "Webhook", "trigger": "Request", "attempt": 2,
        "reason": "asked", "phase": "Applying", "revision": "fraud-a", "from": {"uri": MODEL.uri},
        "model": {"uri": "s3://models/fraud/2/fraud.tar"}, "startedAt": NOW, "handle": "/runs/2",
    },
    "runs": [
        {
            "name": f"fraud-{number}", "key": f"p/t/Drift/{NOW}", "kind": "Job", "trigger": "Drift", "result": "Failed",
            "phase": "Ended", "message": "no data", "startedAt": NOW, "endedAt": NOW,
        }
        for number in range(10)
    ],
}  # fmt: skip


def test_what_an_earlier_operator_stored_in_status_is_taken_over() -> None:
    memory, run = legacy_memory(LEGACY, forgiven=False), legacy_run(LEGACY)
    assert memory is not None
    assert (memory.failures, memory.handled_request, memory.verdict.verdict) == (1, "please", DRIFTED)
    assert [(each.name, each.result, each.occasion) for each in memory.runs] == [("fraud-0", "Failed", NOW)]
    assert run is not None
    assert (run.name, run.occasion, run.attempt, run.phase) == ("fraud-2", "a#b", 2, runs.ROLLING_OUT)
    assert (run.from_model, run.handle, run.target_uid) == (Artifact(MODEL.uri), "/runs/2", "t")


@pytest.mark.parametrize("entry", [{}, {"name": "fraud", "run": "fraud-1"}, {"name": "fraud", "run": {"name": "x"}}])
def test_what_can_not_be_read_of_an_earlier_status_is_no_run(entry: dict[str, Any]) -> None:
    assert legacy_run(entry) is None


CONDITIONS: dict[str, tuple[tuple[TargetState, ...], dict[str, tuple[str, str]]]] = {
    "watching": (
        (TargetState(Memory("fraud", "t", CALM)),),
        {"Ready": ("True", "Watching fraud"), "Drifted": ("False", "nothing drifts"), "Stalled": ("False", "Nothing"),
         "Reconciling": ("False", "as spec asks")},
    ),
    "drift and a run": (
        (TargetState(FULL, RUN),),
        {"Ready": ("True", ""), "Drifted": ("True", "amount drifts. The run fraud-1 is RollingOut: so it is")},
    ),
    "drift and an obstacle": (
        (TargetState(Memory("fraud", "t", DRIFT), obstacle="one at a time"),),
        {"Drifted": ("True", "drifts. one at a time")},
    ),
    "nobody to watch": ((), {"Ready": ("False", "There is no ModelDeployment fraud in ml; create it"),
                             "Reconciling": ("True", ""), "Drifted": ("Unknown", "nothing to watch")}),
    "no monitor": (
        (TargetState(Memory("fraud", "t"), missing="No monitor answers"),),
        {"Ready": ("False", "No monitor answers"), "Reconciling": ("True", ""), "Drifted": ("Unknown", "No monitor")},
    ),
    "a person": (
        (TargetState(Memory("fraud", "t", CALM), stalled="3 runs failed"),),
        {"Ready": ("False", "3 runs failed"), "Stalled": ("True", "3 runs failed"), "Reconciling": ("False", "")},
    ),
    "one of two": (
        (TargetState(Memory("a", "t", CALM)), TargetState(Memory("b", "t", DRIFT))),
        {"Ready": ("True", "Watching a, b"), "Drifted": ("True", "b: amount drifts")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CONDITIONS)
def test_conditions(case: str) -> None:
    states, expected = CONDITIONS[case]
    found = {each["type"]: each for each in status_of(*states)["conditions"]}
    assert set(found) == {"Ready", "Reconciling", "Stalled", "Drifted"}
    for kind, (status, sentence) in expected.items():
        assert found[kind]["status"] == status, kind
        assert sentence in found[kind]["message"], kind


def test_columns_show_the_target_that_drifts_most() -> None:
    shown = status_of(TargetState(Memory("a", "t", CALM)), TargetState(FULL, RUN))["summary"]
    assert (shown["target"], shown["verdict"], shown["feature"], shown["value"], shown["runResult"]) == (
        "fraud and 1 more", "Drifted", "amount", "psi 0.31", "RollingOut",
    )  # fmt: skip


def test_a_selector_that_takes_nobody_is_named() -> None:
    given = policy(target={"selector": {"matchLabels": {"team": "risk"}}})
    ready = next(each for each in status_of(given=given)["conditions"] if each["type"] == "Ready")
    assert "No ModelDeployment of ml has the labels team=risk" in ready["message"]


def test_each_change_is_told_once() -> None:
    def told(old: TargetState | None, new: TargetState) -> list[str]:
        before = status_of(old) if old else {}
        found = [
            *verdict_transitions("fraud", old.memory.verdict if old else Verdict(), new.memory.verdict),
            *health_transitions(before, status_of(new)),
        ]
        return [each.reason for each in found]

    calm, drifts = TargetState(Memory("fraud", "t", CALM)), TargetState(Memory("fraud", "t", DRIFT))
    stuck = TargetState(Memory("fraud", "t", CALM), stalled="look")
    assert told(None, calm) == ["Watching"]
    assert told(calm, drifts) == ["DriftDetected"]
    assert told(drifts, calm) == ["DriftEnded"]
    assert told(calm, stuck) == ["Stalled"]
    assert all(told(each, each) == [] for each in (calm, drifts, stuck))


def test_each_step_of_a_run_is_told_once() -> None:
    starting = replace(RUN, phase=runs.STARTING)
    over = replace(RUN, phase=runs.ENDED, result=runs.PROMOTED, ended_at=9000.0)

    def told(old: Run | None, new: Run) -> list[str]:
        return [each.reason for each in run_transitions(old, new)]

    assert told(None, starting) == ["RetrainingStarted"]
    assert told(starting, replace(RUN, phase=runs.RUNNING)) == []
    assert told(starting, RUN) == ["RetrainedModelRollsOut"]
    assert told(RUN, over) == ["RetrainingPromoted"]
    assert all(told(each, each) == [] for each in (starting, RUN, over))


HELD = replace(
    RUN, phase=runs.RUNNING, message="No node takes the pod: 0/3. Add nodes", delay="Unschedulable", deadline=7000.0
)
TELLS = "The run fraud-1 does not go on: No node takes the pod: 0/3. Add nodes. It is stopped at 1970-01-01T01:56:40Z"


def test_a_run_that_is_held_up_is_told_of_beside_what_is_watched() -> None:
    ready, reconciling, stalled, drifted = status_of(TargetState(FULL, HELD))["conditions"]
    assert (ready["status"], ready["message"]) == ("True", f"Watching fraud. {TELLS}")
    assert (reconciling["status"], stalled["status"]) == ("False", "False")
    assert "It is stopped at" in drifted["message"]


def test_a_delay_is_one_event_however_often_it_comes_and_goes() -> None:
    (told,) = run_transitions(replace(HELD, delay=""), HELD)
    assert (told.kind, told.reason, told.message.startswith("fraud-1 for fraud: No node")) == (
        "Warning", "RetrainingDelayed", True,
    )  # fmt: skip
    assert list(run_transitions(HELD, HELD)) == []
    (again,) = run_transitions(replace(HELD, delay="PodFailed"), HELD)
    assert again.name("fraud", "p") == told.name("fraud", "p")
