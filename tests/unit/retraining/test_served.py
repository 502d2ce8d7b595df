"""A ModelDeployment with its effective model is to everything else as if spec said so."""

from typing import Any

from modelward.api import modeldeployment
from modelward.kube.cache import Cache, Key
from modelward.kube.resources import RETRAINING_RUNS
from modelward.retraining.served import as_served
from modelward.revisions.deployment import intent_of, name_of

OLD, NEW = "s3://models/fraud/1/model.onnx", "s3://models/fraud/2/model.onnx"
DIGEST = "sha256:" + "a" * 64


def body(uri: str, **model: Any) -> dict[str, Any]:
    rest = {"format": "onnx", "credentialsSecret": {"name": "store"}}
    metadata = {"name": "fraud", "namespace": "ml", "uid": "t", "generation": 1}
    return {"metadata": metadata, "spec": {"model": {"uri": uri, **rest, **model}}}


def cache(phase: str = "Promoted", policy: str = "drift") -> Cache:
    made = Cache()
    made.upsert(RETRAINING_RUNS, {
        "metadata": {
            "name": "drift-1", "namespace": "ml", "uid": "r", "resourceVersion": "1",
            "ownerReferences": [
                {"apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy", "name": policy, "uid": "p"},
            ],
        },
        "spec": {
            "target": {"name": "fraud", "uid": "t", "model": {"uri": OLD}}, "key": "k", "kind": "Job",
            "trigger": "Drift", "requestedAt": "2026-01-01T00:00:00Z",
        },
        "status": {"phase": phase, "model": {"uri": NEW, "digest": DIGEST}},
    })  # fmt: skip
    return made


def test_a_runs_model_takes_the_place_of_specs_and_nothing_else() -> None:
    owner, effective, _ = as_served(body(OLD), cache())
    written = modeldeployment.parse(body(NEW, digest=DIGEST))
    assert owner == written
    assert effective.by is not None
    # As an operator that wrote it into spec had named it: an upgrade from there rolls nothing.
    assert (name_of(owner), intent_of(owner)) == (name_of(written), intent_of(written))


def test_without_one_nothing_changes() -> None:
    for held in (Cache(), cache("Failed")):
        owner, effective, _ = as_served(body(OLD), held)
        assert (owner, effective.by) == (modeldeployment.parse(body(OLD)), None)


def test_a_run_is_found_by_its_policy_and_by_its_model_until_it_is_gone() -> None:
    held = cache()
    target, policy = Key("ml", "fraud"), Key("ml", "drift", "DriftPolicy")
    (found,) = held.children(target, RETRAINING_RUNS)
    assert held.children(policy, RETRAINING_RUNS) == [found]
    assert held.remove(RETRAINING_RUNS, found) == policy
    assert held.children(target, RETRAINING_RUNS) == held.children(policy, RETRAINING_RUNS) == []
