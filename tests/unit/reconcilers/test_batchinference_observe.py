"""The model that a run takes: the stable revision's, as its record has it, or what a registry says now."""

from dataclasses import replace
from typing import Any

import pytest

from modelward.api.asked import asked_of
from modelward.api.modeldeployment import Model, ModelDeployment, SecretReference, Spec
from modelward.api.modelregistry import ModelRegistry
from modelward.api.runtime import Runtime
from modelward.batches.job_manifest import RunModel
from modelward.facts import ModelFacts
from modelward.kube.cache import Cache
from modelward.kube.resources import CONTROLLER_REVISIONS, MODEL_DEPLOYMENTS, MODEL_REGISTRIES
from modelward.models.following import Said, Trouble
from modelward.models.resolved import Resolved, ResolvedModel
from modelward.reconcilers.batchinference.observe import model_of
from modelward.revisions.deployment import Shape
from modelward.revisions.health.diagnosis import Problem
from modelward.revisions.record import record
from unit.batches.batches import batch

NOW = 1_800_000_000.0
DIGEST = "sha256:" + "a" * 64
REVISION = "churn-0123456789"
MODEL = Model("s3://models/churn.onnx", credentials_secret=SecretReference("models"))


def nothing(_registry: ModelRegistry, _reference: str, _since: float) -> Said | None:
    raise AssertionError("no registry is asked")


def with_model(
    model: Model = MODEL, uid: str = "uid-md", asked: bool = True, runtime: Runtime | None = None, **stable: Any
) -> Cache:
    """A cache with the ModelDeployment `churn`, whose stable revision is of `model`."""
    owner = ModelDeployment("ml", "churn", uid, 1, Spec(model=model, runtime=runtime, template={
        "spec": {"containers": [{"name": "server", "image": "own:1", "env": [{"name": "A", "value": "b"}]}]},
    }))  # fmt: skip
    told = {"revision": REVISION, "digest": DIGEST, **stable}
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"namespace": "ml", "name": "churn", "uid": "uid-md", "resourceVersion": "1"},
        "spec": {"model": {"uri": "s3://models/next.onnx"}},
        "status": {"stable": {name: value for name, value in told.items() if value is not None}},
    }  # fmt: skip
    kept = asked_of(owner.spec, model) if asked else None
    facts = ModelFacts(model.uri, model.format)
    written = record(owner, REVISION, Shape(facts, {"spec": {}}), asked=kept)
    written["metadata"] |= {"uid": "uid-record", "resourceVersion": "2"}
    cache = Cache()
    cache.upsert(MODEL_DEPLOYMENTS, body)
    cache.upsert(CONTROLLER_REVISIONS, written)
    return cache


def taken(cache: Cache, **spec: Any) -> RunModel:
    found = model_of(batch(**spec), cache, nothing, NOW)
    assert isinstance(found, RunModel), found
    return found


def refused(cache: Cache, **spec: Any) -> Problem:
    found = model_of(batch(**spec), cache, nothing, NOW)
    assert isinstance(found, Problem), found
    return found


def test_the_stable_revision_is_taken_and_not_what_spec_asks_for_next() -> None:
    found = taken(with_model())
    assert (found.model, found.first) == (MODEL, DIGEST)
    assert (found.used.name, found.used.uri, found.used.revision, found.used.digest) == (
        "churn", MODEL.uri, REVISION, DIGEST,
    )  # fmt: skip
    assert found.image == {"image": "own:1"}, "its variables are the server's"


def test_what_a_registry_said_of_it_then_holds() -> None:
    model = ResolvedModel("s3://models/7/churn.onnx", version="7")
    found = taken(with_model(model))
    assert isinstance(found.model, ResolvedModel)
    assert (found.model.uri, found.used.version) == ("s3://models/7/churn.onnx", "7")


def test_a_pinned_digest_is_the_runs_too() -> None:
    found = taken(with_model(replace(MODEL, digest="sha256:" + "b" * 64), digest=None))
    assert found.used.digest == "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("cache", "reason", "passes"),
    [
        (Cache(), "ModelMissing", False),
        (with_model(revision=None), "ModelNotServing", True),
        (with_model(digest=None), "ModelNotServing", True),
        (with_model(asked=False), "RevisionUnknown", False),
        (with_model(uid="uid-of-another"), "RevisionUnknown", False),
        (with_model(runtime=Runtime(name="triton")), "OtherRuntime", False),
    ],
)
def test_why_there_is_none(cache: Cache, reason: str, passes: bool) -> None:
    found = refused(cache)
    assert (found.reason, found.may_pass(NOW)) == (reason, passes)


def test_an_address_is_taken_as_it_is() -> None:
    found = taken(Cache(), model={"uri": "s3://models/a.onnx", "digest": DIGEST})
    assert (found.model.uri, found.used.name, found.used.digest) == ("s3://models/a.onnx", "nightly", DIGEST)


REGISTRY = {
    "apiVersion": "modelward.io/v1alpha1", "kind": "ModelRegistry",
    "metadata": {"namespace": "ml", "name": "mlflow", "uid": "uid-r", "resourceVersion": "3"},
    "spec": {"mlflow": {"url": "http://mlflow:5000"}, "credentialsSecret": {"name": "login"}, "pollInterval": "60s"},
}  # fmt: skip
ALIAS = {"uri": "models:/churn@champion"}


def by_registry(said: Said | None) -> tuple[RunModel | Problem, list[float]]:
    cache, asked = Cache(), []
    cache.upsert(MODEL_REGISTRIES, REGISTRY)

    def about(registry: ModelRegistry, reference: str, since: float) -> Said | None:
        assert (registry.name, reference) == ("mlflow", ALIAS["uri"])
        asked.append(since)
        return said

    return model_of(batch(model=ALIAS), cache, about, NOW), asked


def test_a_reference_is_resolved_anew_for_each_run() -> None:
    found, asked = by_registry(Said("http://mlflow:5000", Resolved("mlflow-artifacts:/1/churn", "7")))
    assert isinstance(found, RunModel)
    assert isinstance(found.model, ResolvedModel)
    assert (found.model.uri, found.used.version, found.model.access.secret) == (
        "mlflow-artifacts:/1/churn",
        "7",
        "login",
    )
    assert asked == [NOW - 120.0], "what was said last night is no news"


def test_a_registry_that_has_not_answered_is_waited_for() -> None:
    found, _ = by_registry(None)
    assert isinstance(found, Problem)
    assert (found.reason, found.may_pass(NOW)) == ("WaitingForRegistry", True)
    found, _ = by_registry(Said("http://mlflow:5000", None, Trouble("AliasMissing", "churn has no alias champion")))
    assert isinstance(found, Problem)
    assert (found.reason, found.message) == ("AliasMissing", "churn has no alias champion")


def test_without_a_registry_there_is_no_reference() -> None:
    assert refused(Cache(), model=ALIAS).reason == "RegistryMissing"
