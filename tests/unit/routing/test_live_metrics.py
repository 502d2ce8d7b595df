"""What docs/metrics.md says of Envoy's metrics, by a real one with the configuration that routers get."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import yaml
from docs.generate_metrics import CONTRACT
from prometheus_client import REGISTRY, Metric
from prometheus_client.parser import text_string_to_metric_families

import certificates
from certificates import Mount
from live_envoy import LiveEnvoy
from manifests.alerts.requests import OF_CLIENTS
from modelward.api.traffic import Traffic
from modelward.facts import Arm, Match, RouteTable
from modelward.routing.latency import BOUNDS
from modelward.statusmetrics import of_slo
from modelward_inference.telemetry.metrics import SECONDS, FastHistogram
from unit.routing.test_live_envoy import INFER, Upstream

STABLE, ARM, DEAD = "fraud-0123456789", "fraud-abcdef0123", "fraud-ffffffffff"
BY_ARM = RouteTable(STABLE, (Arm("candidate", ARM, 0, 100), Arm("dead", DEAD, 0, 0)),
                    matches=(Match("x-beta", "1", ARM), Match("x-dead", "1", DEAD)))  # fmt: skip
CLIENTS = re.compile(re.search(r'!~"(.*)"', OF_CLIENTS)[1])  # type: ignore[index]
DEADLINE = 20.0
MONITORING = Path(__file__).parents[3] / "manifests/monitoring"
GRPC = re.compile(r"envoy_cluster_grpc_\d+")
ROUTER = set(CONTRACT["router"]) - {"envoy_cluster_grpc_14", "envoy_sds_key_rotation_failed"}
"""The one is one of several, the other is there with a certificate alone."""


def scraped(envoy: LiveEnvoy, **fields: str) -> dict[str, Metric]:
    address = f"http://127.0.0.1:{envoy.admin_port}/stats/prometheus"
    text = envoy.http.request("GET", address, fields=fields).data.decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.fixture
def envoy(tmp_path: Path, program: Path) -> Iterator[LiveEnvoy]:
    """One that clients have asked by HTTP, 5 times the stable, 4 times an arm that gets copies of the others, and 3
    times one that is not there, in whose place the stable answers; and once by gRPC, in vain."""
    upstreams = {STABLE: Upstream(), ARM: Upstream()}
    ports = {name: upstream.server_port for name, upstream in upstreams.items()} | {DEAD: 1}
    made = LiveEnvoy(tmp_path, program, BY_ARM, Traffic(), ports)
    try:
        for headers, times in (({}, 5), ({"x-beta": "1"}, 4), ({"x-dead": "1"}, 3)):
            for _ in range(times):
                url = f"http://127.0.0.1:{made.ports['traffic']}{INFER}"
                assert made.http.request("GET", url, headers=headers).status == 200
        with grpc.insecure_channel(f"127.0.0.1:{made.ports['traffic']}") as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"", timeout=10.0, wait_for_ready=True)
        yield made
    finally:
        made.close()
        for upstream in upstreams.values():
            upstream.shutdown()
            upstream.server_close()


def clients_histogram(envoy: LiveEnvoy, count: int) -> Metric:
    """Once it shows so many: histograms are flushed each second."""
    end = time.monotonic() + DEADLINE
    while True:
        found = scraped(envoy)["envoy_cluster_upstream_rq_time"]
        timed = [each for each in found.samples if each.name.endswith("_count") and is_clients(each.labels)]
        if sum(each.value for each in timed) >= count:
            return found
        assert time.monotonic() < end, timed
        time.sleep(0.05)


def is_clients(labels: dict[str, str]) -> bool:
    return not CLIENTS.fullmatch(labels["envoy_cluster_name"])


def test_the_contract_is_what_envoy_shows(envoy: LiveEnvoy) -> None:
    clients_histogram(envoy, 12)
    shown = scraped(envoy)
    for name, said in CONTRACT["router"].items():
        if name == "envoy_sds_key_rotation_failed":
            continue  # only with a certificate, see below
        family = shown[name]
        assert family.type == said["type"], name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == set(said["labels"]), name
    buckets = Counter(
        each.labels["envoy_cluster_name"]
        for each in shown["envoy_cluster_upstream_rq_time"].samples
        if "le" in each.labels
    )
    assert set(buckets.values()) == {CONTRACT["sizes"]["bounds"][0]}
    bounds = {each.labels["le"] for each in shown["envoy_cluster_upstream_rq_time"].samples if "le" in each.labels}
    assert bounds == {spelled(bound)[0] for bound in BOUNDS} | {"+Inf"}, "as the operator names them for a rule to find"


def spelled(bound: float) -> tuple[str, str]:
    """A bound (milliseconds) as an objective of that time names it, in routers and in servers."""
    slo = {"latency": {"threshold": f"{int(bound)}ms", "objective": "99%"}}  # 7ms are judged at 7.5
    body = {"metadata": {"namespace": "ml", "name": "fraud"}, "spec": {"slo": slo}}
    labels = next(labels for name, labels, _ in of_slo(body) if name == "slo_latency_threshold_seconds")
    return labels[2], labels[3]


def test_servers_have_these_bounds_by_that_name_too() -> None:
    histogram = FastHistogram("modelward_of_this_test_seconds", "Bounds.", (), SECONDS)
    REGISTRY.unregister(histogram)
    histogram.labels().observe(0.1)
    (family,) = histogram.collect()
    shown = {re.sub(r"[.]0$", "", each.labels["le"]) for each in family.samples if "le" in each.labels}
    assert {spelled(bound)[1] for bound in BOUNDS} <= shown


def test_what_prometheus_asks_for_is_the_contract_and_little_else(envoy: LiveEnvoy) -> None:
    clients_histogram(envoy, 12)
    jobs = yaml.safe_load((MONITORING / "scrape-configs.yaml").read_text())["scrape_configs"]
    (wanted,) = (job["params"]["filter"] for job in jobs if job["job_name"] == "modelward-routers")
    shown = scraped(envoy, filter=wanted[0])
    assert set(shown) - {name for name in shown if GRPC.fullmatch(name)} == ROUTER
    assert any(map(GRPC.fullmatch, shown))
    assert len(scraped(envoy)) > 10 * len(shown)


def test_every_request_of_a_client_counts_once_and_no_copy_does(envoy: LiveEnvoy) -> None:
    clients_histogram(envoy, 12)
    shown = scraped(envoy)
    answers = shown["envoy_http_downstream_rq_xx"].samples
    of_traffic = Counter({each.labels["envoy_response_code_class"]: int(each.value) for each in answers
                          if each.labels["envoy_http_conn_manager_prefix"] == "traffic"})  # fmt: skip
    assert +of_traffic == {"2": 13}, "a failure of gRPC has the HTTP status 200"
    assert sum(each.value for each in shown["envoy_cluster_grpc_14"].samples) == 1
    timed = [each for each in shown["envoy_cluster_upstream_rq_time"].samples if each.name.endswith("_count")]
    assert sum(each.value for each in timed if is_clients(each.labels)) == 12
    copies = [each for each in timed if not is_clients(each.labels) and each.labels["envoy_cluster_name"] != "admin"]
    assert copies, "the arm got copies, and these are told apart"


def test_a_certificate_says_when_it_ends(tmp_path: Path, program: Path) -> None:
    secret = Mount(tmp_path / "tls", certificates.made().files)
    made = LiveEnvoy(tmp_path, program, RouteTable(STABLE), Traffic(), {STABLE: 1}, certificate=secret.folder)
    try:
        shown = scraped(made)
    finally:
        made.close()
    (days,) = shown["envoy_server_days_until_first_cert_expiring"].samples
    assert 0 <= days.value < 3650
    rotation = shown["envoy_sds_key_rotation_failed"]
    assert rotation.type == "counter"
    assert {label for each in rotation.samples for label in each.labels} == set(
        CONTRACT["router"]["envoy_sds_key_rotation_failed"]["labels"]
    )
