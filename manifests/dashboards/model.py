"""One model: traffic, errors and latency by revision and arm; its rollout and the evidence; drift; what outcomes say of
it; its monitors."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from manifests.dashboards import style
from manifests.dashboards.queries import MODEL, RATE, REQUESTS, REVISIONS, SERVED, by_arm, failed_share, own, quantile
from manifests.dashboards.style import BAD, DOUBTFUL, GOOD, ORANGE, PURPLE, SKY, UNKNOWN, query

UID: Final = "modelward-model"

PHASES: Final = {
    "Preparing": SKY,
    "Progressing": ORANGE,
    "Paused": style.YELLOW,
    "Promoting": SKY,
    "Promoted": GOOD,
    "RolledBack": BAD,
    "Aborted": UNKNOWN,
}

CLIENTS: Final = f'{REVISIONS}, envoy_cluster_name!~".*-aside(-.*)?"'
"""Series of its routers. A cluster whose name ends in -aside has copies and previews, which are nobody's requests."""

FIVES: Final = f'rate(envoy_cluster_upstream_rq_xx{{{CLIENTS}, envoy_response_code_class="5"}}{RATE})'
ANSWERED_IN: Final = f"rate(envoy_cluster_upstream_rq_time_bucket{{{CLIENTS}}}{RATE})"

ASKED: Final = f"sum by (namespace, revision) (rate({REQUESTS}_count{{{SERVED}}}{RATE}))"
OBJECTIVE: Final = "spec.slo"

TITLES: Final = {
    "Rollouts that ended": "Rollout: {{result}}",
    "Runs that ended": "Run of {{policy}}: {{result}}",
    "Runs under way": "A run of {{policy}}",
}
"""Of annotations."""


def build() -> dashboard.Dashboard:
    made = (
        style.made(
            UID,
            "Modelward: one model",
            "Traffic, errors and latency by revision and arm; the rollout and its evidence; drift by feature; what the "
            "model is worth by outcomes; runs and promotions as annotations.",
            hours=24,
        )
        .with_variable(
            style.choice("namespace", "Namespace", "label_values(modelward_modeldeployment_ready, namespace)")
        )
        .with_variable(
            style.choice(
                "model", "Model", 'label_values(modelward_modeldeployment_ready{namespace="$namespace"}, name)'
            )
        )
    )
    for annotation in _annotations():
        made = made.annotation(annotation)
    for row, panels in (
        ("Now", _now()),
        ("Traffic, errors and latency", _traffic()),
        ("Rollout and evidence", _rollout()),
        ("Drift", _drift()),
        ("What it is worth by outcomes", _outcomes()),
        ("Monitors and the prediction log", _monitors()),
        ("Inside of the servers", _servers()),
    ):
        made = made.with_row(dashboard.Row(row))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def _annotations() -> tuple[dashboard.AnnotationQuery, ...]:
    ended = f"sum by (result) (increase(modelward_rollouts_total{{{MODEL}}}[5m])) > 0"
    watching = (
        'max by (namespace, policy) (modelward_retraining_active{namespace="$namespace", model="$model"} * 0 + 1)'
    )
    runs = (
        'sum by (namespace, policy, result) (increase(modelward_retraining_runs_total{namespace="$namespace"}[5m]))'
        f" * on (namespace, policy) group_left () {watching} > 0"
    )
    going = 'max by (policy) (modelward_retraining_active{namespace="$namespace", model="$model"}) == 1'
    return (
        _annotation("Rollouts that ended", ended, GOOD),
        _annotation("Runs that ended", runs, PURPLE),
        _annotation("Runs under way", going, SKY),
    )


def _annotation(name: str, expr: str, colour: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(style.SOURCE)
        .enable(True)
        .hide(False)
        .icon_color(colour)
        .expr(expr)
    )


def _now() -> tuple[style.Panel, ...]:
    ready = style.number(
        "Ready",
        "The condition Ready: what spec asks for answers on every replica.",
        "none",
        query(f"max(modelward_modeldeployment_ready{{{MODEL}}})"),
    ).mappings(style.words({1.0: ("Yes", GOOD), 0.0: ("No", BAD)}))
    return (
        ready,
        style.number(
            "Requests", "That its pods were asked.", "reqps", query(f"sum(rate({REQUESTS}_count{{{SERVED}}}{RATE}))")
        ),
        style.number(
            "Errors",
            "Share of the requests that failed, and by no client's mistake.",
            "percentunit",
            query(failed_share(SERVED)),
            0.01,
            doubtful_from=0.001,
        ),
        style.number(
            "p99",
            "Of all revisions, from a request's last byte to its answer.",
            "s",
            query(f"histogram_quantile(0.99, sum by (le) (rate({REQUESTS}_bucket{{{SERVED}}}{RATE})))"),
        ),
        style.number(
            "Features that drift",
            "In the last window of the model's own monitor.",
            "none",
            query(f"max(modelward_drifted_features{{{MODEL}}})"),
            doubtful_from=1,
        ),
        style.number(
            "Waiting",
            "Requests that wait for the model or are in it.",
            "none",
            query(f"sum({own(f'modelward_inference_pending_requests{{{REVISIONS}}}')})"),
        ),
        style.rows(
            "What serves",
            "Arms, and their shares of the requests.",
            query(f"max by (arm, revision, version) (modelward_traffic_revision{{{MODEL}}})", ref="A", table=True),
            query(
                f"max by (arm) (modelward_traffic_weight_ratio{{{MODEL}}}) * on (arm) group_right () "
                f"max by (arm, revision, version) (modelward_traffic_revision{{{MODEL}}})",
                ref="B",
                table=True,
            ),
            names={"arm": "Arm", "revision": "Revision", "version": "Version", "Value #B": "Share"},
            hidden=("Value #A",),
            sort="Share",
            formats={"Share": style.unit("percentunit", 0)},
            width=6,
            height=4,
        ),
    )


def _traffic() -> tuple[style.Panel, ...]:
    return (
        style.lines(
            "Requests by arm",
            "What pods were asked, by what their revision is now. Copies for a shadow are in it.",
            "reqps",
            query(by_arm(ASKED), "{{arm}} {{revision}}"),
            colours=style.ARMS,
            stacked=True,
        ),
        style.lines(
            "Share of the requests by arm",
            "As the operator has set it.",
            "percentunit",
            query(f"max by (arm) (modelward_traffic_weight_ratio{{{MODEL}}})", "{{arm}}"),
            colours=style.ARMS,
            stacked=True,
            most=1,
        ),
        style.lines(
            "Errors by arm",
            "Share of the requests that failed, and by no client's mistake, as gates count them; and what spec.slo "
            "allows.",
            "percentunit",
            query(by_arm(failed_share(SERVED, "namespace, revision")), "{{arm}} {{revision}}"),
            query(f"1 - max(modelward_slo_availability_objective_ratio{{{MODEL}}})", OBJECTIVE, "B"),
            colours={**style.ARMS, OBJECTIVE: UNKNOWN},
        ),
        style.lines(
            "Answers by code",
            "Codes of HTTP, and names of gRPC's. 499 and CANCELLED: the client left before.",
            "reqps",
            query(f"sum by (code) (rate({REQUESTS}_count{{{SERVED}}}{RATE}))", "{{code}}"),
            colours=style.CODES,
            other=BAD,
            stacked=True,
        ),
        style.lines(
            "Latency by arm, p99",
            "From a request's last byte to its answer, in the pods; the queue is in it. Beside it the threshold of "
            "spec.slo, "
            "whose objective may be of another share than 99 %.",
            "s",
            query(by_arm(quantile(0.99, SERVED, "namespace, revision")), "{{arm}} {{revision}}"),
            query(f"max(modelward_slo_latency_threshold_seconds{{{MODEL}}})", OBJECTIVE, "B"),
            colours={**style.ARMS, OBJECTIVE: UNKNOWN},
        ),
        style.lines(
            "Latency of all",
            "The same, of all revisions together; a point is a traced request, and leads to its trace.",
            "s",
            *(
                query(
                    f"histogram_quantile({share}, sum by (le) (rate({REQUESTS}_bucket{{{SERVED}}}{RATE})))",
                    f"p{share * 100:g}",
                    ref,
                ).exemplar(ref == "C")
                for ref, share in (("A", 0.5), ("B", 0.9), ("C", 0.99))
            ),
            colours=style.QUANTILES,
        ),
        style.lines(
            "Failures that clients saw, by revision",
            "5xx of the model's own router, whoever made them; nothing behind a Gateway.",
            "reqps",
            query(
                f"sum by (revision) ({own(FIVES)})",
                "{{revision}}",
            ),
            other=BAD,
        ),
        style.lines(
            "Latency that clients saw, p99 by revision",
            "From the model's own router to its pods and back.",
            "ms",
            query(
                f"histogram_quantile(0.99, sum by (le, revision) ({own(ANSWERED_IN)}))",
                "{{revision}}",
            ),
            other=SKY,
        ),
    )


def _rollout() -> tuple[style.Panel, ...]:
    phase = {float(place): (word, colour) for place, (word, colour) in enumerate(PHASES.items(), 1)}
    known = " or ".join(
        f'{place:g} * max(modelward_rollout_phase{{{MODEL}, phase="{word}"}})' for place, (word, _) in phase.items()
    )
    return (
        style.states(
            "Phase",
            "Of the last rollout.",
            query(f"max({known})", "phase"),
            mappings=style.words(phase),
            height=4,
            width=12,
        ),
        style.lines(
            "Step",
            "Of the last rollout, from 1.",
            "none",
            query(f"max(modelward_rollout_step{{{MODEL}}})", "step"),
            colours={"step": ORANGE},
            height=4,
        ),
        style.states(
            "Gates",
            "Pass: it is not worse than the margin allows. Fail: it is. Both with strong evidence, however "
            "often one looks.",
            query(f"max by (gate) (modelward_rollout_gate{{{MODEL}}})", "{{gate}}"),
            mappings=style.words({1.0: ("Pass", GOOD), 0.0: ("Inconclusive", DOUBTFUL), -1.0: ("Fail", BAD)}),
            width=12,
        ),
        style.lines(
            "Requests that the model does not take",
            "By its signature, or by what it says itself; the gate `refusals` compares it.",
            "reqps",
            query(
                by_arm(f"sum by (namespace, revision) (rate(modelward_inference_refused_total{{{SERVED}}}{RATE}))"),
                "{{arm}} {{revision}}",
            ),
            colours=style.ARMS,
            height=6,
        ),
    )


def _drift() -> tuple[style.Panel, ...]:
    cut = f"max by (feature) (modelward_drift_cut{{{MODEL}}})"
    return (
        style.heat(
            "Drift by feature",
            "A row a feature, a cell a time: its metric in the last window as a multiple of what it has to reach "
            "(the threshold, "
            "or what chance alone reaches). From 1 on it drifts. A feature that is not among the worst has no cell. "
            "Distributions: `kubectl modelward report $model -n $namespace --open`.",
            "none",
            query(
                f"max by (feature) (max by (feature, metric) (modelward_drift{{{MODEL}}}) "
                f"/ on (feature) group_left () ({cut} > 0))",
                "{{feature}}",
            ),
            ((None, "#E8F1F8"), (0.25, SKY), (0.7, DOUBTFUL), (1, ORANGE), (2, BAD)),
        ),
        style.lines(
            "The metric by feature",
            "In the last window, of the worst features.",
            "none",
            query(f"max by (feature, metric) (modelward_drift{{{MODEL}}})", "{{feature}} ({{metric}})"),
            other=SKY,
        ),
        style.states(
            "What policies say",
            "Whether it drifts by a DriftPolicy's rules.",
            query('max by (policy) (modelward_drift_detected{namespace="$namespace", model="$model"})', "{{policy}}"),
            mappings=style.words({0.0: ("NoDrift", GOOD), 1.0: ("Drifted", BAD)}),
            width=12,
            height=8,
        ),
    )


def _outcomes() -> tuple[style.Panel, ...]:
    target = 'namespace="$namespace", model="$model"'
    whole, by = f'{target}, segment="", part=""', "max by (policy, revision)"
    return (
        style.lines(
            "Quality",
            "Metrics of the newest cohort whose outcomes are due, of all rows, and the ends of their intervals. By "
            "segment: `kubectl modelward quality $model -n $namespace`.",
            "none",
            *(
                query(f"max by (policy, metric, revision) (modelward_{name}{{{whole}}})", f"{{{{metric}}}}{told}", ref)
                for ref, name, told in (
                    ("A", "quality", ""), ("B", "quality_low", ", low end"), ("C", "quality_high", ", high end"),
                )
            ),
            colours={"(low|high) end$": UNKNOWN},
            other=GOOD,
            least=None,
        ),
        style.states(
            "Rules on signals",
            "Which kinds of a DriftPolicy's signals are beyond their bounds: its window, quality, fairness, business, "
            "concept.",
            query(f"max by (policy, kind) (modelward_signal_breached{{{target}}})", "{{policy}} {{kind}}"),
            mappings=style.words({0.0: ("Kept", GOOD), 1.0: ("Broken", BAD)}),
            width=12,
            height=8,
        ),
        style.lines(
            "Predictions with an outcome",
            "Of that cohort. Where it is low, who has an outcome may be other than who has none.",
            "percentunit",
            query(f"{by} (modelward_quality_coverage_ratio{{{target}}})", "{{policy}} {{revision}}"),
            other=SKY,
            most=1,
            width=8,
        ),
        style.lines(
            "Rows with an outcome",
            "Of that cohort: how many its values are of.",
            "short",
            query(f"{by} (modelward_quality_rows{{{target}}})", "{{policy}} {{revision}}"),
            other=SKY,
            width=8,
        ),
        style.lines(
            "Age of the newest cohort",
            "How long ago the last prediction was made that is in it: spec.quality.labelWindow, and the time until the "
            "next evaluation. What grows beyond that is not evaluated any more.",
            "s",
            query(
                f"time() - max by (policy) (modelward_quality_cohort_end_timestamp_seconds{{{target}}})", "{{policy}}",
            ),
            other=SKY,
            width=8,
        ),
    )  # fmt: skip


def _monitors() -> tuple[style.Panel, ...]:
    return (
        style.lines(
            "Rows by what became of them",
            "As the monitors count them. Dropped, refused and lost ones are in no window.",
            "short",
            query(
                f"sum by (result) ({own(f'rate(modelward_monitor_rows_total{{{REVISIONS}}}{RATE})')})",
                "{{result}}",
            ),
            colours={"counted": GOOD, "sampled_out": UNKNOWN},
            other=BAD,
            stacked=True,
        ),
        style.lines(
            "Values with an issue",
            "Over all features: missing, not finite, out of range, of a new category, of another type.",
            "short",
            query(
                f"sum by (issue) ({own(f'rate(modelward_monitor_values_total{{{REVISIONS}}}{RATE})')})",
                "{{issue}}",
            ),
            colours={
                "missing": style.BLUE,
                "non_finite": PURPLE,
                "out_of_range": ORANGE,
                "new_categories": style.GREEN,
                "type_errors": BAD,
            },
        ),
        style.lines(
            "Snapshots' age",
            "Since all that a monitor knows was on its disk; what is younger is lost with its node.",
            "s",
            query(
                f"max by (revision) ({own(f'modelward_monitor_snapshot_age_seconds{{{REVISIONS}}}')})",
                "{{revision}}",
            ),
            other=SKY,
        ),
        style.lines(
            "Rows of the prediction log",
            "Of the pods that there are. Lost ones are in no file.",
            "short",
            query(f"max by (result) (modelward_prediction_log_rows{{{MODEL}}})", "{{result}}"),
            colours={"written": SKY, "stored": GOOD, "waiting": DOUBTFUL, "lost": BAD},
        ),
    )


def _servers() -> tuple[style.Panel, ...]:
    queued = "modelward_inference_queue_duration_seconds_bucket"
    computed = "modelward_inference_compute_duration_seconds_bucket"
    joined = "* on (job, instance) group_left (model) modelward_model_info"
    return (
        style.lines(
            "Queue and computing, p99",
            "Of a request in the queue, and of a batch in the model alone.",
            "s",
            query(f"histogram_quantile(0.99, sum by (le) (rate({queued}{{{SERVED}}}{RATE})))", "queue", "A"),
            query(f"histogram_quantile(0.99, sum by (le) (rate({computed}{{{SERVED}}}{RATE})))", "computing", "B"),
            colours={"queue": ORANGE, "computing": style.BLUE},
        ),
        style.lines(
            "Turned away",
            "Rejected: too many waited (503). Expired: their time was over. Abandoned: their client had gone.",
            "reqps",
            *(
                query(
                    f"sum({own(f'rate(modelward_inference_{what}_total{{{REVISIONS}}}{RATE})')})",
                    what,
                    ref,
                )
                for ref, what in (("A", "rejected"), ("B", "expired"), ("C", "abandoned"))
            ),
            colours={"rejected": BAD, "expired": ORANGE, "abandoned": UNKNOWN},
        ),
        style.lines(
            "Cores in use by revision",
            "The servers' processes, which say it themselves.",
            "none",
            query(
                f'sum by (revision) (rate(process_cpu_seconds_total{{namespace="$namespace"}}{RATE}) {joined}'
                '{namespace="$namespace", model="$model"})',
                "{{revision}}",
            ),
            other=SKY,
            stacked=True,
        ),
        style.lines(
            "Memory by revision",
            "The servers' processes, which say it themselves.",
            "bytes",
            query(
                f'sum by (revision) (process_resident_memory_bytes{{namespace="$namespace"}} {joined}'
                '{namespace="$namespace", model="$model"})',
                "{{revision}}",
            ),
            other=SKY,
            stacked=True,
        ),
    )
