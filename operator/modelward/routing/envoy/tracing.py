"""Spans of the router's Envoy: below the client's where it has one, and around the server's.

Reference: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/trace/v3/opentelemetry.proto.
"""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from modelward_telemetry.tracer import address_of

CLUSTER: Final = "collector-aside"
"""By its end, rules that count clients' requests leave it out."""

TIMEOUT: Final = "5s"

MAX_EXPORTS: Final = 8
"""Requests to the collector at once; spans beyond them are dropped, so that one that hangs fills no memory."""

_OPENTELEMETRY: Final = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig"
_SAMPLERS: Final = "type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3"


@dataclass(frozen=True)
class Collector:
    """`endpoint`: of OTLP over http, without the path of a signal; `share`: of the traces that begin at the router and
    are kept, 0 to 1; `service`, `namespace`: whose spans they are."""

    endpoint: str
    share: float
    service: str
    namespace: str


def manager(collector: Collector) -> dict[str, Any]:
    """The part of the clients' connection manager. Who comes with a trace is kept or not as its beginner decided, and
    no other header of a client's makes Envoy keep one."""
    uri = {"uri": address_of(collector.endpoint), "cluster": CLUSTER, "timeout": TIMEOUT}
    ratio = {"numerator": round(1_000_000 * collector.share), "denominator": "MILLION"}
    begins = _sampler("trace_id_ratio_based", "TraceIdRatioBased", {"sampling_percentage": ratio})
    provider = {
        "@type": _OPENTELEMETRY,
        "http_service": {"http_uri": uri},
        "service_name": collector.service,
        "sampler": _sampler("parent_based", "ParentBased", {"wrapped_sampler": begins}),
    }
    return {
        "tracing": {
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": provider},
            # Envoy's own choice comes first, and knows nothing of a client's trace: it leaves all to the sampler.
            "random_sampling": {"value": 100},
            "client_sampling": {"value": 0},
            "custom_tags": [{"tag": "k8s.namespace.name", "literal": {"value": collector.namespace}}],
        }
    }


def _sampler(name: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    typed = {"@type": f"{_SAMPLERS}.{kind}SamplerConfig", **settings}
    return {"name": f"envoy.tracers.opentelemetry.samplers.{name}", "typed_config": typed}


def cluster(collector: Collector) -> dict[str, Any]:
    """The collector."""
    parts = urlsplit(collector.endpoint)
    socket = {"address": parts.hostname, "port_value": parts.port or 80}
    endpoint = {"endpoint": {"address": {"socket_address": socket}}}
    return {
        "name": CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "dns_lookup_family": "V4_PREFERRED",
        "circuit_breakers": {"thresholds": [{"max_requests": MAX_EXPORTS, "max_pending_requests": MAX_EXPORTS}]},
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
