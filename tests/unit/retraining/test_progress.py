"""How a run goes on and ends: a table of what triggers and rollouts say."""

from dataclasses import replace
from typing import Any

import pytest

from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.progress import (
    ASK,
    START,
    advance,
    deleted,
    effect_of,
    is_to_be_stopped,
    recalled,
    settled,
    unacceptable,
)
from modelward.retraining.lifecycle.run import Artifact, Holdout, Outcome, Registration, Report, Run
from modelward.retraining.target import Memory, Rejected, RolloutFacts, TargetFacts

NOW = 1_767_225_600.0
OLD, NEW, OTHER = (Artifact(f"s3://models/fraud/{number}/fraud.tar") for number in (1, 2, 3))
ALIAS = Artifact("models:/fraud@champion")
PINNED = Artifact(OLD.uri, "sha256:" + "1" * 64)
FACTS = TargetFacts("fraud", "t", 1, 1, OLD, "fraud-a", OLD)
RUN = Run("fraud-1", "k", "Job", "Drift", "", NOW - 60, "fraud-a", OLD, phase=runs.RUNNING, drifted=("amount",))
MEMORY = Memory("fraud", "t", run=RUN)
WORSE = Holdout("auc", 0.9, 0.8)


def policy(**retrain: Any) -> DriftPolicy:
    metadata = {"namespace": "ml", "name": "fraud", "uid": "p", "generation": 1}
    settings = {"deadline": "1h", "job": {"template": {}}, **retrain}
    return parse({"metadata": metadata, "spec": {"target": {"name": "fraud"}, "retrain": settings}})


def made(model: Artifact = NEW, holdout: Holdout | None = None) -> Outcome:
    return Outcome(runs.SUCCEEDED, report=Report(model, "5", holdout))


def after(
    outcome: Outcome | None,
    run: Run = RUN,
    facts: TargetFacts | None = FACTS,
    given: DriftPolicy | None = None,
    memory: Memory = MEMORY,
    now: float = NOW,
) -> tuple[str, str, Memory]:
    """Phase or result, message, and all of it."""
    memory = replace(memory, run=run)
    moved = advance(given or policy(), facts, memory, run, outcome, now)
    after = settled(facts, memory, moved, now) if moved.phase == runs.ENDED else replace(memory, run=moved)
    return moved.shown_phase, moved.message, after


VERSION = replace(made(), report=Report(NEW, "4", None, Registration("models:/fraud/4", "http://mlflow", "4")))
STARTING = replace(RUN, phase=runs.STARTING)
ROLLING = replace(RUN, phase=runs.ROLLING_OUT, model=NEW, accepted_at=NOW)
MOVING, BACK = RolloutFacts(NEW.uri, "Progressing"), RolloutFacts(NEW.uri, "RolledBack", "slow")
TAKEN = replace(FACTS, effective=NEW, effective_run="fraud-1", accepted_at=NOW)
WRITTEN = replace(FACTS, generation=2, observed_generation=2, asked=NEW)
LATE = NOW + 3600
FOLLOWS = replace(FACTS, asked=ALIAS, effective=OLD, version="4")
MOVED = replace(FOLLOWS, effective=NEW, version="5")
ALIASED = replace(RUN, from_model=ALIAS)
AWAITING = replace(ALIASED, phase=runs.ROLLING_OUT, model=ALIAS, version="5")

CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "it was started": ({"run": STARTING, "outcome": Outcome(runs.WORKING)}, "Running", ""),
    "it could not be started now": ({"run": STARTING, "outcome": Outcome(runs.WAITS, "busy")}, "Starting", "busy"),
    "it can't be started": ({"run": STARTING, "outcome": Outcome(runs.BROKE, "no image")}, "Failed", "no image"),
    "it goes on": ({"outcome": Outcome(runs.WORKING)}, "Running", ""),
    "it fails": ({"outcome": Outcome(runs.BROKE, "exit code 1")}, "Failed", "exit code 1"),
    "it takes too long": ({"outcome": Outcome(runs.WORKING), "now": LATE}, "Failed", "spec.retrain.deadline"),
    "it was never started in time": ({"run": STARTING, "outcome": None, "now": LATE}, "Failed", "deadline"),
    "it ended in time, and is found late": ({"outcome": made(), "now": LATE}, "RollingOut", ""),
    "it made a model": ({"outcome": made()}, "RollingOut", ""),
    "it made a model by hand": (
        {"outcome": made(), "given": policy(apply="Manual")}, "Reported", "Write spec.model.uri: s3://models/fraud/2/",
    ),
    "it made a model that only a registry knows": (
        {"outcome": made(Artifact("models:/fraud/4"))}, "Failed", "(s3://models/fraud/1/fraud.tar) names none that",
    ),
    "it made what an alias means now": (
        {"outcome": made(Artifact("models:/fraud@best"))}, "Failed", "report the version, such as models:/NAME/VERSION",
    ),
    "it made a version of a registry": ({"outcome": VERSION}, "RollingOut", ""),
    "it made a version of a registry by hand": (
        {"outcome": VERSION, "given": policy(apply="Manual")}, "Reported", "Write spec.model.uri: models:/fraud/4 into",
    ),
    "it made a version of a registry that was rejected": (
        {"outcome": VERSION, "memory": replace(MEMORY, rejected=(Rejected(NEW, "too slow"),))}, "Refused", "too slow",
    ),
    "it moved another alias than spec follows": (
        {"outcome": made(Artifact("models:/fraud@challenger")), "run": ALIASED, "facts": FOLLOWS}, "Failed",
        "or the alias that spec.model.uri of the ModelDeployment follows",
    ),
    "it reports the pinned version that spec names": (
        {
            "outcome": made(Artifact("models:/fraud/5")),
            "run": replace(RUN, from_model=Artifact("models:/fraud/5")),
            "facts": replace(FACTS, asked=Artifact("models:/fraud/5"), effective=OLD, version="5"),
        }, "Failed", "only a registry can resolve",
    ),
    "it moved the alias, and the registry was not asked since": (
        {"outcome": made(ALIAS), "run": ALIASED, "facts": FOLLOWS}, "RollingOut",
        "Waiting until models:/fraud@champion is version 5, as the run says; the registry named version 4 last",
    ),
    "it moved the alias, and does not say where to": (
        {"outcome": Outcome(runs.SUCCEEDED, report=Report(ALIAS)), "run": ALIASED, "facts": FOLLOWS}, "Failed",
        "it has to report the version, too",
    ),
    "it moved the alias and spec follows another one now": (
        {"outcome": made(ALIAS), "run": ALIASED, "facts": replace(FOLLOWS, asked=OTHER, effective=None)}, "Superseded",
        "was changed to s3://models/fraud/3",
    ),
    "the registry does not name what the run moved it to": (
        {"outcome": None, "run": AWAITING, "facts": FOLLOWS}, "RollingOut", "the registry named version 4 last",
    ),
    "the registry never names what the run moved it to": (
        {"outcome": None, "run": AWAITING, "facts": FOLLOWS, "now": LATE}, "Failed", "see where it points to",
    ),
    "spec was changed while the registry was awaited": (
        {"outcome": None, "run": AWAITING, "facts": replace(FOLLOWS, asked=OTHER, effective=None)}, "Superseded",
        "was changed to s3://models/fraud/3",
    ),
    "the registry names what the run moved it to": (
        {"outcome": None, "run": AWAITING, "facts": MOVED}, "RollingOut", "models:/fraud@champion is version 5",
    ),
    "the run moved the alias to where it was": (
        {"outcome": None, "run": replace(AWAITING, version="4"), "facts": FOLLOWS}, "Unchanged", "version 4",
    ),
    "it reports the address of what it moved the alias to": (
        {"outcome": made(), "run": ALIASED, "facts": MOVED}, "RollingOut", "models:/fraud@champion was moved to it",
    ),
    "what it moved the alias to is served before it has reported": (
        {"outcome": made(), "run": ALIASED, "facts": replace(MOVED, stable=NEW, stable_revision="fraud-b")},
        "RollingOut", "was moved to it",
    ),
    "it reports the address that the alias had and has": (
        {"outcome": made(OLD), "run": ALIASED, "facts": FOLLOWS}, "Unchanged", "is to be served already",
    ),
    "what it moved the alias to is promoted": (
        {
            "outcome": None, "run": replace(AWAITING, model=NEW),
            "facts": replace(MOVED, stable=NEW, stable_revision="fraud-b"),
        }, "Promoted", "fraud-b serves s3://models/fraud/2",
    ),
    "what it moved the alias to is rolled back": (
        {"outcome": None, "run": replace(AWAITING, model=NEW), "facts": replace(MOVED, rollout=BACK)}, "RolledBack",
        "models:/fraud@champion still names version 5: move it to one that is to be served",
    ),
    "the alias is moved on while it rolls out": (
        {
            "outcome": None, "run": replace(AWAITING, model=NEW),
            "facts": replace(MOVED, effective=OTHER, version="6"),
        }, "Superseded", "models:/fraud@champion was moved to s3://models/fraud/3/",
    ),
    "the alias of spec moved while its model rolled out": (
        {
            "outcome": None, "run": replace(ROLLING, from_model=ALIAS),
            "facts": replace(FACTS, asked=ALIAS, effective=OTHER),
        }, "Superseded", "models:/fraud@champion was moved to s3://models/fraud/3/",
    ),
    "it made a worse model": ({"outcome": made(holdout=WORSE)}, "Refused", "auc 0.8, the current model 0.9"),
    "it made no other model": ({"outcome": made(OLD)}, "Unchanged", "is to be served already"),
    "it made a model that was rejected": (
        {"outcome": made(), "memory": replace(MEMORY, rejected=(Rejected(NEW, "too slow"),))}, "Refused",
        "was rejected before: too slow",
    ),
    "spec was changed meanwhile": (
        {"outcome": made(), "facts": replace(FACTS, asked=OTHER)}, "Superseded", "changed to s3://models/fraud/3",
    ),
    "the model is pinned and the report has no digest": (
        {"outcome": made(), "facts": replace(FACTS, asked=PINNED), "run": replace(RUN, from_model=PINNED)}, "Failed",
        "has to report the digest",
    ),
    "the target is gone": ({"outcome": None, "facts": None}, "Cancelled", "is gone"),
    "nobody tells": ({"outcome": Outcome(runs.UNTOLD)}, "Running", ""),
    "nobody tells, but spec has another model": (
        {"outcome": Outcome(runs.UNTOLD), "facts": WRITTEN}, "RollingOut", "was changed to s3://models/fraud/2",
    ),
    "it made the model that an earlier run made": (
        {"outcome": made(OTHER), "facts": replace(FACTS, effective=OTHER, effective_run="fraud-0")}, "Unchanged",
        "fraud/3",
    ),
    "a person wrote its model into spec": (
        {"run": ROLLING, "outcome": None, "facts": replace(WRITTEN, stable_revision="fraud-b", stable=NEW)}, "Promoted",
        "",
    ),
    "what is seen is older": (
        {"run": ROLLING, "outcome": None, "facts": replace(TAKEN, behind=True)}, "RollingOut", "",
    ),
    "the rollout has not begun": (
        {"run": ROLLING, "outcome": None, "facts": replace(TAKEN, behind=True, moving=True)}, "RollingOut",
        "",
    ),
    "the rollout goes on": (
        {"run": ROLLING, "outcome": None, "facts": replace(TAKEN, moving=True, rollout=MOVING)},
        "RollingOut", "",
    ),
    "the rollout promotes": (
        {"run": ROLLING, "outcome": None, "facts": replace(TAKEN, stable_revision="fraud-b", stable=NEW)}, "Promoted",
        "fraud-b serves s3://models/fraud/2",
    ),
    "the rollout rolls back": (
        {"run": ROLLING, "outcome": None, "facts": replace(TAKEN, rollout=BACK)},
        "RolledBack", "was rolled back: slow. fraud asks for what it asked for before",
    ),
    "a person aborts": (
        {"run": ROLLING, "outcome": None, "facts": replace(TAKEN, rollout=RolloutFacts(NEW.uri, "Aborted", "no"))},
        "RolledBack", "was aborted by hand",
    ),
    "somebody else publishes in mid-rollout": (
        {"run": ROLLING, "outcome": None, "facts": replace(FACTS, asked=OTHER)}, "Superseded", "fraud/3",
    ),
    "the new model does not come up": (
        {"run": ROLLING, "outcome": None, "facts": replace(TAKEN, moving=True, stalled="not found")}, "RollingOut",
        "not found",
    ),
    "the new model does not come up at all": (
        {"run": ROLLING, "outcome": None, "facts": replace(TAKEN, moving=True, stalled="not found"), "now": LATE},
        "Failed", "does not come up: not found",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_becomes_of_a_run(case: str) -> None:
    given, expected, sentence = CASES[case]
    found, message, memory = after(**given)
    assert found == expected
    assert sentence in message
    assert (memory.run is None) == (expected not in ("Starting", "Running", "RollingOut"))


@pytest.mark.parametrize(
    ("phase", "facts", "now", "effect"),
    [
        (runs.STARTING, FACTS, NOW, START),
        (runs.STARTING, FACTS, LATE, None),
        (runs.RUNNING, FACTS, NOW, ASK),
        (runs.RUNNING, FACTS, LATE, ASK),
        (runs.ROLLING_OUT, TAKEN, NOW, None),
        (runs.RUNNING, None, NOW, None),
    ],
)
def test_what_is_to_be_done(phase: str, facts: TargetFacts | None, now: float, effect: str | None) -> None:
    assert effect_of(policy(), facts, replace(RUN, phase=phase, model=NEW), now) == effect


@pytest.mark.parametrize(
    ("phase", "facts", "outcome", "now", "stopped"),
    [
        (runs.RUNNING, FACTS, Outcome(runs.WORKING), NOW, False),
        (runs.RUNNING, FACTS, Outcome(runs.WORKING), LATE, True),
        (runs.RUNNING, FACTS, made(), LATE, False),
        (runs.RUNNING, FACTS, Outcome(runs.BROKE), LATE, False),
        (runs.STARTING, FACTS, None, LATE, True),
        (runs.RUNNING, None, None, NOW, True),
        (runs.ROLLING_OUT, None, None, NOW, False),
    ],
)
def test_what_is_to_be_stopped(
    phase: str, facts: TargetFacts | None, outcome: Outcome | None, now: float, stopped: bool
) -> None:
    assert is_to_be_stopped(policy(), facts, replace(RUN, phase=phase), outcome, now) is stopped


def test_what_moves_an_alias_is_never_the_effective_model_itself() -> None:
    """The registry is: it also says when an alias moves on."""
    for facts in (FOLLOWS, MOVED):
        for run, outcome in ((ALIASED, made(ALIAS)), (AWAITING, None), (replace(AWAITING, model=NEW), None)):
            assert advance(policy(), facts, MEMORY, run, outcome, NOW).accepted_at is None


def test_an_alias_is_never_remembered_as_rejected() -> None:
    _, _, memory = after(made(ALIAS, WORSE), ALIASED, FOLLOWS)
    assert memory.rejected == ()
    assert after(made(ALIAS), ALIASED, FOLLOWS, memory=memory)[0] == "RollingOut"


def test_failures_are_counted_in_a_row() -> None:
    memory = replace(MEMORY, failures=1)
    assert after(Outcome(runs.BROKE, "x"), memory=memory)[2].failures == 2
    assert after(made(holdout=WORSE), memory=memory)[2].failures == 0
    assert after(None, facts=None, memory=memory)[2].failures == 1


def test_a_failed_time_of_the_schedule_is_due_again() -> None:
    nightly = replace(RUN, trigger=runs.SCHEDULE, occasion="2026-01-01T00:00:00Z")
    memory = replace(MEMORY, scheduled_at=NOW)
    assert after(Outcome(runs.BROKE, "x"), nightly, memory=memory)[2].scheduled_at == NOW - 1
    assert after(made(holdout=WORSE), nightly, memory=memory)[2].scheduled_at == NOW


def test_what_was_in_vain_is_remembered_and_forgotten_with_success() -> None:
    _, _, refused = after(made(holdout=WORSE))
    assert refused.answered is not None
    assert (refused.answered.revision, refused.answered.drifted) == ("fraud-a", ("amount",))
    assert [each.model for each in refused.rejected] == [NEW]
    promoted = replace(TAKEN, stable_revision="fraud-b", stable=NEW)
    assert after(None, ROLLING, promoted, memory=refused)[2].answered is None


def test_what_is_remembered_of_ended_runs_is_bounded() -> None:
    memory = MEMORY
    for number in range(30):
        model = Artifact(f"s3://models/fraud/{100 + number}/fraud.tar")
        run = replace(RUN, name=f"run-{number}", drifted=tuple(f"feature {each}" for each in range(100)))
        memory = after(made(model, WORSE), run, memory=memory)[2]
    memory = after(Outcome(runs.BROKE, "x"), replace(RUN, name="failed"), memory=memory)[2]
    assert ([each.name for each in memory.runs], len(memory.rejected)) == (["failed", "run-29"], 10)
    assert memory.answered is not None
    assert len(memory.answered.drifted) == 100


def test_acceptance_is_later_than_any_before_whatever_the_clocks_say() -> None:
    moved = advance(policy(), replace(FACTS, accepted_at=NOW + 99), MEMORY, RUN, made(), NOW)
    assert moved.accepted_at is not None
    assert moved.accepted_at > NOW + 99


def test_a_model_that_the_api_server_refuses_is_a_failure_and_is_never_accepted() -> None:
    moved = unacceptable(replace(ROLLING, target="fraud"), "start it with https://", NOW)
    assert (moved.shown_phase, moved.accepted_at, moved.ended_at) == ("Failed", None, NOW)
    assert "refuses s3://models/fraud/2/fraud.tar as spec.model of fraud: start it with" in moved.message


def test_a_run_that_somebody_deleted_counts_for_the_cooldown_and_as_no_failure() -> None:
    ended = deleted(RUN, NOW)
    memory = settled(FACTS, replace(MEMORY, failures=2), ended, NOW)
    assert (memory.run, memory.failures, memory.answered, memory.rejected) == (None, 2, None, ())
    assert [(each.result, each.ended_at) for each in memory.runs] == [("Deleted", NOW)]


def test_a_memory_that_was_lost_is_made_anew_from_the_runs_that_are_there() -> None:
    asked = replace(RUN, name="a", trigger=runs.REQUEST, occasion="please", started_at=NOW - 900)
    failed = replace(RUN, name="b", started_at=NOW - 600)
    ended = [
        replace(asked, phase=runs.ENDED, result=runs.ROLLED_BACK, model=NEW, ended_at=NOW - 700, message="slow"),
        replace(failed, phase=runs.ENDED, result=runs.FAILED, ended_at=NOW - 500),
        replace(RUN, name="c"),
    ]
    memory = recalled(Memory("fraud", "t"), FACTS, ended[::-1])
    assert (memory.handled_request, memory.failures) == ("please", 1)
    assert [each.name for each in memory.runs] == ["b", "a"]
    assert [each.model for each in memory.rejected] == [NEW]
    assert memory.run is None


@pytest.mark.parametrize(
    ("asked", "volumes", "taken"),
    [
        ("s3://models/fraud/1/fraud.tar", [], False),
        ("s3://models/fraud/1/fraud.tar", [{"name": "a", "persistentVolumeClaim": {"claimName": "others"}}], False),
        ("s3://models/fraud/1/fraud.tar", [{"name": "a", "persistentVolumeClaim": {"claimName": "models"}}], True),
        ("pvc://models/fraud/1/fraud.tar", [{"name": "a", "emptyDir": {}}], True),
    ],
)
def test_a_model_on_a_claim_that_no_author_was_asked_for_is_not_taken(
    asked: str, volumes: list[dict[str, Any]], taken: bool
) -> None:
    """A Job's report must not make the operator mount what its policy's author may not."""
    template = {"spec": {"template": {"spec": {"containers": [], "volumes": volumes}}}}
    model = Artifact(asked)
    facts = replace(FACTS, asked=model, stable=model)
    outcome = made(Artifact("pvc://models/fraud/2/fraud.tar"))
    found, message, _ = after(outcome, replace(RUN, from_model=model), facts, policy(job={"template": template}))
    assert found == ("RollingOut" if taken else "Failed")
    assert taken or "no right to the claim models" in message


def test_the_reference_that_was_reported_is_kept_with_the_run() -> None:
    _, _, memory = after(VERSION)
    assert memory.run is not None
    assert (memory.run.model, memory.run.registration) == (NEW, Registration("models:/fraud/4", "http://mlflow", "4"))
    assert memory.run.as_written == Artifact("models:/fraud/4")
