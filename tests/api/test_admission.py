"""Whom the API server refuses what the operator would do for him, by manifests/base/admission.yaml."""

import functools
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest

from localcluster.progress import wait_for
from modelward.reconcilers.modeldeployment import caches
from nodeless import workflows
from nodeless.cluster import Cluster

S3 = "s3://models/fraud/3/model.onnx"
ROLE = "arn:aws:iam::123456789012:role/models"
Object = dict[str, Any]
Rule = tuple[str, str, str, str]
"""API group, resource, verb, and the name of the one object it is for ('': of all)."""

CREATES: tuple[Rule, ...] = tuple(
    ("modelward.io", kind, verb, "")
    for kind in ("modeldeployments", "driftpolicies", "modelregistries", "batchinferences")
    for verb in (("create", "update") if kind == "modelregistries" else ("get", "create", "update"))
)
BATCHES: tuple[Rule, ...] = tuple(rule for rule in CREATES if rule[1] == "batchinferences")
PATCHES: Rule = ("modelward.io", "modeldeployments", "patch", "")
JOBS: Rule = ("batch", "jobs", "create", "")
DEPLOYMENTS: Rule = ("apps", "deployments", "create", "")
LEASES: tuple[Rule, ...] = tuple(("coordination.k8s.io", "leases", verb, "") for verb in ("get", "create", "patch"))


def model(**spec: Any) -> Object:
    return {"kind": "ModelDeployment", "spec": {"model": {"uri": S3}} | spec}


def pods(**pod: Any) -> Object:
    return model(template={"spec": pod})


def sidecar(container: Object) -> Object:
    return pods(containers=[{"name": "proxy", "image": "proxy:1", **container}])


def drift(retrain: Object | None = None) -> Object:
    return {"kind": "DriftPolicy", "spec": {"target": {"name": "fraud"}} | ({"retrain": retrain} if retrain else {})}


def job(container: Object | None = None, apply: str = "Manual", **pod: Any) -> Object:
    first = {"name": "train", "image": "train:1", **(container or {})}
    template = {"spec": {"template": {"spec": {"containers": [first], **pod}}}}
    return drift({"apply": apply, "job": {"template": template}})


def quality(**fields: Any) -> Object:
    made = drift()
    made["spec"]["quality"] = {"task": {"kind": "Classes", "label": "output.label"}, **fields}
    return made


def parity(**features: Any) -> Object:
    made = drift()
    made["spec"]["parity"] = {"features": {"uri": "s3://lake/features", **features}}
    return made


def gate(**outcomes: Any) -> Object:
    """A rollout that is judged by outcomes, which lie there."""
    judged = {"task": {"kind": "Classes", "label": "output.label"}, "metrics": [{"name": "accuracy", "margin": "0"}]}
    gates = {"quality": {**judged, "outcomes": outcomes}}
    return model(monitor={}, predictionLog={"uri": "s3://lake/log"}, rollout={"gates": gates})


def webhook(apply: str = "Manual") -> Object:
    return drift({"apply": apply, "webhook": {"url": "https://ci.example.com/x", "secretRef": {"name": "sign"}}})


def pipeline(kind: str, **fields: Any) -> Object:
    return drift({"apply": "Manual", kind: fields})


def registry(**spec: Any) -> Object:
    return {"kind": "ModelRegistry", "spec": {"mlflow": {"url": "http://mlflow:5000"}} | spec}


def batch(model: Object | None = None, **spec: Any) -> Object:
    return {
        "kind": "BatchInference",
        "spec": {
            "model": model or {"uri": S3}, "input": {"uri": "s3://lake/in/"}, "output": {"uri": "s3://lake/out/"},
            "keys": ["id"],
        } | spec,
    }  # fmt: skip


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


class Somebody:
    """A user of a namespace of his own, with the rights that a test gives him."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.name = f"u-{secrets.token_hex(4)}"

    def may(self, *rules: Rule, own: tuple[Rule, ...] = CREATES) -> "Somebody":
        """`own`: what everybody may who writes objects of ours."""
        given = [
            {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
            | ({"resourceNames": [name]} if name else {})
            for group, resource, verb, name in (*own, *rules)
        ]
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": self.name}}
        self._apply({**role, "rules": given})
        self._apply(
            {
                **role, "kind": "RoleBinding",
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": self.name},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.name}],
            }
        )  # fmt: skip
        return self

    def _apply(self, body: Object) -> None:
        self.cluster.apply(body, self.namespace)

    def writes(self, body: Object, *, dry_run: bool = False, apply: bool = False) -> tuple[bool, str]:
        """Whether the API server takes it, and what it says. Rights take a moment until they are known."""
        metadata = {"name": "fraud", "namespace": self.namespace}
        whole = {"apiVersion": "modelward.io/v1alpha1", "metadata": metadata, **body}
        end = time.monotonic() + 20.0
        while True:
            if apply:
                taken, said = self.cluster.applied_by(self.name, whole, self.namespace)
            else:
                taken, said = self.cluster.create(whole, self.namespace, user=self.name, dry_run=dry_run)
            if taken or "cannot " not in said or time.monotonic() > end:
                return taken, said
            time.sleep(0.05)


WRITES: tuple[Rule, ...] = tuple(
    (group, resource, verb, "")
    for group, resource in (("", "configmaps"), ("", "services"), ("apps", "deployments"), ("batch", "jobs"))
    for verb in ("get", "create", "patch", "update", "delete")
)


class Operator(Somebody):
    """Somebody who has the operator's account."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        super().__init__(cluster, namespace)
        self.name = "system:serviceaccount:modelward-system:modelward-operator"

    def creates(self, body: Object) -> tuple[bool, str]:
        """Whether it could: nothing is made."""
        return self._does(lambda: self.cluster.create(body, self.namespace, user=self.name, dry_run=True))

    def does(self, verb: str, body: Object, *options: str) -> tuple[bool, str]:
        """By kubectl."""
        words = [f"--as={self.name}", verb, "-n", self.namespace, "-f", "-", *options]

        def run() -> tuple[bool, str]:
            done = self.cluster.run(*words, stdin=json.dumps(body))
            return done.returncode == 0, done.stderr

        return self._does(run)

    def _does(self, attempt: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
        end = time.monotonic() + 20.0
        while True:
            taken, said = attempt()
            if taken or "cannot " not in said or time.monotonic() > end:
                return taken, said
            time.sleep(0.05)


OURS = {"app.kubernetes.io/managed-by": "modelward"}


def config_map(labels: Any = OURS, owner: str = "modelward.io/v1alpha1", name: str = "fraud-router") -> Object:
    reference = {"apiVersion": owner, "kind": "ModelDeployment", "name": "fraud", "uid": "u"}
    metadata = {"name": name, "labels": labels, "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def workload(kind: str, container: Object | None = None, **pod: Any) -> Object:
    spec = {"restartPolicy": "Never" if kind == "Job" else "Always", "containers": [
        {"name": "c", "image": "i:1", **(container or {})}], **pod}  # fmt: skip
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    selector = {"selector": {"matchLabels": {"a": "b"}}} if kind == "Deployment" else {}
    group = "batch/v1" if kind == "Job" else "apps/v1"
    return {**config_map(), "apiVersion": group, "kind": kind, "spec": {"template": template, **selector}}


@pytest.fixture(scope="module", autouse=True)
def policies(cluster: Cluster) -> None:
    """As they are installed, by kustomize, and in force."""
    built = cluster.kubectl("kustomize", str(cluster.repository / "manifests" / "base"))
    parts = [part for part in built.split("\n---\n") if "\nkind: ValidatingAdmissionPolicy" in f"\n{part}"]
    assert len(parts) == 14
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(parts))
    somebody = Somebody(cluster, "default").may()
    # Each of them comes into force at a moment of its own.
    asking = (
        model(serviceAccountName="cloud"), job(), quality(), parity(), registry(credentialsSecret={"name": "store"}),
        batch(credentialsSecret={"name": "store"}),
    )  # fmt: skip
    for body in asking:
        _until_refused(functools.partial(somebody.writes, body, dry_run=True))
    tenant = Somebody(cluster, "default").may(*LEASES)
    _until_refused(functools.partial(tenant.writes, claim(), dry_run=True))
    operator = Operator(cluster, "default").may(*WRITES)
    _until_refused(functools.partial(operator.creates, config_map(labels={})))


def _until_refused(attempt: Callable[[], tuple[bool, str]]) -> None:
    end = time.monotonic() + 60.0
    while attempt()[0]:
        assert time.monotonic() < end, "the policies are not in force"
        time.sleep(0.1)


@pytest.fixture
def somebody(cluster: Cluster, namespace: str) -> Somebody:
    return Somebody(cluster, namespace)


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


def test_the_operators_account_writes_only_what_is_the_operators(somebody: Somebody) -> None:
    operator = Operator(somebody.cluster, somebody.namespace).may(*WRITES)
    for body in (config_map(), workload("Deployment"), workload("Job")):
        assert operator.creates(body)[0], body
    for body in (
        config_map(labels={}), config_map(labels=None), config_map(labels={"app.kubernetes.io/managed-by": "helm"}),
        config_map(owner="apps/v1"), workload("Deployment", hostNetwork=True), workload("Job", hostPID=True),
        workload("Job", volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        workload("Deployment", {"securityContext": {"privileged": True}}),
        workload("Job", initContainers=[{"name": "i", "image": "i", "securityContext": {"privileged": True}}]),
    ):  # fmt: skip
        taken, said = operator.creates(body)
        assert not taken, body
        # Some API servers have no privileged containers at all.
        assert "the operator " in said or "disallowed by cluster policy" in said


# Of a version of its own: who looks for Argo finds none.
WORKFLOW_CRD: Object = workflows.crd("v1", {"type": "object", "x-kubernetes-preserve-unknown-fields": True})


def workflow(labels: Any = OURS, owner: str = "modelward.io/v1alpha1", **spec: Any) -> Object:
    whole = {"workflowTemplateRef": {"name": "retrain"}, "arguments": {"parameters": [{"name": "a", "value": "b"}]}}
    of = config_map(labels, owner, name="fraud-1")
    return {**of, "apiVersion": "argoproj.io/v1", "kind": "Workflow", "spec": {**whole, **spec}}


def test_the_operators_account_makes_no_workflow_but_of_a_template(somebody: Somebody) -> None:
    """What a Workflow brings itself could be a pod of any account, on any node's files."""
    cluster, namespace = somebody.cluster, somebody.namespace
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(WORKFLOW_CRD))
    try:
        wait_for("workflows", lambda: cluster.run("get", "workflows", "-n", namespace).returncode == 0, 60.0)
        writes = tuple(("argoproj.io", "workflows", verb, "") for verb in ("get", "create", "patch"))
        operator = Operator(cluster, namespace).may(*writes)
        pods = [{"name": "main", "container": {"image": "i", "securityContext": {"privileged": True}}}]
        for body in (
            workflow(labels={}), workflow(owner="apps/v1"), workflow(templates=pods, entrypoint="main"),
            workflow(podSpecPatch="hostNetwork: true"), workflow(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            workflow(workflowTemplateRef={"name": "t", "clusterScope": True}),
        ):  # fmt: skip
            taken, said = operator.creates(body)
            assert not taken, body
            assert "the operator " in said
        body = workflow(activeDeadlineSeconds=60, serviceAccountName="train")
        taken, said = operator.creates(body)
        assert taken, said
        cluster.apply(body, namespace)
        patch = ["workflow/fraud-1", "-n", namespace, "--type=merge", "-p"]
        for spec in ({"podSpecPatch": "hostNetwork: true"}, {"workflowTemplateRef": {"name": "another"}}):
            changed = cluster.run(f"--as={operator.name}", "patch", *patch, json.dumps({"spec": spec}))
            assert "changes nothing of them but that they end" in changed.stderr
        ends = json.dumps({"spec": {"shutdown": "Terminate"}})
        ended = cluster.run(f"--as={operator.name}", "patch", *patch, ends)
        assert ended.returncode == 0, ended.stderr
    finally:
        cluster.kubectl("delete", "crd", "workflows.argoproj.io")


def secret(name: str, kind: str = "Opaque", **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, **metadata}, "type": kind}


def test_the_operators_account_makes_no_secret_but_a_caches_key(somebody: Somebody) -> None:
    """It may create Secrets everywhere, by RBAC, since that knows no names of what is not there yet."""
    operator = Operator(somebody.cluster, somebody.namespace).may(*WRITES, ("", "secrets", "create", ""))
    made = caches._secret(somebody.namespace)
    assert operator.creates(made)[0]
    token = {"annotations": {"kubernetes.io/service-account.name": "default"}}
    for body in (
        secret("another"), secret("modelward-cache-key", "kubernetes.io/service-account-token", **token),
        secret("token", "kubernetes.io/service-account-token", **token), secret("modelward-cache-key-2"),
    ):  # fmt: skip
        taken, said = operator.creates(body)
        assert not taken, body
        assert "no Secrets but its own keys" in said


def test_the_operators_account_takes_nothing_of_others(somebody: Somebody) -> None:
    cluster, namespace = somebody.cluster, somebody.namespace
    operator = Operator(cluster, namespace).may(*WRITES)
    theirs = {**config_map(labels={}, name="aws-auth"), "data": {"a": "b"}}
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(theirs))
    claimed = {**config_map(name="aws-auth"), "data": {"a": "c"}}
    for verb, options in (("apply", ("--server-side", "--force-conflicts")), ("delete", ("--wait=false",))):
        taken, said = operator.does(verb, claimed, *options)
        assert not taken
        assert "the operator writes only what has the label" in said
    assert cluster.get("configmap", "aws-auth", "-n", namespace)["data"] == {"a": "b"}
    ours = config_map()
    assert operator.does("apply", ours, "--server-side")[0]
    assert operator.does("delete", ours, "--wait=false")[0]


def claim(name: str = "modelward-claim") -> Object:
    metadata = {"name": name, "labels": {"modelward.io/claim": "x"}}
    spec = {"holderIdentity": "somebody"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def test_only_who_operates_models_in_a_namespace_claims_it(somebody: Somebody) -> None:
    operate: Rule = ("modelward.io", "modeldeployments", "operate", "")
    tenant = somebody.may(*LEASES)
    installation = Somebody(somebody.cluster, somebody.namespace).may(*LEASES, operate)

    def makes(who: Somebody, body: Object) -> tuple[bool, str]:
        return who.writes(body, apply=True)

    for body in (claim(), claim("modelward-claim-all"), claim("other")):
        taken, said = makes(tenant, body)
        assert not taken
        assert "only an installation of Modelward that works on the namespace may claim it" in said
    assert not makes(installation, claim("modelward-claim-all"))[0]
    assert makes(installation, claim())[0]
    unlabelled = {**claim(), "metadata": {"name": "modelward-claim"}}
    assert not makes(tenant, unlabelled)[0]
    assert makes(tenant, {**unlabelled, "metadata": {"name": "of-an-app"}})[0]
