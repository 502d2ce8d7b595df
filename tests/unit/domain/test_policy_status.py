"""The status of a policy: conditions, columns, what survives being stored, and what is told of changes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from api_schema import fits
from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.domain import runs
from modelward.domain.policy import Answered, Memory, Rejected
from modelward.domain.policy_events import policy_transitions
from modelward.domain.policy_memory import memories_of
from modelward.domain.policy_status import TargetState, active_runs, build_status, phases
from modelward.domain.runs import Artifact, Run
from modelward.domain.verdicts import DRIFTED, NO_DRIFT, UNKNOWN, Judged, Recent, Verdict

SCHEMA = yaml.safe_load((Path(__file__).parents[3] / "crds/driftpolicies.modelward.io.yaml").read_text())
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
    target_generation=3, message="so it is", drifted=("amount",), features=(NUMBERS,), window=DRIFT.window,
)  # fmt: skip
ENDED = replace(RUN, name="fraud-0", phase=runs.ENDED, result=runs.ROLLED_BACK, ended_at=4000.0)
FULL = Memory(
    "fraud", "t", DRIFT, 100.0, "please", 2, Answered("fraud-a", ("amount",), "fraud-0", "RolledBack"),
    (Rejected(MODEL, "too slow"),), RUN, (ENDED,),
)  # fmt: skip


def policy(status: Any = None, generation: int = 1, target: Any = None) -> DriftPolicy:
    metadata = {"namespace": "ml", "name": "fraud", "uid": "p", "generation": generation}
    return parse({"metadata": metadata, "spec": {"target": target or {"name": "fraud"}}, "status": status or {}})


def status_of(*states: TargetState, given: DriftPolicy | None = None) -> dict[str, Any]:
    return build_status(given or policy(), states, NOW)


def test_what_is_stored_is_what_is_read() -> None:
    status = status_of(TargetState(FULL, "waits"))
    fits(status, STATUS, "status")
    assert memories_of(policy(status)) == {"fraud": FULL}
    assert build_status(policy(status), [TargetState(FULL, "waits")], "later") == status, "nothing to write"


def test_who_changes_spec_has_looked() -> None:
    status = status_of(TargetState(FULL))
    (memory,) = memories_of(policy(status, generation=2)).values()
    assert (memory.failures, memory.answered, memory.run) == (0, None, RUN)


def test_a_verdict_that_could_not_be_given_stays_a_problem() -> None:
    memory = Memory(
        "fraud", "t", Verdict(UNKNOWN, "no such feature", "fraud-a", DRIFT.window, problem="no such feature")
    )
    (found,) = memories_of(policy(status_of(TargetState(memory)))).values()
    assert found.verdict.problem == "no such feature"


CONDITIONS: dict[str, tuple[tuple[TargetState, ...], dict[str, tuple[str, str]]]] = {
    "watching": (
        (TargetState(Memory("fraud", "t", CALM)),),
        {"Ready": ("True", "Watching fraud"), "Drifted": ("False", "nothing drifts"), "Stalled": ("False", "Nothing"),
         "Reconciling": ("False", "as spec asks")},
    ),
    "drift and a run": (
        (TargetState(FULL),),
        {"Ready": ("True", ""), "Drifted": ("True", "amount drifts. The run fraud-1 is RollingOut: so it is")},
    ),
    "drift and an obstacle": (
        (TargetState(Memory("fraud", "t", DRIFT), "one at a time"),), {"Drifted": ("True", "drifts. one at a time")},
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
    shown = status_of(TargetState(Memory("a", "t", CALM)), TargetState(FULL))["summary"]
    assert (shown["target"], shown["verdict"], shown["feature"], shown["value"], shown["runResult"]) == (
        "fraud and 1 more", "Drifted", "amount", "psi 0.31", "RollingOut",
    )  # fmt: skip


def test_a_selector_that_takes_nobody_is_named() -> None:
    given = policy(target={"selector": {"matchLabels": {"team": "risk"}}})
    ready = next(each for each in status_of(given=given)["conditions"] if each["type"] == "Ready")
    assert "No ModelDeployment of ml has the labels team=risk" in ready["message"]


def test_what_runs() -> None:
    status = status_of(TargetState(FULL), TargetState(Memory("b", "t", CALM)))
    assert active_runs(status) == {"fraud": "fraud-1"}
    assert phases(status) == {"fraud-1": "RollingOut"}


def reasons(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [each.reason for each in policy_transitions(old, new)]


def test_each_change_is_told_once() -> None:
    nothing: dict[str, Any] = {}
    calm = status_of(TargetState(Memory("fraud", "t", CALM)))
    starting = replace(RUN, phase=runs.STARTING)
    drifts = status_of(TargetState(Memory("fraud", "t", DRIFT, run=starting)))
    rolling = status_of(TargetState(Memory("fraud", "t", DRIFT, run=RUN)))
    over = replace(RUN, phase=runs.ENDED, result=runs.PROMOTED, ended_at=9000.0)
    promoted = status_of(TargetState(Memory("fraud", "t", CALM, runs=(over,))))
    stuck = status_of(TargetState(Memory("fraud", "t", CALM, runs=(over,)), stalled="look"))
    assert reasons(nothing, calm) == ["Watching"]
    assert reasons(calm, drifts) == ["DriftDetected", "RetrainingStarted"]
    assert reasons(drifts, rolling) == ["RetrainedModelRollsOut"]
    assert reasons(rolling, promoted) == ["DriftEnded", "RetrainingPromoted"]
    assert reasons(promoted, stuck) == ["Stalled"]
    assert reasons(stuck, status_of()) == []
    assert all(reasons(each, each) == [] for each in (calm, drifts, rolling, promoted, stuck))
