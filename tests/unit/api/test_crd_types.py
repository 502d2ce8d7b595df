"""The CRD and the Python types say the same: fields, defaults, required ones."""

import dataclasses
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import observed, owner, revision, router
from modelward.api import modeldeployment
from modelward.api.modeldeployment import InvalidObjectError, Spec, parse
from modelward.domain.rollout import decide
from modelward.domain.status import build_status
from modelward_inference import formats

CRD = yaml.safe_load((Path(__file__).parents[3] / "crds/modeldeployments.modelward.io.yaml").read_text())
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]["properties"]


def camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found.group(1).upper(), name)


def check(schema: Mapping[str, Any], kind: type, path: str) -> int:
    """Compare one object of the schema with one dataclass; returns how many fields were compared."""
    schema = schema.get("items", schema)
    hints = typing.get_type_hints(kind)
    fields = {camel(each.name): each for each in dataclasses.fields(kind)}
    assert set(schema["properties"]) == set(fields), path
    compared = len(fields)
    for name, each in fields.items():
        below = schema["properties"][name]
        has_default = each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING
        assert (name in schema.get("required", [])) is not has_default, f"{path}.{name}"
        candidates = [arg for arg in (*typing.get_args(hints[each.name]), hints[each.name]) if isinstance(arg, type)]
        nested = next((arg for arg in candidates if dataclasses.is_dataclass(arg)), None)
        if nested is not None:
            compared += check(below, nested, f"{path}.{name}")
        elif "default" in below:
            assert below["default"] == each.default, f"{path}.{name}"
    return compared


def test_spec_and_types_agree() -> None:
    assert check(SCHEMA["spec"], Spec, "spec") > 70


def test_every_field_is_described() -> None:
    def walk(schema: Mapping[str, Any], path: str) -> None:
        assert schema.get("description"), f"{path} has no description"
        for name, below in schema.get("properties", {}).items():
            walk(below, f"{path}.{name}")
        if isinstance(schema.get("items"), dict):
            for name, below in schema["items"].get("properties", {}).items():
                walk(below, f"{path}[].{name}")

    walk(SCHEMA["spec"], "spec")
    walk(SCHEMA["status"], "status")


def test_every_status_field_that_is_written_is_in_the_crd() -> None:
    facts = observed("fraud-b", revision("fraud-a"), revision("fraud-b", ready=0), router=router("fraud-a", "fraud-b"))
    status = build_status(owner(), facts, decide(facts), "v1", None, "2026-01-01T00:00:00Z")

    def walk(value: Any, schema: Mapping[str, Any], path: str) -> None:
        if isinstance(value, dict):
            for name, below in value.items():
                assert name in schema["properties"], f"{path}.{name}"
                walk(below, schema["properties"][name], f"{path}.{name}")
        elif isinstance(value, list):
            for below in value:
                walk(below, schema["items"], f"{path}[]")

    walk(status, SCHEMA["status"], "status")


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
