"""What a template of pods may not say is refused by the operator, too, whatever CRD is installed."""

import re
from pathlib import Path
from typing import Any

import pytest

from libyaml import document
from modelward.api import pod_template
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import parse
from pod_templates import BAD, GOOD, pod

CRD = (Path(__file__).parents[3] / "crds/modeldeployments.modelward.io.yaml").read_text()


def body(spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"namespace": "ml", "name": "fraud", "uid": "u"}
    return {"metadata": metadata, "spec": {"model": {"uri": "s3://models/a.onnx"}, **spec}}


@pytest.mark.parametrize("what", BAD)
def test_what_takes_a_guard_off_or_reaches_what_is_ours_is_refused_by_its_field(what: str) -> None:
    spec, sentence = BAD[what]
    with pytest.raises(InvalidObjectError, match=r"(?s)spec\.(router\.)?template\..+take it out") as refused:
        parse(body(spec))
    assert sentence in str(refused.value)


@pytest.mark.parametrize("what", GOOD)
def test_what_is_left_is_taken(what: str) -> None:
    parse(body(GOOD[what]))


def test_what_nobody_has_thought_of_is_refused() -> None:
    """The CRD has not these fields: the API server lets them in only where another one is installed."""
    refused = {
        "hostUsers": pod(hostUsers=False),
        "containers[proxy].stdin": pod(containers=[{"name": "proxy", "image": "i", "stdin": True}]),
        "securityContext.sysctls": pod(securityContext={"sysctls": [{"name": "kernel.x", "value": "1"}]}),
        "status": {"template": {"status": {}}},
    }
    for field, spec in refused.items():
        with pytest.raises(InvalidObjectError, match=re.escape(field)):
            parse(body(spec))


def test_crd_and_operator_have_the_same_lists() -> None:
    rules = [rule for rule in found(document(CRD), "rule") if isinstance(rule, str)]
    text = " ".join(rules)

    def names(pattern: re.Pattern[str]) -> set[str]:
        return set(re.findall(r"[A-Za-z][A-Za-z_-]{2,}", pattern.pattern))

    for own in (
        pod_template.OWN_LABELS, pod_template.OWN_ANNOTATIONS, pod_template.OWN_VARIABLES, pod_template.OWN_VOLUMES,
    ):  # fmt: skip
        assert {name for name in names(own) if name not in text} == set(), own.pattern
    for one in (*pod_template.OWN_FOLDERS, *pod_template.OWN_SECRETS, *map(str, pod_template.OWN_PORTS)):
        assert one in text, one


def test_the_operator_takes_every_field_that_the_crd_has() -> None:
    """Else what the API server has stored would make no pods, and nobody would have been told before."""
    spec = document(CRD)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]

    def fields(schema: Any, *path: str) -> set[str]:
        for name in path:
            schema = schema["properties"][name]
            schema = schema.get("items", schema)
        return set(schema["properties"])

    template, router = spec["template"], spec["router"]["properties"]["template"]
    known = pod_template._PLACING | pod_template._RUNNING | pod_template._WHY_NOT.keys()
    assert fields(template, "spec") == known
    assert fields(router, "spec") == known
    assert fields(template, "metadata") == fields(router, "metadata") == {"labels", "annotations"}
    assert fields(template, "spec", "containers") == pod_template._OF_SIDECARS
    assert fields(template, "spec", "containers", "securityContext") == pod_template._OF_SECURITY
    assert fields(template, "spec", "securityContext") == pod_template._OF_POD_SECURITY
    assert fields(template, "spec", "volumes") == {"name", "hostPath"} | pod_template._KINDS
    assert (
        fields(template, "spec", "volumes", "projected", "sources") == {"serviceAccountToken"} | pod_template._SOURCES
    )


def found(value: Any, key: str) -> list[Any]:
    if isinstance(value, dict):
        below = [each for one in value.values() for each in found(one, key)]
        return ([value[key]] if key in value else []) + below
    return [each for one in value for each in found(one, key)] if isinstance(value, list) else []
