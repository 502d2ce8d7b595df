"""The operator's core against a real API server: creation, change, converged silence, restarts, foreign objects."""

import pytest

from modelward.api import names
from modelward.kube.resources import MODEL_DEPLOYMENTS
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import Operator, operator, until

MAX_WRITES_OF_A_NEW_MODEL = 12


async def test_a_new_model_takes_few_writes_and_then_there_is_silence(cluster: Cluster, model: Model) -> None:
    async with operator(cluster) as one:
        model.apply()
        await until(model.is_ready, "ready")
        writes = model.writes()
        besides_events = [each for each in writes if each["objectRef"]["resource"] != "events"]
        assert len(besides_events) <= MAX_WRITES_OF_A_NEW_MODEL, [each["requestURI"] for each in besides_events]
        assert sorted(model.events()) == ["Ready", "RevisionCreated"]
        before = one.api.writes
        await one.controller._first_sync()
        await until(one.is_idle, "an empty queue")
        assert one.api.writes == before
        assert len(model.writes()) == len(writes)


async def test_a_restart_over_a_converged_model_writes_nothing(cluster: Cluster, model: Model) -> None:
    async with operator(cluster):
        model.apply()
        await until(model.is_ready, "ready")
    async with operator(cluster, identity="next") as second:
        await until(lambda: _is_known(second, model) and second.is_idle(), "work done")
        assert second.api.writes == 0


def _is_known(one: Operator, model: Model) -> bool:
    return one.cache.get(MODEL_DEPLOYMENTS, model.namespace, "fraud") is not None


async def test_a_change_of_model_replaces_the_revision_and_a_change_of_replicas_does_not(
    cluster: Cluster, model: Model
) -> None:
    async with operator(cluster):
        model.apply(version=1)
        await until(model.is_ready, "the first version")
        first = model.revisions()
        model.apply(version=1, replicas=3)
        await until(lambda: model.is_ready() and model.get()["status"]["readyReplicas"] == 3, "three replicas")
        assert model.revisions() == first
        model.apply(version=2)
        await until(lambda: model.is_ready() and model.revisions() != first, "the second version alone")
        assert len(model.revisions()) == 1
        assert "TrafficMoved" in model.events()


async def test_a_bad_version_stalls_and_is_repaired_while_the_good_one_stays(cluster: Cluster, model: Model) -> None:
    async with operator(cluster):
        model.apply(version=1)
        await until(model.is_ready, "the first version")
        stable = model.get()["status"]["stable"]["revision"]
        model.apply(version=2)
        candidate = await until(lambda: model.get()["status"].get("candidate", {}).get("revision"), "a candidate")
        model.kubelet.broken.add(candidate)
        model.kubelet.settle()
        await until(lambda: model.condition("Stalled")["reason"] == "ArtifactNotFound", "the cause in Stalled")
        assert model.condition("Servable")["status"] == "True"
        assert f"Until then {stable} keeps serving" in model.condition("Ready")["message"]
        assert model.get()["status"]["phase"] == "Failed"
        model.apply(version=1)
        await until(lambda: model.is_ready() and len(model.revisions()) == 1, "the first version alone again")
        assert model.condition("Stalled")["status"] == "False"


async def test_edits_and_deletions_by_hand_are_taken_back(cluster: Cluster, model: Model) -> None:
    async with operator(cluster):
        model.apply()
        await until(model.is_ready, "ready")
        cluster.kubectl("delete", "service", "fraud", "-n", model.namespace)
        await until(lambda: "Service/fraud" in model.objects(), "the Service again")
        patch = '{"spec": {"replicas": 7}}'
        cluster.kubectl("patch", "deployment", "fraud-router", "-n", model.namespace, "--type=merge", "-p", patch)
        await until(lambda: _replicas(model, "fraud-router") == 2, "two router pods again")


async def test_a_stable_that_spec_does_not_ask_for_is_made_again_from_its_record(
    cluster: Cluster, model: Model
) -> None:
    async with operator(cluster):
        model.apply(version=1)
        await until(model.is_ready, "ready")
        stable = model.stable()["revision"]
        model.apply(version=2, rollout={"strategy": "Canary", "steps": [{"weight": 10, "hold": "1h"}]})
        await until(lambda: len(model.revisions()) == 2, "a candidate")
        command = f"{names.ANNOTATION_COMMAND}=abort"
        cluster.kubectl("annotate", "md", "fraud", command, "-n", model.namespace)
        await until(lambda: model.revisions() == [f"Deployment/{stable}"], "the candidate's end")
        image = _image(model, stable)
        label = f"{names.LABEL_MANAGED_BY}=Helm"
        cluster.kubectl("label", "deploy", stable, label, "--overwrite", "-n", model.namespace)
        cluster.kubectl("set", "image", f"deploy/{stable}", "server=hacked", "-n", model.namespace)
        await until(lambda: _image(model, stable) == image, "the image again")
        cluster.kubectl("delete", "deploy,svc", stable, "-n", model.namespace)
        await until(lambda: f"Service/{stable}" in model.objects(), "the Service again")
        await until(lambda: model.revisions() == [f"Deployment/{stable}"], "the Deployment again")
        await until(lambda: _answers(model), "answers again")
        assert model.stable()["revision"] == stable
        assert _image(model, stable) == image
        assert model.condition("Stalled")["reason"] == "Aborted"


def _answers(model: Model) -> bool:
    model.kubelet.settle()
    return bool(model.condition("Servable")["status"] == "True")


def _image(model: Model, name: str) -> str:
    pod = model.cluster.get("deployment", name, "-n", model.namespace)["spec"]["template"]["spec"]
    return str(pod["containers"][0]["image"])


def _replicas(model: Model, name: str) -> int:
    return int(model.cluster.get("deployment", name, "-n", model.namespace)["spec"]["replicas"])


async def test_an_object_of_somebody_else_is_not_taken_over(cluster: Cluster, model: Model) -> None:
    cluster.kubectl("create", "service", "clusterip", "fraud", "--tcp=80", "-n", model.namespace)
    async with operator(cluster):
        model.apply()
        await until(lambda: model.condition("Stalled")["reason"] == "NameTaken", "the cause in Stalled")
        assert "Service fraud exists" in model.condition("Ready")["message"]
        cluster.kubectl("delete", "service", "fraud", "-n", model.namespace)
        await until(model.is_ready, "ready once the name is free", deadline=60)


async def test_what_the_api_server_refuses_is_shown(cluster: Cluster, model: Model) -> None:
    quota = '{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q"},"spec":{"hard":{"services":"1"}}}'
    cluster.kubectl("create", "-n", model.namespace, "-f", "-", stdin=quota)
    patch = '{"status":{"hard":{"services":"1"},"used":{"services":"1"}}}'
    cluster.kubectl(
        "patch", "resourcequota", "q", "-n", model.namespace, "--subresource=status", "--type=merge", "-p", patch
    )
    async with operator(cluster):
        model.apply()
        await until(lambda: model.condition("Stalled")["reason"] == "ApplyRefused", "the cause in Stalled")
        assert "exceeded quota" in model.condition("Stalled")["message"]


@pytest.mark.parametrize("writes", [1, 3, 5, 6, 8, 10])
async def test_killed_after_any_write_the_end_is_the_same(cluster: Cluster, model: Model, writes: int) -> None:
    """A whole life, first version and change to a second, with a crash after the n-th write."""
    async with operator(cluster, dies_after=writes) as doomed:
        model.apply(version=1)
        await until(lambda: doomed.task.done() or model.is_ready(), "the crash or the end")
        if not doomed.task.done():
            model.apply(version=2)
            await until(lambda: doomed.task.done() or model.is_second(), "the crash or the end")
    async with operator(cluster, after_crash=True):
        model.apply(version=2)
        await until(model.is_second, "the second version alone")
    (revision,) = model.revisions()
    name = revision.removeprefix("Deployment/")
    keys, router = "ConfigMap/modelward-fraud-operator", "ConfigMap/fraud-router"
    assert model.objects() == sorted(
        [revision, f"Service/{name}", router, "Deployment/fraud-router", "Service/fraud", keys]
    )
