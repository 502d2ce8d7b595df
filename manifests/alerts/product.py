"""Alerts on models, what watches them, and the operator; those on SLOs are in slo.py.

Where a condition of an object says that a person is needed, the alert is about that, so that it ends when it is dealt
with. What keeps serving as before is a ticket; nobody is woken for what waits until morning.
"""

from typing import Final

from manifests.alerts.requests import COUNTED
from manifests.alerts.rules import MODEL, PAGE, TICKET, Alert, Group, told, total

NAME: Final = "{{ $labels.namespace }}/{{ $labels.name }}"
POLICY: Final = "{{ $labels.namespace }}/{{ $labels.policy }}"

ROLLED_BACK: Final = 'modelward_rollout_phase{phase="RolledBack"}'
SERVABLE: Final = "modelward_modeldeployment_servable"
MODELS: Final = 'modelward_cached_objects{resource="modeldeployments"}'
TARGETS: Final = "namespace, policy, model"
WINDOWS: Final = 'modelward_signal_breached{kind="window"}'
OUTCOMES: Final = 'modelward_signal_breached{kind!="window"}'
"""Of a policy's verdict: what windows show, and what outcomes say."""

DAYS: Final = f"min by ({MODEL}) (envoy_server_days_until_first_cert_expiring)"

FEATURES_FAIL: Final = 0.01
"""Of a model's questions to its feature store, from which on somebody should look."""

TARGET: Final = "job, instance"
"""By which series of one process are joined."""

STEP_SECONDS: Final = 86400
"""No `hold` of a step is longer."""

WORST: Final = (
    '{{ range query (printf "topk(3, max by (feature, metric) (modelward_drift{namespace=%q,name=%q}) / on (feature) '
    'group_left () max by (feature) (modelward_drift_cut{namespace=%q,name=%q}))" $labels.namespace $labels.model '
    '$labels.namespace $labels.model) }} {{ .Labels.feature }}: {{ .Labels.metric }} is {{ printf "%.2f" .Value }} '
    "times what it would have to reach;{{ end }}"
)
"""The three features that drifted most, with numbers."""

DRIFTED: Final = (
    '{{ range query (printf "max(modelward_drifted_features{namespace=%q,name=%q})" $labels.namespace $labels.model) }}'
    '{{ printf "%.0f" .Value }}{{ end }}'
)


def _of_models() -> list[Alert]:
    return [
        Alert(
            "ModelwardModelNotServable", PAGE,
            f"{told(SERVABLE)} == 0\nand on ({MODEL}) {told(f'max_over_time({SERVABLE}[1d])')} == 1",
            f"{NAME} answers nobody",
            "The condition Servable is False, and was True within a day: no revision of the model can answer.",
            "model-not-servable", "5m",
        ),
        Alert(
            "ModelwardModelStalled", TICKET,
            f"{told('modelward_modeldeployment_stalled')} == 1\n"
            f'unless on ({MODEL}) modelward_rollout_phase{{phase=~"RolledBack|Aborted"}} == 1',
            f"{NAME} needs a person",
            "The condition Stalled of the ModelDeployment is True; its message names the cause and the cure. What "
            "served before serves on.",
            "model-stalled", "15m",
        ),
        Alert(
            "ModelwardRolloutStuck", TICKET,
            f"time() - {told('modelward_rollout_step_started_timestamp_seconds')} > {STEP_SECONDS}",
            f"The rollout of {NAME} has been in one step for {{{{ $value | humanizeDuration }}}}",
            "It is paused, or its gates have seen too few requests to decide. The candidate keeps its share.",
            "rollout-stuck", "15m",
        ),
        Alert(
            "ModelwardRolledBack", TICKET, f"{told(ROLLED_BACK)} == 1",
            f"The new version of {NAME} was rolled back",
            "A gate failed, or the candidate did not come up. The stable revision has all the traffic; spec still asks "
            "for the version that was refused.",
            "rolled-back",
        ),
        Alert(
            "ModelwardCertificateEnds", TICKET, f"{DAYS} < 14",
            f"The certificate of {NAME} ends in {{{{ $value }}}} days",
            "Clients are shown it by the model's router (spec.router.tls), and nothing has replaced it.",
            "certificate-ends", "1h",
        ),
        Alert(
            "ModelwardCertificateEnds", PAGE, f"{DAYS} < 2",
            f"The certificate of {NAME} ends in {{{{ $value }}}} days",
            "When it has ended, no client that checks certificates reaches the model any more.",
            "certificate-ends", "15m",
        ),
    ]  # fmt: skip


def _of_what_watches() -> list[Alert]:
    shares = "model:modelward_monitor_values:ratio_rate1h"
    lost = total('increase(modelward_monitor_log_rows_total{result=~"lost_.*"}[1h])')
    questions = "modelward_features_request_duration_seconds_count"
    failed = total(f'increase({questions}{{result="failed"}}[10m])')
    asked = total(f"increase({questions}[10m])")
    silent = f"count by ({MODEL}) (modelward_capture_connected == 0)"
    same = f"on ({MODEL}, issue)"
    # What it was a day ago; of a model that is younger, what its reference had.
    usual = f"({shares} offset 1d or {same} max by ({MODEL}, issue) (modelward_monitor_reference_values_per_row))"
    return [
        Alert(
            "ModelwardDrift", TICKET,
            f"{told('modelward_drift_detected', TARGETS)} == 1\n"
            f"unless on ({TARGETS}) {told(WINDOWS, TARGETS)} == 0",
            "{{ $labels.namespace }}/{{ $labels.model }} drifts by the DriftPolicy {{ $labels.policy }}",
            f"{DRIFTED} features drifted in the last window, more than chance and the thresholds of the policy allow."
            f"{WORST} docs/drift-report.md shows all of them.",
            "drift", "5m",
        ),
        Alert(
            "ModelwardOutcomesWorse", TICKET, f"{told(OUTCOMES, f'{TARGETS}, kind')} == 1",
            "{{ $labels.namespace }}/{{ $labels.model }} is worth less than the DriftPolicy {{ $labels.policy }} "
            "allows: {{ $labels.kind }}",
            "By outcomes, and by more than chance: kubectl describe dp has the values, their intervals, the bounds, "
            "and since when. Whether a retraining run starts is said by spec.actions.",
            "outcomes-worse", "5m",
        ),
        Alert(
            "ModelwardOutcomesMissing", TICKET, f"{told('modelward_driftpolicy_measured', 'namespace, policy')} == 0",
            f"Nobody knows what the models of the DriftPolicy {POLICY} are worth",
            "For a day no evaluation has brought a value: outcomes do not come, or the Job that joins them fails. The "
            "condition Measured says which.",
            "outcomes-missing", "1d",
        ),
        Alert(
            "ModelwardFeaturesUnequal", TICKET,
            f"{told('modelward_driftpolicy_feature_parity', 'namespace, policy')} == 0",
            f"Models of the DriftPolicy {POLICY} are asked something else than they were trained on",
            "Columns of requests differ from what the training pipeline says of the same entity and time, more often "
            "than spec.parity.threshold: kubectl describe dp names them, and since when. Drift sees none of it.",
            "features-unequal", "5m",
        ),
        Alert(
            "ModelwardFeaturesNotCompared", TICKET,
            f"{told('modelward_driftpolicy_features_compared', 'namespace, policy')} == 0",
            f"Nobody knows whether requests have the features of training: the DriftPolicy {POLICY}",
            "For two days no check has brought a result: features do not come, have other keys, or the Job that "
            "compares them fails. The condition FeatureParity says which.",
            "features-not-compared", "2d",
        ),
        Alert(
            "ModelwardDataQuality", TICKET,
            f'(\n  {shares}{{issue="type_errors"}} > 0.01\nor\n'
            f'  ({shares}{{issue!="type_errors"}} > 0.05 and {same} {shares} > {same} 3 * {usual})\n)\n'
            f"and on ({MODEL}) {total(f'increase({COUNTED}[1h])')} >= 100",
            f"{NAME} is asked with bad values: {{{{ $labels.issue }}}}",
            "{{ $value | humanize }} values with this issue for each row of the last hour: values of another type than "
            "the model has, or three times as many as a day ago (of a new model: as in its reference) that are "
            "missing, new, out of range or no number.",
            "data-quality", "15m",
        ),
        Alert(
            "ModelwardMonitorSilent", TICKET,
            f"{told('modelward_monitors_unreachable')} > 0\nor on ({MODEL})\n{silent} > 0",
            f"{{{{ $value }}}} pods of {NAME} are not watched",
            "Their monitors do not answer the operator, or their servers have nobody to hand rows to. The model serves "
            "as before; drift is judged by fewer rows, or not at all.",
            "monitor-silent", "15m",
        ),
        Alert(
            "ModelwardPredictionLogLosesRows", TICKET, f"{lost} > 0",
            f"The prediction log of {NAME} has lost {{{{ $value | humanize }}}} rows within an hour",
            "They are in no file and won't be: the pod's disk was full, or they could not be written or read.",
            "prediction-log-loses-rows", labels={"cause": "lost"},
        ),
        Alert(
            "ModelwardPredictionLogLosesRows", TICKET, f"{told('modelward_monitor_log_failing')} == 1",
            f"The prediction log of {NAME} does not reach its store",
            "Rows wait on the pods' disks. When spec.predictionLog.diskLimit is reached, they are lost.",
            "prediction-log-loses-rows", "30m", {"cause": "waiting"},
        ),
        Alert(
            "ModelwardFeaturesFail", TICKET,
            f"{failed} / {asked} > {FEATURES_FAIL}",
            f"The feature store fails {{{{ $value | humanizePercentage }}}} of the requests of {NAME}",
            "Requests that bring keys are answered with 503 or 504; those that bring their features are not concerned. "
            "The metric's label `reason` says why. All arms of the model ask the same store.",
            "features-fail", "5m",
        ),
        Alert(
            "ModelwardRetrainingFailed", TICKET,
            total('increase(modelward_retraining_runs_total{result="Failed"}[6h])', "namespace, policy") + " > 0",
            f"A retraining run of the DriftPolicy {POLICY} has failed",
            "Within the last six hours. The model that drifts serves on.",
            "retraining-failed",
        ),
        Alert(
            "ModelwardDriftPolicyStalled", TICKET, f"{told('modelward_driftpolicy_stalled', 'namespace, policy')} == 1",
            f"The DriftPolicy {POLICY} needs a person",
            "Its condition Stalled is True; the message names the cause and the cure.",
            "drift-policy-stalled", "15m",
        ),
        Alert(
            "ModelwardBatchFailed", TICKET, f"{told('modelward_batchinference_stalled')} == 1",
            f"The batch {NAME} has failed, or can't begin",
            "Its condition Stalled is True; the message names the cause and the cure. What it has written has no "
            "manifest, so that nobody takes it for a run.",
            "batch-failed", "5m",
        ),
        Alert(
            "ModelwardBatchDrift", TICKET, f"{told('modelward_batchinference_drift_detected')} == 1",
            f"The rows of the batch {NAME} drift",
            "Those of its last run are not what the model was trained on, by more than chance and the thresholds "
            "allow. The condition InputDrift names the worst feature, and why; the run has its answers all the same.",
            "batch-drift", "5m",
        ),
    ]  # fmt: skip


def _of_the_operator() -> list[Alert]:
    well = 'modelward_reconciles_total{result=~"ok|waiting"}'
    waits = "modelward_workqueue_wait_seconds"
    return [
        Alert(
            "ModelwardNoLeader", PAGE, f"{total('modelward_leader', 'namespace')} == 0\nor\nabsent(modelward_leader)",
            "No operator of Modelward is at work",
            "None holds the lease, or none is scraped. Models serve on as they are: no rollout goes on, and none is "
            "rolled back.",
            "no-leader", "10m",
        ),
        Alert(
            "ModelwardOperatorNotReconciling", PAGE,
            f"{total(f'increase({well}[20m])', 'namespace')} == 0\n"
            f"and on (namespace) {told(MODELS, 'namespace')} > 0\n"
            f"and on (namespace) {total('modelward_leader', 'namespace')} > 0",
            "The operator in {{ $labels.namespace }} gets nothing done",
            "It leads, but for more than half an hour no reconcile has gone well, while each object is due every "
            "twelve minutes at the latest.",
            "operator-not-reconciling", "15m",
        ),
        Alert(
            "ModelwardQueueStuck", PAGE,
            # Who stands by has a queue as well, and nobody who works on it.
            told(
                f"\n  min_over_time(modelward_workqueue_depth[10m]) > 0\n  and on ({TARGET}) modelward_leader == 1\n"
                f"  and on ({TARGET}) (\n    increase({waits}_count[10m]) == 0\n"
                f"    or rate({waits}_sum[10m]) / rate({waits}_count[10m]) > 60\n  )\n",
                "namespace",
            ),
            "{{ $value }} objects or more wait for the operator in {{ $labels.namespace }}",
            "For ten minutes some have been due, and none was taken up, or they wait for more than a minute each.",
            "queue-stuck", "10m",
        ),
        Alert(
            "ModelwardRegistryUnreachable", TICKET, f"{told('modelward_modelregistry_ready')} == 0",
            f"The ModelRegistry {NAME} does not answer its login",
            "Models serve on as they were resolved; no new version is seen, and nothing is written back.",
            "registry-unreachable", "15m",
        ),
    ]  # fmt: skip


def groups(interval: int) -> list[Group]:
    return [
        Group("modelward-models", interval, _of_models()),
        Group("modelward-watching", interval, _of_what_watches()),
        Group("modelward-operator", interval, _of_the_operator()),
    ]
