"""What pipelines do, against a real API server: by the API with a service account's token and by kubectl, with the
rights of examples/pipelines/access.yaml and no other.
"""

import base64
import json
import os
import subprocess
import sys
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
from s3store import S3Store
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


def test_a_bundle_is_registered_once_in_a_store_and_fetched_as_git_pins_it(tmp_path: Path) -> None:
    """The steps of the CI/CD templates against a real S3 server."""
    store = S3Store(tmp_path / "s3")

    def step(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        script = str(REPOSITORY / f"examples/pipelines/steps/{name}.py")
        return subprocess.run(
            [sys.executable, script, *arguments], cwd=tmp_path, text=True, capture_output=True, timeout=120,
            env={**os.environ, **store.environment, "AWS_DEFAULT_REGION": "us-east-1"}, check=False,
        )  # fmt: skip

    try:
        store.client.create_bucket(Bucket="models")
        (tmp_path / "model.tar").write_bytes(b"a bundle")
        register = ("register", "--bundle", "model.tar", "--name", "fraud", "--to", "s3://models/prod/")
        for _ in range(2):
            assert (ended := step(*register)).returncode == 0, ended.stderr
        told = json.loads((tmp_path / "build/registered.json").read_text())
        (stored,) = store.client.list_objects_v2(Bucket="models")["Contents"]
        assert told["uri"] == f"s3://models/{stored['Key']}"
        model = {"kind": "ModelDeployment", "metadata": {"name": "fraud"}, "spec": {"model": told}}
        (tmp_path / "fraud.yaml").write_text(yaml.safe_dump(model))
        fetch = ("champion", "--file", "fraud.yaml", "--model", "fraud")
        assert (ended := step(*fetch)).returncode == 0, ended.stderr
        assert (tmp_path / "build/champion.tar").read_bytes() == b"a bundle"
        store.client.put_object(Bucket="models", Key=stored["Key"], Body=b"other bytes")
        assert "who has changed it?" in step(*fetch).stderr
        assert "is there already, with other bytes" in step(*register).stderr
    finally:
        store.stop()
