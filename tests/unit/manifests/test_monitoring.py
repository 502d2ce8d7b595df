"""What Prometheus is told to scrape is there: pods with these labels, ports with these names; nobody keeps it out."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import PLATFORM, owner
from libyaml import documents
from localcluster import binaries
from modelward.api.modeldeployment import Monitor
from modelward.api.runtime import Runtime, Tap
from modelward.revisions import deployment as revision
from modelward.routing import network_policies
from modelward.routing.envoy import objects as router
from modelward.runtime_files import presets
from policies import Pod, lets

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "manifests/monitoring"
OWNER = owner(monitor=Monitor())
PROMETHEUS = Pod("monitoring", {"app": "prometheus"}, {network_policies.METRICS_LABEL: "true"})
STRANGER = Pod("other", {"app": "web"})
Json = dict[str, Any]

OBJECTS = {each["metadata"]["name"]: each for each in yaml.safe_load_all((MONITORING / "monitors.yaml").read_text())}
JOBS = {
    each["job_name"]: each
    for each in yaml.safe_load((MONITORING / "scrape-configs.yaml").read_text())["scrape_configs"]
}
TARGETS = {
    "modelward-operator": {"http"}, "modelward-servers": {"http", "monitor", "tap-metrics", "runtime-metrics"},
    "modelward-routers": {"internal"},
}  # fmt: skip
TAPPED = owner(monitor=Monitor(), runtime=Runtime(name="triton", tap=Tap()))
"""Whose pods have all ports that a model's can have."""


def template(job: str) -> Json:
    """Of the pods that a job is for, as they are really made."""
    if job == "modelward-operator":
        bodies = yaml.safe_load_all((ROOT / "manifests/base/operator.yaml").read_text())
        return dict(next(each for each in bodies if each["kind"] == "Deployment")["spec"]["template"])
    if job == "modelward-servers":
        return dict(revision.deployment(OWNER, PLATFORM, revision.name_of(OWNER), 1)["spec"]["template"])
    return dict(router.deployment(OWNER, PLATFORM)["spec"]["template"])


def ports(job: str) -> dict[str, int]:
    """Of a sidecar, too, which is an init container that goes on: Prometheus finds both."""
    pods = [template(job)]
    if job == "modelward-servers":
        platform = replace(PLATFORM, runtimes=presets(None))
        pods.append(revision.deployment(TAPPED, platform, revision.name_of(TAPPED), 1)["spec"]["template"])
    containers = [
        each for pod in pods for kind in ("containers", "initContainers") for each in pod["spec"].get(kind, ())
    ]
    return {port["name"]: port["containerPort"] for each in containers for port in each.get("ports", ())}


def endpoints(job: str) -> list[Json]:
    spec = OBJECTS[job]["spec"]
    return list(spec.get("endpoints") or spec["podMetricsEndpoints"])


@pytest.mark.parametrize("job", TARGETS)
def test_it_selects_pods_and_ports_that_there_are(job: str) -> None:
    pod = template(job)
    assert OBJECTS[job]["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert {each["port"] for each in endpoints(job)} == TARGETS[job] <= set(ports(job))


@pytest.mark.parametrize("job", TARGETS)
def test_jobs_without_the_prometheus_operator_select_the_same(job: str) -> None:
    labels = template(job)["metadata"]["labels"]
    told = {f"__meta_kubernetes_pod_label_{re.sub(r'[./-]', '_', name)}": value for name, value in labels.items()}
    keep = next(each for each in JOBS[job]["relabel_configs"] if each.get("action") == "keep")
    for port in ports(job):
        values = {**told, "__meta_kubernetes_pod_container_port_name": port}
        joined = ";".join(values.get(each, "") for each in keep["source_labels"])
        assert bool(re.fullmatch(keep["regex"], joined)) == (port in TARGETS[job]), joined
    (selector,) = JOBS[job]["kubernetes_sd_configs"][0]["selectors"]
    name, _, value = selector["label"].partition("=")
    assert labels[name] == value


@pytest.mark.parametrize("job", TARGETS)
def test_both_ask_for_the_same_and_name_the_model_alike(job: str) -> None:
    for each in endpoints(job):
        plain = JOBS[job]
        assert each["path"] == plain.get("metrics_path", "/metrics")
        assert each.get("params") == plain.get("params")
        assert each.get("honorLabels", False) == plain.get("honor_labels", False) == (job == "modelward-operator")
        named = {"__meta_kubernetes_pod_label_app_kubernetes_io_instance": "name"}
        given = {one["sourceLabels"][0]: one["targetLabel"] for one in each.get("relabelings", ())}
        also = {
            one["source_labels"][0]: one["target_label"] for one in plain["relabel_configs"] if "target_label" in one
        }
        assert given == ({} if job == "modelward-operator" else named)
        assert given.items() <= also.items()
        dropped = [(one["sourceLabels"], one["regex"]) for one in each.get("metricRelabelings", ())]
        assert dropped == [(one["source_labels"], one["regex"]) for one in plain.get("metric_relabel_configs", ())]


@pytest.mark.parametrize("job", TARGETS)
def test_network_policies_let_prometheus_in_and_strangers_not(job: str) -> None:
    platform = replace(PLATFORM, operator_namespace="modelward-system")
    made = [*network_policies.policies(OWNER, platform, by_gateway=False), *base_policies()]
    namespace = "modelward-system" if job == "modelward-operator" else "ml"
    pod = Pod(namespace, template(job)["metadata"]["labels"])
    for name in TARGETS[job]:
        port = ports(job)[name]
        assert lets(made, PROMETHEUS, pod, port), f"{name} of {job}"
        assert not lets(made, STRANGER, pod, port), f"{name} of {job}"


def base_policies() -> Iterator[Json]:
    for body in yaml.safe_load_all((ROOT / "manifests/base/networkpolicy.yaml").read_text()):
        body["metadata"]["namespace"] = "modelward-system"
        yield body


def test_an_overlay_has_the_component_beside_the_base_and_the_base_has_none_of_it(
    tmp_path: Path, in_sight: Callable[[], AbstractContextManager[None]]
) -> None:
    with in_sight():
        kubectl = binaries.kubectl()
    folder = ROOT / "manifests"
    up = "/".join([".."] * (len(tmp_path.parts) - 1)) + str(folder)
    (tmp_path / "kustomization.yaml").write_text(
        f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [{up}/base]\n"
        f"components: [{up}/monitoring]\n"
    )

    def built(where: Path) -> list[Json]:
        done = subprocess.run([kubectl, "kustomize", where], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return documents(done.stdout)

    without = {each["kind"] for each in built(folder / "base")}
    assert not {"ServiceMonitor", "PodMonitor", "PrometheusRule"} & without
    found = [each for each in built(tmp_path) if each["apiVersion"].startswith("monitoring.coreos.com/")]
    assert {each["kind"] for each in found} == {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert {each["metadata"]["namespace"] for each in found} == {"modelward-system"}
