"""All models: what is wrong, the worst first; rollouts and runs under way; drift; and what they cost."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from manifests.dashboards import style
from manifests.dashboards.queries import HERE, RATE, REQUESTS, failed_share, named, why
from manifests.dashboards.style import BAD, DOUBTFUL, GOOD, UNKNOWN, query

UID: Final = "modelward-fleet"
MODEL_URL: Final = (
    "/d/modelward-model/modelward-one-model?var-datasource=${datasource}&var-namespace=${__data.fields.namespace}"
    "&var-model=${__data.fields.name}&${__url_time_range}"
)

ERRORS: Final = failed_share(HERE, "namespace, model")
TRAFFIC: Final = f"sum by (namespace, model) (rate({REQUESTS}_count{{{HERE}}}{RATE}))"
SLOW: Final = f"histogram_quantile(0.99, sum by (le, namespace, model) (rate({REQUESTS}_bucket{{{HERE}}}{RATE})))"
READY: Final = f"max by (namespace, name) (modelward_modeldeployment_ready{{{HERE}}})"
DRIFTED: Final = f"max by (namespace, name) (modelward_drifted_features{{{HERE}}})"
PHASES: Final = f"max by (namespace, name, phase) (modelward_rollout_phase{{{HERE}}})"
UNDER_WAY: Final = (
    f'max by (namespace, name, phase) (modelward_rollout_phase{{{HERE}, phase!~"Promoted|RolledBack|Aborted"}})'
)
FAILING: Final = 0.01
"""Share of failed requests from which on a model is said to fail."""

TROUBLE: Final = " or ".join(
    [
        why(f"32 * (1 - max by (namespace, name) (modelward_modeldeployment_servable{{{HERE}}}))", "answers nobody"),
        why(f"16 * (1 - {READY})", "not ready"),
        why(f'8 * max by (namespace, name) (modelward_rollout_phase{{{HERE}, phase="RolledBack"}})', "rolled back"),
        why(f"4 * ({named(ERRORS)} > bool {FAILING})", "failing"),
        why(f"2 * ({DRIFTED} > bool 0)", "drifting"),
        why(f"(1 - max by (namespace, name) (modelward_monitored{{{HERE}}}))", "not monitored"),
    ]
)
COMPUTED: Final = (
    f"sum by (namespace, model) (rate(process_cpu_seconds_total{{{HERE}}}{RATE}) "
    "* on (job, instance) group_left (model) modelward_model_info)"
)
HELD: Final = (
    f"sum by (namespace, model) (process_resident_memory_bytes{{{HERE}}} "
    "* on (job, instance) group_left (model) modelward_model_info)"
)
YES: Final = {1.0: ("Yes", GOOD), 0.0: ("No", BAD)}


def build() -> dashboard.Dashboard:
    made = style.made(
        UID,
        "Modelward: all models",
        "What is wrong, the worst first; rollouts and retraining runs under way; drift; and what models cost.",
        hours=6,
    ).with_variable(
        style.choice("namespace", "Namespace", "label_values(modelward_modeldeployment_ready, namespace)", several=True)
    )
    for row, panels in (
        ("What is wrong", (*_counts(), _worst())),
        ("Rollouts", _rollouts()),
        ("Drift and retraining", _drift()),
        ("Cost", _cost()),
    ):
        made = made.with_row(dashboard.Row(row))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def _counts() -> tuple[style.Panel, ...]:
    ended = f'sum(increase(modelward_rollouts_total{{{HERE}, result="RolledBack"}}[$__range]))'
    return (
        style.number("Models", "ModelDeployments of the namespaces.", "none", query(f"count({READY})")),
        style.number(
            "Not ready",
            "Models whose condition Ready is not True: what spec asks for does not answer on every replica.",
            "none",
            query(f"sum(1 - {READY})"),
            1,
        ),
        style.number(
            "Rollouts under way",
            "Also those that are paused.",
            "none",
            query(f"count({UNDER_WAY}) or vector(0)"),
        ),
        style.number(
            "Rolled back",
            "Rollouts that ended so, in the time that is shown.",
            "none",
            query(f"{ended} or vector(0)"),
            1,
        ),
        style.number(
            "Drifting",
            "Models of which a DriftPolicy says that they drift; a model counts once.",
            "none",
            query(f"count(max by (namespace, model) (modelward_drift_detected{{{HERE}}}) == 1) or vector(0)"),
            doubtful_from=1,
        ),
        style.number(
            "Runs under way",
            "Retraining runs, until their rollout has ended.",
            "none",
            query(f"sum(max by (namespace, policy, model) (modelward_retraining_active{{{HERE}}})) or vector(0)"),
        ),
        style.number(
            "Need a person",
            "ModelDeployments and DriftPolicies whose condition Stalled is True: nothing goes on by itself.",
            "none",
            query(
                f"(sum(max by (namespace, name) (modelward_modeldeployment_stalled{{{HERE}}})) or vector(0)) "
                f"+ (sum(max by (namespace, policy) (modelward_driftpolicy_stalled{{{HERE}}})) or vector(0))"
            ),
            1,
        ),
        style.number(
            "Registries away",
            "ModelRegistries that do not answer their login.",
            "none",
            query(f"sum(1 - max by (namespace, name) (modelward_modelregistry_ready{{{HERE}}})) or vector(0)"),
            1,
        ),
    )


def _worst() -> style.Panel:
    return style.rows(
        "Models, the worst first",
        "Trouble is a sum: 32 it answers nobody, 16 not ready, 8 the last rollout was rolled back, 4 more than 1 % "
        "of the requests fail, 2 "
        "features "
        "drift, 1 its monitors do not all answer. A click on a name opens the model. Errors are what is no client's "
        "mistake, and "
        "latency is from a request's last byte to its answer, as the pods count them.",
        query(f"sum by (namespace, name) ({TROUBLE})", ref="A", table=True),
        query(READY, ref="B", table=True),
        query(named(TRAFFIC), ref="C", table=True),
        query(named(ERRORS), ref="D", table=True),
        query(named(SLOW), ref="E", table=True),
        query(DRIFTED, ref="F", table=True),
        names={
            "name": "name",
            "namespace": "namespace",
            "Value #A": "Trouble",
            "Value #B": "Ready",
            "Value #C": "Requests",
            "Value #D": "Errors",
            "Value #E": "p99",
            "Value #F": "Features that drift",
        },
        sort="Trouble",
        formats={
            "name": style.leads("Open the model ${__data.fields.name}", MODEL_URL),
            "Trouble": style.cell((None, GOOD), (1, DOUBTFUL), (8, BAD)),
            "Ready": style.worded(YES),
            "Requests": style.unit("reqps", 1),
            "Errors": [*style.unit("percentunit", 2), *style.cell((None, GOOD), (0.001, DOUBTFUL), (FAILING, BAD))],
            "p99": style.unit("s"),
            "Features that drift": style.cell((None, GOOD), (1, DOUBTFUL)),
        },
        height=12,
    )


def _rollouts() -> tuple[style.Panel, ...]:
    step = f"max by (namespace, name) (modelward_rollout_step{{{HERE}}}) and on (namespace, name) {UNDER_WAY}"
    share = f'max by (namespace, name) (modelward_traffic_weight_ratio{{{HERE}, arm="candidate"}})'
    gate = f"min by (namespace, name) (modelward_rollout_gate{{{HERE}}})"
    began = f"max by (namespace, name) (modelward_rollout_step_started_timestamp_seconds{{{HERE}}})"
    return (
        style.rows(
            "How far rollouts are",
            "What has been in its step longest first. The worst gate says Fail when the evidence is strong that the "
            "candidate "
            "is worse than its margin allows.",
            query(UNDER_WAY, ref="A", table=True),
            query(step, ref="B", table=True),
            query(f"{share} and on (namespace, name) {UNDER_WAY}", ref="C", table=True),
            query(f"{gate} and on (namespace, name) {UNDER_WAY}", ref="D", table=True),
            query(f"time() - {began}", ref="E", table=True),
            names={
                "name": "name",
                "namespace": "namespace",
                "phase": "Phase",
                "Value #B": "Step",
                "Value #C": "Candidate's share",
                "Value #D": "Worst gate",
                "Value #E": "In this step for",
            },
            hidden=("Value #A",),
            sort="In this step for",
            formats={
                "name": style.leads("Open the model ${__data.fields.name}", MODEL_URL),
                "Candidate's share": style.unit("percentunit", 0),
                "In this step for": style.unit("s", 0),
                "Worst gate": style.worded({1.0: ("Pass", GOOD), 0.0: ("Inconclusive", DOUBTFUL), -1.0: ("Fail", BAD)}),
            },
            width=14,
            height=9,
        ),
        style.lines(
            "Rollouts that ended",
            "In the hour before each point.",
            "none",
            query(f"sum by (result) (increase(modelward_rollouts_total{{{HERE}}}[1h]))", "{{result}}"),
            colours={"Promoted": GOOD, "RolledBack": BAD, "Aborted": UNKNOWN},
            width=10,
            height=9,
        ),
    )


def _drift() -> tuple[style.Panel, ...]:
    cut = f"max by (namespace, name, feature) (modelward_drift_cut{{{HERE}}})"
    values = f"max by (namespace, name, feature, metric) (modelward_drift{{{HERE}}})"
    worst = f"topk(20, {values} / on (namespace, name, feature) group_left () ({cut} > 0))"
    return (
        style.rows(
            "Features that drift most",
            "Their metric in the last window, and how many times what it has to reach (the threshold, or what chance "
            "alone "
            "reaches): from 1 on it drifts. Of each model its worst features, the worst of all are shown.",
            query(worst, ref="A", table=True),
            query(f"{values} and {worst}", ref="B", table=True),
            names={
                "name": "name",
                "namespace": "namespace",
                "feature": "Feature",
                "metric": "Metric",
                "Value #B": "Value",
                "Value #A": "Times what it has to reach",
            },
            sort="Times what it has to reach",
            formats={
                "name": style.leads("Open the model ${__data.fields.name}", MODEL_URL),
                "Times what it has to reach": [
                    *style.unit("none", 2),
                    *style.cell((None, GOOD), (0.7, DOUBTFUL), (1, BAD)),
                ],
                "Value": style.unit("none", 4),
            },
            width=14,
            height=9,
        ),
        style.lines(
            "Models that drift",
            "By DriftPolicies, and how many runs are under way.",
            "none",
            query(
                f"count(max by (namespace, model) (modelward_drift_detected{{{HERE}}}) == 1) or vector(0)",
                "drifting",
                "A",
            ),
            query(
                f"sum(max by (namespace, policy, model) (modelward_retraining_active{{{HERE}}})) or vector(0)",
                "runs",
                "B",
            ),
            colours={"drifting": BAD, "runs": GOOD},
            width=10,
            height=9,
        ),
        style.lines(
            "Runs that ended",
            "Retraining runs, in the day before each point.",
            "none",
            query(f"sum by (result) (increase(modelward_retraining_runs_total{{{HERE}}}[1d]))", "{{result}}"),
            colours={
                "Promoted": GOOD,
                "RolledBack|Failed": BAD,
                "Refused": style.ORANGE,
                "Cancelled|Superseded": UNKNOWN,
            },
        ),
        style.lines(
            "How long runs take",
            "From the decision to the end of the run's rollout; of all namespaces.",
            "s",
            *(
                query(
                    f"histogram_quantile({share}, sum by (le) "
                    f"(rate(modelward_retraining_duration_seconds_bucket[1d])))",
                    f"p{share * 100:g}",
                    ref,
                )
                for ref, share in (("A", 0.5), ("B", 0.9))
            ),
            colours=style.QUANTILES,
        ),
    )


def _cost() -> tuple[style.Panel, ...]:
    cores = query(f"sort_desc(topk(15, {COMPUTED}))", "{{namespace}}/{{model}}", instant=True)
    held = query(f"sort_desc(topk(15, {HELD}))", "{{namespace}}/{{model}}", instant=True)
    said = "The processes of its servers, which say it themselves; monitors and routers are not in it."
    return (
        style.bars("Cores in use by model", said, "none", cores),
        style.bars("Memory by model", said, "bytes", held),
        style.lines(
            "Cores in use",
            f"{said} All models.",
            "none",
            query(f"sum({COMPUTED})", "servers"),
            colours={"servers": GOOD},
        ),
        style.lines(
            "Cores in use for a thousand requests a second",
            f"{said} The dearest first: of models with less than one request in ten seconds it says little.",
            "none",
            query(f"topk(5, 1000 * {COMPUTED} / ({TRAFFIC} > 0.1))", "{{namespace}}/{{model}}"),
        ),
    )
