"""BatchInference on a real API server: what it refuses to store, and runs from their beginning to their end.

The ends of Jobs and what their pods say are pretended, because no pod runs on a bare API server; the e2e tier has real
ones that score.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from modelward.api import names
from modelward.kube.resources import BATCH_INFERENCES, EVENTS, JOBS, PODS
from nodeless.cluster import REPOSITORY, Cluster
from nodeless.kubelet import MERGE
from nodeless.model import S3 as MODELS
from nodeless.model import Model, condition
from nodeless.operator_process import operator, until
from nodeless.specs import check_refused, check_taken
from nodeless.training import container, terminated

pytestmark = pytest.mark.api

S3 = "s3://models/churn/3/model.onnx"
LAKE: dict[str, Any] = {
    "input": {"uri": "s3://lake/churn/"}, "output": {"uri": "s3://lake/scored/"}, "keys": ["customer"],
}  # fmt: skip

TABLE = {"url": "postgres://db.example.com:5432/crm", "name": "customers"}


def spec_of(**given: Any) -> dict[str, Any]:
    return {name: each for name, each in ({"model": {"uri": S3}} | LAKE | given).items() if each is not None}


def template(**pod: Any) -> dict[str, Any]:
    return spec_of(template={"spec": pod})


def table(**given: Any) -> dict[str, Any]:
    return spec_of(input={"table": TABLE | given})


def score(**given: Any) -> dict[str, Any]:
    return template(containers=[{"name": "score", **given}], volumes=[{"name": "data", "emptyDir": {}}])


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no model": (spec_of(model={}), "spec.model: write modelDeployment (a name) or uri (an address)"),
    "two models": (spec_of(model={"uri": S3, "modelDeployment": "churn"}), "one of them"),
    "the digest of a ModelDeployment": (
        spec_of(model={"modelDeployment": "churn", "digest": "sha256:" + "a" * 64}), "says them itself",
    ),
    "another format than its end": (spec_of(model={"uri": S3, "format": "sklearn"}), "promises another format"),
    "plain http": (spec_of(model={"uri": "http://models/a.onnx"}), "plain http:// can be tampered with"),
    "credentials for https": (
        spec_of(model={"uri": "https://models/a.onnx", "credentialsSecret": {"name": "s"}}), "only s3:// and oci://",
    ),
    "an input of another kind": (spec_of(input={"uri": "https://lake/churn.csv"}), "start it with s3:// or pvc://"),
    "a file of the pod": (spec_of(input={"uri": "file:///etc/passwd"}), "start it with s3:// or pvc://"),
    "a way out of a claim": (spec_of(input={"uri": "pvc://lake/../other"}), "'.' and '..' are not allowed"),
    "a way out of a folder": (spec_of(output={"uri": "s3://lake/a/../b/"}), "'.' and '..' are not allowed"),
    "a coded way out": (spec_of(input={"uri": "pvc://lake/%2e%2e/other"}), "'?', '#' and '%' are not allowed"),
    "a query": (spec_of(input={"uri": "s3://lake/a.csv?versionId=1"}), "'?', '#' and '%' are not allowed"),
    "a blank": (spec_of(input={"uri": "s3://lake/a b.csv"}), "it contains white space"),
    "a bucket alone": (spec_of(input={"uri": "s3://lake"}), "name a bucket (3 to 63"),
    "a claim alone": (spec_of(output={"uri": "pvc://lake/"}), "name a PersistentVolumeClaim of this namespace"),
    "an output that is no folder": (spec_of(output={"uri": "s3://lake/scored"}), "write a / at its end"),
    "an output among the rows": (spec_of(output={"uri": "s3://lake/churn/out/"}), "it lies in spec.input.uri"),
    "a long name": (spec_of(columns={"n" * 257: "a"}), "write names of at most 256 characters"),
    "another format": (spec_of(input={"uri": "s3://lake/a.json", "format": "json"}), "write parquet or csv"),
    "neither files nor a table": (spec_of(input={}), "write uri (files) or table (of a database), one of them"),
    "both": (spec_of(input={"uri": "s3://lake/in/", "table": TABLE}), "write uri (files) or table (of a database)"),
    "the format of a table": (spec_of(input={"table": TABLE, "format": "csv"}), "a table has none"),
    "a database in a file": (table(url="duckdb:///input/lake.duckdb"), "start it with postgres://, snowflake://"),
    "a password in an address": (table(url="postgres://me:secret@db/crm"), "leave the password out"),
    "the operator's own keys for a database": (
        table(credentialsSecret={"name": "modelward-operator-keys"}), "the operator's own keys open no database",
    ),
    "a container of the name of the one that reads": (
        table() | {"template": {"spec": {"initContainers": [{"name": "table", "image": "own:1"}]}}},
        "table is the operator's own where rows are of a table",
    ),
    "a login of a store for a table and a claim": (
        table() | {"output": {"uri": "pvc://lake/out/"}, "credentialsSecret": {"name": "store"}},
        "spec.credentialsSecret: only s3:// reads credentials",
    ),
    "no keys": (spec_of(keys=[]), "spec.keys"),
    "a share of more than all": (spec_of(maxRejectedShare="101%"), "write a percentage from 0% to 100%"),
    "a share without its sign": (spec_of(maxRejectedShare="0.5"), "write a percentage from 0% to 100%"),
    "a login that nobody reads": (
        spec_of(
            input={"uri": "pvc://lake/in/"}, output={"uri": "pvc://lake/out/"}, credentialsSecret={"name": "store"}
        ),
        "spec.credentialsSecret: only s3:// reads credentials",
    ),
    "the operator's own keys": (
        spec_of(credentialsSecret={"name": "modelward-operator-keys"}), "the operator's own keys open no store",
    ),
    "six fields": (spec_of(schedule={"cron": "0 0 2 * * *"}), "write five fields"),
    "another policy": (
        spec_of(schedule={"cron": "0 2 * * *", "concurrencyPolicy": "Replace"}), "runs of one batch never overlap",
    ),
    "no time at all to begin": (
        spec_of(schedule={"cron": "0 2 * * *", "startingDeadlineSeconds": 0}), "write a number from 10",
    ),
    "no pods": (spec_of(parallelism=0), "spec.parallelism: write a number from 1 to 100"),
    "too many": (spec_of(parallelism=101), "spec.parallelism: write a number from 1 to 100"),
    "endless retries": (spec_of(retries=1000), "spec.retries: write a number from 0 to 20"),
    "a deadline of days": (spec_of(deadline="3d"), "write a duration from 30s to 744h"),
    "a deadline of a second": (spec_of(deadline="1s"), "write a duration from 30s to 744h"),
    "no time to live": (spec_of(ttl="0s"), "write a duration such as 12h or 7d"),
    "a long history": (spec_of(historyLimit=10), "spec.historyLimit: write a number from 0 to 9"),
    "a memory without its unit": (spec_of(resources={"limits": {"memory": "512"}}), "did you forget the unit?"),
    "the node": (template(hostNetwork=True), "spec.template.spec"),
    "a second container": (
        template(containers=[{"name": "proxy", "image": "proxy:1"}]), "make a sidecar an init container with",
    ),
    "another command": (score(command=["sh"]), "only image, imagePullPolicy, env and volumeMounts can be set"),
    "a probe": (score(startupProbe={"periodSeconds": 5}), "only image, imagePullPolicy, env and volumeMounts"),
    "its own variable": (score(env=[{"name": "MODELWARD_BATCH", "value": "{}"}]), "operator's own or the interpreter"),
    "the folder of the rows": (
        score(volumeMounts=[{"name": "data", "mountPath": "/input"}]), "the operator's own folders lie there",
    ),
    "an init container of the operator's name": (
        template(initContainers=[{"name": "score", "image": "own:1"}]), "are names of the operator's own",
    ),
    "an image for a ModelDeployment's model": (
        {**score(image="own:1"), "model": {"modelDeployment": "churn"}}, "its pods have the image that this one names",
    ),
    "the claim that is written to": (
        spec_of(
            output={"uri": "pvc://lake/out/"},
            template={"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "lake"}}]}},
        ),
        "the operator's own container writes to this claim",
    ),
    "rules of drift that nothing is judged by": (
        spec_of(drift={"mode": "Ignore", "rules": {"minSamples": 9}}), "mode Ignore judges by no rules",
    ),
    "another mode": (spec_of(drift={"mode": "Retrain"}), "spec.drift.mode: write Judge or Ignore"),
    "another metric": (
        spec_of(drift={"rules": {"features": {"default": {"metric": "magic"}}}}),
        "spec.drift.rules.features: write the metric",
    ),
    "no threshold": (
        spec_of(drift={"rules": {"features": {"overrides": [{"name": "age", "threshold": "much"}]}}}),
        "spec.drift.rules.features: write the threshold as a number in quotes",
    ),
    "no share": (
        spec_of(drift={"rules": {"features": {"dataQuality": {"missing": "0.05"}}}}), "write a percentage from 0% to",
    ),
    "no budget": (spec_of(drift={"rules": {"falseAlarms": {"maxPer30Days": "0"}}}), "write a number above 0"),
    "no rows": (spec_of(drift={"rules": {"minSamples": 0}}), "spec.drift.rules.minSamples: write a number from 1"),
}  # fmt: skip

GOOD: dict[str, dict[str, Any]] = {
    "the least": spec_of(),
    "the example": yaml.safe_load((REPOSITORY / "examples/batch-churn.yaml").read_text())["spec"],
    "a folder beside the rows": spec_of(output={"uri": "s3://lake/churn-scored/"}),
    "a ModelDeployment": spec_of(model={"modelDeployment": "churn"}),
    "a table": table(schema="sales", credentialsSecret={"name": "crm-login"}) | {"credentialsSecret": {"name": "lake"}},
    "the example of a table": yaml.safe_load((REPOSITORY / "examples/batch-table.yaml").read_text())["spec"],
    "an own container of that name beside files": template(
        initContainers=[{"name": "table", "image": "own:1", "restartPolicy": "Always"}]
    ),
    "an alias": spec_of(model={"uri": "models:/churn@champion", "registry": "mlflow"}),
    "everything": spec_of(
        model={"uri": S3, "format": "onnx", "digest": "sha256:" + "a" * 64, "credentialsSecret": {"name": "models"}},
        input={"uri": "pvc://lake/churn/today.parquet", "format": "parquet"}, columns={"amount": "amount_eur"},
        maxRejectedShare="0.5%", credentialsSecret={"name": "lake"}, serviceAccountName="cloud",
        schedule={
            "cron": "0 2 * * 1-5", "timeZone": "Europe/Berlin", "startingDeadlineSeconds": 3600,
            "concurrencyPolicy": "Forbid", "suspend": True,
        },
        drift={
            "mode": "Judge",
            "rules": {
                "minSamples": 1000, "falseAlarms": {"maxPer30Days": "0.1"},
                "features": {
                    "default": {"metric": "js", "threshold": "0.1"}, "ignore": ["id"], "outputs": "Ignore",
                    "overrides": [{"name": "age", "metric": "ks", "threshold": "0.2"}],
                    "dataQuality": {"missing": "5%", "newCategories": "1%", "outOfRange": "1%", "typeErrors": "0%"},
                },
            },
        },
        parallelism=8, retries=0, deadline="6h", ttl="7d", historyLimit=0,
        resources={"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        template={
            "metadata": {"labels": {"team": "risk"}},
            "spec": {
                "nodeSelector": {"pool": "batch"},
                "containers": [{"name": "score", "image": "own:1", "env": [{"name": "OMP_NUM_THREADS", "value": "2"}]}],
                "initContainers": [{"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"}],
            },
        },
    ),
}  # fmt: skip


def body_of(spec: dict[str, Any], name: str = "nightly", namespace: str = "default", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "modelward.io/v1alpha1", "kind": "BatchInference",
        "metadata": {"name": name, "namespace": namespace, **metadata}, "spec": spec,
    }  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_batch_is_refused_with_the_right_sentence(cluster: Cluster, case: str) -> None:
    check_refused(cluster, BAD[case], "BatchInference")


@pytest.mark.parametrize("case", GOOD)
def test_a_good_batch_is_taken(cluster: Cluster, case: str) -> None:
    check_taken(cluster, GOOD[case], "BatchInference")


def test_a_name_that_is_too_long_for_its_jobs_is_refused(cluster: Cluster) -> None:
    taken, answer = cluster.create(body_of(spec_of(), "n" * 41), "default", dry_run=True)
    assert not taken
    assert "use at most 40 characters" in answer


class Batch:
    """The BatchInference `nightly` of a namespace, and the pretended ends of its Jobs' pods."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def apply(self, **given: Any) -> None:
        spec = spec_of(**({"model": {"modelDeployment": "fraud"}} | given))
        self.cluster.apply(body_of(spec, namespace=self.namespace), self.namespace)

    def get(self) -> Any:
        return self.cluster.request("GET", BATCH_INFERENCES.path(self.namespace, "nightly"))

    def status(self) -> Any:
        return self.get().get("status", {})

    def phase(self) -> str:
        return str(self.status().get("phase"))

    def condition(self, kind: str) -> Any:
        return condition(self.get(), kind)

    def jobs(self) -> list[Any]:
        found = self.cluster.request("GET", JOBS.path(self.namespace))["items"]
        own = [each for each in found if each["metadata"]["labels"].get(names.LABEL_BATCH) == "nightly"]
        return sorted(own, key=lambda each: each["metadata"]["creationTimestamp"])

    def running(self) -> str | None:
        """The Job that goes on, once status tells of it."""
        active = self.status().get("active", {}).get("name")
        there = {each["metadata"]["name"] for each in self.jobs()}
        return active if active in there else None

    def request(self, value: str) -> None:
        self.cluster.kubectl(
            "annotate", "bi", "nightly", "-n", self.namespace, f"modelward.io/run={value}", "--overwrite"
        )

    def pod(self, job: str, index: int, code: int, message: Any) -> None:
        """One of the Job's pods, which has ended."""
        body = self.cluster.request("GET", JOBS.path(self.namespace, job))
        owner = {
            "apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": body["metadata"]["uid"], "controller": True,
        }  # fmt: skip
        pod_template, name = body["spec"]["template"], f"{job}-{index}"
        labels = pod_template["metadata"]["labels"] | {"batch.kubernetes.io/job-completion-index": str(index)}
        pod = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]}, "spec": pod_template["spec"],
        }  # fmt: skip
        self.cluster.request("POST", PODS.path(self.namespace), pod)
        said = container("score", terminated(code, json.dumps(message)))
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [said]}
        self.cluster.request("PATCH", PODS.path(self.namespace, name, "status"), {"status": status}, MERGE)

    def end(self, job: str, *kinds: str, reason: str = "Done", **status: Any) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": kind, "status": "True", "reason": reason, "message": f"it is {reason}", "lastTransitionTime": now}
            for kind in kinds
        ]
        told = {"startTime": now, **status, "conditions": conditions}
        path = JOBS.path(self.namespace, job, "status")
        self.cluster.request("PATCH", path, {"status": told}, MERGE)

    def succeed(self, job: str, *rows: int, drift: Any = None) -> None:
        """Each pod has scored so many rows, and the last has written the manifest, and tells of drift."""
        for index, each in enumerate(rows):
            last = index == len(rows) - 1
            done = {"rows": each, "rejected": 1, "units": 1, "seconds": 1.0, "complete": last}
            done |= {"drift": drift} if last and drift else {}
            self.pod(job, index, 0, done)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        indexes = f"0-{len(rows) - 1}" if len(rows) > 1 else "0"
        self.end(
            job, "SuccessCriteriaMet", "Complete", succeeded=len(rows), completedIndexes=indexes, completionTime=now
        )

    def refuse(self, job: str, problem: str) -> None:
        """Its rows can't be scored."""
        self.pod(
            job, 0, 3, {"rows": 0, "rejected": 0, "units": 0, "seconds": 0.1, "complete": False, "problem": problem}
        )
        self.end(job, "FailureTarget", "Failed", reason="PodFailurePolicy", failed=1)

    def events(self) -> list[str]:
        listed = self.cluster.request("GET", EVENTS.path(self.namespace))["items"]
        return [each["reason"] for each in listed if each["involvedObject"]["kind"] == "BatchInference"]


@pytest.fixture
def batch(cluster: Cluster, namespace: str) -> Batch:
    return Batch(cluster, namespace)


def pinned(version: int = 1) -> dict[str, str]:
    """With a digest: no pod is there to say which it fetched."""
    return {"uri": MODELS.format(version), "digest": "sha256:" + str(version) * 64}


def asked(job: Any) -> Any:
    """What its pods are told."""
    (score,) = job["spec"]["template"]["spec"]["containers"]
    (value,) = [each["value"] for each in score["env"] if each["name"] == "MODELWARD_BATCH"]
    return json.loads(value)


DRIFT: dict[str, Any] = {
    "verdict": "Drifted", "reason": "Drifted", "message": "age: psi 0.4: 29 % are missing, before 0.1 %", "rows": 10,
    "judged": 3, "drifted": 1, "features": [{"name": "age", "metric": "psi", "value": 0.4}],
}  # fmt: skip


async def test_a_batch_is_run_once_by_the_stable_revision_that_it_keeps(model: Model, batch: Batch) -> None:
    async with operator(batch.cluster) as one:
        batch.apply(parallelism=2)
        await until(lambda: batch.condition("Stalled")["reason"] == "ModelMissing", "that there is no model")
        model.apply(model=pinned())
        await until(model.is_ready, "the model")
        job = await until(batch.running, "a run")
        (body,) = batch.jobs()
        first = model.stable()["revision"]
        assert asked(body)["model"]["revision"] == first
        assert asked(body)["run"] == job
        assert (body["spec"]["completionMode"], body["spec"]["backoffLimitPerIndex"]) == ("Indexed", 3)
        assert body["metadata"]["ownerReferences"][0]["uid"] == batch.get()["metadata"]["uid"]
        assert (batch.phase(), batch.condition("Ready")["status"]) == ("Running", "False")
        model.apply(model=pinned(2))
        await until(model.is_second, "another version that is promoted meanwhile")
        assert batch.status()["active"]["model"]["revision"] == first
        batch.succeed(job, 100, 50)
        await until(lambda: batch.phase() == "Complete", "its end")
        status = batch.status()
        assert (status["rows"], status["rejected"], "active" in status) == (150, 2, False)
        (ended,) = status["runs"]
        assert (ended["result"], ended["model"]["revision"], ended["output"]) == (
            "Succeeded", first, f"s3://lake/scored/{job}/",
        )  # fmt: skip
        assert {kind: batch.condition(kind)["status"] for kind in ("Ready", "Reconciling", "Stalled", "Complete")} == {
            "Ready": "True", "Reconciling": "False", "Stalled": "False", "Complete": "True",
        }  # fmt: skip
        row = batch.cluster.kubectl("get", "bi", "-n", batch.namespace, "--no-headers").split()
        assert row[:5] == ["nightly", "fraud", "Complete", "150", "2"], "without a version, which no registry told"
        assert set(batch.events()) >= {"Stalled", "RunStarted", "RunSucceeded"}
        await until(one.is_idle, "that there is nothing to do")
        writes = one.api.writes
        batch.apply(parallelism=3)
        await until(lambda: batch.status()["observedGeneration"] == batch.get()["metadata"]["generation"], "the edit")
        assert len(batch.jobs()) == 1, "which is not about what is scored"
        assert one.api.writes == writes + 1
        batch.request("again")
        again = await until(batch.running, "another run")
        assert asked(batch.jobs()[-1])["model"]["revision"] == model.stable()["revision"] != first
        assert (again != job, batch.status()["active"]["trigger"]) == (True, "Request")


async def test_rows_that_cant_be_scored_are_told_in_the_pods_own_words(model: Model, batch: Batch) -> None:
    async with operator(batch.cluster):
        model.apply(model=pinned())
        await until(model.is_ready, "the model")
        batch.apply()
        job = await until(batch.running, "a run")
        batch.refuse(job, "s3://lake/churn/a.parquet has no column age; add it")
        await until(lambda: batch.phase() == "Failed", "its end")
        stalled = batch.condition("Stalled")
        assert (stalled["reason"], batch.condition("Complete")["status"]) == ("InputRefused", "False")
        assert "has no column age; add it" in stalled["message"]
        assert "RunFailed" in batch.events()
        batch.request("again")
        again = await until(batch.running, "another run")
        assert batch.condition("InputDrift")["reason"] == "NoRunYet"
        assert asked(batch.jobs()[-1])["drift"]["window"] == {"duration": "86400s", "minSamples": 500}
        batch.succeed(again, 10, drift=DRIFT)
        await until(lambda: batch.phase() == "Complete", "its end")
        drift = batch.condition("InputDrift")
        assert (drift["status"], drift["reason"]) == ("True", "Drifted")
        assert drift["message"] == f"{again}: age: psi 0.4: 29 % are missing, before 0.1 %. By the default rules"
        assert batch.status()["runs"][0]["drift"]["features"] == [
            {"name": "age", "metric": "psi", "value": "0.4", "rows": 0}
        ]
        assert "DriftDetected" in batch.events()
        assert [each["result"] for each in batch.status()["runs"]] == ["Succeeded", "Failed"]


async def test_a_crash_at_any_write_starts_no_second_run_and_loses_no_end(model: Model, batch: Batch) -> None:
    async with operator(batch.cluster):
        model.apply(model=pinned())
        await until(model.is_ready, "the model")
    batch.apply()
    for writes in (1, 2):
        async with operator(batch.cluster, dies_after=writes, after_crash=True) as one:
            await until(lambda one=one: one.api.dead, f"its end after {writes} writes")
    async with operator(batch.cluster, after_crash=True):
        job = await until(batch.running, "a run")
        assert len(batch.jobs()) == 1
    batch.succeed(job, 100)
    async with operator(batch.cluster, dies_after=1) as one:
        await until(lambda: one.api.dead, "its end after the first write")
    async with operator(batch.cluster, after_crash=True) as one:
        await until(lambda: batch.phase() == "Complete", "the end of the run")
        await until(one.is_idle, "that there is nothing to do")
        assert [each["name"] for each in batch.status()["runs"]] == [job]
        assert sorted(batch.events()) == ["RunStarted", "RunSucceeded"]
        assert [each["metadata"]["name"] for each in batch.jobs()] == [job]


async def test_a_schedule_begins_a_run_at_each_of_its_times_and_keeps_a_few_jobs(model: Model, batch: Batch) -> None:
    ahead = [0.0]

    def now() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=ahead[0])

    async with operator(batch.cluster, now=now):
        model.apply(model=pinned())
        await until(model.is_ready, "the model")
        batch.apply(schedule={"cron": "0 2 * * *"}, historyLimit=1)
        await until(lambda: batch.phase() == "Scheduled", "that it is scheduled")
        assert batch.jobs() == []
        assert batch.condition("Ready")["status"] == "True"
        following = batch.status()["nextRunTime"]
        assert following.endswith("T02:00:00Z")
        ends = []
        for day in (1, 2, 3):
            ahead[0] = day * 86400.0
            batch.cluster.kubectl("annotate", "bi", "nightly", "-n", batch.namespace, f"look={day}", "--overwrite")
            job = await until(batch.running, f"the run of day {day}")
            assert batch.status()["nextRunTime"] > following
            batch.succeed(job, 10)
            await until(lambda day=day: len(batch.status().get("runs", ())) == day, "its end")
            ends.append(job)
        assert len(set(ends)) == 3
        await until(lambda: [each["metadata"]["name"] for each in batch.jobs()] == ends[-1:], "one Job that is kept")
        assert [each["trigger"] for each in batch.status()["runs"]] == ["Schedule"] * 3


async def test_a_job_that_somebody_deletes_is_told_and_not_made_again(model: Model, batch: Batch) -> None:
    async with operator(batch.cluster) as one:
        model.apply(model=pinned())
        await until(model.is_ready, "the model")
        batch.apply()
        job = await until(batch.running, "a run")
        batch.cluster.request("DELETE", JOBS.path(batch.namespace, job), {"propagationPolicy": "Background"})
        await until(lambda: batch.condition("Stalled")["reason"] == "JobDeleted", "that it is gone")
        await until(one.is_idle, "that there is nothing to do")
        assert batch.jobs() == []


async def test_a_quota_is_told_of(model: Model, batch: Batch) -> None:
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": {"count/jobs.batch": "0"}}, "status": {"hard": {"count/jobs.batch": "0"}},
    }  # fmt: skip
    async with operator(batch.cluster):
        model.apply(model=pinned())
        await until(model.is_ready, "the model")
        path = f"/api/v1/namespaces/{batch.namespace}/resourcequotas"
        batch.cluster.request("POST", path, quota)
        told = {"status": {"hard": {"count/jobs.batch": "0"}, "used": {"count/jobs.batch": "0"}}}
        batch.cluster.request("PATCH", f"{path}/none/status", told, MERGE)
        batch.apply()
        await until(lambda: batch.condition("Stalled")["reason"] == "JobRefused", "that no Job may be made")
        assert "exceeded quota" in batch.condition("Stalled")["message"]
        batch.cluster.request("DELETE", f"{path}/none")
        batch.cluster.kubectl("annotate", "bi", "nightly", "-n", batch.namespace, "look=again")
        await until(batch.running, "a run")
