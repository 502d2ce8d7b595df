"""What a platform says about pods, on a real node: labels, sidecars that run, an image of one's own, the Service of the
router, and the autoscaler of the cluster."""

from collections.abc import Iterator
from typing import Any

import pytest
from examples.demo import objects

from localcluster.clients import kubectl
from localcluster.progress import SetupError

from .model import Model, until

SMALL = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
WAITS = ["-c", "import signal; signal.pause()"]


@pytest.fixture
def model(namespace: str) -> Iterator[Model]:
    made = Model(namespace, "platform")
    yield made
    kubectl("delete", "modeldeployment", made.name, "-n", namespace, "--ignore-not-found", "--wait=true")


def is_ready(model: Model) -> bool:
    body = model.get()
    fresh = body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
    return (
        fresh and model.condition("Ready")["status"] == "True" and model.condition("Reconciling")["status"] == "False"
    )


def image() -> str:
    """The installation's own image, as an image of the user's: it has what Modelward's has, and no more."""
    found = objects.get("deployments", "modelward-system", "modelward-operator")
    settings = objects.get("configmaps", "modelward-system", _settings(found))["data"]
    return str(settings["MODELWARD_SERVER_IMAGE"])


def _settings(operator: dict[str, Any]) -> str:
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    return str(container["envFrom"][0]["configMapRef"]["name"])


def template(label: str) -> dict[str, Any]:
    own = image()
    return {
        "metadata": {"labels": {"team": label}},
        "spec": {
            "terminationGracePeriodSeconds": 60,
            "containers": [
                {"name": "server", "image": own, "env": [{"name": "OMP_NUM_THREADS", "value": "1"}],
                 "volumeMounts": [{"name": "shared", "mountPath": "/data", "readOnly": True}]},
                {"name": "beside", "image": own, "imagePullPolicy": "IfNotPresent",
                 "command": ["/opt/venv/bin/python3"], "args": WAITS,
                 "volumeMounts": [{"name": "shared", "mountPath": "/data"}], "resources": SMALL},
            ],
            "initContainers": [{"name": "compile", "resources": {"limits": {"memory": "512Mi"}}}],
            "volumes": [{"name": "shared", "emptyDir": {"sizeLimit": "1Mi"}}],
        },
    }  # fmt: skip


def inside(model: Model, container: str, program: str) -> str:
    (pod,) = model.pods()
    name = pod["metadata"]["name"]
    return kubectl("exec", name, "-n", model.namespace, "-c", container, "--", "/opt/venv/bin/python3", "-c", program)


def test_a_template_is_what_runs_and_another_one_is_rolled_out(model: Model) -> None:
    model.apply(template=template("risk"), resources=SMALL)
    until(lambda: is_ready(model), "ready with a sidecar")
    (pod,) = model.pods()
    assert pod["metadata"]["labels"]["team"] == "risk"
    assert {each["name"] for each in pod["status"]["containerStatuses"] if each["ready"]} == {"server", "beside"}
    # The sidecar is nobody, and sees neither the server's processes nor its key.
    assert inside(model, "beside", "import os; print(os.getuid())").strip() != "0"
    assert inside(model, "beside", "import os; print(os.path.exists('/identity'))").strip() == "False"
    cleared = "print([line for line in open('/proc/self/status') if line.startswith('CapEff')][0].split()[1])"
    assert int(inside(model, "beside", cleared), 16) == 0
    assert int(inside(model, "beside", "import os; print(len([p for p in os.listdir('/proc') if p.isdecimal()]))")) <= 2
    first = model.get()["status"]["stable"]["revision"]
    model.apply(template=template("search"), resources=SMALL)
    until(lambda: is_ready(model) and model.get()["status"]["stable"]["revision"] != first, "the other template")
    (pod,) = model.pods()
    assert pod["metadata"]["labels"]["team"] == "search"


def test_what_leads_to_the_node_is_refused(model: Model) -> None:
    with pytest.raises(SetupError, match="into its node"):
        model.apply(template={"spec": {"hostNetwork": True}})


def test_a_service_of_the_router_is_what_spec_says(model: Model) -> None:
    model.apply(router={"replicas": 1, "service": {"type": "NodePort", "annotations": {"example.com/a": "b"}}})
    until(lambda: is_ready(model), "ready")
    service = objects.get("services", model.namespace, model.name)
    assert service["spec"]["type"] == "NodePort"
    assert service["spec"]["ports"][0]["nodePort"]
    assert service["metadata"]["annotations"]["example.com/a"] == "b"


def test_the_clusters_autoscaler_scales_the_model_and_goes_with_spec(model: Model) -> None:
    """No metrics-server is here: it sees to the least that there has to be, and the condition says the rest."""
    model.apply(autoscaling={"minReplicas": 2, "maxReplicas": 3}, resources=SMALL)
    until(lambda: is_ready(model) and len(model.pods()) == 2, "two pods")
    until(lambda: model.get()["spec"]["replicas"] == 2, "spec.replicas as the autoscaler writes it")
    told = until(
        lambda: (found := model.condition("Autoscaled"))["status"] == "False" and found, "that nobody measures"
    )
    assert "Install metrics-server" in told["message"]
    model.apply(resources=SMALL)
    names = ("get", "hpa", "-n", model.namespace, "-o", "name")
    until(lambda: model.name not in kubectl(*names), "no autoscaler")
