"""What goes wrong with a retraining run: its operator killed, its Job failed, deleted or endless, its status lost."""

import pytest

from modelward.kube.resources import JOBS
from nodeless.cluster import Cluster
from nodeless.model import S3, Model
from nodeless.operator_process import operator, until
from nodeless.retraining import NEW, ended, ready, started
from nodeless.training import FakeMonitors, Policy


@pytest.mark.parametrize("writes", list(range(1, 15)))
async def test_killed_after_any_write_one_job_is_made_and_the_end_is_the_same(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors, writes: int
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
    policy.apply()
    monitors.drift()
    async with operator(cluster, monitors=monitors, dies_after=writes) as doomed:
        await until(lambda: doomed.task.done() or _finish(model, policy, monitors), "the crash or the end", 60)
    # Windows that were in memory alone are lost with it; the next ones tell of the same drift.
    if not policy.runs():
        monitors.ended += 1800
    async with operator(cluster, monitors=monitors, after_crash=True):
        await until(lambda: _finish(model, policy, monitors), "the end", 60)
        await ended(policy, ("Promoted", "Drift"))
    assert (len(policy.jobs()), len(policy.objects())) == (1, 1)
    assert model.stable()["uri"] == S3.format(2)
    assert model.get()["metadata"]["generation"] == 1


def _finish(model: Model, policy: Policy, monitors: FakeMonitors) -> bool:
    """Ends what runs; whether all is over."""
    for job in policy.running():
        monitors.share[model.stable()["revision"]] = 0.9
        monitors.usual = 0.5
        policy.succeed(job, NEW)
    return model.is_second() and bool(policy.runs())


async def test_failures_back_off_and_end_with_a_person(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"maxFailures": 2})
        monitors.drift()
        policy.fail(await started(policy), log="Traceback: no labels in s3://data")
        policy.fail(await started(policy, 2), reason="DeadlineExceeded")
        await ended(policy, ("Failed", "Drift"), ("Failed", "Drift"))
        messages = [each["status"]["message"] for each in policy.ended()]
        assert "no labels in s3://data" in messages[1]
        assert "DeadlineExceeded" in messages[0]
        await until(lambda: policy.condition("Stalled")["status"] == "True", "a person is asked for")
        assert "2 runs failed" in policy.condition("Stalled")["message"]
        policy.apply({"maxFailures": 3})
        policy.succeed(await started(policy, 3), NEW)
        await until(model.is_second, "the second version", 60)


async def test_a_job_that_is_deleted_by_hand_is_a_failed_run_and_another_follows(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply()
        monitors.drift()
        job = await started(policy)
        await until(lambda: policy.phase() == "Running", "it runs")
        cluster.request("DELETE", JOBS.path(policy.namespace, job), {"propagationPolicy": "Background"})
        await until(lambda: policy.runs()[:1] == [("Failed", "Drift")], "the failure")
        assert "deleted" in policy.ended()[0]["status"]["message"]
        await until(lambda: policy.running() not in ([], [job]), "another run")


async def test_a_run_that_hangs_is_stopped_at_its_deadline(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"deadline": "3s", "maxFailures": 1})
        monitors.drift()
        run = await ended(policy, ("Failed", "Drift"))
        assert "Not finished within spec.retrain.deadline" in run["message"]
        await until(lambda: not policy.running(), "no Job left")


async def test_a_lost_status_finds_its_run_again(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply()
        monitors.drift()
        job = await started(policy)
        await until(lambda: policy.phase() == "Running", "it runs")
    patch = '[{"op": "remove", "path": "/status"}]'
    cluster.kubectl("patch", "dp", "fraud", "-n", policy.namespace, "--subresource=status", "--type=json", "-p", patch)
    monitors.drift()
    async with operator(cluster, monitors=monitors):
        await until(lambda: policy.target().get("lastRun", {}).get("name") == job, "the same run")
        monitors.usual = 0.5
        policy.succeed(job, NEW)
        await ended(policy, ("Promoted", "Drift"))
    assert len(policy.jobs()) == 1


async def test_a_template_that_no_job_can_have_is_told(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    container = {"name": "train", "image": "train:1", "imagePulPolicy": "Always"}
    template = {"spec": {"template": {"spec": {"containers": [container]}}}}
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"maxFailures": 1, "job": {"template": template}})
        monitors.drift()
        run = await ended(policy, ("Failed", "Drift"))
        assert 'unknown field "spec.template.spec.containers[0].imagePulPolicy"' in run["message"]
