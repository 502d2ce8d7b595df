"""The Job of a run: the user's template, our labels, and what its containers are told."""

import json
from typing import Any

from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.drift.verdicts import Judged
from modelward.retraining.lifecycle.run import Artifact, Run, run_name
from modelward.retraining.target import TargetFacts
from modelward.retraining.triggers.job_manifest import job

MODEL = Artifact("s3://models/$(HOME)/fraud.tar", "sha256:" + "1" * 64)
FACTS = TargetFacts("fraud", "t", 1, 1, MODEL, "fraud-a", MODEL)
RUN = Run(
    "fraud-1", "k", "Job", "Drift", "amount drifts", 1_767_225_600.0, "fraud-a", MODEL, drifted=("amount",),
    features=({"name": "amount", "value": "0.3"},), window=Judged(0.0, 3600.0, 900, "sha256:2"),
    uid="r",
)  # fmt: skip


def template(**pod: Any) -> dict[str, Any]:
    container = {
        "name": "train", "image": "train:1", "env": [{"name": "MODELWARD_MODEL_URI", "value": "mine"}],
        "terminationMessagePolicy": "File",
    }  # fmt: skip
    containers = [container, {"name": "sidecar", "image": "s:1"}]
    return {
        "metadata": {"labels": {"team": "risk", "app.kubernetes.io/managed-by": "helm"}, "annotations": {"a": "b"}},
        "spec": {
            "backoffLimit": 2,
            "template": {"metadata": {"labels": {"x": "y"}}, "spec": {"containers": containers, **pod}},
        },
    }


def rendered(**pod: Any) -> dict[str, Any]:
    return job(policy(), template(**pod), FACTS, RUN)


def policy() -> DriftPolicy:
    metadata = {"namespace": "ml", "name": "fraud", "uid": "p", "generation": 1}
    spec = {"target": {"name": "fraud"}, "retrain": {"deadline": "90s", "job": {"template": template()}}}
    return parse({"metadata": metadata, "spec": spec})


def test_it_is_ours_by_labels_and_owner_and_the_users_by_everything_else() -> None:
    made = rendered(nodeSelector={"gpu": "yes"})
    assert made["metadata"]["name"] == "fraud-1"
    labels = made["metadata"]["labels"]
    assert (labels["team"], labels["app.kubernetes.io/managed-by"]) == ("risk", "modelward")
    assert made["metadata"]["annotations"]["a"] == "b"
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("RetrainingRun", "fraud-1", "r"), "it goes with the run"
    assert (made["spec"]["backoffLimit"], made["spec"]["activeDeadlineSeconds"]) == (2, 90)
    pod = made["spec"]["template"]
    assert pod["metadata"]["labels"] == {"x": "y", **{key: labels[key] for key in labels if key != "team"}}
    assert (pod["spec"]["nodeSelector"], pod["spec"]["restartPolicy"]) == ({"gpu": "yes"}, "Never")
    assert rendered(restartPolicy="OnFailure")["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"


def test_every_container_is_told_and_what_the_user_sets_wins() -> None:
    first, second = rendered()["spec"]["template"]["spec"]["containers"]
    assert first["terminationMessagePolicy"] == "File"
    assert second["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert [each["value"] for each in first["env"] if each["name"] == "MODELWARD_MODEL_URI"] == ["mine"]
    told = {each["name"]: each["value"] for each in second["env"]}
    assert json.loads(told.pop("MODELWARD_EVIDENCE")) == {
        "drifted": ["amount"], "features": [{"name": "amount", "value": "0.3"}],
    }  # fmt: skip
    assert told == {
        "MODELWARD_RUN": "fraud-1",
        "MODELWARD_KEY": "k",
        "MODELWARD_POLICY": "fraud",
        "MODELWARD_NAMESPACE": "ml",
        "MODELWARD_MODEL": "fraud",
        "MODELWARD_MODEL_URI": "s3://models/$$(HOME)/fraud.tar",
        "MODELWARD_MODEL_DIGEST": MODEL.digest,
        "MODELWARD_MODEL_REVISION": "fraud-a",
        "MODELWARD_TRIGGER": "Drift",
        "MODELWARD_REASON": "amount drifts",
        "MODELWARD_WINDOW_START": "1970-01-01T00:00:00Z",
        "MODELWARD_WINDOW_END": "1970-01-01T01:00:00Z",
        "MODELWARD_REFERENCE_URI": "s3://models/$$(HOME)/fraud.tar",
        "MODELWARD_REFERENCE_DIGEST": "sha256:2",
        "MODELWARD_DEADLINE": "2026-01-01T00:01:30Z",
    }


def test_a_name_is_the_keys_for_ever_and_short_enough_for_a_pod() -> None:
    assert run_name("fraud", "k") == run_name("fraud", "k") != run_name("fraud", "l")
    assert len(run_name("f" * 40, "k")) <= 57
