"""ModelDeployments as the real API server has them: names, unknown fields, defaults, scale and the examples."""

import json
import time
from collections.abc import Callable

import pytest

from nodeless.cluster import Cluster
from nodeless.specs import Object, check_refused, check_taken, create, model, with_model

BAD_NAMES = ["3fraud", "fraud.v2", "a" * 41]

BAD: dict[str, tuple[Object, str]] = {
    "a field that does not exist": (with_model(replica=3), 'unknown field "spec.replica"'),
    "a misspelt nested field": (model(URI="x"), 'unknown field "spec.model.URI"'),
}  # fmt: skip

GOOD: dict[str, Object] = {
    "the least": model(),
    "everything": with_model(
        replicas=3,
        serviceAccountName="cloud",
        server={"timeout": "5m", "maxRequestSize": "64Mi"},
        router={"replicas": 1, "resources": {"limits": {"cpu": "1"}}},
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_spec_is_refused_with_the_right_sentence(cluster: Cluster, case: str) -> None:
    check_refused(cluster, BAD[case])


@pytest.mark.parametrize("case", GOOD)
def test_a_good_spec_is_taken(cluster: Cluster, case: str) -> None:
    check_taken(cluster, GOOD[case])


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_no_service_can_have_is_refused(cluster: Cluster, name: str) -> None:
    taken, answer = create(cluster, model(), name)
    assert not taken
    assert "it becomes the name of a Service" in answer


@pytest.mark.parametrize("name", ["fraud-0123456789", "fraud-b-abcdefabcd", "fraud-router", "fraud-monitor"])
def test_a_name_that_is_made_for_another_model_is_refused(cluster: Cluster, name: str) -> None:
    taken, answer = create(cluster, model(), name)
    assert not taken
    assert "are those of objects" in answer
    assert "that are made for other ModelDeployments" in answer


@pytest.mark.parametrize("name", ["fraud-012345678", "fraud-0123456789g", "routers", "router", "model-server"])
def test_a_name_that_nothing_is_made_under_is_taken(cluster: Cluster, name: str) -> None:
    taken, answer = create(cluster, model(), name)
    assert taken, answer


def test_a_model_that_had_such_a_name_before_goes_on(cluster: Cluster, namespace: str) -> None:
    crd, name = "modeldeployments.modelward.io", "fraud-0123456789"
    rules = "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations/1"
    cluster.kubectl("patch", f"crd/{crd}", "--type=json", "-p", json.dumps([{"op": "remove", "path": rules}]))
    try:
        until(lambda: create(cluster, model(), name)[0])
        body = {
            "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": name},
            "spec": model(),
        }  # fmt: skip
        cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(body))
    finally:
        cluster.install(crd, "-k", str(cluster.repository / "crds"), "--force-conflicts")
    until(lambda: not create(cluster, model(), name)[0])
    cluster.kubectl("patch", f"md/{name}", "-n", namespace, "--type=merge", "-p", '{"spec":{"replicas":2}}')
    status = '{"status":{"observedGeneration":2}}'
    cluster.kubectl("patch", f"md/{name}", "-n", namespace, "--subresource=status", "--type=merge", "-p", status)


def until(holds: Callable[[], bool]) -> None:
    """The API server takes up a changed CRD when it has seen it."""
    end = time.monotonic() + 30.0
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_the_examples_show_is_taken(cluster: Cluster) -> None:
    found = 0
    for path in (cluster.repository / "examples").rglob("*.yaml"):
        if "kind: ModelDeployment" in path.read_text():
            found += 1
            cluster.kubectl("apply", "--dry-run=server", "-f", str(path))
    assert found >= 4


def test_defaults_and_scale(cluster: Cluster, namespace: str) -> None:
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": "fraud"}, "spec": model(),
    }  # fmt: skip
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(body))
    stored = cluster.get("md", "fraud", "-n", namespace)["spec"]
    assert (stored["replicas"], stored["router"]["replicas"], stored["model"]["format"]) == (1, 2, "auto")
    assert "rollout" not in stored, "without it, the traffic moves as soon as the new revision answers"
    cluster.kubectl("scale", "md/fraud", "-n", namespace, "--replicas=4")
    refused = cluster.run("scale", "md/fraud", "-n", namespace, "--replicas=0")
    assert "to stop serving, delete the ModelDeployment" in refused.stderr
    assert cluster.get("md", "fraud", "-n", namespace)["spec"]["replicas"] == 4
    assert "modeldeployment.modelward.io/fraud" in cluster.kubectl("get", "modelward", "-n", namespace, "-o", "name")
