"""Whom the API server refuses what the operator would do for him, by manifests/base/admission.yaml."""

import json
import time
from typing import Any

import pytest

from nodeless import admission
from nodeless.authored import (
    S3,
    Object,
    batch,
    drift,
    gate,
    job,
    model,
    parity,
    pipeline,
    pods,
    quality,
    registry,
    sidecar,
    webhook,
)
from nodeless.cluster import Cluster
from nodeless.somebody import BATCHES, DEPLOYMENTS, JOBS, PATCHES, Rule, Somebody

ROLE = "arn:aws:iam::123456789012:role/models"
GATEWAY = {"gateway": {"parentRefs": [{"name": "public", "namespace": "infra"}]}}
CREDENTIALS = {"uri": S3, "credentialsSecret": {"name": "store"}}
ENV = {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "store", "key": "a"}}}]}
PROJECTED = {"name": "v", "projected": {"sources": [{"secret": {"name": "store"}}]}}

CASES: dict[str, tuple[Object, tuple[Rule, ...], str]] = {
    # what: (object, the rights that it takes besides its own, a piece of the sentence without them)
    "a model's credentials": (
        model(model=CREDENTIALS), (("", "secrets", "get", "store"),), "may not get Secret store in namespace",
    ),
    "a variant's credentials": (
        model(variants=[{"name": "b", "weight": 5, "model": CREDENTIALS}]),
        (("", "secrets", "get", "store"),), "may not get Secret store in namespace",
    ),
    "a claim": (
        model(model={"uri": "pvc://models/fraud/m.onnx"}), (("", "persistentvolumeclaims", "get", "models"),),
        "may not get PersistentVolumeClaim models in namespace",
    ),
    "a prediction log's credentials": (
        model(monitor={}, predictionLog={"uri": "s3://lake/log", "credentialsSecret": {"name": "store"}}),
        (("", "secrets", "get", "store"),), "may not get Secret store in namespace",
    ),
    "a prediction log's key": (
        model(monitor={}, predictionLog={"uri": "s3://lake/log", "hashKeySecret": {"name": "store"}}),
        (("", "secrets", "get", "store"),), "may not get Secret store in namespace",
    ),
    "a feature store's token": (
        model(features={
            "url": "https://feast", "service": "s", "entities": [{"name": "id", "type": "Int64"}],
            "tokenSecret": {"name": "store"},
        }),
        (("", "secrets", "get", "store"),), "may not get Secret store in namespace",
    ),
    "a prediction log's claim": (
        model(monitor={}, predictionLog={"uri": "pvc://data/log"}),
        (("", "persistentvolumeclaims", "update", "data"),),
        "may not update PersistentVolumeClaim data in namespace",
    ),
    "a claim that pods write to": (
        model(model={"uri": S3, "cache": {"claim": "shared"}}), (("", "persistentvolumeclaims", "update", "shared"),),
        "may not update PersistentVolumeClaim shared in namespace",
    ),
    "a claim that a variant's pods write to": (
        model(variants=[{"name": "b", "weight": 5, "model": {"uri": S3, "cache": {"claim": "shared"}}}]),
        (("", "persistentvolumeclaims", "update", "shared"),), "a claim that pods write to: ",
    ),
    "a model's account": (
        model(serviceAccountName="cloud"), (("", "serviceaccounts", "impersonate", "cloud"),),
        "may not impersonate ServiceAccount cloud in namespace",
    ),
    "a model of a registry": (
        model(model={"uri": "models:/fraud@champion", "registry": "mlflow"}),
        (("modelward.io", "modelregistries", "get", "mlflow"),), "may not get ModelRegistry mlflow in namespace",
    ),
    "a model of whichever registry there is": (
        model(model={"uri": "models:/fraud@champion"}), (("modelward.io", "modelregistries", "get", ""),),
        "may not get ModelRegistry (any) in namespace",
    ),
    "a batch's credentials": (
        batch(credentialsSecret={"name": "store"}), (("", "secrets", "get", "store"),),
        "may not get Secret store in namespace",
    ),
    "the login of a batch's table": (
        batch(input={"table": {"url": "postgres://db/crm", "name": "x", "credentialsSecret": {"name": "crm"}}}),
        (("", "secrets", "get", "crm"),), "may not get Secret crm in namespace",
    ),
    "the credentials of a batch's model": (
        batch(CREDENTIALS), (("", "secrets", "get", "store"),), "may not get Secret store in namespace",
    ),
    "a batch's model of a registry": (
        batch({"uri": "models:/fraud@champion"}), (("modelward.io", "modelregistries", "get", ""),),
        "may not get ModelRegistry (any) in namespace",
    ),
    "the claim that a batch reads": (
        batch(input={"uri": "pvc://lake/in/"}), (("", "persistentvolumeclaims", "get", "lake"),),
        "may not get PersistentVolumeClaim lake in namespace",
    ),
    "the claim that a batch writes to": (
        batch(output={"uri": "pvc://lake/out/"}), (("", "persistentvolumeclaims", "update", "lake"),),
        "may not update PersistentVolumeClaim lake in namespace",
    ),
    "a batch's account": (
        batch(serviceAccountName="cloud"), (("", "serviceaccounts", "impersonate", "cloud"),),
        "may not impersonate ServiceAccount cloud in namespace",
    ),
    "a batch's template": (
        batch(template={"spec": {"priorityClassName": "high"}}), (JOBS,), "may not create Jobs in namespace",
    ),
    "a Secret in a batch's template": (
        batch(template={"spec": {"containers": [{"name": "score", **ENV}]}}),
        (JOBS, ("", "secrets", "get", "store")), "spec.template: ",
    ),
    "a claim in a batch's template": (
        batch(template={"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}}),
        (JOBS, ("", "persistentvolumeclaims", "update", "data")), "may not update (or get",
    ),
    "a registry's login": (
        registry(credentialsSecret={"name": "store"}), (("", "secrets", "get", "store"),),
        "spec.credentialsSecret: ",
    ),
    "a role as the operator": (
        {"kind": "ModelRegistry", "spec": {"sageMaker": {"region": "eu-west-1", "roleArn": ROLE}}},
        (("modelward.io", "modelregistries", "assume", ""),), "spec.sageMaker.roleArn: ",
    ),
    "a role by keys": (
        {
            "kind": "ModelRegistry",
            "spec": {"sageMaker": {"region": "eu-west-1", "roleArn": ROLE}, "credentialsSecret": {"name": "store"}},
        },
        (("", "secrets", "get", "store"),), "spec.credentialsSecret: ",
    ),
    "a registry's webhooks": (
        registry(mlflow={"url": "http://mlflow:5000", "webhookSecret": {"name": "hooks"}}),
        (("", "secrets", "get", "hooks"),), "spec.mlflow.webhookSecret: ",
    ),
    "a registry's certificates": (
        registry(caBundle={"name": "ca"}), (("", "configmaps", "get", "ca"),), "may not get ConfigMap ca in namespace",
    ),
    "a gateway": (
        model(router=GATEWAY), (("gateway.networking.k8s.io", "httproutes", "create", ""),), "may not create HTTP",
    ),
    "a router's certificate": (
        model(router={"tls": {"secretName": "store"}}), (("", "secrets", "get", "store"),),
        "spec.router.tls.secretName: ",
    ),
    "a router's service": (
        model(router={"service": {"type": "LoadBalancer"}}), (("", "services", "create", ""),),
        "may not create Services in namespace",
    ),
    "an autoscaler": (
        model(autoscaling={"maxReplicas": 4}), (("autoscaling", "horizontalpodautoscalers", "create", ""),),
        "may not create HorizontalPodAutoscalers in namespace",
    ),
    "a template": (
        model(template={"metadata": {"labels": {"a": "b"}}}), (DEPLOYMENTS,), "may not create Deployments in namespace",
    ),
    "a server of one's own": (
        model(runtime={"container": {"image": "a:1", "readyPath": "/"}}), (DEPLOYMENTS,), "spec.runtime: ",
    ),
    "a server's arguments": (
        model(runtime={"name": "triton", "args": ["--exec"]}), (DEPLOYMENTS,), "spec.runtime: ",
    ),
    "a template of the router": (
        model(router={"template": {"spec": {"priorityClassName": "high"}}}), (DEPLOYMENTS,),
        "may not create Deployments in namespace",
    ),
    "a template's variable": (
        sidecar(ENV), (DEPLOYMENTS, ("", "secrets", "get", "store")), "may not get every Secret of namespace",
    ),
    "a template's variables": (
        sidecar({"envFrom": [{"secretRef": {"name": "store"}}]}), (DEPLOYMENTS, ("", "secrets", "get", "store")),
        "may not get every Secret of namespace",
    ),
    "a template's first container's variable": (
        pods(initContainers=[{"name": "i", "image": "i:1", **ENV}]), (DEPLOYMENTS, ("", "secrets", "get", "store")),
        "may not get every Secret of namespace",
    ),
    "a template's volume": (
        pods(volumes=[{"name": "v", "secret": {"secretName": "store"}}]),
        (DEPLOYMENTS, ("", "secrets", "get", "store")), "may not get every Secret of namespace",
    ),
    "a template's projected volume": (
        pods(volumes=[PROJECTED]), (DEPLOYMENTS, ("", "secrets", "get", "store")),
        "may not get every Secret of namespace",
    ),
    "what a template's images are pulled with": (
        pods(imagePullSecrets=[{"name": "store"}]), (DEPLOYMENTS, ("", "secrets", "get", "store")),
        "may not get every Secret of namespace",
    ),
    "what the router's image is pulled with": (
        model(router={"template": {"spec": {"imagePullSecrets": [{"name": "store"}]}}}),
        (DEPLOYMENTS, ("", "secrets", "get", "store")), "may not get every Secret of namespace",
    ),
    "a template's claim": (
        pods(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]),
        (DEPLOYMENTS, ("", "persistentvolumeclaims", "update", "data")), "PersistentVolumeClaim data in namespace",
    ),
    "a template's claim to read": (
        pods(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}]),
        (DEPLOYMENTS, ("", "persistentvolumeclaims", "get", "data")), "PersistentVolumeClaim data in namespace",
    ),
    "quality, by the log of a model": (quality(), (PATCHES,), "spec.quality: "),
    "quality, by the log of one model": (
        quality(), (("modelward.io", "modeldeployments", "patch", "fraud"),), "may not patch the ModelDeployments",
    ),
    "quality, by the output of a batch": (
        quality(predictions={"batchInference": "nightly"}, outcomes={"uri": "s3://lake/told"}),
        (PATCHES, ("modelward.io", "batchinferences", "patch", "nightly")), "may not patch BatchInference nightly in",
    ),
    "outcomes' credentials": (
        quality(outcomes={"uri": "s3://lake/told", "credentialsSecret": {"name": "store"}}),
        (PATCHES, ("", "secrets", "get", "store")), "may not get Secret store in namespace",
    ),
    "a claim of outcomes": (
        quality(outcomes={"uri": "pvc://told/a/b"}), (PATCHES, ("", "persistentvolumeclaims", "get", "told")),
        "may not get PersistentVolumeClaim told in namespace",
    ),
    "parity, by the log of a model": (parity(), (PATCHES,), "spec.parity: "),
    "features' credentials": (
        parity(credentialsSecret={"name": "store"}), (PATCHES, ("", "secrets", "get", "store")),
        "may not get Secret store in namespace",
    ),
    "a claim of features": (
        parity(uri="pvc://offline/a"), (PATCHES, ("", "persistentvolumeclaims", "get", "offline")),
        "may not get PersistentVolumeClaim offline in namespace",
    ),
    "a gate's outcomes, by their credentials": (
        gate(uri="s3://lake/told", credentialsSecret={"name": "store"}), (("", "secrets", "get", "store"),),
        "may not get Secret store in namespace",
    ),
    "a gate's outcomes in a table": (
        gate(table={"url": "postgres://db/claims", "name": "told"}, credentialsSecret={"name": "store"}),
        (("", "secrets", "get", "store"),), "may not get Secret store in namespace",
    ),
    "a gate's outcomes in a claim": (
        gate(uri="pvc://told/a/b"), (("", "persistentvolumeclaims", "get", "told"),),
        "may not get PersistentVolumeClaim told in namespace",
    ),
    "a job": (job(), (JOBS,), "may not create Jobs in namespace"),
    "a job's account": (
        job(serviceAccountName="cloud"), (JOBS, ("", "serviceaccounts", "impersonate", "cloud")),
        "may not impersonate ServiceAccount cloud",
    ),
    "a job's account by its old name": (
        job(serviceAccount="cloud"), (JOBS, ("", "serviceaccounts", "impersonate", "cloud")),
        "may not impersonate ServiceAccount cloud",
    ),
    "a job's envFrom": (
        job({"envFrom": [{"secretRef": {"name": "store"}}]}), (JOBS, ("", "secrets", "get", "store")),
        "may not get every Secret of namespace",
    ),
    "a job's env": (job(ENV), (JOBS, ("", "secrets", "get", "store")), "may not get every Secret of namespace"),
    "an init container's env": (
        job(initContainers=[{"name": "i", "image": "i:1", **ENV}]), (JOBS, ("", "secrets", "get", "store")),
        "may not get every Secret of namespace",
    ),
    "a job's volume": (
        job(volumes=[{"name": "v", "secret": {"secretName": "store"}}]), (JOBS, ("", "secrets", "get", "store")),
        "may not get every Secret of namespace",
    ),
    "a job's projected volume": (
        job(volumes=[PROJECTED]), (JOBS, ("", "secrets", "get", "store")), "may not get every Secret of namespace",
    ),
    "many secrets, by one right": (
        job({"env": [{**ENV["env"][0], "name": f"A{number}"} for number in range(60)]}),
        (JOBS, ("", "secrets", "get", "")), "",
    ),
    "a job's claim": (
        job(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]),
        (JOBS, ("", "persistentvolumeclaims", "get", "data")), "may not get PersistentVolumeClaim data",
    ),
    "a webhook's secret": (webhook(), (("", "secrets", "get", "sign"),), "may not get Secret sign in namespace"),
    "an Airflow's secret": (
        pipeline("airflow", url="https://a.example.com", dag="d", secretRef={"name": "sign"}),
        (("", "secrets", "get", "sign"),), "may not get Secret sign in namespace",
    ),
    "a Prefect's secret": (
        pipeline("prefect", url="https://a.example.com/api", deployment="a/b", secretRef={"name": "sign"}),
        (("", "secrets", "get", "sign"),), "may not get Secret sign in namespace",
    ),
    "a GitHub's secret": (
        pipeline("github", repository="a/b", workflow="w.yml", secretRef={"name": "sign"}),
        (("", "secrets", "get", "sign"),), "may not get Secret sign in namespace",
    ),
    "a Jenkins' secret": (
        pipeline("jenkins", url="https://a.example.com", job="j", secretRef={"name": "sign"}),
        (("", "secrets", "get", "sign"),), "may not get Secret sign in namespace",
    ),
    "a Kubeflow's secret": (
        pipeline("kubeflow", url="https://a.example.com", pipeline="p", secretRef={"name": "sign"}),
        (("", "secrets", "get", "sign"),), "may not get Secret sign in namespace",
    ),
    "a workflow": (
        pipeline("argoWorkflow", template="t"), (("argoproj.io", "workflows", "create", ""),),
        "may not create Workflows in namespace",
    ),
    "a workflow's account": (
        pipeline("argoWorkflow", template="t", serviceAccountName="cloud"),
        (("argoproj.io", "workflows", "create", ""), ("", "serviceaccounts", "impersonate", "cloud")),
        "may not impersonate ServiceAccount cloud",
    ),
    "a model that is changed": (job(apply="Automatic"), (JOBS, PATCHES), "may not patch the ModelDeployments"),
    "a model that a webhook changes": (
        webhook("Automatic"), (("", "secrets", "get", "sign"), ("modelward.io", "modeldeployments", "patch", "fraud")),
        "may not patch the ModelDeployments",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def policies(cluster: Cluster) -> None:
    admission.install(cluster)


def test_what_takes_no_other_right_is_taken(somebody: Somebody) -> None:
    somebody.may()
    for body in (model(), model(variants=[{"name": "b", "weight": 5, "model": {"uri": S3}}]), drift()):
        taken, said = somebody.writes(body, dry_run=True)
        assert taken, said


@pytest.mark.parametrize("case", CASES)
def test_what_somebody_may_not_do_himself_is_not_done_for_him(somebody: Somebody, case: str) -> None:
    body, rights, sentence = CASES[case]
    somebody.may(*rights)
    taken, said = somebody.writes(body, dry_run=True)
    assert taken, said
    for left_out in rights:
        if not sentence and left_out != rights[0]:
            continue
        poor = Somebody(somebody.cluster, somebody.namespace).may(*(rule for rule in rights if rule is not left_out))
        taken, said = poor.writes(body, dry_run=True)
        assert not taken, left_out
        assert poor.name in said
        if left_out is rights[-1]:
            assert sentence in said
        assert "JSON" not in said


def test_who_may_not_get_a_model_has_no_batch_of_it(somebody: Somebody) -> None:
    """Its rows would be scored with what that one is fetched with."""
    body = batch({"modelDeployment": "fraud"})
    assert somebody.may().writes(body, dry_run=True)[0]
    poor = Somebody(somebody.cluster, somebody.namespace).may(
        ("modelward.io", "modeldeployments", "get", "other"), own=BATCHES
    )
    taken, said = poor.writes(body, dry_run=True)
    assert not taken
    assert "may not get ModelDeployment fraud in namespace" in said


def test_a_preset_by_its_name_is_the_installations_choice_of_what_runs(somebody: Somebody) -> None:
    taken, said = somebody.may().writes(model(runtime={"name": "triton"}), dry_run=True)
    assert taken, said


def test_another_objects_right_is_none(somebody: Somebody) -> None:
    somebody.may(("", "secrets", "get", "other"))
    taken, said = somebody.writes(model(model=CREDENTIALS), dry_run=True)
    assert not taken
    assert "may not get Secret store" in said


def test_who_changes_a_spec_answers_for_all_of_it_and_who_does_not_for_nothing(somebody: Somebody) -> None:
    somebody.may(("", "secrets", "get", "store"))
    assert somebody.writes(model(model=CREDENTIALS))[0]
    poor = Somebody(somebody.cluster, somebody.namespace).may(PATCHES)
    patch = ["md/fraud", "-n", somebody.namespace, "--type=merge", "-p"]
    cluster = somebody.cluster
    # Another store, which is asked with the same Secret, would be told what is in it.
    moved = cluster.run(f"--as={poor.name}", "patch", *patch, '{"spec":{"model":{"uri":"s3://evil/m.onnx"}}}')
    assert "may not get Secret store" in moved.stderr
    annotation = '{"metadata":{"annotations":{"a":"b"}}}'
    assert cluster.run(f"--as={poor.name}", "patch", *patch, annotation).returncode == 0


def test_who_moves_a_registry_elsewhere_answers_for_its_secret(somebody: Somebody) -> None:
    """Another server would be sent what is in it."""
    somebody.may(("", "secrets", "get", "store"))
    assert somebody.writes(registry(credentialsSecret={"name": "store"}))[0]
    poor = Somebody(somebody.cluster, somebody.namespace).may(
        *(("modelward.io", "modelregistries", verb, "") for verb in ("get", "patch"))
    )
    patch = ["mreg/fraud", "-n", somebody.namespace, "--type=merge", "-p"]
    cluster = somebody.cluster
    moved = cluster.run(f"--as={poor.name}", "patch", *patch, '{"spec":{"mlflow":{"url":"http://evil:1"}}}')
    assert "may not get Secret store" in moved.stderr
    annotation = '{"metadata":{"annotations":{"modelward.io/refresh":"1"}}}'
    assert cluster.run(f"--as={poor.name}", "patch", *patch, annotation).returncode == 0


def test_the_operator_is_not_asked(somebody: Somebody) -> None:
    operator = somebody.may(
        ("modelward.io", "modeldeployments", "operate", ""), ("modelward.io", "driftpolicies", "operate", "")
    )
    for body in (model(model=CREDENTIALS, serviceAccountName="cloud"), job(apply="Automatic")):
        taken, said = operator.writes(body, dry_run=True)
        assert taken, said


IN_FORCE_WITHIN = 60.0
"""Seconds until the API server knows of a policy."""

DRY_RUNS: dict[str, tuple[Object, str]] = {
    # what: (the spec that is tried in the place of SERVED, what is said of it)
    "a model": (
        {"model": {"uri": S3.replace("/3/", "/4/")}},
        "this would roll out, by Immediate: spec.model is another",
    ),
    "pods and a rollout": (
        {"resources": {"limits": {"cpu": "2"}}, "template": {"metadata": {"labels": {"team": "b"}}}, "rollout": {}},
        "this would roll out, by Canary: spec.resources, spec.template are another",
    ),
    "a monitor": (
        {"monitor": {}, "rollout": {"strategy": "BlueGreen"}},
        "this would roll out, by BlueGreen: spec.monitor is another",
    ),
    "the router's pods": (
        {"router": {"template": {"spec": {"priorityClassName": "high"}}}},
        "this would replace the pods of the router, one after the other: spec.router.template is another",
    ),
    "the router's certificate": (
        {"router": {"tls": {"secretName": "certificate"}}},
        "this would replace the pods of the router, one after the other: spec.router.tls is another",
    ),
    "replicas": ({"replicas": 3}, ""),
    "a rollout to come": ({"rollout": {"strategy": "Shadow"}}, ""),
}
SERVED: Object = {"model": {"uri": S3}, "template": {"metadata": {"labels": {"team": "a"}}}}


def told(cluster: Cluster, namespace: str, changes: Any, *options: str) -> str:
    """The warnings that kubectl shows."""
    metadata = {"name": "fraud", "namespace": namespace}
    whole = {"apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    whole["spec"] = {**SERVED, **changes}
    done = cluster.run("apply", "--server-side", "-f", "-", *options, stdin=json.dumps(whole))
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_dry_run_says_what_would_roll_out(cluster: Cluster, namespace: str) -> None:
    assert told(cluster, namespace, {}) == "", "it is new, and nothing rolls"
    end = time.monotonic() + IN_FORCE_WITHIN
    while not told(cluster, namespace, DRY_RUNS["a model"][0], "--dry-run=server"):
        assert time.monotonic() < end, "nothing is said of a dry run"
    for what, (changes, sentence) in DRY_RUNS.items():
        said = told(cluster, namespace, changes, "--dry-run=server")
        assert said.rstrip().endswith(sentence) if sentence else said == "", (what, said)
    assert told(cluster, namespace, DRY_RUNS["a model"][0]) == "", "who really writes it is told by status"
