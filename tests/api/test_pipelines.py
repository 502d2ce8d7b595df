<<<<<<< HEAD
"""What pipelines do, against a real API server: by the API with a service account's token and by kubectl, with the
rights of examples/pipelines/access.yaml and no other.
"""

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import binaries
from modelward_cli.cluster import Cluster as Asked
from modelward_cli.direct import Direct
from modelward_cli.fleet.read import model as read_model
from modelward_cli.kubectl import MODELS, ConflictError, Kubectl, KubectlError, NotAllowedError, NotFoundError
from modelward_cli.pipeline import watching
from modelward_cli.pipeline.deploying import Version, body, deploy
from modelward_cli.pipeline.rollouts import State, progress
from nodeless.cluster import REPOSITORY, Cluster
from nodeless.model import S3, Model
from nodeless.operator_process import operator, until
from unit.pipelines.pages import blocks

from .test_rollouts import SLOW

ACCESS = REPOSITORY / "examples/pipelines/access.yaml"
ONE, TWO = S3.format(1), S3.format(2)


@pytest.fixture(params=["api", "kubectl"])
def asked(request: pytest.FixtureRequest, cluster: Cluster, namespace: str, tmp_path: Path) -> Asked:
    """As the service account `pipeline`."""
    cluster.kubectl("apply", "-n", namespace, "-f", str(ACCESS))
    token = cluster.kubectl("create", "token", "pipeline", "-n", namespace).strip()
    authority = cluster.server.certificate_authority.read_text()
    if request.param == "api":
        return Direct(cluster.server.url, namespace, token, certificate_authority=authority)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": cluster.server.url,
                    "certificate-authority-data": base64.b64encode(authority.encode()).decode(),
                },
            }
        ],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        "current-context": "x",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Kubectl(str(binaries.kubectl()), kubeconfig=str(path))


def spec(model: Model) -> Any:
    return model.get()["spec"]["model"]


def written_by(cluster: Cluster, model: Model, manager: str) -> None:
    """The same spec, by somebody else."""
    manifest = {key: model.get()[key] for key in ("apiVersion", "kind", "spec")}
    manifest["metadata"] = {"name": "fraud"}
    cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", "-n", model.namespace, "-f", "-",
        stdin=json.dumps(manifest),
    )  # fmt: skip


def test_a_version_is_deployed_once_and_never_against_git(cluster: Cluster, model: Model, asked: Asked) -> None:
    model.apply(version=1)
    written_by(cluster, model, "argocd-controller")
    with pytest.raises(ConflictError, match=r"written by argocd-controller.*open a pull request"):
        deploy(asked, "fraud", Version(TWO))
    assert spec(model)["uri"] == ONE
    taken = deploy(asked, "fraud", Version(TWO), take_over=True)
    again = deploy(asked, "fraud", Version(TWO))
    assert (taken.changed, again.changed, taken.generation) == (True, False, again.generation)
    assert spec(model)["uri"] == TWO
    assert model.get()["spec"] == {**model.get()["spec"], "model": {**spec(model), "uri": TWO}}
    pinned = deploy(asked, "fraud", Version(ONE, "sha256:" + "1" * 64))
    assert (pinned.changed, spec(model)["digest"]) == (True, "sha256:" + "1" * 64)
    with pytest.raises(KubectlError, match="name the digest of the new version"):
        deploy(asked, "fraud", Version(TWO))


def test_what_is_not_there_is_not_made(cluster: Cluster, model: Model, asked: Asked) -> None:
    model.apply(version=1)
    with pytest.raises(NotFoundError, match="did you mean fraud"):
        deploy(asked, "froud", Version(TWO))
    shown = read_model(asked, "fraud")
    cluster.request("DELETE", f"/apis/modelward.io/v1alpha1/namespaces/{model.namespace}/modeldeployments/fraud")
    with pytest.raises(KubectlError):
        asked.applied(MODELS, body(shown, Version(TWO)))
    assert model.get() is None
    model.apply(version=1)
    with pytest.raises(ConflictError):
        asked.applied(MODELS, body(shown, Version(TWO)))
    assert spec(model)["uri"] == ONE, "another object of that name is not the one that was looked at"


def test_what_the_crd_refuses_is_said_in_its_words(model: Model, asked: Asked) -> None:
    model.apply(version=1)
    with pytest.raises(KubectlError, match="start it with https://"):
        deploy(asked, "fraud", Version("ftp://models/fraud"), take_over=True)


def test_no_other_right_is_needed_or_had(model: Model, asked: Asked) -> None:
    model.apply(version=1)
    assert watching.drift(asked, "fraud").found == ()
    assert watching.quality(asked, "fraud").known is False
    with pytest.raises(NotAllowedError, match=r"docs/cli\.md"):
        asked.created(
            MODELS, {"apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "x"}}
        )


def test_the_kubeconfig_of_the_page_logs_in_as_the_pipeline_alone(tmp_path: Path) -> None:
    """Its commands, as they stand there."""
    (commands,) = blocks("docs/integrations/github-actions-deploy.md", "sh")
    mine = {
        "apiVersion": "v1", "kind": "Config", "current-context": "mine",
        "clusters": [{"name": "c", "cluster": {"server": "https://cluster.example.com"}}],
        "users": [{"name": "me", "user": {"token": "of-an-administrator"}}],
        "contexts": [{"name": "mine", "context": {"cluster": "c", "user": "me"}}],
    }  # fmt: skip
    (tmp_path / "mine").write_text(yaml.safe_dump(mine))
    lines = [line for line in commands.splitlines() if line.startswith("kubectl ") and " apply " not in line]
    lines.append("kubectl --kubeconfig=pipeline.kubeconfig config delete-user me")
    folder = binaries.kubectl().parent
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "KUBECONFIG": str(tmp_path / "mine"), "TOKEN": "t0k3n"}
    script = "set -eu\n" + "\n".join(lines)
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, check=True, timeout=60, capture_output=True)
    made = yaml.safe_load((tmp_path / "pipeline.kubeconfig").read_text())
    assert made["users"] == [{"name": "pipeline", "user": {"token": "t0k3n"}}]
    (context,) = made["contexts"]
    assert context["context"] == {"cluster": "c", "user": "pipeline", "namespace": "ml"}


async def test_a_rollout_is_seen_to_its_end(cluster: Cluster, model: Model, asked: Asked) -> None:
    states: list[State] = []

    def sees(state: State, wanted: str) -> Callable[[], bool]:
        def look() -> bool:
            model.kubelet.settle()
            states.append(progress(read_model(asked, "fraud"), Version(wanted)).state)
            return states[-1] is state

        return look

    async with operator(cluster):
        model.apply(version=1, rollout=SLOW)
        await until(sees(State.PROMOTED, ONE), "the first version")
        deploy(asked, "fraud", Version(TWO), take_over=True)
        states.clear()
        cluster.kubectl("annotate", "-n", model.namespace, "modeldeployment/fraud", "modelward.io/rollout=abort")
        await until(sees(State.FAILED, TWO), "it is given up")
        assert State.PROMOTED not in states, "the version before is never taken for the new one"
        cluster.kubectl("annotate", "-n", model.namespace, "modeldeployment/fraud", "modelward.io/rollout=promote")
        await until(sees(State.PROMOTED, TWO), "it is promoted by hand")
        assert progress(read_model(asked, "fraud"), Version(ONE)).state is State.SUPERSEDED
=======
"""Runs as pipelines, by a whole operator on a real API server; Argo's controller and Airflow are played.

What each system answers, and whatever crashes, is in tests/unit/retraining/contract; here it is that the operator asks
at all, and that the API server takes what is made of it.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from aiohttp import web

from modelward.kube.resources import SECRETS, WORKFLOWS
from nodeless.cluster import Cluster
from nodeless.model import S3, Model
from nodeless.operator_process import operator, until
from nodeless.training import FakeMonitors, Policy
from unit.retraining.contract.airflow import Airflow

MERGE: Final = "application/merge-patch+json"
REPORT = {"modelUri": S3.format(2)}
CRD: Final[dict[str, Any]] = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "workflows.argoproj.io"},
    "spec": {
        "group": "argoproj.io", "scope": "Namespaced",
        "names": {"kind": "Workflow", "listKind": "WorkflowList", "plural": "workflows", "singular": "workflow"},
        "versions": [{
            "name": "v1alpha1", "served": True, "storage": True,
            "schema": {"openAPIV3Schema": {
                "type": "object", "required": ["metadata", "spec"],
                "properties": {
                    "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
                    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }},
        }],
    },
}  # fmt: skip
"""As the minimal one of Argo itself, which describes no fields, and has no status of its own."""


@pytest.fixture
def policy(cluster: Cluster, namespace: str) -> Policy:
    return Policy(cluster, namespace)


async def asked(model: Model, policy: Policy, **retrain: Any) -> None:
    """A run that somebody asked for."""
    model.apply(version=1)
    await until(model.is_ready, "the first version")
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy",
        "metadata": {"name": policy.name, "namespace": policy.namespace},
        "spec": {"target": {"name": "fraud"}, "retrain": {"cooldown": "0s", "backoff": "0s", **retrain}},
    }  # fmt: skip
    policy.cluster.apply(body, policy.namespace)
    await until(lambda: policy.condition("Ready")["status"] == "True", "it watches")
    policy.request("please")


def workflows(policy: Policy) -> list[Any]:
    return list(policy.cluster.request("GET", WORKFLOWS.path(policy.namespace))["items"])


async def test_argo_is_told_of_where_the_cluster_has_none_and_makes_a_model_where_it_has(
    cluster: Cluster, model: Model, policy: Policy
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        await asked(model, policy, argoWorkflow={"template": "retrain"})
        await until(lambda: policy.runs() == [("Failed", "Request")], "a failure")
        assert "has no Argo Workflows" in policy.ended()[0]["status"]["message"]
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(CRD))
        try:
            cluster.kubectl("wait", "--for=condition=Established", "crd/workflows.argoproj.io", "--timeout=60s")
            policy.request("again")
            await until(lambda: len(workflows(policy)) == 1, "a Workflow")
            (made,) = workflows(policy)
            run = policy.active()
            assert made["metadata"]["name"] == run["metadata"]["name"]
            assert made["metadata"]["ownerReferences"][0]["uid"] == run["metadata"]["uid"]
            assert made["spec"]["workflowTemplateRef"] == {"name": "retrain"}
            assert "finalizers" not in policy.get()["metadata"], "it goes with its run"
            outputs = {"parameters": [{"name": "modelward-report", "value": json.dumps(REPORT)}]}
            path = WORKFLOWS.path(policy.namespace, made["metadata"]["name"])
            cluster.request("PATCH", path, {"status": {"phase": "Succeeded", "outputs": outputs}}, MERGE)
            await until(model.is_second, "the second version alone", 60)
            policy.request("once more")
            await until(lambda: len(workflows(policy)) == 2, "another Workflow")
            await until(lambda: policy.phase() == "Running", "it runs")
            name = policy.active()["metadata"]["name"]
            cluster.kubectl("delete", "rr", name, "-n", policy.namespace)
            path = WORKFLOWS.path(policy.namespace, name)
            await until(lambda: cluster.request("GET", path)["spec"].get("shutdown") == "Terminate", "it is stopped")
        finally:
            cluster.kubectl("delete", "crd", "workflows.argoproj.io")


@pytest.fixture
async def airflow() -> AsyncIterator[Airflow]:
    system = Airflow()
    runner = web.AppRunner(system.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    system.server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield system
    await runner.cleanup()


async def test_a_dag_run_makes_a_model_and_its_login_is_told_nowhere(
    cluster: Cluster, model: Model, policy: Policy, airflow: Airflow
) -> None:
    (entries,) = airflow.api.given.values()
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pipeline", "namespace": policy.namespace},
        "stringData": entries,
    }  # fmt: skip
    cluster.request("POST", SECRETS.path(policy.namespace), secret)
    async with operator(cluster, monitors=FakeMonitors(), webhook_hosts=("127.0.0.1",)):
        await asked(model, policy, **airflow.retrain)
        await until(lambda: policy.phase() == "Running", "it runs")
        assert airflow.begun() == 1
        airflow.go_on("good", REPORT)
        await until(model.is_second, "the second version alone", 60)
        events = cluster.kubectl("get", "events", "-n", policy.namespace, "-o", "json")
        told = json.dumps([policy.get(), *policy.objects(), model.get()]) + events
        assert not [each for each in (entries["password"], *airflow.jwts) if each in told]
>>>>>>> wt-triggers
