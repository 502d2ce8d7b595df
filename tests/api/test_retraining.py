"""The whole loop on a real API server: drift, a Job, a new model, its rollout, and what goes wrong on the way."""

import json
from typing import Any

import pytest

from modelward.kube.resources import CONFIG_MAPS, DRIFT_POLICIES, JOBS, RETRAINING_RUNS
from nodeless.cluster import Cluster
from nodeless.model import S3, Model
from nodeless.operator_process import Operator, operator, until
from nodeless.traffic import FakeTraffic
from nodeless.training import FakeMonitors, Policy

NEW = {"modelUri": S3.format(2)}
ROLLOUT = {"strategy": "Canary", "steps": [{"weight": 10, "hold": "0s"}], "gates": {"errorRate": {"margin": "1%"}}}


@pytest.fixture
def policy(cluster: Cluster, namespace: str) -> Policy:
    return Policy(cluster, namespace)


@pytest.fixture
def monitors() -> FakeMonitors:
    return FakeMonitors()


async def ready(model: Model) -> None:
    model.apply(version=1, rollout=ROLLOUT)
    await until(model.is_ready, "the first version")


async def started(policy: Policy, count: int = 1) -> str:
    """The name of the one Job that goes on, the `count`-th of all."""
    await until(lambda: len(policy.running()) == 1 and len(policy.jobs()) == count, f"Job {count}")
    return policy.running()[0]


async def ended(policy: Policy, *expected: tuple[str, str]) -> Any:
    """The latest run, when the runs have ended as `expected`, the latest first. Lets the kubelet work."""
    try:
        await until(lambda: policy.settled_runs() == list(expected), f"the runs {expected}", 60)
    except AssertionError as error:
        raise AssertionError(f"{error}; there is {json.dumps(policy.objects())}") from error
    return policy.ended()[0]["status"]


async def test_drift_leads_to_a_job_a_rollout_and_a_new_stable(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply()
        await until(lambda: policy.condition("Drifted")["status"] == "False", "no drift at first")
        assert policy.condition("Ready")["message"] == "Watching fraud"
        first = model.stable()["revision"]
        monitors.drift()
        job = await started(policy)
        body = policy.jobs()[0]
        assert body["metadata"]["ownerReferences"][0]["kind"] == "RetrainingRun"
        assert policy.active()["metadata"]["ownerReferences"][0]["kind"] == "DriftPolicy"
        assert body["metadata"]["labels"]["team"] == "risk"
        (container,) = body["spec"]["template"]["spec"]["containers"]
        told = {each["name"]: each["value"] for each in container["env"]}
        assert (told["MODELWARD_MODEL"], told["MODELWARD_TRIGGER"]) == ("fraud", "Drift")
        assert (told["MODELWARD_MODEL_URI"], told["MODELWARD_RUN"]) == (S3.format(1), job)
        assert json.loads(told["MODELWARD_EVIDENCE"])["drifted"] == ["colour"]
        assert told["HOME"] == "$(MODELWARD_RUN)"
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert body["spec"]["activeDeadlineSeconds"] == 6 * 3600
        monitors.usual = 0.5
        policy.succeed(job, NEW)
        await until(model.is_second, "the second version alone", 60)
        run = await ended(policy, ("Promoted", "Drift"))
        assert model.stable()["revision"] != first
        await until(lambda: policy.condition("Drifted")["status"] == "False", "no drift of the new one")
        body = model.get()
        assert (body["metadata"]["generation"], body["spec"]["model"]["uri"]) == (1, S3.format(1)), (
            "spec is not written"
        )
        assert body["status"]["model"]["source"] == "RetrainingRun"
        assert (body["status"]["model"]["run"], body["status"]["model"]["uri"]) == (job, S3.format(2))
        assert model.stable()["uri"] == S3.format(2)
        await until(lambda: f"which the run {job} made" in model.condition("Ready")["message"], "it says so")
        assert "serves" in run["message"]
        reasons = [each for each in model.events() if each.startswith(("Drift", "Retrain"))]
        assert sorted(reasons) == [
            "DriftDetected", "DriftEnded", "RetrainedModelRollsOut", "RetrainingPromoted", "RetrainingStarted",
        ]  # fmt: skip
        columns = cluster.kubectl("get", "dp", "-n", model.namespace, "--no-headers").split()
        assert columns[:3] == ["fraud", "fraud", "NoDrift"]
        assert "Promoted" in columns
        header, *rows = cluster.kubectl("get", "retrainingruns", "-n", model.namespace).splitlines()
        assert header.split() == ["NAME", "TARGET", "PHASE", "REASON", "MODEL", "AGE"]
        assert rows[0].split()[:5] == [job, "fraud", "Promoted", "Drift", S3.format(2)]
        assert all(len(row) <= 120 for row in rows)


async def test_a_bad_model_is_rolled_back_and_not_made_again(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    traffic = FakeTraffic()
    async with operator(cluster, monitors=monitors, traffic=traffic):
        await ready(model)
        first = model.stable()["revision"]
        traffic.bad_but = first
        policy.apply()
        monitors.drift()
        policy.succeed(await started(policy), NEW)
        run = await ended(policy, ("RolledBack", "Drift"))
        assert "fraud asks for what it asked for before" in run["message"]
        spec_again = {"uri": S3.format(1), "source": "Spec"}
        await until(lambda: model.get()["status"]["model"] == spec_again, "it asks for what it asked for before")
        assert model.stable()["revision"] == first
        monitors.drift()
        await until(lambda: policy.target()["window"]["end"].startswith("2023-11-15T00"), "another drifted window")
        assert len(policy.jobs()) == 1, "the same drift of the same revision starts no other run"
        assert policy.condition("Stalled")["status"] == "True"
        assert "modelward.io/retrain" in policy.condition("Stalled")["message"]
        policy.request("please")
        policy.succeed(await started(policy, 2), NEW)
        run = await ended(policy, ("Refused", "Request"), ("RolledBack", "Drift"))
        assert "was rejected before" in run["message"]


async def test_a_model_that_is_worse_on_the_holdout_gets_no_traffic(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply()
        monitors.drift()
        holdout = {"metric": "auc", "current": 0.91, "candidate": 0.85, "higherIsBetter": True}
        policy.succeed(await started(policy), {**NEW, "metrics": {"holdout": holdout}})
        run = await ended(policy, ("Refused", "Drift"))
        assert run["holdout"] == "auc 0.85, the current model 0.91"
        assert model.get()["spec"]["model"]["uri"] == S3.format(1)


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


async def test_by_hand_alone_where_apply_is_manual(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"apply": "Manual"})
        monitors.drift()
        policy.succeed(await started(policy), NEW)
        run = await ended(policy, ("Reported", "Drift"))
        assert run["message"] == f"Write spec.model.uri: {S3.format(2)} into the ModelDeployment fraud to roll it out"
        assert model.get()["spec"]["model"]["uri"] == S3.format(1)
        assert policy.condition("Stalled")["status"] == "False"


async def test_a_model_that_somebody_else_changed_meanwhile_is_left_alone(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply()
        monitors.drift()
        job = await started(policy)
        model.apply(version=3, rollout=ROLLOUT)
        policy.succeed(job, NEW)
        run = await ended(policy, ("Superseded", "Drift"))
        assert S3.format(3) in run["message"]
        assert model.get()["spec"]["model"]["uri"] == S3.format(3)


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


async def test_a_drift_that_ends_before_its_run_leaves_the_run_alone(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply()
        monitors.drift()
        job = await started(policy)
        monitors.calm()
        await until(lambda: policy.condition("Drifted")["status"] == "False", "no drift any more")
        policy.succeed(job, NEW)
        await until(model.is_second, "the second version alone", 60)
        await ended(policy, ("Promoted", "Drift"))
        assert len(policy.jobs()) == 1


async def test_a_model_that_can_not_be_fetched_is_rolled_back_with_the_cause(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    """The run went well, and then the store is not there."""
    async with operator(cluster, monitors=monitors):
        model.apply(version=1, rollout={**ROLLOUT, "startDeadline": "2s"})
        await until(model.is_ready, "the first version")
        first = model.stable()["revision"]
        policy.apply()
        monitors.drift()
        job = await started(policy)
        policy.kubelet.broken_but = first
        policy.succeed(job, NEW)
        run = await ended(policy, ("RolledBack", "Drift"))
        assert "not there" in run["message"]
        assert model.stable()["revision"] == first


async def test_a_run_that_is_deleted_is_cancelled_and_the_policy_says_when_the_next_one_may_start(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"cooldown": "1h"})
        monitors.drift()
        job = await started(policy)
        await until(lambda: policy.phase() == "Running", "it runs")
        cluster.kubectl("delete", "rr", job, "-n", policy.namespace)
        await until(lambda: not policy.jobs(), "its Job is stopped")
        await until(lambda: "RetrainingDeleted" in model.events(), "an Event tells")
        await until(
            lambda: "at the earliest" in policy.target().get("obstacle", ""), "it says when the next one starts"
        )
        assert policy.target()["lastRun"] == {"name": job, "phase": "Deleted"}
        policy.request("please")
        assert await started(policy) != job


async def test_a_run_that_is_deleted_while_nobody_looks_is_cancelled_by_the_next_operator(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"cooldown": "1h"})
        monitors.drift()
        job = await started(policy)
        await until(lambda: policy.phase() == "Running", "it runs")
    cluster.kubectl("delete", "rr", job, "-n", policy.namespace)
    async with operator(cluster, monitors=monitors):
        await until(lambda: not policy.jobs(), "its Job is stopped")
        await until(lambda: policy.target()["lastRun"] == {"name": job, "phase": "Deleted"}, "it is accounted for")


async def test_what_a_run_brought_is_served_when_the_run_is_deleted_and_until_spec_changes(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors) as one:
        await ready(model)
        first = model.stable()["revision"]
        policy.apply()
        monitors.drift()
        job = await started(policy)
        monitors.usual = 0.5
        policy.succeed(job, NEW)
        await ended(policy, ("Promoted", "Drift"))
        await until(model.is_second, "the second version alone", 60)
        second = model.stable()["revision"]
        cluster.kubectl("delete", "rr", job, "-n", policy.namespace)
        await until(lambda: one.cache.get(RETRAINING_RUNS, policy.namespace, job) is None, "the watch tells")
        await until(one.is_idle, "nothing to do")
        assert (model.stable()["revision"], model.get()["status"]["model"]["run"]) == (second, job)
        model.apply(version=3, rollout=ROLLOUT)
        await until(lambda: model.is_ready() and model.stable()["uri"] == S3.format(3), "spec wins at once", 60)
        assert model.get()["status"]["model"] == {"uri": S3.format(3), "source": "Spec"}
        model.apply(version=1, rollout=ROLLOUT)
        await until(lambda: model.is_ready() and model.stable()["revision"] == first, "and again", 60)


async def test_a_model_on_trial_goes_back_when_its_run_is_deleted(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    paused = {**ROLLOUT, "steps": [{"weight": 10, "hold": "1h"}]}
    async with operator(cluster, monitors=monitors):
        model.apply(version=1, rollout=paused)
        await until(model.is_ready, "the first version")
        policy.apply({"cooldown": "1h"})
        monitors.drift()
        job = await started(policy)
        policy.succeed(job, NEW)
        await until(lambda: policy.settled_runs() == [] and "candidate" in model.get()["status"], "the trial", 60)
        assert model.get()["status"]["model"]["run"] == job
        cluster.kubectl("delete", "rr", job, "-n", policy.namespace)
        await until(lambda: model.is_ready() and len(model.revisions()) == 1, "the first version alone", 60)
        assert (model.stable()["uri"], model.get()["status"]["model"]["source"]) == (S3.format(1), "Spec")
        await until(lambda: "RetrainingDeleted" in model.events(), "an Event tells")


async def test_a_second_run_that_is_rolled_back_leaves_the_first_ones_model(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    traffic = FakeTraffic()
    async with operator(cluster, monitors=monitors, traffic=traffic):
        await ready(model)
        policy.apply()
        policy.request("1")
        policy.succeed(await started(policy), NEW)
        await ended(policy, ("Promoted", "Request"))
        await until(model.is_second, "the second version alone", 60)
        traffic.bad_but = model.stable()["revision"]
        policy.request("2")
        policy.succeed(await started(policy, 2), {"modelUri": S3.format(3)})
        await ended(policy, ("RolledBack", "Request"), ("Promoted", "Request"))
        await until(lambda: model.is_second() and model.condition("Ready")["status"] == "True", "as it was", 60)
        assert model.get()["status"]["model"]["run"] == policy.objects()[1]["metadata"]["name"]
        assert model.get()["metadata"]["generation"] == 1


async def test_a_model_that_spec_could_not_have_is_refused_in_the_api_servers_words(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"maxFailures": 1})
        monitors.drift()
        policy.succeed(await started(policy), {"modelUri": "https://user:secret@models.example.com/fraud/model.onnx"})
        run = await ended(policy, ("Failed", "Drift"))
        assert "credentials must not stand in the address" in run["message"]
        assert (model.get()["metadata"]["generation"], model.get()["status"]["model"]["source"]) == (1, "Spec")


async def test_no_more_than_the_last_runs_are_kept_and_always_the_one_that_is_served(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"history": 1, "maxFailures": 9})
        policy.request("1")
        policy.succeed(await started(policy), NEW)
        await ended(policy, ("Promoted", "Request"))
        await until(model.is_second, "the second version alone", 60)
        for number in range(2):
            policy.request(f"again {number}")
            await until(policy.running, "another run")
            policy.fail(policy.running()[0], log="no data")
            await ended(policy, ("Failed", "Request"), ("Promoted", "Request"))
            await until(lambda: len(policy.objects()) == 2, "the oldest failure is let go")


async def test_a_runs_spec_can_not_be_edited(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply()
        monitors.drift()
        job = await started(policy)
        patch = '{"spec": {"target": {"name": "another"}}}'
        with pytest.raises(Exception, match="a run stays what it was started for"):
            cluster.kubectl("patch", "rr", job, "-n", policy.namespace, "--type=merge", "-p", patch)


@pytest.mark.parametrize("phase", ["Starting", "Running", "Applying", "RollingOut"])
async def test_a_run_that_an_earlier_operator_left_in_status_is_taken_over_and_not_started_again(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors, phase: str
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"cooldown": "1h"})
        await until(lambda: policy.condition("Ready")["status"] == "True", "it watches")
        monitors.drift()
        job = await started(policy)
        await until(lambda: policy.phase() == "Running", "it runs")
    _as_before_runs_were_objects(cluster, model, policy, phase)
    if phase == "RollingOut":
        # Which wrote spec, too.
        model.apply(version=2, rollout=ROLLOUT)
    async with operator(cluster, monitors=monitors):
        await until(lambda: policy.active() or policy.ended(), "it is an object")
        if phase in ("Starting", "Running"):
            await until(lambda: policy.phase() == "Running", "it runs")
            policy.succeed(job, NEW)
        await ended(policy, ("Promoted", "Drift"))
        assert [each["metadata"]["name"] for each in policy.objects()] == [job]
        assert len(policy.jobs()) == 1
        await until(lambda: "run" not in policy.target() and "runs" not in policy.target(), "status has its new form")
        over = {"name": job, "phase": "Promoted"}
        await until(lambda: policy.target()["lastRun"] == over, "the policy knows")


def _as_before_runs_were_objects(cluster: Cluster, model: Model, policy: Policy, phase: str) -> None:
    """The policy's status and the Job as an operator of an earlier version left them; no run and no memory is there."""
    run, metadata = policy.objects()[0], policy.get()["metadata"]
    name, namespace = run["metadata"]["name"], policy.namespace
    spec = run["spec"]
    record = {
        "name": name, "key": spec["key"], "kind": spec["kind"], "trigger": spec["trigger"], "attempt": 1,
        "reason": spec["reason"], "phase": phase, "revision": spec["target"]["revision"],
        "from": spec["target"]["model"], "startedAt": spec["requestedAt"], "drifted": spec["evidence"]["drifted"],
    }  # fmt: skip
    if phase in ("Applying", "RollingOut"):
        record["model"] = {"uri": S3.format(2)}
    target = {"name": "fraud", "uid": model.get()["metadata"]["uid"], "verdict": "Drifted", "run": record}
    status = {"observedGeneration": metadata["generation"], "targets": [target], "conditions": []}
    body = {
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "DriftPolicy",
        "metadata": {"name": "fraud"},
        "status": status,
    }
    cluster.kubectl(
        "apply", "--server-side", "--subresource=status", "--field-manager=modelward", "-n", namespace, "-f", "-",
        stdin=json.dumps(body),
    )  # fmt: skip
    owner = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy", "name": "fraud", "uid": metadata["uid"],
        "controller": True,
    }  # fmt: skip
    patch = {"op": "replace", "path": "/metadata/ownerReferences", "value": [owner]}
    cluster.kubectl("patch", "job", name, "-n", namespace, "--type=json", "-p", json.dumps([patch]))
    cluster.kubectl("delete", "rr", "--all", "-n", namespace)
    for body in cluster.request("GET", CONFIG_MAPS.path(namespace))["items"]:
        if body["metadata"]["name"].endswith("-memory"):
            cluster.kubectl("delete", "cm", body["metadata"]["name"], "-n", namespace)
