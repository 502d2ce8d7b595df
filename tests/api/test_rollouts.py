"""Rollouts on a real API server, with pretended pods, routers and traffic: steps, ends, commands, writes."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until
from nodeless.traffic import FakeTraffic
from promserver.page import MetricsPage
from promserver.server import PrometheusServer

QUICK: dict[str, Any] = {
    "strategy": "Canary",
    "steps": [{"weight": 10, "hold": "0s"}, {"weight": 50, "hold": "0s"}],
    "gates": {"errorRate": {"margin": "1%"}},
}
SLOW: dict[str, Any] = {**QUICK, "steps": [{"weight": 10, "hold": "1h"}]}


def rollout(model: Model) -> Any:
    return model.get().get("status", {}).get("rollout", {})


def phase(model: Model) -> str:
    """Lets the kubelet work, then looks."""
    model.kubelet.settle()
    return str(rollout(model).get("phase", ""))


def candidate(model: Model) -> str:
    return str(model.get()["status"]["candidate"]["revision"])


def annotate(model: Model, command: str) -> None:
    model.cluster.kubectl("annotate", "md", "fraud", "-n", model.namespace, f"modelward.io/rollout={command}")


def messages(model: Model, reason: str) -> list[str]:
    listed = model.cluster.get("events", "-n", model.namespace)["items"]
    return [each["message"] for each in listed if each["reason"] == reason]


async def test_a_good_version_is_promoted_in_steps(cluster: Cluster, model: Model) -> None:
    async with operator(cluster):
        model.apply(version=1, rollout=QUICK)
        await until(model.is_ready, "the first version, without steps")
        assert "rollout" not in model.get()["status"]
        model.apply(version=2, rollout=QUICK)
        await until(model.is_second, "the second version alone", 60)
    shown = rollout(model)
    assert (shown["phase"], shown["progress"], shown["gates"][0]["verdict"]) == ("Promoted", "Promoted", "Pass")
    assert shown["from"] != shown["revision"] == model.stable()["revision"]
    steps = messages(model, "RolloutStep")
    assert sorted(text.split(":")[0] for text in steps) == ["Step 1 of 2", "Step 2 of 2"]
    assert len(messages(model, "RolloutPromoted")) == 1
    row = cluster.kubectl("get", "md", "fraud", "-n", model.namespace)
    assert "Promoted" in row


async def test_one_bad_user_rolls_nothing_back_where_users_stay_and_is_remembered(
    cluster: Cluster, model: Model
) -> None:
    """What is counted by users is in the status, and goes on after a restart of the operator."""
    traffic, sticky = FakeTraffic(), {"stickyBy": {"header": "x-user"}}
    traffic.one_user = True

    def users() -> list[int]:
        gates = rollout(model).get("gates") or [{}]
        told = gates[0].get("users", {}).get("candidate", "0")
        return [int(row.partition(":")[0]) for row in told.split(" ")]

    def shown() -> Any:
        model.kubelet.settle()
        gates = rollout(model).get("gates") or [{}]
        return gates[0] if "by users" in gates[0].get("message", "") else None

    async with operator(cluster, traffic=traffic):
        model.apply(version=1, rollout=SLOW, traffic=sticky)
        await until(model.is_ready, "the first version")
        model.apply(version=2, rollout=SLOW, traffic=sticky)
        traffic.errors[await until(lambda: rollout(model).get("revision"), "a candidate")] = 0.029
        gate = await until(shown, "requests say that it is bad, and users do not")
        assert (gate["verdict"], rollout(model)["phase"]) == ("Inconclusive", "Progressing")
        before = users()
    async with operator(cluster, traffic=traffic, identity="another"):
        await until(lambda: model.kubelet.settle() or users()[0] > before[0] > 0, "more of them", 60)
        assert rollout(model)["gates"][0]["verdict"] == "Inconclusive"


async def test_a_bad_version_is_rolled_back_by_its_gate_and_stays_so(cluster: Cluster, model: Model) -> None:
    traffic = FakeTraffic()
    async with operator(cluster, traffic=traffic) as one:
        model.apply(version=1, rollout=SLOW)
        await until(model.is_ready, "the first version")
        stable = model.stable()["revision"]
        model.apply(version=2, rollout=SLOW)
        traffic.errors[await until(lambda: rollout(model).get("revision"), "a candidate")] = 0.2
        await until(lambda: phase(model) == "RolledBack", "the rollback")
        await until(lambda: len(model.revisions()) == 1, "the candidate's end")
        body = model.get()["status"]
        assert body["stable"]["revision"] == stable
        assert body["phase"] == "RolledBack"
        (gate,) = body["rollout"]["gates"]
        assert gate["verdict"] == "Fail"
        assert gate["candidate"]["bad"] > 0 == gate["stable"]["bad"]
        assert model.condition("Stalled")["reason"] == "RolledBack"
        assert "errorRate: " in model.condition("Ready")["message"]
        assert model.condition("Servable")["status"] == "True"
        await until(one.is_idle, "nothing left to do")
        before = one.api.writes
        await one.controller._first_sync()
        await until(one.is_idle, "nothing left to do")
        assert one.api.writes == before
    async with operator(cluster, identity="next", traffic=traffic) as second:
        await until(lambda: len(list(second.cache.keys())) > 0 and second.is_idle(), "a look at it")
        assert (len(model.revisions()), phase(model)) == (1, "RolledBack"), "a rejected version is not tried again"
        traffic.errors.clear()
        annotate(model, "retry")
        await until(lambda: phase(model) == "Progressing", "another try")
        annotate(model, "promote")
        await until(model.is_second, "promoted by hand", 60)


async def test_pause_resume_abort_by_annotation(cluster: Cluster, model: Model) -> None:
    async with operator(cluster):
        model.apply(version=1, rollout=SLOW)
        await until(model.is_ready, "the first version")
        model.apply(version=2, rollout=SLOW)
        await until(lambda: phase(model) == "Progressing", "the first step")
        annotate(model, "pause")
        await until(lambda: phase(model) == "Paused", "the pause")
        await until(lambda: "modelward.io/rollout" not in model.get()["metadata"].get("annotations", {}), "taken up")
        assert model.get()["status"]["phase"] == "Paused"
        assert model.get()["status"]["candidate"]["weight"] == 10
        annotate(model, "resume")
        await until(lambda: phase(model) == "Progressing", "going on")
        annotate(model, "explode")
        await until(lambda: messages(model, "UnknownCommand"), "an Event about an unknown command")
        annotate(model, "abort")
        await until(lambda: phase(model) == "Aborted", "the end")
        assert model.condition("Stalled")["reason"] == "Aborted"
        assert "weight" not in model.get()["status"].get("candidate", {})
        model.apply(version=1, rollout=SLOW)
        await until(model.is_ready, "ready again with the stable's spec")
        assert "rollout" not in model.get()["status"]
    assert len(messages(model, "RolloutCommand")) == 3


async def test_a_change_in_mid_rollout_starts_with_the_new_version_and_gates_do_not(
    cluster: Cluster, model: Model
) -> None:
    async with operator(cluster):
        model.apply(version=1, rollout=SLOW)
        await until(model.is_ready, "the first version")
        model.apply(version=2, rollout=SLOW)
        await until(lambda: phase(model) == "Progressing", "the first step")
        second, began = rollout(model)["revision"], rollout(model)["startedAt"]
        other = {**SLOW, "steps": [{"weight": 30, "hold": "1h"}], "gates": {"errorRate": {"margin": "2%"}}}
        model.apply(version=2, rollout=other, replicas=3)
        await until(lambda: phase(model) and model.get()["status"]["candidate"].get("weight") == 30, "the new weight")
        assert (rollout(model)["revision"], rollout(model)["startedAt"]) == (second, began)
        model.apply(version=3, rollout=other)
        await until(lambda: phase(model) == "Progressing" and candidate(model) != second, "the third version")
        await until(lambda: len(model.revisions()) == 2, "the second version's end")
        assert rollout(model)["attempt"] == 1


async def test_a_candidate_that_never_becomes_ready_is_given_up(cluster: Cluster, model: Model) -> None:
    impatient = {**SLOW, "startDeadline": "2s"}
    async with operator(cluster):
        model.apply(version=1, rollout=impatient)
        await until(model.is_ready, "the first version")
        model.apply(version=2, rollout=impatient)
        model.kubelet.broken.add(await until(lambda: rollout(model).get("revision"), "a candidate"))
        await until(lambda: phase(model) == "RolledBack", "the rollback")
        assert "startDeadline" in rollout(model)["message"]
        assert "not there" in rollout(model)["message"], "the cause of its pods"


async def test_without_data_the_first_step_holds(cluster: Cluster, model: Model) -> None:
    traffic = FakeTraffic()
    traffic.quiet = True
    async with operator(cluster, traffic=traffic):
        model.apply(version=1, rollout=QUICK)
        await until(model.is_ready, "the first version")
        model.apply(version=2, rollout=QUICK)
        waiting = "Waiting for errorRate: 0 of 100 requests"
        await until(lambda: phase(model) and waiting in rollout(model)["message"], "what it waits for")
        assert rollout(model)["step"] == 1
        traffic.quiet = False
        await until(model.is_second, "promoted once there is traffic", 60)


async def test_a_business_metric_fails_a_rollout(cluster: Cluster, model: Model) -> None:
    query = 'sum(revenue{revision="$candidate"}) / sum(revenue{revision="$stable"})'
    metric = {"name": "revenue", "query": query, "min": "0.9", "failureLimit": 2}
    judged = {**SLOW, "gates": {"metrics": [metric], "minSamples": 1}}
    async with contextlib.AsyncExitStack() as stack:
        page = stack.enter_context(MetricsPage())
        server = await asyncio.to_thread(lambda: stack.enter_context(PrometheusServer([page.address])))
        await stack.enter_async_context(operator(cluster, prometheus_url=server.url))
        model.apply(version=1, rollout=judged)
        await until(model.is_ready, "the first version")
        model.apply(version=2, rollout=judged)
        await until(lambda: phase(model) and "revenue: the query gives no data" in rollout(model)["message"], "no data")
        stable, new = model.stable()["revision"], rollout(model)["revision"]
        page.text = f'revenue{{revision="{stable}"}} 200\nrevenue{{revision="{new}"}} 190\n'
        await until(lambda: phase(model) and rollout(model)["gates"][0]["verdict"] == "Pass", "a good value")
        page.text = f'revenue{{revision="{stable}"}} 200\nrevenue{{revision="{new}"}} 100\n'
        await until(lambda: phase(model) == "RolledBack", "the rollback")
    assert rollout(model)["message"] == "revenue: 0.5, wanted: at least 0.9, 2 times in a row"


async def test_a_step_takes_few_writes(cluster: Cluster, model: Model) -> None:
    async with operator(cluster) as one:
        model.apply(version=1, rollout=SLOW, router={"replicas": 1})
        await until(model.is_ready, "the first version")
        model.apply(version=2, rollout=SLOW, router={"replicas": 1})
        await until(lambda: phase(model) and rollout(model).get("stepStartedAt"), "the first step")
        await until(one.is_idle, "nothing left to do")
        writes = [entry for entry in model.writes() if entry["objectRef"]["resource"] != "events"]
        # 11 of the first version; the candidate's record, Service, Deployment, way through the router; then the step.
        assert len(writes) <= 11 + 4 + 2 + 4, [each["requestURI"] for each in writes]


@pytest.mark.parametrize("lost", ["status", "status and configuration"])
async def test_what_was_lost_is_found_again(cluster: Cluster, model: Model, lost: str) -> None:
    """As after a restore from a backup, in the middle of a rollout."""
    async with operator(cluster):
        model.apply(version=1, rollout=SLOW)
        await until(model.is_ready, "the first version")
        stable = model.stable()["revision"]
        model.apply(version=2, rollout=SLOW)
        await until(lambda: phase(model) == "Progressing", "the first step")
    namespace = ("-n", model.namespace)
    cluster.kubectl(
        "patch", "md", "fraud", *namespace, "--subresource=status", "--type=merge", "-p", json.dumps({"status": None})
    )
    if lost != "status":
        cluster.kubectl("delete", "configmap", "fraud-router", *namespace)
    async with operator(cluster):
        await until(lambda: phase(model) == "Progressing", "the first step again")
        assert model.stable()["revision"] == stable
        annotate(model, "promote")
        await until(model.is_second, "the second version alone", 60)


async def through_crashes(cluster: Cluster, is_done: Callable[[], bool], traffic: FakeTraffic | None = None) -> int:
    """Operators that die after one write each, until it is done; how many it took."""
    for number in range(1, 80):
        async with operator(cluster, dies_after=1, traffic=traffic, after_crash=number > 1) as doomed:
            # A container that is started anew has the identity of the one before it, and with it the lease.
            await until(lambda doomed=doomed: doomed.task.done() or is_done(), "the crash or the end", 60)
            if not doomed.task.done():
                return number
    raise AssertionError("80 operators got nowhere")


@pytest.mark.timeout(600)  # some forty operators, one after the other
async def test_killed_after_every_write_of_a_promotion_the_end_is_the_same(cluster: Cluster, model: Model) -> None:
    async with operator(cluster):
        model.apply(version=1, rollout=QUICK)
        await until(model.is_ready, "the first version")
    model.apply(version=2, rollout=QUICK)
    assert await through_crashes(cluster, model.is_second) > 10
    assert rollout(model)["phase"] == "Promoted"
    assert model.events().count("RolloutPromoted") == 1
    assert len(messages(model, "RolloutStep")) == 2


@pytest.mark.timeout(600)  # some forty operators, one after the other
async def test_killed_after_every_write_of_a_rollback_the_end_is_the_same(cluster: Cluster, model: Model) -> None:
    traffic = FakeTraffic()
    async with operator(cluster, traffic=traffic):
        model.apply(version=1, rollout=QUICK)
        await until(model.is_ready, "the first version")
    good = traffic.bad_but = model.stable()["revision"]

    def is_rolled_back() -> bool:
        return phase(model) == "RolledBack" and len(model.revisions()) == 1

    model.apply(version=2, rollout=QUICK)
    assert await through_crashes(cluster, is_rolled_back, traffic) > 5
    assert model.stable()["revision"] == good
    assert model.events().count("RolloutRolledBack") == 1


@pytest.mark.parametrize("writes", [2, 5, 9])
async def test_killed_in_the_middle_of_a_promotion_the_end_is_the_same(
    cluster: Cluster, model: Model, writes: int
) -> None:
    async with operator(cluster):
        model.apply(version=1, rollout=QUICK)
        await until(model.is_ready, "the first version")
    async with operator(cluster, dies_after=writes) as doomed:
        model.apply(version=2, rollout=QUICK)
        await until(lambda: doomed.task.done() or model.is_second(), "the crash or the end", 60)
    async with operator(cluster, after_crash=True):
        await until(model.is_second, "the second version alone", 60)
    assert rollout(model)["phase"] == "Promoted"
