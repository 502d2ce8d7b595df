"""`modelward quality` as a program."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelward_cli.layout import WIDTH, cells

from .test_status import model
from .world import Namespace

POLICIES = "driftpolicies.modelward.io"
MODELS = "modeldeployments.modelward.io"
TOLD: dict[str, Any] = {
    "revision": "fraud-7a508969e5", "begin": "2026-01-01T00:00:00Z", "end": "2026-01-08T00:00:00Z", "rows": 4210,
    "coverage": "97.3%",
    "metrics": [
        {"name": "f1", "value": "0.7012", "low": "0.6801", "high": "0.7224", "reference": "0.8123", "rows": 4210},
    ],
}  # fmt: skip
BROKEN = {
    "kind": "quality", "name": "f1:min", "value": "0.7012", "bound": "0.75", "breached": True,
    "since": "2026-01-08T00:00:00Z", "message": "f1 is 0.7012 (0.6801 to 0.7224) of 4210 rows, below 0.75",
}  # fmt: skip
KEPT = {"kind": "fairness", "name": "equalizedOdds:difference", "message": "it has to be at most 0.1"}
WINDOW = {"kind": "window", "name": "amount", "breached": True, "message": "amount drifts"}


def policy(name: str, quality: Any = TOLD, *signals: Any, target: str = "fraud", asked: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {"quality": {"task": {"kind": "Classes"}}} if asked else {},
        "status": {"targets": [{"name": target, "quality": quality, "signals": list(signals)}]},
    }


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    made = Namespace(tmp_path)
    made.holds(MODELS, model("fraud"), model("bare"))
    made.holds(POLICIES, policy("watch", TOLD, WINDOW, BROKEN, KEPT), policy("inputs", asked=False))
    return made


def test_values_with_their_intervals_and_the_rules_that_are_broken(namespace: Namespace) -> None:
    ended = namespace.modelward("quality", "fraud")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "fraud  worse than allowed  (by the policy watch)"
    assert "  f1      0.7012  0.6801  0.7224  0.8123  4210" in lines
    whole = " ".join(ended.stdout.split())
    assert "outcomes of 97.3% of the predictions, of fraud-7a508969e5" in whole
    assert "! quality f1:min: since 2026-01-08T00:00:00Z: f1 is 0.7012" in whole
    assert "- fairness equalizedOdds:difference: it has to be at most 0.1" in whole
    assert "amount drifts" not in whole, "that is what `drift` tells"
    assert "inputs" not in whole
    assert max(map(cells, lines)) <= WIDTH


def test_a_policy_is_told_with_its_models_and_as_json(namespace: Namespace) -> None:
    ended = namespace.modelward("quality", "watch", "-o", "json", "--exit-code")
    assert ended.returncode == 4
    (found,) = json.loads(ended.stdout)["quality"]
    assert (found["model"], found["policy"], found["rows"]) == ("fraud", "watch", 4210)
    assert [each["breached"] for each in found["signals"]] == [True, False]
    assert found["metrics"][0]["low"] == "0.6801"


def test_what_is_not_known_says_why(namespace: Namespace) -> None:
    problem = {"reason": "NoOutcomes", "problem": "No outcome came at all (what clients post)"}
    namespace.holds(POLICIES, policy("watch", problem))
    ended = namespace.modelward("quality", "fraud")
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == [
        "fraud  not known yet  (by the policy watch)", "  No outcome came at all (what clients post)",
    ]  # fmt: skip


def test_a_model_that_nobody_measures_says_what_to_do(namespace: Namespace) -> None:
    ended = namespace.modelward("quality", "bare")
    assert ended.returncode == 1
    assert "spec.quality of a DriftPolicy" in ended.stdout
    assert "did you mean fraud" in namespace.modelward("quality", "frau").stderr


@pytest.mark.parametrize("quality", [None, 3, {"metrics": 3}, {"metrics": [3, {"name": 3}]}, {"rows": "many"}])
def test_a_status_of_another_shape_is_no_error(namespace: Namespace, quality: Any) -> None:
    namespace.holds(POLICIES, policy("watch", quality, 3, {"kind": 3, "breached": "yes"}))
    ended = namespace.modelward("quality", "fraud")
    assert ended.returncode in (0, 1)
    assert ended.stderr == ""
