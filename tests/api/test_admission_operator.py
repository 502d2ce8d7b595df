"""What the operator's own account is refused, by manifests/base/admission.yaml, and who may claim a namespace."""

import json
from typing import Any

import pytest

from localcluster.progress import wait_for
from modelward.reconcilers.modeldeployment import caches
from nodeless import admission, workflows
from nodeless.admission import OURS, claim, config_map
from nodeless.authored import Object
from nodeless.cluster import Cluster
from nodeless.somebody import LEASES, WRITES, Operator, Rule, Somebody

# Of a version of its own: who looks for Argo finds none.
WORKFLOW_CRD: Object = workflows.crd("v1", {"type": "object", "x-kubernetes-preserve-unknown-fields": True})


def workload(kind: str, container: Object | None = None, **pod: Any) -> Object:
    spec = {"restartPolicy": "Never" if kind == "Job" else "Always", "containers": [
        {"name": "c", "image": "i:1", **(container or {})}], **pod}  # fmt: skip
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    selector = {"selector": {"matchLabels": {"a": "b"}}} if kind == "Deployment" else {}
    group = "batch/v1" if kind == "Job" else "apps/v1"
    return {**config_map(), "apiVersion": group, "kind": kind, "spec": {"template": template, **selector}}


def workflow(labels: Any = OURS, owner: str = "modelward.io/v1alpha1", **spec: Any) -> Object:
    whole = {"workflowTemplateRef": {"name": "retrain"}, "arguments": {"parameters": [{"name": "a", "value": "b"}]}}
    of = config_map(labels, owner, name="fraud-1")
    return {**of, "apiVersion": "argoproj.io/v1", "kind": "Workflow", "spec": {**whole, **spec}}


def secret(name: str, kind: str = "Opaque", **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, **metadata}, "type": kind}


@pytest.fixture(scope="module", autouse=True)
def policies(cluster: Cluster) -> None:
    admission.install(cluster)


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
