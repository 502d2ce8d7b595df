"""Every alert of manifests/alerts by the real promtool: what it fires for, and what not."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.alerts import generate
from manifests.alerts.rules import BOOKS, Alert
from promserver.promtool import EVER, Promtool, firing, series

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "manifests/alerts"
MODEL = {"namespace": "ml", "name": "fraud"}
OPERATOR = {"namespace": "modelward-system", "pod": "operator-1", "job": "operator", "instance": "10.0.0.1:8080"}
CLUSTER = "fraud-0123456789"
LEADS = series("modelward_leader", "1x5000", **OPERATOR)
"""Else it is told that nobody does."""

Series = dict[str, str]


def answered(code: str, values: str, /, **labels: str) -> Series:
    return series(
        "envoy_http_downstream_rq_xx", values, envoy_http_conn_manager_prefix="traffic",
        envoy_response_code_class=code, **{**MODEL, "pod": "router-1", **labels},
    )  # fmt: skip


def requests(ok: str, failed: str = "0x5000", objective: float = 0.999) -> list[Series]:
    """Of one model with an objective for its availability, a minute."""
    objectives = series("modelward_slo_availability_objective_ratio", f"{objective}x5000", **MODEL)
    return [answered("2", ok), answered("5", failed), objectives]


def timed(total: str, within: str, le: str = "200", **labels: str) -> list[Series]:
    """Of one model that promises 99 % within 200 ms."""
    cluster = {**MODEL, "envoy_cluster_name": CLUSTER, **labels}
    return [
        series("envoy_cluster_upstream_rq_time_count", total, **cluster),
        series("envoy_cluster_upstream_rq_time_bucket", within, le=le, **cluster),
        series("envoy_cluster_upstream_rq_time_bucket", total, le="1000", **cluster),
        *promises(),
        answered("2", total),
    ]


def promises() -> list[Series]:
    return [
        series("modelward_slo_latency_objective_ratio", "0.99x5000", **MODEL),
        series("modelward_slo_latency_threshold_seconds", "0.2x5000", le_milliseconds="200", le_seconds="0.2", **MODEL),
    ]


def told(metric: str, values: str, /, **labels: str) -> Series:
    """A metric of the operator of one model."""
    return series(f"modelward_{metric}", values, **{**MODEL, **labels})


def burns(slo: str, *windows: str) -> list[dict[str, str]]:
    name = {"availability": "ModelwardAvailabilityBurn", "latency": "ModelwardLatencyBurn"}[slo]
    severity = {"1h": "page", "6h": "page", "3d": "ticket"}
    return [{"alertname": name, "severity": severity[each], "slo": slo, "window": each} for each in windows]


def page(name: str) -> list[dict[str, str]]:
    return [{"alertname": f"Modelward{name}", "severity": "page"}]


def ticket(name: str, **labels: str) -> list[dict[str, str]]:
    return [{"alertname": f"Modelward{name}", "severity": "ticket", **labels}]


@dataclass(frozen=True)
class Case:
    """`alerts`: all that fire `at` that time."""

    what: str
    series: list[Series]
    alerts: list[dict[str, str]]
    at: str = "45m"
    leads: bool = True


def of_availability() -> Iterator[Case]:
    yield Case("2 % fail", requests("0+588x100", "0+12x100"), burns("availability", "1h", "6h", "3d"))
    yield Case("1 % fails", requests("0+594x100", "0+6x100"), burns("availability", "6h", "3d"))
    yield Case("3 in 1000 fail", requests("0+1994x100", "0+6x100"), burns("availability", "3d"))
    yield Case("within the budget", requests("0+19990x100", "0+10x100"), [])
    yield Case("no objective", requests("0+10x100", "0+10x100")[:2], [])
    over = "0+60x90 5400x100"
    yield Case(
        "over for ten minutes: the hour's ends, the slower ones go on", requests("0+540x200", over),
        burns("availability", "6h", "3d"), "100m",
    )  # fmt: skip
    yield Case("few requests, all fail, too few", requests("0x100", "0 0 0 0 1 2 3x100"), [], "10m")
    yield Case(
        "asked 15 times, wholly down",
        requests("0x100", "0 0+5x3 15x100"),
        burns("availability", "1h", "6h", "3d"),
        "6m",
    )
    yield Case("a quiet night", requests("0x200", "0x200"), [])
    other = [answered("2", "0+600x100", name="other"), answered("5", "0+600x100", name="other")]
    yield Case("another model's failures", [*requests("0+600x100"), *other], [])
    grpc = [series(f"envoy_cluster_grpc_{number}", "0+6x100", **MODEL, envoy_cluster_name=f"{CLUSTER}-grpc")
            for number in (13, 14)]  # fmt: skip
    yield Case("failures of gRPC", [*requests("0+600x100"), *grpc], burns("availability", "1h", "6h", "3d"))
    mistakes = series("envoy_cluster_grpc_3", "0+60x100", **MODEL, envoy_cluster_name=f"{CLUSTER}-grpc")
    yield Case("mistakes of clients", [*requests("0+600x100"), answered("4", "0+60x100"), mistakes], [])
    server = {**MODEL, "pod": "server-1"}
    behind = [
        series(
            "modelward_inference_request_duration_seconds_count", "0+588x100", code="200", protocol="rest", **server
        ),
        series("modelward_inference_request_duration_seconds_count", "0+6x100", code="500", protocol="rest", **server),
        series(
            "modelward_inference_request_duration_seconds_count", "0+6x100", code="INTERNAL", protocol="grpc", **server
        ),
        series("modelward_inference_request_duration_seconds_count", "0+60x100", code="499", protocol="rest", **server),
        requests("")[2],
    ]
    yield Case("behind a Gateway", behind, burns("availability", "1h", "6h", "3d"))
    yield Case("behind a Gateway, well", [behind[0], behind[4]], [])
    gone = series("modelward_slo_availability_objective_ratio", "0.999x10 stale", **MODEL)
    yield Case(
        "while no operator is there", [*requests("0+588x100", "0+12x100")[:2], gone],
        [*burns("availability", "1h", "6h", "3d"), *page("NoLeader")], leads=False,
    )  # fmt: skip
    yield Case("nothing is scraped", requests("")[2:], ticket("SloUnmeasured"))
    there = series("modelward_model_info", "1x90", **MODEL, pod="server-1")
    yield Case("nothing is asked", [*requests("")[2:], there], [])
    two = series("modelward_slo_availability_objective_ratio", "0.999x100", **MODEL, pod="operator-2")
    yield Case(
        "told by two operators", [*requests("0+588x100", "0+12x100"), two], burns("availability", "1h", "6h", "3d")
    )


def of_latency() -> Iterator[Case]:
    everything = burns("latency", "1h", "6h", "3d")
    yield Case("a fifth is slow", timed("0+600x100", "0+480x100"), everything)
    yield Case("a fifth is slow, as Prometheus 3 has bounds", timed("0+600x100", "0+480x100", "200.0"), everything)
    yield Case("a tenth is slow", timed("0+600x100", "0+540x100"), burns("latency", "6h", "3d"))
    yield Case("3 % are slow", timed("0+600x100", "0+582x100"), burns("latency", "3d"))
    loose = series(
        "modelward_slo_latency_threshold_seconds", "1x20 stale", **MODEL, le_milliseconds="1000", le_seconds="1"
    )
    yield Case("in the hour after a change, by the longer one", [*timed("0+600x100", "0+480x100"), loose], [])
    yield Case("few are slow", timed("0+6000x100", "0+5945x100"), [])
    yield Case("no objective", timed("0+600x100", "0+60x100")[:3], [])
    aside = f"{CLUSTER}-aside-grpc"
    copies = timed("0+600x100", "0x100", envoy_cluster_name=aside)[:3]
    yield Case("slow copies", [*timed("0+600x100", "0+600x100"), *copies], [])
    server = {**MODEL, "pod": "server-1", "code": "200", "protocol": "rest"}
    name = "modelward_inference_request_duration_seconds"
    behind = [series(f"{name}_count", "0+600x100", **server), series(f"{name}_bucket", "0+480x100", le="0.2", **server)]
    yield Case("behind a Gateway", [*behind, *promises()], everything)


def of_models() -> Iterator[Case]:
    yield Case("nobody is answered", [told("modeldeployment_servable", "1x5 0x90")], page("ModelNotServable"))
    yield Case("nobody was ever answered: it comes up", [told("modeldeployment_servable", "0x90")], [])
    yield Case("for a moment", [told("modeldeployment_servable", "1x43 0x9")], [])
    yield Case("a person is needed", [told("modeldeployment_stalled", "1x90")], ticket("ModelStalled"))
    yield Case("nobody is needed", [told("modeldeployment_stalled", "0x90")], [])
    back = [told("modeldeployment_stalled", "1x90"), told("rollout_phase", "1x90", phase="RolledBack")]
    yield Case("rolled back, and told once", back, ticket("RolledBack"))
    yield Case("promoted", [told("rollout_phase", "1x90", phase="Promoted")], [])
    began = [told("rollout_step_started_timestamp_seconds", "60x2000")]
    yield Case("a step of more than a day", began, ticket("RolloutStuck"), "1500m")
    yield Case("a step of a day", began, [], "1440m")
    name = "envoy_server_days_until_first_cert_expiring"
    for days, alerts in ((1, page("CertificateEnds") + ticket("CertificateEnds")), (13, ticket("CertificateEnds")),
                         (14, []), (4294967295, [])):  # fmt: skip
        routers = [series(name, f"{days}x90", **MODEL, pod="a"), series(name, "365x90", **MODEL, pod="b")]
        yield Case(f"a certificate of {days} days", routers, alerts, "70m")


def values(issue: str, each: str, rows: str = "0+100x3000") -> list[Series]:
    pod = {**MODEL, "pod": "server-1"}
    return [
        series("modelward_monitor_values_total", each, issue=issue, **pod),
        series("modelward_monitor_rows_total", rows, result="counted", **pod),
    ]


def of_what_watches() -> Iterator[Case]:
    drift = {"namespace": "ml", "policy": "p", "model": "fraud"}
    yield Case("drift", [series("modelward_drift_detected", "1x90", **drift)], ticket("Drift"))
    by_window, by_quality = (
        [series("modelward_signal_breached", f"{own}x90", **drift, kind=kind) for kind, own in given]
        for given in ((("window", 1), ("quality", 0)), (("window", 0), ("quality", 1)))
    )
    detected = series("modelward_drift_detected", "1x90", **drift)
    yield Case("drift of inputs alone", [detected, *by_window], ticket("Drift"))
    yield Case("worse by outcomes alone", [detected, *by_quality], ticket("OutcomesWorse"))
    watch = {"namespace": "ml", "policy": "watch"}
    missing = ticket("OutcomesMissing")
    yield Case("no outcomes for a day", [series("modelward_driftpolicy_measured", "0x2000", **watch)], missing, "1600m")
    yield Case("no outcomes for an hour", [series("modelward_driftpolicy_measured", "1x60 0x90", **watch)], [])
    unequal, compared = "modelward_driftpolicy_feature_parity", "modelward_driftpolicy_features_compared"
    yield Case("other features", [series(unequal, "0x90", **watch)], ticket("FeaturesUnequal"))
    yield Case("the same features", [series(unequal, "1x90", **watch), series(compared, "1x90", **watch)], [])
    yield Case(
        "no features for two days", [series(compared, "0x3000", **watch)], ticket("FeaturesNotCompared"), "2950m"
    )
    yield Case("no features for a day", [series(compared, "0x1500", **watch)], [], "1450m")
    yield Case("no drift", [series("modelward_drift_detected", "0x90", **drift)], [])
    yield Case("another type", values("type_errors", "0+2x100"), ticket("DataQuality"))
    yield Case("of one row in a thousand", values("type_errors", "0+2x100", "0+2000x100"), [])
    yield Case("of a handful of rows", values("type_errors", "0+1x100", "0+1x100"), [])
    yield Case(
        "more are missing than a day ago", values("missing", "0+2x1500 3000+20x100"), ticket("DataQuality"), "1590m"
    )
    yield Case("as many are missing as a day ago", values("missing", "0+20x3000"), [], "1590m")
    yield Case("missing on the first day, and nobody knows what is usual", values("missing", "0+20x100"), [])
    for share, alerts in (("0.01", ticket("DataQuality")), ("0.19", [])):
        usual = told("monitor_reference_values_per_row", f"{share}x100", issue="missing", pod="server-1")
        yield Case(
            f"0.2 a row on the first day, {share} in the reference", [*values("missing", "0+20x100"), usual], alerts
        )
    usual = told("monitor_reference_values_per_row", "0x3000", issue="missing", pod="server-1")
    yield Case("as many as a day ago, none in the reference", [*values("missing", "0+20x3000"), usual], [], "1590m")
    yield Case("a monitor does not answer", [told("monitors_unreachable", "2x90")], ticket("MonitorSilent"))
    yield Case("all answer", [told("monitors_unreachable", "0x90"), told("capture_connected", "1x90", pod="a")], [])
    one = [told("capture_connected", "0x90", pod="a"), told("capture_connected", "1x90", pod="b")]
    yield Case("nobody takes rows", one, ticket("MonitorSilent"))
    log = "monitor_log_rows_total"
    yield Case(
        "rows are lost", [told(log, "0x20 7x40", result="lost_full")], ticket("PredictionLogLosesRows", cause="lost")
    )
    yield Case("rows are left out", [told(log, "0+7x90", result="left_out"), told(log, "0x90", result="lost_full")], [])
    yield Case(
        "the store is away", [told("monitor_log_failing", "1x90")], ticket("PredictionLogLosesRows", cause="waiting")
    )
    yield Case("the store was away", [told("monitor_log_failing", "1x40 0x30")], [])
    questions = "features_request_duration_seconds_count"
    for failed, alerts in (("0+2x90", ticket("FeaturesFail")), ("0+1x90", []), ("0x90", [])):
        both = [told(questions, failed, result="failed"), told(questions, "0+100x90", result="ok")]
        yield Case(f"of a hundred questions a minute to a feature store {failed} fail", both, alerts)
    runs = "modelward_retraining_runs_total"
    policy = {"namespace": "ml", "policy": "p"}
    yield Case("a run failed", [series(runs, "0x20 1x60", result="Failed", **policy)], ticket("RetrainingFailed"))
    yield Case("a run's model is worse", [series(runs, "0x20 1x60", result="Refused", **policy)], [])
    yield Case("one failed yesterday", [series(runs, "0x60 1x2000", result="Failed", **policy)], [], "1500m")
    yield Case(
        "a policy is stalled", [series("modelward_driftpolicy_stalled", "1x90", **policy)], ticket("DriftPolicyStalled")
    )
    batch = [series("modelward_batchinference_stalled", "1x90", namespace="ml", name="fraud")]
    yield Case("a batch has failed", batch, ticket("BatchFailed"))
    batch = [series("modelward_batchinference_stalled", "0x90", namespace="ml", name="fraud")]
    yield Case("a batch goes well", batch, [])
    batch = [series("modelward_batchinference_drift_detected", "1x90", namespace="ml", name="fraud")]
    yield Case("the rows of a batch drift", batch, ticket("BatchDrift"))
    batch = [series("modelward_batchinference_drift_detected", "0x90", namespace="ml", name="fraud")]
    yield Case("those of another do not", batch, [])
    yield Case("a policy goes on", [series("modelward_driftpolicy_stalled", "0x90", **policy)], [])


def of_the_operator() -> Iterator[Case]:
    two = [series("modelward_leader", "0x90", **{**OPERATOR, "pod": name}) for name in ("a", "b")]
    yield Case("none leads", two, page("NoLeader"), leads=False)
    yield Case("none is there", [], page("NoLeader"), leads=False)
    yield Case("one leads, one stands by", two[:1], [])
    reconciles = "modelward_reconciles_total"
    models = series("modelward_cached_objects", "3x90", resource="modeldeployments", **OPERATOR)
    ok = series(reconciles, "5x90", result="ok", **OPERATOR)
    yield Case("nothing goes well", [models, ok, series(reconciles, "0+9x90", result="error", **OPERATOR)],
               page("OperatorNotReconciling"))  # fmt: skip
    yield Case("most goes well", [models, series(reconciles, "0+1x90", result="ok", **OPERATOR)], [])
    yield Case("there is nothing to do", [ok], [])
    depth, waits = "modelward_workqueue_depth", "modelward_workqueue_wait_seconds"
    queue = [series(depth, "4x90", **OPERATOR), series(f"{waits}_count", "9x90", **OPERATOR),
             series(f"{waits}_sum", "9x90", **OPERATOR)]  # fmt: skip
    yield Case("nothing is taken up", queue, page("QueueStuck"))
    moves = [queue[0], series(f"{waits}_count", "0+10x90", **OPERATOR)]
    yield Case("all wait for minutes", [*moves, series(f"{waits}_sum", "0+900x90", **OPERATOR)], page("QueueStuck"))
    yield Case("it is always full, and moves", [*moves, series(f"{waits}_sum", "0+1x90", **OPERATOR)], [])
    other = {**OPERATOR, "pod": "operator-2", "instance": "10.0.0.2:8080"}
    stands_by = [
        series("modelward_leader", "0x90", **other), series(depth, "4x90", **other),
        series(f"{waits}_count", "0x90", **other), series(f"{waits}_sum", "0x90", **other),
        series(depth, "0x90", **OPERATOR), *queue[1:],
    ]  # fmt: skip
    yield Case("who stands by has a queue that nobody works on, and there is nothing to do", stands_by, [])
    yield Case("it is empty", [series(depth, "0x90", **OPERATOR), *queue[1:]], [])
    yield Case("a registry is away", [told("modelregistry_ready", "0x90")], ticket("RegistryUnreachable"))
    yield Case("a registry was away", [told("modelregistry_ready", "0x40 1x20")], [])


CASES = [*of_availability(), *of_latency(), *of_models(), *of_what_watches(), *of_the_operator()]


@pytest.fixture(scope="module")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> Promtool:
    return Promtool(tmp_path_factory.mktemp("promtool"))


def as_test(case: Case) -> dict[str, Any]:
    given = [*case.series, *([LEADS] if case.leads else [])]
    return {
        "name": case.what, "interval": "1m", "input_series": given, "promql_expr_test": firing(case.at, case.alerts),
    }  # fmt: skip


def test_the_files_are_made_of_these_rules() -> None:
    subprocess.run([sys.executable, "-m", "manifests.alerts.generate", "--check"], cwd=ROOT, check=True)


def test_promtool_finds_nothing_wrong(promtool: Promtool) -> None:
    assert promtool.check(ALERTS / "modelward.rules.yaml") == ""


def test_objects_and_file_have_the_same_groups() -> None:
    objects = list(yaml.safe_load_all((ALERTS / "prometheusrules.yaml").read_text()))
    assert {each["kind"] for each in objects} == {"PrometheusRule"}
    plain = yaml.safe_load((ALERTS / "modelward.rules.yaml").read_text())
    assert [group for each in objects for group in each["spec"]["groups"]] == plain["groups"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_fires_and_nothing_else(case: Case, promtool: Promtool) -> None:
    # Of a day, a look every ten minutes is enough.
    every = "10m" if len(case.at) > len("100m") else "1m"
    assert promtool.test(generate.plain(), [as_test(case)], every) == ""


def test_promtool_would_tell(promtool: Promtool) -> None:
    case = next(of_models())
    assert "exp" in promtool.test(generate.plain(), [as_test(replace(case, alerts=[]))])
    assert "exp" in promtool.test(generate.plain(), [as_test(replace(case, series=[]))])


EVERY_DAY = 360
"""Minutes of it."""


def everyday_life() -> Iterator[Series]:
    """Two operators, of which the other one takes over twice, with a minute in which nobody leads; they reconcile when
    they resync, every twelve minutes, for the first time before anybody looks, and who stands by has a queue that
    nobody works on. What is away for a few minutes comes back: a model's pods, its monitors, the registry."""

    def by_minute(value: Callable[[int], float | None]) -> str:
        return " ".join("stale" if each is None else f"{each:g}" for each in map(value, range(EVERY_DAY)))

    handovers = {"a": (range(60), range(201, EVERY_DAY)), "b": (range(61, 200),)}
    for name, times in handovers.items():
        process = {**OPERATOR, "pod": name, "instance": name}

        def leads(minute: int, times: tuple[range, ...] = times) -> float:
            return float(any(minute in each for each in times))

        def done(minute: int, times: tuple[range, ...] = times) -> float:
            return 3.0 * sum(each % 12 == 0 for when in times for each in when if each <= minute)

        yield series("modelward_leader", by_minute(leads), **process)
        yield series("modelward_reconciles_total", by_minute(done), result="ok", **process)
        yield series("modelward_workqueue_wait_seconds_count", by_minute(done), **process)
        yield series("modelward_workqueue_wait_seconds_sum", by_minute(lambda minute: done(minute) / 100), **process)
        yield series("modelward_workqueue_depth", by_minute(lambda minute: 3 * (1 - leads(minute))), **process)
        yield series("modelward_cached_objects", by_minute(lambda _: 3), resource="modeldeployments", **process)
    for metric, well, minutes in (
        ("modeldeployment_servable", 1, 4), ("monitors_unreachable", 0, 12), ("modelregistry_ready", 1, 12),
        ("modeldeployment_stalled", 0, 12), ("monitor_log_failing", 0, 25),
    ):  # fmt: skip
        away = range(100, 100 + minutes)
        yield told(metric, " ".join(str(abs(well - (minute in away))) for minute in range(EVERY_DAY)))
    yield from requests(by_minute(lambda minute: 600 * minute), by_minute(lambda minute: minute // 10))


def test_everyday_life_is_no_alert(promtool: Promtool) -> None:
    given = list(everyday_life())
    ever = {"expr": EVER % f"{EVERY_DAY}m", "eval_time": f"{EVERY_DAY}m", "exp_samples": []}
    assert (
        promtool.test(generate.plain(), [{"interval": "1m", "input_series": given, "promql_expr_test": [ever]}]) == ""
    )
    longer = [told("modeldeployment_servable", "1x100 0x10 1x300"), LEADS]
    test = {"interval": "1m", "input_series": longer, "promql_expr_test": [ever]}
    assert "ModelwardModelNotServable" in promtool.test(generate.plain(), [test])


def test_the_ticket_of_a_drift_has_its_numbers(promtool: Promtool) -> None:
    drift, cut = "modelward_drift", "modelward_drift_cut"
    given = [
        LEADS,
        series("modelward_drift_detected", "1x90", namespace="ml", policy="watch", model="fraud"),
        told("drifted_features", "4x90"),
        *(series(drift, f"{value}x90", **MODEL, feature=name, metric=metric)
          for name, metric, value in (("age", "psi", 0.5), ("amount", "ks", 0.3), ("city", "psi", 0.42),
                                      ("day", "psi", 0.21))),
        *(series(cut, f"{value}x90", **MODEL, feature=name)
          for name, value in (("age", 0.2), ("amount", 0.1), ("city", 0.2), ("day", 0.2))),
        series(drift, "9x90", namespace="ml", name="other", feature="age", metric="psi"),
        series(cut, "0.2x90", namespace="ml", name="other", feature="age"),
    ]  # fmt: skip
    (rule,) = (each for each in generate.alerts() if each.name == "ModelwardDrift")
    expected = {
        "exp_labels": {"severity": "ticket", "namespace": "ml", "policy": "watch", "model": "fraud"},
        "exp_annotations": {
            "summary": "ml/fraud drifts by the DriftPolicy watch",
            "description": "4 features drifted in the last window, more than chance and the thresholds of the policy "
            "allow. amount: ks is 3.00 times what it would have to reach; age: psi is 2.50 times what it would have to "
            "reach; city: psi is 2.10 times what it would have to reach; docs/drift-report.md shows all of them.",
            "runbook": f"{BOOKS}/{rule.runbook}.md",
        },
    }
    wanted = {"eval_time": "45m", "alertname": rule.name, "exp_alerts": [expected]}
    assert (
        promtool.test(generate.plain(), [{"interval": "1m", "input_series": given, "alert_rule_test": [wanted]}]) == ""
    )


@pytest.mark.parametrize("alert", generate.alerts(), ids=lambda alert: f"{alert.name}-{alert.severity}")
def test_no_text_of_an_alert_is_left_unmade(alert: Alert, promtool: Promtool) -> None:
    """A template that fails is told of in the annotation itself."""
    wanted = {"alertname": alert.name, "severity": alert.severity, **alert.labels}
    case = next(case for case in CASES if any(wanted.items() == each.items() for each in case.alerts))
    none = {"eval_time": case.at, "alertname": alert.name, "exp_alerts": []}
    test = {**as_test(case), "promql_expr_test": [], "alert_rule_test": [none]}
    said = promtool.test(generate.plain(), [test], "10m" if len(case.at) > len("100m") else "1m")
    assert alert.runbook in said, "what fires is told, annotations and all"
    assert "error expanding" not in said
    assert "<no value>" not in said


def test_every_alert_fires_in_a_test() -> None:
    fired = {(each["alertname"], each["severity"]) for case in CASES for each in case.alerts}
    assert fired == {(each.name, each.severity) for each in generate.alerts()}
