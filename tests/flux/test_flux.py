"""Git, Flux's own controller and the operator on one API server: what docs/integrations/flux.md promises.

Commits are packed by the tests (`repository.py`); pods, routers and traffic are pretended, as in the tier api.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml

from flux.controller import KustomizeController, install_crds
from flux.models import EXAMPLE, Models
from localcluster import binaries
from modelward.api.names import ANNOTATION_COMMAND
from modelward.kube.resources import DEPLOYMENTS, DRIFT_POLICIES, MODEL_DEPLOYMENTS
from modelward_cli.kubectl import ConflictError, Kubectl
from modelward_cli.pipeline.deploying import Version, deploy
from nodeless.cluster import Cluster
from nodeless.kubelet import MERGE
from nodeless.model import Model
from nodeless.operator_process import operator, until
from nodeless.traffic import FakeTraffic
from nodeless.training import FakeMonitors, Policy

URI = "s3://models/fraud/{}/fraud.tar"
PATIENCE = 150.0
"""Seconds; it looks every five whether what it applied is healthy."""

MANAGER = "kustomize-controller"

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="session")
def flux(cluster: Cluster, in_sight: Callable[[], AbstractContextManager[None]]) -> None:
    """Its CRDs are there, and the policies of our installation; its controller is built."""
    with in_sight():
        binaries.kustomize_controller()
        install_crds(cluster)
    base = cluster.kubectl("kustomize", str(cluster.repository / "manifests/base")).split("\n---\n")
    policies = [each for each in base if "\nkind: ValidatingAdmissionPolicy" in f"\n{each}"]
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(policies))


@pytest.fixture
def models(flux: None, cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Models]:
    """The example in a namespace of the test's own, and a controller that applies it."""
    made = Models(cluster, namespace, tmp_path / "repository")
    with KustomizeController(cluster.server.kubeconfig) as controller, made.repository:
        yield made
        log = controller.log
    made.let_go()
    (tmp_path / "kustomize-controller.log").write_text(log)  # for who looks why a test failed


def write(models: Models, version: int, hold: str = "0s") -> None:
    """What a person changes in Git: the model, and how long each step of its canary holds at least."""
    path = models.repository.folder / "models/fraud.yaml"
    text = re.sub(r"uri: \S+", f"uri: {URI.format(version)}", path.read_text())
    path.write_text(re.sub(r"hold: \w+", f"hold: {hold}", text))


def phase(model: Model) -> str:
    """Lets the kubelet work, then looks."""
    model.kubelet.settle()
    return str(model.get().get("status", {}).get("rollout", {}).get("phase", ""))


def serves(model: Model, version: int) -> bool:
    """Whether this version alone is served, and nothing is left to do."""
    if not model.get() or not model.is_ready():
        return False
    return bool(model.stable()["uri"] == URI.format(version) and len(model.revisions()) == 1)


def annotate(model: Model, command: str) -> None:
    path = MODEL_DEPLOYMENTS.path(model.namespace, "fraud")
    model.cluster.request("PATCH", path, {"metadata": {"annotations": {ANNOTATION_COMMAND: command}}}, MERGE)


async def first(models: Models, model: Model) -> None:
    """The page's first commit is served, and healthy, and its canaries are quick from now on."""
    models.begin()
    write(models, 1)
    models.repository.commit("steps that hold no longer than their gates do")
    await until(lambda: serves(model, 1), "the first version", PATIENCE)
    await until(models.is_ready, "its health", PATIENCE)
    assert {("patch", kind, "fraud") for kind in ("modeldeployments", "driftpolicies")} <= set(models.writes())


async def looks_again(models: Models, times: int = 2) -> None:
    """Flux compares what it has applied with what is there."""
    for _ in range(times):
        asked = models.ask()
        await until(lambda asked=asked: models.has_looked(asked), "another look", PATIENCE)  # type: ignore[misc]


async def test_a_commit_rolls_a_canary_and_health_waits_for_its_end(
    cluster: Cluster, model: Model, models: Models
) -> None:
    traffic = FakeTraffic()
    async with operator(cluster, traffic=traffic, monitors=FakeMonitors()):
        await first(models, model)
        before = models.repository.revision
        traffic.quiet = True
        write(models, 2)
        revision = models.repository.commit("another model")
        await until(lambda: phase(model) == "Progressing", "a canary", PATIENCE)
        waits = f"Running health checks for revision {revision} with a timeout of 3h0m0s"
        await until(lambda: models.condition("Healthy")["message"] == waits, "that Flux waits for it", PATIENCE)
        assert models.condition("Ready")["status"] == models.condition("Healthy")["status"] == "Unknown"
        assert models.get()["status"]["lastAppliedRevision"] == before
        traffic.quiet = False
        await until(lambda: serves(model, 2), "the second version", PATIENCE)
        await until(models.is_ready, "its health", PATIENCE)
    assert models.condition("Ready")["message"] == f"Applied revision: {revision}"


async def test_a_canary_that_fails_its_gate_fails_the_commit_and_a_revert_heals_it(
    cluster: Cluster, model: Model, models: Models
) -> None:
    traffic = FakeTraffic()
    async with operator(cluster, traffic=traffic, monitors=FakeMonitors()):
        await first(models, model)
        traffic.bad_but = model.stable()["revision"]
        write(models, 2, hold="1h")
        models.repository.commit("a bad model")
        await until(lambda: phase(model) == "RolledBack", "the rollback", PATIENCE)
        await until(lambda: models.condition("Ready")["status"] == "False", "that Flux tells", PATIENCE)
        told = models.condition("Ready")
        assert told["reason"] == "HealthCheckFailed"
        assert f"ModelDeployment/{model.namespace}/fraud status: 'Failed'" in told["message"]
        wrote = models.writes()
        await looks_again(models)
        assert models.writes() == wrote, "it does not try again what was rolled back"
        assert (phase(model), model.stable()["uri"]) == ("RolledBack", URI.format(1))
        models.repository.revert()
        await until(lambda: serves(model, 1), "what was served before", PATIENCE)
        await until(models.is_ready, "its health", PATIENCE)
    assert "rollout" not in model.get()["status"]


async def test_a_revert_ends_a_canary_that_is_under_way(cluster: Cluster, model: Model, models: Models) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        await first(models, model)
        write(models, 2, hold="1h")
        models.repository.commit("a model that nobody wants")
        await until(lambda: phase(model) == "Progressing", "a canary", PATIENCE)
        await until(lambda: "health checks" in models.condition("Healthy")["message"], "that Flux waits", PATIENCE)
        models.repository.revert()
        await until(lambda: serves(model, 1), "the canary's end", PATIENCE)
        await until(models.is_ready, "its health", PATIENCE)


async def test_a_retrained_model_is_served_and_git_finds_nothing_to_revert(
    cluster: Cluster, model: Model, models: Models
) -> None:
    monitors = FakeMonitors()
    policy = Policy(cluster, model.namespace)
    async with operator(cluster, monitors=monitors) as one:
        await first(models, model)
        monitors.drift()
        (job,) = await until(policy.running, "a retraining run", PATIENCE)
        monitors.usual = 0.5
        policy.succeed(job, {"modelUri": URI.format(7)})
        await until(lambda: serves(model, 7), "what the run made", PATIENCE)
        await until(lambda: policy.settled_runs() == [("Promoted", "Drift")], "the run's end", PATIENCE)
        await until(one.is_idle, "nothing left to do", PATIENCE)
        wrote, generation = models.writes(), model.get()["metadata"]["generation"]
        await looks_again(models)
        assert models.is_ready()
        assert models.writes() == wrote, "Flux finds no difference"
        assert serves(model, 7)
        body = model.get()
        assert (body["spec"]["model"]["uri"], body["metadata"]["generation"]) == (URI.format(1), generation)
        assert (body["status"]["model"]["source"], body["status"]["model"]["run"]) == ("RetrainingRun", job)
        for each in (body, policy.get()):
            owners = {entry["manager"] for entry in each["metadata"]["managedFields"] if "subresource" not in entry}
            assert owners == {MANAGER}, "of all but the status"
        write(models, 2)
        models.repository.commit("Git has the last word")
        await until(lambda: serves(model, 2), "what Git asks for", PATIENCE)
        await until(models.is_ready, "its health", PATIENCE)


async def test_a_command_of_a_person_is_taken_up_and_not_reverted(
    cluster: Cluster, model: Model, models: Models
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        await first(models, model)
        write(models, 2, hold="1h")
        models.repository.commit("another model")
        await until(lambda: phase(model) == "Progressing", "a canary", PATIENCE)
        await until(lambda: "health checks" in models.condition("Healthy")["message"], "that Flux waits", PATIENCE)
        annotate(model, "pause")
        await until(lambda: phase(model) == "Paused", "the pause", PATIENCE)
        assert models.condition("Ready")["status"] == "Unknown"
        annotate(model, "abort")
        await until(lambda: phase(model) == "Aborted", "the end", PATIENCE)
        await until(lambda: models.condition("Ready")["status"] == "False", "that Flux tells", PATIENCE)
        assert models.condition("Ready")["reason"] == "HealthCheckFailed"
        annotate(model, "retry")
        await until(lambda: phase(model) == "Progressing", "another try", PATIENCE)
        annotate(model, "promote")
        await until(lambda: serves(model, 2), "promoted", PATIENCE)
        wrote = models.writes()
        await looks_again(models)
        assert models.is_ready()
        assert models.writes() == wrote
        assert serves(model, 2)


async def test_what_a_person_changes_past_git_is_git_again(cluster: Cluster, model: Model, models: Models) -> None:
    """By Flux alone: the operator ends what had begun. A pipeline of ours is refused before."""
    kubectl = Kubectl(str(binaries.kubectl()), model.namespace, kubeconfig=str(cluster.server.kubeconfig))
    async with operator(cluster, monitors=FakeMonitors()):
        await first(models, model)
        with pytest.raises(ConflictError, match=f"written by {MANAGER}.*open a pull request"):
            await asyncio.to_thread(deploy, kubectl, "fraud", Version(URI.format(9)))
        changed = {"spec": {"model": {"uri": URI.format(9)}}}
        path = MODEL_DEPLOYMENTS.path(model.namespace, "fraud")
        cluster.request("PATCH", path, changed, MERGE)
        asked = models.ask()
        await until(lambda: model.get()["spec"]["model"]["uri"] == URI.format(1), "what Git says", PATIENCE)
        await until(lambda: serves(model, 1) and models.has_looked(asked), "and it is served", PATIENCE)
        assert models.is_ready()


async def test_what_git_no_longer_has_is_pruned(cluster: Cluster, model: Model, models: Models) -> None:
    folder = models.repository.folder / "models"
    async with operator(cluster, monitors=FakeMonitors()):
        await first(models, model)
        (folder / "drift-policy.yaml").unlink()
        models.repository.commit("watched no more")
        policy = DRIFT_POLICIES.path(model.namespace, "fraud")
        await until(lambda: cluster.request("GET", policy) is None, "the policy's end", PATIENCE)
        await until(models.is_ready, "health without it", PATIENCE)
        assert serves(model, 1)
        uid = model.get()["metadata"]["uid"]
        other = yaml.safe_load((folder / "fraud.yaml").read_text())
        other["metadata"]["name"] = "churn"
        (folder / "churn.yaml").write_text(yaml.safe_dump(other))
        (folder / "fraud.yaml").unlink()
        models.repository.commit("another model instead")
        await until(lambda: model.get() is None, "the model's end", PATIENCE)
    made = cluster.request("GET", DEPLOYMENTS.path(model.namespace))["items"]
    of_it = [each for each in made if each["metadata"]["name"].startswith("fraud")]
    assert of_it, "no garbage collector runs here"
    assert {owner["uid"] for each in of_it for owner in each["metadata"]["ownerReferences"]} == {uid}, "it takes them"


def allow(models: Models, *rules: dict[str, list[str]]) -> None:
    """These are all rights of the account that Flux applies with."""
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{models.namespace}/roles/flux-models"
    models.cluster.request("PATCH", path, {"rules": list(rules)}, MERGE)


def rule(group: str, kind: str, *verbs: str) -> dict[str, list[str]]:
    return {"apiGroups": [group], "resources": [kind], "verbs": list(verbs)}


WRITES = ("get", "create", "patch")


async def test_a_right_that_the_account_lacks_is_told(cluster: Cluster, models: Models) -> None:
    allow(models, rule("modelward.io", "modeldeployments", *WRITES))
    models.begin()
    refused = 'cannot patch resource "driftpolicies"'
    await until(lambda: refused in models.condition("Ready")["message"], "that it is refused", PATIENCE)
    assert models.condition("Ready")["reason"] == "ReconciliationFailed"


async def test_what_a_spec_has_the_operator_do_is_asked_of_the_account(
    cluster: Cluster, model: Model, models: Models
) -> None:
    rights = (rule("modelward.io", "modeldeployments", *WRITES), rule("modelward.io", "driftpolicies", *WRITES))
    allow(models, *rights)
    policy = yaml.safe_load((EXAMPLE / "models/drift-policy.yaml").read_text())

    def refused() -> str:
        return cluster.create(policy, model.namespace, user=models.account, dry_run=True)[1]

    await until(lambda: "on jobs (batch)" in refused(), "the policies are in force", PATIENCE)
    models.begin()
    await until(lambda: "on jobs (batch)" in models.condition("Ready")["message"], "that it is refused", PATIENCE)
    assert models.condition("Ready")["reason"] == "ReconciliationFailed"
    allow(models, *rights, rule("batch", "jobs", "create"))
    async with operator(cluster, monitors=FakeMonitors()):
        models.ask()
        await until(lambda: serves(model, 1), "what Git has", PATIENCE)
        await until(models.is_ready, "its health", PATIENCE)
