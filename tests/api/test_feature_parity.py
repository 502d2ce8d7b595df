"""A policy with spec.parity on a real API server: a Job of each time, and what it said as a condition, a column of
kubectl and Events. The kubelet that ends Jobs is pretended; what they say is what the evaluator says of real files."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from modelward.api import names
from modelward.kube.resources import JOBS
from modelward_evaluate.job import VARIABLE, main
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until
from nodeless.training import FakeMonitors, Policy
from unit.evaluate.lakes import Lake, prediction

pytestmark = pytest.mark.api

PARITY: dict[str, Any] = {
    "features": {"uri": "s3://lake/features", "key": "user", "time": "since"}, "every": "31d", "delay": "0s",
}  # fmt: skip
LOG: dict[str, Any] = {"monitor": {}, "predictionLog": {"uri": "s3://lake/predictions"}}
QUALITY = {"task": {"kind": "Classes", "label": "output.label"}, "every": "31d", "metrics": [{"name": "accuracy"}]}


def comparing(policy: Policy) -> list[str]:
    """The Jobs that compare features, the first first."""
    return [each["metadata"]["name"] for each in policy.jobs() if each["metadata"]["name"].endswith("-parity")]


async def asked_for(policy: Policy, count: int) -> str:
    await until(lambda: len(comparing(policy)) == count, f"check {count}")
    running = set(policy.running())
    (name,) = [each for each in comparing(policy) if each in running]
    return name


def found_out(policy: Policy, job: str, folder: Path, wrong: int, of: int = 400) -> str:
    """What the evaluator says, run as the Job asks for it: `wrong` of `of` customers have another amount."""
    folder.mkdir()
    body = policy.cluster.request("GET", JOBS.path(policy.namespace, job))
    (only,) = body["spec"]["template"]["spec"]["containers"]
    asked = json.loads(next(each["value"] for each in only["env"] if each["name"] == VARIABLE))
    time = datetime.fromisoformat(asked["parity"]["end"]) - timedelta(hours=1)
    lake, offline = Lake(folder), folder / "features"
    lake.predict(
        [
            prediction(each, time=time, key=f"u{each}", **{"input.amount": float(each + (each < wrong))})
            for each in range(of)
        ], asked["revision"],
    )  # fmt: skip
    offline.mkdir()
    rows = [
        {"user": f"u{each}", "since": time - timedelta(days=3), "amount": float(each)} for each in range(of)
    ]  # fmt: skip
    parquet.write_table(pa.Table.from_pylist(rows), offline / "f.parquet")
    asked["parity"]["predictions"] = {
        "path": str(lake.log / f"v1/namespace=ml/model=fraud/revision={asked['revision']}")
    }
    asked["parity"]["features"]["path"] = str(offline)
    assert main({VARIABLE: json.dumps(asked)}, folder / "message") == 0
    return (folder / "message").read_text()


def is_told(policy: Policy, status: str, reason: str, words: str = "") -> bool:
    found = policy.condition("FeatureParity")
    return (found["status"], found["reason"]) == (status, reason) and words in found["message"]


async def test_features_that_are_not_those_of_training_are_seen_and_no_model_is_trained_by_them(
    cluster: Cluster, model: Model, policy: Policy, tmp_path: Path
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        model.apply(**LOG)
        await until(model.is_ready, "the model")
        policy.apply(parity=PARITY, quality=QUALITY)
        job = await asked_for(policy, 1)
        await until(lambda: is_told(policy, "Unknown", "Waiting"), "that it compares")
        body = cluster.request("GET", JOBS.path(model.namespace, job))
        assert body["metadata"]["ownerReferences"][0]["kind"] == "DriftPolicy"
        await until(lambda: len(policy.running()) == 2, "the Job of quality, beside it")
        policy.succeed(job, found_out(policy, job, tmp_path / "a", wrong=0))
        await until(lambda: is_told(policy, "True", "Equal"), "that they are equal")
        policy.apply(parity={**PARITY, "threshold": "0.05"}, quality=QUALITY)
        job = await asked_for(policy, 2)
        policy.succeed(job, found_out(policy, job, tmp_path / "b", wrong=100))
        words = "input.amount is unequal to amount in 25.0%"
        await until(lambda: is_told(policy, "False", "Unequal", words), "that they are not")
        (column,) = policy.target()["parity"]["columns"]
        assert (column["unequal"], column["rows"], column["breached"]) == (100, 400, True)
        assert column["since"]
        assert "examples" not in policy.target()["parity"]
        await until(lambda: "FeaturesUnequal" in model.events(), "the Event")
        assert "FeaturesEqual" in model.events()
        header, row = cluster.kubectl("get", "dp", "-n", model.namespace).splitlines()
        at = header.index("PARITY")
        assert row[at:].startswith("False")
        assert policy.objects() == [], "a model of the same pipeline would be asked the same"
        (quality,) = [each for each in policy.running() if each.endswith("-quality")]
        policy.apply(quality=QUALITY)
        await until(lambda: not comparing(policy), "none left")
        await until(lambda: policy.condition("FeatureParity")["status"] == "", "no condition either")
        assert quality in policy.running(), "the other's goes on"


async def test_what_keeps_them_from_being_compared_is_told_with_its_cure(
    cluster: Cluster, model: Model, policy: Policy, tmp_path: Path
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        model.apply(monitor={})
        await until(model.is_ready, "the model")
        policy.apply(parity=PARITY)
        await until(
            lambda: is_told(policy, "Unknown", "NoPredictionLog", "write spec.predictionLog"), "that there is no log"
        )
        model.apply(**LOG)
        await until(model.is_ready, "the model")
        job = await asked_for(policy, 1)
        policy.fail(job, "features: there is no column 'user', but customer")
        await until(lambda: is_told(policy, "Unknown", "EvaluationFailed", "no column 'user'"), "the error of the Job")
        policy.apply(parity={**PARITY, "days": 2})
        job = await asked_for(policy, 2)
        policy.succeed(job, found_out(policy, job, tmp_path / "a", wrong=0).replace("modelward", "nonsense"))
        await until(lambda: is_told(policy, "Unknown", "EvaluationFailed", "can't be read"), "that nobody can read it")


async def dies_twice(cluster: Cluster) -> None:
    for writes in (1, 2):
        async with operator(cluster, monitors=FakeMonitors(), dies_after=writes, after_crash=True) as one:
            api = one.api
            await until(lambda api=api: bool(api.dead), f"its end after {writes} writes")  # type: ignore[misc]


async def test_a_crash_at_any_write_makes_no_second_job(
    cluster: Cluster, model: Model, policy: Policy, tmp_path: Path
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        model.apply(**LOG)
        await until(model.is_ready, "the model")
    policy.apply(parity=PARITY)
    await dies_twice(cluster)
    async with operator(cluster, monitors=FakeMonitors(), after_crash=True):
        job = await asked_for(policy, 1)
        policy.succeed(job, found_out(policy, job, tmp_path / "a", wrong=100))
        await until(lambda: is_told(policy, "False", "Unequal"), "the result")
        assert len(comparing(policy)) == 1
        labels = cluster.request("GET", JOBS.path(model.namespace, job))["metadata"]["labels"]
        assert labels[names.LABEL_COMPONENT] == names.COMPONENT_EVALUATION
