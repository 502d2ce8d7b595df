"""What a ModelDeployment's status says of its registry."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api_schema import fits
from builders import MODEL, observed, owner, revision, router
from libyaml import document
from modelward.api.conditions import by_type
from modelward.api.modeldeployment import Model
from modelward.facts import Observed, Progress, RevisionFacts
from modelward.models.following import WAITING, Following, Trouble
from modelward.models.resolved import Resolution, Resolved, ResolvedModel
from modelward.reconcilers.modeldeployment.events import transitions
from modelward.reconcilers.modeldeployment.following import unresolved_status
from modelward.reconcilers.modeldeployment.status import build_status
from modelward.retraining.effective import Effective
from modelward.retraining.lifecycle.run import Artifact
from modelward.rollouts.decision import decide

CRD = document((Path(__file__).parents[3] / "crds/modeldeployments.modelward.io.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
A, B = "fraud-a", "fraud-b"
NOW = "2026-01-01T00:00:00Z"
ALIAS = "models:/fraud@champion"
LINEAGE = {"commit": "abc", "dataSets": [{"name": "d", "digest": "1"}], "metrics": {"auc": "0.9"}}
DOWN = Trouble("Unreachable", "mlflow can't be reached")


def resolution(version: str = "3") -> Resolution:
    found = Resolved(f"s3://models/{version}", version, "champion", created=5.0, lineage=LINEAGE)
    return Resolution(ALIAS, "mlflow", "http://mlflow", 100.0, found)


def at(name: str, version: str, **facts: Any) -> RevisionFacts:
    model = replace(MODEL, uri=f"s3://models/{version}", version=version, lineage={"commit": f"of {version}"})
    return replace(revision(name, **facts), model=model)


def status_of(facts: Observed, following: Following, version: str = "3", last: Any = None) -> dict[str, Any]:
    said = following.resolution or resolution(version)
    model = ResolvedModel(said.resolved.uri, version=said.resolved.version)
    one = replace(owner(model=model), status=last or {})
    effective = Effective(Artifact(ALIAS), Artifact(said.resolved.uri), resolution=following.resolution)
    return build_status(one, facts, decide(facts), "v1", None, NOW, effective=effective, following=following)


SERVING = observed(A, at(A, "3"), router=router(A))


def test_what_was_resolved_is_in_status_and_fits_the_crd() -> None:
    status = status_of(SERVING, Following("mlflow", resolution()))
    resolved = by_type(status["conditions"])["Resolved"]
    assert (resolved["status"], resolved["message"]) == (
        "True", f"{ALIAS} is version 3, by the alias champion, says ModelRegistry mlflow",
    )  # fmt: skip
    assert (status["model"]["source"], status["model"]["version"]) == ("Registry", "3")
    assert (status["model"]["lineage"], status["stable"]["commit"]) == (LINEAGE, "of 3")
    assert "lineage" not in status["stable"], "it is in status.model"
    fits(status, SCHEMA["status"], "status")


def test_a_registry_that_is_down_is_told_and_nothing_else() -> None:
    well = status_of(SERVING, Following("mlflow", resolution()))
    ill = status_of(SERVING, Following("mlflow", resolution(), DOWN), last=well)
    before, after = by_type(well["conditions"]), by_type(ill["conditions"])
    assert after["Resolved"]["reason"] == "Unreachable"
    assert "version 3 stays" in after["Resolved"]["message"]
    assert {kind: each for kind, each in after.items() if kind != "Resolved"} == {
        kind: each for kind, each in before.items() if kind != "Resolved"
    }
    assert ill["model"] == well["model"]
    assert [each.reason for each in transitions(well, ill)] == ["Unreachable"]
    assert list(transitions(ill, ill)) == []


def test_a_moved_alias_is_told_and_the_lineage_of_both_is_kept() -> None:
    well = status_of(SERVING, Following("mlflow", resolution()))
    both = observed(B, at(A, "3"), at(B, "4", ready=0), router=router(A, B))
    moved = status_of(both, Following("mlflow", resolution("4")), last=well)
    assert [each.reason for each in transitions(well, moved)] == ["RevisionCreated", "VersionMoved"]
    assert (moved["stable"]["version"], moved["stable"]["lineage"]) == ("3", {"commit": "of 3"})
    assert (moved["candidate"]["version"], moved["candidate"]["commit"]) == ("4", "of 4")
    fits(moved, SCHEMA["status"], "status")


def test_a_rolled_back_version_names_the_one_that_is_pinned() -> None:
    progress = Progress(B, phase="RolledBack", reason="GateFailed", message="errors")
    both = observed(B, at(A, "3"), at(B, "4"), router=router(A, progress=progress))
    status = status_of(both, Following("mlflow", resolution("4")))
    assert (status["model"]["version"], status["model"]["pinned"]) == ("4", "3")
    stalled = by_type(status["conditions"])["Stalled"]["message"]
    assert "It is version 4 in the registry: move the alias there" in stalled
    fits(status, SCHEMA["status"], "status")


def test_a_reference_that_means_nothing_stalls_while_the_stable_serves() -> None:
    well = status_of(SERVING, Following("mlflow", resolution()))
    gone = Trouble("AliasMissing", "There is no such alias")
    status = status_of(replace(SERVING, unresolved=True), Following("mlflow", None, gone, usable=False), last=well)
    found = by_type(status["conditions"])
    assert (found["Stalled"]["status"], found["Stalled"]["reason"]) == ("True", "AliasMissing")
    assert found["Ready"]["message"] == "There is no such alias. fraud-a keeps serving."
    assert found["Servable"]["status"] == "True"
    assert status["model"] == well["model"], "as it was"
    assert [each.reason for each in transitions(well, status)] == ["AliasMissing"], "once, not for each condition"


@pytest.mark.parametrize(
    ("trouble", "phase", "stalled"),
    [(None, "Pending", "False"), (Trouble(WAITING, "w"), "Pending", "False"), (DOWN, "Failed", "True")],
)
def test_before_anything_is_known(trouble: Trouble | None, phase: str, stalled: str) -> None:
    one = owner(model=Model(ALIAS))
    status = unresolved_status(one, Following("mlflow", None, trouble, usable=False), NOW)
    found = by_type(status["conditions"])
    assert set(found) == {"Ready", "Servable", "Reconciling", "Stalled", "Resolved"}
    assert (status["phase"], found["Stalled"]["status"], found["Ready"]["status"]) == (phase, stalled, "False")
    assert found["Reconciling"]["status"] == ("False" if stalled == "True" else "True")
    fits(status, SCHEMA["status"], "status")
