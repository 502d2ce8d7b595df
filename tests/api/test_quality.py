"""A policy with spec.quality on a real API server: a Job of each time, what it said in status, and a run of a champion
that degrades. The kubelet that ends Jobs is pretended; what they say is what the evaluator says of real files."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelward.api import names
from modelward.kube.resources import JOBS, MODEL_DEPLOYMENTS
from modelward.reconcilers.driftpolicy.evaluations import AT_A_TIME
from modelward_evaluate.job import VARIABLE, main
from nodeless.cluster import Cluster
from nodeless.model import Model, is_settled, manifest
from nodeless.operator_process import PLATFORM, operator, until
from nodeless.training import FakeMonitors, Policy, container
from unit.evaluate.lakes import Lake, outcome, prediction

pytestmark = pytest.mark.api

TASK = {"kind": "Classes", "label": "output.label", "positive": "1"}
QUALITY = {"task": TASK, "every": "31d", "minSamples": 30, "metrics": [{"name": "accuracy", "min": "0.8"}]}
LOG: dict[str, Any] = {"monitor": {}, "predictionLog": {"uri": "s3://lake/predictions"}}


def evaluating(policy: Policy) -> list[Any]:
    """The Jobs that evaluate, the first first."""
    return [each for each in policy.jobs() if names.ANNOTATION_EVALUATION in each["metadata"].get("annotations", {})]


def open_ones(policy: Policy) -> list[str]:
    """Those that go on."""
    return [each["metadata"]["name"] for each in evaluating(policy) if "conditions" not in each.get("status", {})]


async def asked_for(policy: Policy, count: int) -> str:
    """The name of the one Job that goes on, the `count`-th of all."""
    await until(lambda: len(open_ones(policy)) == 1 and len(evaluating(policy)) == count, f"evaluation {count}")
    return open_ones(policy)[0]


def found_out(policy: Policy, job: str, folder: Path, right: int, of: int = 200, told: bool = True) -> str:
    """What the evaluator says, run as the Job asks for it, of rows that are logged and outcomes that came."""
    folder.mkdir()
    body = policy.cluster.request("GET", JOBS.path(policy.namespace, job))
    (only,) = body["spec"]["template"]["spec"]["containers"]
    asked = json.loads(next(each["value"] for each in only["env"] if each["name"] == VARIABLE))
    revision, spec = asked["revision"], asked["evaluation"]
    time = datetime.fromisoformat(spec["end"]) - timedelta(hours=1)
    lake = Lake(folder)
    lake.predict([prediction(each, 1, time=time) for each in range(of)], revision)
    lake.tell([outcome(each, int(each < right), time=time, arrived=time) for each in range(of if told else 0)] or [])
    if not told:
        (lake.outcomes / "a.parquet").unlink()
    spec["predictions"] = {"path": str(lake.log / f"v1/namespace=ml/model=fraud/revision={revision}")}
    spec["outcomes"] |= {"path": str(lake.outcomes)}
    assert main({VARIABLE: json.dumps(asked)}, folder / "message") == 0
    return (folder / "message").read_text()


async def test_a_champion_that_degrades_is_seen_and_retrained(
    cluster: Cluster, model: Model, policy: Policy, tmp_path: Path
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        model.apply(**LOG)
        await until(model.is_ready, "the model")
        policy.apply(quality=QUALITY)
        job = await asked_for(policy, 1)
        await until(lambda: policy.target().get("quality", {}).get("job") == job, "that it evaluates")
        assert policy.condition("Measured")["status"] == "Unknown"
        (body,) = evaluating(policy)
        assert body["metadata"]["ownerReferences"][0]["kind"] == "DriftPolicy"
        policy.succeed(job, found_out(policy, job, tmp_path / "a", right=190))
        await until(lambda: policy.condition("Measured")["status"] == "True", "it is measured")
        said = policy.target()["quality"]
        assert (said["metric"], said["value"], said["rows"], said["coverage"]) == ("accuracy", "0.95", 200, "100.0%")
        assert float(said["low"]) < 0.95 < float(said["high"])
        assert policy.condition("Drifted")["status"] == "False"
        assert len(evaluating(policy)) == 1, "the same time is not evaluated twice"
        row = cluster.kubectl("get", "dp", "-n", model.namespace, "--no-headers")
        assert "accuracy 0.95" in row
        policy.apply(quality={**QUALITY, "metrics": [{"name": "accuracy", "min": "0.85"}]})
        job = await asked_for(policy, 2)
        policy.succeed(job, found_out(policy, job, tmp_path / "b", right=120))
        await until(lambda: len(policy.objects()) == 1, "a run")
        run = policy.active()
        assert run["spec"]["trigger"] == "Drift"
        await until(lambda: policy.condition("Drifted")["status"] == "True", "the verdict")
        assert policy.condition("Drifted")["message"].startswith("accuracy is 0.6 (")
        (signal,) = policy.target()["signals"]
        assert (signal["kind"], signal["name"], signal["breached"]) == ("quality", "accuracy:min", True)
        assert "DriftDetected" in model.events()
        assert "Measured" in model.events()


async def dies_twice(cluster: Cluster) -> None:
    for writes in (1, 2):
        async with operator(cluster, monitors=FakeMonitors(), dies_after=writes, after_crash=True) as one:
            await until(lambda one=one: one.api.dead, f"its end after {writes} writes")


async def test_a_crash_at_any_write_makes_no_second_job_and_loses_no_result(
    cluster: Cluster, model: Model, policy: Policy, tmp_path: Path
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        model.apply(**LOG)
        await until(model.is_ready, "the model")
    policy.apply(quality=QUALITY)
    await dies_twice(cluster)
    async with operator(cluster, monitors=FakeMonitors(), after_crash=True):
        job = await asked_for(policy, 1)
    policy.succeed(job, found_out(policy, job, tmp_path / "a", right=190))
    await dies_twice(cluster)
    async with operator(cluster, monitors=FakeMonitors(), after_crash=True):
        await until(lambda: policy.condition("Measured")["status"] == "True", "it is measured")
        assert len(evaluating(policy)) == 1


async def test_what_keeps_it_from_being_measured_is_told_with_its_cure(
    cluster: Cluster, model: Model, policy: Policy, tmp_path: Path
) -> None:
    def told(reason: str, words: str) -> bool:
        found = policy.condition("Measured")
        return (found["status"], found["reason"]) == ("False", reason) and words in found["message"]

    async with operator(cluster, monitors=FakeMonitors()):
        model.apply(monitor={})
        await until(model.is_ready, "the model")
        policy.apply(quality=QUALITY)
        await until(lambda: told("NoPredictionLog", "write spec.predictionLog"), "that there is no log")
        assert policy.condition("Ready")["status"] == "False", "a rule that can't be judged is not watched"
        model.apply(**LOG)
        await until(model.is_ready, "the model")
        job = await asked_for(policy, 1)
        policy.fail(job, "s3://lake/predictions can't be listed: there is no bucket 'lake'")
        await until(lambda: told("EvaluationFailed", "there is no bucket 'lake'"), "the error of the Job")
        assert policy.target()["quality"]["reason"] == "EvaluationFailed", "in the same write"
        policy.apply(quality={**QUALITY, "labelWindow": "1h"})
        job = await asked_for(policy, 2)
        policy.succeed(job, found_out(policy, job, tmp_path / "a", right=0, told=False))
        await until(lambda: told("NoOutcomes", "No outcome came"), "silence")
        assert "NotMeasured" in model.events()
        policy.apply(quality={**QUALITY, "labelWindow": "2h"})
        job = await asked_for(policy, 3)
        policy.succeed(job, "nonsense")
        await until(lambda: told("EvaluationFailed", "can't be read"), "that nobody can read it")


async def test_jobs_are_kept_within_bounds_and_go_with_the_wish(
    cluster: Cluster, model: Model, policy: Policy, tmp_path: Path
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        model.apply(**LOG)
        await until(model.is_ready, "the model")
        seen = set()
        for number in range(3):
            policy.apply(quality={**QUALITY, "days": 1 + number, "history": 1})
            await until(lambda: len(open_ones(policy)) == 1, "a Job")
            (job,) = open_ones(policy)
            seen.add(job)
            policy.succeed(job, found_out(policy, job, tmp_path / str(number), right=190))
            await until(lambda job=job: [each["metadata"]["name"] for each in evaluating(policy)] == [job], "one left")
        assert len(seen) == 3
        policy.apply()
        await until(lambda: not evaluating(policy), "none left")
        await until(lambda: policy.condition("Measured")["status"] == "", "no condition either")
        assert "quality" not in policy.target()


async def test_each_time_of_the_schedule_has_one_job(cluster: Cluster, model: Model, policy: Policy) -> None:
    at = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
    async with operator(cluster, monitors=FakeMonitors(), now=lambda: at):
        model.apply(**LOG)
        await until(model.is_ready, "the model")
        policy.apply(quality={key: value for key, value in QUALITY.items() if key != "every"} | {
            "schedule": {"cron": "0 2 * * *"}, "labelWindow": "60d", "days": 7,
        })  # fmt: skip
        await asked_for(policy, 1)
        (body,) = evaluating(policy)
        about = json.loads(body["metadata"]["annotations"][names.ANNOTATION_EVALUATION])
        due = datetime(2026, 3, 1, 2, tzinfo=UTC).timestamp()
        assert about["cohort"]["slot"] == due
        assert (due - about["cohort"]["end"], about["cohort"]["end"] - about["cohort"]["begin"]) == (
            60 * 86400, 7 * 86400,
        )  # fmt: skip


async def test_an_installation_without_the_image_says_so(cluster: Cluster, model: Model, policy: Policy) -> None:
    async with operator(cluster, monitors=FakeMonitors(), platform=replace(PLATFORM, evaluate_image="")):
        model.apply(**LOG)
        await until(model.is_ready, "the model")
        policy.apply(quality=QUALITY)
        await until(lambda: policy.condition("Measured")["reason"] == "NoEvaluator", "that there is no image")
        assert "MODELWARD_EVALUATE_IMAGE" in policy.condition("Measured")["message"]


def is_told(policy: Policy, reason: str, words: str) -> bool:
    found = policy.condition("Measured")
    return (found["status"], found["reason"]) == ("False", reason) and words in found["message"]


async def test_a_job_that_is_refused_or_does_not_go_on_is_told(cluster: Cluster, model: Model, policy: Policy) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        model.apply(**LOG)
        await until(model.is_ready, "the model")
        policy.apply(quality=QUALITY)
        job = await asked_for(policy, 1)
        waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": "no ConfigMap ca"}}
        conditions = [{"type": "Ready", "status": "False"}]
        policy.pod(job, [container("evaluate", waiting)], phase="Pending", conditions=conditions)
        await until(lambda: is_told(policy, "EvaluationDelayed", "no ConfigMap ca"), "what its pod waits for")
        policy.fail(job, reason="DeadlineExceeded")
        await until(lambda: is_told(policy, "EvaluationFailed", "Raise spec.quality.deadline"), "its end", 60)
        hard = {"hard": {"count/jobs.batch": "0"}}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": hard}
        cluster.kubectl("create", "-n", model.namespace, "-f", "-", stdin=json.dumps(quota))
        # There may be no controller that says how much is used, without which nothing is admitted.
        used = json.dumps({"status": {**hard, "used": {"count/jobs.batch": "0"}}})
        cluster.kubectl(
            "patch", "resourcequota", "q", "-n", model.namespace, "--subresource=status", "--type=merge", "-p", used
        )
        policy.apply(quality={**QUALITY, "days": 3})
        await until(lambda: is_told(policy, "EvaluationDelayed", "exceeded quota"), "that the quota refuses it")
        assert len(evaluating(policy)) == 1


async def test_of_many_models_some_are_evaluated_at_a_time(
    cluster: Cluster, model: Model, policy: Policy, tmp_path: Path
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        for number in range(AT_A_TIME + 1):
            made = manifest(model.namespace, f"m{number}", **LOG)
            made["metadata"]["labels"] = {"team": "risk"}
            cluster.apply(made, model.namespace)

        def are_ready() -> bool:
            model.kubelet.settle()
            listed = cluster.request("GET", MODEL_DEPLOYMENTS.path(model.namespace))["items"]
            return len(listed) == AT_A_TIME + 1 and all(map(is_settled, listed))

        await until(are_ready, "the models", 60)
        policy.apply(target={"selector": {"matchLabels": {"team": "risk"}}}, quality=QUALITY)
        await until(lambda: len(evaluating(policy)) == AT_A_TIME, "the first Jobs")
        targets = {each["metadata"]["labels"][names.LABEL_TARGET] for each in evaluating(policy)}
        assert len(targets) == AT_A_TIME
        await until(lambda: policy.condition("Measured")["status"] == "Unknown", "that they wait")
        assert len(evaluating(policy)) == AT_A_TIME
        job = open_ones(policy)[0]
        policy.succeed(job, found_out(policy, job, tmp_path / "a", right=190))
        await until(lambda: len(evaluating(policy)) == AT_A_TIME + 1, "the next one", 60)
        assert len(open_ones(policy)) == AT_A_TIME
