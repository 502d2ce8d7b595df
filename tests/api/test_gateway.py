"""The Gateway API as a router, on an API server of its own: with it, without it, and from one router to the other."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from localcluster import binaries, gatewayapi
from modelward.reconcilers.modeldeployment.apply import ApiInstalledError
from nodeless.cluster import Cluster
from nodeless.fixtures import api_server
from nodeless.gateways import FakeGateways
from nodeless.model import Model
from nodeless.operator_process import operator, until

ROUTER = {"gateway": {"parentRefs": [{"name": "public", "namespace": "infra"}], "hostnames": ["fraud.example"]}}
OBJECTS_OF_AN_ENVOY = {"ConfigMap/fraud-router", "Deployment/fraud-router", "Service/fraud"}


@pytest.fixture(scope="module")
def cluster(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[Cluster]:
    """Of its own, and without the Gateway API at first."""
    with in_sight():
        binaries.kubernetes()
    with api_server() as made:
        yield made


def install_gateway_api(cluster: Cluster) -> None:
    cluster.install("httproutes.gateway.networking.k8s.io", "-f", str(gatewayapi.api_crds()))


@pytest.fixture
def gateways(cluster: Cluster, namespace: str) -> FakeGateways:
    install_gateway_api(cluster)
    return FakeGateways(cluster, namespace)


def settles(model: Model, gateways: FakeGateways) -> Callable[[], bool]:
    """Whether it is ready; lets the pretended Gateways and the kubelet work before each look."""

    def look() -> bool:
        gateways.settle()
        return model.is_ready()

    return look


def weights(gateways: FakeGateways) -> dict[str, int]:
    (route,) = gateways.routes()
    return {backend["name"]: backend["weight"] for backend in route["spec"]["rules"][0]["backendRefs"]}


async def test_a_cluster_without_the_gateway_api(
    cluster: Cluster, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything else works as ever; who asks for it is told; and when it is installed, another process takes over."""
    async with operator(cluster, may_end=True) as one:
        model.apply()
        await until(model.is_ready, "ready with an Envoy of its own")
        await one.controller._first_sync()
        assert not {"httproutes", "gateway"} & set(caplog.text.lower().replace(".", " ").split())
        assert "unresolved resources" not in caplog.text.lower()
        model.apply(router=ROUTER)
        await until(lambda: model.condition("Stalled")["reason"] == "GatewayApiMissing", "the cause in Stalled")
        assert "Install the Gateway API" in model.condition("Stalled")["message"]
        assert model.condition("Servable")["status"] == "True"
        assert set(model.objects()) >= OBJECTS_OF_AN_ENVOY
        install_gateway_api(cluster)
        await until(one.task.done, "the end of the process that does not watch HTTPRoutes")
        failure = one.task.exception()
        assert isinstance(failure, BaseExceptionGroup)
        assert failure.subgroup(ApiInstalledError) is not None
    gateways = FakeGateways(cluster, model.namespace)
    async with operator(cluster, identity="next"):
        await until(settles(model, gateways), "ready behind the Gateway")
        assert not set(model.objects()) & OBJECTS_OF_AN_ENVOY


async def test_the_life_of_a_model_behind_a_gateway(cluster: Cluster, model: Model, gateways: FakeGateways) -> None:
    async with operator(cluster):
        model.apply(router=ROUTER)
        await until(settles(model, gateways), "ready")
        first = model.stable()["revision"]
        keys = "ConfigMap/modelward-fraud-operator"
        assert set(model.objects()) == {f"Deployment/{first}", f"Service/{first}", keys}
        assert weights(gateways) == {first: 100}
        assert gateways.routes()[0]["spec"]["hostnames"] == ["fraud.example"]
        model.apply(version=2, router=ROUTER)
        await until(lambda: settles(model, gateways)() and len(model.revisions()) == 1, "the second version alone")
        second = model.stable()["revision"]
        assert (second != first, weights(gateways)) == (True, {second: 100})
        # The step of the traffic, and nothing for what is attached and detached.
        assert gateways.routes()[0]["metadata"]["generation"] == 2


async def test_nothing_moves_before_the_gateways_follow(cluster: Cluster, model: Model, gateways: FakeGateways) -> None:
    async with operator(cluster):
        model.apply(router=ROUTER)
        await until(settles(model, gateways), "ready")
        first = model.stable()["revision"]
        model.apply(version=2, router=ROUTER)

        def moved() -> bool:
            model.kubelet.settle()
            return first not in weights(gateways)

        await until(moved, "the traffic to be moved")
        await until(lambda: model.condition("Ready")["reason"] == "WaitingForRouter", "its wait for the Gateways")
        assert f"Deployment/{first}" in model.objects()
        await until(lambda: settles(model, gateways)() and len(model.revisions()) == 1, "the second version alone")


async def test_a_refused_route_stalls_and_is_repaired(cluster: Cluster, model: Model, gateways: FakeGateways) -> None:
    gateways.refuses = "NoMatchingParent"
    async with operator(cluster):
        model.apply(router=ROUTER)

        def stalled() -> bool:
            settles(model, gateways)()
            return bool(model.condition("Stalled")["reason"] == "GatewayRefused")

        await until(stalled, "the cause in Stalled")
        said = "Gateway infra/public says NoMatchingParent: there is no such listener"
        assert said in model.condition("Stalled")["message"]
        gateways.refuses = None
        await until(settles(model, gateways), "ready")


async def test_an_edit_by_hand_is_taken_back(cluster: Cluster, model: Model, gateways: FakeGateways) -> None:
    async with operator(cluster):
        model.apply(router=ROUTER)
        await until(settles(model, gateways), "ready")
        stable = model.stable()["revision"]
        patch = '[{"op": "add", "path": "/spec/rules/1/backendRefs/-", "value": {"name": "other", "port": 8080}}]'
        cluster.kubectl("patch", "httproute", "fraud", "-n", model.namespace, "--type=json", "-p", patch)
        await until(lambda: weights(gateways) == {stable: 100}, "the other backend to be gone")
        cluster.kubectl("delete", "httproute", "fraud", "-n", model.namespace)
        await until(settles(model, gateways), "the route again")


async def test_a_restart_over_a_converged_model_writes_nothing(
    cluster: Cluster, model: Model, gateways: FakeGateways
) -> None:
    async with operator(cluster):
        model.apply(router=ROUTER)
        await until(settles(model, gateways), "ready")
        await until(lambda: model.get()["status"]["router"]["live"], "it to be written down")
    async with operator(cluster, identity="next") as second:
        await second.controller._first_sync()
        await until(second.is_idle, "an empty queue")
        assert second.api.writes == 0


@pytest.mark.parametrize("writes", [1, 3, 4, 5, 9])
async def test_from_one_router_to_the_other_and_back_whatever_it_dies_after(
    cluster: Cluster, model: Model, gateways: FakeGateways, writes: int
) -> None:
    async with operator(cluster):
        model.apply(router={})
        await until(model.is_ready, "ready with an Envoy of its own")
        stable = model.stable()["revision"]
    model.apply(router=ROUTER)
    async with operator(cluster, dies_after=writes) as doomed:
        await until(lambda: doomed.task.done() or settles(model, gateways)(), "the crash or the end")
    async with operator(cluster, after_crash=True):
        await until(settles(model, gateways), "ready behind the Gateway")
        assert not set(model.objects()) & OBJECTS_OF_AN_ENVOY
        assert weights(gateways) == {stable: 100}
        model.apply(router={})
        await until(lambda: settles(model, gateways)() and not gateways.routes(), "ready with an Envoy of its own")
        assert set(model.objects()) >= OBJECTS_OF_AN_ENVOY
        assert model.stable()["revision"] == stable
