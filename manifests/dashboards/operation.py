"""The operator: who leads, whether it keeps up, what the API server and others answer it."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders.prometheus import Dataquery

from manifests.dashboards import style
from manifests.dashboards.queries import RATE
from manifests.dashboards.style import BAD, DOUBTFUL, GOOD, ORANGE, SKY, UNKNOWN, query

UID: Final = "modelward-operator"
OF_OPERATORS: Final = "and on (job, instance) modelward_leader"


def build() -> dashboard.Dashboard:
    made = style.made(
        UID,
        "Modelward: the operator",
        "Who leads, whether it keeps up with its work, and what the API server, pods and registries answer it.",
        hours=6,
    )
    for row, panels in (
        ("Does it work?", _work()),
        ("The API server", _api()),
        ("Upgrades and namespaces", _platform()),
        ("Pods, registries and catalogues", _others()),
        ("The process", _process()),
    ):
        made = made.with_row(dashboard.Row(row))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def _quantiles(metric: str) -> tuple[Dataquery, ...]:
    return tuple(
        query(f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{RATE})))", f"p{share * 100:g}", ref)
        for ref, share in (("A", 0.5), ("B", 0.9), ("C", 0.99))
    )


def _work() -> tuple[style.Panel, ...]:
    failed = f'sum(rate(modelward_reconciles_total{{result="error"}}{RATE})) or vector(0)'
    leaders = style.number(
        "Leaders",
        "Operators that hold their lease: one for each installation.",
        "none",
        query("sum(modelward_leader)"),
    ).thresholds(style.steps((None, BAD), (1, GOOD)))
    return (
        leaders,
        style.number(
            "Operators", "That are scraped, those that stand by among them.", "none", query("count(modelward_leader)")
        ),
        style.number(
            "Waiting",
            "Objects that are due and wait for a worker.",
            "none",
            query("sum(modelward_workqueue_depth)"),
            doubtful_from=20,
            bad_from=200,
        ),
        style.number("Errors", "Reconciles that ended in an error.", "ops", query(failed), 0.1, doubtful_from=0.001),
        style.number(
            "Missed changes",
            "Objects of which a resync found that the watch had missed a change, in the time that is shown.",
            "none",
            query("sum(increase(modelward_resync_repairs_total[$__range])) or vector(0)"),
            doubtful_from=1,
        ),
        style.lines(
            "Reconciles by result",
            "Waiting: something else has to happen first. Refused: the API server did not take a write.",
            "ops",
            query(f"sum by (result) (rate(modelward_reconciles_total{RATE}))", "{{result}}"),
            colours={"ok": GOOD, "waiting": SKY, "refused": ORANGE, "error": BAD},
            stacked=True,
            width=9,
            height=8,
        ),
        style.lines(
            "How long a reconcile takes",
            "Of all kinds of objects.",
            "s",
            *_quantiles("modelward_reconcile_duration_seconds"),
            colours=style.QUANTILES,
            width=8,
        ),
        style.lines(
            "How long a due object waits",
            "For a worker.",
            "s",
            *_quantiles("modelward_workqueue_wait_seconds"),
            colours=style.QUANTILES,
            width=8,
        ),
        style.lines(
            "Objects that are due",
            "And wait for a worker.",
            "none",
            query("max by (instance) (modelward_workqueue_depth)", "{{instance}}"),
            other=SKY,
            width=8,
        ),
    )


def _api() -> tuple[style.Panel, ...]:
    return (
        style.lines(
            "Requests by verb",
            "To the API server; watches are not in it.",
            "reqps",
            query(f"sum by (verb) (rate(modelward_api_requests_total{RATE}))", "{{verb}}"),
            colours={"GET": style.BLUE, "PATCH": ORANGE, "POST": style.PURPLE, "PUT": style.GREEN, "DELETE": BAD},
            other=UNKNOWN,
            stacked=True,
            width=8,
        ),
        style.lines(
            "Answers that are no success",
            "By code and resource. 409 is a conflict, which is tried again.",
            "reqps",
            query(
                f'sum by (code, resource) (rate(modelward_api_requests_total{{code!~"2.."}}{RATE}))',
                "{{code}} {{resource}}",
            ),
            colours={"^409": SKY, "^404": UNKNOWN, "^403": ORANGE},
            other=BAD,
            width=8,
        ),
        style.lines(
            "Objects in the cache",
            "By resource.",
            "none",
            query("max by (resource) (modelward_cached_objects)", "{{resource}}"),
            other=SKY,
            width=8,
        ),
        style.lines(
            "Resyncs",
            "Full comparisons of the cache with the API server.",
            "ops",
            query(f"sum by (result) (rate(modelward_resyncs_total{RATE}))", "{{result}}"),
            colours={"ok": GOOD},
            other=BAD,
            width=8,
        ),
    )


def _platform() -> tuple[style.Panel, ...]:
    return (
        style.lines(
            "Models by how far their upgrade is",
            "Current: their pods are what this operator makes of them. Waiting: a rollout or a pause comes first. "
            "Ready: in line.",
            "none",
            query("max by (phase) (modelward_platform_models)", "{{phase}}"),
            colours={
                "current": GOOD,
                "waiting": SKY,
                "ready": UNKNOWN,
                "updating": ORANGE,
                "failed": BAD,
                "refused": style.PURPLE,
                "skipped": style.YELLOW,
            },
            stacked=True,
        ),
        style.rows(
            "Namespaces that are left alone",
            "Claimed by another installation, or forbidden.",
            query("max by (namespace, reason) (modelward_namespace_left_alone)", ref="A", table=True),
            names={"namespace": "Namespace", "reason": "Reason", "Value": "There"},
            hidden=("Value", "Value #A"),
            sort="Namespace",
            width=12,
            height=8,
        ),
    )


def _by_result(title: str, description: str, metric: str, colours: dict[str, str], other: str) -> style.Panel:
    asked = query(f"sum by (result) (rate({metric}{RATE}))", "{{result}}")
    return style.lines(title, description, "reqps", asked, colours=colours, other=other, width=8)


def _others() -> tuple[style.Panel, ...]:
    return (
        style.lines(
            "Requests to pods",
            "To servers and monitors. None: without a signature, to pods of an earlier version.",
            "reqps",
            query(f"sum by (proof) (rate(modelward_pod_requests_total{RATE}))", "{{proof}}"),
            colours={"signed": GOOD, "none": DOUBTFUL},
            width=8,
        ),
        _by_result(
            "Questions to registries",
            "What a reference means, by result.",
            "modelward_registry_polls_total",
            {"ok": GOOD},
            ORANGE,
        ),
        _by_result(
            "What registries are told", "Attempts, by result.", "modelward_registry_writes_total", {"ok": GOOD}, ORANGE
        ),
        _by_result(
            "Webhooks of registries",
            "That came in, by result.",
            "modelward_registry_webhooks_total",
            {"ok": GOOD, "refused": BAD},
            UNKNOWN,
        ),
        style.lines(
            "OpenLineage events",
            "Sent, or lost; and how many are not sent yet.",
            "none",
            query(f"sum by (result) (rate(modelward_lineage_events_total{RATE}))", "{{result}}", "A"),
            query("max(modelward_lineage_events_waiting)", "waiting", "B"),
            colours={"sent": GOOD, "lost": BAD, "waiting": DOUBTFUL},
            width=8,
        ),
    )


def _process() -> tuple[style.Panel, ...]:
    return (
        style.lines(
            "Cores in use",
            "Of each operator.",
            "none",
            query(f"rate(process_cpu_seconds_total{RATE}) {OF_OPERATORS}", "{{instance}}"),
            other=SKY,
        ),
        style.lines(
            "Memory",
            "Of each operator.",
            "bytes",
            query(f"process_resident_memory_bytes {OF_OPERATORS}", "{{instance}}"),
            other=SKY,
        ),
    )
