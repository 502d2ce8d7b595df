"""What clients ask and get, by model: the recordings that dashboards ask often, and that SLOs are judged by.

Clients' own view is the router's; of a model behind the cluster's Gateways, which has no router of ours, it is that of
its servers, which see neither what the Gateway refused nor which of their requests are copies.
"""

from typing import Final

from manifests.alerts.rules import MODEL, Group, Recording, first, promised, told, total

ROUTER: Final = 'envoy_http_conn_manager_prefix="traffic"'
"""The clients' listener; everything that they were answered, also what no revision ever saw."""

OF_CLIENTS: Final = 'envoy_cluster_name!~"admin|.*-aside(-grpc)?"'
"""Clusters that clients' requests go by: copies and previews go by others (modelward/routing/envoy/routes.py)."""

SERVER: Final = "modelward_inference_request_duration_seconds"

LEFT: Final = "499|CANCELLED"
"""Codes of servers for clients that left: no request that was answered, well or badly."""

GRPC_FAILURES: Final = {
    2: "UNKNOWN", 4: "DEADLINE_EXCEEDED", 6: "ALREADY_EXISTS", 7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION", 10: "ABORTED", 12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS",
    16: "UNAUTHENTICATED",
}  # fmt: skip
"""gRPC's statuses that are no success and no mistake of a client: those that gates of rollouts take for errors, too."""

COUNTED: Final = 'modelward_monitor_rows_total{result="counted"}'

QUANTILES: Final = (50, 95, 99)


def rate(selector: str) -> str:
    return f"rate({selector}[5m])"


def _failures() -> str:
    """Envoy has a metric for each status of gRPC, and answers all of them with HTTP 200."""
    http = rate(f'envoy_http_downstream_rq_xx{{{ROUTER},envoy_response_code_class="5"}}')
    parts = [f'label_replace({http}, "failure", "http", "failure", "")']
    parts += [
        f'label_replace({rate(f"envoy_cluster_grpc_{number}{{{OF_CLIENTS}}}")}, "failure", "{number}", "failure", "")'
        for number in GRPC_FAILURES
    ]
    return total("\n  " + "\n  or ".join(parts) + "\n")


def _within(bucket: str, le: str) -> str:
    """Requests within the bound that a model's slo names, a second. Prometheus 3 has 200.0 where 2 has 200."""
    bound = f'label_replace({rate(bucket)}, "{le}", "$1", "le", "(.+?)(?:[.]0)?")'
    wanted = promised("modelward_slo_latency_threshold_seconds", f"{MODEL}, {le}")
    # Of two, as in the hour after a change, the longer one: buckets hold all that is below them.
    return told(f"{total(bound, f'{MODEL}, {le}')} and on ({MODEL}, {le}) {wanted}")


def _quantile(percent: int) -> str:
    share = percent / 100
    router = total(rate(f"envoy_cluster_upstream_rq_time_bucket{{{OF_CLIENTS}}}"), f"{MODEL}, le")
    server = total(rate(f"{SERVER}_bucket"), f"{MODEL}, le")
    return first(f"histogram_quantile({share:g}, {router}) / 1000", f"histogram_quantile({share:g}, {server})")


def recordings(interval: int) -> Group:
    codes = "|".join(("5..", *GRPC_FAILURES.values()))
    timed = first(total(rate(f"envoy_cluster_upstream_rq_time_count{{{OF_CLIENTS}}}")), total(rate(f"{SERVER}_count")))
    judged = promised("modelward_slo_latency_threshold_seconds")
    rules = [
        Recording(
            "model:modelward_requests:rate5m",
            first(
                total(rate(f"envoy_http_downstream_rq_xx{{{ROUTER}}}")),
                total(rate(f'{SERVER}_count{{code!~"{LEFT}"}}')),
            ),
            "Requests of clients a second, whatever they were answered.",
        ),
        Recording(
            "model:modelward_request_errors:rate5m",
            first(
                _failures(), total(rate(f'{SERVER}_count{{code=~"{codes}"}}')), "0 * model:modelward_requests:rate5m"
            ),
            "Of them, those that failed: HTTP 5xx, and gRPC's statuses that are no mistake of the client.",
        ),
        Recording(
            "model:modelward_request_errors:ratio_rate5m",
            "model:modelward_request_errors:rate5m / (model:modelward_requests:rate5m > 0)",
            "Share of requests that failed; none where there were no requests.",
        ),
        Recording(
            "model_revision:modelward_requests:rate5m",
            first(
                total(rate(f"envoy_cluster_upstream_rq_xx{{{OF_CLIENTS}}}"), f"{MODEL}, revision"),
                total(rate(f'{SERVER}_count{{code!~"{LEFT}"}}'), f"{MODEL}, revision"),
            ),
            "Requests of clients a second, by the revision that they were led to.",
        ),
        *(
            Recording(
                f"model:modelward_request_duration_seconds:p{percent}_5m",
                _quantile(percent),
                f"Time within which {percent} of 100 requests were answered, seconds.",
            )
            for percent in QUANTILES
        ),
        Recording(
            "model:modelward_requests_timed:rate5m",
            f"({timed}) and on ({MODEL}) {judged}",
            "Requests a second whose time is known, of models with spec.slo.latency.",
        ),
        Recording(
            "model:modelward_requests_slow:rate5m",
            f"clamp_min(model:modelward_requests_timed:rate5m - on ({MODEL}) (\n"
            + first(
                _within(f"envoy_cluster_upstream_rq_time_bucket{{{OF_CLIENTS}}}", "le_milliseconds"),
                _within(f"{SERVER}_bucket", "le_seconds"),
            )
            + "\n), 0)",
            "Of them, those that took longer than spec.slo.latency.threshold.",
        ),
        Recording(
            "model:modelward_inference_rows:rate5m",
            total(rate("modelward_inference_batch_rows_sum")),
            "Rows that servers computed a second, those of copies too.",
        ),
        Recording(
            "model:modelward_monitor_values:ratio_rate1h",
            f"{total('rate(modelward_monitor_values_total[1h])', f'{MODEL}, issue')}\n/ on ({MODEL}) group_left ()\n"
            f"({total(f'rate({COUNTED}[1h])')} > 0)",
            "Values with an issue (missing, of another type, …) for each row that a monitor counted.",
        ),
    ]
    return Group("modelward-requests", interval, rules)
