"""What spec.features makes of a pod: the server reads what the operator writes, and nobody else gets the token."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import PLATFORM, observed, owner, router
from builders import revision as facts
from modelward.api.asked import as_asked, asked_of
from modelward.api.features import Entity, Features, TokenReference, parse_features
from modelward.api.modeldeployment import Model, Monitor, PredictionLog, Spec
from modelward.reconcilers.modeldeployment.status import build_status
from modelward.revisions import deployment as revision
from modelward.rollouts.decision import decide
from modelward_inference.features import settings as image
from modelward_monitor.predictionlog.settings import LogSettings

DIGEST = "sha256:" + "0" * 64
LEAST = Features("http://feast.features:6566", "fraud_v1", (Entity("driver_id", "Int64"),))
ALL = Features(
    "https://feast.example/x", "fraud_v1", (Entity("driver_id", "Int64"), Entity("city", "String")),
    TokenReference("feast", "word"), DIGEST, "24h", "Default", {"trips": "0", "city": "$(HOME)"}, "Use", "200ms", 7,
)  # fmt: skip


def pod(features: Features | None, platform: Any = PLATFORM, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = revision.deployment(owner(features=features, **more), platform, "fraud-a", 1)
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def environment(container: dict[str, Any]) -> dict[str, str]:
    """As the kubelet gives it."""
    return {each["name"]: each["value"].replace("$$", "$") for each in container["env"] if "value" in each}


def test_the_server_reads_what_the_operator_writes() -> None:
    read = image.FeatureSettings.from_environment(environment(pod(LEAST)["containers"][0]))
    assert read == image.FeatureSettings(
        "http://feast.features:6566", "fraud_v1", (image.Entity("driver_id", "INT64"),)
    )
    read = image.FeatureSettings.from_environment(environment(pod(ALL)["containers"][0]))
    assert read == image.FeatureSettings(
        "https://feast.example/x", "fraud_v1", (image.Entity("driver_id", "INT64"), image.Entity("city", "BYTES")),
        "Default", "Use", 86400.0, {"trips": "0", "city": "$(HOME)"}, 0.2, 7, Path("/etc/modelward/features/token"),
        DIGEST,
    )  # fmt: skip


def test_the_kubelet_expands_nothing_of_what_a_user_wrote() -> None:
    (raw,) = [each["value"] for each in pod(ALL)["containers"][0]["env"] if each["name"] == "MODEL_FEATURES"]
    assert "$$(HOME)" in raw


def test_the_token_is_the_servers_alone() -> None:
    spec = pod(ALL, monitor=Monitor())
    (volume,) = [each for each in spec["volumes"] if each["name"] == "modelward-features-token"]
    assert volume["secret"] == {"secretName": "feast", "items": [{"key": "word", "path": "token"}]}
    for container in (*spec["initContainers"], *spec["containers"]):
        mounted = "modelward-features-token" in {each["name"] for each in container["volumeMounts"]}
        assert mounted == (container["name"] == "server"), container["name"]


def test_the_installations_authorities_are_trusted() -> None:
    (server,) = pod(LEAST, replace(PLATFORM, ca_config_map="authorities"))["containers"]
    assert environment(server)["CA_BUNDLE"] == "/etc/modelward/ca/ca.crt"
    assert {"name": "ca", "mountPath": "/etc/modelward/ca", "readOnly": True} in server["volumeMounts"]
    assert "CA_BUNDLE" not in environment(pod(LEAST)["containers"][0])


def test_without_it_pods_are_what_they_were() -> None:
    assert "MODEL_FEATURES" not in environment(pod(None)["containers"][0])
    assert revision.intent_of(owner()) == "c2c8e413a1"


@pytest.mark.parametrize(
    "change",
    [{"service": "fraud_v2"}, {"url": "http://other"}, {"digest": None}, {"on_stale": "Refuse"}, {"timeout": "1s"}],
)
def test_another_definition_is_another_revision(change: dict[str, Any]) -> None:
    before, after = owner(features=ALL), owner(features=replace(ALL, **change))
    assert revision.name_of(before) != revision.name_of(after)
    assert revision.name_of(before) != revision.name_of(owner())


@pytest.mark.parametrize("features", [LEAST, ALL])
def test_it_is_kept_with_the_revision_and_read_again(features: Features) -> None:
    wrote = owner(features=features)
    asked = json.loads(json.dumps(asked_of(wrote.spec, wrote.spec.model)))
    read = as_asked(Spec(Model("s3://other")), asked)
    assert read is not None
    assert read.features == features
    assert parse_features(asked["features"]) == features


def test_status_tells_by_which_definitions_a_revision_is_fed() -> None:
    asked = {"features": json.loads(json.dumps(asked_of(owner(features=ALL).spec, Model("s3://m"))))["features"]}
    seen = observed("fraud-a", replace(facts("fraud-a"), asked=asked), router=router("fraud-a"))
    status = build_status(owner(features=ALL), seen, decide(seen), "v1", None, "2026-01-01T00:00:00Z")
    assert status["stable"]["features"] == {"service": "fraud_v1", "digest": DIGEST}


def test_the_log_has_columns_of_the_keys() -> None:
    spec = pod(ALL, monitor=Monitor(), prediction_log=PredictionLog("s3://lake/log"))
    (monitor,) = [each for each in spec["initContainers"] if each["name"] == "monitor"]
    read = LogSettings.from_environment(environment(monitor), with_key=False)
    assert read is not None
    assert read.entities == {"driver_id": "INT64", "city": "BYTES"}
