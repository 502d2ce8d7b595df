"""Every question of the dashboards, asked of a real Prometheus that scrapes what operator, servers, monitors and a real
Envoy give out: each has an answer. No Grafana draws it."""

import contextlib
import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from prometheus_client import generate_latest

from dashboards import MONITOR, ROUTER, Copies, Scraped, asked, questions
from live_envoy import LiveEnvoy
from localcluster import binaries
from manifests.dashboards.generate import DASHBOARDS, HERE
from modelward import telemetry
from modelward.api.traffic import Traffic
from modelward.facts import Arm, RouteTable
from modelward.monitoring.status import Monitored, PodMonitor
from modelward.monitoring.windows import Window
from modelward.quality.measured import Cohort, Kept, Measured, Value
from modelward.retraining.conditions.status import Told
from modelward.statusmetrics import StatusMetrics
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.reading import Intake
from modelward_drift.judging.policy import Rules, judged
from modelward_drift.profiles.reference import Feature, Reference
from modelward_inference.telemetry import metrics as served
from modelward_inference.telemetry.labelled import Labelled
from modelward_monitor.counting.arrivals import Arrival
from modelward_monitor.counting.counter import Plan
from modelward_monitor.counting.windows import Windows
from modelward_monitor.endpoints import metrics as monitored
from modelward_monitor.monitor import Monitor
from modelward_monitor.store import Store
from promserver.page import MetricsPage
from promserver.server import PrometheusServer
from unit.monitor.worlds import SIGNATURE, batch, reference

DEADLINE = 120.0
STABLE, CANDIDATE = "fraud-aaaaaaaaaa", "fraud-bbbbbbbbbb"
NAMESAKE = "fraud-eu-dddddddddd"
"""A revision of the model fraud-eu."""
VALUES = {
    "namespace": "ml", "model": "fraud", "datasource": "p", "__rate_interval": "10s", "__range": "1m",
}  # fmt: skip
IDS = profile_of("id", "numeric", np.arange(1000.0))


def condition(kind: str, status: str = "True") -> dict[str, str]:
    return {"type": kind, "status": status}


MODEL: Any = {
    "metadata": {"namespace": "ml", "name": "fraud"},
    "spec": {"slo": {"availability": "99.9%", "latency": {"threshold": "200ms", "objective": "99%"}}},
    "status": {
        "conditions": [condition("Ready"), condition("Servable"), condition("PredictionLogged")],
        "predictionLog": {"written": 4, "stored": 3, "waiting": 1, "lost": 0},
        "stable": {"revision": STABLE, "version": "7", "weight": 75},
        "candidate": {"revision": CANDIDATE, "version": "8", "weight": 25},
        "rollout": {
            "phase": "Progressing",
            "step": 2,
            "stepStartedAt": "2026-01-01T00:00:00Z",
            "gates": [{"name": "errorRate", "verdict": "Pass"}],
        },
    },
}
BACK: Any = {
    "metadata": {"namespace": "ml", "name": "churn"},
    "status": {
        "conditions": [condition("Ready", "False"), condition("Servable", "False")],
        "stable": {"revision": "churn-cccccccccc", "weight": 100},
        "rollout": {"phase": "RolledBack", "step": 1},
    },
}  # fmt: skip
POLICY: Any = {"metadata": {"namespace": "ml", "name": "watch"}, "status": {"conditions": [condition("Stalled")]}}
REGISTRY: Any = {
    "metadata": {"namespace": "ml", "name": "mlflow"},
    "status": {"conditions": [condition("Ready", "False")]},
}

KEPT = Kept(
    "job", 1.0, Cohort(1.0, 0.0, 1.0, 0.95, "basis"), "message", 1.0,
    measured=Measured(STABLE, 90, {"matured": 100, "withOutcome": 75}, {"f1": Value(0.7, 0.6, 0.8, 90)}, {}, (), ()),
)  # fmt: skip


class Upstream(ThreadingHTTPServer):
    """A revision; every third answer is a failure."""

    def __init__(self) -> None:
        numbers = iter(range(10**9))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(500 if next(numbers) % 3 == 0 else 200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class World:
    """The pages, each as one process gives it out; `step` lets time pass."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.operator, self.servers = (
            Copies(telemetry),
            {name: Copies(served) for name in (STABLE, CANDIDATE, NAMESAKE)},
        )
        self._pages = {
            name: stack.enter_context(MetricsPage()) for name in ("operator", *self.servers, "monitor", "router")
        }
        upstreams = {name: Upstream() for name in (STABLE, CANDIDATE)}
        for upstream in upstreams.values():
            stack.callback(upstream.server_close)
            stack.callback(upstream.shutdown)
        ports = {name: upstream.server_port for name, upstream in upstreams.items()}
        routes = RouteTable(STABLE, (Arm("candidate", CANDIDATE, 50),))
        self._envoy = LiveEnvoy(folder, binaries.envoy(), routes, Traffic(), ports)
        stack.callback(self._envoy.close)
        self._monitor = monitored.registry(_monitor(folder), 5, lambda: 1)
        self.step()

    @property
    def addresses(self) -> list[str]:
        return [page.address for page in self._pages.values()]

    @property
    def texts(self) -> dict[str, str]:
        return {name: page.text for name, page in self._pages.items()}

    def step(self) -> None:
        self._operator()
        for name, copies in self.servers.items():
            self._server(copies, name.rpartition("-")[0])
            self._pages[name].text = _of_pod(copies.registry, name)
        self._pages["monitor"].text = _of_pod(self._monitor, STABLE)
        for _ in range(4):
            self._envoy.http.request("GET", f"http://127.0.0.1:{self._envoy.ports['traffic']}/v2/models/fraud/infer")
        stats = f"http://127.0.0.1:{self._envoy.admin_port}/stats/prometheus"  # which is what port 9901 leads to
        text = self._envoy.http.request("GET", stats).data.decode()
        # As manifests/monitoring has it.
        self._pages["router"].text = re.sub(r"^(\w+)\{", r'\1{namespace="ml",name="fraud",', text, flags=re.MULTILINE)

    def _operator(self) -> None:
        of = self.operator
        of["LEADER"].set(1)
        of["QUEUE_DEPTH"].set(1)
        of["CACHED_OBJECTS"].labels("pods").set(3)
        of["LINEAGE_WAITING"].set(1)
        of["REPAIRED"].inc()
        for name in ("QUEUE_SECONDS", "RECONCILE_SECONDS"):
            of[name].observe(0.1)
        of["RETRAINING_SECONDS"].observe(100)
        for name, labels in (
            ("RECONCILES", ("error",)), ("API_REQUESTS", ("GET", "pods", "409")), ("POD_REQUESTS", ("signed",)),
            ("REGISTRY_POLLS", ("ok",)), ("REGISTRY_WRITES", ("ok",)), ("REGISTRY_WEBHOOKS", ("ok",)),
            ("LINEAGE_EVENTS", ("sent",)), ("RESYNCS", ("ok",)), ("ROLLOUTS", ("ml", "fraud", "Promoted")),
            ("ROLLOUTS", ("ml", "churn", "RolledBack")), ("RETRAINING_RUNS", ("ml", "watch", "Promoted")),
        ):  # fmt: skip
            of[name].labels(*labels).inc()
        statuses = StatusMetrics(
            [MODEL, BACK], [POLICY], {("ml", "fraud"): _drifting()},
            {("ml", "watch"): [Told("fraud", "Drifted", True, KEPT, {"window": True, "quality": False})]},
            {"claimed": ["theirs"]}, {"current": 2}, [REGISTRY],
        )  # fmt: skip
        self._pages["operator"].text = (generate_latest(of.registry) + generate_latest(statuses)).decode()

    def _server(self, of: Copies, model: str) -> None:
        about = (model, "7")
        of["MODEL_INFO"].labels(*about, "onnx", "sha256:7").set(1)
        of["PENDING"].set(1)
        for code in ("200", "500"):
            of["REQUEST_SECONDS"].labels(*about, "rest", code).observe(0.01)
        for name in ("QUEUE_SECONDS", "COMPUTE_SECONDS"):
            of[name].labels(*about).observe(0.001)
        of["REFUSED"].labels(*about, "model").inc()
        for name in ("REJECTED", "EXPIRED", "ABANDONED"):
            of[name].inc()


def _of_pod(registry: Any, revision: str) -> str:
    return generate_latest(
        Scraped(Labelled(registry, revision), namespace="ml", name=revision.rpartition("-")[0])
    ).decode()


def _drifting() -> Monitored:
    known = Reference((Feature("input", "id", None, IDS),))
    counts = (count(known.profiles[0], np.arange(1000.0) + 700),)
    window = Window(STABLE, known.digest, 0.0, 3600.0, counts)
    decisions = judged(known, counts, Rules())
    return Monitored(STABLE, 10, known, (PodMonitor("one", known.digest),), window, decisions, intake=Intake(1000))


def _monitor(folder: Path) -> Monitor:
    made = Monitor(
        Store(folder / "state", reference()),
        Plan(SIGNATURE),
        Windows(60, time.monotonic, time.time),
        "pod",
        time.monotonic,
    )
    made.offer(Arrival(batch(1, 200)))
    return made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield World(tmp_path_factory.mktemp("world"), stack)


@pytest.fixture(scope="module")
def server(world: World, in_sight: Callable[[], contextlib.AbstractContextManager[None]]) -> Iterator[PrometheusServer]:
    with contextlib.ExitStack() as stack:
        with in_sight():
            running = stack.enter_context(PrometheusServer(world.addresses))
        yield running


def test_they_become_config_maps_that_grafanas_sidecar_finds() -> None:
    made = subprocess.run([binaries.kubectl(), "kustomize", HERE], capture_output=True, text=True, check=True).stdout
    maps = list(yaml.safe_load_all(made))
    assert [each["metadata"]["name"] for each in maps] == [
        f"modelward-dashboard-{name.removesuffix('.json')}" for name in sorted(DASHBOARDS)
    ]
    for each in maps:
        assert each["kind"] == "ConfigMap"
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        ((name, text),) = each["data"].items()
        assert text == (HERE / name).read_text()
        assert len(text) < 900_000, "an object may have a MiB"


def answer(server: PrometheusServer, expr: str) -> Any:
    """Of an instant query. Raises AssertionError with what Prometheus says of a query that it does not take."""
    url = f"{server.url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
    try:
        with urllib.request.urlopen(url, timeout=20) as told:
            return json.load(told)["data"]["result"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{expr}: {error.read().decode()}") from None


def test_every_question_has_an_answer(world: World, server: PrometheusServer) -> None:
    waiting = {
        f"{name}, {about}": asked(expr, VALUES)
        for name in DASHBOARDS
        for about, expr in questions(json.loads((HERE / name).read_text()))
    }
    assert len(waiting) > 80
    end = time.monotonic() + DEADLINE
    while waiting:
        assert time.monotonic() < end, f"no answer: {json.dumps(waiting, indent=1)}"
        world.step()
        waiting = {about: expr for about, expr in waiting.items() if not answer(server, expr)}
        time.sleep(0.3)


def test_the_worst_comes_first(world: World, server: PrometheusServer) -> None:
    fleet = json.loads((HERE / "fleet.json").read_text())
    (panel,) = [each for each in fleet["panels"] if each["title"] == "Models, the worst first"]
    trouble = asked(panel["targets"][0]["expr"], VALUES)
    end = time.monotonic() + DEADLINE
    while True:
        world.step()
        found = {each["metric"]["name"]: float(each["value"][1]) for each in answer(server, trouble)}
        # It answers nobody, is not ready, and was rolled back; half of the requests fail, and a feature drifts.
        if found == {"churn": 56.0, "fraud": 6.0, "fraud-eu": 4.0}:
            return
        assert time.monotonic() < end, found
        time.sleep(0.3)


def test_a_model_is_not_taken_for_one_whose_name_begins_with_its_own(world: World, server: PrometheusServer) -> None:
    model = json.loads((HERE / "model.json").read_text())
    (panel,) = [each for each in model["panels"] if each["title"] == "Waiting"]
    everybody = 'sum(modelward_inference_pending_requests{namespace="ml"})'
    end = time.monotonic() + DEADLINE
    while [each["value"][1] for each in answer(server, everybody)] != ["3"]:
        assert time.monotonic() < end
        world.step()
        time.sleep(0.3)
    assert [each["value"][1] for each in answer(server, asked(panel["targets"][0]["expr"], VALUES))] == ["2"]


def test_real_processes_give_out_what_dashboards_name(world: World) -> None:
    def lines(metric: str) -> list[str]:
        world.step()
        told = world.texts["router"].splitlines()
        return [line for line in told if line.startswith(f"{metric}{{") and STABLE in line]

    for metric, labels in ROUTER.items():
        end = time.monotonic() + DEADLINE
        while not (found := lines(metric)):  # Envoy shows a histogram once it has flushed it
            assert time.monotonic() < end, metric
            time.sleep(0.1)
        assert labels <= set(re.findall(r'(\w+)="', found[0])), metric
    monitor = world.texts["monitor"]
    for metric, labels in MONITOR.items():
        if metric.startswith("log_") or metric == "drift":
            continue  # of a monitor with a log, and of one whose first window has ended
        (line, *_) = [line for line in monitor.splitlines() if line.startswith(f"modelward_monitor_{metric}{{")]
        assert labels | {"revision"} <= set(re.findall(r'(\w+)="', line)), metric
