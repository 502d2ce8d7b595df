"""What is ours, and what only looks like it."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from builders import PLATFORM, observed, owner
from modelward.api import names
from modelward.api.driftpolicy import parse as parse_policy
from modelward.api.modeldeployment import Model, ModelDeployment, Spec
from modelward.facts import RouteTable
from modelward.kube.cache import Cache
from modelward.kube.diff import stamped
from modelward.kube.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES, Resource
from modelward.reconcilers.modeldeployment.apply import Applier, Written
from modelward.reconcilers.modeldeployment.observe import observe
from modelward.reconcilers.modeldeployment.plan import plan
from modelward.retraining.lifecycle.run import Run
from modelward.retraining.target import TargetFacts
from modelward.retraining.triggers import job_manifest as retraining
from modelward.revisions import deployment as revision
from modelward.revisions.observed.ownership import claim_of_another
from modelward.routing.envoy import objects as router
from modelward.routing.observe import RouterObserver

OWNER = owner()
A = revision.name_of(OWNER)


def model(name: str, uid: str) -> ModelDeployment:
    return ModelDeployment("ml", name, uid, 1, Spec(Model("s3://models/a.onnx")))


def live(manifest: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    made = stamped(manifest)
    return {**made, "metadata": {**made["metadata"], "uid": "x", "resourceVersion": "1", **metadata}}


class Server:
    """The API server: one object, and what was applied. A fake: what is refused must not be asked for at all."""

    def __init__(self, there: Mapping[str, Any] | None = None) -> None:
        self.there = there
        self.applied: list[Mapping[str, Any]] = []

    async def get(self, *_: Any) -> Mapping[str, Any] | None:
        return self.there

    async def apply(self, _resource: Resource, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        self.applied.append(manifest)
        return {**manifest, "metadata": {**manifest["metadata"], "uid": "x", "resourceVersion": "2"}}


async def apply(who: ModelDeployment, cache: Cache, server: Server) -> str | None:
    applier = Applier(server, cache, "me", time.monotonic)  # type: ignore[arg-type]
    problem = await applier.apply(who, stamped(router.service(who)), Written())
    return problem.message if problem else None


@pytest.mark.parametrize("cached", [True, False])
async def test_a_model_named_like_anothers_revision_does_not_get_its_service(cached: bool) -> None:
    victims, cache = live(revision.service(OWNER, A)), Cache()
    if cached:
        cache.upsert(SERVICES, victims)
    server = Server(victims)
    said = await apply(model(A, "uid-2"), cache, server)
    assert said is not None
    assert said.startswith(f"Service {A} belongs to ModelDeployment fraud.")
    assert not server.applied


async def test_an_own_object_is_applied_under_its_uid() -> None:
    cache, server = Cache(), Server()
    cache.upsert(SERVICES, live(router.service(OWNER)))
    assert await apply(OWNER, cache, server) is None
    assert server.applied[0]["metadata"]["uid"] == "x"


@pytest.mark.parametrize(
    ("metadata", "claim"),
    [
        ({}, None),
        ({"ownerReferences": []}, None),
        ({"ownerReferences": [model("fraud", "gone").owner_reference]}, None),
        ({"ownerReferences": [model("other", "uid-3").owner_reference]}, "belongs to ModelDeployment other"),
        (
            {"ownerReferences": [{**OWNER.owner_reference, "uid": "z", "apiVersion": "apps/v1"}]},
            "belongs to ModelDeployment fraud",
        ),
        (
            {"ownerReferences": [{**OWNER.owner_reference, "uid": "z", "kind": "DriftPolicy"}]},
            "belongs to DriftPolicy fraud",
        ),
        ({"ownerReferences": [], "labels": {}}, "exists and was not made by Modelward"),
        (
            {"ownerReferences": [], "labels": {names.LABEL_MANAGED_BY: "modelward", names.LABEL_INSTANCE: "other"}},
            "exists and was not made by Modelward",
        ),
        ({"ownerReferences": None, "labels": {names.LABEL_MANAGED_BY: "helm"}}, "exists and was not made by Modelward"),
    ],
    ids=["ours", "detached", "namesake", "other model", "other group", "other kind", "bare", "other's", "helm"],
)
def test_whose_it_is(metadata: dict[str, Any], claim: str | None) -> None:
    assert claim_of_another(live(router.service(OWNER), **metadata), OWNER) == claim


def test_nothing_of_anothers_is_deleted() -> None:
    facts_of = {"Service": live(revision.service(OWNER, "fraud-0123456789"))}
    theirs = {**facts_of["Service"]["metadata"], "ownerReferences": [model("other", "uid-3").owner_reference]}
    stray = {**facts_of["Service"], "metadata": theirs}
    facts = observed(A)
    assert plan(OWNER, facts, PLATFORM, lambda *_: None, services=[facts_of["Service"]]).deletes
    assert not plan(OWNER, facts, PLATFORM, lambda *_: None, services=[stray]).deletes


def pod(name: str, labels: Mapping[str, str], kind: str, maker: str, uid: str = "m") -> dict[str, Any]:
    group = "batch/v1" if kind == "Job" else "apps/v1"
    reference = {"apiVersion": group, "kind": kind, "name": maker, "uid": uid, "controller": True}
    ready = {"podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
    metadata = {"name": name, "namespace": "ml", "uid": name, "resourceVersion": "3", "labels": dict(labels)}
    return {"metadata": {**metadata, "ownerReferences": [reference]}, "status": ready}


class Probe:
    """Sees which router pods are asked."""

    asked: tuple[str, ...] = ()

    def look(self, _key: Any, pods: Any, _version: Any, _revisions: Any) -> tuple[Any, ...]:
        self.asked = tuple(each.name for each in pods)
        return ()


async def test_only_pods_of_the_own_deployments_are_evidence() -> None:
    cache, probe = Cache(), Probe()
    cache.upsert(DEPLOYMENTS, live(revision.deployment(OWNER, PLATFORM, A, 1)))
    cache.upsert(DEPLOYMENTS, live(router.deployment(OWNER, PLATFORM), uid="y"))
    cache.upsert(CONFIG_MAPS, live(router.config_map(OWNER, PLATFORM, RouteTable(A)), uid="c"))
    server = revision.deployment(OWNER, PLATFORM, A, 1)["spec"]["template"]["metadata"]["labels"]
    envoy = router.deployment(OWNER, PLATFORM)["spec"]["template"]["metadata"]["labels"]
    for made in (
        pod("good", server, "ReplicaSet", f"{A}-5d8f"),
        pod("trainer", server, "Job", f"{A}-5d8f"),
        pod("of-another", server, "ReplicaSet", "evil-5d8f"),
        pod("not-a-server", {**server, names.LABEL_COMPONENT: "router"}, "ReplicaSet", f"{A}-5d8f"),
        pod("envoy", envoy, "ReplicaSet", "fraud-router-6c7"),
        pod("no-envoy", envoy, "Job", "fraud-router-6c7"),
    ):
        cache.upsert(PODS, made)
    routers = RouterObserver(cache, probe, time.monotonic)  # type: ignore[arg-type]
    found = observe(OWNER, cache, routers)
    assert [each.name for each in found.revisions[A].workload.pods] == ["good"]
    assert probe.asked == ("envoy",)


def test_a_training_pod_joins_no_service_whatever_its_template_says() -> None:
    stolen = {
        names.LABEL_REVISION: A, names.LABEL_INSTANCE: "fraud", names.LABEL_COMPONENT: "server",
        "team": "risk", "sub.modelward.io/x": "y", "app.kubernetes.io/version": "1", "example.io/revision": "r",
    }  # fmt: skip
    template = {
        "metadata": {"labels": stolen, "annotations": {"modelward.io/run-record": "{}", "modelward.io/other": "z"}},
        "spec": {"template": {"metadata": {"labels": stolen}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    }
    body = {
        "metadata": {"namespace": "ml", "name": "p", "uid": "u"},
        "spec": {"target": {"name": "fraud"}, "retrain": {"job": {"template": template}}},
    }
    policy = parse_policy(body)
    run = Run("p-1", "k", "Job", "Drift", "", 0.0, A, None)  # type: ignore[arg-type]
    job = retraining.job(policy, template, TargetFacts("fraud", "t", 1, 1, None, A, None), run)  # type: ignore[arg-type]
    for made in (job["metadata"], job["spec"]["template"]["metadata"]):
        labels = made["labels"]
        for service in (revision.service(OWNER, A), router.service(OWNER)):
            assert not service["spec"]["selector"].items() <= labels.items()
        assert names.LABEL_REVISION not in labels
        assert {"sub.modelward.io/x", "app.kubernetes.io/version"}.isdisjoint(labels)
        assert (labels["team"], labels["example.io/revision"]) == ("risk", "r")
    assert "modelward.io/other" not in job["metadata"]["annotations"]


def test_services_ask_for_more_than_one_label_and_deployments_for_what_they_always_did() -> None:
    service, made = revision.service(OWNER, A), revision.deployment(OWNER, PLATFORM, A, 1)
    expected = {names.LABEL_INSTANCE: "fraud", names.LABEL_COMPONENT: "server", names.LABEL_REVISION: A}
    assert service["spec"]["selector"] == expected
    # Immutable: another one could never be applied over the Deployments that there are.
    assert made["spec"]["selector"]["matchLabels"] == {names.LABEL_REVISION: A}
    assert expected.items() <= made["spec"]["template"]["metadata"]["labels"].items()
