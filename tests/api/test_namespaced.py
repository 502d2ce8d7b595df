"""Installations for some namespaces, each with the rights of the overlay in the docs and no others."""

import json
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import gatewayapi
from modelward.api.names import LABEL_ALLOWED_FORMATS
from modelward.kube.claims import NAME, NAME_OF_ALL
from modelward.kube.resources import LEASES
from nodeless.cluster import Cluster
from nodeless.fixtures import api_server
from nodeless.model import Model
from nodeless.operator_process import operator, until
from rights import denied

PAGE = Path(__file__).parents[2] / "docs" / "multi-tenancy.md"
JOBLIB = "s3://models/fraud/{}/model.joblib"

Object = dict[str, Any]


def overlay(folder: Path, repository: Path, installation: str, namespaces: tuple[str, ...]) -> None:
    """The files of the docs, for other names."""
    (folder / "modelward").mkdir(parents=True)
    for part in ("manifests", "crds"):
        shutil.copytree(repository / part, folder / "modelward" / part)
    text = PAGE.read_text().replace("team-a team-a-staging", " ".join(namespaces)).replace("modelward-a", installation)
    blocks = dict(re.findall(r"```yaml\n# (\S+\.yaml)[^\n]*\n(.*?)```", text, re.DOTALL))
    assert len(blocks) == 3
    files = {"operator/kustomization.yaml": blocks["operator/kustomization.yaml"]}
    for each in namespaces:
        files[f"{each}/kustomization.yaml"] = blocks["team-a/kustomization.yaml"].replace("team-a", each)
    files["kustomization.yaml"] = "resources:\n" + "".join(f"- {each}\n" for each in ("operator", *namespaces))
    for name, content in files.items():
        target = folder / "overlay" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)


class Installation:
    """The operator's account of an installation, with exactly the rights that its overlay gives."""

    def __init__(self, cluster: Cluster, folder: Path, namespaces: tuple[str, ...]) -> None:
        self.cluster = cluster
        self.name = f"modelward-{secrets.token_hex(3)}"
        self.namespaces = namespaces
        self.user = f"system:serviceaccount:{self.name}:modelward-operator"
        overlay(folder / self.name, cluster.repository, self.name, namespaces)
        built = cluster.kubectl("kustomize", str(folder / self.name / "overlay"))
        self.objects = [body for body in yaml.safe_load_all(built) if body]
        rights = ("Namespace", "ServiceAccount", "Role", "RoleBinding")
        wanted = [each for kind in rights for each in self.objects if each["kind"] == kind]
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(wanted))
        self.kubeconfig = folder / f"{self.name}.kubeconfig"
        config = yaml.safe_load(cluster.server.kubeconfig.read_text())
        token = cluster.kubectl("create", "token", "modelward-operator", "-n", self.name).strip()
        config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def runs(self, handover: float = 0.0, *, may_end: bool = False) -> Any:
        return operator(
            self.cluster, installation=self.name, namespaces=self.namespaces, kubeconfig=self.kubeconfig,
            handover=handover, may_end=may_end,
        )  # fmt: skip

    def requests(self) -> list[Object]:
        """What the API server was asked with the account, by its audit log."""
        lines = self.cluster.server.audit_log.read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["user"]["username"] == self.user]


@pytest.fixture
def namespaces(cluster: Cluster) -> Callable[[], str]:
    def made() -> str:
        name = f"t-{secrets.token_hex(4)}"
        cluster.kubectl("create", "namespace", name)
        return name

    return made


def holder(cluster: Cluster, namespace: str) -> str | None:
    lease = cluster.request("GET", LEASES.path(namespace, NAME))
    return None if lease is None else str(lease["spec"]["holderIdentity"])


async def test_a_model_in_a_watched_namespace_is_served_and_nothing_else_is_even_listed(
    cluster: Cluster, namespaces: Callable[[], str], tmp_path: Path
) -> None:
    inside, outside = Model(cluster, namespaces()), Model(cluster, namespaces())
    one = Installation(cluster, tmp_path, (inside.namespace,))
    outside.apply()
    async with one.runs() as running:
        inside.apply()
        await until(inside.is_ready, "ready")
        inside.apply(version=2)
        await until(inside.is_second, "the second version alone")
        await running.controller._first_sync()
    assert outside.objects() == []
    assert outside.get()["status"] == {"observedGeneration": -1}
    assert holder(cluster, inside.namespace) == one.name
    asked = one.requests()
    assert {each["verb"] for each in asked} >= {"list", "watch", "patch", "create", "delete"}
    assert {each["objectRef"].get("namespace") for each in asked} == {one.name, inside.namespace}
    assert denied(asked) == []


async def test_two_installations_do_not_see_each_other(
    cluster: Cluster, namespaces: Callable[[], str], tmp_path: Path
) -> None:
    first, second = Model(cluster, namespaces()), Model(cluster, namespaces())
    a, b = (Installation(cluster, tmp_path, (each.namespace,)) for each in (first, second))
    first.apply()
    async with a.runs():
        await until(first.is_ready, "the first ready")
        assert second.objects() == []
        first.apply(version=2)
        await until(first.is_second, "watched, too")
        async with b.runs():
            second.apply()
            await until(second.is_ready, "the second ready")
            second.apply(version=2)
            await until(second.is_second, "watched, too")
    for one, model, other in ((a, first, b), (b, second, a)):
        touched = {each["objectRef"].get("namespace") for each in one.requests()}
        assert touched == {one.name, model.namespace}
        assert other.name not in touched


async def test_of_two_that_overlap_the_second_leaves_the_namespace_alone_until_it_is_handed_over(
    cluster: Cluster, namespaces: Callable[[], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shared, own = Model(cluster, namespaces()), Model(cluster, namespaces())
    a = Installation(cluster, tmp_path, (shared.namespace,))
    b = Installation(cluster, tmp_path, (shared.namespace, own.namespace))
    async with a.runs():
        shared.apply()
        await until(shared.is_ready, "ready by the first")
    # The first is away, for an upgrade perhaps; its claim stays.
    shared.apply(version=2)
    async with b.runs(handover=1.0) as second:
        own.apply()
        await until(own.is_ready, "its own")
        assert f"namespace {shared.namespace} is left alone: the installation in namespace {a.name} has claimed it" in (
            caplog.text
        )
        assert shared.namespace in second.left_alone()["claimed"]
        await until(second.is_idle, "nothing to do")
        assert shared.get()["status"]["observedGeneration"] == 1
        written = [each["requestURI"] for each in b.requests()
                   if each["verb"] not in ("get", "list", "watch")
                   and each["objectRef"].get("namespace") == shared.namespace]  # fmt: skip
        assert written == []
        cluster.kubectl("delete", "lease", NAME, "-n", shared.namespace)
        await until(shared.is_second, "taken over")
        assert holder(cluster, shared.namespace) == b.name
        assert shared.namespace not in second.left_alone()["claimed"]


async def test_one_for_all_namespaces_leaves_those_that_are_claimed_by_name(
    namespaces: Callable[[], str], tmp_path: Path, caplog: pytest.LogCaptureFixture, cluster: Cluster
) -> None:
    named, other = Model(cluster, namespaces()), Model(cluster, namespaces())
    one = Installation(cluster, tmp_path, (named.namespace,))
    async with operator(cluster, identity="wide") as wide:
        named.apply()
        await until(named.is_ready, "ready by the one for all")
        async with one.runs(handover=1.0):
            await until(lambda: f"namespace {named.namespace} is left alone" in caplog.text, "the one for all lets go")
            named.apply(version=2)
            await until(named.is_second, "ready by the one for this namespace")
            managers = {each["user"]["username"] for each in cluster.writes()
                        if each.get("objectRef", {}).get("namespace") == named.namespace
                        and each["objectRef"].get("subresource") == "status"
                        and each["objectRef"]["resource"] == "modeldeployments"}  # fmt: skip
            assert one.user in managers
        other.apply()
        await until(other.is_ready, "others go on")
        await until(wide.is_idle, "nothing to do")
        named.apply(version=1)
        other.apply(version=2)
        await until(other.is_second, "what came later")
        assert named.get()["status"]["observedGeneration"] == 2


async def test_of_two_for_all_namespaces_the_later_stays_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with api_server() as cluster:
        cluster.kubectl("create", "namespace", "later")
        cluster.kubectl("create", "namespace", "ml")
        model = Model(cluster, "ml")
        async with operator(cluster):
            model.apply()
            await until(model.is_ready, "ready by the first")
        model.apply(version=2)
        async with operator(cluster, installation="later", handover=1.0) as second:
            await until(lambda: "in namespace default has claimed every namespace" in caplog.text, "words")
            await until(second.is_idle, "nothing to do")
            assert model.get()["status"]["observedGeneration"] == 1
            cluster.kubectl("delete", "lease", NAME_OF_ALL, "-n", "default")
            await until(model.is_second, "taken over")


async def test_a_namespace_that_may_not_be_read_holds_up_nobody(
    cluster: Cluster, namespaces: Callable[[], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A RoleBinding is missing, or the namespace is not there yet."""
    model, closed = Model(cluster, namespaces()), Model(cluster, namespaces())
    one = Installation(cluster, tmp_path, (model.namespace, closed.namespace))
    binding = f"modelward-operator-{one.name}"
    cluster.kubectl("delete", "rolebinding", binding, "-n", closed.namespace)
    async with one.runs(may_end=True) as running:
        model.apply()
        closed.apply()
        await until(model.is_ready, "the other one")
        assert f"namespace {closed.namespace} is left out" in caplog.text
        assert closed.namespace in running.left_alone()["forbidden"]
        again = [each for each in one.objects if each["kind"] == "RoleBinding"]
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(again))
        await until(running.task.done, "the end, for a new start")
        assert f"namespace {closed.namespace} can be read now" in str(running.task.exception().exceptions)  # type: ignore[union-attr]
    async with one.runs():
        await until(closed.is_ready, "ready")


async def test_where_no_namespace_may_be_read_it_waits_and_reads_no_other(
    cluster: Cluster, namespaces: Callable[[], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = Installation(cluster, tmp_path, (namespaces(),))
    cluster.kubectl("delete", "rolebinding", f"modelward-operator-{one.name}", "-n", one.namespaces[0])
    async with one.runs(may_end=True) as running:
        await until(lambda: "waiting until one can" in caplog.text, "words")
        assert not running.task.done()
        # Its own namespace has the lease, which a thread takes meanwhile.
        asked = {each["objectRef"].get("namespace") for each in one.requests()}
        assert one.namespaces[0] in asked <= {one.name, *one.namespaces}
        again = [each for each in one.objects if each["kind"] == "RoleBinding"]
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(again))
        await until(running.task.done, "the end, for a new start")


async def test_consent_that_may_not_be_read_is_not_given_and_said(
    cluster: Cluster, namespaces: Callable[[], str], tmp_path: Path
) -> None:
    model = Model(cluster, namespaces())
    cluster.kubectl("label", "namespace", model.namespace, f"{LABEL_ALLOWED_FORMATS}=sklearn")
    one = Installation(cluster, tmp_path, (model.namespace,))
    role = f"modelward-operator-{one.name}"
    rules = cluster.get("role", role, "-n", model.namespace)["rules"]
    async with one.runs():
        model.apply(model={"uri": JOBLIB.format(1)})
        await until(model.is_ready, "ready")
        assert all("sklearn" in each for each in formats_of(model, JOBLIB.format(1)))
        stable = model.stable()["revision"]
        model.kubelet.needing, model.kubelet.failure = "sklearn", "FormatNotAllowed"
        patch = {"rules": [each for each in rules if each["resources"] != ["namespaces"]]}
        cluster.kubectl("patch", "role", role, "-n", model.namespace, "--type=merge", "-p", json.dumps(patch))

        def told() -> bool:
            model.kubelet.settle()
            return "could not be read" in str(model.condition("Stalled")["message"])

        await until(told, "words")
        assert "cannot get resource" in model.condition("Stalled")["message"]
        assert model.condition("Servable")["status"] == "True"
        assert model.condition("PlatformCurrent")["reason"] == "Refused", "which stops no other model"
        await until(lambda: "sklearn" in formats_of(model, JOBLIB.format(1))[0], "the pods of before")
        assert model.stable()["revision"] == stable
        cluster.kubectl(
            "patch", "role", role, "-n", model.namespace, "--type=merge", "-p", json.dumps({"rules": rules})
        )
        await until(model.is_ready, "ready with consent, as before")


async def test_a_kind_that_may_not_be_listed_is_missed_by_who_asks_for_it_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with api_server() as cluster:
        cluster.install("httproutes.gateway.networking.k8s.io", "-f", str(gatewayapi.api_crds()))
        cluster.kubectl("create", "namespace", "ml")
        one = Installation(cluster, tmp_path, ("ml",))
        role = f"modelward-operator-{one.name}"
        rules = cluster.get("role", role, "-n", "ml")["rules"]
        patch = {"rules": [each for each in rules if each["resources"] != ["httproutes"]]}
        cluster.kubectl("patch", "role", role, "-n", "ml", "--type=merge", "-p", json.dumps(patch))
        model = Model(cluster, "ml")
        async with one.runs(may_end=True) as running:
            model.apply()
            await until(model.is_ready, "ready with an Envoy of its own")
            assert "HTTPRoute is not watched" in caplog.text
            model.apply(router={"gateway": {"parentRefs": [{"name": "public", "namespace": "infra"}]}})
            await until(lambda: model.condition("Stalled")["reason"] == "GatewayForbidden", "the cause in Stalled")
            assert "cannot list resource" in model.condition("Stalled")["message"]
            rights = json.dumps({"rules": rules})
            cluster.kubectl("patch", "role", role, "-n", "ml", "--type=merge", "-p", rights)
            await until(running.task.done, "the end, for a new start", deadline=90)


def formats_of(model: Model, uri: str) -> list[str]:
    """What the containers of revisions with this artifact may load."""
    found = [
        variable["value"]
        for body in model.cluster.get("deployments", "-n", model.namespace)["items"]
        if uri in json.dumps(body["spec"])
        for container in body["spec"]["template"]["spec"]["initContainers"]
        for variable in container.get("env", ())
        if variable["name"] == "MODEL_ALLOWED_FORMATS"
    ]
    assert found
    return found
