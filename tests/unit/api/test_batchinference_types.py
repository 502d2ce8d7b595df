"""The CRD BatchInference and the Python types say the same, and its template is that of a ModelDeployment."""

import json
from pathlib import Path
from typing import Any

import pytest

from api_schema import check, described
from libyaml import document
from modelward.api import batchinference
from modelward.api.batchinference import Spec, claim_of, parse
from modelward.api.invalid import InvalidObjectError

ROOT = Path(__file__).parents[3]


def schema_of(plural: str) -> Any:
    crd = document((ROOT / f"crds/{plural}.modelward.io.yaml").read_text())
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


CRD = document((ROOT / "crds/batchinferences.modelward.io.yaml").read_text())
SCHEMA = schema_of("batchinferences")
METADATA = {
    "namespace": "ml",
    "name": "churn",
    "uid": "u",
    "generation": 3,
    "creationTimestamp": "2026-01-01T00:00:00Z",
}
SPEC: dict[str, Any] = {
    "model": {"modelDeployment": "churn"}, "input": {"uri": "s3://lake/churn/"}, "output": {"uri": "s3://lake/scored/"},
    "keys": ["customer"],
}  # fmt: skip

TABLE = {"url": "postgres://db.example.com/crm", "name": "customers"}


def test_spec_and_types_agree() -> None:
    assert check(SCHEMA["spec"], Spec, "spec") >= 30


def test_every_field_is_described() -> None:
    described(SCHEMA["spec"], "spec")
    described(SCHEMA["status"], "status")


def test_names_of_the_resource() -> None:
    assert CRD["spec"]["names"]["kind"] == batchinference.KIND
    assert CRD["spec"]["names"]["shortNames"] == ["bi"]


def fields(schema: Any, path: str = "") -> dict[str, Any]:
    """Every field below `schema` and its type; messages and rules are of the kind's own."""
    found = {}
    for name, below in (schema.get("properties") or {}).items():
        found[f"{path}.{name}"] = below.get("type")
        found |= fields(below, f"{path}.{name}")
        if isinstance(below.get("items"), dict):
            found |= fields(below["items"], f"{path}.{name}[]")
    return found


def test_a_template_has_the_fields_that_one_of_a_model_has() -> None:
    of_model = schema_of("modeldeployments")["spec"]["properties"]["template"]
    assert fields(SCHEMA["spec"]["properties"]["template"]) == fields(of_model)


def test_an_address_of_a_model_is_taken_as_a_modeldeployment_takes_it() -> None:
    own, other = SCHEMA["spec"]["properties"]["model"], schema_of("modeldeployments")["spec"]["properties"]["model"]
    # A batch has no container of its own: there is no model in an image for it.
    told = json.dumps(other["properties"]["uri"]["x-kubernetes-validations"])
    told = told.replace("|image|", "|").replace("self == 'image://' || ", "")
    theirs = [rule for rule in json.loads(told) if "image:" not in rule["rule"]]
    assert own["properties"]["uri"]["x-kubernetes-validations"] == theirs
    assert (
        own["properties"]["digest"]["x-kubernetes-validations"][0]["rule"]
        == (other["properties"]["digest"]["x-kubernetes-validations"][0]["rule"])
    )


def test_what_is_stored_is_read() -> None:
    spec = SPEC | {
        "schedule": {"cron": "0 2 * * *", "timeZone": "Europe/Berlin", "startingDeadlineSeconds": 3600},
        "columns": {"amount": "amount_eur"}, "maxRejectedShare": "0.5%", "parallelism": 4, "ttl": "7d",
        "credentialsSecret": {"name": "lake"}, "resources": {"limits": {"memory": "1Gi"}},
    }  # fmt: skip
    batch = parse({"metadata": METADATA | {"annotations": {"modelward.io/run": "now"}}, "spec": spec})
    assert (batch.generation, batch.created, batch.request) == (3, 1767225600.0, "now")
    assert batch.spec.model.model_deployment == "churn"
    assert batch.spec.schedule is not None
    assert (batch.spec.schedule.time_zone, batch.spec.schedule.suspend) == ("Europe/Berlin", False)
    assert batch.spec.credentials_secret is not None
    assert (batch.spec.parallelism, batch.spec.retries, batch.spec.deadline) == (4, Spec.retries, Spec.deadline)
    assert batch.owner_reference["kind"] == "BatchInference"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": {}}, "install the CRD and the operator of the same version"),
        ({"model": {"modelDeployment": "a", "uri": "s3://b/c.onnx"}}, "install the CRD and the operator"),
        ({"keys": None}, "install the CRD and the operator of the same version"),
        ({"input": {"uri": "file:///etc/passwd"}}, "spec.input.uri: write s3://"),
        ({"input": {"uri": "pvc://lake/../other"}}, "without '..'"),
        ({"output": {"uri": "s3://lake/scored"}}, "write a / at its end"),
        ({"output": {"uri": "s3://lake/churn/out/"}}, "it lies in spec.input.uri"),
        ({"input": {}}, "install the CRD and the operator of the same version"),
        ({"input": {"uri": "s3://lake/a", "table": TABLE}}, "install the CRD and the operator of the same version"),
        ({"input": {"table": TABLE | {"url": "file:///etc/passwd"}}}, "spec.input.table.url: write postgres://"),
        ({"input": {"table": TABLE | {"url": "duckdb:///input/x"}}}, "spec.input.table.url: write postgres://"),
        ({"input": {"table": TABLE | {"url": "postgres://u:p@h/d"}}}, "without a password"),
        ({"input": {"table": TABLE, "format": "csv"}}, "spec.input.format: it is of files"),
        (
            {"input": {"table": TABLE}, "template": {"spec": {"initContainers": [{"name": "table", "image": "o:1"}]}}},
            "table is the operator's own where rows are of a table",
        ),
        ({"columns": {f"c{n}": "é" * 200 for n in range(100)}}, "more than a pod can be told"),
        ({"template": {"spec": {"hostNetwork": True}}}, "spec.template.spec.hostNetwork"),
        ({"template": {"spec": {"containers": [{"name": "score", "image": "own:1"}]}}}, "is a ModelDeployment's"),
        ({"template": {"spec": {"containers": [{"name": "proxy", "image": "own:1"}]}}}, "a Job ends when all of its"),
        (
            {"output": {"uri": "pvc://lake/o/"}, "template": {"spec": {"securityContext": {"fsGroup": 5}}}},
            "spec.template.spec.securityContext.fsGroup",
        ),
    ],
)  # fmt: skip
def test_what_an_older_crd_would_have_stored_is_refused(change: dict[str, Any], sentence: str) -> None:
    spec = {name: value for name, value in (SPEC | change).items() if value is not None}
    with pytest.raises(InvalidObjectError) as refused:
        parse({"metadata": METADATA, "spec": spec})
    assert sentence in str(refused.value)


OWN = {"model": {"uri": "s3://models/churn.onnx"}}


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        ({"volumeMounts": [{"name": "data", "mountPath": "/input/x"}]}, "the operator's own folders lie there"),
        ({"volumeMounts": [{"name": "data", "mountPath": "/output"}]}, "the operator's own folders lie there"),
        ({"env": [{"name": "MODELWARD_BATCH", "value": "{}"}]}, "this variable is the server's own"),
        ({"env": [{"name": "LD_PRELOAD", "value": "/data/x.so"}]}, "this variable is the server's own"),
        ({"command": ["sh"]}, "it can't be set here"),
        ({"startupProbe": {"periodSeconds": 5}}, "nobody asks a container of a batch"),
    ],
)
def test_what_a_template_may_not_say_of_the_container_that_scores(score: dict[str, Any], sentence: str) -> None:
    template = {"spec": {"containers": [{"name": "score", **score}], "volumes": [{"name": "data", "emptyDir": {}}]}}
    with pytest.raises(InvalidObjectError, match=sentence):
        parse({"metadata": METADATA, "spec": SPEC | OWN | {"template": template}})


def test_what_it_may() -> None:
    score = {"name": "score", "image": "own:1", "env": [{"name": "THREADS", "value": "2"}]}
    sidecar = {"name": "server", "image": "mesh:1", "restartPolicy": "Always"}
    with pytest.raises(InvalidObjectError, match="name of a container of the operator's own"):
        parse({"metadata": METADATA, "spec": SPEC | OWN | {"template": {"spec": {"initContainers": [sidecar]}}}})
    template = {"spec": {"containers": [score], "initContainers": [sidecar | {"name": "mesh"}]}}
    assert parse({"metadata": METADATA, "spec": SPEC | OWN | {"template": template}}).spec.template == template


def test_of_a_long_annotation_the_beginning_counts() -> None:
    """Status repeats it, and so does the Job."""
    batch = parse({"metadata": METADATA | {"annotations": {"modelward.io/run": "x" * 200_000}}, "spec": SPEC})
    assert batch.request == "x" * 256


def test_the_claim_of_an_address() -> None:
    assert [claim_of(uri) for uri in ("pvc://lake/a/", "s3://lake/a/")] == ["lake", None]
