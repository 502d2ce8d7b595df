"""What a prediction log makes of a pod: settings that the monitor reads, Secrets that nobody else gets."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api.asked import as_asked, asked_of
from modelward.api.modeldeployment import (
    KeyReference,
    LogColumns,
    Model,
    ModelDeployment,
    Monitor,
    PredictionLog,
    SecretReference,
    SharedCache,
    Truncated,
)
from modelward.revisions import deployment as revision
from modelward_monitor.predictionlog.settings import LogSettings

LAKE = PredictionLog("s3://lake/log", SecretReference("writer"), fraction="25%", retention="30d")
OWN = {"log-segments", "log-credentials", "log-key"}
"""Volumes that a model must not reach: the monitor brings what is in the first to the store by the second."""

COLUMNS = LogColumns(("input.name",), ("key",), (Truncated("input.text", 20),))


def logged(log: PredictionLog, **more: Any) -> ModelDeployment:
    return owner(monitor=Monitor("50%"), prediction_log=log, **more)


def template(by: ModelDeployment, platform: Any = PLATFORM) -> dict[str, Any]:
    found: dict[str, Any] = revision.deployment(by, platform, "fraud-a", 1)["spec"]["template"]
    return found


def monitor(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = [each for each in pod["initContainers"] if each["name"] == "monitor"]
    return found


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def names(container: dict[str, Any]) -> set[str]:
    return {each["name"] for each in container["volumeMounts"]}


def test_the_monitor_reads_what_the_operator_writes(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    wanted = replace(LAKE, columns=COLUMNS, hash_key_secret=KeyReference("pepper", "salt"), interval="2m")
    pod = template(logged(wanted))["spec"]
    variables = environment(monitor(pod))
    assert variables["PREDICTION_LOG_HASH_KEY_FILE"] == "/etc/modelward/log-key/key"
    read = LogSettings.from_environment({**variables, "PREDICTION_LOG_HASH_KEY_FILE": str(key)})
    assert read is not None
    assert (read.uri, read.namespace, read.model, read.revision) == ("s3://lake/log", "ml", "fraud", "fraud-a")
    assert (read.fraction, read.captured, read.retention) == (0.25, 0.5, 30)
    assert (read.limits.seconds, read.limits.disk) == (120, 512 << 20)
    assert (read.columns.exclude, read.columns.hash) == ({"input.name"}, {"key"})
    assert read.columns.truncate == {"input.text": 20}
    volumes = {each["name"]: each for each in pod["volumes"]}
    # Optional: the model serves without them, and the condition tells what is missing.
    assert volumes["log-key"]["secret"] == {
        "secretName": "pepper", "items": [{"key": "salt", "path": "key"}], "optional": True,
    }  # fmt: skip
    assert volumes["log-credentials"]["secret"] == {"secretName": "writer", "optional": True}


def test_secrets_are_mounted_into_the_monitor_alone() -> None:
    pod = template(logged(replace(LAKE, hash_key_secret=KeyReference("pepper"))))["spec"]
    assert names(monitor(pod)) >= OWN
    for container in (*pod["initContainers"], *pod["containers"]):
        assert "envFrom" not in container
        assert container["name"] == "monitor" or not names(container) & OWN
    assert environment(pod["containers"][0])["MODEL_REVISION"] == "fraud-a"


def test_a_claim_is_mounted_to_be_written_by_the_images_user() -> None:
    pod = template(logged(PredictionLog("pvc://shared/a/b")))["spec"]
    variables = environment(monitor(pod))
    assert (variables["PREDICTION_LOG_URI"], variables["PREDICTION_LOG_PREFIX"]) == ("/mnt/prediction-log", "a/b")
    (claim,) = [each for each in pod["volumes"] if each["name"] == "prediction-log"]
    assert claim["persistentVolumeClaim"] == {"claimName": "shared"}
    assert pod["securityContext"]["fsGroup"] == 65531
    assert "fsGroup" not in template(owner(monitor=Monitor()))["spec"]["securityContext"]


def test_pods_with_a_cache_and_without_agree_about_the_group_of_a_claim_that_both_log_to() -> None:
    """Else each one that starts would have every file of the log given to its own group first."""
    log = PredictionLog("pvc://shared/a")
    cached = Model("s3://models/a.onnx", cache=SharedCache("bundles"))
    both = template(logged(log, model=cached), replace(PLATFORM, caches=("bundles",)))
    assert both["spec"]["securityContext"] == template(logged(log))["spec"]["securityContext"]
    assert {"cache", "prediction-log"} <= {each["name"] for each in both["spec"]["volumes"]}


def test_the_pods_disk_has_room_for_what_may_wait() -> None:
    pod = template(logged(replace(LAKE, disk_limit="2Gi")))["spec"]
    (folder,) = [each for each in pod["volumes"] if each["name"] == "log-segments"]
    assert folder["emptyDir"] == {"sizeLimit": str((2 << 30) + (512 << 20))}
    assert monitor(pod)["resources"]["requests"]["memory"] == "256Mi"


@pytest.mark.parametrize(
    ("log", "skipped"),
    [
        (None, "compile,server,monitor"),
        (LAKE, "compile,server,monitor"),
        (PredictionLog("pvc://shared/x"), "compile,server,monitor"),
        (PredictionLog("s3://lake/log"), "compile,server"),
    ],
)
def test_the_accounts_identity_reaches_the_monitor_where_no_secret_opens_the_store(log: Any, skipped: str) -> None:
    annotations = template(owner(monitor=Monitor(), prediction_log=log))["metadata"]["annotations"]
    assert annotations["eks.amazonaws.com/skip-containers"] == skipped


def test_a_log_makes_another_revision_and_none_changes_nothing() -> None:
    plain = owner(monitor=Monitor())
    assert revision.name_of(plain) != revision.name_of(owner(monitor=Monitor(), prediction_log=LAKE))
    assert revision.name_of(logged(LAKE)) != revision.name_of(logged(replace(LAKE, columns=COLUMNS)))
    assert "PREDICTION" not in json.dumps(template(plain))


def test_what_was_asked_comes_back_as_it_was() -> None:
    by = logged(replace(LAKE, columns=COLUMNS, hash_key_secret=KeyReference("pepper", "salt"), disk_limit=1 << 30))
    kept = json.loads(json.dumps(asked_of(by.spec, by.spec.model)))
    again = as_asked(owner().spec, kept)
    assert again is not None
    assert again.prediction_log == by.spec.prediction_log
