"""DriftPolicies that the real API server must refuse with the right sentence, and those that it must take."""

import json
from typing import Any

import pytest

from nodeless.cluster import Cluster
from nodeless.specs import check_refused, check_taken, create

Object = dict[str, Any]
POD: Object = {"spec": {"containers": [{"name": "train", "image": "train:1", "env": [{"name": "A", "value": "b"}]}]}}


def policy(**fields: Any) -> Object:
    return {"target": {"name": "fraud"}, **fields}


def features(**fields: Any) -> Object:
    return policy(features=fields)


def retrain(**fields: Any) -> Object:
    return policy(retrain={"job": {"template": {"spec": {"template": POD}}}, **fields})


def job(**spec: Any) -> Object:
    return policy(retrain={"job": {"template": {"spec": {"template": POD, **spec}}}})


def pod(**spec: Any) -> Object:
    return job(template={"spec": {**POD["spec"], **spec}})


def webhook(url: str = "https://ci.example.com/hook", secret: Any = None) -> Object:
    return policy(retrain={"webhook": {"url": url, "secretRef": secret or {"name": "key"}}})


def pipeline(kind: str, **fields: Any) -> Object:
    return policy(retrain={kind: {**PIPELINES[kind], **fields}})


PIPELINES: dict[str, Object] = {
    "airflow": {"url": "https://airflow.example.com", "dag": "retrain", "secretRef": {"name": "key"}},
    "prefect": {"url": "http://prefect.ml.svc:4200/api", "deployment": "retrain/production"},
    "github": {"repository": "acme/models", "workflow": "retrain.yml", "secretRef": {"name": "key"}},
    "jenkins": {"url": "https://ci.example.com/jenkins", "job": "models/retrain fraud", "secretRef": {"name": "key"}},
    "argoWorkflow": {"template": "retrain", "serviceAccountName": "train"},
    "kubeflow": {"url": "http://ml-pipeline.kubeflow.svc:8888", "pipeline": "retrain fraud", "namespace": "team-a"},
}


def schedule(cron: str, **fields: Any) -> Object:
    return {**retrain(), "schedule": {"cron": cron, **fields}}


CLASSES = {"kind": "Classes", "label": "output.label", "positive": "1", "score": "output.probabilities[1]"}


TABLE: Object = {"url": "postgres://db.example.com:5432/claims", "name": "chargebacks", "schema": "risk"}


def parity(features: Object | None = None, **fields: Any) -> Object:
    return policy(parity={"features": {"uri": "s3://lake/features"} if features is None else features, **fields})


def quality(task: Object | None = None, **fields: Any) -> Object:
    return policy(quality={"task": CLASSES if task is None else task, **fields})


BAD: dict[str, tuple[Object, str]] = {
    "features of nowhere": (parity({}), "spec.parity.features: write uri (files) or table"),
    "features of two places": (parity({"uri": "s3://lake/f", "table": TABLE}), "write uri (files) or table"),
    "features by http": (parity({"uri": "https://x/y"}), "spec.parity.features.uri: start it with s3://"),
    "features of a parent": (parity({"uri": "pvc://c/../x"}), "write a plain path"),
    "features by a password": (
        parity({"table": {**TABLE, "url": "postgres://me:hunter2@db/f"}}), "leave the password out",
    ),
    "features in a claim by a Secret": (
        parity({"uri": "pvc://c/x", "credentialsSecret": {"name": "s"}}), "spec.parity.features.credentialsSecret",
    ),
    "old features without a time": (parity({"uri": "s3://lake/f", "maxAge": "7d"}), "write time as well"),
    "parity at every minute": (parity(every="1m"), "spec.parity.every: write a period from 5m to 31d"),
    "two schedules of parity": (
        parity(every="24h", schedule={"cron": "0 2 * * *"}), "spec.parity: write every (a period) or schedule",
    ),
    "a threshold of everything": (parity(threshold="1"), "spec.parity.threshold: write a number from 0 to below 1"),
    "a tolerance in words": (parity(tolerance="little"), "spec.parity.tolerance: write a number from 0"),
    "a delay of days": (parity(delay="2d"), "spec.parity.delay: write a duration"),
    "a thousand examples": (parity(examples=1000), "spec.parity.examples: write a number from 0 to 5"),
    "quality of an unknown task": (quality({"kind": "Clusters"}), "write Classes, Numbers or Ranking"),
    "classes of no column": (quality({"kind": "Classes"}), "name the log's column with the label"),
    "a score of no label": (quality({"kind": "Classes", "score": "s"}), "write the label that the score is"),
    "numbers without a column": (quality({"kind": "Numbers"}), "spec.quality.task.value: name the log's column"),
    "a ranking without a score": (quality({"kind": "Ranking"}), "name the log's column that rows are ranked by"),
    "a label of numbers": (quality({"kind": "Numbers", "value": "v", "label": "l"}), "leave the others out"),
    "a metric of another task": (
        quality({"kind": "Numbers", "value": "v"}, metrics=[{"name": "rocAuc", "min": "0.8"}]),
        "write a metric of the task that has an interval",
    ),
    "a metric without an interval": (
        quality({"kind": "Numbers", "value": "v"}, metrics=[{"name": "r2"}]), "write a metric of the task that has an",
    ),
    "recall of no label": (
        quality({"kind": "Classes", "label": "l"}, metrics=[{"name": "recall"}]), "write it into spec.quality.task.pos",
    ),
    "an area without scores": (
        quality({"kind": "Classes", "label": "l"}, metrics=[{"name": "rocAuc"}]), "are made of scores: write the log's",
    ),
    "a worse bias": (
        quality({"kind": "Numbers", "value": "v"}, metrics=[{"name": "bias", "maxDegradation": "1"}]),
        "write min and max in place of maxDegradation",
    ),
    "a bound in words": (quality(metrics=[{"name": "f1", "min": "good"}]), "write a bound as a number in quotes"),
    "a negative fall": (quality(metrics=[{"name": "f1", "maxDegradation": "-1"}]), "a number in quotes, 0 or above"),
    "a label window of months": (quality(labelWindow="2M"), "write minutes, hours or days (up to 3650), such as 60d"),
    "two schedules of quality": (
        quality(every="24h", schedule={"cron": "0 2 * * *"}), "write every (a period) or schedule (cron)",
    ),
    "quality at every minute": (quality(every="1m"), "write a period from 5m to 31d"),
    "quality every year": (quality(every="365d"), "write a period from 5m to 31d"),
    "a cron of quality in words": (quality(schedule={"cron": "each night"}), "spec.quality.schedule.cron: write five"),
    "outcomes by http": (quality(outcomes={"uri": "https://x/y"}), "spec.quality.outcomes.uri: start it with s3://"),
    "outcomes of a table and of files": (
        quality(outcomes={"uri": "s3://lake/told", "table": TABLE}), "write uri (files) or table (of a database)",
    ),
    "a table with a password": (
        quality(outcomes={"table": {**TABLE, "url": "postgres://me:hunter2@db/claims"}}), "leave the password out",
    ),
    "a table in a file": (
        quality(outcomes={"table": {**TABLE, "url": "duckdb:///etc/passwd"}}), "start it with postgres://, snowflake://",
    ),
    "concept drift without days": (
        quality(concept={"referenceDays": 30, "days": 30}), "write more days than referenceDays",
    ),
    "concept drift by two days": (quality(concept={"referenceDays": 2}), "write a number from 3 to 366"),
    "a negative margin": (quality(concept={"margin": "-1"}), 'write a number in quotes, such as "0.01"'),
    "outcomes of a parent": (quality(outcomes={"uri": "pvc://c/../x"}), "write a plain path"),
    "keys of a claim": (
        quality(outcomes={"uri": "pvc://c/x", "credentialsSecret": {"name": "s"}}),
        "only s3:// and tables read credentials",
    ),
    "outcomes of a batch that clients would post": (
        quality(predictions={"batchInference": "nightly"}), "nobody posts outcomes of a batch; write where they are",
    ),
    "concept drift of a batch": (
        quality(predictions={"batchInference": "nightly"}, outcomes={"uri": "s3://lake/told"}, concept={}),
        "spec.quality.concept: a batch scores the same keys day after day",
    ),
    "a ranking of a batch's requests": (
        quality(
            {"kind": "Ranking", "score": "s"}, predictions={"batchInference": "n"}, outcomes={"uri": "s3://lake/told"}
        ),
        "spec.quality.task.group: rows of a batch are of no request",
    ),
    "a batch of no name": (
        quality(predictions={"batchInference": "../n"}, outcomes={"uri": "s3://lake/told"}),
        "write the name of a BatchInference",
    ),
    "absent numbers in words": (
        quality({"kind": "Numbers", "value": "v"}, outcomes={"absent": "none"}), "write a number in quotes, such",
    ),
    "a segment of nothing": (quality(segments=[{"name": "a"}]), "write column (of the log) or sql"),
    "a segment's name with a blank": (quality(segments=[{"name": "a b", "column": "c"}]), "write a name of letters"),
    "fairness of no group": (quality(fairness={}), "spec.quality.fairness: write column (of the log) or sql"),
    "fairness of no label": (
        quality({"kind": "Numbers", "value": "v"}, fairness={"column": "c"}), "groups are compared by how often one",
    ),
    "fairness as a segment is called": (
        quality(segments=[{"name": "Sex", "column": "c"}], fairness={"name": "sex", "column": "c"}),
        "a segment has this name; choose another one",
    ),
    "fairness of twelve people": (quality(fairness={"column": "c", "minGroupSize": 12}), "from 30 to 10000000"),
    "an unknown parity": (
        quality(fairness={"column": "c", "rules": [{"name": "justice"}]}), "write statisticalParity, equalOpportunity",
    ),
    "an evaluation in no memory": (quality(memory="100Mi"), "write a size from 1Gi to 256Gi"),
    "no target": ({}, "spec.target: Required value"),
    "an empty target": ({"target": {}}, "write name (one ModelDeployment) or selector (by labels)"),
    "two targets": (
        {"target": {"name": "a", "selector": {"matchLabels": {"a": "b"}}}}, "write name (one ModelDeployment) or",
    ),
    "a selector of nothing": ({"target": {"selector": {"matchLabels": {}}}}, "should have at least 1 properties"),
    "a selector with expressions": (
        {"target": {"selector": {"matchLabels": {"a": "b"}, "matchExpressions": []}}}, "unknown field",
    ),
    "a window without a unit": (policy(window={"duration": "60"}), "spec.window.duration: write a duration from 10s"),
    "a tiny window": (policy(window={"duration": "5s"}), "spec.window.duration: write a duration from 10s"),
    "a window of months": (policy(window={"duration": "2000h"}), "spec.window.duration: write a duration from 10s"),
    "a window of no rows": (policy(window={"minSamples": 0}), "spec.window.minSamples: write a number"),
    "an unknown metric": (features(default={"metric": "t_test"}), "write the metric psi, kl, js"),
    "an unknown metric of one": (features(overrides=[{"name": "a", "metric": "x"}]), "write the metric psi, kl, js"),
    "a threshold in words": (features(default={"threshold": "large"}), "write the threshold as a number in quotes"),
    "a bare threshold": (features(default={"threshold": 0.2}), "must be of type string"),
    "a negative threshold": (
        features(overrides=[{"name": "a", "threshold": "-1"}]), "write the threshold as a number in quotes",
    ),
    "a rule without a feature": (features(overrides=[{"metric": "psi"}]), "overrides[0].name: Required value"),
    "two rules of one feature": (features(overrides=[{"name": "a"}] * 2), "Duplicate value"),
    "ignored twice": (features(ignore=["a", "a"]), "Duplicate value"),
    "half the outputs": (features(outputs="Some"), "spec.features.outputs: write Judge or Ignore"),
    "a share without its sign": (features(dataQuality={"missing": "5"}), "write a percentage from 0% to 100%"),
    "more than all": (features(dataQuality={"typeErrors": "101%"}), "write a percentage from 0% to 100%"),
    "an unknown quality": (features(dataQuality={"duplicates": "5%"}), "unknown field"),
    "no false alarms at all": (policy(falseAlarms={"maxPer30Days": "0"}), "write a number above 0 and up to 30"),
    "nothing but false alarms": (policy(falseAlarms={"maxPer30Days": "50"}), "write a number above 0 and up to 30"),
    "false alarms as a number": (policy(falseAlarms={"maxPer30Days": 0.05}), "must be of type string"),
    "more windows than there are": (policy(persistence={"needed": 3, "windows": 2}), "needed is more than windows"),
    "more windows than the default": (policy(persistence={"needed": 2}), "needed is more than windows"),
    "no windows": (policy(persistence={"needed": 0, "windows": 0}), "spec.persistence.needed: write 1 or more"),
    "too many windows": (policy(persistence={"windows": 25}), "spec.persistence.windows: write a number from 1 to 24"),
    "an unknown action": (policy(actions={"inputs": "Page"}), "spec.actions: write Retrain, Warn or Hold"),
    "a schedule of nothing": (policy(schedule={"cron": "0 2 * * *"}), "say in spec.retrain what a run is"),
    "a schedule of four fields": (schedule("0 2 * * "), "write five fields"),
    "a schedule in words": (schedule("every night at two"), "write five fields"),
    "a schedule by name": (schedule("@midnight"), "write five fields"),
    "a time zone with a blank": (schedule("0 2 * * *", timeZone="Middle Europe"), "a name such as Europe/Berlin"),
    "no way to retrain": (policy(retrain={}), "spec.retrain: write job, webhook, airflow"),
    "two ways to retrain": (
        policy(retrain={**retrain()["retrain"], **webhook()["retrain"]}), "spec.retrain: write job, webhook, airflow",
    ),
    "an unknown apply": (retrain(apply="Ask"), "spec.retrain.apply: write Automatic or Manual"),
    "a cooldown in words": (retrain(cooldown="long"), "spec.retrain.cooldown: write a duration"),
    "no deadline": (retrain(deadline="0s"), "spec.retrain.deadline: write a duration up to 744h"),
    "no failures": (retrain(maxFailures=0), "spec.retrain.maxFailures: write a number from 1 to 100"),
    "a backoff of days": (retrain(backoff="48h"), "spec.retrain.backoff: write a duration up to 24h"),
    "a job without a pod": (policy(retrain={"job": {"template": {"spec": {}}}}), "spec.template: Required value"),
    "a pod without containers": (job(template={"spec": {}}), "containers: Required value"),
    "a container without an image": (pod(containers=[{"name": "a"}]), "containers[0].image: Required value"),
    "a pod that runs for ever": (pod(restartPolicy="Always"), "write Never or OnFailure"),
    "a job that is swept away": (job(ttlSecondsAfterFinished=1), "leave it out; the operator reads how a Job ended"),
    "a deadline of its own": (job(activeDeadlineSeconds=1), "leave it out, and write spec.retrain.deadline"),
    "a job that waits": (job(suspend=True), "leave it out, and write spec.suspend"),
    "two pipelines": (
        policy(retrain={name: PIPELINES[name] for name in ("airflow", "argoWorkflow")}), "or kubeflow, one of them",
    ),
    "a pipeline without a scheme": (pipeline("airflow", url="ci.example.com"), "write the address of the pipeline"),
    "a pipeline with a password": (pipeline("jenkins", url="https://me:word@ci"), "write the address of the pipeline"),
    "a pipeline's query": (pipeline("github", url="https://ci/?a=b"), "write the address of the pipeline"),
    "a pipeline that climbs": (pipeline("prefect", url="https://ci/a/../b"), "write the address of the pipeline"),
    "a DAG that climbs": (pipeline("airflow", dag="../x"), "spec.retrain.airflow.dag: write the id"),
    "a task that climbs": (pipeline("airflow", result={"task": ".."}), "spec.retrain.airflow.result.task"),
    "a deployment that climbs": (pipeline("prefect", deployment="retrain/.."), "spec.retrain.prefect.deployment"),
    "a deployment of three": (pipeline("prefect", deployment="a/b/c"), "write the id of a deployment"),
    "a parameter with a blank": (pipeline("prefect", parameter="a b"), "spec.retrain.prefect.parameter"),
    "a repository without an owner": (pipeline("github", repository="models"), "write owner/name"),
    "a repository that climbs": (pipeline("github", repository="acme/.."), "write owner/name"),
    "a workflow in its folder": (pipeline("github", workflow=".github/workflows/a.yml"), "without folders"),
    "a ref with a blank": (pipeline("github", ref="ma in"), "write a branch or a tag"),
    "a pipeline without a login": (
        policy(retrain={"github": {"repository": "acme/models", "workflow": "a.yml"}}), "secretRef: Required value",
    ),
    "a pipeline's bad secret": (pipeline("jenkins", secretRef={"name": "My_Key"}), "write the name of a Secret"),
    "a Jenkins job that climbs": (pipeline("jenkins", job="models/../admin"), "with its folders"),
    "an artifact that climbs": (pipeline("jenkins", result={"artifact": "../x"}), "write the path of an archived file"),
    "a template in upper case": (pipeline("argoWorkflow", template="Retrain"), "the name of a WorkflowTemplate"),
    "a Kubeflow pipeline that climbs": (pipeline("kubeflow", pipeline="../x"), "the name or the id of a pipeline"),
    "an experiment by its name": (pipeline("kubeflow", experiment="default" * 5 + "x"), "the id of an experiment"),
    "a namespace of none": (pipeline("kubeflow", namespace="Team_A"), "spec.retrain.kubeflow.namespace"),
    "a result told by nobody": (pipeline("github", result={"source": "Oracle"}), "write Run or Registry"),
    "a webhook without a scheme": (webhook("ci.example.com"), "spec.retrain.webhook.url: write an address"),
    "a webhook with credentials": (webhook("https://me:word@ci.example.com"), "write an address"),
    "a webhook with white space": (webhook("https://ci.example.com/a b"), "write an address"),
    "a webhook without a key": (policy(retrain={"webhook": {"url": "https://ci"}}), "secretRef: Required value"),
    "a bad secret": (webhook(secret={"name": "My_Key"}), "write the name of a Secret"),
    "a field that does not exist": (policy(windows={}), 'unknown field "spec.windows"'),
}  # fmt: skip

BAD_NAMES = ["3fraud", "fraud.v2", "a" * 41]

GOOD: dict[str, Object] = {
    "the least quality": quality({"kind": "Classes", "label": "output.label"}),
    "quality of a batch": quality(
        predictions={"batchInference": "churn-nightly", "key": "customer_id"},
        outcomes={"table": TABLE},
        segments=[{"name": "shop", "column": "shop"}],
    ),
    "the whole of quality": quality(
        outcomes={"uri": "s3://lake/told", "credentialsSecret": {"name": "s"}, "absent": "0"},
        labelWindow="60d",
        schedule={"cron": "0 2 * * *", "timeZone": "Europe/Berlin"},
        days=28,
        minSamples=1000,
        compare={"against": "Days", "days": 90},
        segments=[{"name": "large", "sql": "input.amount > 1000"}],
        metrics=[{"name": "rocAuc", "min": "0.8", "maxDegradation": "0.05"}, {"name": "logLoss", "max": "0.3"}],
        fairness={"name": "sex", "column": "input.sex", "rules": [{"name": "equalizedOdds", "minRatio": "0.8"}]},
        business={"expression": "outcome", "min": "-1.5"},
        memory="8Gi",
        deadline="30m",
    ),
    "the least parity": parity(),
    "the whole of parity": parity(
        {"uri": "s3://lake/f", "credentialsSecret": {"name": "s"}, "key": "id", "time": "t", "maxAge": "7d"},
        key="input.id",
        columns=[{"logged": "input.x", "feature": "x"}],
        tolerance="0",
        threshold="0.05",
        days=7,
        delay="0s",
        every="6h",
        examples=3,
        memory="4Gi",
        deadline="30m",
        history=5,
    ),
    "parity of a table, by the clock": parity({"table": TABLE}, schedule={"cron": "0 6 * * *"}),
    "quality of numbers": quality(
        {"kind": "Numbers", "value": "v"}, metrics=[{"name": "bias", "min": "-1", "max": "1"}]
    ),
    "quality of a ranking": quality({"kind": "Ranking", "score": "s", "k": 10}, metrics=[{"name": "ndcg"}]),
    "quality of a table": quality(
        outcomes={"table": TABLE, "credentialsSecret": {"name": "claims"}},
        concept={"margin": "0.01"},
    ),
    "quality by the hour": quality(every="6h", labelWindow="90m", outcomes={"uri": "pvc://told"}),
    "the least": policy(),
    "a selector": {"target": {"selector": {"matchLabels": {"team": "risk"}}}},
    "warn only": policy(actions={"inputs": "Warn", "outputs": "Warn", "dataQuality": "Warn"}),
    "a job": retrain(apply="Manual", cooldown="0s", deadline="30m", maxFailures=1, backoff="0s"),
    "a job with everything": job(
        backoffLimit=2,
        completions=1,
        podReplacementPolicy="Failed",
        template={"metadata": {"labels": {"a": "b"}}, "spec": {**POD["spec"], "nodeSelector": {"gpu": "yes"}}},
    ),
    **{f"a pipeline of {kind}": pipeline(kind) for kind in PIPELINES},
    "a GitHub of one's own": pipeline("github", url="https://github.acme.example/api/v3", ref="release/1.0"),
    "results from the registry": pipeline("jenkins", result={"source": "Registry"}),
    "an XCom by its name": pipeline("airflow", result={"task": "group.train", "key": "model"}),
    "a webhook": webhook("http://ci.example.com:8080/hooks/retrain?model=fraud"),
    "a schedule": schedule("*/15 0-6 * JAN,FEB MON-FRI", timeZone="America/Argentina/Buenos_Aires"),
    "everything": {
        **retrain(),
        "window": {"duration": "15m", "minSamples": 1000},
        "features": {
            "default": {"metric": "ks", "threshold": "0.1"},
            "overrides": [{"name": "output:score", "threshold": "1"}],
            "ignore": ["id"],
            "outputs": "Ignore",
            "dataQuality": {
                "missing": "0.5%",
                "newCategories": "100%",
                "outOfRange": "1%",
                "typeErrors": "0%",
                "nonFinite": "0%",
            },
        },
        "falseAlarms": {"maxPer30Days": "0.01"},
        "persistence": {"needed": 2, "windows": 3},
        "suspend": True,
    },
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_policy_is_refused_with_the_right_sentence(cluster: Cluster, case: str) -> None:
    check_refused(cluster, BAD[case], "DriftPolicy")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_no_job_can_begin_with_is_refused(cluster: Cluster, name: str) -> None:
    taken, answer = create(cluster, policy(), name, "DriftPolicy")
    assert not taken
    assert "it begins the names of the runs' Jobs" in answer


def test_the_name_of_a_run_is_refused(cluster: Cluster) -> None:
    taken, answer = create(cluster, policy(), "fraud-0123456789", "DriftPolicy")
    assert not taken
    assert "are those of the runs' Jobs" in answer


@pytest.mark.parametrize("case", GOOD)
def test_a_good_policy_is_taken(cluster: Cluster, case: str) -> None:
    check_taken(cluster, GOOD[case], "DriftPolicy")


def test_what_the_examples_show_is_taken(cluster: Cluster) -> None:
    found = [
        path for path in (cluster.repository / "examples").rglob("*.yaml") if "kind: DriftPolicy" in path.read_text()
    ]
    assert found
    for path in found:
        cluster.kubectl("apply", "--dry-run=server", "-f", str(path))


def test_defaults_and_columns(cluster: Cluster, namespace: str) -> None:
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy", "metadata": {"name": "fraud"}, "spec": retrain(),
    }  # fmt: skip
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(body))
    stored = cluster.get("dp", "fraud", "-n", namespace)
    spec = stored["spec"]
    assert (spec["window"], spec["persistence"]) == (
        {"duration": "24h", "minSamples": 500},
        {"needed": 1, "windows": 1},
    )
    assert spec["falseAlarms"]["maxPer30Days"] == "0.05"
    assert spec["actions"] == {
        "inputs": "Retrain",
        "outputs": "Retrain",
        "dataQuality": "Hold",
        "quality": "Retrain",
        "fairness": "Warn",
        "business": "Warn",
    }
    container = spec["retrain"]["job"]["template"]["spec"]["template"]["spec"]["containers"][0]
    assert container["env"] == [{"name": "A", "value": "b"}], "what is not described here is kept all the same"
    assert stored["status"]["observedGeneration"] == -1
    assert "driftpolicy.modelward.io/fraud" in cluster.kubectl("get", "modelward", "-n", namespace, "-o", "name")
    header = cluster.kubectl("get", "driftpolicies", "-n", namespace).splitlines()[0].split()
    assert header == [
        "NAME",
        "TARGET",
        "VERDICT",
        "FEATURE",
        "VALUE",
        "QUALITY",
        "PARITY",
        "LAST",
        "RUN",
        "RESULT",
        "READY",
        "AGE",
    ]
