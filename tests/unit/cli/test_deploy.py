"""`modelward deploy` as a program: what pipelines call, and by whose exit code they go."""

import json
from pathlib import Path
from typing import Any

import pytest

from unit.pipelines.models import GATES, NEW, OLD, PIN, model, promoted, rolling

from .world import Namespace

MODELS = "modeldeployments.modelward.io"


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    return Namespace(tmp_path)


def applies(namespace: Namespace) -> list[Any]:
    return [call for call in namespace.calls() if call[0] == "apply"]


def test_a_version_is_deployed(namespace: Namespace) -> None:
    namespace.holds(MODELS, model())
    ended = namespace.modelward("deploy", "fraud", "--uri", NEW, "-o", "json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == f"ml/fraud asks for {NEW}\n"
    told = json.loads(ended.stdout)
    assert (told["changed"], told["generation"], told["before"]["uri"]) == (True, 4, OLD)
    (call,) = applies(namespace)
    assert {"--server-side", "--field-manager=modelward-deploy"} <= set(call)
    assert "--force-conflicts" not in call
    again = namespace.modelward("deploy", "fraud", "--uri", NEW)
    assert (again.returncode, again.stderr) == (0, f"ml/fraud asked already for {NEW}\n")
    assert len(applies(namespace)) == 1


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (promoted(), 0, "fraud  promoted"),
        (rolling("RolledBack", "errorRate failed", gates=GATES), 4, "errorRate  Fail  stable 1/400 candidate 7/20"),
        (rolling("Paused", "Somebody paused it"), 4, "fraud  paused"),
        (model(OLD), 4, "fraud  superseded"),
    ],
)
def test_its_rollout_is_followed_and_the_evidence_shown(namespace: Namespace, end: Any, code: int, said: str) -> None:
    namespace.then(MODELS, [model(NEW)], [rolling("Progressing", "Step 1 of 3")], [end])
    ended = namespace.modelward("deploy", "fraud", "--uri", NEW, "--wait")
    assert ended.returncode == code, ended.stderr
    assert said in ended.stdout


def test_who_waits_for_a_person_waits_on(namespace: Namespace) -> None:
    namespace.then(MODELS, [model(NEW)], [rolling("Paused", "Somebody paused it")], [promoted()])
    ended = namespace.modelward("deploy", "fraud", "--uri", NEW, "--wait", "--when-paused", "wait", "-o", "json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["state"] == "promoted"


def test_its_time_is_over(namespace: Namespace) -> None:
    namespace.holds(MODELS, rolling("Progressing", "Step 1 of 3", gates=GATES))
    ended = namespace.modelward("deploy", "fraud", "--uri", NEW, "--wait", "--timeout", "0")
    assert ended.returncode == 5
    assert "within 0 s; the last that was seen: Progressing  Step 1 of 3" in ended.stderr
    assert "fraud  waiting" in ended.stdout
    assert "candidate 7/20" in ended.stdout


def test_what_git_owns_is_refused_with_the_cure(namespace: Namespace) -> None:
    namespace.holds(MODELS, model())
    said = 'error: Apply failed with 1 conflict: conflict with "argocd-controller" using v1alpha1: .spec.model.uri'
    namespace.refuses("--server-side", said)
    ended = namespace.modelward("deploy", "fraud", "--uri", NEW)
    assert ended.returncode == 1
    assert "spec.model was written by argocd-controller" in ended.stderr
    assert "open a pull request" in ended.stderr


@pytest.mark.parametrize("arguments", [["--uri", "a b"], ["--uri", NEW, "--digest", "sha256:1"]])
def test_wrong_arguments_reach_no_cluster(namespace: Namespace, arguments: list[str]) -> None:
    ended = namespace.modelward("deploy", "fraud", *arguments)
    assert ended.returncode == 1
    assert not namespace.calls()


def test_a_pinned_model_wants_a_pin(namespace: Namespace) -> None:
    namespace.holds(MODELS, model(OLD, PIN))
    ended = namespace.modelward("deploy", "fraud", "--uri", NEW)
    assert ended.returncode == 1
    assert "name the digest of the new version" in ended.stderr
