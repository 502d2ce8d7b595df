"""What Argo CD and Flux show of a ModelDeployment: their own engines, over statuses as the operator writes them."""

import copy
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import container, observed, owner, pod, revision, router
from gitops.tools import ArgoCd, Judge, RefusedError, Verdict
from modelward.facts import Observed, RouterPodFacts
from modelward.reconcilers.modeldeployment.status import build_status
from modelward.retraining.lifecycle.run import Artifact, Run
from modelward.retraining.persistence.run_object import run_status
from modelward.revisions.health.diagnosis import Problem
from modelward.rollouts.decision import decide

ARGOCD = Path(__file__).parents[3] / "manifests" / "argocd"
COMMANDS = {"promote", "pause", "resume", "abort", "retry"}
A, B = "fraud-a", "fraud-b"

Object = dict[str, Any]

FAILING = pod(
    ready=False,
    containers=(
        container("download", exit_code=1, exit_message='{"reason": "ArtifactNotFound", "message": "No such key"}'),
    ),
)
ROLLING = observed(B, revision(A), revision(B, ready=0), router=router(A, B))
"""A rollout under way: A serves, B comes up."""


@pytest.fixture(scope="session")
def judge(in_sight: Callable[[], AbstractContextManager[None]]) -> Judge:
    with in_sight():
        return Judge()


@pytest.fixture(scope="session")
def argocd(judge: Judge) -> ArgoCd:
    return ArgoCd(judge)


def body(status: Object | None, generation: int = 1, **metadata: Any) -> Object:
    """A ModelDeployment as the API server gives it out; Lua makes nothing of `{}` but `[]`, so one is in it."""
    made: Object = {
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "fraud", "namespace": "ml", "generation": generation, **metadata},
        "spec": {"model": {"uri": "s3://models/a.onnx"}, "replicas": 2, "resources": {"limits": {}}, "variants": []},
    }
    return made if status is None else {**made, "status": status}


def status_of(facts: Observed, refused: Problem | None = None) -> Object:
    return build_status(owner(), facts, decide(facts), "v1", refused, "2026-01-01T00:00:00Z")


def given_up(reason: str) -> Object:
    """A rollout that ended without success: the stable serves on, and a person has to do something."""
    problem = Problem(reason, "errorRate: 4.1% against 0.3%. Retry, or change spec")
    return {**status_of(ROLLING, problem), "rollout": {"phase": reason, "message": problem.message}}


PAUSED = {**status_of(ROLLING), "rollout": {"phase": "Paused", "message": "Paused at 25% by annotation"}}
CONVERGED = status_of(observed(A, revision(A), router=router(A)))
BEHIND = RouterPodFacts(pod("behind", ready=False), "v0")
"""A router pod that still holds an older configuration: what that sends requests to has to stay."""
REMOVING = status_of(
    observed(
        B,
        revision(A),
        revision(B),
        router=router(B, A, pods=(RouterPodFacts(pod("router"), "v1", frozenset({A, B})), BEHIND)),
    )
)
STALLED = status_of(observed(B, revision(A), revision(B, ready=0, pods=(FAILING,)), router=router(A, B)))

CASES: dict[str, tuple[Object, str, str, str]] = {
    # what: (object, Argo CD, a piece of its message, kstatus)
    "a first status": (body(status_of(observed(A))), "Progressing", "the pods of fraud-a", "InProgress"),
    "converged": (body(CONVERGED), "Healthy", "fraud-a answers on 1 replica", "Current"),
    "a newer spec": (body(CONVERGED, generation=2), "Progressing", "newest spec", "InProgress"),
    "restored from a backup": (
        body({**CONVERGED, "observedGeneration": 7}), "Progressing", "newest spec", "InProgress",
    ),
    "the status that Flux's own CRDs begin with": (
        body({"observedGeneration": -1}), "Progressing", "newest spec", "InProgress",
    ),
    "no conditions": (body({"observedGeneration": 1}), "Progressing", "first conditions", "Current"),
    "a candidate comes up": (body(status_of(ROLLING)), "Progressing", "Until then fraud-a keeps serving", "InProgress"),
    "the old revision is taken away": (body(REMOVING), "Healthy", "fraud-a to be taken away", "InProgress"),
    "paused": (body(PAUSED), "Suspended", "Paused at 25%", "InProgress"),
    "paused without a message": (
        body({**PAUSED, "rollout": {"phase": "Paused"}}), "Suspended", "The rollout is paused", "InProgress",
    ),
    "paused, but spec is newer": (body(PAUSED, generation=2), "Progressing", "newest spec", "InProgress"),
    "no such artifact": (body(STALLED), "Degraded", "No such key", "Failed"),
    "rolled back": (body(given_up("RolledBack")), "Degraded", "4.1% against 0.3%", "Failed"),
    "aborted": (body(given_up("Aborted")), "Degraded", "Retry, or change spec", "Failed"),
    "stalled, but spec is newer": (body(STALLED, generation=2), "Progressing", "newest spec", "InProgress"),
    "deleted": (
        body(CONVERGED, deletionTimestamp="2026-01-02T00:00:00Z"), "Progressing", "Being deleted", "Terminating",
    ),
    "deleted while stalled": (
        body(STALLED, deletionTimestamp="2026-01-02T00:00:00Z"), "Progressing", "Being deleted", "Terminating",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown(judge: Judge, argocd: ArgoCd, case: str) -> None:
    shown, health, message, kstatus = CASES[case]
    verdict = argocd.health(shown)
    assert verdict.status == health
    assert message in verdict.message
    assert judge.kstatus(shown).status == kstatus


def test_no_status_yet(judge: Judge, argocd: ArgoCd) -> None:
    """Our script waits. For kstatus an object that says nothing is current, unless its CRD starts the status at -1."""
    expected = Verdict("Progressing", "Waiting for the operator to see the newest spec")
    assert argocd.health(body(None)) == expected
    assert judge.kstatus(body(None)).status == "Current"


@pytest.mark.parametrize(
    ("shown", "possible"),
    [
        (body(None), set()),
        (body(CONVERGED), set()),
        (body(REMOVING), set()),
        (body(status_of(ROLLING)), {"promote", "pause", "abort"}),
        (body(STALLED), {"promote", "pause", "abort"}),
        (body(PAUSED), {"promote", "resume", "abort"}),
        (body(given_up("RolledBack")), {"promote", "retry"}),
        (body(given_up("Aborted")), {"promote", "retry"}),
    ],
    ids=["new", "converged", "removing", "rolling", "stalled", "paused", "rolled back", "aborted"],
)
def test_which_actions_can_be_chosen(argocd: ArgoCd, shown: Object, possible: set[str]) -> None:
    offered = argocd.actions(shown)
    assert {name for name, enabled in offered.items() if enabled} == possible
    assert set(offered) == set(argocd.scripts) == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
@pytest.mark.parametrize("annotations", [None, {}, {"team": "risk", "modelward.io/rollout": "older"}])
def test_an_action_sets_the_annotation_and_nothing_else(
    argocd: ArgoCd, command: str, annotations: dict[str, str] | None
) -> None:
    before = body(PAUSED) if annotations is None else body(PAUSED, annotations=annotations)
    expected = copy.deepcopy(before)
    expected["metadata"]["annotations"] = {**(annotations or {}), "modelward.io/rollout": command}
    assert argocd.run(command, before) == expected


@pytest.mark.parametrize(
    ("script", "refusal"),
    [
        ("return {status = 'Fine'}", "no health that Argo CD knows"),
        ("return 'Healthy'", "returned a string"),
        ("return {status = os.getenv('HOME')}", "attempt to index a non-table object"),
        ("return {status = string.upper('x')}", "attempt to index a non-table object"),
        ("while true do end", "context deadline exceeded"),
        ("return {", "syntax error"),
    ],
)
def test_the_engine_refuses_what_argo_cd_refuses(judge: Judge, script: str, refusal: str) -> None:
    with pytest.raises(RefusedError, match=refusal):
        judge.ask("health", body(CONVERGED), script)


def test_the_patch_is_generated_from_these_scripts() -> None:
    subprocess.run([sys.executable, ARGOCD / "generate.py", "--check"], check=True)


def policy(*conditions: tuple[str, str], **spec: Any) -> Object:
    told = [{"type": kind, "status": status, "message": f"about {kind}"} for kind, status in conditions]
    return {
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "DriftPolicy",
        "metadata": {"name": "fraud", "namespace": "ml", "generation": 1},
        "spec": {"target": {"name": "fraud"}, **spec},
        "status": {"observedGeneration": 1, "conditions": told},
    }


@pytest.mark.parametrize(
    ("shown", "health", "kstatus"),
    [
        (policy(("Ready", "True"), ("Drifted", "True")), "Healthy", "Current"),
        (policy(("Ready", "True"), suspend=True), "Suspended", "Current"),
        (policy(("Ready", "False"), ("Stalled", "True")), "Degraded", "Failed"),
        (policy(("Ready", "False"), ("Reconciling", "True")), "Progressing", "InProgress"),
    ],
)
def test_what_is_shown_of_a_policy(judge: Judge, argocd: ArgoCd, shown: Object, health: str, kstatus: str) -> None:
    assert argocd.health(shown).status == health
    assert judge.kstatus(shown).status == kstatus


def retraining_run(phase: str, result: str | None = None) -> Object:
    model = Artifact("s3://models/fraud/1/model.onnx")
    run = Run("fraud-1", "k", "Job", "Drift", "it drifts", 1.0, "fraud-a", model, phase=phase, result=result)
    status = run_status(replace(run, message="so it is"), (), "2026-01-01T00:00:00Z")
    return {
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "RetrainingRun",
        "metadata": {"name": "fraud-1", "namespace": "ml", "generation": 1},
        "spec": {"target": {"name": "fraud"}},
        "status": status,
    }


@pytest.mark.parametrize(
    ("phase", "result", "health", "kstatus"),
    [
        ("Starting", None, "Progressing", "InProgress"),
        ("Running", None, "Progressing", "InProgress"),
        ("RollingOut", None, "Progressing", "InProgress"),
        *[
            ("Ended", each, "Healthy", "Current")
            for each in ("Promoted", "Reported", "Unchanged", "Superseded", "Cancelled")
        ],
        *[("Ended", each, "Degraded", "Failed") for each in ("Failed", "RolledBack", "Refused")],
    ],
)
def test_what_is_shown_of_a_run(
    judge: Judge, argocd: ArgoCd, phase: str, result: str | None, health: str, kstatus: str
) -> None:
    shown = retraining_run(phase, result)
    assert (argocd.health(shown).status, argocd.health(shown).message) == (health, "so it is")
    assert judge.kstatus(shown).status == kstatus


def test_a_run_that_the_operator_has_not_touched_yet_is_at_work(judge: Judge, argocd: ArgoCd) -> None:
    shown = {**retraining_run("Starting"), "status": {"observedGeneration": -1}}
    assert argocd.health(shown).status == "Progressing"
    assert judge.kstatus(shown).status == "InProgress"
