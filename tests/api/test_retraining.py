"""The whole loop on a real API server: drift, a Job, a new model, its rollout, and which model is served in the end."""

import json

from nodeless.cluster import Cluster
from nodeless.model import S3, Model
from nodeless.operator_process import operator, until
from nodeless.retraining import NEW, ROLLOUT, ended, ready, started
from nodeless.traffic import FakeTraffic
from nodeless.training import FakeMonitors, Policy


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
