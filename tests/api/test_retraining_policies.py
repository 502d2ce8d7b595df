"""What a DriftPolicy and its targets say of retraining: edited, suspended, deleted, one of two, or all is well."""

from modelward.kube.resources import DRIFT_POLICIES
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import Operator, operator, until
from nodeless.retraining import NEW, ready, started
from nodeless.training import FakeMonitors, Policy


async def test_an_edit_a_suspension_and_a_new_target_leave_a_run_alone(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply()
        monitors.drift()
        job = await started(policy)
        policy.apply(suspend=True, target={"name": "another"})
        await until(lambda: policy.get()["status"]["observedGeneration"] == 2, "the edit is taken up")
        policy.succeed(job, NEW)
        await until(model.is_second, "the second version", 60)
        await until(lambda: policy.target() == {}, "the former target is let go")
        assert policy.condition("Ready")["reason"] == "NoTarget"
        assert "RetrainingPromoted" in model.events()


async def test_nothing_starts_while_suspended(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply(suspend=True)
        monitors.drift()
        await until(lambda: "spec.suspend" in policy.target().get("obstacle", ""), "it says why nothing starts")
        assert not policy.jobs()
        policy.apply(suspend=False)
        await started(policy)


async def test_a_deleted_target_stops_its_run(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply()
        monitors.drift()
        await started(policy)
        cluster.kubectl("delete", "md", "fraud", "-n", model.namespace)
        await until(lambda: not policy.running(), "no Job left")
        await until(lambda: policy.condition("Ready")["reason"] == "NoTarget", "it says that there is no target")
        await until(lambda: "RetrainingCancelled" in model.events(), "an Event tells")


async def test_two_policies_of_one_model_take_turns(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    other = Policy(cluster, policy.namespace, "nightly")
    async with operator(cluster, monitors=monitors):
        await ready(model)
        monitors.drift()
        policy.apply()
        other.apply()
        await until(lambda: policy.running() or other.running(), "the first of them")
        first, second = (policy, other) if policy.running() else (other, policy)
        await until(lambda: "one at a time" in second.target().get("obstacle", ""), "the other waits")
        assert not second.jobs()
        first.fail(first.running()[0], log="no data")
        await until(lambda: len(first.jobs()) + len(second.jobs()) == 2, "the next of them")
        assert len(first.running() + second.running()) == 1


async def test_a_selector_that_matches_nothing_says_so_until_it_does(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        policy.apply(target={"selector": {"matchLabels": {"team": "risk"}}})
        await until(lambda: policy.get()["status"].get("conditions"), "a status")
        assert "has the labels team=risk" in policy.condition("Ready")["message"]
        assert policy.condition("Reconciling")["status"] == "True"
        await ready(model)
        cluster.kubectl("label", "md", "fraud", "-n", model.namespace, "team=risk")
        await until(lambda: policy.condition("Ready")["status"] == "True", "the labelled one is watched")


async def test_a_converged_policy_writes_nothing(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors) as one:
        await ready(model)
        policy.apply()
        await until(lambda: policy.condition("Drifted")["status"] == "False", "no drift")
        await until(one.is_idle, "nothing to do now")
        before = one.api.writes
        await one.controller._first_sync()
        await until(one.is_idle, "an empty queue")
        assert one.api.writes == before
    async with operator(cluster, identity="next", monitors=monitors) as second:
        await until(lambda: _is_known(second, policy) and second.is_idle(), "work done")
        assert second.api.writes == 0


def _is_known(one: Operator, policy: Policy) -> bool:
    return one.cache.get(DRIFT_POLICIES, policy.namespace, policy.name) is not None
