"""The operator's metrics of a ModelDeployment say what its status says, and nothing that is no longer true."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client import REGISTRY, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from builders import MODEL, observed, owner, revision, router
from modelward import health, telemetry
from modelward.api.conditions import Condition
from modelward.api.rollout import CANARY, Rollout, Step
from modelward.batches import run as batches
from modelward.drift.verdicts import DRIFTED, NO_DRIFT, UNKNOWN
from modelward.facts import ABORTED, PROMOTED, ROLLED_BACK, Arm, Clock, Observed, Progress, VariantFacts
from modelward.quality.measured import Cohort, Gap, Kept, Measured, Value
from modelward.reconcilers.modeldeployment.status import build_status
from modelward.retraining.conditions.status import Told
from modelward.retraining.lifecycle import run as runs
from modelward.revisions.health.cache_claims import Trouble, condition
from modelward.rollouts.decision import decide
from modelward.statusmetrics import METRICS, StatusMetrics

A, B, C = "fraud-a", "fraud-b", "fraud-c"
NAMESPACE, NAME, WHEN = "told", "fraud", "2026-01-01T00:00:00Z"
CANARIES = Rollout(CANARY, (Step(10), Step(50)))
VARIANT = VariantFacts("b", C, MODEL, 20, 5)


class Fleet:
    """Statuses, as the cache has them."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.targets: dict[str, tuple[Told, ...]] = {}

    def show(self, facts: Observed, gates: list[dict[str, Any]] | None = None, name: str = NAME, **more: Any) -> None:
        """`more`: of build_status."""
        self.models[name] = body(name, build_status(owner(), facts, decide(facts), "v1", None, WHEN, gates, **more))

    def told(self, name: str = NAME, label: str = "name") -> dict[str, float]:
        """Every series of the object: metric, and what it is about."""
        targets = {(NAMESPACE, policy): told for policy, told in self.targets.items()}
        scrape = StatusMetrics(list(self.models.values()), list(self.policies.values()), targets=targets)
        return series(scrape.collect(), name, label)


def body(name: str, status: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": NAMESPACE, "name": name}, "status": status}


def series(families: Iterable[Metric], name: str, label: str = "name") -> dict[str, float]:
    """But for the times at which counters began."""
    return {
        "/".join([sample.name.removeprefix("modelward_"), *list(sample.labels.values())[2:]]): sample.value
        for family in families
        for sample in family.samples
        if (sample.labels.get("namespace"), sample.labels.get(label)) == (NAMESPACE, name)
        and not sample.name.endswith("_created")
    }


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def rolling(**facts: Any) -> Observed:
    routes = router(A, arms=(Arm("candidate", B, 10, 30), Arm("b", C, 20, 5)), progress=Progress(B))
    values = {"rollout": CANARIES, "clock": Clock(1000.0), "variants": (VARIANT,), **facts}
    return observed(B, revision(A), revision(B), revision(C), router=routes, **values)


def gate(name: str, verdict: str) -> dict[str, Any]:
    return {"name": name, "verdict": verdict}


ALONE = observed(A, revision(A), router=router(A))
CONDITIONS = {"modeldeployment_servable": 1.0, "modeldeployment_stalled": 0.0}
OF_ONE = {
    "modeldeployment_ready": 1.0, **CONDITIONS, "modeldeployment_not_compiled": 0.0,
    "traffic_weight_ratio/stable": 1.0, "traffic_weight_ratio/candidate": 0.0,
    "traffic_mirror_ratio/stable": 0.0, "traffic_mirror_ratio/candidate": 0.0, f"traffic_revision/stable/{A}/": 1.0,
}  # fmt: skip


def test_a_model_without_a_rollout(fleet: Fleet) -> None:
    fleet.show(ALONE)
    assert fleet.told() == OF_ONE
    fleet.show(replace(ALONE, revisions={A: revision(A, ready=0)}))
    assert fleet.told() == OF_ONE | {"modeldeployment_ready": 0.0, "modeldeployment_servable": 0.0}


@pytest.mark.parametrize(("trouble", "usable"), [(None, 1.0), (Trouble("ClaimMissing", "There is none"), 0.0)])
def test_a_model_with_a_cache(trouble: Trouble | None, usable: float, fleet: Fleet) -> None:
    fleet.show(ALONE, further=(condition("shared", trouble), None))
    assert fleet.told() == OF_ONE | {"modeldeployment_cache_usable": usable}


@pytest.mark.parametrize("works", [True, False])
def test_a_model_with_an_autoscaler(works: bool, fleet: Fleet) -> None:
    fleet.show(ALONE, further=(None, Condition("Autoscaled", works, "Any", "")))
    assert fleet.told() == OF_ONE | {"modeldeployment_autoscaled": float(works)}


def test_a_rollout_with_a_variant_and_gates(fleet: Fleet) -> None:
    candidate = replace(revision(B), model=replace(MODEL, version="7"))
    facts = rolling()
    fleet.show(
        replace(facts, revisions={**facts.revisions, B: candidate}),
        [gate("errorRate", "Pass"), gate("latency", "Inconclusive"), gate("revenue", "Fail")],
    )
    assert fleet.told() == {
        "modeldeployment_ready": 0.0, **CONDITIONS, "modeldeployment_not_compiled": 0.0,
        "traffic_weight_ratio/stable": 0.7, "traffic_weight_ratio/candidate": 0.1, "traffic_weight_ratio/b": 0.2,
        "traffic_mirror_ratio/stable": 0.0, "traffic_mirror_ratio/candidate": 0.0, "traffic_mirror_ratio/b": 0.05,
        f"traffic_revision/stable/{A}/": 1.0, f"traffic_revision/candidate/{B}/7": 1.0, f"traffic_revision/b/{C}/": 1.0,
        "rollout_phase/Progressing": 1.0, "rollout_step": 1.0,
        "rollout_gate/errorRate": 1.0, "rollout_gate/latency": 0.0, "rollout_gate/revenue": -1.0,
    }  # fmt: skip


def test_what_outcomes_say_of_arms(fleet: Fleet) -> None:
    outcomes = {"difference": "-0.02", "low": "-0.03", "high": "-0.01"}
    judged = {**gate("quality:accuracy", "Fail"), "outcomes": outcomes}
    unknown = {**gate("quality:worth", "Inconclusive"), "outcomes": {"looks": 0}}
    fleet.show(rolling(), [judged, unknown], further=(None, None, Condition("OutcomesCompared", None, "Any", "")))
    (variant,) = fleet.models[NAME]["status"]["variants"]
    variant["quality"] = {"metrics": [{"name": "r2", "difference": "0.5"}]}
    shown = fleet.told()
    assert {name: value for name, value in shown.items() if "outcome" in name} == {
        "outcome_difference/candidate/accuracy": -0.02, "outcome_difference_low/candidate/accuracy": -0.03,
        "outcome_difference_high/candidate/accuracy": -0.01, "outcome_difference/b/r2": 0.5,
        "modeldeployment_outcomes_compared": 0.0,
    }  # fmt: skip
    assert shown["rollout_gate/quality:accuracy"] == -1.0


def test_what_is_no_longer_true_goes(fleet: Fleet) -> None:
    candidate = replace(revision(B), model=replace(MODEL, version="7"))
    facts = rolling()
    fleet.show(
        replace(facts, revisions={**facts.revisions, B: candidate}),
        [gate("errorRate", "Pass"), gate("latency", "Pass")],
    )
    fleet.show(rolling(command="pause", variants=()), [gate("latency", "Fail")])
    shown = fleet.told()
    assert {name for name in shown if name.startswith("rollout")} == {
        "rollout_phase/Paused", "rollout_step", "rollout_gate/latency",
    }  # fmt: skip
    assert not any(name.endswith("/b") for name in shown)
    fleet.show(ALONE)
    assert fleet.told() == OF_ONE, "spec went back to the stable, and nothing is left of the rollout"


def test_a_model_that_is_not_compiled(fleet: Fleet) -> None:
    fleet.show(ALONE)
    fleet.models[NAME]["status"]["stable"]["fallback"] = "no converter"
    assert fleet.told()["modeldeployment_not_compiled"] == 1.0


@pytest.mark.parametrize(("status", "value"), [("True", 1.0), ("False", 0.0), ("Unknown", 0.0), (None, None)])
def test_whether_the_registry_was_told(fleet: Fleet, status: str | None, value: float | None) -> None:
    fleet.show(observed(A, revision(A), router=router(A)))
    if status is not None:
        fleet.models[NAME]["status"]["conditions"].append({"type": "WrittenBack", "status": status})
    assert fleet.told().get("modeldeployment_written_back") == value


def test_all_goes_with_the_model_and_nothing_of_another(fleet: Fleet) -> None:
    candidate = replace(revision(B), model=replace(MODEL, version="7"))
    facts = rolling()
    fleet.show(replace(facts, revisions={**facts.revisions, B: candidate}), [gate("errorRate", "Pass")])
    fleet.show(ALONE, name="other")
    del fleet.models[NAME]
    assert fleet.told() == {}
    assert fleet.told("other") == OF_ONE


def test_what_ended_is_counted_until_the_object_goes() -> None:
    for name in (NAME, "other"):
        for result in (PROMOTED, ROLLED_BACK, ABORTED):
            telemetry.ROLLOUTS.labels(NAMESPACE, name, result).inc()
        for result in runs.RESULTS:
            telemetry.RETRAINING_RUNS.labels(NAMESPACE, name, result).inc()
    assert series(REGISTRY.collect(), NAME)["rollouts_total/Promoted"] == 1.0
    telemetry.forget_model(NAMESPACE, NAME)
    telemetry.forget_policy(NAMESPACE, NAME, runs.RESULTS)
    assert series(REGISTRY.collect(), NAME) == series(REGISTRY.collect(), NAME, "policy") == {}
    assert len(series(REGISTRY.collect(), "other")) == 3
    telemetry.forget_model(NAMESPACE, "other")
    telemetry.forget_policy(NAMESPACE, "other", runs.RESULTS)


def test_no_series_of_an_object_or_its_namespace_is_forgotten_to_be_forgotten() -> None:
    """Whatever counter with such a label is added."""
    counters = [each for each in vars(telemetry).values() if {"namespace"} & set(getattr(each, "_labelnames", ()))]
    assert len(counters) >= 3
    gone = dict.fromkeys(("name", "policy"), NAME) | {"namespace": NAMESPACE}
    results = (*runs.RESULTS, runs.DELETED, PROMOTED, ROLLED_BACK, ABORTED)
    for counter in counters:
        for result in results:
            counter.labels(**{label: gone.get(label, result) for label in counter._labelnames}).inc()
    telemetry.forget_model(NAMESPACE, NAME)
    telemetry.forget_policy(NAMESPACE, NAME, results)
    telemetry.forget_batch(NAMESPACE, NAME, results)
    telemetry.forget_namespace(NAMESPACE)
    for counter in counters:
        left = [each for each in counter.collect()[0].samples if each.labels["namespace"] == NAMESPACE]
        assert {each.labels.get("result") for each in left} <= set(results) - {PROMOTED, ROLLED_BACK, ABORTED}, left
        counter.clear()


def test_what_may_end_is_shown_before_it_does() -> None:
    """Prometheus' increase() of a series that begins at 1 is 0."""
    telemetry.expect_model(NAMESPACE, NAME)
    telemetry.expect_policy(NAMESPACE, NAME, (*runs.RESULTS, runs.DELETED))
    telemetry.expect_batch(NAMESPACE, "nightly", batches.RESULTS)
    rollouts, policies = series(REGISTRY.collect(), NAME), series(REGISTRY.collect(), NAME, "policy")
    of_batch = series(REGISTRY.collect(), "nightly")
    telemetry.forget_batch(NAMESPACE, "nightly", batches.RESULTS)
    telemetry.forget_model(NAMESPACE, NAME)
    telemetry.forget_policy(NAMESPACE, NAME, (*runs.RESULTS, runs.DELETED))
    assert rollouts == {f"rollouts_total/{each}": 0.0 for each in (PROMOTED, ROLLED_BACK, ABORTED)}
    assert of_batch == {"batch_runs_total/Succeeded": 0.0, "batch_runs_total/Failed": 0.0}
    assert series(REGISTRY.collect(), "nightly") == {}
    assert policies == {f"retraining_runs_total/{each}": 0.0 for each in (*runs.RESULTS, runs.DELETED)}


@pytest.mark.parametrize(
    ("slo", "shown"),
    [
        (None, {}),
        ({"availability": "99.9%"}, {"slo_availability_objective_ratio": 0.999}),
        (
            {"availability": "99.95%", "latency": {"threshold": "200ms", "objective": "99%"}},
            {
                "slo_availability_objective_ratio": 0.9995, "slo_latency_objective_ratio": 0.99,
                "slo_latency_threshold_seconds/200/0.2": 0.2,
            },
        ),
        # What is judged is the next bound.
        (
            {"latency": {"threshold": "1100ms", "objective": "50%"}},
            {"slo_latency_objective_ratio": 0.5, "slo_latency_threshold_seconds/1500/1.5": 1.5},
        ),
        # Of other hands: nothing, and nothing of anybody else's is lost.
        ({"latency": {"threshold": "soon"}}, {}),
        (7, {}),
    ],
)  # fmt: skip
def test_an_slo_is_shown_as_rules_need_it(fleet: Fleet, slo: Any, shown: dict[str, float]) -> None:
    fleet.show(ALONE)
    fleet.models[NAME]["spec"] = {"slo": slo} if slo is not None else {}
    assert fleet.told() == OF_ONE | {name: pytest.approx(value) for name, value in shown.items()}


def test_who_needs_a_person(fleet: Fleet) -> None:
    fleet.show(ALONE)
    for each in fleet.models[NAME]["status"]["conditions"]:
        each["status"] = "True" if each["type"] == "Stalled" else each["status"]
    assert fleet.told()["modeldeployment_stalled"] == 1.0


def test_a_step_has_begun_only_while_the_rollout_goes_on(fleet: Fleet) -> None:
    fleet.show(rolling())
    rollout = fleet.models[NAME]["status"]["rollout"]
    assert "rollout_step_started_timestamp_seconds" not in fleet.told(), "it waits for pods"
    rollout["stepStartedAt"] = "1970-01-01T01:00:00.5+00:00"
    assert fleet.told()["rollout_step_started_timestamp_seconds"] == 3600.5
    rollout["endedAt"] = WHEN
    assert "rollout_step_started_timestamp_seconds" not in fleet.told()


def test_a_policy_tells_of_its_targets(fleet: Fleet) -> None:
    fleet.policies["p"] = body("p", {"conditions": [{"type": "Stalled", "status": "True"}]})
    fleet.targets["p"] = (Told("a", DRIFTED, True), Told("b", NO_DRIFT, False), Told("c", UNKNOWN, False))
    assert fleet.told("p", "policy") == {
        "drift_detected/a": 1.0, "drift_detected/b": 0.0,
        "retraining_active/a": 1.0, "retraining_active/b": 0.0, "retraining_active/c": 0.0,
        "driftpolicy_stalled": 1.0,
    }  # fmt: skip


def test_a_policy_tells_what_outcomes_say_of_a_target_and_of_which_revision(fleet: Fleet) -> None:
    values = {"f1": Value(0.7, 0.6, 0.8, 90), "r2": Value(0.5, None, None, 90)}
    gaps = (Gap("equalizedOdds", "ratio", Value(0.9, 0.8, 1.0, 90), "m", "f", 0),)
    parts = (("country", "de", "f1", Value(0.4, 0.3, 0.5, 20)),)
    said = Measured("r1", 90, {"matured": 100, "withOutcome": 75}, values, {}, parts, gaps)
    kept = Kept("j", 9.0, Cohort(9.0, 1.0, 2.0, 0.95, "b"), "m", 9.0, measured=said)
    conditions = [{"type": "Stalled", "status": "False"}, {"type": "Measured", "status": "True"}]
    fleet.policies["p"] = body("p", {"conditions": conditions})
    fleet.targets["p"] = (
        Told("a", UNKNOWN, False, kept, {"window": False, "quality": True}),
        Told("b", UNKNOWN, False, Kept()),
    )
    assert fleet.told("p", "policy") == {
        "retraining_active/a": 0.0, "retraining_active/b": 0.0, "driftpolicy_stalled": 0.0, "driftpolicy_measured": 1.0,
        "signal_breached/a/window": 0.0, "signal_breached/a/quality": 1.0,
        "quality/a/r1/f1//": 0.7, "quality_low/a/r1/f1//": 0.6, "quality_high/a/r1/f1//": 0.8, "quality/a/r1/r2//": 0.5,
        "quality/a/r1/f1/country/de": 0.4, "quality_low/a/r1/f1/country/de": 0.3,
        "quality_high/a/r1/f1/country/de": 0.5, "quality_rows/a/r1": 90.0, "quality_coverage_ratio/a/r1": 0.75,
        "quality_cohort_end_timestamp_seconds/a/r1": 2.0, "fairness/a/r1/equalizedOdds/ratio": 0.9,
    }  # fmt: skip


@pytest.mark.parametrize(
    "status",
    [
        None, {}, {"observedGeneration": 1}, {"conditions": [], "stable": {}}, {"conditions": 3, "stable": {}},
        {"conditions": [{"type": "Ready", "status": "True"}], "stable": {"weight": "all of it"}},
        {"conditions": [{"type": "Ready", "status": "True"}], "stable": {}, "rollout": {"phase": "Promoted"}},
        {"conditions": [{"type": "Ready", "status": "True"}], "stable": {}, "rollout": 3},
    ],
)  # fmt: skip
def test_a_status_of_other_hands_hides_itself_alone(fleet: Fleet, status: Any) -> None:
    fleet.models["first"] = body("first", status)
    fleet.policies["first"] = body("first", status and {**status, "targets": [{"name": "a"}]})
    fleet.show(ALONE)
    assert fleet.told() == OF_ONE
    assert fleet.told("first") == {}


def test_a_status_of_other_hands_spoils_no_scrape(fleet: Fleet) -> None:
    gates = [{"name": 3, "verdict": "Pass"}, {"name": "a", "verdict": "Pass"}, {"name": "a", "verdict": "Fail"}]
    rollout = {"phase": ["Promoted"], "step": 1, "gates": gates}
    fleet.show(ALONE)
    fleet.models[NAME]["status"]["rollout"] = rollout
    text = generate_latest(StatusMetrics(list(fleet.models.values()))).decode()
    found = [line for line in text.splitlines() if line.startswith("modelward_rollout_gate{")]
    assert [line.rpartition(" ")[2] for line in found] == ["1.0", "-1.0"]


async def test_a_scrape_has_both_and_shows_the_fleet_of_its_moment(unused_tcp_port: int, fleet: Fleet) -> None:
    def statuses() -> StatusMetrics:
        return StatusMetrics(list(fleet.models.values()))

    fleet.show(ALONE)
    runner = await health.serve(unused_tcp_port, lambda: None, statuses)
    try:
        async with ClientSession() as session:

            async def scrape() -> str:
                async with session.get(f"http://127.0.0.1:{unused_tcp_port}/metrics") as response:
                    assert response.status == 200
                    return await response.text()

            ready = f'modelward_modeldeployment_ready{{name="{NAME}",namespace="{NAMESPACE}"}} 1.0'
            first = await scrape()
            assert ready in first
            assert "modelward_workqueue_depth" in first
            assert len(list(text_string_to_metric_families(first))) > len(METRICS)
            fleet.models.clear()
            assert ready not in await scrape()
    finally:
        await runner.cleanup()


def test_namespaces_that_are_left_alone_are_shown_by_why_and_only_while_they_are() -> None:
    def shown(**left_alone: frozenset[str]) -> dict[tuple[str, str], float]:
        (family,) = (
            each for each in StatusMetrics(left_alone=left_alone).collect() if each.name.endswith("left_alone")
        )
        return {(each.labels["namespace"], each.labels["reason"]): each.value for each in family.samples}

    assert shown(claimed=frozenset({"a", "b"}), forbidden=frozenset({"c"})) == {
        ("a", "claimed"): 1.0, ("b", "claimed"): 1.0, ("c", "forbidden"): 1.0,
    }  # fmt: skip
    assert shown(claimed=frozenset({"b"}), forbidden=frozenset()) == {("b", "claimed"): 1.0}


def test_how_far_an_upgrade_is() -> None:
    shown = generate_latest(StatusMetrics(fleet={"current": 3, "failed": 1})).decode()
    assert 'modelward_platform_models{phase="current"} 3.0' in shown
    assert 'modelward_platform_models{phase="failed"} 1.0' in shown


def test_what_is_shown_of_a_batch() -> None:
    runs_of = [
        {"name": "b-2", "trigger": "Schedule", "result": "Failed", "reason": "RunFailed", "seconds": 7.5,
         "started": "2026-01-02T00:00:00Z", "ended": "2026-01-02T00:00:07Z", "model": {"name": "m", "uri": "u"}},
        {"name": "b-1", "trigger": "Schedule", "result": "Succeeded", "reason": "Succeeded", "seconds": 5.0,
         "started": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:00:05Z", "model": {"name": "m", "uri": "u"}},
    ]  # fmt: skip
    status = {
        "conditions": [{"type": "Stalled", "status": "True"}], "rows": 100, "rejected": 2, "runs": runs_of,
    }  # fmt: skip
    body = {"metadata": {"namespace": NAMESPACE, "name": NAME}, "spec": {}, "status": status}
    assert series(StatusMetrics(batches=[body]).collect(), NAME) == {
        "batchinference_stalled": 1.0,
        "batchinference_active": 0.0,
        "batchinference_rows/scored": 100.0,
        "batchinference_rows/rejected": 2.0,
        "batchinference_last_run_duration_seconds": 7.5,
        "batchinference_last_success_timestamp_seconds": 1767225605.0,
    }
    fresh = {**body, "status": {"observedGeneration": -1}}
    assert series(StatusMetrics(batches=[fresh]).collect(), NAME) == {}
