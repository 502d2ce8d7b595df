"""The CRD DriftPolicy and the Python types say the same."""

from pathlib import Path
from typing import Any

import pytest

from api_schema import check, described
from libyaml import document
from modelward.api import driftpolicy
from modelward.api.driftpolicy import Retrain, Spec, Target, parse, parse_target
from modelward.api.invalid import InvalidObjectError
from modelward.api.triggers import (
    Airflow,
    AirflowResult,
    ArgoResult,
    ArgoWorkflow,
    Github,
    Jenkins,
    JenkinsResult,
    Kubeflow,
    Prefect,
    SecretName,
)

ROOT = Path(__file__).parents[3]
CRD = document((ROOT / "crds/driftpolicies.modelward.io.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
METADATA = {"namespace": "ml", "name": "x", "uid": "u", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z"}


def test_spec_and_types_agree() -> None:
    assert check(SCHEMA["spec"], Spec, "spec") > 45


def test_every_field_is_described() -> None:
    described(SCHEMA["spec"], "spec")
    described(SCHEMA["status"], "status")


def test_what_is_stored_is_read() -> None:
    spec: dict[str, Any] = {
        "target": {"selector": {"matchLabels": {"team": "risk"}}},
        "features": {
            "overrides": [{"name": "amount", "metric": "ks", "threshold": "0.1"}],
            "ignore": ["id"],
            "dataQuality": {"missing": "5%"},
        },
        "retrain": {"cooldown": "1h", "webhook": {"url": "https://ci", "secretRef": {"name": "s"}}},
    }
    policy = parse({"metadata": METADATA | {"annotations": {"modelward.io/retrain": "now"}}, "spec": spec})
    assert (policy.generation, policy.created, policy.request) == (3, 1767225600.0, "now")
    assert policy.spec.features.overrides[0].threshold == "0.1"
    assert policy.spec.features.data_quality.missing == "5%"
    assert policy.spec.retrain is not None
    assert (policy.spec.retrain.cooldown, policy.spec.retrain.deadline) == ("1h", Retrain.deadline)
    assert policy.spec.retrain.webhook is not None
    assert policy.spec.retrain.webhook.secret_ref.key == "key"


def test_pipelines_are_read() -> None:
    secret = {"secretRef": {"name": "s"}}
    retrain = parse({"metadata": METADATA, "spec": {"target": {"name": "x"}, "retrain": {
        "airflow": {"url": "https://a", "dag": "d", **secret, "result": {"source": "Registry", "task": "t"}},
        "prefect": {"url": "https://p/api", "deployment": "f/d", "parameter": "told"},
        "github": {"repository": "o/r", "workflow": "w.yml", **secret, "ref": "v1"},
        "jenkins": {"url": "https://j", "job": "a/b", **secret, "result": {"artifact": "out/r.json"}},
        "argoWorkflow": {"template": "t", "serviceAccountName": "train", "result": {"parameter": "made"}},
        "kubeflow": {"url": "https://k", "pipeline": "p", **secret, "namespace": "n", "experiment": "e"},
    }}}).spec.retrain  # fmt: skip
    assert retrain is not None
    assert retrain.airflow == Airflow("https://a", "d", SecretName("s"), AirflowResult("Registry", "t"))
    assert retrain.prefect == Prefect("https://p/api", "f/d", parameter="told")
    assert retrain.github == Github("o/r", "w.yml", SecretName("s"), "v1")
    assert retrain.jenkins == Jenkins("https://j", "a/b", SecretName("s"), JenkinsResult(artifact="out/r.json"))
    assert retrain.argo_workflow == ArgoWorkflow("t", "train", ArgoResult(parameter="made"))
    assert retrain.kubeflow == Kubeflow("https://k", "p", SecretName("s"), "n", "e")


@pytest.mark.parametrize(
    ("target", "name", "labels", "taken"),
    [
        ({"name": "fraud"}, "fraud", {}, True),
        ({"name": "fraud"}, "other", {}, False),
        ({"selector": {"matchLabels": {"a": "b"}}}, "any", {"a": "b", "c": "d"}, True),
        ({"selector": {"matchLabels": {"a": "b", "c": "e"}}}, "any", {"a": "b", "c": "d"}, False),
    ],
)
def test_what_a_target_takes(target: dict[str, Any], name: str, labels: dict[str, str], taken: bool) -> None:
    assert parse_target(target).takes(name, labels) is taken


def test_no_target_takes_nothing_by_mistake() -> None:
    assert not Target().takes("fraud", {})


def test_an_object_of_another_version_is_refused_with_a_cure() -> None:
    with pytest.raises(InvalidObjectError, match="install the CRD and the operator of the same version"):
        parse({"metadata": METADATA, "spec": {}})


def test_names_of_the_resource() -> None:
    assert CRD["spec"]["names"]["kind"] == driftpolicy.KIND
    assert CRD["spec"]["names"]["shortNames"] == ["dp"]
