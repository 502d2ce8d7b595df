"""Models behind a real Gateway, through the installed operator."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from examples.demo import objects
from examples.demo.cluster import install_store
from examples.demo.load import Load, load
from examples.demo.model import Trained, train

from benchmarks.rollout.under_load import FAILING, GOOD, OTHER, RATE, body, publish_versions
from e2e import versions
from e2e.model import Model, until
from localcluster import gatewayapi, install
from localcluster.clients import kubectl

from .bench import host_of

STRATEGY = {
    "strategy": "Canary",
    "steps": [{"weight": 20, "hold": "3s"}, {"weight": 60, "hold": "3s"}],
    "gates": {
        "errorRate": {"margin": "2%"},
        "refusals": {"margin": "2%"},
        "disagreement": {"max": "20%", "mirrorPercent": 50},
        "minSamples": 50,
    },
}


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(trees=20)


@pytest.fixture(scope="module", autouse=True)
def store(namespace: str, trained: Trained) -> None:
    install.install()
    install_store(namespace)
    publish_versions(namespace, trained)


@pytest.fixture
def model(namespace: str) -> Iterator[Model]:
    made = Model(namespace, f"m{secrets.token_hex(3)}")
    yield made
    kubectl("delete", "modeldeployment", made.name, "-n", namespace, "--ignore-not-found")


def router(model: Model) -> dict[str, Any]:
    """`spec.router` of a model behind the Gateway."""
    parent = {"name": gatewayapi.GATEWAY, "namespace": gatewayapi.NAMESPACE}
    return {"gateway": {"parentRefs": [parent], "hostnames": [host_of(model.namespace, model.name)]}}


def apply(model: Model, key: str) -> None:
    model.apply(key, router=router(model), rollout=STRATEGY)


def sending(model: Model, trained: Trained, marked: float = 0.0) -> Any:
    """Steady load by way of the Gateway. `marked`: share of the requests that the failing version fails at."""
    bodies = []
    for row in trained.rows[:40].tolist():
        bodies += [(body(row), (1 - marked) / 40), (body([versions.MARK, *row[1:]]), marked / 40)]
    return load(
        model.namespace,
        "rest",
        f"http://{gatewayapi.GATEWAY}.{gatewayapi.NAMESPACE}/v2/models/{model.name}/infer",
        *[each for each in bodies if each[1] > 0],
        rate=RATE,
        headers={"Host": host_of(model.namespace, model.name)},
    )


def routes(model: Model) -> list[dict[str, Any]]:
    selector = f"app.kubernetes.io/instance={model.name}"
    return objects.find_all("httproutes", model.namespace, selector)


def weights(model: Model) -> dict[str, int]:
    (route,) = routes(model)
    return {backend["name"]: backend["weight"] for backend in route["spec"]["rules"][0]["backendRefs"]}


def ends(model: Model, phase: str) -> Callable[[], bool]:
    return lambda: bool(model.get().get("status", {}).get("rollout", {}).get("phase") == phase)


def start(model: Model) -> str:
    """The good version, ready; the name of its revision."""
    apply(model, GOOD)
    model.settle()
    return model.stable()


def nothing_but(sent: Load, *allowed: str) -> dict[str, int]:
    return {result: count for result, count in sent.failed.items() if result not in allowed}


def test_a_canary_behind_a_gateway_is_promoted(model: Model, trained: Trained, measured: Callable[[str], None]) -> None:
    first = start(model)
    status = model.get()["status"]
    assert (status["phase"], status["router"]["live"]) == ("Ready", True)
    assert not [name for name in model.objects() if "router" in name], "no Envoy of its own"
    assert f"service/{model.name}" not in model.objects()
    with sending(model, trained) as sent:
        apply(model, OTHER)
        until(ends(model, "Promoted"), "the promotion")
        model.settle()
        second = model.stable()
        until(lambda: not [name for name in model.objects() if first in name], "the old revision's end")
    measured(f"a canary behind a Gateway: {sent.results}")
    assert not sent.failed
    assert (second != first, weights(model)) == (True, {second: 100})
    gates = {each["name"]: each for each in model.get()["status"]["rollout"]["gates"]}
    assert {each["verdict"] for each in gates.values()} == {"Pass"}
    assert gates["disagreement"]["candidate"]["requests"] > 50, "copies and originals were compared, request by request"
    kubectl("delete", "modeldeployment", model.name, "-n", model.namespace)
    until(lambda: not model.objects() and not routes(model), "nothing to be left")


def test_a_bad_version_behind_a_gateway_is_rolled_back(
    model: Model, trained: Trained, measured: Callable[[str], None]
) -> None:
    """By the pods' own counters: nobody else sees the answers."""
    first = start(model)
    with sending(model, trained, marked=0.1) as sent:
        apply(model, FAILING)
        until(ends(model, "RolledBack"), "the rollback")
        until(lambda: weights(model) == {first: 100}, "the traffic to be back")
    status = model.get()["status"]
    measured(f"rolled back behind a Gateway: {status['rollout']['message']}; clients saw {sent.failed}")
    assert "refusals" in status["rollout"]["message"]
    assert status["stable"]["revision"] == first
    assert not nothing_but(sent, "400"), "but for what the version refuses, nothing is lost"


def test_from_an_own_envoy_to_a_gateway_and_back(model: Model, trained: Trained) -> None:
    model.apply(GOOD)
    model.settle()
    first = model.stable()
    apply(model, GOOD)
    until(lambda: model.is_settled() and len(routes(model)) == 1, "it to be behind the Gateway")
    assert model.stable() == first
    assert f"service/{model.name}" not in model.objects()
    with sending(model, trained) as sent:
        until(lambda: bool(weights(model)), "its route")
    assert sent.results["200"] > 0
    assert not sent.failed
    model.apply(GOOD, router={"replicas": 1})
    until(lambda: model.is_settled() and not routes(model), "it to have an Envoy of its own")
    assert model.stable() == first
    assert model.agreement(trained) == 1.0


def test_a_gateway_that_is_not_there_is_named(model: Model) -> None:
    wrong = {"gateway": {"parentRefs": [{"name": "nowhere"}]}}
    model.apply(GOOD, router=wrong)
    said = "to take up HTTPRoute"
    until(lambda: said in model.condition("Reconciling")["message"], "who has not spoken")
    assert f"{model.namespace}/nowhere" in model.condition("Reconciling")["message"]
    assert model.condition("Ready")["status"] == "False"


def test_a_route_that_a_gateway_refuses_is_named(model: Model) -> None:
    parent = {"name": gatewayapi.GATEWAY, "namespace": gatewayapi.NAMESPACE, "sectionName": "no-such-listener"}
    model.apply(GOOD, router={"gateway": {"parentRefs": [parent]}})
    until(lambda: model.condition("Stalled")["reason"] == "GatewayRefused", "the cause in Stalled")
    assert "NoMatchingParent" in model.condition("Stalled")["message"]
