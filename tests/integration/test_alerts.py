"""From a request that fails to the one who is woken: a real Envoy with a router's configuration, a real Prometheus with
the jobs and rules of manifests, a real Alertmanager with the routes of docs/observability.md, and a webhook.

What the operator tells is rendered by its own code. Rules are looked at each second instead of each minute.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from builders import observed, owner, revision, router
from live_envoy import LiveEnvoy
from localcluster import binaries
from manifests.alerts import generate
from modelward.api.traffic import Traffic
from modelward.facts import ROLLED_BACK, RouteTable
from modelward.reconcilers.modeldeployment.status import build_status
from modelward.rollouts.decision import decide
from modelward.statusmetrics import StatusMetrics
from promserver.alertmanager import ON_CALL, TICKETS, Alertmanager, Pager
from promserver.page import MetricsPage
from promserver.server import PrometheusServer
from unit.routing.test_live_envoy import INFER

ROOT = Path(__file__).parents[2]
STABLE = "fraud-0123456789"
DEADLINE = 120.0


@pytest.fixture(scope="module")
def programs(in_sight: Callable[[], AbstractContextManager[None]]) -> Path:
    """Envoy; Alertmanager is built as well, where it was not."""
    with in_sight():
        binaries.alertmanager()
        return binaries.envoy()


def operators_page() -> str:
    """Of a model that promises something, and whose last rollout was rolled back."""
    facts = observed(STABLE, revision(STABLE), router=router(STABLE))
    status = build_status(owner(), facts, decide(facts), "v1", None, "2026-01-01T00:00:00Z")
    body = {
        "metadata": {"namespace": "ml", "name": "fraud"},
        "spec": {"slo": {"availability": "99.9%", "latency": {"threshold": "200ms", "objective": "99%"}}},
        "status": {**status, "rollout": {"phase": ROLLED_BACK, "step": 1}},
    }
    return generate_latest(StatusMetrics([body])).decode()


def jobs(**addresses: str) -> Iterator[dict[str, Any]]:
    """Those of manifests/monitoring with targets of this machine in the place of pods: what Kubernetes would say of
    them is said here."""
    ports = {"modelward-operator": "http", "modelward-routers": "internal"}
    named = {
        "modelward-operator": {"app_kubernetes_io_name": "modelward-operator"},
        "modelward-routers": {"app_kubernetes_io_component": "router", "app_kubernetes_io_instance": "fraud"},
    }
    told = yaml.safe_load((ROOT / "manifests/monitoring/scrape-configs.yaml").read_text())["scrape_configs"]
    for job in told:
        address = addresses.get(job["job_name"].removeprefix("modelward-"))
        if address is None:
            continue
        del job["kubernetes_sd_configs"]
        labels = {f"__meta_kubernetes_pod_label_{name}": value for name, value in named[job["job_name"]].items()}
        labels |= {
            "__meta_kubernetes_namespace": "ml", "__meta_kubernetes_pod_name": "pod",
            "__meta_kubernetes_pod_container_port_name": ports[job["job_name"]],
        }  # fmt: skip
        yield {**job, "static_configs": [{"targets": [address], "labels": labels}]}


def routed(pager: Pager) -> dict[str, Any]:
    """What docs/observability.md has of Alertmanager's configuration, but for the times that alerts are collected."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/observability.md").read_text(), re.DOTALL)
    (shown,) = (yaml.safe_load(block) for block in blocks if block.startswith("route:"))
    shown["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    receivers = [{"name": name, "webhook_configs": [{"url": f"{pager.address}/{name}"}]} for name in (ON_CALL, TICKETS)]
    return {**shown, "receivers": receivers}


def test_a_failure_wakes_somebody_and_the_message_says_what_to_do(programs: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(generate.plain(interval=1)))
    with ExitStack() as stack:
        # Nothing listens where the model should be.
        envoy = LiveEnvoy(tmp_path, programs, RouteTable(STABLE), Traffic(), {STABLE: 1})
        stack.callback(envoy.close)
        page, pager = stack.enter_context(MetricsPage()), stack.enter_context(Pager())
        page.text = operators_page()
        alertmanager = stack.enter_context(Alertmanager(routed(pager)))
        config = {
            "scrape_configs": list(jobs(operator=page.address, routers=f"127.0.0.1:{envoy.admin_port}")),
            "rule_files": [str(rules)],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
        }
        stack.enter_context(PrometheusServer([], config=config))
        end = time.monotonic() + DEADLINE
        while not (pager.told[ON_CALL] and "ModelwardRolledBack" in names(pager.told[TICKETS])):
            assert time.monotonic() < end, pager.told
            answer = envoy.http.request("POST", f"http://127.0.0.1:{envoy.ports['traffic']}{INFER}")
            assert answer.status == 503
    (alert, *_) = pager.told[ON_CALL][0]["alerts"]
    assert (alert["status"], alert["labels"]["alertname"]) == ("firing", "ModelwardAvailabilityBurn")
    assert alert["labels"].items() >= {"namespace": "ml", "name": "fraud", "severity": "page"}.items()
    assert re.fullmatch(r"ml/fraud: 100% of the requests of the last (1h|6h) fail", alert["annotations"]["summary"])
    assert "spec.slo.availability" in alert["annotations"]["description"]
    assert (ROOT / alert["annotations"]["runbook"]).is_file()
    assert names(pager.told[ON_CALL]) == {"ModelwardAvailabilityBurn"}, "no other alert wakes anybody"


def names(told: list[dict[str, Any]]) -> set[str]:
    return {each["labels"]["alertname"] for one in told for each in one["alerts"]}
