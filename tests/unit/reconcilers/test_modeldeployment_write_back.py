"""What a ModelDeployment has its registry told, and what its status says of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api_schema import fits
from builders import MODEL, observed, owner, revision, router
from libyaml import document
from modelward.api.conditions import by_type
from modelward.api.modeldeployment import Model, ModelDeployment
from modelward.api.modelregistry import Mlflow, ModelRegistry, Spec, WriteBack
from modelward.api.rollout import Rollout
from modelward.facts import Arm, Observed, Progress, RevisionFacts
from modelward.models.following import Following, Trouble
from modelward.models.resolved import Resolution, Resolved
from modelward.models.write_back import Named, Registered, Rejected, Written, show
from modelward.reconcilers.modeldeployment.events import transitions
from modelward.reconcilers.modeldeployment.status import build_status
from modelward.reconcilers.modeldeployment.write_back import Due, Told, due, told
from modelward.retraining.effective import Accepted, Effective
from modelward.retraining.lifecycle.run import Artifact, Registration
from modelward.rollouts.decision import decide

CRD = document((Path(__file__).parents[3] / "crds/modeldeployments.modelward.io.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
A, B = "fraud-a", "fraud-b"
CHALLENGER = "models:/fraud@challenger"
ONE, TWO = Registered("fraud", "1"), Registered("fraud", "2")
WROTE_ONE = Written(ONE)


def registry(url: str = "http://mlflow", how: WriteBack | None = WriteBack()) -> ModelRegistry:  # noqa: B008
    return ModelRegistry("ml", "mlflow", "uid-r", 1, Spec(mlflow=Mlflow(url), write_back=how))


def at(name: str, version: str, **facts: Any) -> RevisionFacts:
    model = replace(MODEL, uri=f"s3://m/{version}", version=version)
    return replace(revision(name, **facts), model=model)


def seen(target: str, version: str, *revisions: RevisionFacts, **facts: Any) -> Observed:
    model = replace(MODEL, uri=f"s3://m/{version}", version=version)
    return replace(observed(target, *revisions, **facts), target_model=model)


def following(version: str, reference: str = CHALLENGER) -> Following:
    found = Resolved(f"s3://m/{version}", version)
    return Following("mlflow", Resolution(reference, "mlflow", "http://mlflow", 0.0, found))


def model(done: Written | None = None, **rollout: Any) -> ModelDeployment:
    record = None if done is None else show(done, "mlflow", "http://mlflow")
    one = owner(model=Model("s3://m/2"), rollout=Rollout(**rollout))
    return replace(one, status={"writeBack": record} if record else {})


def found(
    facts: Observed,
    version: str,
    done: Written | None = None,
    how: WriteBack | None = WriteBack(),  # noqa: B008
    effective: Effective | None = None,
    said: Following | None = None,
    **rollout: Any,
) -> Due | None:
    own = Artifact(f"s3://m/{version}")
    return due(
        model(done, **rollout), registry(how=how), facts, decide(facts), said or following(version),
        effective or Effective(own, own),
    )  # fmt: skip


def wanted(*arguments: Any, **more: Any) -> Written:
    one = found(*arguments, **more)
    assert one is not None
    return one.wanted


SERVES_ONE = seen(A, "1", at(A, "1"), router=router(A))
SERVES_TWO = seen(B, "2", at(B, "2"), router=router(B))
ON_TRIAL = seen(B, "2", at(A, "1"), at(B, "2"), router=router(A, B, arms=(Arm("candidate", B, 10),)))
REJECTED = seen(
    B, "2", at(A, "1"), router=router(A, progress=Progress(B, 0, "RolledBack", "GateFailed", "too many errors"))
)


def test_what_serves_is_stable_once_it_answers() -> None:
    assert wanted(SERVES_ONE, "1") == WROTE_ONE
    comes_up = seen(A, "1", at(A, "1", ready=0), router=router(A))
    assert wanted(comes_up, "1") == Written()
    unreached = seen(A, "1", at(A, "1"), router=replace(router(A), pods=()))
    assert wanted(unreached, "1") == Written()
    unrouted = seen(A, "1", at(A, "1"))
    assert wanted(unrouted, "1") == Written()


def test_a_version_on_trial_changes_nothing_and_one_that_took_over_does() -> None:
    assert wanted(ON_TRIAL, "2", WROTE_ONE) == WROTE_ONE
    assert wanted(SERVES_TWO, "2", WROTE_ONE) == Written(TWO)


@pytest.mark.parametrize("phase", ["RolledBack", "Aborted"])
def test_a_version_that_was_rejected_is_told_with_its_reason(phase: str) -> None:
    facts = replace(REJECTED, router=router(A, progress=Progress(B, 0, phase, "GateFailed", "too many errors")))
    assert wanted(facts, "2", WROTE_ONE) == Written(ONE, Rejected(TWO, "too many errors"))


def test_a_rejection_is_remembered_until_that_version_serves() -> None:
    done = Written(ONE, Rejected(TWO, "too many errors"))
    assert wanted(SERVES_ONE, "1", done) == done
    assert wanted(SERVES_TWO, "2", done) == Written(TWO)


def test_an_alias_moves_with_the_promotion_and_not_before() -> None:
    how = WriteBack(aliases=("champion",))
    asked = {"how": how, "promoted_alias": "champion"}
    done = Written(ONE, None, Named("champion", ONE))
    assert wanted(SERVES_ONE, "1", **asked) == done
    assert wanted(ON_TRIAL, "2", done, **asked) == done
    assert wanted(REJECTED, "2", done, **asked).named == done.named
    assert wanted(SERVES_TWO, "2", done, **asked) == Written(TWO, None, Named("champion", TWO))


@pytest.mark.parametrize(
    ("aliases", "reference", "reason"),
    [
        ((), CHALLENGER, "AliasNotAllowed"),
        (("other",), CHALLENGER, "AliasNotAllowed"),
        (("champion",), "models:/fraud@champion", "AliasFollowed"),
        (("champion",), "models:/fraud@CHAMPION", "AliasFollowed"),
        (("champion",), "models:/fraud@%63hampion", "AliasFollowed"),
    ],
)
def test_an_alias_that_may_not_be_moved_is_told_and_the_rest_is_written(
    aliases: tuple[str, ...], reference: str, reason: str
) -> None:
    how, said = WriteBack(aliases=aliases), following("2", reference)
    one = found(SERVES_TWO, "2", Written(begun=(TWO,)), how, said=said, promoted_alias="champion")
    assert one is not None
    assert (one.wanted, one.problem and one.problem.reason) == (Written(TWO), reason)
    shown = told(one, None, done=True)
    assert shown.condition is not None
    assert (shown.condition.status, shown.condition.reason) == (False, reason)


def test_a_retraining_runs_model_is_no_version_of_the_registry() -> None:
    own, made = Artifact("s3://m/2"), Artifact("s3://m/run")
    by_run = Effective(own, made, Accepted("run", made, own, 1.0))
    facts = replace(SERVES_TWO, target_model=replace(MODEL, uri="s3://m/run"))
    assert wanted(facts, "2", WROTE_ONE, effective=by_run) == Written()


def test_a_version_that_a_retraining_run_reported_is_one() -> None:
    own, made = Artifact("s3://m/1"), Artifact("s3://m/2")
    said = Accepted("run", made, own, 1.0, Registration("models:/fraud/2", "http://mlflow", "2"))
    how = WriteBack(aliases=("champion",))
    by_run = {"effective": Effective(own, made, said), "said": following("1"), "how": how, "promoted_alias": "champion"}
    assert wanted(SERVES_TWO, "2", WROTE_ONE, **by_run) == Written(TWO, None, Named("champion", TWO))
    assert wanted(REJECTED, "2", WROTE_ONE, **by_run).rejected == Rejected(TWO, "too many errors")
    elsewhere = replace(said, registration=Registration("models:/fraud/2", "http://other", "2"))
    by_run["effective"] = Effective(own, made, elsewhere)
    assert wanted(SERVES_TWO, "2", WROTE_ONE, **by_run) == Written()


def test_a_model_that_follows_no_more_leaves_no_version_stable() -> None:
    own = Artifact("s3://m/2")
    one = due(model(WROTE_ONE), registry(), SERVES_TWO, decide(SERVES_TWO), None, Effective(own, own))
    assert one is not None
    assert (one.wanted, len(one.steps)) == (Written(), 1)
    assert told(one, None, done=True).record is None


def test_nothing_is_told_to_a_registry_that_may_not_be_written_to_or_is_another() -> None:
    assert found(SERVES_TWO, "2", how=None) is None
    moved = following("2")
    assert moved.resolution is not None
    elsewhere = replace(moved, resolution=replace(moved.resolution, address="http://other"))
    assert wanted(SERVES_TWO, "2", said=elsewhere) == Written()
    assert wanted(replace(SERVES_TWO, unresolved=True), "2", WROTE_ONE) == WROTE_ONE
    assert wanted(SERVES_TWO, "1", WROTE_ONE) == Written(), "what serves is not what was resolved"


def test_tags_can_be_left_out_and_are_taken_back_then() -> None:
    how = WriteBack(tags=False, aliases=("champion",))
    one = found(SERVES_TWO, "2", Written(ONE), how, promoted_alias="champion")
    assert one is not None
    assert one.wanted == Written(None, None, Named("champion", TWO))
    assert [type(each).__name__ for each in one.steps] == ["SetAlias", "SetTag"]


def status_of(one: Due | None, shown: Told, last: Any = None) -> dict[str, Any]:
    body = replace(model(), status=last or {})
    own = Artifact("s3://m/2")
    built = build_status(
        body, SERVES_TWO, decide(SERVES_TWO), "v1", None, "2026-01-01T00:00:00Z", effective=Effective(own, own),
        following=following("2"), back=shown,
    )  # fmt: skip
    fits(built, SCHEMA["status"], "status")
    return built


def test_status_says_what_is_due_what_failed_and_what_was_told() -> None:
    one = found(SERVES_TWO, "2", WROTE_ONE)
    assert one is not None
    assert one.first == Written(ONE, begun=(TWO,)), "before it is written it is recorded"
    first = told(one, None, done=False)
    assert (first.record, first.again_in) == (show(Written(ONE, begun=(TWO,)), "mlflow", "http://mlflow"), 0.1)
    begun = found(SERVES_TWO, "2", Written(ONE, begun=(TWO,)))
    assert begun is not None
    assert begun.first is None
    asking = status_of(begun, told(begun, None, done=False))
    assert by_type(asking["conditions"])["WrittenBack"]["status"] == "Unknown"
    trouble = Trouble("Forbidden", "mlflow does not allow it. Give the login the permission EDIT", answered=True)
    failed = status_of(begun, told(begun, trouble, done=False, again_in=7.0), asking)
    condition = by_type(failed["conditions"])["WrittenBack"]
    assert (condition["status"], condition["reason"]) == ("False", "Forbidden")
    assert failed["writeBack"] == asking["writeBack"] == show(Written(ONE, begun=(TWO,)), "mlflow", "http://mlflow")
    assert [each.reason for each in transitions(asking, failed)] == ["Forbidden"]
    assert by_type(failed["conditions"])["Ready"] == by_type(asking["conditions"])["Ready"], "it serves all the same"
    done = status_of(begun, told(begun, None, done=True), failed)
    condition = by_type(done["conditions"])["WrittenBack"]
    assert condition["message"] == "ModelRegistry mlflow was told that version 2 of fraud is stable"
    assert done["writeBack"] == show(Written(TWO), "mlflow", "http://mlflow")


def test_a_failure_that_was_told_holds_until_there_is_an_answer() -> None:
    begun = Written(ONE, begun=(TWO,))
    one = found(SERVES_TWO, "2", begun)
    assert one is not None
    trouble = Trouble("Forbidden", "no", answered=True)
    failed = status_of(one, told(one, trouble, done=False))
    owner_of = replace(model(), status=failed)
    own = Artifact("s3://m/2")
    again = due(owner_of, registry(), SERVES_TWO, decide(SERVES_TWO), following("2"), Effective(own, own))
    assert again is not None
    assert told(again, None, done=False).condition == told(one, trouble, done=False).condition
    assert told(again, Trouble("TimedOut", "late"), done=False).condition != told(one, trouble, done=False).condition
    newer = due(
        replace(owner_of, generation=2), registry(), SERVES_TWO, decide(SERVES_TWO), following("2"), Effective(own, own)
    )
    assert newer is not None
    shown = told(newer, None, done=False).condition
    assert shown is not None
    assert shown.reason == "Writing"


def test_nothing_to_be_told_yet_is_no_failure() -> None:
    one = found(seen(A, "1", at(A, "1", ready=0), router=router(A)), "1")
    assert one is not None
    shown = told(one, None, done=True)
    assert shown.condition is not None
    assert (shown.record, shown.condition.status, shown.condition.reason) == (None, True, "NothingToWrite")
