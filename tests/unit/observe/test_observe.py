"""What `make observe` runs is what docs and manifests show, and every fault of `make check-observe` has an alert."""

import re
from pathlib import Path
from typing import Any

import yaml
from examples.demo.model import train
from examples.observe import discover, installed

from faults import cases
from manifests.alerts import generate

ROOT = Path(__file__).parents[3]


def test_routes_are_those_of_the_docs() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/observability.md").read_text(), re.DOTALL)
    (shown,) = (yaml.safe_load(block) for block in blocks if block.startswith("route:"))
    used = yaml.safe_load((installed.HERE / "alertmanager.yaml").read_text())
    assert {name: value for name, value in used["route"].items() if name != "group_wait"} == shown["route"]
    assert used["inhibit_rules"] == shown["inhibit_rules"]
    assert {"on-call", "tickets"} == {each["name"] for each in used["receivers"]}


def test_jobs_and_rules_are_those_of_manifests() -> None:
    files = installed.configuration()["data"]
    used = {each["job_name"]: each for each in yaml.safe_load(files["prometheus.yaml"])["scrape_configs"]}
    shown = yaml.safe_load(installed.SCRAPE_CONFIGS.read_text())["scrape_configs"]
    assert len(used) == len(shown)
    for job in shown:
        mine = used[job["job_name"]]
        assert mine.pop("file_sd_configs")
        del job["kubernetes_sd_configs"]
        assert mine == job
    rules = yaml.safe_load(files["modelward.rules.yaml"])["groups"]
    assert [[rule.get("alert", rule.get("record")) for rule in group["rules"]] for group in rules] == [
        [rule.name for rule in group.rules] for group in generate.groups()
    ]


def pod(**status: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/part-of": "modelward", "app.kubernetes.io/component": "server"}
    return {
        "metadata": {"name": "fraud-1", "namespace": "ml", "labels": labels},
        "spec": {
            "initContainers": [{"name": "monitor", "ports": [{"name": "monitor", "containerPort": 8081}]}],
            "containers": [{"name": "server", "ports": [{"name": "http", "containerPort": 8080}]}, {"name": "bare"}],
        },
        "status": {"phase": "Running", "podIP": "10.0.0.7", **status},
    }


def test_pods_are_found_with_the_labels_that_relabelling_reads() -> None:
    monitor, server = discover.groups([pod()])
    assert (monitor["targets"], server["targets"]) == (["10.0.0.7:8081"], ["10.0.0.7:8080"])
    found = server["labels"]
    read = {
        name
        for job in yaml.safe_load(installed.SCRAPE_CONFIGS.read_text())["scrape_configs"]
        for rule in job["relabel_configs"]
        for name in rule["source_labels"]
    }
    of_other_pods = {
        "__meta_kubernetes_pod_label_app_kubernetes_io_name", "__meta_kubernetes_pod_label_app_kubernetes_io_instance",
    }  # fmt: skip
    assert read - of_other_pods <= found.keys()
    assert found["__meta_kubernetes_pod_label_app_kubernetes_io_component"] == "server"
    assert (found["__meta_kubernetes_namespace"], found["__meta_kubernetes_pod_container_port_name"]) == ("ml", "http")


def test_pods_without_an_address_and_those_that_ended_are_not_asked() -> None:
    assert not list(discover.groups([pod(podIP=""), pod(phase="Succeeded"), pod(phase="Failed")]))


def test_every_fault_has_an_alert_and_an_artifact() -> None:
    trained = train(trees=5)
    faults = cases.faults("ml", trained)
    assert len(faults) == 6
    known = {(each.name, each.severity) for each in generate.alerts()}
    assert {(each.alert, each.severity) for each in faults} <= known
    made = {name.partition(".")[0] for name in cases.artifacts(trained)}
    assert {each.key for each in faults} <= made
    assert all(len(each.before) and (each.after is None or len(each.after)) for each in faults)
