"""Rollouts under steady load on the real cluster: good versions go through, bad ones come back by their own gate."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from examples.demo.load import load
from examples.demo.model import Trained

from benchmarks.rollout import under_load
from benchmarks.rollout.under_load import (
    FAILING,
    GOOD,
    OTHER,
    RATE,
    SLOW,
    WRONG,
    address,
    body,
    command,
    publish_versions,
)  # fmt: skip
from localcluster.clients import kubectl
from modelward.routing.envoy.bootstrap import INSIDE_PORT

from . import versions
from .model import Model, until

MARKED = 0.05
"""Share of the requests that the failing version fails at."""

GATES = {
    "errorRate": {"margin": "1%"},
    "refusals": {"margin": "1%"},
    "latency": {"slo": "20ms", "margin": "10%"},
    "disagreement": {"max": "20%", "mirrorPercent": 50},
    "minSamples": 50,
}


@pytest.fixture(scope="module", autouse=True)
def published(namespace: str, trained: Trained) -> None:
    publish_versions(namespace, trained)


def bodies(trained: Trained, marked: float = MARKED) -> list[tuple[str, float]]:
    """Held-out rows, and the same ones with the mark."""
    made = []
    for row in trained.rows[:40].tolist():
        made += [(body(row), (1 - marked) / 40), (body([versions.MARK, *row[1:]]), marked / 40)]
    return [each for each in made if each[1] > 0]


def rollout(model: Model) -> dict[str, Any]:
    shown: dict[str, Any] = model.get().get("status", {}).get("rollout", {})
    return shown


def is_in(model: Model, *phases: str) -> Callable[[], bool]:
    return lambda: rollout(model).get("phase") in phases


def canary(*weights: int, hold: str = "5s", **more: Any) -> dict[str, Any]:
    return {
        "strategy": "Canary",
        "steps": [{"weight": weight, "hold": hold} for weight in weights],
        "gates": GATES,
        **more,
    }


def start(model: Model, strategy: dict[str, Any], **spec: Any) -> str:
    """The good version, ready; the name of its revision."""
    model.apply(GOOD, rollout=strategy, **spec)
    model.settle()
    return model.stable()


@pytest.fixture(scope="module")
def served(namespace: str, published: None) -> Model:
    """The good version, which every bad one is tried on."""
    made = Model(namespace, "tried")
    start(made, canary(20, hold="10m"))
    return made


@pytest.mark.alone
def test_a_good_version_is_promoted_and_each_step_has_its_split(
    model: Model, trained: Trained, measured: Callable[[str], None]
) -> None:
    strategy = canary(20, 60, hold="7s")
    stable = start(model, strategy)
    steps: dict[int, tuple[float, float]] = {}
    with load(model.namespace, "rest", address(model), *bodies(trained), rate=RATE) as sent:
        began = time.monotonic()
        model.apply(OTHER, rollout=strategy)

        def is_promoted() -> bool:
            shown = rollout(model)
            if shown.get("phase") == "Progressing" and "stepStartedAt" in shown and shown["revision"] != stable:
                first = steps.get(shown["step"], (time.time(), 0.0))[0]
                steps[shown["step"]] = (first, time.time())
            return shown.get("phase") == "Promoted"

        until(is_promoted, "the promotion")
        took = time.monotonic() - began
        model.settle()
    assert not sent.failed
    candidate = model.stable()
    assert {each["verdict"] for each in rollout(model)["gates"]} == {"Pass"}
    for step, weight in ((1, 20), (2, 60)):
        counted = sent.between(*steps[step])
        got, total = counted.get(candidate, 0), sum(counted.values())
        measured(f"canary step of {weight} %: {got} of {total} requests ({got / total:.1%})")
        # Five standard deviations: once in two million runs.
        assert abs(got / total - weight / 100) <= 5 * (weight / 100 * (1 - weight / 100) / total) ** 0.5
    measured(f"a canary with two steps of 7 s took {took:.1f} s, {sum(sent.results.values())} requests, 0 lost")
    told = [reason for reason in model.events() if reason.startswith("Rollout")]
    assert sorted(told) == ["RolloutPromoted", "RolloutStep", "RolloutStep"]


@pytest.mark.parametrize(
    ("key", "gate"), [(FAILING, "refusals"), (SLOW, "latency"), (WRONG, "disagreement")],
)  # fmt: skip
def test_a_bad_version_is_rolled_back_by_its_own_gate(
    served: Model, trained: Trained, key: str, gate: str, measured: Callable[[str], None]
) -> None:
    model, strategy = served, canary(20, hold="10m")
    stable = start(model, strategy)
    with load(model.namespace, "rest", address(model), *bodies(trained), rate=RATE) as sent:
        model.apply(key, rollout=strategy)
        until(is_in(model, "RolledBack"), "the rollback")
        until(lambda: len(server_revisions(model)) == 1, "the candidate's end")
    body = model.get()["status"]
    verdicts = {each["name"]: each["verdict"] for each in body["rollout"]["gates"]}
    assert verdicts[gate] == "Fail", body["rollout"]
    assert gate in body["rollout"]["message"]
    assert (body["phase"], body["stable"]["revision"], body["stable"]["weight"]) == ("RolledBack", stable, 100)
    assert model.condition("Stalled")["reason"] == "RolledBack"
    bad = {result: count for result, count in sent.failed.items() if result != "400"}
    assert not bad, "but for what the version refuses, nothing is lost"
    seen = sent.revisions.get(body["rollout"]["revision"], 0)
    measured(
        f"rolled back by {gate}: {body['rollout']['message']}; clients saw {seen} answers of it, {sent.failed} errors"
    )


def server_revisions(model: Model) -> set[str]:
    return {name for name in model.objects() if name.startswith("deployment") and not name.endswith("-router")}


@pytest.mark.parametrize(("key", "end"), [(FAILING, "RolledBack"), (OTHER, "Promoted")])
def test_clients_see_nothing_of_a_shadow(served: Model, trained: Trained, key: str, end: str) -> None:
    model = served
    shadow = {"strategy": "Shadow", "shadow": {"percent": 100, "requests": 300}, "gates": GATES}
    stable = start(model, shadow)
    with load(model.namespace, "rest", address(model), *bodies(trained), rate=RATE) as sent:
        model.apply(key, rollout=shadow)
        until(is_in(model, end), f"the shadow's end: {end}")
        ended = time.time()
    assert not sent.failed
    # The status follows the traffic by a moment.
    assert set(sent.between(0, ended - 3.0)) == {stable}
    gates = {each["name"]: each for each in rollout(model)["gates"]}
    assert gates["disagreement"]["candidate"]["requests"] > 50, "answers to the same requests were compared"
    assert gates["refusals"]["verdict"] == ("Fail" if end == "RolledBack" else "Pass")


def test_users_stay_where_they_are(model: Model, trained: Trained) -> None:
    strategy = canary(30, 60, hold="4s")
    sticky = {"stickyBy": {"header": "x-user"}}
    stable = start(model, strategy, traffic=sticky)
    with load(model.namespace, "rest", address(model), *bodies(trained, 0.0), rate=RATE, users=120) as sent:
        model.apply(OTHER, rollout=strategy, traffic=sticky)
        until(lambda: rollout(model).get("step") == 2 and "stepStartedAt" in rollout(model), "the second step")
        command(model, "pause")
        until(is_in(model, "Paused"), "the pause")
    candidate = model.get()["status"]["candidate"]["revision"]
    assert model.get()["status"]["phase"] == "Paused"
    for gate in rollout(model)["gates"]:
        if gate["name"] != "disagreement":
            told = gate["users"]
            assert all(sum(row != "0" for row in told[arm].split(" ")) > 8 for arm in ("stable", "candidate")), gate
    moved = [user for user, seen in sent.seen.items() if len(seen) > 1]
    # Where each is at the end: how long a pod took to start says nothing of where its users are.
    by_arm = {arm: sum(list(seen)[-1] == arm for seen in sent.seen.values()) for arm in (stable, candidate)}
    # Each user moves once at most, from the stable to the candidate, when a step gives it more.
    assert not sent.failed
    assert all(list(sent.seen[user]) == [stable, candidate] for user in moved)
    assert by_arm[candidate] > 0 < by_arm[stable]


def test_blue_green_can_be_looked_at_switches_and_goes_back_at_once(
    model: Model, trained: Trained, measured: Callable[[str], None]
) -> None:
    strategy = {"strategy": "BlueGreen", "blueGreen": {"hold": "4s", "keep": "10m"}, "gates": {}}
    blue = start(model, strategy, replicas=2)
    with load(model.namespace, "rest", address(model), *bodies(trained, 0.0), rate=RATE) as sent:
        model.apply(OTHER, rollout=strategy, replicas=2)
        until(lambda: rollout(model).get("stepStartedAt"), "the preview")
        green = model.get()["status"]["candidate"]["revision"]
        assert model.get()["status"]["candidate"]["readyReplicas"] == 2
        preview = {"Host": f"{green}.modelward.internal"}
        router = f"app.kubernetes.io/instance={model.name},app.kubernetes.io/component=router"
        ip = kubectl("get", "pods", "-n", model.namespace, "-l", router, "-o", "jsonpath={.items[0].status.podIP}")
        inside = f"http://{ip}:{INSIDE_PORT}/v2/models/{model.name}/infer"
        with load(model.namespace, "rest", inside, *bodies(trained, 0.0), rate=50, headers=preview) as looks:
            until(lambda: model.stable() == green, "the switch")
        model.settle()
        assert [each["revision"] for each in model.get()["status"]["history"]] == [blue]
        began = time.monotonic()
        model.apply(GOOD, rollout=strategy, replicas=2)
        until(lambda: model.stable() == blue and model.is_settled(), "the return")
        measured(f"blue-green: back on the old revision {time.monotonic() - began:.1f} s after kubectl apply")
    assert not sent.failed
    assert not looks.failed
    assert set(looks.revisions) == {green}


@pytest.mark.timeout(900)  # each of the twenty waits for pods
def test_no_request_is_lost_in_twenty_rollouts(model: Model, trained: Trained, measured: Callable[[str], None]) -> None:
    result = under_load.run(model, trained)
    measured(
        f"{result.rollouts} rollouts ({dict(result.ends)}): {result.requests.total()} requests, {result.lost} lost"
    )
    assert result.rollouts >= 20
    assert not result.lost, result.requests
