"""A DriftPolicy from a file: all that it says of judging, with the CRD's defaults; what is none is refused in words."""

import json
from pathlib import Path

import pytest

from modelward_drift.judging.badvalues import Limits
from modelward_drift.judging.budget import Persistence
from modelward_drift.judging.judge import FeatureRule, Rules, WindowSettings
from modelward_drift.judging.policy import Actions, Policy
from modelward_inference.drift_report.policyfile import read_policy
from modelward_inference.errors import InvalidConfiguration

SPEC = {
    "window": {"duration": "30m", "minSamples": 100},
    "features": {
        "default": {"metric": "js", "threshold": "0.1"},
        "overrides": [{"name": "amount", "metric": "ks", "threshold": "0.3"}],
        "ignore": ["new"],
        "outputs": "Ignore",
        "dataQuality": {"missing": "5%", "nonFinite": "0.5%"},
    },
    "falseAlarms": {"maxPer30Days": "0.5"},
    "persistence": {"needed": 2, "windows": 3},
    "actions": {"inputs": "Warn"},
    "retrain": {"job": {}},
}


@pytest.mark.parametrize("document", [SPEC, {"kind": "DriftPolicy", "spec": SPEC}])
def test_all_of_it_is_read(tmp_path: Path, document: object) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(document))
    assert read_policy(path) == Policy(
        Rules(
            WindowSettings(1800.0, 100), FeatureRule("js", 0.1), {"amount": FeatureRule("ks", 0.3)},
            frozenset({"new"}), 0.5, Persistence(2, 3),
        ),
        outputs=False, limits=Limits(missing=0.05, non_finite=0.005), actions=Actions("Warn", "Retrain", "Hold"),
        trains=True,
    )  # fmt: skip


def test_what_is_not_said_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"spec": {"features": None, "window": None}}))
    assert read_policy(path) == Policy(Rules(WindowSettings(24 * 3600.0, 500)), actions=Actions())


@pytest.mark.parametrize(
    "spec",
    [
        {"window": {"duration": "soon"}},
        {"features": {"default": {"metric": "luck"}}},
        {"features": {"overrides": [{"metric": "psi"}]}},
        {"features": {"outputs": "Maybe"}},
        {"features": {"dataQuality": {"missing": "0.05"}}},
        {"features": {"dataQuality": {"missing": "101%"}}},
        {"features": {"dataQuality": {"nulls": "5%"}}},
        {"actions": {"inputs": "Panic"}},
        {"persistence": {"needed": 3, "windows": 2}},
        [],
        {"window": 3},
    ],
)
def test_rules_that_are_none(tmp_path: Path, spec: object) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"spec": spec}))
    with pytest.raises(InvalidConfiguration, match=r"policy\.json has no rules that can be read"):
        read_policy(path)


def test_no_json(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text("spec: {}")
    with pytest.raises(InvalidConfiguration, match="no JSON"):
        read_policy(path)
