"""Models that a registry names, on a real API server: an alias that moves, a registry that goes, an operator that
starts anew."""

from typing import Any

import pytest

from modelward.kube.resources import DEPLOYMENTS, MODEL_REGISTRIES
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until
from nodeless.traffic import FakeTraffic
from recorded_mlflow import COMMIT, Recorded, raw

ALIAS = "models:/fraud@champion"
FIRST, SECOND = (f"mlflow-artifacts:/1/models/m-{number}/artifacts" for number in (1, 2))
CANARY: dict[str, Any] = {"strategy": "Canary", "steps": [{"weight": 10, "hold": "0s"}]}
GATED = {**CANARY, "gates": {"errorRate": {"margin": "1%"}}}


class Registry:
    """The ModelRegistry `mlflow` of a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def apply(self, url: str, **spec: Any) -> None:
        body = {
            "apiVersion": "modelward.io/v1alpha1", "kind": "ModelRegistry",
            "metadata": {"name": "mlflow", "namespace": self.namespace},
            "spec": {"mlflow": {"url": url}, "pollInterval": "5s", **spec},
        }  # fmt: skip
        self.cluster.apply(body, self.namespace)

    def status(self) -> Any:
        found = self.cluster.request("GET", MODEL_REGISTRIES.path(self.namespace, "mlflow"))
        return found.get("status") or {}

    def delete(self) -> None:
        self.cluster.request("DELETE", MODEL_REGISTRIES.path(self.namespace, "mlflow"))


@pytest.fixture
def registry(cluster: Cluster, namespace: str) -> Registry:
    return Registry(cluster, namespace)


def follow(model: Model, uri: str = ALIAS, **spec: Any) -> None:
    model.apply(**{"model": {"uri": uri}, "rollout": CANARY, **spec})


def environment(model: Model, revision: str) -> dict[str, Any]:
    """Of the download of a revision."""
    found = model.cluster.request("GET", DEPLOYMENTS.path(model.namespace, revision))
    (download,) = [each for each in found["spec"]["template"]["spec"]["initContainers"] if each["name"] == "download"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in download["env"]}


def serves(model: Model, version: str) -> bool:
    return model.is_ready() and model.stable().get("version") == version


def told(model: Model) -> str:
    return str(model.condition("Resolved")["reason"])


async def test_an_alias_that_moves_starts_a_canary_and_its_version_becomes_stable(
    cluster: Cluster, model: Model, registry: Registry
) -> None:
    async with Recorded() as mlflow, operator(cluster):
        registry.apply(mlflow.url)
        follow(model)
        await until(lambda: serves(model, "1"), "the version that the alias names")
        status = model.get()["status"]
        assert (status["model"]["uri"], status["model"]["source"]) == (FIRST, "Registry")
        assert status["model"]["reference"]["alias"] == "champion"
        assert status["model"]["lineage"]["commit"] == status["stable"]["commit"] == COMMIT
        assert model.get()["spec"]["model"]["uri"] == ALIAS, "spec is not written"
        first = model.stable()["revision"]
        given = environment(model, first)
        assert (given["MODEL_URI"], given["MODEL_REGISTRY_VERSION"]) == (FIRST, "1")
        assert given["MLFLOW_TRACKING_URI"] == mlflow.url
        mlflow.aliases["champion"] = "2"
        await until(
            lambda: model.get()["status"].get("candidate", {}).get("version") == "2", "the new version on trial"
        )
        await until(lambda: serves(model, "2"), "the new version", 60)
        assert model.stable()["uri"] == SECOND
        assert {"VersionResolved", "VersionMoved", "RolloutPromoted"} <= set(model.events())
        wide = cluster.kubectl("get", "md", "-n", model.namespace, "-o", "wide").splitlines()
        assert wide[1].split()[wide[0].split().index("VERSION")] == "2"
        assert model.get()["status"]["stable"]["commit"] == COMMIT
        row = cluster.kubectl("get", "mreg", "-n", model.namespace, "--no-headers").split()
        assert row[:4] == ["mlflow", "MLflow", "True", "1"]


@pytest.mark.parametrize("down", [False, True])
async def test_an_operator_that_starts_anew_asks_and_writes_nothing(
    cluster: Cluster, model: Model, registry: Registry, down: bool
) -> None:
    async with Recorded() as mlflow:
        async with operator(cluster) as first:
            registry.apply(mlflow.url)
            follow(model)
            await until(lambda: serves(model, "1"), "the version that the alias names")
            if down:
                mlflow.instead = raw(503, "down")
                await until(lambda: told(model) == "ServerFailed", "it is told")
            # The registry tells after the model has its version, and would tell it to the next operator else.
            await until(lambda: registry.status().get("reachable") is not down, "and by the registry")
            await until(first.is_idle, "nothing left to do")
        last = mlflow.asked[-1]
        mlflow.asked.clear()
        async with operator(cluster, "next") as second:
            await until(lambda: last in mlflow.asked, "it has asked for all of it")
            await second.controller._first_sync()
            await until(second.is_idle, "it has looked at everything")
            assert second.api.writes == 0


async def test_a_registry_that_is_down_changes_nothing_and_an_operator_that_starts_anew_resolves_to_the_same(
    cluster: Cluster, model: Model, registry: Registry
) -> None:
    async with Recorded() as mlflow:
        async with operator(cluster):
            registry.apply(mlflow.url)
            follow(model)
            await until(lambda: serves(model, "1"), "the version that the alias names")
            before = model.revisions()
            mlflow.instead = raw(503, "down")
            await until(lambda: told(model) == "ServerFailed", "it is told")
            assert model.condition("Ready")["status"] == "True"
            assert "version 1 stays" in model.condition("Resolved")["message"]
        url = mlflow.url
    async with operator(cluster, "another"):
        await until(lambda: told(model) == "Unreachable", "the next operator tells of it")
        assert (model.revisions(), model.is_ready()) == (before, True)
        assert model.get()["status"]["model"]["reference"]["version"] == "1"
        follow(model, replicas=2)
        await until(lambda: model.is_ready() and model.get()["status"]["readyReplicas"] == 2, "it still can be scaled")
        assert model.revisions() == before
        await until(lambda: registry.status().get("reachable") is False, "the registry's own status")
        registry.apply(url.replace("127.0.0.1", "169.254.169.254"))
        await until(lambda: told(model) == "AddressRefused", "an address that is not called")
        registry.delete()
        await until(lambda: told(model) == "RegistryMissing", "no registry at all")
        assert (model.revisions(), model.is_ready()) == (before, True), "what runs is what spec asks for still"
        assert [model.condition(kind)["status"] for kind in ("Servable", "Ready", "Stalled")] == [
            "True",
            "True",
            "False",
        ]


async def test_a_version_that_was_rolled_back_stays_so_until_the_alias_moves(
    cluster: Cluster, model: Model, registry: Registry
) -> None:
    traffic = FakeTraffic()
    async with Recorded() as mlflow, operator(cluster, traffic=traffic):
        registry.apply(mlflow.url)
        follow(model, rollout=GATED)
        await until(lambda: serves(model, "1"), "the version that the alias names")
        traffic.bad_but = model.stable()["revision"]
        mlflow.aliases["champion"] = "2"

        def rolled_back() -> bool:
            model.kubelet.settle()
            return bool(model.get()["status"]["phase"] == "RolledBack")

        await until(rolled_back, "the bad version is rolled back", 60)
        status = model.get()["status"]
        assert (status["model"]["version"], status["model"]["pinned"]) == ("2", "1")
        assert "move the alias" in model.condition("Stalled")["message"]
        asked = mlflow.count("alias")
        await until(lambda: mlflow.count("alias") > asked + 1, "it is asked again", 60)
        assert model.get()["status"]["phase"] == "RolledBack"
        mlflow.aliases["champion"] = "1"
        await until(lambda: serves(model, "1"), "the alias went back", 60)
        assert "pinned" not in model.get()["status"]["model"]


async def test_nothing_is_made_of_a_reference_that_means_nothing_and_what_serves_goes_on(
    cluster: Cluster, model: Model, registry: Registry
) -> None:
    async with Recorded() as mlflow, operator(cluster):
        follow(model)
        await until(lambda: told(model) == "RegistryMissing", "there is no registry")
        assert (model.get()["status"]["phase"], model.objects()) == ("Failed", [])
        registry.apply(mlflow.url)
        await until(lambda: serves(model, "1"), "there is one")
        before = model.revisions()
        follow(model, "models:/fraud@nobody")
        await until(lambda: told(model) == "AliasMissing", "an alias that is not there")
        assert "keeps serving" in model.condition("Ready")["message"]
        assert (model.revisions(), model.condition("Servable")["status"]) == (before, "True")
        follow(model)
        await until(lambda: serves(model, "1"), "back again")
        assert model.revisions() == before


async def test_a_refresh_by_annotation_has_it_asked_now(cluster: Cluster, model: Model, registry: Registry) -> None:
    async with Recorded() as mlflow, operator(cluster):
        registry.apply(mlflow.url, pollInterval="24h")
        follow(model)
        await until(lambda: serves(model, "1"), "the version that the alias names")
        mlflow.aliases["champion"] = "2"
        cluster.kubectl("annotate", "md", "fraud", "-n", model.namespace, "modelward.io/refresh=now")
        await until(lambda: serves(model, "2"), "asked at once", 60)


async def test_the_login_is_read_from_the_secret_and_given_to_the_download(
    cluster: Cluster, model: Model, registry: Registry
) -> None:
    async with Recorded() as mlflow, operator(cluster):
        registry.apply(mlflow.url, credentialsSecret={"name": "login"})
        follow(model)
        await until(lambda: told(model) == "CredentialsMissing", "no Secret")
        cluster.kubectl("create", "secret", "generic", "login", "-n", model.namespace, "--from-literal=token=abc")
        cluster.kubectl("annotate", "mreg", "mlflow", "-n", model.namespace, "modelward.io/refresh=now")
        await until(lambda: serves(model, "1"), "with the Secret")
        assert mlflow.headers["Authorization"] == "Bearer abc"
        given = environment(model, model.stable()["revision"])
        assert given["MLFLOW_TRACKING_TOKEN"] == {"secretKeyRef": {"name": "login", "key": "token", "optional": True}}
