"""What real Helm makes of the chart on a real API server (installs, upgrades, takes back, leaves behind), and what the
roles that come with it give to people.

No pods run here, so nothing waits for the operator's Deployment; tests/unit/manifests/test_chart.py says what is in it.
"""

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm import Helm
from localcluster import binaries
from localcluster.apiserver import ApiServer
from modelward.kube.resources import MODEL_DEPLOYMENTS
from nodeless.cluster import REPOSITORY, Cluster
from nodeless.model import manifest
from rights import Right, rights_of

CHART = REPOSITORY / "charts/modelward"
SYSTEM = "modelward-system"
LARGEST = 1 << 20
"""Bytes of a Secret, in which Helm keeps a release."""
PEOPLE = ("view", "edit", "admin")
KINDS = ("modeldeployments", "driftpolicies", "modelregistries", "retrainingruns")
FINDS_OUT_WITHIN = 60.0
"""Seconds until the API server knows of a binding or of a kind."""


@pytest.fixture(scope="module")
def bare(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[Cluster]:
    """Without our kinds, which the chart brings; and what there is of them stays from test to test."""
    with in_sight():
        binaries.kubernetes(), binaries.helm()
    with ApiServer() as server:
        made = Cluster(server)
        yield made
        made.close()


@pytest.fixture(scope="module")
def helm(bare: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(bare.server.kubeconfig, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def installed(bare: Cluster, helm: Helm) -> Helm:
    """The release `modelward`, and a model that is there all the time."""
    told = helm("install", "modelward", str(CHART), "-n", SYSTEM, "--create-namespace")
    assert "The operator is in namespace modelward-system, for every namespace." in told
    served(bare)
    bare.create_namespace("ml")
    bare.apply(manifest("ml", "fraud"), "ml")
    return helm


def served(bare: Cluster) -> None:
    for kind in KINDS:
        until(lambda kind=kind: established(bare, kind), f"{kind} served")  # type: ignore[misc]


def established(bare: Cluster, kind: str) -> bool:
    waited = ("wait", "--for=condition=Established", f"crd/{kind}.modelward.io", "--timeout=10s")
    return bare.run(*waited).returncode == 0


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + FINDS_OUT_WITHIN
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def settings(bare: Cluster) -> dict[str, str]:
    return dict(bare.get("configmap", "modelward-settings", "-n", SYSTEM)["data"])


def template(bare: Cluster) -> dict[str, Any]:
    return dict(bare.get("deployment", "modelward-operator", "-n", SYSTEM)["spec"]["template"])


def model(bare: Cluster) -> dict[str, Any]:
    return dict(bare.request("GET", MODEL_DEPLOYMENTS.path("ml", "fraud")))


def revision(helm: Helm) -> str:
    (release,) = json.loads(helm("list", "-n", SYSTEM, "-o", "json"))
    assert release["status"] == "deployed"
    return str(release["revision"])


def test_everything_that_it_renders_is_there(installed: Helm, bare: Cluster) -> None:
    rendered = installed("get", "manifest", "modelward", "-n", SYSTEM)
    assert rendered.count("\nkind: ") >= 25
    found = json.loads(bare.kubectl("get", "-f", "-", "-o", "json", stdin=rendered))["items"]
    assert len(found) == rendered.count("\nkind: ")


def test_a_release_fits_into_its_secret(installed: Helm, bare: Cluster, measured: Callable[[str], None]) -> None:
    found = bare.get("secrets", "-n", SYSTEM, "-l", "owner=helm")["items"]
    largest = max(len(base64.b64decode(each["data"]["release"])) for each in found)
    measured(f"a Helm release is {largest >> 10} KiB of the {LARGEST >> 10} that a Secret may have")
    assert largest < LARGEST / 2


def test_an_upgrade_changes_what_it_says_and_a_rollback_takes_it_back_and_models_stay_as_they_are(
    installed: Helm, bare: Cluster
) -> None:
    before, first, pods = model(bare), revision(installed), template(bare)
    changes = ("--set", "settings.MODELWARD_LOG_LEVEL=DEBUG", "--set", "replicas=3")
    installed("upgrade", "modelward", str(CHART), "-n", SYSTEM, *changes)
    assert settings(bare)["MODELWARD_LOG_LEVEL"] == "DEBUG"
    assert template(bare) != pods, "a changed setting makes new pods"
    assert bare.get("deployment", "modelward-operator", "-n", SYSTEM)["spec"]["replicas"] == 3
    installed("rollback", "modelward", first, "-n", SYSTEM)
    assert settings(bare)["MODELWARD_LOG_LEVEL"] == "INFO"
    assert template(bare) == pods
    assert model(bare) == before


def test_what_is_wrong_changes_nothing(installed: Helm, bare: Cluster) -> None:
    before, pods = revision(installed), template(bare)
    done = installed.run(
        "upgrade", "modelward", str(CHART), "-n", SYSTEM, "--set", "settings.MODELWARD_LOG_LEVLE=DEBUG"
    )
    assert done.returncode != 0
    assert "additional properties 'MODELWARD_LOG_LEVLE' not allowed" in done.stderr
    assert (revision(installed), template(bare)) == (before, pods)


def test_an_upgrade_brings_fields_that_the_crds_lack(installed: Helm, bare: Cluster, tmp_path: Path) -> None:
    """As from a version before `spec.slo`: in Helm's folder `crds/` it would stay away for ever."""

    def fields() -> set[str]:
        version = bare.get("crd/modeldeployments.modelward.io")["spec"]["versions"][0]
        return set(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])

    changed_crd(
        installed,
        tmp_path,
        lambda version: version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].pop("slo"),
    )
    assert "slo" not in fields()
    installed("upgrade", "modelward", str(CHART), "-n", SYSTEM)
    assert "slo" in fields()


def changed_crd(helm: Helm, folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The release with another schema of ModelDeployment's version, from a copy of the chart."""
    path = shutil.copytree(CHART, folder / "modelward") / "templates" / "crd-modeldeployments.yaml"
    first, second, *lines, last = path.read_text().splitlines()
    crd = yaml.safe_load("\n".join(lines))
    change(crd["spec"]["versions"][0])
    path.write_text("\n".join((first, second, yaml.safe_dump(crd), last)))
    helm("upgrade", "modelward", str(folder / "modelward"), "-n", SYSTEM)


def test_one_who_owns_two_namespaces_installs_for_them_without_any_right_of_the_cluster(
    installed: Helm, bare: Cluster
) -> None:
    team, own = (f"t-{secrets.token_hex(4)}" for _ in range(2))
    for namespace in (team, own):
        bare.create_namespace(namespace)
        rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
        bare.apply(role("owner", rules), namespace)
        bare.apply(bound("owner", "Role", "owner", "lead"), namespace)
    until(lambda: may(bare, "lead", Right("", "secrets", "create"), own), "the owner's rights")
    wide = ("install", "mine", str(CHART), "-n", own, "--kube-as-user", "lead")
    done = installed.run(*wide)
    assert done.returncode != 0, "CRDs and policies are no namespace's"
    narrow = ("--set", "cluster.enabled=false", "--set", f"watchNamespaces={{{team}}}")
    told = installed(*wide, *narrow)
    assert f"The operator is in namespace {own}, for {team}." in told
    account = f"system:serviceaccount:{own}:modelward-operator"
    until(lambda: may(bare, account, Right("apps", "deployments", "create"), team), "the operator's rights")
    for elsewhere in ("ml", ""):
        assert not may(bare, account, Right("apps", "deployments", "create"), elsewhere)
        assert not may(bare, account, Right("modelward.io", "modeldeployments", "list"), elsewhere)
    installed("uninstall", "mine", "-n", own, "--kube-as-user", "lead")
    until(lambda: not may(bare, account, Right("apps", "deployments", "create"), team), "no rights are left")


def test_the_quick_starts_objects_are_taken_as_they_are(installed: Helm, bare: Cluster, tmp_path: Path) -> None:
    """By a real API server with the chart's CRDs and policies; pods do not run here."""
    folder = shutil.copytree(REPOSITORY / "examples/quick-start", tmp_path / "quick-start")
    (folder / "model.joblib").write_bytes(b"\x80 a model")
    told = bare.kubectl("apply", "--server-side", "-k", str(folder))
    assert told.count(" serverside-applied") == 5
    assert bare.get("md", "my-model", "-n", "quick-start")["spec"]["model"]["uri"] == "pvc://models/model.joblib"


# What a role gives to people, by a binding in one namespace.


@pytest.fixture(scope="module")
def people(installed: Helm, bare: Cluster) -> str:
    """A namespace where `view`, `edit` and `admin` are users who have that role of ours and nothing else."""
    namespace = f"t-{secrets.token_hex(4)}"
    bare.create_namespace(namespace)
    for each in PEOPLE:
        bare.apply(bound(each, "ClusterRole", f"modelward-{each}", each), namespace)
        until(lambda each=each: may(bare, each, Right("modelward.io", KINDS[0], "list"), namespace), each)  # type: ignore[misc]
    bare.apply(manifest(namespace, "fraud"), namespace)
    return namespace


def role(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules,
    }  # fmt: skip


def bound(name: str, kind: str, to: str, user: str) -> dict[str, Any]:
    api = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": api, "kind": kind, "name": to},
        "subjects": [{"apiGroup": api, "kind": "User", "name": user}],
    }  # fmt: skip


def may(bare: Cluster, user: str, right: Right, namespace: str) -> bool:
    """By the API server's own word. `namespace`: '' for all of them."""
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "group": right.group, "resource": resource, "subresource": subresource, "verb": right.verb,
        "name": right.name, "namespace": namespace,
    }  # fmt: skip
    review = {"spec": {"user": user, "resourceAttributes": attributes}}
    answer = bare.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def as_one(bare: Cluster, user: str, *arguments: str) -> tuple[bool, str]:
    done = bare.run("--as", user, *arguments)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("user", PEOPLE)
def test_whoever_has_a_role_sees_every_kind_in_his_namespace_alone(
    bare: Cluster, people: str, user: str, kind: str
) -> None:
    assert as_one(bare, user, "get", kind, "-n", people)[0]
    assert "Forbidden" in as_one(bare, user, "get", kind, "-n", "ml")[1]


def test_view_writes_nothing(bare: Cluster, people: str) -> None:
    command = ("annotate", "md/fraud", "modelward.io/rollout=abort")
    for write in (command, ("delete", "md/fraud"), ("scale", "md/fraud", "--replicas=3")):
        taken, said = as_one(bare, "view", *write, "-n", people)
        assert not taken, write
        assert "Forbidden" in said
    assert not bare.applied_by("view", manifest(people, "other"), people)[0]


@pytest.mark.parametrize("user", ["edit", "admin"])
def test_edit_and_admin_make_change_command_and_delete_models(bare: Cluster, people: str, user: str) -> None:
    name = f"of-{user}"
    assert bare.applied_by(user, manifest(people, name), people) == (True, "")
    assert bare.applied_by(user, manifest(people, name, 2), people) == (True, "")
    for write in (("annotate", f"md/{name}", "modelward.io/rollout=pause"), ("scale", f"md/{name}", "--replicas=2")):
        taken, said = as_one(bare, user, *write, "-n", people)
        assert taken, said
    patch = json.dumps({"status": {"observedGeneration": 99}})
    told = as_one(bare, user, "patch", f"md/{name}", "--subresource=status", "--type=merge", "-p", patch, "-n", people)
    assert "Forbidden" in told[1], "what says that a model serves is the operator's"
    assert as_one(bare, user, "delete", f"md/{name}", "-n", people)[0]


def test_admin_clears_a_namespace_at_once_and_edit_does_not(bare: Cluster, people: str) -> None:
    right = Right("modelward.io", "modeldeployments", "deletecollection")
    claim = Right("coordination.k8s.io", "leases", "delete", "modelward-claim")
    assert [may(bare, user, right, people) for user in PEOPLE] == [False, False, True]
    assert [may(bare, user, claim, people) for user in PEOPLE] == [False, False, True]
    assert not may(bare, "admin", Right("coordination.k8s.io", "leases", "delete", "another"), people)


@pytest.mark.parametrize("user", PEOPLE)
def test_nobody_can_what_the_operator_can(bare: Cluster, people: str, user: str) -> None:
    """But for what his own role says: `operate`, status and every object that models are made of among the rest."""
    account = f"system:serviceaccount:{SYSTEM}:modelward-operator"
    operators = rights_of(bare.get("clusterrole", "modelward-operator")["rules"])
    own = rights_of(bare.get("clusterrole", f"modelward-{user}")["rules"])
    assert all(may(bare, account, each, people) for each in operators)
    common = {each for each in operators if may(bare, user, each, people)}
    assert common == {each for each in operators if any(mine.allows(each) for mine in own)}
    assert {each.group for each in common} == {"modelward.io"}
    assert not {each for each in common if "/" in each.resource or each.verb in ("operate", "assume")}
    assert not may(bare, user, Right("modelward.io", "modelregistries", "assume"), people)
    created = Right("modelward.io", "retrainingruns", "create")
    assert created in operators - common


@pytest.mark.parametrize("user", PEOPLE)
def test_they_become_part_of_the_clusters_own_roles(installed: Helm, bare: Cluster, user: str) -> None:
    """Its controller, which does not run here, fills these by their selectors."""
    labels = bare.get("clusterrole", f"modelward-{user}")["metadata"]["labels"]
    selectors = bare.get("clusterrole", user)["aggregationRule"]["clusterRoleSelectors"]
    assert any(each["matchLabels"].items() <= labels.items() for each in selectors)


# Last: these change the CRDs, and take the release away.


def with_versions(bare: Cluster, *names: str, stored: str) -> None:
    """Every kind with these versions, all with the schema that there is; back when they are served."""
    for kind in KINDS:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind}.modelward.io"
        first, *_ = bare.request("GET", path)["spec"]["versions"]
        versions = [{**first, "name": each, "storage": each == stored} for each in names]
        bare.request("PATCH", path, {"spec": {"versions": versions}}, "application/merge-patch+json")
    for name in names:
        until(lambda name=name: at(bare, name) is not None, f"{name} served")  # type: ignore[misc]


def at(bare: Cluster, version: str) -> Any:
    """The model, as one of the API's versions shows it."""
    return bare.request("GET", MODEL_DEPLOYMENTS.path("ml", "fraud").replace("/v1alpha1/", f"/{version}/"))


def migrate(bare: Cluster, version: str) -> None:
    """By the commands of docs/upgrades.md."""
    page = (REPOSITORY / "docs/upgrades.md").read_text()
    (loop,) = re.findall(r"```sh\n(   for kind in .*?)```", page, re.DOTALL)
    environment = {**os.environ, "PATH": f"{binaries.kubernetes()}:{os.environ['PATH']}"}
    environment["KUBECONFIG"] = str(bare.server.kubeconfig)
    script = ["bash", "-euo", "pipefail", "-c", loop.replace("v1beta1", version)]
    ran = subprocess.run(script, env=environment, text=True, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_next_version_of_the_api_comes_beside_this_one_and_can_go_back(installed: Helm, bare: Cluster) -> None:
    """As docs/upgrades.md has it: v1beta1 has the same schema, is served beside, then stored, and all is migrated."""
    status = {"status": {"observedGeneration": 1, "phase": "Ready", "url": "http://fraud.ml.svc"}}
    path = MODEL_DEPLOYMENTS.path("ml", "fraud")
    bare.request("PATCH", f"{path}/status", status, "application/merge-patch+json")
    before = model(bare)
    assert before["status"] == status["status"]

    def same(version: str) -> bool:
        found = at(bare, version)
        return all(found[each] == before[each] for each in ("spec", "status")) and (
            found["metadata"]["uid"] == before["metadata"]["uid"]
        )

    with_versions(bare, "v1alpha1", "v1beta1", stored="v1alpha1")
    assert same("v1alpha1")
    assert same("v1beta1")
    with_versions(bare, "v1alpha1", "v1beta1", stored="v1beta1")
    assert same("v1alpha1")
    assert same("v1beta1")
    migrate(bare, "v1beta1")
    # What were stored as a version that is gone could not be read any more.
    with_versions(bare, "v1beta1", stored="v1beta1")
    assert at(bare, "v1alpha1") is None
    assert same("v1beta1")
    # And back.
    with_versions(bare, "v1beta1", "v1alpha1", stored="v1alpha1")
    migrate(bare, "v1alpha1")
    with_versions(bare, "v1alpha1", stored="v1alpha1")
    assert same("v1alpha1")


def test_models_outlive_the_release_and_another_one_takes_what_was_left(installed: Helm, bare: Cluster) -> None:
    before = model(bare)
    installed("uninstall", "modelward", "-n", SYSTEM)
    assert bare.request("GET", f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/modelward-operator") is None
    assert model(bare) == before, "CRDs are kept, and models with them"
    # As somebody has it who installed by kustomize before.
    bare.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(REPOSITORY / "manifests/base"))
    done = installed.run("install", "other", str(CHART), "-n", SYSTEM)
    assert done.returncode != 0
    assert "invalid ownership metadata" in done.stderr
    installed("install", "other", str(CHART), "-n", SYSTEM, "--take-ownership", "--force-conflicts")
    assert model(bare) == before
