"""The CRD and the Python types say the same: fields, defaults, required ones."""

import copy
import json
import re
from pathlib import Path

import pytest

from api_schema import check, described, fits
from builders import observed, owner, revision, router
from libyaml import document
from modelward.api import modeldeployment
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import Spec, parse
from modelward.api.quality_gate import QualityGate
from modelward.reconcilers.modeldeployment.status import build_status
from modelward.rollouts.decision import decide
from modelward_inference.artifact import formats

ROOT = Path(__file__).parents[3]
CRD = document((ROOT / "crds/modeldeployments.modelward.io.yaml").read_text())
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]["properties"]


ROLLOUT = SCHEMA["spec"]["properties"]["rollout"]["properties"]


def test_spec_and_types_agree() -> None:
    schema = copy.deepcopy(SCHEMA["spec"])
    # Kinds of gates that read their own part have types of their own.
    schema["properties"]["rollout"]["properties"]["gates"]["properties"].pop("quality")
    assert check(schema, Spec, "spec") > 70


def test_the_gate_on_outcomes_and_its_types_agree() -> None:
    assert check(ROLLOUT["gates"]["properties"]["quality"], QualityGate, "quality") > 30


def test_outcomes_are_said_as_a_policy_says_them() -> None:
    """Task, outcomes and label window: what one takes, the other takes."""
    policies = document((ROOT / "crds/driftpolicies.modelward.io.yaml").read_text())
    spec = policies["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    theirs = spec["properties"]["quality"]["properties"]
    own = ROLLOUT["gates"]["properties"]["quality"]["properties"]
    for name in ("task", "outcomes", "labelWindow", "memory", "deadline"):
        told = json.dumps(theirs[name]).replace("spec.quality", "spec.rollout.gates.quality")
        assert own[name] == json.loads(told), name


def test_every_field_is_described() -> None:
    described(SCHEMA["spec"], "spec")
    described(SCHEMA["status"], "status")


def test_every_status_field_that_is_written_is_in_the_crd() -> None:
    facts = observed("fraud-b", revision("fraud-a"), revision("fraud-b", ready=0), router=router("fraud-a", "fraud-b"))
    status = build_status(owner(), facts, decide(facts), "v1", None, "2026-01-01T00:00:00Z")

    fits(status, SCHEMA["status"], "status")


def test_the_formats_are_those_that_the_inference_image_reads() -> None:
    (rule,) = SCHEMA["spec"]["properties"]["model"]["properties"]["format"]["x-kubernetes-validations"]
    assert re.findall(r"'(\w+)'", rule["rule"]) == ["auto", *formats.FORMATS]


def test_a_name_promises_the_same_format_to_both() -> None:
    rules = SCHEMA["spec"]["properties"]["model"]["x-kubernetes-validations"]
    (rule,) = [each["rule"] for each in rules if "promises another format" in each["message"]]
    promised = {
        f".{suffix}": kind
        for kind, suffixes in re.findall(r"format == '(\w+)' \|\| !self.uri.matches\('\[.\]\(?([\w|]+)\)?\(", rule)
        for suffix in suffixes.split("|")
    }
    assert promised == formats.SUFFIXES


def test_names_of_the_resource() -> None:
    assert CRD["spec"]["names"]["kind"] == modeldeployment.KIND
    assert CRD["spec"]["names"]["shortNames"] == ["md"]
    assert "modelward" in CRD["spec"]["names"]["categories"]


def test_an_object_of_another_version_is_refused_with_a_cure() -> None:
    with pytest.raises(InvalidObjectError, match="install the CRD and the operator of the same version"):
        parse({"metadata": {"namespace": "ml", "name": "x", "uid": "u"}, "spec": {"replicas": 1}})
