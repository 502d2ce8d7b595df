"""A ModelDeployment with its effective model is to everything else as if spec said so."""

from typing import Any

from modelward.api import modeldeployment
from modelward.api.modeldeployment import ModelDeployment
from modelward.kube.cache import Cache, Key
from modelward.kube.resources import MODEL_REGISTRIES, RETRAINING_RUNS
from modelward.models.following import Following
from modelward.models.resolved import ResolvedModel
from modelward.retraining.effective import Effective
from modelward.retraining.served import as_served
from modelward.revisions.deployment import intent_of, name_of

OLD, NEW = "s3://models/fraud/1/model.onnx", "s3://models/fraud/2/model.onnx"
STORED = "mlflow-artifacts:/1/models/m-7/artifacts"
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


def registered(address: str = "http://mlflow", **registry: Any) -> tuple[ModelDeployment, Effective, Following | None]:
    """What is served when a run has reported a version of the registry that spec follows an alias in."""
    held, asked = cache(), "models:/fraud@champion"
    (found,) = held.children(Key("ml", "fraud"), RETRAINING_RUNS)
    target = {**found["spec"]["target"], "model": {"uri": asked, "digest": DIGEST}}
    told = {"phase": "Promoted", "model": {"uri": STORED}, "acceptedAt": "2026-01-02T00:00:00Z"}
    told["registration"] = {"uri": "models:/fraud/7", "address": address, "version": "7"}
    held.upsert(RETRAINING_RUNS, {
        "metadata": {**found["metadata"], "resourceVersion": "2"}, "spec": {**found["spec"], "target": target},
        "status": told,
    })  # fmt: skip
    spec = {"mlflow": {"url": "http://mlflow"}, "credentialsSecret": {"name": "login"}}
    held.upsert(MODEL_REGISTRIES, {
        "metadata": {"name": "mlflow", "namespace": "ml", "uid": "m", "resourceVersion": "1"}, "spec": spec | registry,
    })  # fmt: skip
    return as_served(body(asked, digest=DIGEST), held)


def test_pods_of_a_version_that_a_run_reported_download_it_from_its_registry() -> None:
    owner, effective, following = registered()
    model = owner.spec.model
    assert isinstance(model, ResolvedModel)
    assert (model.uri, model.version, model.access.tracking_uri) == (STORED, "7", "http://mlflow")
    assert model.access.secret == "login"
    assert model.digest is None, "spec's digest is of another model"
    assert effective.by is not None
    assert following is not None
    assert following.usable


def test_no_pod_gets_a_login_for_a_registry_at_which_it_was_not_resolved() -> None:
    for owner, effective, following in (
        registered("http://elsewhere"), registered(mlflow={"url": "http://moved"}),
    ):  # fmt: skip
        assert effective.by is not None
        assert following is not None
        assert not following.usable
        assert not isinstance(owner.spec.model, ResolvedModel)


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
