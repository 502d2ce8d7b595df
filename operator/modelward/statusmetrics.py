"""The metrics of what is reconciled: what the statuses say, rendered when somebody scrapes.

Invariant: nothing is kept between two scrapes, so that a reconcile has nothing to do for metrics, and what is gone from
the cluster, or no longer true, has no series. What the numbers are made of must not change while they are rendered:
cached objects are replaced and never changed, so that a list of them may be read in another thread.
Failure: a status that can't be read (somebody else wrote it) has no series until it is written anew; all others do.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from modelward.api.conditions import FEATURE_PARITY, INPUT_DRIFT, MEASURED, OUTCOMES_COMPARED
from modelward.api.modeldeployment import parse_slo
from modelward.api.traffic import CANDIDATE
from modelward.batches.run import SUCCEEDED, Entry, remembered
from modelward.drift.verdicts import DRIFTED, NO_DRIFT
from modelward.monitoring.status import Monitored, condition, unreachable
from modelward.quality.measured import Kept
from modelward.retraining.conditions.status import Told
from modelward.routing.latency import bound_of
from modelward.values.durations import seconds, share
from modelward.values.times import read_time

log = logging.getLogger(__name__)

Series = tuple[str, tuple[str, ...], float]
"""A metric's name without its prefix, the values of its labels, and its value."""

MODEL: Final = ("namespace", "name")
POLICY: Final = ("namespace", "policy")

METRICS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "modeldeployment_ready": ("1 while the condition Ready is True; a series a ModelDeployment.", MODEL),
    "modeldeployment_not_compiled": (
        "1 while the stable revision serves the artifact as it is although compiling was asked for; status says why.",
        MODEL,
    ),
    "modeldeployment_servable": (
        "1 while somebody gets answers, whatever else goes on (the condition Servable); a series a ModelDeployment.",
        MODEL,
    ),
    "modeldeployment_stalled": (
        "1 while a ModelDeployment needs a person (the condition Stalled); a series a ModelDeployment.", MODEL,
    ),
    "slo_availability_objective_ratio": ("spec.slo.availability, from 0 to 1; a series a model with one.", MODEL),
    "slo_latency_objective_ratio": ("spec.slo.latency.objective, from 0 to 1; a series a model with one.", MODEL),
    "slo_latency_threshold_seconds": (
        "spec.slo.latency.threshold as it is judged: the next bound of the histograms, and its `le` in routers and in "
        "servers.",
        (*MODEL, "le_milliseconds", "le_seconds"),
    ),
    "traffic_weight_ratio": (
        "Share of the requests that an arm gets, from 0 to 1: stable, candidate, or a variant's name.", (*MODEL, "arm"),
    ),
    "traffic_revision": (
        "1 for the revision that an arm is, and its version in the registry; to be joined with what tells of arms.",
        (*MODEL, "arm", "revision", "version"),
    ),
    "traffic_mirror_ratio": ("Share of the requests that an arm gets a copy of, from 0 to 1.", (*MODEL, "arm")),
    "rollout_phase": (
        "1 for the phase of the last rollout; a series a ModelDeployment that had one.", (*MODEL, "phase"),
    ),
    "rollout_step": ("The step of the last rollout, from 1.", MODEL),
    "rollout_step_started_timestamp_seconds": (
        "When the step of the rollout that is under way began, since the epoch.", MODEL,
    ),
    "rollout_gate": (
        "What a gate of the last rollout says: 1 Pass, 0 Inconclusive, -1 Fail.", (*MODEL, "gate"),
    ),
    "outcome_difference": (
        "What outcomes say: a metric of an arm (candidate, of the last rollout, or a variant's name) less that of the "
        "stable.", (*MODEL, "arm", "metric"),
    ),
    "outcome_difference_low": ("The lower end of its interval.", (*MODEL, "arm", "metric")),
    "outcome_difference_high": ("The upper end.", (*MODEL, "arm", "metric")),
    "modeldeployment_outcomes_compared": (
        "1 while outcomes of arms are held against the stable's, or no arm gets requests; a series a ModelDeployment "
        "with spec.rollout.gates.quality.", MODEL,
    ),
    "modeldeployment_resolved": (
        "1 while the registry says what spec.model.uri means; a series a ModelDeployment that needs one.", MODEL,
    ),
    "modeldeployment_cache_usable": (
        "1 while the condition CacheUsable is True; a series a ModelDeployment with a cache.", MODEL,
    ),
    "modeldeployment_autoscaled": (
        "1 while the condition Autoscaled is True; a series a ModelDeployment with spec.autoscaling.", MODEL,
    ),
    "modeldeployment_written_back": (
        "1 while the registry has been told what became of its versions; a series a ModelDeployment whose registry has "
        "spec.writeBack.", MODEL,
    ),
    "modelregistry_ready": ("1 while a ModelRegistry answers its login.", MODEL),
    "monitored": ("1 while the condition Monitored is True; a series a ModelDeployment with a monitor.", MODEL),
    "monitored_rows": (
        "Rows since the stable revision runs, of all its pods: counted, sampled_out, dropped, refused or lost.",
        (*MODEL, "result"),
    ),
    "monitors_unreachable": (
        "Pods of the stable revision whose monitor does not answer the operator; those that start are none.", MODEL,
    ),
    "prediction_logged": (
        "1 while every row of the prediction log is in its store, or on its way; a series a model with one.", MODEL,
    ),
    "prediction_log_rows": (
        "Rows of the prediction log, of the pods that there are: written, stored, waiting or lost.", (*MODEL, "result"),
    ),
    "drift": (
        "The metric of the worst features in the last window, pooled over all pods.", (*MODEL, "metric", "feature"),
    ),
    "drift_cut": (
        "What it has to reach: the threshold, or what chance alone reaches.", (*MODEL, "feature"),
    ),
    "drifted_features": ("Features that drifted in the last window.", MODEL),
    "drift_detected": (
        "1 while a model drifts by a DriftPolicy's rules, 0 while it does not.", (*POLICY, "model"),
    ),
    "retraining_active": (
        "1 while a retraining run of a DriftPolicy goes on, until its rollout has ended.", (*POLICY, "model"),
    ),
    "quality": (
        "What outcomes say of a model, by its latest cohort. segment and part: empty for all rows.",
        (*POLICY, "model", "revision", "metric", "segment", "part"),
    ),
    "quality_low": (
        "The lower end of its interval, at the level that the policy's alarm budget sets.",
        (*POLICY, "model", "revision", "metric", "segment", "part"),
    ),
    "quality_high": ("The upper end.", (*POLICY, "model", "revision", "metric", "segment", "part")),
    "quality_rows": ("Rows with an outcome of that cohort.", (*POLICY, "model", "revision")),
    "quality_coverage_ratio": (
        "The share of that cohort's predictions that an outcome came for, from 0 to 1.", (*POLICY, "model", "revision"),
    ),
    "quality_cohort_end_timestamp_seconds": (
        "Until when predictions are in that cohort, as a Unix time.", (*POLICY, "model", "revision"),
    ),
    "fairness": (
        "How far groups are apart. comparison: difference or ratio.",
        (*POLICY, "model", "revision", "parity", "comparison"),
    ),
    "signal_breached": (
        "1 while a signal of this kind (window, quality, fairness, business, concept) is beyond its bound.",
        (*POLICY, "model", "kind"),
    ),
    "concept_drift_evidence": (
        "Evidence that the loss has risen since the revision's first days, of all rows and by segment; 1 is an alarm.",
        (*POLICY, "model", "revision", "segment", "part"),
    ),
    "driftpolicy_measured": (
        "1 while outcomes of all targets are joined with their predictions; a series a policy with spec.quality.",
        POLICY,
    ),
    "driftpolicy_feature_parity": (
        "1 while the requests of all targets have the features of training (the condition FeatureParity), 0 while a "
        "column of one is unequal; a series a policy with spec.parity, once it is known.", POLICY,
    ),
    "driftpolicy_features_compared": (
        "1 while it is known whether requests have the features of training; a series a policy with spec.parity.",
        POLICY,
    ),
    "feature_unequal_ratio": (
        "Share of the values of a logged column that are not what the training pipeline says, from 0 to 1, of the last "
        "check; the worst columns.", (*POLICY, "model", "revision", "column"),
    ),
    "platform_models": (
        "ModelDeployments by how far their pods are what this operator makes of them: current, waiting (a rollout or a "
        "pause comes first), ready (in line), updating, failed, refused or skipped.", ("phase",),
    ),
    "driftpolicy_stalled": ("1 while a DriftPolicy needs a person.", POLICY),
    "batchinference_stalled": ("1 while a BatchInference needs a person: its run failed, or can't begin.", MODEL),
    "batchinference_active": ("1 while a run of a BatchInference goes on.", MODEL),
    "batchinference_rows": (
        "Rows of the run that goes on, or of the last one: scored (refused ones, too) and rejected.",
        (*MODEL, "result"),
    ),
    "batchinference_last_run_duration_seconds": ("How long the last run took.", MODEL),
    "batchinference_last_success_timestamp_seconds": (
        "When the last run that succeeded ended, as a Unix time; of the ten that status remembers.", MODEL,
    ),
    "batchinference_drift_detected": (
        "1 while the rows of the last run that was judged drift, 0 while they do not; no series while nobody knows.",
        MODEL,
    ),
    "batchinference_drift_judged": (
        "1 while it is known whether the rows of a batch drift; a series a BatchInference that asks for it, from its "
        "first run on.", MODEL,
    ),
    "batchinference_drifted_features": ("Features that drift in the rows of the last run that was judged.", MODEL),
    "batchinference_drift": (
        "The metric of the worst features in the rows of that run, pooled over all pods.",
        (*MODEL, "metric", "feature"),
    ),
    "batchinference_drift_cut": (
        "What it has to reach: the threshold, or what chance alone reaches.", (*MODEL, "feature"),
    ),
    "namespace_left_alone": (
        "1 for each namespace that this installation leaves alone: claimed by another one, or forbidden.",
        ("namespace", "reason"),
    ),
}  # fmt: skip
"""Help and labels, by name without prefix. But for one series an object where it says so, labels are bounded."""

PREFIX: Final = "modelward_"

_VERDICTS: Final = {"Pass": 1, "Inconclusive": 0, "Fail": -1}


@dataclass(frozen=True)
class StatusMetrics(Collector):
    """What is shown in one scrape. `models`, `policies`, `registries`, `batches`: as they are cached; `monitored`,
    `targets`: by namespace and name, since a policy's status tells of a few of its targets alone; `left_alone`:
    namespaces, by why; `fleet`: models by phase of their update."""

    models: Sequence[Mapping[str, Any]] = ()
    policies: Sequence[Mapping[str, Any]] = ()
    monitored: Mapping[tuple[str, str], Monitored] = field(default_factory=dict)
    targets: Mapping[tuple[str, str], Sequence[Told]] = field(default_factory=dict)
    left_alone: Mapping[str, Collection[str]] = field(default_factory=dict)
    fleet: Mapping[str, int] = field(default_factory=dict)
    registries: Sequence[Mapping[str, Any]] = ()
    batches: Sequence[Mapping[str, Any]] = ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = {
            name: GaugeMetricFamily(f"{PREFIX}{name}", text, labels=labels) for name, (text, labels) in METRICS.items()
        }
        for name, labels, value in self._series():
            families[name].add_metric(labels, value)
        yield from families.values()

    def _series(self) -> Iterator[Series]:
        for body in self.models:
            yield from _readable(of_model, body)
            yield from _readable(of_slo, body)
        for body in self.policies:
            yield from _readable(of_policy, body)
        for body in self.registries:
            yield from _readable(of_registry, body)
        for body in self.batches:
            yield from _readable(of_batch, body)
        for owner, seen in self.monitored.items():
            yield from of_monitors(owner, seen)
        for owner, told in self.targets.items():
            yield from of_targets(owner, told)
        for reason, namespaces in self.left_alone.items():
            for namespace in sorted(namespaces):
                yield "namespace_left_alone", (namespace, reason), 1.0
        for phase, models in self.fleet.items():
            yield "platform_models", (phase,), float(models)


def _readable(render: Callable[[Mapping[str, Any]], Iterable[Series]], body: Mapping[str, Any]) -> list[Series]:
    if not body.get("status"):
        return []
    try:
        # One series of a kind, and of texts: anything else would spoil what is shown of everybody else.
        shown = {(name, tuple(map(str, labels))): value for name, labels, value in render(body)}
        return [(name, labels, value) for (name, labels), value in shown.items()]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        metadata = body["metadata"]
        log.warning("%s/%s: no metrics, the status can't be read: %r", metadata["namespace"], metadata["name"], error)
        return []


def of_model(body: Mapping[str, Any]) -> Iterator[Series]:
    """Of a ModelDeployment. Raises KeyError, TypeError for what is no status of ours."""
    status, owner = body["status"], _name_of(body)
    rollout, found = status.get("rollout"), {each["type"] for each in status["conditions"]}
    yield "modeldeployment_ready", owner, _is_true(status, "Ready")
    for word in ("Servable", "Stalled"):
        if word in found:
            yield f"modeldeployment_{word.lower()}", owner, _is_true(status, word)
    if "Resolved" in found:
        yield "modeldeployment_resolved", owner, _is_true(status, "Resolved")
    if "PredictionLogged" in found:
        yield "prediction_logged", owner, _is_true(status, "PredictionLogged")
        for result in ("written", "stored", "waiting", "lost"):
            yield "prediction_log_rows", (*owner, result), float(status["predictionLog"][result])
    if "CacheUsable" in found:
        yield "modeldeployment_cache_usable", owner, _is_true(status, "CacheUsable")
    if "Autoscaled" in found:
        yield "modeldeployment_autoscaled", owner, _is_true(status, "Autoscaled")
    if OUTCOMES_COMPARED in found:
        yield "modeldeployment_outcomes_compared", owner, _is_true(status, OUTCOMES_COMPARED)
    if "WrittenBack" in found:
        yield "modeldeployment_written_back", owner, _is_true(status, "WrittenBack")
    if "stable" not in status:
        return  # nothing was made of it yet
    stable = status["stable"]
    yield "modeldeployment_not_compiled", owner, float("fallback" in stable)
    arms = {"stable": stable, "candidate": status.get("candidate") or {}}
    arms |= {each["name"]: each for each in status.get("variants") or ()}
    for arm, shown in arms.items():
        yield "traffic_weight_ratio", (*owner, arm), float(shown.get("weight", 0)) / 100
        yield "traffic_mirror_ratio", (*owner, arm), float(shown.get("mirrorPercent", 0)) / 100
        if "revision" in shown:
            yield "traffic_revision", (*owner, arm, shown["revision"], shown.get("version", "")), 1.0
    if rollout:
        yield "rollout_phase", (*owner, rollout["phase"]), 1.0
        yield "rollout_step", owner, float(rollout["step"])
        if "endedAt" not in rollout and "stepStartedAt" in rollout:
            yield "rollout_step_started_timestamp_seconds", owner, read_time(rollout["stepStartedAt"])
        for gate in rollout.get("gates") or ():
            yield "rollout_gate", (*owner, gate["name"]), float(_VERDICTS[gate["verdict"]])
            if "difference" in (gate.get("outcomes") or {}):
                yield from _difference((*owner, CANDIDATE, gate["name"].partition(":")[2]), gate["outcomes"])
    for variant in status.get("variants") or ():
        for each in (variant.get("quality") or {}).get("metrics") or ():
            yield from _difference((*owner, variant["name"], each["name"]), each)


def _difference(labels: tuple[str, ...], told: Mapping[str, Any]) -> Iterator[Series]:
    """Of an arm from the stable, by outcomes."""
    ends = {"": "difference", "_low": "low", "_high": "high"}
    for suffix, name in ends.items():
        if name in told:
            yield f"outcome_difference{suffix}", labels, float(told[name])


def of_slo(body: Mapping[str, Any]) -> Iterator[Series]:
    """Of spec.slo. Raises KeyError, TypeError, ValueError for what is no spec of ours."""
    raw, owner = (body.get("spec") or {}).get("slo"), _name_of(body)
    slo = None if raw is None else parse_slo(raw)
    if slo is not None and slo.availability is not None:
        yield "slo_availability_objective_ratio", owner, share(slo.availability)
    if slo is not None and slo.latency is not None:
        yield "slo_latency_objective_ratio", owner, share(slo.latency.objective)
        bound = bound_of(seconds(slo.latency.threshold))
        yield "slo_latency_threshold_seconds", (*owner, f"{bound:g}", f"{bound / 1000:g}"), bound / 1000


def of_monitors(owner: tuple[str, str], seen: Monitored) -> Iterator[Series]:
    """Of a ModelDeployment's monitors; of features, only the worst."""
    yield "monitored", owner, float(bool(condition(seen).status))
    yield "monitors_unreachable", owner, float(len(unreachable(seen)))
    for result, rows in (asdict(seen.intake) if seen.intake else {}).items():
        yield "monitored_rows", (*owner, result), float(rows)
    if seen.window is None:
        return
    yield "drifted_features", owner, float(len(seen.drifted))
    for each in seen.decisions[: seen.top]:
        statistic = each.statistic
        yield "drift", (*owner, statistic.metric, statistic.feature), float(statistic.value)
        yield "drift_cut", (*owner, statistic.feature), float(each.cut)


def of_policy(body: Mapping[str, Any]) -> Iterator[Series]:
    """Of a DriftPolicy. Raises KeyError, TypeError as of_model does."""
    yield "driftpolicy_stalled", _name_of(body), _is_true(body["status"], "Stalled")
    if any(each["type"] == MEASURED for each in body["status"]["conditions"]):
        yield "driftpolicy_measured", _name_of(body), _is_true(body["status"], MEASURED)
    for each in body["status"]["conditions"]:
        if each["type"] == FEATURE_PARITY:
            known = each["status"] != "Unknown"
            # A problem that comes and goes is not one of the features: what is not known has no series.
            yield "driftpolicy_features_compared", _name_of(body), float(known)
            if known:
                yield "driftpolicy_feature_parity", _name_of(body), float(each["status"] == "True")


def of_registry(body: Mapping[str, Any]) -> Iterator[Series]:
    """Of a ModelRegistry. Raises KeyError, TypeError as of_model does."""
    yield "modelregistry_ready", _name_of(body), _is_true(body["status"], "Ready")


def of_batch(body: Mapping[str, Any]) -> Iterator[Series]:
    """Of a BatchInference. Raises KeyError, TypeError as of_model does."""
    status, owner = body["status"], _name_of(body)
    yield "batchinference_stalled", owner, _is_true(status, "Stalled")
    yield "batchinference_active", owner, float("active" in status)
    if "rows" in status:
        yield "batchinference_rows", (*owner, "scored"), float(status["rows"])
        yield "batchinference_rows", (*owner, "rejected"), float(status["rejected"])
    runs = remembered(status).runs
    if runs:
        yield "batchinference_last_run_duration_seconds", owner, runs[0].seconds
    good = next((each for each in runs if each.result == SUCCEEDED), None)
    if good is not None:
        yield "batchinference_last_success_timestamp_seconds", owner, read_time(good.ended)

    if any(each["type"] == INPUT_DRIFT for each in status["conditions"]):
        yield from _of_batch_drift(owner, runs)


def _of_batch_drift(owner: tuple[str, str], runs: Sequence[Entry]) -> Iterator[Series]:
    """`runs`: the latest first."""
    drift = next((each.drift for each in runs if each.drift is not None), None)
    if drift is None:
        return
    known = drift.verdict in (DRIFTED, NO_DRIFT)
    yield "batchinference_drift_judged", owner, float(known)
    if not known:
        return
    yield "batchinference_drift_detected", owner, float(drift.verdict == DRIFTED)
    yield "batchinference_drifted_features", owner, float(drift.drifted)
    for each in drift.features:
        if each.value:
            yield "batchinference_drift", (*owner, each.metric, each.name), float(each.value)
        if each.cut:
            yield "batchinference_drift_cut", (*owner, each.name), float(each.cut)


def of_targets(owner: tuple[str, str], told: Iterable[Told]) -> Iterator[Series]:
    """Of a DriftPolicy's targets; a model that is not judged yet has no verdict."""
    for each in told:
        if each.verdict in (DRIFTED, NO_DRIFT):
            yield "drift_detected", (*owner, each.model), float(each.verdict == DRIFTED)
        for kind, breached in each.breached.items():
            yield "signal_breached", (*owner, each.model, kind), float(breached)
        yield "retraining_active", (*owner, each.model), float(each.retraining)
        if each.quality is not None:
            yield from _of_quality((*owner, each.model), each.quality)
        if each.parity is not None and each.parity.found is not None:
            whose = (*owner, each.model, each.parity.found.revision)
            for column in each.parity.found.columns:
                yield "feature_unequal_ratio", (*whose, column.column), column.share


def _of_quality(target: tuple[str, ...], kept: Kept) -> Iterator[Series]:
    """As many as fit into the message of a pod."""
    measured, cohort = kept.measured, kept.cohort
    if measured is None or cohort is None:
        return
    whose = (*target, measured.revision)
    whole = (("", "", name, value) for name, value in measured.values.items())
    for segment, part, name, found in (*whole, *measured.parts):
        labels = (*whose, name, segment, part)
        yield "quality", labels, found.value
        if found.low is not None and found.high is not None:
            yield "quality_low", labels, found.low
            yield "quality_high", labels, found.high
    yield "quality_rows", whose, float(measured.rows)
    yield "quality_cohort_end_timestamp_seconds", whose, cohort.end
    if measured.coverage is not None:
        yield "quality_coverage_ratio", whose, measured.coverage
    for shift in measured.shifts:
        yield "concept_drift_evidence", (*whose, shift.segment, shift.part), shift.evidence
    for gap in measured.gaps:
        yield "fairness", (*whose, gap.name, gap.what), gap.value.value


def _name_of(body: Mapping[str, Any]) -> tuple[str, str]:
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _is_true(status: Mapping[str, Any], condition: str) -> float:
    """Raises KeyError where there is no such condition."""
    return float({each["type"]: each["status"] for each in status["conditions"]}[condition] == "True")
